"""The dense stage of one symbol: base bars → features → strategies → signals, in columns.

Kernels with carried state: `indicate` (bars → final rows of every timeframe), `decide` (final rows
→ signals), and for strategies that look at unfinished bars `watch` of udfs/intrabar.py. All in one:
`initial_state`, then `advance` with every piece of bars, then `finish`. Values do not depend on how
the bars are cut into pieces.
"""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from udfs import features as feature_kernels
from udfs import intrabar
from udfs.answers import answered, as_signals
from udfs.bars import Bars, Floats, Ints
from udfs.frames import OHLCV, Frame, IndicatorRows, LastRow, SymbolFrames, borrow
from udfs.intrabar import Watch
from udfs.resample import ResampleState, resample
from udfs.resample import initial_state as initial_window
from udfs.signal_columns import Signals, attach_next, concat_signals, no_signals


class IndicatorState(NamedTuple):
    """What `indicate` carries for one timeframe: its window and its kernels."""

    window: ResampleState
    kernels: feature_kernels.State


class DenseState(NamedTuple):
    """Everything that the dense stage carries from piece to piece for one symbol."""

    indicators: tuple[IndicatorState, ...]
    last: tuple[LastRow, ...]
    watched: tuple[Watch, ...]
    waiting: Signals


def initial_state(symbol: SymbolFrames) -> DenseState:
    """Before the first bar."""
    return DenseState(
        initial_indicators(symbol),
        initial_rows(symbol),
        intrabar.initial_state(symbol),
        no_signals(),
    )


def initial_indicators(symbol: SymbolFrames) -> tuple[IndicatorState, ...]:
    """The state of `indicate` before the first bar."""
    return tuple(
        IndicatorState(
            window=initial_window(),
            kernels=feature_kernels.initial_state(frame.features),
        )
        for frame in symbol.frames
    )


def initial_rows(symbol: SymbolFrames) -> tuple[LastRow, ...]:
    """The state of `decide` before the first row."""
    return tuple(LastRow() for _ in symbol.frames)


def advance(
    state: DenseState, bars: Bars, symbol: SymbolFrames
) -> tuple[DenseState, Signals, list[IndicatorRows]]:
    """The state after these base bars, the signals whose next bar is known, the final rows."""
    if not len(bars.ts):
        return state, no_signals(), []
    indicators, rows = indicate(state.indicators, bars, symbol)
    last, signals = decide(state.last, rows, symbol)
    watched, more = intrabar.watch(state.watched, bars, symbol, state.last, rows)
    ready, waiting = attach_next(concat_signals([state.waiting, signals, more]), bars)
    return DenseState(indicators, last, watched, waiting), ready, rows


def indicate(
    state: tuple[IndicatorState, ...], bars: Bars, symbol: SymbolFrames
) -> tuple[tuple[IndicatorState, ...], list[IndicatorRows]]:
    """The state after these base bars, and each timeframe's final rows with all its columns."""
    after: list[IndicatorState] = []
    rows: list[IndicatorRows] = []
    for frame, carried in zip(symbol.frames, state, strict=True):
        window, final = carried.window, bars
        if frame.length_ms != symbol.base_ms:
            window, final = resample(window, bars, symbol.base_ms, frame.length_ms)
        kernels, columns = feature_kernels.compute(carried.kernels, final, frame.features)
        columns.update({name: getattr(final, name) for name in OHLCV})
        after.append(IndicatorState(window, kernels))
        rows.append(IndicatorRows(frame.timeframe, final.ts + frame.length_ms, columns))
    return tuple(after), rows


def decide(
    state: tuple[LastRow, ...], rows: list[IndicatorRows], symbol: SymbolFrames
) -> tuple[tuple[LastRow, ...], Signals]:
    """The state after these rows, one piece per timeframe, and the signals that they give.

    The signals' next bar is still unknown.
    """
    signals = [no_signals()]
    after: list[LastRow] = []
    for frame, last, own in zip(symbol.frames, state, rows, strict=True):
        columns = dict(own.columns)
        columns.update(borrow(frame.borrowed, own.ts, symbol, state, rows))
        if len(own.ts):
            signals.extend(_decide(frame, own.ts, columns, last.columns, symbol.start_ts))
            newest = {name: float(column[-1]) for name, column in columns.items()}
            last = LastRow(int(own.ts[-1]), newest)
        after.append(last)
    return tuple(after), concat_signals(signals)


def finish(state: DenseState) -> Signals:
    """The signals that never got a next bar."""
    return state.waiting


def _decide(
    frame: Frame,
    close_ts: Ints,
    columns: dict[str, Floats],
    last: Mapping[str, float],
    start_ts: int | None,
) -> list[Signals]:
    """Signals of all strategies anchored here, their next bar still unknown."""
    used = sorted({"close"}.union(*(strategy.features for strategy in frame.strategies)))
    with_previous = {
        name: np.concatenate(([last.get(name, np.nan)], columns[name])) for name in used
    }
    found: list[Signals] = []
    for strategy in frame.strategies:
        answers, at = answered(strategy, with_previous, slice(1, None))
        for begins in (start_ts, strategy.plan.from_ts):
            if begins is not None and len(at) and close_ts[at[0]] <= begins:
                at = at[close_ts[at] > begins]
        if len(at):
            found.append(as_signals(strategy, with_previous, slice(1, None), at, close_ts, answers))
    return found
