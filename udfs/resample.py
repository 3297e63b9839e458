"""Higher timeframes from base bars: windows aligned to the UTC epoch, with carried state."""

import numpy as np

from udfs.bars import Bars, Floats
from udfs.compiled import njit

ResampleState = Floats  # float64[6]: window start or -1, open, high, low, close, volume


def initial_state() -> ResampleState:
    """No window is open."""
    state = np.zeros(6, dtype=np.float64)
    state[0] = -1.0
    return state


@njit
def _windows(
    state: Floats,
    base_ms: int,
    window_ms: int,
    bars: tuple,
    out: tuple,  # type: ignore[type-arg]
) -> int:
    """Fill `out` with the windows that became final; answer how many. `state` is overwritten."""
    ts, opens, highs, lows, closes, volumes = bars
    out_ts, out_open, out_high, out_low, out_close, out_volume = out
    count = 0
    start = np.int64(state[0])
    o, h, low, c, v = state[1], state[2], state[3], state[4], state[5]
    for i in range(len(ts)):
        window = ts[i] - ts[i] % window_ms
        if start >= 0 and window != start:
            out_ts[count] = start
            out_open[count], out_high[count], out_low[count] = o, h, low
            out_close[count], out_volume[count] = c, v
            count += 1
            start = -1
        if start < 0:
            start = window
            o, h, low, v = opens[i], highs[i], lows[i], volumes[i]
        else:
            h = max(h, highs[i])
            low = min(low, lows[i])
            v += volumes[i]
        c = closes[i]
        if ts[i] + base_ms == window + window_ms:
            out_ts[count] = start
            out_open[count], out_high[count], out_low[count] = o, h, low
            out_close[count], out_volume[count] = c, v
            count += 1
            start = -1
    state[0] = start
    state[1], state[2], state[3], state[4], state[5] = o, h, low, c, v
    return count


def resample(
    state: ResampleState, bars: Bars, base_ms: int, window_ms: int
) -> tuple[ResampleState, Bars]:
    """The windows of `window_ms` that become final with these base bars.

    A window [T, T + window) is final once a base bar that closes at T + window or later is there;
    the last open one stays in the state. The first window counts even if it is cut.
    """
    after = state.copy()
    n = len(bars.ts) + 1
    out = (np.empty(n, dtype=np.int64), *(np.empty(n, dtype=np.float64) for _ in range(5)))
    count = _windows(after, base_ms, window_ms, tuple(bars), out)
    ts, opens, highs, lows, closes, volumes = (column[:count] for column in out)
    return after, Bars(ts, opens, highs, lows, closes, volumes)
