"""Lines of CSV as they come, from a pipe or a file; garbage ends nothing."""

import csv
import os
import queue
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

from jobs.csv_files import check_twice
from udfs.errors import ConfigError, nearest
from udfs.rows import FeedCode

CHUNK_BYTES = 1 << 16
CHUNKS_HELD = 64
MAX_LINE_BYTES = 1 << 16
SHOWN_LENGTH = 500  # characters of a line that is kept as a reject
LOOK_S = 0.2
STDIN = 0
BAD_LINE = FeedCode.BAD_LINE.value  # the code of a line that is no row


class Line(NamedTuple):
    """A line after the header: its values by column, or why it is none and its text."""

    values: dict[str, str] | None
    problem: str = ""
    text: str = ""


class Source(Protocol):
    """Where lines come from."""

    def batches(self, stop: threading.Event, columns: "Columns") -> Iterator[list[Line]]:
        """Lines as they come; an empty list now and then. Ends with the input, or when stopped."""
        ...


class Chunks:
    """Bytes as they come, read by a thread of their own. `file` None: standard input."""

    def __init__(self, file: Path | None) -> None:
        self._queue: queue.Queue[bytes | OSError] = queue.Queue(CHUNKS_HELD)
        if file is not None and (file.is_dir() or file.suffix.lower() == ".gz"):
            what = "is a folder" if file.is_dir() else "is packed"
            raise ConfigError(f"--file: {file} {what}; name a plain CSV file")
        try:
            self._source = STDIN if file is None else os.open(file, os.O_RDONLY)
        except OSError as error:
            raise ConfigError(f"--file: {file} cannot be read: {error.strerror}") from None
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        while True:
            try:
                found = os.read(self._source, CHUNK_BYTES)
            except OSError as error:
                self._queue.put(error)
                return
            self._queue.put(found)
            if not found:
                return

    def batches(self, stop: threading.Event, columns: "Columns") -> Iterator[list[Line]]:
        """Lines as they come, see Source."""
        return batches(self, stop, columns)

    def get(self, wait_s: float) -> bytes | None:
        """What came, empty at the end; None where nothing did in time."""
        try:
            found = self._queue.get(timeout=wait_s)
        except queue.Empty:
            return None
        if isinstance(found, OSError):
            raise ConfigError(f"the input cannot be read: {found.strerror}")
        return found


def batches(chunks: Chunks, stop: threading.Event, columns: "Columns") -> Iterator[list[Line]]:
    """Lines as they come; an empty list now and then. Ends with the input, or when stopped."""
    left, skipping = b"", False
    while not stop.is_set():
        chunk = chunks.get(LOOK_S)
        if chunk is None:
            yield []
            continue
        *whole, left = (left + chunk).split(b"\n")
        if skipping and whole:
            whole, skipping = whole[1:], False
        if not chunk and left and not skipping:
            whole, left = [*whole, left], b""
        lines = [line for raw in whole if (line := columns.line(raw)) is not None]
        if len(left) > MAX_LINE_BYTES:
            if not skipping:
                lines.append(Line(None, "no end of line", shown(left)))
            left, skipping = b"", True
        yield lines
        if not chunk:
            return


class Columns:
    """The header, which is the first line that is not empty, and lines by it.

    ConfigError where one of `required` is not in it, or one of `used` is there twice.
    """

    def __init__(self, name: str, required: Sequence[str], used: Sequence[str]) -> None:
        self._name, self.required, self.used = name, required, used
        self._names: list[str] | None = None

    def line(self, raw: bytes) -> Line | None:
        """The line; None for an empty one and the header."""
        raw = raw.rstrip(b"\r")
        if not raw.strip():
            return None
        try:
            text = raw.decode("utf-8-sig" if self._names is None else "utf-8")
            values = next(csv.reader([text], strict=True))
        except (UnicodeDecodeError, csv.Error, StopIteration) as error:
            problem = "not UTF-8 text" if isinstance(error, UnicodeDecodeError) else "not CSV"
            if self._names is None:
                raise ConfigError(f"{self._name}: the header is {problem}: {shown(raw)}") from None
            return Line(None, problem, shown(raw))
        if self._names is None:
            self._names = self._header([value.strip() for value in values])
            return None
        if len(values) != len(self._names):
            problem = f"{len(values)} values, not {len(self._names)}"
            return Line(None, problem, shown(raw))
        return Line(dict(zip(self._names, values, strict=True)))

    def _header(self, names: list[str]) -> list[str]:
        check_twice(self._name, names, self.used)
        for name in self.required:
            if name not in names:
                raise ConfigError(
                    f"{self._name}: the header lacks {name!r}{nearest(name, names)}; it has "
                    f"{', '.join(names)[:SHOWN_LENGTH]}; expected {','.join(self.used)}"
                )
        return names


def shown(raw: bytes) -> str:
    """A line that is no row, as text of a bounded length."""
    return raw[: 4 * SHOWN_LENGTH].decode("utf-8", "backslashreplace")[:SHOWN_LENGTH]
