"""Bounded sources: files of bars, split into tasks per symbol, read piece by piece.

A task lists every place that holds rows of its symbol, in order of (file path, row), so its rows
arrive in the order that the rules ask for at any parallelism. Rows of symbols that the
configuration lacks make one task of their own, which only counts them.
"""

import glob
import hashlib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from jobs.csv_files import check_twice, is_csv, read_text_csv
from jobs.values import doubles, is_number, is_text, is_time, value_text, whole_numbers
from udfs.bars import Bars, Bools, Ints
from udfs.errors import ConfigError, nearest

__all__ = [  # with what other stages need to read files
    "doubles",
    "is_csv",
    "read_text_csv",
    "value_text",
    "whole_numbers",
]

COLUMNS = ("symbol", "ts", "open", "high", "low", "close", "volume")
PRICES = COLUMNS[2:]
SHOWN = ", ".join(COLUMNS)
PIECE_ROWS = 32_768  # 45 float columns of this length fit a core's second-level cache
UNKNOWN = ""


class Place(NamedTuple):
    """A row group of a Parquet file, or a whole CSV file (row_group -1). `file` is its number.

    A table in memory (a notebook's) has no path.
    """

    path: str
    file: int
    row_group: int
    first_row: int
    table: pa.Table | None = None


class Task(NamedTuple):
    """All places that hold rows of one symbol; symbol UNKNOWN: of symbols that are not known."""

    symbol: str
    places: tuple[Place, ...]


class RawBars(NamedTuple):
    """Rows of one symbol as read: `whole_ts` False where ts is no whole number (ts is then 0).

    `rows` int64[n] their numbers in `file`, `table` the columns as read.
    """

    bars: Bars
    whole_ts: Bools
    file: int
    rows: Ints
    table: pa.Table


class InputFile(NamedTuple):
    """A file of the run, its rows, and the SHA-256 of its bytes."""

    path: str
    rows: int
    sha256: str


def list_files(
    patterns: Sequence[str], option: str = "prices.files", expected: str = "bars: " + SHOWN
) -> list[str]:
    """All files that the patterns name, ascending by path, each once.

    `option` says in an error who asked for them, `expected` what they should hold.
    """
    found: set[str] = set()
    for pattern in patterns:
        named = [pattern] if Path(pattern).is_file() else glob.glob(pattern, recursive=True)
        matches = [path for path in named if Path(path).is_file()]
        if not matches:
            raise ConfigError(f"{option}: {_no_match(pattern, named)} of {expected}")
        found.update(matches)
    for path in found:
        if any("\ud800" <= letter <= "\udfff" for letter in path):  # bytes that are no letters
            raise ConfigError(f"{option}: the name of {path!a} is not UTF-8; rename the file")
    return sorted(found, key=lambda path: path.encode())


def _no_match(pattern: str, named: Sequence[str]) -> str:
    """Why a pattern names no file, and what would be right."""
    if named:
        inside = Path(named[0]) / "*.parquet"
        return f"{named[0]!r} is a folder; write a pattern such as '{inside}' for its files"
    return (
        f"no file matches {pattern!r} (current directory: {Path.cwd()}); write a path or a "
        "pattern of Parquet or CSV files"
    )


def plan_tasks(files: Sequence[str], symbols: Sequence[str]) -> tuple[list[Task], list[InputFile]]:
    """One task per configured symbol that has rows, and one for all others."""
    places = _Places(symbols)
    inputs: list[InputFile] = []
    for number, path in enumerate(files):
        rows = 0
        for place, names, count in _groups(path, number):
            rows += count
            places.add(place, names)
        inputs.append(InputFile(path, rows, file_sha256(path)))
    shown = ", ".join(files[:5]) + (", ..." if len(files) > 5 else "")
    return places.tasks(f"prices.files ({shown})", sum(file.rows for file in inputs)), inputs


