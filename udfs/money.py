"""The one door to exact numbers: decimals as plain integers in units of 10^-18.

Prices, quantities and fees are integers of units; a product of two is in units of 10^-36 and is
kept so ("wide") until it is written. Plain integers cannot lose a digit, need no context (a
decimal context is per thread, and Flink's threads are not ours), and were measured faster than
Decimal (docs/architecture.md).
"""

import re
from decimal import Context, Decimal, InvalidOperation
from fractions import Fraction

DECIMALS = 18
UNIT = 10**DECIMALS
MAX_UNITS = 10**38  # a DECIMAL(38,18) holds |units| below this
FEE_STEP = 10**6  # 1e-12 in units
_WIDE_CONTEXT = Context(prec=100)
_PLAIN = re.compile(r"(-?)([0-9]{1,20})(?:\.([0-9]{1,18}))?").fullmatch


def units(text: object) -> int:
    """The number that `text` shows, in units of 10^-18.

    Raises ValueError where it is no finite number, has more than 18 decimals, or does not fit
    DECIMAL(38,18).
    """
    number = finite_decimal(text)
    if not fits(number):
        raise ValueError(f"{text!r} does not fit DECIMAL(38,18)")
    return int(number.scaleb(DECIMALS, _WIDE_CONTEXT))


def plain_units(text: str) -> int | None:
    """`units` of a number written out, as stores write it; None for any other text.

    That is a sixth of the work, and an exec report has three of them.
    """
    found = _PLAIN(text)
    if found is None:
        return None
    sign, whole, rest = found.groups()
    amount: int = int(whole) * UNIT + (int(rest.ljust(DECIMALS, "0")) if rest else 0)
    return -amount if sign else amount


def finite_decimal(text: object) -> Decimal:
    """`text` as a finite Decimal (a float by its shortest repr); else ValueError."""
    if isinstance(text, bool) or text is None:
        raise ValueError(f"{text!r} is not a number")
    try:
        # float() first: numpy's doubles are floats whose repr is not a number.
        number = Decimal(repr(float(text)) if isinstance(text, float) else str(text).strip())
    except InvalidOperation:
        raise ValueError(f"{text!r} is not a number") from None
    # Decimal reads 1_000 and the digits of every script; a decimal column of a store does not.
    if not number.is_finite() or "_" in str(text) or not str(text).isascii():
        raise ValueError(f"{text!r} is not a finite number")
    return number


def fits(number: Decimal) -> bool:
    """Whether a finite number fits DECIMAL(38,18): at most 20 digits before the point, 18 after."""
    if number == 0:
        return True
    if number.adjusted() >= 38 - DECIMALS:
        return False
    _, digits, exponent = number.as_tuple()
    if not isinstance(exponent, int):
        return False
    trailing = len(digits) - len("".join(map(str, digits)).rstrip("0"))
    return exponent + trailing >= -DECIMALS


def price_units(price: float, tick: int) -> int:
    """A bar price as the multiple of `tick` nearest to its shortest repr, half to even, in units.

    Raises ValueError for a price that is not finite.
    """
    numerator, denominator = finite_decimal(float(price)).as_integer_ratio()
    return round_half_even(numerator * UNIT, denominator * tick) * tick


def round_half_even(numerator: int, denominator: int) -> int:
    """numerator / denominator (> 0) rounded to a whole number, half to even."""
    quotient, rest = divmod(numerator, denominator)
    twice = 2 * rest
    if twice > denominator or (twice == denominator and quotient & 1):
        return quotient + 1
    return quotient


def narrow(wide: int) -> int:
    """A product (units of 10^-36) rounded half-even to units of 10^-18."""
    return round_half_even(wide, UNIT)


def to_decimal(amount: int) -> Decimal:
    """Units of 10^-18 as an exact Decimal with 18 decimals.

    OverflowError where it does not fit DECIMAL(38,18).
    """
    fitting(amount)
    sign = 1 if amount < 0 else 0
    return Decimal((sign, tuple(map(int, str(abs(amount)))), -DECIMALS))


def fitting(amount: int) -> int:
    """The amount itself; OverflowError where it does not fit DECIMAL(38,18)."""
    if not -MAX_UNITS < amount < MAX_UNITS:
        raise OverflowError(f"{plain_text(amount)} does not fit DECIMAL(38,18)")
    return amount


def plain_text(amount: int) -> str:
    """Units of 10^-18 as the shortest decimal text: `1500000000000000000` is `1.5`."""
    whole, rest = divmod(abs(amount), UNIT)
    text = f"{whole}.{rest:0{DECIMALS}d}".rstrip("0") if rest else str(whole)
    return f"-{text}" if amount < 0 else text


def hint_fraction(hint: float) -> Fraction:
    """A float factor (size_hint) as the exact fraction that its shortest repr shows."""
    return Fraction(finite_decimal(float(hint)))
