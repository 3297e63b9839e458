"""Tables as inputs of a stage that runs alone: files found, and read as their contract says.

A stage names the columns that it uses of a table. Whatever a file holds else is left alone. What
it lacks, or holds wrongly, raises ConfigError with file, row (from 1), column, value and what
would be right. Files are Parquet or CSV with a header line.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from jobs import columns, sources
from jobs.csv_files import check_twice, is_csv, read_text_csv
from jobs.sources import InputFile, Place
from jobs.values import doubles, is_number, is_text, is_time, whole_numbers
from schemas.table import ARROW_TYPES, Column, Table, Type, file_columns
from udfs import wide
from udfs.bars import Bools
from udfs.errors import ConfigError, nearest
from udfs.frames import OHLCV
from udfs.ids import ID_LENGTH
from udfs.money import units

RIGHT = {
    Type.STRING: "text",
    Type.BIGINT: "a whole number",
    Type.INT: "a whole number",
    Type.DOUBLE: "a number",
    Type.BOOLEAN: "true or false",
    Type.DECIMAL: "a decimal number of at most 20 digits before the point and 18 behind it",
}
BOOLEANS = {"true": True, "false": False}


class Wanted(NamedTuple):
    """A table that a stage reads: the option that names its files, the columns that it uses."""

    option: str
    contract: Table
    columns: tuple[Column, ...]

    @property
    def names(self) -> list[str]:
        """The columns' names."""
        return [column.name for column in self.columns]


def wanted(
    option: str, contract: Table, names: Sequence[str], features: Sequence[str] = ()
) -> Wanted:
    """The columns `names` of a table, and those of `features` where it has one per feature.

    Features may be null, the columns of the bar may not.
    """
    chosen = {*names, *features}
    found = [
        replace(column, nullable=False) if column.name in OHLCV else column
        for column in file_columns(contract, features)
        if column.name in chosen
    ]
    return Wanted(option, contract, tuple(found))


def find_files(table: Wanted, paths: Sequence[str]) -> list[str]:
    """Files that the paths name: a file, a folder of Parquet files, or a pattern."""
    patterns = [
        str(Path(path) / "*.parquet") if Path(path).is_dir() else str(path) for path in paths
    ]
    return sources.list_files(patterns, table.option, table.contract.name)


def plan_places(files: Sequence[str], table: Wanted) -> tuple[list[Place], list[InputFile]]:
    """Every row group of the files (a CSV file is one), the files' columns checked."""
    places: list[Place] = []
    inputs: list[InputFile] = []
    for number, path in enumerate(files):
        whole = Place(str(Path(path).resolve()), number, -1, 0)
        if is_csv(path):
            found, rows = [whole], _read(whole, table).num_rows
        else:
            found, rows = _row_groups(whole, _open(path, table).metadata)
        places.extend(found)
        inputs.append(InputFile(path, rows, sources.file_sha256(path)))
    return places, inputs


def _row_groups(whole: Place, meta: pq.FileMetaData) -> tuple[list[Place], int]:
    """A place per row group, or the whole file where it has none; the number of rows."""
    places, first = [], 0
    for number in range(meta.num_row_groups):
        places.append(whole._replace(row_group=number, first_row=first))
        first += meta.row_group(number).num_rows
    return places or [whole], first


def _open(path: str, table: Wanted) -> pq.ParquetFile:
    try:
        file = pq.ParquetFile(path)
    except (pa.ArrowException, OSError) as error:
        raise ConfigError(f"{path}: not a Parquet file that can be read: {error}") from None
    _check_names(path, file.schema_arrow.names, table)
    return file


def _check_names(path: str, names: Sequence[str], table: Wanted) -> None:
    check_twice(path, names, table.names)
    for column in table.columns:
        if column.name not in names:
            raise ConfigError(
                f"{path}: column {column.name!r} is missing{nearest(column.name, names)}; it has "
                f"{', '.join(names)}; {table.option} takes {table.contract.name} with "
                f"{', '.join(table.names)}"
            )


def _read(place: Place, table: Wanted) -> pa.Table:
    """The place's rows as the file has them."""
    if is_csv(place.path):
        read = read_text_csv(place.path, table.names)
        _check_names(place.path, read.column_names, table)
        return read.select(table.names)
    file = _open(place.path, table)
    if place.row_group < 0:
        return file.schema_arrow.empty_table().select(table.names)
    return sources.read_group(file, place.path, place.row_group, table.names).select(table.names)


def read_place(place: Place, table: Wanted) -> pa.Table:
    """The place's rows, every column of the type that the contract gives it."""
    read = _read(place, table)
    arrays = [_typed(place, read[column.name], column) for column in table.columns]
    return pa.table(arrays, names=table.names)


