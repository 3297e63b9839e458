"""Wilder's indicators: rsi, atr, adx, with TA-Lib's seeding.

A state is one float64 vector. Kernels write into the arrays they are given; the functions around
them hand over fresh copies.
"""

import math

import numpy as np

from udfs.bars import Bools, Floats
from udfs.compiled import njit
from udfs.features.unfinished import Final, state_for

NULL = math.nan
NO_DIRECTION = 1e-14  # TA-Lib's: a sum of both directional indicators below this counts as none


def rsi_state() -> Floats:
    """[bars seen up to period + 1, previous close, average gain, average loss]."""
    return np.zeros(4)


def rsi(state: Floats, close: Floats, period: int, final: Final = None) -> tuple[Floats, Floats]:
    """Relative strength index, 0 to 100; 0 where nothing has moved, as TA-Lib has it."""
    state = state.copy()
    column = np.empty(close.shape[0])
    if final is None:
        _rsi_kernel(state, close, period, column)
    else:
        _rsi_each(state, close, final, period, column)
    return state, column


@njit
def _rsi_each(state: Floats, close: Floats, final: Bools, period: int, column: Floats) -> None:
    scratch = np.empty_like(state)
    for i in range(close.shape[0]):
        own = state_for(state, scratch, final[i])
        _rsi_kernel(own, close[i : i + 1], period, column[i : i + 1])


@njit
def _rsi_kernel(state: Floats, close: Floats, period: int, column: Floats) -> None:
    seen = int(state[0])
    previous, gain, loss = state[1], state[2], state[3]
    share = 1.0 / period
    for i in range(close.shape[0]):
        change = close[i] - previous
        previous = close[i]
        rise = change if change > 0.0 else 0.0
        fall = rise - change
        if seen > period:
            gain = (gain * (period - 1) + rise) * share
            loss = (loss * (period - 1) + fall) * share
        else:
            if seen > 0:
                gain += rise
                loss += fall
            if seen == period:
                gain *= share
                loss *= share
            seen += 1
        movement = gain + loss
        if seen <= period:
            column[i] = NULL
        elif movement > 0.0:
            column[i] = 100.0 * (gain / movement)
        else:
            column[i] = 0.0
    state[0] = seen
    state[1], state[2], state[3] = previous, gain, loss


@njit
def _true_range(high: float, low: float, previous_close: float) -> float:
    return max(high - low, abs(previous_close - high), abs(previous_close - low))


def atr_state() -> Floats:
    """[bars seen up to period + 1, previous close, average true range or total until seeded]."""
    return np.zeros(3)


def atr(
    state: Floats, high: Floats, low: Floats, close: Floats, period: int, final: Final = None
) -> tuple[Floats, Floats]:
    """Average true range in units of the price, from the mean of the first `period` ranges."""
    state = state.copy()
    column = np.empty(close.shape[0])
    if final is None:
        _atr_kernel(state, high, low, close, period, column)
    else:
        _atr_each(state, high, low, close, final, period, column)
    return state, column


@njit
def _atr_each(
    state: Floats,
    high: Floats,
    low: Floats,
    close: Floats,
    final: Bools,
    period: int,
    column: Floats,
) -> None:
    scratch = np.empty_like(state)
    for i in range(close.shape[0]):
        own = state_for(state, scratch, final[i])
        at = slice(i, i + 1)
        _atr_kernel(own, high[at], low[at], close[at], period, column[at])


@njit
def _atr_kernel(
    state: Floats, high: Floats, low: Floats, close: Floats, period: int, column: Floats
) -> None:
    seen = int(state[0])
    previous, average = state[1], state[2]
    kept = (period - 1) / period
    share = 1.0 - kept
    for i in range(close.shape[0]):
        reach = _true_range(high[i], low[i], previous)
        previous = close[i]
        if seen > period:
            average = share * reach + kept * average
            column[i] = average
        else:
            if seen > 0:
                average += reach
            column[i] = NULL
            if seen == period:
                average /= period
                column[i] = average
            seen += 1
    state[0] = seen
    state[1], state[2] = previous, average


def adx_state() -> Floats:
    """[bars seen up to 2 x period, previous high, low, close, minus movement, plus movement,
    true range (Wilder's sums), adx or the total of dx until seeded]."""
    return np.zeros(8)


def adx(
    state: Floats, high: Floats, low: Floats, close: Floats, period: int, final: Final = None
) -> tuple[Floats, Floats]:
    """Average directional index, 0 to 100; first value at bar 2 x period - 1."""
    state = state.copy()
    column = np.empty(close.shape[0])
    if final is None:
        _adx_kernel(state, high, low, close, period, column)
    else:
        _adx_each(state, high, low, close, final, period, column)
    return state, column


@njit
def _adx_each(
    state: Floats,
    high: Floats,
    low: Floats,
    close: Floats,
    final: Bools,
    period: int,
    column: Floats,
) -> None:
    scratch = np.empty_like(state)
    for i in range(close.shape[0]):
        own = state_for(state, scratch, final[i])
        at = slice(i, i + 1)
        _adx_kernel(own, high[at], low[at], close[at], period, column[at])


@njit
def _adx_kernel(
    state: Floats, high: Floats, low: Floats, close: Floats, period: int, column: Floats
) -> None:
    seen = int(state[0])
    previous_high, previous_low, previous_close = state[1], state[2], state[3]
    minus, plus, reach, index = state[4], state[5], state[6], state[7]
    share = 1.0 / period
    for i in range(close.shape[0]):
        rise = high[i] - previous_high
        fall = previous_low - low[i]
        bar_range = _true_range(high[i], low[i], previous_close)
        previous_high, previous_low, previous_close = high[i], low[i], close[i]
        if seen >= period:  # the sums hold period - 1 moves and fade from here on
            minus -= minus * share
            plus -= plus * share
            reach -= reach * share
        if seen > 0:
            minus += fall if fall > 0.0 and fall > rise else 0.0
            plus += rise if rise > 0.0 and rise > fall else 0.0
            reach += bar_range
        strength = _directional_strength(minus, plus, reach)
        if seen >= 2 * period:
            if strength >= 0.0:
                index -= (index - strength) * share
            column[i] = index
        else:
            if seen >= period and strength >= 0.0:
                index += strength
            seen += 1
            column[i] = NULL
            if seen == 2 * period:
                index /= period
                column[i] = index
    state[0] = seen
    state[1], state[2], state[3] = previous_high, previous_low, previous_close
    state[4], state[5], state[6], state[7] = minus, plus, reach, index


@njit
def _directional_strength(minus: float, plus: float, reach: float) -> float:
    """Wilder's DX, 0 to 100, or -1 where nothing has a direction."""
    if reach <= 0.0:
        return -1.0
    minus_indicator = 100.0 * (minus / reach)
    plus_indicator = 100.0 * (plus / reach)
    both = minus_indicator + plus_indicator
    if both < NO_DIRECTION:
        return -1.0
    return 100.0 * (abs(minus_indicator - plus_indicator) / both)
