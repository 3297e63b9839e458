"""CSV files with a header line, every column as text; errors name file, row and what is wrong.

Rows are numbered from 1, the header and empty lines not counted.
"""

import csv
import gzip
import io
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import IO, NamedTuple

import pyarrow as pa
import pyarrow.csv

from udfs.errors import ConfigError

SHOWN_LENGTH = 80  # characters of a row that a message repeats
CAUSES = (pa.ArrowException, OSError, EOFError, UnicodeDecodeError, csv.Error)
RAGGED = re.compile(r"Row #(\d+): Expected (\d+) columns, got (\d+): (.*)", re.DOTALL)


class Header(NamedTuple):
    """The names of the columns as written, and whether any line comes after them."""

    names: list[str]
    has_rows: bool


def is_csv(path: str) -> bool:
    """Whether a file is read as CSV (by its name)."""
    return path.lower().endswith((".csv", ".csv.gz", ".txt"))


def read_text_csv(path: str, names: Sequence[str]) -> pa.Table:
    """All columns of the file as text, nothing as null; `names` are those that will be used.

    ConfigError where the file can't be read, or has one of `names` twice.
    """
    try:
        header = _header(path)
        present = [name.strip() for name in header.names]
        check_twice(path, present, names)
        if not header.has_rows:
            return pa.table([pa.array([], pa.string())] * len(present), names=present)
        return _read(path, header, use_threads=True).rename_columns(present)
    except CAUSES as error:
        wanted = ", ".join(names)
        raise ConfigError(
            f"{_reason(path, error)}; expected CSV as UTF-8 text, its header line {wanted}"
        ) from None


def check_twice(path: str, present: Sequence[str], names: Sequence[str]) -> None:
    """ConfigError where one of `names` is there twice: which one counts would be a guess."""
    for name in names:
        if list(present).count(name) > 1:
            raise ConfigError(
                f"{path}: column {name!r} is there {list(present).count(name)} times; keep one "
                f"(it has {', '.join(present)})"
            )


@contextmanager
def _opened(path: str) -> Iterator[IO[bytes]]:
    """The file's bytes, unpacked."""
    with open(path, "rb") as file:
        if _is_packed(path):
            with gzip.open(file) as unpacked:
                yield unpacked
        else:
            yield file


def _is_packed(path: str) -> bool:
    return path.lower().endswith(".gz")


def _header(path: str) -> Header:
    """The first line that is not empty."""
    with _opened(path) as file, io.TextIOWrapper(file, "utf-8-sig") as lines:
        texts = (text for line in lines if (text := line.rstrip("\n")))
        first = next(texts, None)
        if first is None:
            raise ConfigError(f"{path}: is empty; expected a header line and rows")
        return Header(next(csv.reader([first])), next(texts, None) is not None)


def _read(path: str, header: Header, use_threads: bool) -> pa.Table:
    """The rows, by one thread or several: only one can number the row of an error."""
    reading = pyarrow.csv.ReadOptions(use_threads=use_threads)
    converting = pyarrow.csv.ConvertOptions(
        column_types={name: pa.string() for name in header.names}, strings_can_be_null=False
    )
    # Arrow would guess the packing from the name, in small letters only.
    packing = "gzip" if _is_packed(path) else None
    with pa.input_stream(path, compression=packing) as stream:
        return pyarrow.csv.read_csv(stream, reading, convert_options=converting)


def _reason(path: str, error: Exception) -> str:
    """What is wrong with a file, as exactly as a second look at it can tell."""
    if isinstance(error, UnicodeDecodeError) or "UTF8" in str(error):
        return _where_no_text(path)
    if "columns, got" in str(error):
        try:
            _read(path, _header(path), use_threads=False)
        except pa.ArrowInvalid as again:
            found = RAGGED.search(str(again))
            if found:
                row, expected, count, text = found.groups()
                shown = repr(text[:SHOWN_LENGTH])
                return f"{path}: row {int(row) - 1} has {count} values, not {expected}: {shown}"
    said = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return f"{path}: not a CSV file that can be read: {said}"


def _where_no_text(path: str) -> str:
    """Names the first row, column and value that are no UTF-8."""
    names: list[bytes] = []
    row = 0
    with _opened(path) as file:
        for line in file:
            values = line.rstrip(b"\r\n").split(b",")
            for number, value in enumerate(values):
                try:
                    value.decode()
                except UnicodeDecodeError:
                    name = names[number].decode() if number < len(names) else str(number + 1)
                    place = f"row {row}, column {name!r}" if names else "the header"
                    return f"{path}: {place} is not UTF-8 text: {value[:SHOWN_LENGTH]!r}"
            names = names or (values if values != [b""] else [])
            row += bool(line.strip(b"\r\n"))
    return f"{path}: is not UTF-8 text"
