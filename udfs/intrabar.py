"""Strategies that look at the bar of their timeframe before it is finished, in columns.

At each base close a moment: the bar so far, with the features that it would have if it ended now,
beside the last final bar. `watch` has carried state as the kernels of udfs/dense.py have, and gives
the same signals however the bars are cut into pieces, one by one included.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from udfs import features as feature_kernels
from udfs.answers import answered, as_signals
from udfs.bars import Bars, Bools, Floats, Ints
from udfs.frames import (
    NEVER,
    OHLCV,
    Frame,
    IndicatorRows,
    LastRow,
    SymbolFrames,
    borrow,
    parted,
)
from udfs.resample import Moments, ResampleState, close_window, concat_moments, moments
from udfs.resample import initial_state as initial_window
from udfs.signal_columns import Actions, Signals, concat_signals, no_signals
from udfs.strategies import BUY, SELL

CURRENT = slice(1, None, 2)  # rows of a pair's columns: the last final bar, then the one so far
BOTH = (BUY, SELL)


class Watch(NamedTuple):
    """What `watch` carries for one timeframe.

    `window` is the bar so far; `kernels` are as after the last final bar, `previous` is that bar;
    `given` int64[strategies, 2]: the start of the bar in which each last gave BUY, and SELL.
    """

    window: ResampleState
    kernels: feature_kernels.State
    previous: LastRow
    given: Ints


def initial_state(symbol: SymbolFrames) -> tuple[Watch, ...]:
    """Before the first bar."""
    return tuple(
        Watch(
            window=initial_window(),
            kernels=feature_kernels.initial_state(frame.features),
            previous=LastRow(),
            given=np.full((len(frame.strategies), len(BOTH)), NEVER, dtype=np.int64),
        )
        for frame in symbol.intrabar
    )


def watch(
    state: tuple[Watch, ...],
    bars: Bars,
    symbol: SymbolFrames,
    last: Sequence[LastRow],
    rows: Sequence[IndicatorRows],
    until_ts: int | None = None,
) -> tuple[tuple[Watch, ...], Signals]:
    """The state after these base bars, and the signals at their closes, next bars still unknown.

    `rows` are the final rows that these bars give, `last` those before them, as `decide` gets
    them. `until_ts`: no bar that closes by then is still to come, so windows that end by then do.
    """
    after: list[Watch] = []
    signals = [no_signals()]
    for frame, carried in zip(symbol.intrabar, state, strict=True):
        window, found = moments(carried.window, bars, symbol.base_ms, frame.length_ms)
        if until_ts is not None:
            window, ended = close_window(window, until_ts, frame.length_ms)
            found = concat_moments(found, ended, frame.length_ms)
        carried = carried._replace(window=window)
        if len(found.ts):
            columns = borrow(frame.borrowed, found.ts, symbol, last, rows)
            carried, more = _decide(frame, carried, found, columns, symbol.start_ts)
            signals.extend(more)
        after.append(carried)
    return tuple(after), concat_signals(signals)


def _decide(
    frame: Frame,
    carried: Watch,
    found: Moments,
    borrowed: dict[str, Floats],
    start_ts: int | None,
) -> tuple[Watch, list[Signals]]:
    """The state after these moments, and the signals of all strategies anchored here."""
    kernels, own = feature_kernels.compute(carried.kernels, found.bars, frame.features, found.final)
    own.update({name: getattr(found.bars, name) for name in OHLCV})
    used = sorted({"close"}.union(*(strategy.features for strategy in frame.strategies)))
    columns = {}
    for name in used:
        timeframe, feature = parted(name, frame.timeframe)
        columns[name] = own[feature] if timeframe == frame.timeframe else borrowed[name]
    pairs = _pairs(columns, carried.previous, found.final)
    given = carried.given.copy()
    signals: list[Signals] = []
    for which, strategy in enumerate(frame.strategies):
        answers, at = answered(strategy, pairs, CURRENT)
        at = _first(at, answers, found.bars.ts, given[which])
        # What was answered before has been given: it is not told now, nor a second time.
        for begins in (start_ts, strategy.plan.from_ts):
            if begins is not None:
                at = at[found.ts[at] > begins]
        if len(at):
            signals.append(as_signals(strategy, pairs, CURRENT, at, found.ts, answers))
    previous = carried.previous
    ends = np.flatnonzero(found.final)
    if len(ends):
        newest = {name: float(column[ends[-1]]) for name, column in columns.items()}
        previous = LastRow(int(found.ts[ends[-1]]), newest)
    return Watch(carried.window, kernels, previous, given), signals


def _pairs(columns: dict[str, Floats], previous: LastRow, final: Bools) -> dict[str, Floats]:
    """Each moment's row behind that of the final bar before it: a strategy looks back one row."""
    before: Ints = np.cumsum(final) - final  # how many bars have become final before each moment
    pairs = {}
    for name, column in columns.items():
        ended = np.concatenate(([previous.columns.get(name, np.nan)], column[final]))
        pair = np.empty(2 * len(column))
        pair[0::2] = ended[before]
        pair[CURRENT] = column
        pairs[name] = pair
    return pairs


def _first(at: Ints, answers: Actions, starts: Ints, given: Ints) -> Ints:
    """Of the answers numbered `at` the first one per bar and action; `given` is brought forward."""
    kept = []
    for which, action in enumerate(BOTH):
        mine = at[answers[at] == action]
        if not len(mine):
            continue
        bars = starts[mine]
        is_first = np.concatenate(([bars[0] != given[which]], bars[1:] != bars[:-1]))
        given[which] = bars[-1]
        kept.append(mine[is_first])
    return np.sort(np.concatenate(kept)) if kept else at
