"""128-bit signed integers inside compiled loops: a pair (high int64, low uint64), two's complement.

Products of prices and quantities at full precision do not fit 64 bits (3 x 10^4 dollars x 1 coin
at 1e-8 each is 3 x 10^20). Callers bound magnitudes by floats first (`LIMIT`), so nothing here
checks for overflow. Numba makes a float of int64 op uint64, hence the many casts.
"""

import numpy as np

from udfs.bars import Floats, Ints
from udfs.compiled import njit

LIMIT = 1e36  # magnitudes below this never overflow, with room for sums
_MASK = np.uint64(0xFFFFFFFF)
_32 = np.uint64(32)
_1 = np.uint64(1)
_TOP = np.uint64(1 << 63)
_0 = np.uint64(0)

Wide = tuple[np.int64, np.uint64]


@njit
def multiply_unsigned(a: np.uint64, b: np.uint64) -> tuple[np.uint64, np.uint64]:
    """a x b as (high, low)."""
    a_low, a_high = a & _MASK, a >> _32
    b_low, b_high = b & _MASK, b >> _32
    low = a_low * b_low
    middle = a_high * b_low + (low >> _32)
    cross = a_low * b_high + (middle & _MASK)
    return a_high * b_high + (middle >> _32) + (cross >> _32), (cross << _32) | (low & _MASK)


@njit
def negate(high: np.int64, low: np.uint64) -> Wide:
    """-(high, low)."""
    negated = ~low + _1
    carry = np.int64(1) if negated == _0 else np.int64(0)
    return np.int64(~high + carry), negated


@njit
def add(a_high: np.int64, a_low: np.uint64, b_high: np.int64, b_low: np.uint64) -> Wide:
    """a + b."""
    low = a_low + b_low
    carry = np.int64(1) if low < a_low else np.int64(0)
    return np.int64(a_high + b_high + carry), low


@njit
def from_int(value: np.int64) -> Wide:
    """A 64-bit integer, sign extended."""
    return (np.int64(-1) if value < 0 else np.int64(0)), np.uint64(value)


@njit
def multiply(a: np.int64, b: np.int64) -> Wide:
    """a x b, signed."""
    high, low = multiply_unsigned(np.uint64(abs(a)), np.uint64(abs(b)))
    if (a < 0) != (b < 0):
        return negate(np.int64(high), low)
    return np.int64(high), low


@njit
def scale(high: np.int64, low: np.uint64, factor: np.uint64) -> Wide:
    """(high, low) x factor, factor unsigned."""
    negative = high < 0
    if negative:
        high, low = negate(high, low)
    carry, new_low = multiply_unsigned(low, factor)
    new_high = np.int64(np.uint64(high) * factor + carry)
    if negative:
        return negate(new_high, new_low)
    return new_high, new_low


@njit
def _digit(rest: np.uint64, digit: np.uint64, divisor: np.uint64) -> tuple[np.uint64, np.uint64]:
    """One 32-bit digit of a long division: (digit of the quotient, new rest).

    The divisor's top bit is set and rest < divisor, so the guess is at most 2 too large (Knuth,
    The Art of Computer Programming, volume 2, 4.3.1, algorithm D).
    """
    top, bottom = divisor >> _32, divisor & _MASK
    guess = rest // top
    left = rest - guess * top
    while guess > _MASK or guess * bottom > ((left << _32) | digit):
        guess -= _1
        left += top
        if left > _MASK:
            break
    return guess, ((rest << _32) | digit) - guess * divisor


@njit
def divide_unsigned(
    high: np.uint64, low: np.uint64, divisor: np.uint64
) -> tuple[np.uint64, np.uint64, np.uint64]:
    """(quotient high, quotient low, rest) for a divisor in [1, 2^63)."""
    if high == _0:
        return _0, low // divisor, low % divisor
    shift = _0
    while (divisor << shift) & _TOP == _0:
        shift += _1
    scaled_divisor = divisor << shift
    first = (high % divisor) << shift
    if shift > _0:
        first |= low >> (np.uint64(64) - shift)
    low = low << shift
    upper, rest = _digit(first, low >> _32, scaled_divisor)
    lower, rest = _digit(rest, low & _MASK, scaled_divisor)
    return high // divisor, (upper << _32) | lower, rest >> shift


