"""The finished chunks of a run that is not finished: `<out>/.<run id>.<digest>.kept/`.

Chunks are written there from the beginning, so whatever ends a run leaves those that were done. A
run with the same configuration, input and code has the same digest and goes on from them; when it
is finished the folder goes. Folders of other digests are left alone and told.
"""

import fcntl
import hashlib
import json
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType

from jobs.sweep.chunks import Chunk
from jobs.sweep.parts import ChunkOut, read_chunk
from udfs.errors import Refusal

LOCK = "lock"
BARS = "bars"  # the folder of the run's bars, as jobs/sweep/bars.py writes them
PARTIAL = ".partial"
DIGEST = r"[0-9a-f]{12}"


def digest_of(*parts: object) -> str:
    """What decides a run's rows, as 12 hex digits; the order of keys does not matter."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:12]


def kept_folders(out: Path, run_id: str) -> list[Path]:
    """What unfinished runs of that name left, whatever their configuration."""
    name = re.compile(rf"\.{re.escape(run_id)}\.{DIGEST}\.kept")
    found = out.iterdir() if out.is_dir() else ()
    return sorted(path for path in found if name.fullmatch(path.name))


def folder_bytes(folder: Path) -> int:
    """The sizes of all files in it."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


class Kept:
    """The finished chunks of one run, for one process at a time, in a `with` block.

    Refusal where another process works on the same run. A folder without chunks goes at the end.
    """

    def __init__(self, out: Path, run_id: str, digest: str) -> None:
        self.path = out / f".{run_id}.{digest}.kept"
        self.chunks: list[tuple[Path, ChunkOut]] = []
        self._lock = -1

    @property
    def done(self) -> frozenset[str]:
        """The strategies of all finished chunks."""
        return frozenset(name for _, out in self.chunks for name in out.strategies)

    def __enter__(self) -> "Kept":
        while self._lock < 0:
            self.path.mkdir(exist_ok=True)
            self._lock = _locked(self.path / LOCK)
        for folder in sorted(self.path.iterdir()):
            if folder.is_dir() and folder.name != BARS:
                out = read_chunk(folder) if folder.suffix != PARTIAL else None
                if out is None:
                    shutil.rmtree(folder, ignore_errors=True)
                else:
                    self.chunks.append((folder, out))
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if not self.chunks:
            self.remove()
        os.close(self._lock)

    @contextmanager
    def place(self, chunk: Chunk) -> Iterator[Path]:
        """A folder for a chunk; it counts as finished when the block ends without an exception."""
        name = hashlib.sha256("\0".join(chunk.strategies).encode()).hexdigest()[:16]
        folder = self.path / f"{name}{PARTIAL}"
        folder.mkdir()
        try:
            yield folder
            out = read_chunk(folder)
            if out is None:
                raise FileNotFoundError(2, "the chunk's files are not there", str(folder))
            self.chunks.append((folder.rename(self.path / name), out))
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise

    def remove(self) -> None:
        """Remove the folder."""
        self.chunks = []
        shutil.rmtree(self.path, ignore_errors=True)


def _locked(path: Path) -> int:
    """A descriptor of the locked file; -1 where another process has just removed it."""
    try:
        lock = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    except FileNotFoundError:
        return -1
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if path.exists() and os.path.samestat(os.fstat(lock), path.stat()):
            return lock
    except BlockingIOError:
        os.close(lock)
        raise Refusal(
            f"another process works on this very run, in {path.parent}; wait for it, or choose "
            "another --run-id or --out"
        ) from None
    except OSError:
        return lock  # a file system without locks
    os.close(lock)
    return -1