def refuse(place: Place, column: pa.ChunkedArray, name: str, row: int, right: str) -> ConfigError:
    """The error of one value: file, row, column, value, and what would be right."""
    value = column[row].as_py()
    shown = "empty" if value is None or value == "" else repr(value)
    where = f"{place.path}: row {place.first_row + row + 1}"
    return ConfigError(f"{where}: column {name!r} is {shown}; expected {right}")


def check_values(place: Place, table: pa.Table, name: str, known: Sequence[str], what: str) -> None:
    """ConfigError unless every value of a text column is one of `known`."""
    column = table[name]
    for value in pc.unique(column).to_pylist():
        if value not in known:
            row = pc.index(column, value).as_py()
            raise refuse(place, column, name, row, what + nearest(str(value), known))


def check_ids(place: Place, table: pa.Table, name: str) -> None:
    """ConfigError unless every value of a column is an id: 32 hex digits."""
    fine = pc.match_substring_regex(table[name], f"^[0-9a-f]{{{ID_LENGTH}}}$")
    check_all(place, table, name, fine, f"an id of {ID_LENGTH} hex digits")


def check_all(place: Place, table: pa.Table, name: str, fine: pa.ChunkedArray, right: str) -> None:
    """ConfigError unless `fine` is true of every value of a column."""
    row = pc.index(fine, False).as_py()
    if row >= 0:
        raise refuse(place, table[name], name, row, right)


def first_rows(table: pa.Table, contract: Table) -> pa.Table:
    """The first row of every key, in the order in which they come: what a history table keeps."""
    numbered = table.select(list(contract.key)).append_column(
        "row", pa.array(np.arange(table.num_rows))
    )
    first = numbered.group_by(list(contract.key)).aggregate([("row", "min")])["row_min"]
    if len(first) == table.num_rows:
        return table
    return table.take(pa.array(np.sort(first.to_numpy())))


def _typed(place: Place, column: pa.ChunkedArray, wanted_column: Column) -> pa.ChunkedArray:
    """The column in the contract's type, its nulls allowed."""
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    name, kind, target = wanted_column.name, wanted_column.type, ARROW_TYPES[wanted_column.type]
    read, bad = _convert(column, kind)
    if not wanted_column.nullable:
        bad = bad | _mask(pc.is_null(read))
    if bad.any():
        doc = f"{RIGHT[kind]}: {wanted_column.doc}"
        raise refuse(place, column, name, int(np.flatnonzero(bad)[0]), doc.rstrip("."))
    return read.cast(target)


def _convert(column: pa.ChunkedArray, kind: Type) -> tuple[Any, Bools]:
    """(the column, null where it holds nothing; bool[n] where it holds something wrong)."""
    empty = pc.is_null(column)
    if is_text(column.type):
        empty = pc.or_(empty, pc.fill_null(pc.equal(pc.utf8_trim_whitespace(column), ""), True))
    empty = _mask(empty)
    if kind is Type.STRING and is_text(column.type):
        return column.cast(pa.string()), np.zeros(len(column), dtype=np.bool_)
    if kind in (Type.BIGINT, Type.INT) and is_time(column.type):
        numbers, whole = whole_numbers(column)
        return pa.array(numbers, mask=~whole), ~whole & ~empty
    if kind is Type.DOUBLE and is_number(column.type):
        values = doubles(column)
        missing = np.isnan(values)  # some writers' NaN is another's null
        return pa.array(values, mask=missing), missing & ~empty & is_text(column.type)
    if kind is Type.DECIMAL:
        amounts = [_units(value) for value in column.to_pylist()]
        known = np.array([amount is not None for amount in amounts], dtype=np.bool_)
        pairs = wide.from_ints([amount or 0 for amount in amounts])
        return columns.decimals(pairs, known), ~known & ~empty
    if kind is Type.BOOLEAN:
        shown = [BOOLEANS.get(str(value).strip().lower()) for value in column.to_pylist()]
        read = pa.array(shown, pa.bool_())
        return read, _mask(pc.is_null(read)) & ~empty
    return pa.nulls(len(column), ARROW_TYPES[kind]), ~empty


def _mask(column: Any) -> Bools:
    """A column of booleans as an array, False for null."""
    return np.array(pc.fill_null(column, False).to_numpy(zero_copy_only=False), dtype=np.bool_)


def _units(value: object) -> int | None:
    try:
        return units(value)
    except ValueError:
        return None


def rows_of(table: pa.Table, name: str, value: str) -> pa.Table:
    """The rows in which a text column has this value."""
    return table.filter(pc.equal(table[name], value))
