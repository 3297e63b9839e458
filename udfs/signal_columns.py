"""Signals of one symbol as columns: what the dense stage gives and the account fold takes."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from udfs.bars import Bars, Bools, Floats, Ints, next_bars

Actions = npt.NDArray[np.int8]
Indices = npt.NDArray[np.int32]
NO_NEXT = -1  # no bar opens there: times before 1970 are negative, but on whole minutes


class Signals(NamedTuple):
    """Signals of one symbol as columns of equal length n.

    strategy int32 (index in the plan), ts int64 (the anchor bar's close), action int8 (+1 BUY,
    -1 SELL), close float64, size_hint and confidence float64, next_ts int64 (open of the symbol's
    next base bar, -1 where the input has none) and next_close float64.
    """

    strategy: Indices
    ts: Ints
    action: Actions
    close: Floats
    size_hint: Floats
    confidence: Floats
    next_ts: Ints
    next_close: Floats


def no_signals() -> Signals:
    """Columns of length 0."""
    return Signals(
        strategy=np.empty(0, dtype=np.int32),
        ts=np.empty(0, dtype=np.int64),
        action=np.empty(0, dtype=np.int8),
        close=np.empty(0, dtype=np.float64),
        size_hint=np.empty(0, dtype=np.float64),
        confidence=np.empty(0, dtype=np.float64),
        next_ts=np.empty(0, dtype=np.int64),
        next_close=np.empty(0, dtype=np.float64),
    )


def attach_next(signals: Signals, bars: Bars) -> tuple[Signals, Signals]:
    """(signals with their next bar in this piece, those whose next bar is still to come)."""
    at = next_bars(signals.ts, bars)
    found = at < len(bars.ts)
    waiting = take(signals, ~found)
    at = at[found]
    ready = take(signals, found)._replace(next_ts=bars.ts[at], next_close=bars.close[at])
    return ready, waiting


def take(signals: Signals, mask: Bools) -> Signals:
    """The rows where `mask` is True."""
    return Signals._make(column[mask] for column in signals)


def concat_signals(pieces: list[Signals]) -> Signals:
    """The pieces one after another."""
    return Signals._make(np.concatenate(columns) for columns in zip(*pieces, strict=True))