class _Places:
    """Where the rows of each symbol are; those of symbols that are not known together."""

    def __init__(self, symbols: Sequence[str]) -> None:
        self.known = frozenset(symbols)
        self.found: dict[str, list[Place]] = {}
        self.others: set[str] = set()

    def add(self, place: Place, names: Iterable[str | None]) -> None:
        """Take in a place that holds rows of these symbols."""
        given = set(names)
        self.others.update(name for name in given - self.known if name)
        for name in {name if name in self.known else UNKNOWN for name in given}:
            self.found.setdefault(name or UNKNOWN, []).append(place)

    def tasks(self, source: str, rows: int) -> list[Task]:
        """All of them; ConfigError where no row is of a known symbol, as nothing could be run."""
        if not rows:
            raise ConfigError(f"{source}: no rows; expected bars: {SHOWN}")
        if not self.known & set(self.found):
            first, *_ = sorted(self.known)
            names = sorted(self.others)
            more = ", ..." if len(names) > 10 else ""
            raise ConfigError(
                f"{source}: none of the {rows} rows is of a symbol of the configuration "
                f"({', '.join(sorted(self.known)[:10])}){nearest(first, names)}; the symbols in "
                f"there are {', '.join(map(repr, names[:10])) or 'empty'}{more}"
            )
        return [Task(name, tuple(places)) for name, places in sorted(self.found.items())]


def absolute(task: Task) -> Task:
    """The task with paths that hold in every process."""
    places = [place._replace(path=str(Path(place.path).resolve())) for place in task.places]
    return Task(task.symbol, tuple(places))


def memory_tasks(tables: Sequence[pa.Table], symbols: Sequence[str]) -> list[Task]:
    """As `plan_tasks`, for tables in memory, in order of arrival."""
    places = _Places(symbols)
    for number, table in enumerate(tables):
        _check_columns(f"prices[{number}]", table.schema)
        place = Place("", number, -1, 0, table.select(list(COLUMNS)))
        places.add(place, _distinct(table["symbol"]))
    return places.tasks("prices", sum(table.num_rows for table in tables))


def _distinct(column: pa.ChunkedArray) -> list[str | None]:
    """The different values of a column of symbols."""
    found: list[str | None] = pc.unique(column).to_pylist()
    return found


def file_sha256(path: str) -> str:
    """SHA-256 of a file's bytes."""
    try:
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from None


def _groups(path: str, number: int) -> Iterator[tuple[Place, Iterable[str | None], int]]:
    """Every row group of a file with the symbols in it and its number of rows."""
    if is_csv(path):
        table = read_csv(path)
        yield Place(path, number, -1, 0), _distinct(table["symbol"]), table.num_rows
        return
    file = open_parquet(path)
    first = 0
    for group in range(file.num_row_groups):
        meta = file.metadata.row_group(group)
        names = _from_statistics(meta)
        if names is None:
            names = _distinct(read_group(file, path, group, ["symbol"])["symbol"])
        yield Place(path, number, group, first), names, meta.num_rows
        first += meta.num_rows


def _from_statistics(meta: pq.RowGroupMetaData) -> list[str | None] | None:
    """The symbols of a row group where its statistics tell; None where they don't."""
    columns = [meta.column(number) for number in range(meta.num_columns)]
    statistics = next(c.statistics for c in columns if c.path_in_schema == "symbol")
    if not statistics or not statistics.has_min_max or statistics.min != statistics.max:
        return None
    return [statistics.min] if statistics.null_count == 0 else [statistics.min, None]


def open_parquet(path: str) -> pq.ParquetFile:
    """The file, once its columns are known to be right."""
    try:
        file = pq.ParquetFile(path, read_dictionary=["symbol"])
    except (pa.ArrowException, OSError) as error:
        raise ConfigError(
            f"{path}: not a Parquet file that can be read: {error} (a file is read as CSV where "
            "its name ends in .csv, .csv.gz or .txt)"
        ) from None
    _check_columns(path, file.schema_arrow)
    return file


