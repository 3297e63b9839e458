"""Columns of any type as exact amounts, times and names; what is wrong is told with its row.

An amount column is int64[n, k]: 32 bits of each decimal per place, the highest signed, so that sums
of up to 2^31 rows are plain integer sums and lose nothing. Rows are numbered from 1.
"""

from collections.abc import Mapping
from decimal import ROUND_HALF_EVEN, Context, Decimal
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from jobs.values import BLANKS, is_text, value_text, whole_numbers
from udfs.bars import Bools, Floats, Ints
from udfs.errors import ConfigError
from udfs.money import finite_decimal

# What the project writes fits the first; floats of other tools may need the second.
NARROW, WIDE = pa.decimal128(38, 18), pa.decimal256(76, 38)
SHIFTS = 32
WIDE_CONTEXT = Context(prec=200, rounding=ROUND_HALF_EVEN)
FIRST_MS, LAST_MS = -(2**31) * 1000, 253_402_300_800_000  # 1901 .. 9999


class Names(NamedTuple):
    """A text column as int64[n] codes into few values."""

    codes: Ints
    values: list[str]


def amounts(columns: Mapping[str, pa.ChunkedArray], label: str) -> tuple[dict[str, Ints], int]:
    """The columns as exact amounts, and the number of decimals that all of them are in.

    ConfigError for the first value that is no number. Beyond 38 decimals they round half-even.
    """
    texts = {name: _numeric(column, f"{label}: {name}") for name, column in columns.items()}
    try:
        found = {name: _cast(column, NARROW) for name, column in texts.items()}
    except pa.ArrowInvalid:
        found = {name: _wide(column, f"{label}: {name}") for name, column in texts.items()}
    scale = NARROW.scale if all(c.type == NARROW for c in found.values()) else WIDE.scale
    return {name: _limbs(column) for name, column in found.items()}, scale


