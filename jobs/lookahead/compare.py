"""Bit for bit: what the run says beside what the run on cut input says, and where they differ."""

from enum import StrEnum
from typing import NamedTuple

import numpy as np

from jobs.lookahead.walk import Answer, Reference, Walk, expected_signals
from udfs.bars import Bools, Floats
from udfs.errors import InvariantError
from udfs.frames import OHLCV, IndicatorRows
from udfs.signal_columns import Signals


class Way(StrEnum):
    """How the run on cut input was computed."""

    CUT = "cut"  # in the run's own pieces
    SHORT = "short"  # in short pieces
    WHOLE = "whole"  # from the first bar on, by the stage itself


class Name(NamedTuple):
    """A feature of a timeframe, or a strategy (`timeframe` is its anchor's)."""

    is_strategy: bool
    name: str
    timeframe: str


Value = float | tuple[float, ...] | None  # of a feature; of a strategy; nothing


class Sample(NamedTuple):
    """One difference: the bar (its close time), how many bars the cut left, what it then gave."""

    symbol: str
    way: Way
    close_ts: int
    count: int
    found: Value


class Seen(NamedTuple):
    """All differences of one name: how many values in how many cuts, and the first per way."""

    values: int
    cuts: int
    symbols: frozenset[str]
    samples: tuple[Sample, ...]


class Tally:
    """What was compared, and the differences by name."""

    def __init__(self) -> None:
        self.values = 0
        self.seen: dict[Name, Seen] = {}

    def add(self, name: Name, count: int, sample: Sample) -> None:
        """Take in `count` differences of one cut; of each way the earliest cut is kept."""
        before = self.seen.get(name, Seen(0, 0, frozenset(), ()))
        kept = {one.way: one for one in before.samples}
        kept.setdefault(sample.way, sample)
        self.seen[name] = Seen(
            values=before.values + count,
            cuts=before.cuts + 1,
            symbols=before.symbols | {sample.symbol},
            samples=tuple(kept.values()),
        )


def unequal(one: Floats, other: Floats) -> Bools | None:
    """Where two columns differ in any bit, NaN being equal to NaN; None where nowhere."""
    left, right = one.view(np.int64), other.view(np.int64)
    if np.array_equal(left, right):
        return None
    mask = (left != right) & ~(np.isnan(one) & np.isnan(other))
    return mask if mask.any() else None


def compare(walk: Walk, reference: Reference, answer: Answer, way: Way, tally: Tally) -> bool:
    """Hold an answer against the run; whether its signals are those of the run."""
    expected = reference.rows(answer.start, answer.count)
    for own, found in zip(expected, answer.rows, strict=True):
        compare_rows(walk, own, found, answer.count, way, tally)
    return compare_signals(walk, answer, way, tally)


def compare_rows(
    walk: Walk, own: IndicatorRows, found: IndicatorRows, count: int, way: Way, tally: Tally
) -> None:
    """Rows of one timeframe."""
    if not np.array_equal(own.ts, found.ts):
        raise InvariantError(
            f"{walk.symbol}: the first {count} bars alone give other {own.timeframe} bars than "
            f"in the run: {len(found.ts)} and {len(own.ts)} of them"
        )
    for name, column in own.columns.items():
        tally.values += len(own.ts)
        mask = unequal(column, found.columns[name])
        if mask is None:
            continue
        if name in OHLCV:
            raise InvariantError(f"{walk.symbol}: {own.timeframe} bars have another {name}")
        at = np.flatnonzero(mask)
        value = float(found.columns[name][at[-1]])
        sample = Sample(walk.symbol, way, int(own.ts[at[-1]]), count, value)
        tally.add(Name(False, name, own.timeframe), len(at), sample)


def compare_signals(walk: Walk, answer: Answer, way: Way, tally: Tally) -> bool:
    """Signals of an answer; whether they are those of the run."""
    own, found = expected_signals(walk, answer.start, answer.count), answer.signals
    tally.values += len(own.ts)
    if _same(own, found):
        return True
    plans = {one.number: one.plan for one in walk.frames.strategies}
    left, right = answers_of(own), answers_of(found)
    differing: dict[int, list[int]] = {}
    for bar in sorted({*left, *right}):
        if left.get(bar) != right.get(bar):
            close_ts, strategy = bar
            differing.setdefault(strategy, []).append(close_ts)
    if not differing:
        raise InvariantError(
            f"{walk.symbol}: signals of the first {answer.count} bars are other rows"
        )
    for strategy, times in differing.items():
        plan = plans[strategy]
        value = right.get((times[-1], strategy))
        sample = Sample(walk.symbol, way, times[-1], answer.count, value)
        tally.add(Name(True, plan.strategy_id, plan.timeframe), len(times), sample)
    return False


def _same(own: Signals, found: Signals) -> bool:
    """Whether all columns are equal."""
    return len(own.ts) == len(found.ts) and all(
        np.array_equal(left, right, equal_nan=left.dtype == np.float64)
        for left, right in zip(own, found, strict=True)
    )


def answers_of(signals: Signals) -> dict[tuple[int, int], tuple[float, ...]]:
    """{(close time, strategy): action, size hint, confidence}."""
    keys = zip(signals.ts.tolist(), signals.strategy.tolist(), strict=True)
    columns = (signals.action, signals.size_hint, signals.confidence)
    answers = zip(*(column.tolist() for column in columns), strict=True)
    return dict(zip(keys, answers, strict=True))
