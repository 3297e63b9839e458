"""Bounded sources: files of bars, split into tasks per symbol, read piece by piece.

A task lists every place that holds rows of its symbol, in order of (file path, row), so its rows
arrive in the order that the rules ask for at any parallelism. Rows of symbols that the
configuration lacks make one task of their own, which only counts them.
"""

import glob
import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet as pq

from udfs.bars import Bars, Bools, Floats, Ints
from udfs.errors import ConfigError, nearest

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
        matches = [path for path in glob.glob(pattern, recursive=True) if Path(path).is_file()]
        if not matches:
            raise ConfigError(
                f"{option}: no file matches {pattern!r} (current directory: {Path.cwd()}); "
                f"write a path or a pattern of Parquet or CSV files of {expected}"
            )
        found.update(matches)
    return sorted(found, key=lambda path: path.encode())


def plan_tasks(files: Sequence[str], symbols: Sequence[str]) -> tuple[list[Task], list[InputFile]]:
    """One task per configured symbol that has rows, and one for all others."""
    places: dict[str, list[Place]] = {}
    inputs: list[InputFile] = []
    known = set(symbols)
    for number, path in enumerate(files):
        rows = 0
        for place, names, count in _groups(path, number):
            rows += count
            for name in {name if name in known else UNKNOWN for name in names}:
                places.setdefault(name, []).append(place)
        inputs.append(InputFile(path, rows, file_sha256(path)))
    if not sum(file.rows for file in inputs):
        raise ConfigError(f"prices.files: no rows in {', '.join(files[:5])}; expected bars")
    tasks = [Task(name, tuple(found)) for name, found in sorted(places.items())]
    return tasks, inputs


def absolute(task: Task) -> Task:
    """The task with paths that hold in every process."""
    places = [place._replace(path=str(Path(place.path).resolve())) for place in task.places]
    return Task(task.symbol, tuple(places))


def memory_tasks(tables: Sequence[pa.Table], symbols: Sequence[str]) -> list[Task]:
    """As `plan_tasks`, for tables in memory, in order of arrival."""
    places: dict[str, list[Place]] = {}
    for number, table in enumerate(tables):
        _check_columns(f"prices[{number}]", table.column_names)
        for name in pc.unique(table["symbol"]).to_pylist():
            place = Place("", number, -1, 0, table.select(list(COLUMNS)))
            found = places.setdefault(name if name in symbols else UNKNOWN, [])
            if place.file not in [other.file for other in found]:
                found.append(place)
    return [Task(name, tuple(found)) for name, found in sorted(places.items())]


