"""Means and spreads of the last n values without a subtraction: volume_sma and bollinger.

The bars are cut into blocks of n. A window of n values is the end of the previous block and the
beginning of the current one; the ends are summed up once per block, the beginning as it grows. So
a huge value leaves no trace once it has left the window, and n equal values have exactly no spread,
which running totals can't promise.
"""

import math

import numpy as np

from udfs.bars import Bools, Floats
from udfs.compiled import njit
from udfs.features.unfinished import Final, state_for

NULL = math.nan


def mean_state(period: int) -> Floats:
    """[1 once a block is full, place in the block, total of the block so far, ring].

    The ring holds the current block's values before the place and, from the place on, the totals
    of the previous block's ends; one more zero stands for the empty end.
    """
    return np.zeros(3 + period + 1)


def mean(state: Floats, values: Floats, period: int, final: Final = None) -> tuple[Floats, Floats]:
    """Mean of the last `period` values."""
    state = state.copy()
    column = np.empty(values.shape[0])
    if final is None:
        _mean_kernel(state, values, period, column)
    else:
        _mean_each(state, values, final, period, column)
    return state, column


@njit
def _mean_each(state: Floats, values: Floats, final: Bools, period: int, column: Floats) -> None:
    scratch = np.empty_like(state)
    for i in range(values.shape[0]):
        own = state_for(state, scratch, final[i])
        _mean_kernel(own, values[i : i + 1], period, column[i : i + 1])


@njit
def _mean_kernel(state: Floats, values: Floats, period: int, column: Floats) -> None:
    ring = state[3:]
    is_full = state[0] > 0.0
    place = int(state[1])
    total = state[2]
    for i in range(values.shape[0]):
        total += values[i]
        ring[place] = values[i]
        place += 1
        if is_full or place == period:
            column[i] = (ring[place] + total) / period
        else:
            column[i] = NULL
        if place == period:
            for j in range(period - 2, -1, -1):
                ring[j] += ring[j + 1]
            is_full = True
            place = 0
            total = 0.0
    state[0] = 1.0 if is_full else 0.0
    state[1] = place
    state[2] = total


def bollinger_state(period: int) -> Floats:
    """[1 once a block is full, place, running total, mean and squares of the block so far,
    ring of values, means of the previous block's ends, their sums of squared deviations]."""
    return np.zeros(5 + 3 * period + 2)


def bollinger(
    state: Floats, values: Floats, period: int, final: Final = None
) -> tuple[Floats, Floats, Floats]:
    """(state, mean, population standard deviation) of the last `period` values.

    The mean is sma's, bit for bit.
    """
    state = state.copy()
    middle = np.empty(values.shape[0])
    deviation = np.empty(values.shape[0])
    if final is None:
        _bollinger_kernel(state, values, period, middle, deviation)
    else:
        _bollinger_each(state, values, final, period, middle, deviation)
    return state, middle, deviation


@njit
def _bollinger_each(
    state: Floats, values: Floats, final: Bools, period: int, middle: Floats, deviation: Floats
) -> None:
    scratch = np.empty_like(state)
    for i in range(values.shape[0]):
        own = state_for(state, scratch, final[i])
        at = slice(i, i + 1)
        _bollinger_kernel(own, values[at], period, middle[at], deviation[at])


@njit
def _bollinger_kernel(
    state: Floats, values: Floats, period: int, middle: Floats, deviation: Floats
) -> None:
    ring = state[5 : 5 + period]
    end_means = state[5 + period : 6 + 2 * period]
    end_squares = state[6 + 2 * period :]
    is_full = state[0] > 0.0
    place = int(state[1])
    total, block_mean, block_squares = state[2], state[3], state[4]
    share = 1.0 / period
    for i in range(values.shape[0]):
        value = values[i]
        ring[place] = value
        total += value
        place += 1
        step = value - block_mean
        block_mean += step * (1.0 / place)  # the division need not wait for the step
        block_squares += step * (value - block_mean)
        if is_full or place == period:
            middle[i] = total / period
            total -= ring[place if place < period else 0]
            gap = end_means[place] - block_mean
            shared = place * (period - place) * share
            squares = block_squares + end_squares[place] + gap * gap * shared
            deviation[i] = math.sqrt(squares * share)
        else:
            middle[i] = NULL
            deviation[i] = NULL
        if place == period:
            _end_moments(ring, end_means, end_squares)
            is_full = True
            place = 0
            block_mean = 0.0
            block_squares = 0.0
    state[0] = 1.0 if is_full else 0.0
    state[1] = place
    state[2], state[3], state[4] = total, block_mean, block_squares


@njit
def _end_moments(ring: Floats, means: Floats, squares: Floats) -> None:
    """Mean and sum of squared deviations of every end of the block, by Welford's recurrence."""
    running_mean = 0.0
    running_squares = 0.0
    length = ring.shape[0]
    for j in range(length - 1, -1, -1):
        step = ring[j] - running_mean
        running_mean += step * (1.0 / (length - j))
        running_squares += step * (ring[j] - running_mean)
        means[j] = running_mean
        squares[j] = running_squares
