"""Features of the volume: obv and vwap_day."""

import math

import numpy as np

from udfs.bars import Bools, Floats, Ints
from udfs.compiled import njit
from udfs.features.unfinished import Final, state_for

NULL = math.nan
DAY_MS = 86_400_000


def obv_state() -> Floats:
    """[1 once a bar was seen, previous close, on-balance volume]."""
    return np.zeros(3)


def obv(state: Floats, close: Floats, volume: Floats, final: Final = None) -> tuple[Floats, Floats]:
    """On-balance volume; starts from the first bar's volume, as TA-Lib's."""
    state = state.copy()
    column = np.empty(close.shape[0])
    if final is None:
        _obv_kernel(state, close, volume, column)
    else:
        _obv_each(state, close, volume, final, column)
    return state, column


@njit
def _obv_each(state: Floats, close: Floats, volume: Floats, final: Bools, column: Floats) -> None:
    scratch = np.empty_like(state)
    for i in range(close.shape[0]):
        own = state_for(state, scratch, final[i])
        at = slice(i, i + 1)
        _obv_kernel(own, close[at], volume[at], column[at])


@njit
def _obv_kernel(state: Floats, close: Floats, volume: Floats, column: Floats) -> None:
    previous, total = state[1], state[2]
    start = 0
    if state[0] == 0.0 and close.shape[0] > 0:
        previous, total = close[0], volume[0]
        column[0] = total
        state[0] = 1.0
        start = 1
    for i in range(start, close.shape[0]):
        direction = int(close[i] > previous) - int(close[i] < previous)
        total += direction * volume[i]  # no branch: the next direction can't be predicted
        previous = close[i]
        column[i] = total
    state[1], state[2] = previous, total


def vwap_day_state() -> Floats:
    """[days since 1970 in UTC, turnover of that day so far, volume of that day so far]."""
    return np.zeros(3)


def vwap_day(
    state: Floats,
    ts: Ints,
    high: Floats,
    low: Floats,
    close: Floats,
    volume: Floats,
    final: Final = None,
) -> tuple[Floats, Floats]:
    """Volume-weighted (high + low + close) / 3 of the bar's UTC day so far.

    `ts` is the bar's open time in ms. NaN while the day's volume is 0.
    """
    state = state.copy()
    column = np.empty(close.shape[0])
    if final is None:
        _vwap_day_kernel(state, ts, high, low, close, volume, column)
    else:
        _vwap_day_each(state, ts, high, low, close, volume, final, column)
    return state, column


@njit
def _vwap_day_each(
    state: Floats,
    ts: Ints,
    high: Floats,
    low: Floats,
    close: Floats,
    volume: Floats,
    final: Bools,
    column: Floats,
) -> None:
    scratch = np.empty_like(state)
    for i in range(close.shape[0]):
        own = state_for(state, scratch, final[i])
        at = slice(i, i + 1)
        _vwap_day_kernel(own, ts[at], high[at], low[at], close[at], volume[at], column[at])


@njit
def _vwap_day_kernel(
    state: Floats,
    ts: Ints,
    high: Floats,
    low: Floats,
    close: Floats,
    volume: Floats,
    column: Floats,
) -> None:
    day = int(state[0])
    turnover, traded = state[1], state[2]
    for i in range(close.shape[0]):
        bar_day = ts[i] // DAY_MS
        if bar_day != day:
            day = bar_day
            turnover = 0.0
            traded = 0.0
        turnover += (high[i] + low[i] + close[i]) / 3.0 * volume[i]
        traded += volume[i]
        column[i] = turnover / traded if traded > 0.0 else NULL
    state[0] = day
    state[1], state[2] = turnover, traded
