"""Columns of the fold as Arrow arrays, without a Python object per row."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from schemas.table import Table, arrow_schema
from udfs.bulk_ids import ID_LENGTH
from udfs.money import MAX_UNITS, to_decimal

DECIMAL = pa.decimal128(38, 18)
HIGH_LIMIT = MAX_UNITS >> 64  # of the high half


def decimals(pairs: np.ndarray, known: np.ndarray | None = None) -> pa.Array:
    """int64[n, 2] (low bits, high; units of 10^-18) as DECIMAL(38,18); null where not `known`.

    OverflowError where an amount does not fit.
    """
    data = np.ascontiguousarray(pairs, dtype=np.int64)
    if len(data) and not -HIGH_LIMIT < data[:, 1].min() <= data[:, 1].max() < HIGH_LIMIT:
        raise OverflowError("an amount does not fit DECIMAL(38,18)")
    validity = None if known is None else _bits(known)
    return pa.Array.from_buffers(DECIMAL, len(data), [validity, pa.py_buffer(data)])


def ids(rows: np.ndarray, known: np.ndarray | None = None, suffix: str = "") -> pa.Array:
    """uint8[n, 32] as text, with the same suffix on each; null where not `known`."""
    tail = np.frombuffer(suffix.encode(), dtype=np.uint8)
    width = ID_LENGTH + len(tail)
    data = np.empty((len(rows), width), dtype=np.uint8)
    data[:, :ID_LENGTH] = rows
    data[:, ID_LENGTH:] = tail
    offsets = np.arange(0, width * (len(rows) + 1), width, dtype=np.int64)
    validity = None if known is None else _bits(known)
    buffers = [validity, pa.py_buffer(offsets), pa.py_buffer(data)]
    return pa.Array.from_buffers(pa.large_string(), len(rows), buffers).cast(pa.string())


def id_rows(texts: Sequence[str]) -> np.ndarray:
    """Ids of 32 characters as uint8[n, 32]: the inverse of `ids`."""
    return np.frombuffer("".join(texts).encode(), dtype=np.uint8).reshape(-1, ID_LENGTH)


def texts(codes: np.ndarray, values: Sequence[str]) -> pa.Array:
    """Indices into a few texts, as a dictionary column."""
    return pa.DictionaryArray.from_arrays(
        pa.array(np.asarray(codes, dtype=np.int32)), pa.array(list(values), pa.string())
    )


def constant(text: str | None, rows: int) -> pa.Array:
    """The same text in every row, as a dictionary column."""
    if text is None:
        return pa.nulls(rows, pa.string())
    return texts(np.zeros(rows, dtype=np.int32), [text])


def counts(values: np.ndarray) -> pa.Array:
    """int32[n], null where negative."""
    return pa.array(values, pa.int32(), mask=values < 0)


def _bits(known: np.ndarray) -> pa.Buffer:
    """A validity bitmap."""
    return pa.py_buffer(np.packbits(known, bitorder="little"))


def table(contract: Table, columns: dict[str, Any], features: Sequence[str] | None = None) -> Any:
    """Columns in the contract's order; dictionary columns stay (a file shows plain text)."""
    schema = arrow_schema(contract, features)
    arrays = []
    for field in schema:
        column = columns[field.name]
        if not isinstance(column, pa.Array | pa.ChunkedArray):
            column = pa.array(column, field.type)
        arrays.append(column)
    return pa.table(arrays, names=schema.names)


def plain(given: pa.Table) -> pa.Table:
    """The table with every dictionary column as plain text."""
    arrays = [
        column.cast(pa.string()) if pa.types.is_dictionary(column.type) else column
        for column in given.columns
    ]
    return pa.table(arrays, names=given.column_names)


def rows_table(contract: Table, rows: Sequence[dict[str, Any]]) -> pa.Table:
    """Rows as dicts in the contract's columns; amounts as decimals, or in units of 10^-18."""
    schema = arrow_schema(contract)
    arrays = []
    for field in schema:
        values = [row.get(field.name) for row in rows]
        are_units = field.type == DECIMAL and all(type(value) is int for value in values)
        arrays.append(_units(values) if are_units else pa.array(values, field.type))
    return pa.table(arrays, names=schema.names)  # as `table` makes them: all nullable


def _units(values: Sequence[Any]) -> pa.Array:
    """Amounts that fit as DECIMAL(38,18), a fifth of the time of Decimals."""
    data = b"".join([value.to_bytes(16, "little", signed=True) for value in values])
    return pa.Array.from_buffers(DECIMAL, len(values), [None, pa.py_buffer(data)])


def amount(units: int) -> Any:
    """Units of 10^-18 as the Decimal of a row."""
    return to_decimal(units)