def file_sha256(path: str) -> str:
    """SHA-256 of a file's bytes."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def is_csv(path: str) -> bool:
    """Whether a file is read as CSV (by its name)."""
    return path.lower().endswith((".csv", ".csv.gz", ".txt"))


def _groups(path: str, number: int) -> Iterator[tuple[Place, set[str], int]]:
    """Every row group of a file with the symbols in it and its number of rows."""
    if is_csv(path):
        table = read_csv(path)
        names = set(pc.unique(table["symbol"]).to_pylist())
        yield Place(path, number, -1, 0), names, table.num_rows
        return
    file = open_parquet(path)
    column = file.schema_arrow.get_field_index("symbol")
    first = 0
    for group in range(file.num_row_groups):
        meta = file.metadata.row_group(group)
        statistics = meta.column(column).statistics
        if statistics and statistics.has_min_max and statistics.min == statistics.max:
            names = {statistics.min}
            if statistics.null_count != 0:
                names.add(UNKNOWN)
        else:
            read = file.read_row_group(group, columns=["symbol"])["symbol"]
            names = {str(name) for name in pc.unique(read).to_pylist()}
        yield Place(path, number, group, first), names, meta.num_rows
        first += meta.num_rows


def open_parquet(path: str) -> pq.ParquetFile:
    """The file, once its columns are known to be right."""
    try:
        file = pq.ParquetFile(path, read_dictionary=["symbol"])
    except (pa.ArrowException, OSError) as error:
        raise ConfigError(f"{path}: not a Parquet file that can be read: {error}") from None
    _check_columns(path, file.schema_arrow.names)
    return file


def _check_columns(path: str, names: Sequence[str]) -> None:
    missing = [name for name in COLUMNS if name not in names]
    if missing:
        hint = nearest(missing[0], names)
        raise ConfigError(
            f"{path}: column {missing[0]!r} is missing{hint}; it has {', '.join(names)}; "
            f"expected {', '.join(COLUMNS)}"
        )


def read_csv(path: str) -> pa.Table:
    """A CSV file of bars with every column as text."""
    table = read_text_csv(path, COLUMNS)
    _check_columns(path, table.column_names)
    return table.select(list(COLUMNS))


def read_text_csv(path: str, names: Sequence[str]) -> pa.Table:
    """A CSV file with a header line, these columns as text."""
    options = pyarrow.csv.ConvertOptions(
        column_types={name: pa.string() for name in names}, strings_can_be_null=False
    )
    try:
        return pyarrow.csv.read_csv(path, convert_options=options)
    except (pa.ArrowException, OSError) as error:
        raise ConfigError(
            f"{path}: not a CSV file that can be read: {error}; expected a header line with "
            + ", ".join(names)
        ) from None


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
            table = opened[1].read_row_group(place.row_group, columns=list(COLUMNS))
        rows = np.arange(place.first_row, place.first_row + table.num_rows, dtype=np.int64)
        mask = _rows_of(table["symbol"], task.symbol, known)
        if mask is not None:
            table, rows = table.filter(pa.array(mask)), rows[mask]
        for start in range(0, table.num_rows, piece_rows):
            piece = table.slice(start, piece_rows)
            yield raw_bars(piece, place.file, rows[start : start + piece_rows])


def _rows_of(column: pa.ChunkedArray, symbol: str, known: Sequence[str]) -> Bools | None:
    """Which rows are of the symbol; None for all of them."""
    names = column.cast(pa.string()) if not pa.types.is_dictionary(column.type) else column
    if symbol == UNKNOWN:
        inside = pc.is_in(names, value_set=pa.array(list(known), pa.string()))
        return ~np.asarray(pc.fill_null(inside, False).to_numpy(), dtype=np.bool_)
    if pa.types.is_dictionary(names.type):
        distinct = {value for chunk in names.chunks for value in chunk.dictionary.to_pylist()}
        if distinct == {symbol} and names.null_count == 0:
            return None
        names = names.cast(pa.string())
    mask = pc.fill_null(pc.equal(names, symbol), False)
    return np.asarray(mask.to_numpy(), dtype=np.bool_)


def raw_bars(table: pa.Table, file: int, rows: Ints) -> RawBars:
    """A table's columns as bars, whatever their types."""
    ts, whole = whole_numbers(table["ts"])
    columns = [doubles(table[name]) for name in PRICES]
    return RawBars(Bars(ts, *columns), whole, file, rows, table)


def doubles(column: pa.ChunkedArray) -> Floats:
    """A column as float64; what is no number is NaN."""
    kind = column.type
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        text = pc.utf8_trim_whitespace(column)
        try:
            column = pc.cast(text, pa.float64())
        except pa.ArrowInvalid:
            return np.array([_double(value) for value in text.to_pylist()], dtype=np.float64)
    elif not pa.types.is_float64(kind):
        column = pc.cast(column, pa.float64(), safe=False)
    return np.asarray(column.to_numpy(), dtype=np.float64)


def _double(text: str | None) -> float:
    """A text as the nearest double, NaN where it is no number."""
    if text is None or "_" in text:
        return float("nan")
    try:
        return float(text)
    except ValueError:
        return float("nan")


def whole_numbers(column: pa.ChunkedArray) -> tuple[Ints, Bools]:
    """A column as int64, and where it held a whole number that fits."""
    kind = column.type
    if pa.types.is_timestamp(kind):
        column = pc.cast(pc.cast(column, pa.timestamp("ms", kind.tz)), pa.int64())
        kind = column.type
    if pa.types.is_integer(kind) and kind != pa.uint64():
        whole = np.asarray(pc.is_valid(column).to_numpy(), dtype=np.bool_)
        values = pc.fill_null(pc.cast(column, pa.int64()), 0).to_numpy()
        return np.asarray(values, dtype=np.int64), whole
    ts = np.zeros(len(column), dtype=np.int64)
    whole = np.zeros(len(column), dtype=np.bool_)
    for i, value in enumerate(column.to_pylist()):
        number = _whole_number(value)
        if number is not None and abs(number) < 2**63:
            ts[i], whole[i] = number, True
    return ts, whole


def _whole_number(value: object) -> int | None:
    """A value's whole number, None where it is none: 5, 5.0, '5', '5.0'."""
    if value is None or isinstance(value, bool):
        return None
    try:
        return int(str(value).strip()) if "_" not in str(value) else None
    except ValueError:
        number = _double(str(value))
        return int(number) if number == number and number.is_integer() else None


def value_text(value: object) -> str | None:
    """A value of a rejected row as text: a float by its shortest repr, nothing as None."""
    if value is None:
        return None
    return repr(value) if isinstance(value, float) else str(value)