def read_group(file: pq.ParquetFile, path: str, group: int, names: Sequence[str]) -> pa.Table:
    """Columns of a row group."""
    try:
        return file.read_row_group(group, columns=list(names))
    except (pa.ArrowException, OSError) as error:
        raise ConfigError(
            f"{path}: row group {group + 1} of {file.num_row_groups} can't be read, the file is "
            f"damaged: {error}"
        ) from None


def _check_columns(path: str, schema: pa.Schema) -> None:
    """ConfigError unless all columns are there, once, and of types that can hold bars."""
    names = schema.names
    check_twice(path, names, COLUMNS)
    for name in COLUMNS:
        if name not in names:
            raise ConfigError(
                f"{path}: column {name!r} is missing{nearest(name, names)}; it has "
                f"{', '.join(names)}; expected {SHOWN}"
            )
        kind = schema.field(name).type
        fits, expected = is_number(kind), "numbers"
        if name == "symbol":
            plain = kind.value_type if pa.types.is_dictionary(kind) else kind
            fits, expected = is_text(plain) or pa.types.is_null(plain), "text"
        elif name == "ts":
            fits, expected = is_time(kind), "whole numbers: milliseconds since 1970, UTC"
        if not fits:
            raise ConfigError(f"{path}: column {name!r} holds {kind}; expected {expected}")


def read_csv(path: str) -> pa.Table:
    """A CSV file of bars with every column as text."""
    table = read_text_csv(path, COLUMNS)
    _check_columns(path, table.schema)
    return table.select(list(COLUMNS))


def read_task(task: Task, known: Sequence[str], piece_rows: int = PIECE_ROWS) -> Iterator[RawBars]:
    """The task's rows in order, in pieces of at most `piece_rows`."""
    opened: tuple[str, Any] = ("", None)
    for place in task.places:
        if place.table is not None:
            table = place.table
        elif place.row_group < 0:
            table = read_csv(place.path)
        else:
            if opened[0] != place.path:
                opened = (place.path, open_parquet(place.path))
            table = read_group(opened[1], place.path, place.row_group, COLUMNS)
        rows = np.arange(place.first_row, place.first_row + table.num_rows, dtype=np.int64)
        mask = _rows_of(table["symbol"], task.symbol, known)
        if mask is not None:
            table, rows = table.filter(pa.array(mask)), rows[mask]
        for start in range(0, table.num_rows, piece_rows):
            piece = table.slice(start, piece_rows)
            yield raw_bars(piece, place.file, rows[start : start + piece_rows])


def _rows_of(column: pa.ChunkedArray, symbol: str, known: Sequence[str]) -> Bools | None:
    """Which rows are of the symbol; None for all of them."""
    if symbol != UNKNOWN and pa.types.is_dictionary(column.type):
        distinct = {value for chunk in column.chunks for value in chunk.dictionary.to_pylist()}
        if distinct == {symbol} and column.null_count == 0:
            return None
    names = column.cast(pa.string())
    if symbol == UNKNOWN:
        inside = pc.is_in(names, value_set=pa.array(list(known), pa.string()))
        return ~np.asarray(pc.fill_null(inside, False).to_numpy(), dtype=np.bool_)
    mask = pc.fill_null(pc.equal(names, symbol), False)
    return np.asarray(mask.to_numpy(), dtype=np.bool_)


def raw_bars(table: pa.Table, file: int, rows: Ints) -> RawBars:
    """A table's columns as bars, whatever their types."""
    ts, whole = whole_numbers(table["ts"])
    if not whole.all() and pa.types.is_timestamp(table["ts"].type):
        # As text, else a rejected row's nanoseconds could not be shown.
        table = table.set_column(1, "ts", table["ts"].cast(pa.string()))
    columns = [doubles(table[name]) for name in PRICES]
    return RawBars(Bars(ts, *columns), whole, file, rows, table)
