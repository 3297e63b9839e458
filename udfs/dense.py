"""The dense stage of one symbol: base bars → features → strategies → signals, in columns.

Two kernels with carried state, `indicate` (bars → final rows of every timeframe) and `decide`
(final rows → signals), and both in one: `initial_state`, then `advance` with every piece of bars,
then `finish`. Values do not depend on how the bars are cut into pieces.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from udfs import features as feature_kernels
from udfs.bars import Bars, Floats, Ints, next_bars
from udfs.features import FeatureSet
from udfs.library import BUILT_IN, Library
from udfs.plan import Params, RunPlan, StrategyPlan
from udfs.resample import ResampleState, resample
from udfs.resample import initial_state as initial_window
from udfs.strategies import Kind
from udfs.strategies.kind import Columns
from udfs.timeframes import timeframe_ms

Actions = npt.NDArray[np.int8]
Indices = npt.NDArray[np.int32]
OHLCV = ("open", "high", "low", "close", "volume")
NO_NEXT = -1  # no bar opens there: times before 1970 are negative, but on whole minutes
NEVER = int(np.iinfo(np.int64).min)


class Anchored(NamedTuple):
    """A strategy on its own timeframe: its number in the plan, and the columns that it reads."""

    number: int
    plan: StrategyPlan
    kind: Kind
    features: tuple[str, ...]


class Frame(NamedTuple):
    """What one timeframe of a symbol computes.

    `features` are its own, prices apart, `borrowed` the names (`15m:ema_50`) that its strategies
    take from other timeframes, `strategies` those anchored here.
    """

    timeframe: str
    length_ms: int
    features: FeatureSet
    borrowed: tuple[str, ...]
    strategies: tuple[Anchored, ...]


class SymbolFrames(NamedTuple):
    """All timeframes in use for a symbol, shortest first."""

    base_ms: int
    start_ts: int | None
    frames: tuple[Frame, ...]


class IndicatorState(NamedTuple):
    """What `indicate` carries for one timeframe: its window and its kernels."""

    window: ResampleState
    kernels: feature_kernels.State


class LastRow(NamedTuple):
    """What `decide` carries for one timeframe: the close time and the columns of its last row."""

    close_ts: int = NEVER
    columns: Mapping[str, float] = MappingProxyType({})


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


class IndicatorRows(NamedTuple):
    """Final rows of one timeframe: ts is the close time, columns by feature name, NaN for null."""

    timeframe: str
    ts: Ints
    columns: dict[str, Floats]


class DenseState(NamedTuple):
    """Everything that the dense stage carries from piece to piece for one symbol."""

    indicators: tuple[IndicatorState, ...]
    last: tuple[LastRow, ...]
    waiting: Signals


def symbol_frames(plan: RunPlan, symbol: str, library: Library = BUILT_IN) -> SymbolFrames:
    """What must be computed for a symbol: the timeframes and features that are asked for.

    A traced run shows all of them for every symbol, else only what this symbol's strategies need.
    """
    own: dict[str, set[str]] = {}
    borrowed: dict[str, set[str]] = {}
    anchored: dict[str, list[Anchored]] = {}
    for index, strategy in enumerate(plan.strategies):
        if symbol not in strategy.symbols and not plan.trace:
            continue
        anchor, kind = strategy.timeframe, library.kinds[strategy.kind]
        features = kind.features(strategy.params)
        if symbol in strategy.symbols:
            anchored.setdefault(anchor, []).append(Anchored(index, strategy, kind, features))
        own.setdefault(anchor, set())
        for name in features:
            timeframe, _, feature = name.rpartition(":")
            own.setdefault(timeframe or anchor, set()).add(feature)
            if timeframe:
                borrowed.setdefault(anchor, set()).add(name)
    frames = [
        Frame(
            timeframe=timeframe,
            length_ms=timeframe_ms(timeframe),
            features=feature_kernels.feature_set(sorted(names - set(OHLCV)), library.features),
            borrowed=tuple(sorted(borrowed.get(timeframe, ()))),
            strategies=tuple(anchored.get(timeframe, ())),
        )
        for timeframe, names in own.items()
    ]
    frames.sort(key=lambda frame: frame.length_ms)
    return SymbolFrames(plan.base_ms, plan.start_ts, tuple(frames))


def initial_state(symbol: SymbolFrames) -> DenseState:
    """Before the first bar."""
    return DenseState(initial_indicators(symbol), initial_rows(symbol), no_signals())


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


def advance(
    state: DenseState, bars: Bars, symbol: SymbolFrames
) -> tuple[DenseState, Signals, list[IndicatorRows]]:
    """The state after these base bars, the signals whose next bar is known, the final rows."""
    if not len(bars.ts):
        return state, no_signals(), []
    indicators, rows = indicate(state.indicators, bars, symbol)
    last, signals = decide(state.last, rows, symbol)
    ready, waiting = _attach_next(concat_signals([state.waiting, signals]), bars)
    return DenseState(indicators, last, waiting), ready, rows


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
        columns.update(_borrow(frame, own.ts, symbol, state, rows))
        if len(own.ts):
            signals.extend(_decide(frame, own.ts, columns, last.columns, symbol.start_ts))
            newest = {name: float(column[-1]) for name, column in columns.items()}
            last = LastRow(int(own.ts[-1]), newest)
        after.append(last)
    return tuple(after), concat_signals(signals)


def finish(state: DenseState) -> Signals:
    """The signals that never got a next bar."""
    return state.waiting


def _borrow(
    frame: Frame,
    close_ts: Ints,
    symbol: SymbolFrames,
    state: tuple[LastRow, ...],
    rows: list[IndicatorRows],
) -> dict[str, Floats]:
    """Columns of other timeframes as known at each of these closes: the last bar with end <= t."""
    columns: dict[str, Floats] = {}
    timeframes = [other.timeframe for other in symbol.frames]
    for name in frame.borrowed:
        timeframe, _, feature = name.rpartition(":")
        source = timeframes.index(timeframe)
        last = state[source]
        ends = np.concatenate(([last.close_ts], rows[source].ts))
        values = np.concatenate(
            ([last.columns.get(feature, np.nan)], rows[source].columns[feature])
        )
        columns[name] = values[np.searchsorted(ends, close_ts, side="right") - 1]
    return columns


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
        declared = {name: with_previous[name] for name in strategy.features}
        answers = strategy.kind.signals(declared, strategy.plan.params)[1:]
        at = answers.nonzero()[0]
        if not len(at):
            continue
        for begins in (start_ts, strategy.plan.from_ts):
            if begins is not None and len(at) and close_ts[at[0]] <= begins:
                at = at[close_ts[at] > begins]
        for name in strategy.features:
            missing = np.isnan(columns[name][at])
            if missing.any():
                at = at[~missing]
        if len(at):
            found.append(
                Signals(
                    strategy=np.full(len(at), strategy.number, dtype=np.int32),
                    ts=close_ts[at],
                    action=answers[at],
                    close=columns["close"][at],
                    size_hint=_factors(strategy.kind.sizes, declared, strategy.plan.params, at),
                    confidence=_factors(
                        strategy.kind.confidences, declared, strategy.plan.params, at
                    ),
                    next_ts=np.full(len(at), NO_NEXT, dtype=np.int64),
                    next_close=np.full(len(at), np.nan),
                )
            )
    return found


def _factors(
    given: Callable[[Columns, Params], Floats] | None, columns: Columns, params: Params, at: Ints
) -> Floats:
    """What a kind says of its answers in these rows, 1.0 where it says nothing."""
    return np.ones(len(at)) if given is None else given(columns, params)[1:][at]


def _attach_next(signals: Signals, bars: Bars) -> tuple[Signals, Signals]:
    """(signals with their next bar in this piece, those whose next bar is still to come)."""
    at = next_bars(signals.ts, bars)
    found = at < len(bars.ts)
    waiting = _take(signals, ~found)
    at = at[found]
    ready = _take(signals, found)._replace(next_ts=bars.ts[at], next_close=bars.close[at])
    return ready, waiting


def _take(signals: Signals, mask: npt.NDArray[np.bool_]) -> Signals:
    """The rows where `mask` is True."""
    return Signals._make(column[mask] for column in signals)


def concat_signals(pieces: list[Signals]) -> Signals:
    """The pieces one after another."""
    return Signals._make(np.concatenate(columns) for columns in zip(*pieces, strict=True))
