"""Bar prices as whole numbers of 10^-decimals, in columns: the batch form of money.price_units."""

import numpy as np

from udfs.bars import Floats, Ints
from udfs.money import DECIMALS, price_units

_EXACT = 1e15  # below this, a decimal of at most 15 digits and its double name each other
_LARGEST = 2**62


def decimals_of(amount: int) -> int:
    """How many decimals an amount in units of 10^-18 shows: 0.010 has 2, 100 has 0."""
    decimals = DECIMALS
    while decimals and amount % 10 == 0:
        amount //= 10
        decimals -= 1
    return decimals


def price_integers(prices: Floats, tick: int) -> Ints | None:
    """Each price rounded half-even to the tick, in units of 10^-decimals_of(tick): int64[n].

    None where a price does not fit 62 bits: the caller falls back to plain integers. A double
    that is the nearest to a decimal of at most 15 digits shows that decimal as its shortest
    repr, so whole numbers do; the few others go one by one.
    """
    decimals = decimals_of(tick)
    if not len(prices):
        return np.empty(0, dtype=np.int64)
    largest = float(np.max(np.abs(prices)))
    if not np.isfinite(largest) or largest * 10.0**decimals >= _LARGEST:
        return None
    shown = _shown_decimals(largest)
    whole = np.rint(prices * 10.0**shown)
    exact = whole / 10.0**shown == prices
    numbers = whole.astype(np.int64)
    rounded = _to_multiples(numbers, shown, tick, decimals)
    if rounded is None:
        exact[:] = False
        rounded = np.zeros(len(prices), dtype=np.int64)
    scale: int = 10 ** (DECIMALS - decimals)
    for i in np.flatnonzero(~exact):
        rounded[i] = price_units(float(prices[i]), tick) // scale
    return rounded


def _shown_decimals(largest: float) -> int:
    """The decimals at which every price up to `largest` is below 10^15."""
    shown = 0
    while shown < DECIMALS and largest * 10.0 ** (shown + 1) < _EXACT:
        shown += 1
    return shown


def _to_multiples(numbers: Ints, shown: int, tick: int, decimals: int) -> Ints | None:
    """Numbers of 10^-shown rounded half-even to the tick, in 10^-decimals; None on overflow."""
    common = max(shown, decimals)
    lift = 10 ** (common - shown)
    tick_common = tick // 10 ** (DECIMALS - common)
    if int(np.max(np.abs(numbers))) * lift >= _LARGEST or 2 * tick_common >= _LARGEST:
        return None
    quotient, rest = np.divmod(numbers * lift, tick_common)
    up = (2 * rest > tick_common) | ((2 * rest == tick_common) & (quotient % 2 == 1))
    return np.asarray((quotient + up) * (tick_common // 10 ** (common - decimals)), dtype=np.int64)
