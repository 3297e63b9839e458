"""Higher timeframes from base bars: windows aligned to the UTC epoch, with carried state."""

from typing import NamedTuple

import numpy as np

from udfs.bars import Bars, Bools, Floats, Ints, cut
from udfs.compiled import njit

ResampleState = Floats  # float64[6]: window start or NONE, open, high, low, close, volume
NONE = -1  # no window starts there: before 1970 starts are negative, but on whole minutes


class Moments(NamedTuple):
    """Windows as they were at times, a row each, in order of time.

    `ts` is the time, `bars` the window as if it ended there (its ts is where it starts), `final`
    whether it did.
    """

    ts: Ints
    bars: Bars
    final: Bools


def initial_state() -> ResampleState:
    """No window is open."""
    state = np.zeros(6, dtype=np.float64)
    state[0] = NONE
    return state


@njit
def _windows(
    state: Floats, base_ms: int, window_ms: int, bars: Bars, each: bool, out: Bars, out_ts: Ints
) -> int:
    """Fill `out` with the windows that became final; answer how many. `state` is overwritten.

    With `each` also with the open one at the close of every base bar. `out_ts`: the times.
    """
    count = 0
    start = np.int64(state[0])
    for i in range(len(bars.ts)):
        window = bars.ts[i] - bars.ts[i] % window_ms
        if start != NONE and window != start:
            out_ts[count] = start + window_ms
            count = _emit(state, start, out, count)
            start = np.int64(NONE)
        if start == NONE:
            start = window
            state[1], state[2], state[3] = bars.open[i], bars.high[i], bars.low[i]
            state[5] = bars.volume[i]
        else:
            state[2] = max(state[2], bars.high[i])
            state[3] = min(state[3], bars.low[i])
            state[5] += bars.volume[i]
        state[4] = bars.close[i]
        ends = bars.ts[i] + base_ms == window + window_ms
        if ends or each:
            out_ts[count] = bars.ts[i] + base_ms
            count = _emit(state, start, out, count)
        if ends:
            start = np.int64(NONE)
    state[0] = start
    return count


@njit
def _emit(state: Floats, start: np.int64, out: Bars, count: int) -> int:
    """Write the open window behind the `count` that are there; the new count."""
    out.ts[count] = start
    out.open[count] = state[1]
    out.high[count] = state[2]
    out.low[count] = state[3]
    out.close[count] = state[4]
    out.volume[count] = state[5]
    return count + 1


def resample(
    state: ResampleState, bars: Bars, base_ms: int, window_ms: int
) -> tuple[ResampleState, Bars]:
    """The windows of `window_ms` that become final with these base bars.

    A window [T, T + window) is final once a base bar that closes at T + window or later is there;
    the last open one stays in the state. The first window counts even if it is cut.
    """
    after = state.copy()
    out, out_ts = _places(len(bars.ts) + 1)
    count = _windows(after, base_ms, window_ms, bars, False, out, out_ts)
    return after, cut(out, 0, count)


def moments(
    state: ResampleState, bars: Bars, base_ms: int, window_ms: int
) -> tuple[ResampleState, Moments]:
    """The window of each of these base bars at its close, and those final ones that end later.

    A window whose last base bars are missing is final at its end, once a later bar is there.
    """
    after = state.copy()
    out, out_ts = _places(2 * len(bars.ts))
    count = _windows(after, base_ms, window_ms, bars, True, out, out_ts)
    ts, windows = out_ts[:count], cut(out, 0, count)
    return after, Moments(ts, windows, ts == windows.ts + window_ms)


def concat_moments(found: Moments, ended: Bars, window_ms: int) -> Moments:
    """These, and then windows that are final at their ends."""
    if not len(ended.ts):
        return found
    return Moments(
        np.concatenate((found.ts, ended.ts + window_ms)),
        Bars._make(np.concatenate(columns) for columns in zip(found.bars, ended, strict=True)),
        np.concatenate((found.final, np.ones(len(ended.ts), dtype=np.bool_))),
    )


def _places(n: int) -> tuple[Bars, Ints]:
    """Columns for n windows and their times."""
    out = Bars(np.empty(n, dtype=np.int64), *(np.empty(n) for _ in range(5)))
    return out, np.empty(n, dtype=np.int64)


def close_window(state: ResampleState, until_ts: int, window_ms: int) -> tuple[ResampleState, Bars]:
    """The open window, if it ends at `until_ts` or before: no further bar will come for it."""
    if state[0] == NONE or int(state[0]) + window_ms > until_ts:
        return state, _bar(state, 0)
    return initial_state(), _bar(state, 1)


def open_window(state: ResampleState) -> Bars:
    """The window that is not finished, as it is now: one bar or none."""
    return _bar(state, 0 if state[0] == NONE else 1)


def _bar(state: ResampleState, count: int) -> Bars:
    """The state's window as `count` bars, 0 or 1."""
    prices = (np.array([value] * count, dtype=np.float64) for value in state[1:])
    return Bars(np.array([state[0]] * count, dtype=np.int64), *prices)
