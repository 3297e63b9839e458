"""What is computed for a symbol: its timeframes, their features, strategies and rows."""

from collections.abc import Mapping, Sequence
from itertools import chain
from types import MappingProxyType
from typing import NamedTuple

import numpy as np

from udfs import features as feature_kernels
from udfs.bars import Floats, Ints
from udfs.features import FeatureSet
from udfs.library import BUILT_IN, Library
from udfs.plan import RunPlan, StrategyPlan
from udfs.strategies import Kind
from udfs.timeframes import timeframe_ms

OHLCV = ("open", "high", "low", "close", "volume")
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
    """All timeframes in use for a symbol, shortest first.

    `frames` are of final bars; `intrabar` are those whose bars some strategies look at before they
    are finished, with these strategies and their features alone.
    """

    base_ms: int
    start_ts: int | None
    frames: tuple[Frame, ...]
    intrabar: tuple[Frame, ...] = ()

    @property
    def strategies(self) -> tuple[Anchored, ...]:
        """All strategies of the symbol."""
        frames = (*self.frames, *self.intrabar)
        return tuple(chain.from_iterable(frame.strategies for frame in frames))


class LastRow(NamedTuple):
    """The last row of a timeframe: its close time and its columns."""

    close_ts: int = NEVER
    columns: Mapping[str, float] = MappingProxyType({})


class IndicatorRows(NamedTuple):
    """Final rows of one timeframe: ts is the close time, columns by feature name, NaN for null."""

    timeframe: str
    ts: Ints
    columns: dict[str, Floats]


def symbol_frames(plan: RunPlan, symbol: str, library: Library = BUILT_IN) -> SymbolFrames:
    """What must be computed for a symbol: the timeframes and features that are asked for.

    A traced run shows all of them for every symbol, else only what this symbol's strategies need.
    """
    own: dict[str, set[str]] = {}
    final: dict[str, list[Anchored]] = {}
    intrabar: dict[str, list[Anchored]] = {}
    for index, strategy in enumerate(plan.strategies):
        runs = symbol in strategy.symbols
        if not runs and not plan.trace:
            continue
        anchor, kind = strategy.timeframe, library.kinds[strategy.kind]
        one = Anchored(index, strategy, kind, kind.features(strategy.params))
        if runs:
            (intrabar if strategy.intrabar else final).setdefault(anchor, []).append(one)
        # What an intrabar strategy sees of its own timeframe is computed apart from final bars.
        shown = plan.trace or not strategy.intrabar
        if shown:
            own.setdefault(anchor, set())
        for timeframe, feature in (parted(name, anchor) for name in one.features):
            if shown or timeframe != anchor:
                own.setdefault(timeframe, set()).add(feature)
    frames = [_frame(one, names, final.get(one, []), library) for one, names in own.items()]
    watched = [_intrabar_frame(one, strategies, library) for one, strategies in intrabar.items()]
    return SymbolFrames(
        plan.base_ms,
        plan.start_ts,
        tuple(sorted(frames, key=lambda frame: frame.length_ms)),
        tuple(sorted(watched, key=lambda frame: frame.length_ms)),
    )


def parted(name: str, anchor: str) -> tuple[str, str]:
    """A feature's timeframe, which is the anchor's unless its name says another, and its name."""
    timeframe, _, feature = name.rpartition(":")
    return timeframe or anchor, feature


def _frame(timeframe: str, names: set[str], strategies: list[Anchored], library: Library) -> Frame:
    read = {name for one in strategies for name in one.features}
    return Frame(
        timeframe=timeframe,
        length_ms=timeframe_ms(timeframe),
        features=_features(names, library),
        borrowed=tuple(sorted(name for name in read if ":" in name)),
        strategies=tuple(strategies),
    )


def _intrabar_frame(timeframe: str, strategies: list[Anchored], library: Library) -> Frame:
    read = {name for one in strategies for name in one.features}
    others = {name for name in read if parted(name, timeframe)[0] != timeframe}
    return Frame(
        timeframe=timeframe,
        length_ms=timeframe_ms(timeframe),
        features=_features({parted(name, timeframe)[1] for name in read - others}, library),
        borrowed=tuple(sorted(others)),
        strategies=tuple(strategies),
    )


def _features(names: set[str], library: Library) -> FeatureSet:
    return feature_kernels.feature_set(sorted(names - set(OHLCV)), library.features)


def borrow(
    names: Sequence[str],
    close_ts: Ints,
    symbol: SymbolFrames,
    last: Sequence[LastRow],
    rows: Sequence[IndicatorRows],
) -> dict[str, Floats]:
    """Columns of other timeframes as known at each of these times: the last bar with end <= t.

    `rows` are this piece's final rows, `last` those before them, a timeframe each.
    """
    columns: dict[str, Floats] = {}
    timeframes = [other.timeframe for other in symbol.frames]
    for name in names:
        timeframe, _, feature = name.rpartition(":")
        source = timeframes.index(timeframe)
        before = last[source]
        ends = np.concatenate(([before.close_ts], rows[source].ts))
        values = np.concatenate(
            ([before.columns.get(feature, np.nan)], rows[source].columns[feature])
        )
        columns[name] = values[np.searchsorted(ends, close_ts, side="right") - 1]
    return columns