def filled(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """The column with 0 where it has no value."""
    if pa.types.is_null(column.type):
        return pa.chunked_array([pa.array([0] * len(column), pa.int64())])
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    zero = pa.scalar("0") if is_text(column.type) else pa.scalar(0)
    return pc.fill_null(column, zero.cast(column.type))


def _numeric(column: pa.ChunkedArray, where: str) -> pa.ChunkedArray:
    """Decimals and integers as they are, floats as their shortest text, text trimmed."""
    kind = column.type
    if pa.types.is_dictionary(kind):
        column = column.cast(kind.value_type)
        kind = column.type
    if pa.types.is_null(kind) and len(column):
        raise ConfigError(f"{where}: row 1 has no value; expected a number")
    if column.null_count:
        row = int(np.argmax(column.is_null().to_numpy()))
        raise ConfigError(f"{where}: row {row + 1} has no value; expected a number")
    if pa.types.is_floating(kind):
        wrong = ~np.isfinite(column.to_numpy())
        if wrong.any():
            row = int(np.argmax(wrong))
            raise _no_number(where, row, column[row].as_py())
        return column.cast(pa.string())
    if is_text(kind):
        return pc.utf8_trim(column, BLANKS)
    if pa.types.is_decimal(kind) or pa.types.is_integer(kind) or pa.types.is_null(kind):
        return column
    raise ConfigError(f"{where} holds {kind}; expected numbers")


def _cast(column: pa.ChunkedArray, kind: pa.DataType) -> pa.ChunkedArray:
    """The column as decimals. ArrowInvalid where a value does not fit.

    Arrow's own cast wraps around at 2^128 and 2^256 and says nothing, so sizes are looked at first.
    """
    highest = pc.max(pc.abs(pc.cast(column, pa.float64(), safe=False))).as_py() or 0.0
    if highest >= 0.99 * 10.0 ** (kind.precision - kind.scale):
        raise pa.ArrowInvalid(f"{highest} does not fit {kind}")
    return pc.cast(column, kind)


def _wide(column: pa.ChunkedArray, where: str) -> pa.ChunkedArray:
    try:
        return _cast(column, WIDE)
    except pa.ArrowInvalid:
        values = [_rounded(value, where, row) for row, value in enumerate(column.to_pylist())]
        return pa.chunked_array([pa.array(values, WIDE)])


def _rounded(value: Any, where: str, row: int) -> Decimal:
    try:
        number = finite_decimal(value)
    except ValueError:
        raise _no_number(where, row, value) from None
    if number.adjusted() >= WIDE.precision - WIDE.scale:
        raise ConfigError(f"{where}: row {row + 1} holds {value}, which is too large")
    return number.quantize(Decimal(1).scaleb(-WIDE.scale), context=WIDE_CONTEXT)


def _no_number(where: str, row: int, value: Any) -> ConfigError:
    return ConfigError(f"{where}: row {row + 1} holds {value!r}, which is no finite number")


def _limbs(column: pa.ChunkedArray) -> Ints:
    """int64[n, 4] or int64[n, 8], lowest 32 bits first, from Arrow's own little-endian bytes."""
    array = column.combine_chunks()
    places = array.type.byte_width * 8 // SHIFTS
    if not len(array):
        return np.zeros((0, places), dtype=np.int64)
    words = np.frombuffer(array.buffers()[1], dtype="<u4")
    rows = words[array.offset * places : (array.offset + len(array)) * places].reshape(-1, places)
    limbs = rows.astype(np.int64)
    limbs[:, -1] = rows[:, -1].astype(np.uint32).view(np.int32)
    return limbs


def group_sums(limbs: Ints, groups: Ints, count: int) -> list[int]:
    """The exact sum of each of `count` groups, as whole numbers of the last decimal."""
    order = np.argsort(groups, kind="stable")
    sums = np.zeros((count, limbs.shape[1]), dtype=np.int64)
    if len(order):
        ordered = groups[order]
        starts = np.flatnonzero(np.concatenate(([True], ordered[1:] != ordered[:-1])))
        sums[ordered[starts]] = np.add.reduceat(limbs[order], starts, axis=0)
    return whole(sums)


def whole(limbs: Ints) -> list[int]:
    """Each row as a plain integer."""
    return [sum(v << (SHIFTS * i) for i, v in enumerate(row)) for row in limbs.tolist()]


def total(limbs: Ints, scale: int) -> Decimal:
    """The exact sum of all rows."""
    return exact(whole(limbs.sum(axis=0)[None])[0], scale)


def exact(amount: int, scale: int) -> Decimal:
    """An amount as a Decimal without zeros behind its last digit: 1500 at scale 3 is 1.5."""
    digits, dropped = str(abs(amount)), 0
    while dropped < scale and len(digits) > 1 and digits[-1] == "0":
        digits, dropped = digits[:-1], dropped + 1
    number = Decimal(digits).scaleb(dropped - scale, WIDE_CONTEXT) if amount else Decimal(0)
    return number.copy_negate() if amount < 0 else number


def nearest_float(amount: int, scale: int) -> float:
    """The double nearest to an amount."""
    return amount / 10**scale


def floats(limbs: Ints, scale: int) -> Floats:
    """Every row as a double, right to some units of its last bit."""
    rows = carried(limbs)
    negative = rows[:, -1] < 0
    magnitude = carried(np.where(negative[:, None], -rows, rows))
    total = np.zeros(len(limbs))
    for place in range(magnitude.shape[1] - 1, -1, -1):
        total = total * 2.0**SHIFTS + magnitude[:, place]
    return np.where(negative, -total, total) / 10.0**scale


def carried(limbs: Ints) -> Ints:
    """The same numbers with 32 bits in each place, so that the highest one shows the sign."""
    rows = limbs.copy()
    for place in range(rows.shape[1] - 1):
        carry = rows[:, place] >> SHIFTS
        rows[:, place] -= carry << SHIFTS
        rows[:, place + 1] += carry
    return rows


def times(column: pa.ChunkedArray, where: str) -> Ints:
    """UTC ms: whole numbers, times (parts of a ms cut off) or text of either.

    ConfigError for the first value that is none, or lies outside of any market's life.
    """
    if pa.types.is_timestamp(column.type):
        column = pc.cast(column, pa.timestamp("ms", column.type.tz), safe=False)
    values, known = whole_numbers(column)
    if not known.all() and is_text(column.type):
        values, known = _moments(column.to_pylist())
    known &= (values >= FIRST_MS) & (values < LAST_MS)
    if not known.all():
        row = int(np.argmin(known))
        raise ConfigError(
            f"{where}: row {row + 1} holds {value_text(column[row].as_py())}; expected whole "
            "milliseconds since 1970, UTC"
        )
    return values


def _moments(texts: list[str | None]) -> tuple[Ints, Bools]:
    """ISO 8601 text as UTC ms, and where it was such; without an offset it is UTC."""
    import pandas as pd

    read = pd.to_datetime(pd.Series(texts), format="ISO8601", utc=True, errors="coerce")
    known = read.notna().to_numpy()
    values = read.dt.tz_localize(None).to_numpy().astype("datetime64[ms]").astype(np.int64)
    return np.where(known, values, 0), known


def names(column: pa.ChunkedArray, missing: str = "") -> Names:
    """Text, or what shows as text; `missing` where there is none."""
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    column = pc.fill_null(column.cast(pa.string()), missing)
    encoded = pa.concat_arrays(column.chunks).dictionary_encode() if len(column) else None
    if encoded is None:
        return Names(np.empty(0, dtype=np.int64), [])
    codes = encoded.indices.to_numpy(zero_copy_only=False).astype(np.int64)
    return Names(codes, encoded.dictionary.to_pylist())


def used(names: Names) -> list[str]:
    """The names that occur, sorted."""
    counts = np.bincount(names.codes, minlength=len(names.values))
    return sorted(name for name, count in zip(names.values, counts, strict=True) if count)
