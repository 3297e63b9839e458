"""Exact numbers, numbers given as text, and ids.

Decimal work runs under `CONTEXT`, which raises on any inexact result: every rounding is written
out as a Fraction that is rounded once, so no digit can be lost by accident.
"""

from __future__ import annotations

import decimal
import hashlib
import math
import re
from decimal import Decimal
from fractions import Fraction

CONTEXT = decimal.Context(
    prec=100,
    rounding=decimal.ROUND_HALF_EVEN,
    traps=[
        decimal.Inexact,
        decimal.InvalidOperation,
        decimal.DivisionByZero,
        decimal.Overflow,
    ],
)

NUMBER_TEXT = re.compile(r"[ \t]*[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?[ \t]*")
SMALLEST_BIGINT = -(2**63)
LARGEST_BIGINT = 2**63 - 1


def plain(value: object) -> object:
    """A numpy scalar as the Python value it stands for; anything else as it is."""
    item = getattr(value, "item", None)
    return item() if callable(item) else value


def exact_number(value: object) -> Decimal | None:
    """The finite number that a raw value stands for, or None where it is no finite number.

    A float stands for its shortest repr; text must be a plain decimal number, with or without an
    exponent (no underscores, no "nan", no "inf").
    """
    value = plain(value)
    if value is None or isinstance(value, bool):
        return None
    if isinstance(value, Decimal):
        return value if value.is_finite() else None
    if isinstance(value, float):
        return Decimal(repr(value)) if math.isfinite(value) else None
    if isinstance(value, int):
        return Decimal(value)
    if isinstance(value, str) and NUMBER_TEXT.fullmatch(value):
        try:
            return Decimal(value.strip())
        except decimal.InvalidOperation:  # an exponent beyond what Decimal can hold
            return None
    return None


def double(value: object) -> float:
    """The nearest double of a raw value; NaN where it is no number, infinite where too large."""
    value = plain(value)
    if value is None or isinstance(value, bool):
        return math.nan
    if isinstance(value, str):
        return float(value) if NUMBER_TEXT.fullmatch(value) else math.nan
    try:
        return float(value)  # type: ignore[arg-type]
    except OverflowError:
        return math.inf


def digits_and_exponent(value: Decimal) -> tuple[tuple[int, ...], int]:
    """The significant digits without trailing zeros, and their exponent; ((), 0) for zero."""
    _, digits, exponent = value.as_tuple()
    assert isinstance(exponent, int)
    kept = list(digits)
    while kept and kept[-1] == 0:
        kept.pop()
        exponent += 1
    while kept and kept[0] == 0:
        kept.pop(0)
    return (tuple(kept), exponent) if kept else ((), 0)


def whole_number(value: object) -> int | None:
    """The value as a BIGINT, or None where it is not a whole number or does not fit."""
    number = exact_number(value)
    if number is None:
        return None
    digits, exponent = digits_and_exponent(number)
    if exponent < 0 or len(digits) + exponent > 19:
        return None
    whole = int(number)
    return whole if SMALLEST_BIGINT <= whole <= LARGEST_BIGINT else None


def decimals_of(value: Decimal) -> int:
    """How many decimals the value needs, trailing zeros not counted."""
    return max(0, -digits_and_exponent(value)[1])


def fits_decimal_38_18(value: Decimal) -> bool:
    digits, exponent = digits_and_exponent(value)
    return exponent >= -18 and len(digits) + exponent <= 20


def round_half_even(value: Fraction, unit: Decimal) -> Decimal:
    """The multiple of `unit` that is nearest to the value, the even one of two equally near."""
    return Decimal(round(value / Fraction(unit))) * unit


def floor_to(value: Fraction, unit: Decimal) -> Decimal:
    """The largest multiple of `unit` that is not above the value."""
    return Decimal(math.floor(value / Fraction(unit))) * unit


def rounded_price(price: float, tick: Decimal) -> Decimal:
    """The decimal that a bar's price stands for, as a multiple of the tick."""
    return round_half_even(Fraction(Decimal(repr(price))), tick)


def hash_of(*parts: object) -> str:
    text = "\u001f".join(str(part) for part in parts)
    return hashlib.sha256(text.encode("utf-8")).hexdigest()[:32]


def as_text(value: object) -> str | None:
    """A raw value as text: text as it is, a float by its shortest repr, None stays None."""
    value = plain(value)
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, Decimal):
        return format(value, "f")
    return repr(value)
