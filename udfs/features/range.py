"""Highest highs and lowest lows: donchian and stoch.

The highest of the last n values is the higher of two: the highest of the end of the previous block
of n bars (found once per block) and of the beginning of the current one. That costs the same per
bar for every n. A lowest value is the highest of the negated values, negated again.
"""

import math

import numpy as np

from udfs.bars import Bools, Floats
from udfs.compiled import njit
from udfs.features.unfinished import Final, state_for

NULL = math.nan
FLAT = 1e-14  # TA-Lib's: a range below this part of high + low counts as flat
STOCH_FIELDS = 10


def donchian_state(period: int) -> Floats:
    """[1 once a block is full, place in the block, highest of the block so far, ring].

    The ring holds the current block's values before the place and, from the place on, the highest
    values of the previous block's ends.
    """
    return np.zeros(3 + period)


def donchian(
    state: Floats, values: Floats, period: int, sign: float, final: Final = None
) -> tuple[Floats, Floats]:
    """Highest (sign 1.0) or lowest (sign -1.0) of the `period` values BEFORE each one."""
    state = state.copy()
    column = np.empty(values.shape[0])
    if final is None:
        _donchian_kernel(state, values, period, sign, column)
    else:
        _donchian_each(state, values, final, period, sign, column)
    return state, column


@njit
def _donchian_each(
    state: Floats, values: Floats, final: Bools, period: int, sign: float, column: Floats
) -> None:
    scratch = np.empty_like(state)
    for i in range(values.shape[0]):
        own = state_for(state, scratch, final[i])
        _donchian_kernel(own, values[i : i + 1], period, sign, column[i : i + 1])


@njit
def _donchian_kernel(
    state: Floats, values: Floats, period: int, sign: float, column: Floats
) -> None:
    ring = state[3:]
    is_full = state[0] > 0.0
    place = int(state[1])
    highest = state[2]
    for i in range(values.shape[0]):
        if not is_full:
            column[i] = NULL
        elif place == 0:
            column[i] = sign * ring[0]
        else:
            column[i] = sign * max(ring[place], highest)
        value = sign * values[i]
        highest = value if place == 0 else max(value, highest)
        ring[place] = value
        place += 1
        if place == period:
            _highest_of_ends(ring, period)
            is_full = True
            place = 0
    state[0] = 1.0 if is_full else 0.0
    state[1] = place
    state[2] = highest


@njit
def _highest_of_ends(ring: Floats, period: int) -> None:
    for j in range(period - 2, -1, -1):
        ring[j] = max(ring[j], ring[j + 1])


def stoch_state(period: int, slow: int, signal: int) -> Floats:
    """[1 once a block is full, place, highest and lowest (negated) of the block so far,
    then values seen, place and total of the %K and of the %D mean, rings of highs, of negated
    lows, of fast %K, of slow %K]."""
    return np.zeros(STOCH_FIELDS + 2 * period + slow + signal)


def stoch(
    state: Floats,
    high: Floats,
    low: Floats,
    close: Floats,
    period: int,
    slow: int,
    signal: int,
    final: Final = None,
) -> tuple[Floats, Floats, Floats]:
    """(state, slow %K, slow %D) as TA-Lib's STOCH with simple means; a flat range gives 0."""
    state = state.copy()
    line = np.empty(close.shape[0])
    signals = np.empty(close.shape[0])
    if final is None:
        _stoch_kernel(state, high, low, close, period, slow, signal, line, signals)
    else:
        _stoch_each(state, high, low, close, final, period, slow, signal, line, signals)
    return state, line, signals


@njit
def _stoch_each(
    state: Floats,
    high: Floats,
    low: Floats,
    close: Floats,
    final: Bools,
    period: int,
    slow: int,
    signal: int,
    line: Floats,
    signals: Floats,
) -> None:
    scratch = np.empty_like(state)
    for i in range(close.shape[0]):
        own = state_for(state, scratch, final[i])
        at = slice(i, i + 1)
        _stoch_kernel(
            own, high[at], low[at], close[at], period, slow, signal, line[at], signals[at]
        )


@njit
def _stoch_kernel(
    state: Floats,
    high: Floats,
    low: Floats,
    close: Floats,
    period: int,
    slow: int,
    signal: int,
    line: Floats,
    signals: Floats,
) -> None:
    highs = state[STOCH_FIELDS : STOCH_FIELDS + period]
    lows = state[STOCH_FIELDS + period : STOCH_FIELDS + 2 * period]
    slow_ring = state[STOCH_FIELDS + 2 * period : STOCH_FIELDS + 2 * period + slow]
    signal_ring = state[STOCH_FIELDS + 2 * period + slow :]
    slow_mean = state[4:7]
    signal_mean = state[7:10]
    is_full = state[0] > 0.0
    place = int(state[1])
    top, bottom = state[2], state[3]
    for i in range(close.shape[0]):
        top = high[i] if place == 0 else max(high[i], top)
        bottom = -low[i] if place == 0 else max(-low[i], bottom)
        highs[place] = high[i]
        lows[place] = -low[i]
        place += 1
        line[i] = NULL
        signals[i] = NULL
        if place == period or is_full:
            highest = top if place == period else max(top, highs[place])
            lowest = -(bottom if place == period else max(bottom, lows[place]))
            smooth = _next_mean(slow_mean, slow_ring, _position(close[i], highest, lowest))
            if not math.isnan(smooth):
                signals[i] = _next_mean(signal_mean, signal_ring, smooth)
                if not math.isnan(signals[i]):
                    line[i] = smooth
        if place == period:
            _highest_of_ends(highs, period)
            _highest_of_ends(lows, period)
            is_full = True
            place = 0
    state[0] = 1.0 if is_full else 0.0
    state[1] = place
    state[2], state[3] = top, bottom


@njit
def _position(close: float, highest: float, lowest: float) -> float:
    """Where the close stands between lowest (0) and highest (100)."""
    if highest - lowest <= FLAT * (abs(highest) + abs(lowest)):
        return 0.0
    return 100.0 * ((close - lowest) / (highest - lowest))


@njit
def _next_mean(fields: Floats, ring: Floats, value: float) -> float:
    """Feeds one value to a running mean [seen, place, total]; NaN while its ring fills."""
    period = len(ring)
    place = int(fields[1])
    ring[place] = value
    total: float = fields[2] + value
    place = place + 1 if place + 1 < period else 0
    fields[1] = place
    if fields[0] < period - 1:
        fields[0] += 1.0
        fields[2] = total
        return NULL
    fields[2] = total - ring[place]
    return total / period
