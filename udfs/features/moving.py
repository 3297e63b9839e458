"""Moving averages and what is built from them: sma, ema, macd, bollinger, roc, volume_sma.

A state is one float64 vector. Kernels write into the arrays they are given; the functions around
them hand over fresh copies, so a caller's state is never changed. Every value is the outcome of a
fixed chain of operations per bar, so that cutting the bars elsewhere can't change a bit of it.
Where `final` is given, bars that are not final leave no trace (udfs/features/unfinished.py).
"""

import math

import numpy as np

from udfs.bars import Bools, Floats
from udfs.compiled import njit
from udfs.features.unfinished import Final, state_for

NULL = math.nan
EMA_FIELDS = 3  # per average: period, bars seen (up to the period), total until then / value after


def sma_state(period: int) -> Floats:
    """[values seen up to period - 1, place in the ring, total, ring of `period` values]."""
    return np.zeros(3 + period)


def sma(state: Floats, values: Floats, period: int, final: Final = None) -> tuple[Floats, Floats]:
    """Mean of the last `period` values by a running total, as TA-Lib's SMA, bit for bit."""
    state = state.copy()
    column = np.empty(values.shape[0])
    if final is None:
        _sma_kernel(state, values, period, column)
    else:
        _sma_each(state, values, final, period, column)
    return state, column


@njit
def _sma_each(state: Floats, values: Floats, final: Bools, period: int, column: Floats) -> None:
    scratch = np.empty_like(state)
    for i in range(values.shape[0]):
        own = state_for(state, scratch, final[i])
        _sma_kernel(own, values[i : i + 1], period, column[i : i + 1])


@njit
def _sma_kernel(state: Floats, values: Floats, period: int, column: Floats) -> None:
    ring = state[3:]
    seen = int(state[0])
    place = int(state[1])
    total = state[2]
    for i in range(values.shape[0]):
        ring[place] = values[i]
        total += values[i]
        place = place + 1 if place + 1 < period else 0
        if seen < period - 1:
            seen += 1
            column[i] = NULL
        else:
            column[i] = total / period
            total -= ring[place]
    state[0] = seen
    state[1] = place
    state[2] = total


def ema_state(periods: tuple[int, ...]) -> Floats:
    """EMA_FIELDS numbers per average, in the order of `periods`."""
    state = np.zeros((len(periods), EMA_FIELDS))
    state[:, 0] = periods
    return state.reshape(-1)