@njit
def divide_half_even(high: np.int64, low: np.uint64, divisor: np.uint64) -> Wide:
    """(high, low) / divisor rounded half to even; the divisor in [1, 2^62)."""
    negative = high < 0
    if negative:
        high, low = negate(high, low)
    q_high, q_low, rest = divide_unsigned(np.uint64(high), low, divisor)
    twice = rest << _1
    if twice > divisor or (twice == divisor and (q_low & _1) == _1):
        q_low += _1
        if q_low == _0:
            q_high += _1
    if negative:
        return negate(np.int64(q_high), q_low)
    return np.int64(q_high), q_low


@njit
def less(a_high: np.int64, a_low: np.uint64, b_high: np.int64, b_low: np.uint64) -> bool:
    """a < b."""
    return bool(a_high < b_high or (a_high == b_high and a_low < b_low))


@njit
def scaled(values: Ints, factors: Ints) -> Ints:
    """values x factors as 128-bit little-endian pairs: int64[n, 2] (low bits, high)."""
    out = np.empty((len(values), 2), dtype=np.int64)
    for i in range(len(values)):
        high, low = multiply(values[i], factors[i])
        out[i, 0] = np.int64(low)
        out[i, 1] = high
    return out


@njit
def scaled_wide(high: Ints, low: Ints, factors: Ints) -> Ints:
    """(high, low) x factors, factors > 0, as int64[n, 2] (low bits, high)."""
    out = np.empty((len(high), 2), dtype=np.int64)
    for i in range(len(high)):
        new_high, new_low = scale(high[i], np.uint64(low[i]), np.uint64(factors[i]))
        out[i, 0] = np.int64(new_low)
        out[i, 1] = new_high
    return out


@njit
def add_rows(total: Ints, rows: Ints) -> None:
    """total += rows, element by element, both int64[n, 2] (low bits, high)."""
    for i in range(len(rows)):
        high, low = add(total[i, 1], np.uint64(total[i, 0]), rows[i, 1], np.uint64(rows[i, 0]))
        total[i, 0] = np.int64(low)
        total[i, 1] = high


@njit
def cumulate(rows: Ints) -> None:
    """rows[i] becomes the sum of rows[0..i], in place; int64[n, 2] (low bits, high)."""
    for i in range(1, len(rows)):
        high, low = add(
            rows[i, 1], np.uint64(rows[i, 0]), rows[i - 1, 1], np.uint64(rows[i - 1, 0])
        )
        rows[i, 0] = np.int64(low)
        rows[i, 1] = high


@njit
def negated(rows: Ints) -> Ints:
    """-rows, element by element."""
    out = np.empty_like(rows)
    for i in range(len(rows)):
        high, low = negate(rows[i, 1], np.uint64(rows[i, 0]))
        out[i, 0] = np.int64(low)
        out[i, 1] = high
    return out


def to_int(pair: Ints) -> int:
    """One int64[2] (low bits, high) as a Python integer."""
    return (int(pair[1]) << 64) | (int(pair[0]) & 0xFFFFFFFFFFFFFFFF)


def from_ints(values: list[int]) -> Ints:
    """Python integers as int64[n, 2] (low bits, high). OverflowError beyond 128 bits."""
    raw = b"".join(value.to_bytes(16, "little", signed=True) for value in values)
    return np.frombuffer(raw, dtype=np.int64).reshape(-1, 2).copy()


@njit
def to_floats(rows: Ints, unit: float) -> Floats:
    """Each int64[2] (low bits, high) divided by `unit`, as the nearest float: for shown figures."""
    out = np.empty(len(rows), dtype=np.float64)
    for i in range(len(rows)):
        high, low = rows[i, 1], np.uint64(rows[i, 0])
        negative = high < 0
        if negative:
            high, low = negate(high, low)
        value = (float(high) * 2.0**64 + float(low)) / unit
        out[i] = -value if negative else value
    return out
