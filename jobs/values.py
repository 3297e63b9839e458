"""Columns as they were read, of whatever type, as doubles and whole numbers.

What is no number is marked, never raised: it is for the checks of the rows to reject. Text is a
number where it is plain decimal text of ASCII digits, an exponent allowed, spaces and tabs around
it ignored.
"""

import re
from decimal import Decimal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from udfs.bars import Bools, Floats, Ints
from udfs.money import finite_decimal

BLANKS = " \t"
NUMBER = re.compile(r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?")
MS_OF = {"s": (1000, 1), "ms": (1, 1), "us": (1, 1000), "ns": (1, 1_000_000)}
BIGINT_END = 2**63


def is_text(kind: pa.DataType) -> bool:
    """Whether a column holds text."""
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def is_number(kind: pa.DataType) -> bool:
    """Whether a column may hold numbers: of a numeric type, as text, or nothing at all."""
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    return bool(
        is_text(kind)
        or pa.types.is_integer(kind)
        or pa.types.is_floating(kind)
        or pa.types.is_decimal(kind)
        or pa.types.is_null(kind)
    )


def is_time(kind: pa.DataType) -> bool:
    """Whether a column may hold times: numbers, timestamps (without a zone: UTC) or dates."""
    return is_number(kind) or bool(pa.types.is_timestamp(kind) or pa.types.is_date(kind))


def doubles(column: pa.ChunkedArray) -> Floats:
    """A column as float64, each value the nearest double; what is no number is NaN."""
    column = _decoded(column)
    if pa.types.is_decimal(column.type):
        column = column.cast(pa.string())  # Arrow's own cast misses the nearest double at times
    if is_text(column.type):
        text = pc.utf8_trim(column, BLANKS)
        try:
            column = pc.cast(text, pa.float64())
        except pa.ArrowInvalid:
            return np.array([_double(value) for value in text.to_pylist()], dtype=np.float64)
    elif not pa.types.is_float64(column.type):
        column = pc.cast(column, pa.float64(), safe=False)
    return np.asarray(column.to_numpy(), dtype=np.float64)


def _double(text: str | None) -> float:
    return float(text) if text is not None and NUMBER.fullmatch(text) else float("nan")


def whole_numbers(column: pa.ChunkedArray) -> tuple[Ints, Bools]:
    """A column as int64, and where it held a whole number that fits. Times become epoch ms."""
    column = _decoded(column)
    kind = column.type
    if pa.types.is_date(kind):
        column = pc.cast(column, pa.timestamp("ms"))
        kind = column.type
    if pa.types.is_timestamp(kind):
        return _scaled(pc.cast(column, pa.int64()), *MS_OF[kind.unit])
    if pa.types.is_integer(kind) and kind != pa.uint64():
        return _scaled(pc.cast(column, pa.int64()), 1, 1)
    if pa.types.is_floating(kind):
        return _whole_doubles(doubles(column))
    if is_text(kind):
        column = pc.utf8_trim(column, BLANKS)
        plain = _plain_integers(column)
        if plain is not None:
            return _scaled(plain, 1, 1)
    numbers = [_whole_number(value) for value in column.to_pylist()]
    known = np.array([number is not None for number in numbers], dtype=np.bool_)
    return np.array([number or 0 for number in numbers], dtype=np.int64), known


def _plain_integers(text: pa.ChunkedArray) -> pa.ChunkedArray | None:
    """Text as int64 where every value is written as plain digits, else None."""
    if pc.any(pc.match_substring(text, "x", ignore_case=True)).as_py():
        return None  # Arrow would read 0x10 as 16
    try:
        return pc.cast(text, pa.int64())
    except pa.ArrowInvalid:
        return None


def _decoded(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """The column without a dictionary."""
    kind = column.type
    return column.cast(kind.value_type) if pa.types.is_dictionary(kind) else column


def _scaled(column: pa.ChunkedArray, factor: int, divisor: int) -> tuple[Ints, Bools]:
    """int64 times factor by divisor, and where that is a whole number that fits."""
    whole = np.asarray(pc.is_valid(column).to_numpy(), dtype=np.bool_)
    values = np.asarray(pc.fill_null(column, 0).to_numpy(), dtype=np.int64)
    if divisor > 1:
        whole &= values % divisor == 0
        values = values // divisor
    if factor > 1:
        whole &= np.abs(values) < BIGINT_END // factor
        values = np.where(whole, values, 0) * factor
    return values, whole


def _whole_doubles(values: Floats) -> tuple[Ints, Bools]:
    with np.errstate(invalid="ignore"):
        whole = (np.floor(values) == values) & (values >= -BIGINT_END) & (values < BIGINT_END)
    return np.where(whole, values, 0.0).astype(np.int64), whole


def _whole_number(value: object) -> int | None:
    """The whole number that a value shows (5, 5.0, '5.0', '5e3'), None where it shows none."""
    if isinstance(value, str) and not NUMBER.fullmatch(value):
        return None
    try:
        number = finite_decimal(value)
    except ValueError:
        return None
    if number.adjusted() > 18 or number != number.to_integral_value():
        return None
    whole = int(number)
    return whole if -BIGINT_END <= whole < BIGINT_END else None


def value_text(value: object) -> str | None:
    """A value of a rejected row as text: a float by its shortest repr, a decimal in full."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, Decimal):
        return format(value, "f")
    return repr(value) if isinstance(value, float) else str(value)