def ema(state: Floats, values: Floats, final: Final = None) -> tuple[Floats, Floats]:
    """All averages of the state in one pass; the columns are the rows of the second result.

    An average starts from the mean of its first `period` values.
    """
    state = state.copy()
    columns = np.empty((state.shape[0] // EMA_FIELDS, values.shape[0]))
    if final is None:
        _ema_kernel(state, values, columns)
    else:
        _ema_each(state, values, final, columns)
    return state, columns


@njit
def _ema_each(state: Floats, values: Floats, final: Bools, columns: Floats) -> None:
    scratch = np.empty_like(state)
    column = np.empty((columns.shape[0], 1))
    for i in range(values.shape[0]):
        own = state_for(state, scratch, final[i])
        _ema_kernel(own, values[i : i + 1], column)
        columns[:, i] = column[:, 0]


@njit
def _ema_kernel(state: Floats, values: Floats, columns: Floats) -> None:
    number = columns.shape[0]
    length = columns.shape[1]
    warm = 0
    for which in range(number):
        missing = int(state[which * EMA_FIELDS] - state[which * EMA_FIELDS + 1])
        warm = max(warm, min(missing, length))
    # A recursion waits for its own last result; four side by side hide that wait.
    fours = number - number % 4
    for which in range(number):
        stop = warm if which < fours else length
        _ema_one(state[which * EMA_FIELDS :], values, stop, columns[which])
    for which in range(0, fours, 4):
        _ema_four(state[which * EMA_FIELDS :], values, warm, columns[which : which + 4])


@njit
def _ema_one(state: Floats, values: Floats, stop: int, column: Floats) -> None:
    period = state[0]
    seen = state[1]
    value = state[2]
    weight = 2.0 / (period + 1.0)
    start = 0
    while start < stop and seen < period:
        value += values[start]
        seen += 1.0
        column[start] = NULL
        if seen == period:
            value /= period
            column[start] = value
        start += 1
    for i in range(start, stop):
        value = (values[i] - value) * weight + value
        column[i] = value
    state[1] = seen
    state[2] = value


@njit
def _ema_four(state: Floats, values: Floats, start: int, columns: Floats) -> None:
    """Four averages that are warm at `start`."""
    one, two, three, four = state[2], state[5], state[8], state[11]
    weight_one = 2.0 / (state[0] + 1.0)
    weight_two = 2.0 / (state[3] + 1.0)
    weight_three = 2.0 / (state[6] + 1.0)
    weight_four = 2.0 / (state[9] + 1.0)
    for i in range(start, values.shape[0]):
        value = values[i]
        one = (value - one) * weight_one + one
        two = (value - two) * weight_two + two
        three = (value - three) * weight_three + three
        four = (value - four) * weight_four + four
        columns[0, i] = one
        columns[1, i] = two
        columns[2, i] = three
        columns[3, i] = four
    state[2], state[5], state[8], state[11] = one, two, three, four


def macd_state() -> Floats:
    """[bars seen, fast average, slow average, signal line]; totals until each is seeded."""
    return np.zeros(4)


def macd(
    state: Floats, values: Floats, fast: int, slow: int, signal: int, final: Final = None
) -> tuple[Floats, Floats, Floats, Floats]:
    """(state, macd, signal line, histogram) as TA-Lib's MACD, which swaps fast > slow too.

    The fast average starts from the mean of the last `fast` of the first `slow` values.
    """
    state = state.copy()
    line = np.empty(values.shape[0])
    signals = np.empty(values.shape[0])
    histogram = np.empty(values.shape[0])
    fast, slow = min(fast, slow), max(fast, slow)
    if final is None:
        _macd_kernel(state, values, fast, slow, signal, line, signals, histogram)
    else:
        _macd_each(state, values, final, fast, slow, signal, line, signals, histogram)
    return state, line, signals, histogram


@njit
def _macd_each(
    state: Floats,
    values: Floats,
    final: Bools,
    fast: int,
    slow: int,
    signal: int,
    line: Floats,
    signals: Floats,
    histogram: Floats,
) -> None:
    scratch = np.empty_like(state)
    for i in range(values.shape[0]):
        own = state_for(state, scratch, final[i])
        at = slice(i, i + 1)
        _macd_kernel(own, values[at], fast, slow, signal, line[at], signals[at], histogram[at])


@njit
def _macd_kernel(
    state: Floats,
    values: Floats,
    fast_period: int,
    slow_period: int,
    signal_period: int,
    line: Floats,
    signals: Floats,
    histogram: Floats,
) -> None:
    first = slow_period + signal_period - 1  # bars seen when the first outputs come
    seen = int(state[0])
    fast, slow, signal = state[1], state[2], state[3]
    fast_weight = 2.0 / (fast_period + 1.0)
    slow_weight = 2.0 / (slow_period + 1.0)
    signal_weight = 2.0 / (signal_period + 1.0)
    for i in range(values.shape[0]):
        value = values[i]
        if seen >= slow_period:
            fast = (value - fast) * fast_weight + fast
            slow = (value - slow) * slow_weight + slow
        else:
            slow += value
            if seen >= slow_period - fast_period:
                fast += value
            if seen == slow_period - 1:
                fast /= fast_period
                slow /= slow_period
        difference = fast - slow
        if seen >= first:
            signal = (difference - signal) * signal_weight + signal
        else:
            seen += 1
            if seen >= slow_period:
                signal += difference
            if seen == first:
                signal /= signal_period
        if seen < first:
            line[i] = NULL
            signals[i] = NULL
            histogram[i] = NULL
        else:
            line[i] = difference
            signals[i] = signal
            histogram[i] = difference - signal
    state[0] = seen
    state[1], state[2], state[3] = fast, slow, signal


def roc_state(period: int) -> Floats:
    """[values seen up to period, place in the ring, ring of `period` values]."""
    return np.zeros(2 + period)


def roc(state: Floats, values: Floats, period: int, final: Final = None) -> tuple[Floats, Floats]:
    """(value / value `period` bars ago - 1) x 100."""
    state = state.copy()
    column = np.empty(values.shape[0])
    if final is None:
        _roc_kernel(state, values, period, column)
    else:
        _roc_each(state, values, final, period, column)
    return state, column


@njit
def _roc_each(state: Floats, values: Floats, final: Bools, period: int, column: Floats) -> None:
    scratch = np.empty_like(state)
    for i in range(values.shape[0]):
        own = state_for(state, scratch, final[i])
        _roc_kernel(own, values[i : i + 1], period, column[i : i + 1])


@njit
def _roc_kernel(state: Floats, values: Floats, period: int, column: Floats) -> None:
    ring = state[2:]
    seen = int(state[0])
    place = int(state[1])
    for i in range(values.shape[0]):
        if seen < period:
            seen += 1
            column[i] = NULL
        else:
            column[i] = (values[i] / ring[place] - 1.0) * 100.0
        ring[place] = values[i]
        place = place + 1 if place + 1 < period else 0
    state[0] = seen
    state[1] = place
