"""Bars of one symbol as columns."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]


class Bars(NamedTuple):
    """Valid bars of one symbol: strictly ascending `ts` (UTC ms of the open), float64 columns."""

    ts: Ints
    open: Floats
    high: Floats
    low: Floats
    close: Floats
    volume: Floats


def cut(bars: Bars, start: int, stop: int) -> Bars:
    """Rows [start, stop) as views."""
    return Bars(
        bars.ts[start:stop],
        bars.open[start:stop],
        bars.high[start:stop],
        bars.low[start:stop],
        bars.close[start:stop],
        bars.volume[start:stop],
    )


def join_bars(pieces: Sequence[Bars]) -> Bars:
    """Pieces of bars one after another."""
    none = np.empty(0)
    start = Bars(np.empty(0, dtype=np.int64), none, none, none, none, none)
    return Bars._make(np.concatenate(parts) for parts in zip(start, *pieces, strict=True))


def next_bars(ts: Ints, bars: Bars) -> Ints:
    """For each time the number of the next bar: the first with an open at or after it.

    len(bars.ts) where there is none.
    """
    return np.searchsorted(bars.ts, ts, side="left")
