"""Bars in a folder: one Parquet file per symbol and UTC month, `<out>/<symbol>-2024-03.parquet`.

Columns are symbol, ts (open time, epoch ms), open, high, low, close, volume; rows ascend strictly
by ts. So `<out>/*.parquet` is what `prices.files` of a configuration reads, and the order of the
files is the order of time.

New rows are merged with what is there. The row that came first stays: the stored one, else the
first of those given. Files are filled beside their places and then renamed, all of them at the
end, so whatever ends a write early leaves every file as it was or whole. One write at a time has
the folder; another one waits.

    written = write_bars(Path("data/bars"), "BTCUSD", bars)
    newest = last_ts(Path("data/bars"), "BTCUSD")
"""

import fcntl
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from feeds.times import length_text
from jobs.run_folder import unwritable
from udfs.bars import Bars, Bools, Ints
from udfs.errors import ConfigError
from udfs.timeframes import MINUTE_MS

STAGING, PARTIAL = ".bars.", ".partial"
TIMEFRAME = b"timeframe_ms"
SCHEMA = pa.schema(
    [("symbol", pa.string()), ("ts", pa.int64())]
    + [(name, pa.float64()) for name in Bars._fields[1:]]
)
LONGEST_NAME = 200  # bytes; file systems take 255

# What became of a row. KEPT are those whose values are in the store afterwards.
NEW, SAME, DUPLICATE, CONFLICT = 0, 1, 2, 3
KEPT = (NEW, SAME)
Fates = npt.NDArray[np.int8]


class Written(NamedTuple):
    """What became of the rows given to a write, and the files that it changed.

    `rows_same` had the same values as the row of that ts which stays, `rows_conflicting` others.
    """

    rows_new: int
    rows_same: int
    rows_conflicting: int
    files: tuple[Path, ...]


def write_bars(out: Path, symbol: str, bars: Bars, base_ms: int = MINUTE_MS) -> Written:
    """Merge bars of a symbol, in any order, into the folder; it is made where it is missing.

    The bars must be valid (udfs/bar_checks.py); what is late or repeated is settled here.
    ConfigError where a file can't be written, or holds something else than such bars.
    """
    with open_store(out) as store:
        fates = store.add(symbol, bars, base_ms)
        files = store.finish()
    new, same, repeated, conflicting = np.bincount(fates, minlength=4).tolist()
    return Written(new, same + repeated, conflicting, files)


def last_ts(out: Path, symbol: str) -> int | None:
    """The open time of the symbol's newest bar in the folder; None where it has none."""
    months = month_files(out, symbol)
    return int(_stored(months[-1], symbol).ts[-1]) if months else None


def month_files(out: Path, symbol: str) -> list[Path]:
    """The symbol's files, in order of time."""
    pattern = re.compile(re.escape(safe_name(symbol)) + r"-\d{4}-\d{2}\.parquet")
    names = os.listdir(out) if out.is_dir() else []
    return [out / name for name in sorted(names) if pattern.fullmatch(name)]


def safe_name(symbol: str) -> str:
    """The symbol as part of a file's name: `BTC/USD` is `BTC%2FUSD`. No two symbols share one."""
    try:
        name = quote(symbol, safe=" +@=,")
    except UnicodeEncodeError:
        raise ConfigError(f"symbol {symbol!a} is not UTF-8 text") from None
    if not name or len(name) > LONGEST_NAME:
        raise ConfigError(f"symbol {symbol[:50]!r} has {len(name)} bytes; 1 to {LONGEST_NAME} fit")
    return name.replace(".", "%2E", 1) if name.startswith(".") else name


@contextmanager
def open_store(out: Path) -> Iterator["Store"]:
    """The folder for one write, alone; nothing has changed where the block ends by an exception."""
    made = [folder for folder in (out, *out.parents) if not folder.exists()]
    staging = out / f"{STAGING}{os.getpid()}{PARTIAL}"
    lock = None
    try:
        out.mkdir(parents=True, exist_ok=True)
        lock = os.open(out, os.O_RDONLY)
        if _alone(lock):
            for left in out.glob(f"{STAGING}*{PARTIAL}"):  # of writes that were killed
                shutil.rmtree(left, ignore_errors=True)
        staging.mkdir()
        yield Store(out, staging)
    except OSError as error:
        if out.is_file():
            raise ConfigError(f"--out: {out} is a file; name a folder") from None
        raise unwritable(Path(error.filename or out), error) from error
    finally:
        shutil.rmtree(staging, ignore_errors=True)
        if lock is not None:
            os.close(lock)
        with suppress(OSError):  # what is not empty stays
            for folder in made:
                folder.rmdir()


def _alone(lock: int) -> bool:
    """Wait for the folder; False on a file system that knows no locks of folders."""
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
    except OSError:
        return False
    return True


class Store:
    """One write under construction: `add` and `put` fill files beside, `finish` renames them."""

    def __init__(self, out: Path, staging: Path) -> None:
        self.out = out
        self.staging = staging
        self.filled: dict[str, Path] = {}  # place below `out` to the file that will be there
        self.obsolete: list[Path] = []
        self.length = _folder_length(out)

    def add(self, symbol: str, bars: Bars, base_ms: int = MINUTE_MS) -> Fates:
        """Merge valid bars of a symbol, in any order; what became of each row.

        Call it once for a symbol: it compares with the files in place. ConfigError where the
        folder has bars of another length.
        """
        if self.length is not None and self.length != base_ms:
            raise ConfigError(
                f"{self.out}: has bars of {length_text(self.length)}, the new ones are of "
                f"{length_text(base_ms)}; give another --out for each length of bars"
            )
        name = safe_name(symbol)
        if (np.diff(bars.ts) >= 0).all():
            order, ordered = np.arange(len(bars.ts)), bars
        else:
            order = np.argsort(bars.ts, kind="stable")
            ordered = Bars._make(column[order] for column in bars)
        months = ordered.ts.astype("datetime64[ms]").astype("datetime64[M]")
        cuts = np.flatnonzero(np.diff(months)) + 1
        fates = np.empty(len(order), dtype=np.int8)
        for start, stop in zip([0, *cuts], [*cuts, len(order)], strict=True):
            if start == stop:
                break  # no rows at all
            place = f"{name}-{months[start]}.parquet"
            part = Bars._make(column[start:stop] for column in ordered)
            fates[order[start:stop]] = self._merge(place, symbol, part, base_ms)
        self.length = base_ms
        return fates

    def _merge(self, place: str, symbol: str, bars: Bars, base_ms: int) -> Fates:
        path = self.out / place
        stored = _stored(path, symbol) if path.exists() else _none()
        fates = settle(stored, bars)
        new = fates == NEW
        if new.any():
            merged = _merged(stored, Bars._make(column[new] for column in bars))
            columns = [pa.array([symbol]).take(pa.array(np.zeros(len(merged.ts), np.int8)))]
            table = pa.table([*columns, *merged], schema=SCHEMA)
            self.put(place, table.replace_schema_metadata({TIMEFRAME: str(base_ms)}))
        return fates

    def put(self, place: str, table: pa.Table) -> None:
        """A table for a place below the folder, such as `rejects/a.parquet`."""
        path = self.staging / f"{len(self.filled)}.parquet"
        try:
            # With the schema of Arrow, as the table's own words go with it.
            pq.write_table(table, path, compression="zstd", use_dictionary=_texts(table.schema))
        except OSError as error:
            raise unwritable(self.out / place, error) from error
        self.filled[place] = path

    def remove(self, place: str) -> None:
        """What is at a place below the folder goes, if there is something."""
        self.obsolete.append(self.out / place)

    def finish(self) -> tuple[Path, ...]:
        """Everything to its place; the files that changed."""
        for place, path in self.filled.items():
            target = self.out / place
            target.parent.mkdir(exist_ok=True)
            path.replace(target)
        for target in self.obsolete:
            target.unlink(missing_ok=True)
        return tuple(self.out / place for place in self.filled)


def settle(stored: Bars, bars: Bars) -> Fates:
    """What becomes of rows (ascending ts, equal ones in order of arrival) beside stored ones."""
    ts = bars.ts
    if not len(ts):
        return np.empty(0, dtype=np.int8)
    is_first = np.diff(ts, prepend=ts[0] - 1) != 0
    group = np.cumsum(is_first) - 1
    first = np.flatnonzero(is_first)[group]
    at = np.minimum(np.searchsorted(stored.ts, ts), max(len(stored.ts) - 1, 0))
    known: Bools = stored.ts[at] == ts if len(stored.ts) else np.zeros(len(ts), dtype=np.bool_)
    equal = np.ones(len(ts), dtype=np.bool_)
    for there, given in zip(stored[1:], bars[1:], strict=True):
        reference = given[first]
        reference[known] = there[at[known]]
        equal &= given == reference
    fates = np.where(equal, DUPLICATE, CONFLICT).astype(np.int8)
    fates[is_first & ~known] = NEW
    same = np.flatnonzero(equal & known)
    fates[same[np.diff(group[same], prepend=-1) != 0]] = SAME  # the first that equals the stored
    return fates


def _texts(schema: pa.Schema) -> list[str]:
    return [field.name for field in schema if pa.types.is_string(field.type)]


def _merged(stored: Bars, new: Bars) -> Bars:
    joined = [np.concatenate(pair) for pair in zip(stored, new, strict=True)]
    order: Ints = np.argsort(joined[0], kind="stable")
    return Bars._make(column[order] for column in joined)


def _none() -> Bars:
    return Bars(np.empty(0, dtype=np.int64), *[np.empty(0)] * 5)


def _folder_length(out: Path) -> int | None:
    """The length of the bars in the folder, in ms, where a file of ours tells it."""
    for path in sorted(out.glob("*.parquet")):
        try:
            told = (pq.read_metadata(path).metadata or {}).get(TIMEFRAME)
        except (pa.ArrowException, OSError):
            continue
        if told is not None:
            return int(told)
    return None


def _stored(path: Path, symbol: str) -> Bars:
    """The bars of a file of ours; ConfigError where it holds anything else."""
    try:
        table = pq.ParquetFile(path).read()
    except (pa.ArrowException, OSError) as error:
        raise ConfigError(f"{path}: {_not_ours('it cannot be read: ' + str(error))}") from None
    if table.column_names != SCHEMA.names or table.schema.types[1:] != SCHEMA.types[1:]:
        raise ConfigError(f"{path}: {_not_ours('it has ' + ', '.join(table.column_names))}")
    bars = Bars._make(table[name].to_numpy() for name in Bars._fields)
    if table["symbol"].unique().to_pylist() != [symbol] or not (np.diff(bars.ts) > 0).all():
        raise ConfigError(f"{path}: {_not_ours(f'not {symbol} alone, ascending by ts')}")
    return bars


def _not_ours(reason: str) -> str:
    return f"is in the way: {reason}; move it away or give another --out"
