"""Why a difference is there: the bar is computed again with one more bar behind it, and another."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from jobs.lookahead.compare import (
    Name,
    Sample,
    Seen,
    Tally,
    Value,
    Way,
    answers_of,
    unequal,
)
from jobs.lookahead.leaks import Difference, Fault, Leak, answer_text, same, value_text
from jobs.lookahead.walk import Answer, Reference, Walk, cut_run
from udfs.bars import Ints
from udfs.frames import IndicatorRows

BY_ONE = 8  # bars behind that are tried one by one; then twice as many each time


class _Case(NamedTuple):
    """A name at a bar of a walk; `piece` is the one of the run that makes the bar final.

    `intrabar`: of a strategy that answers at base closes, so the bar is a base bar.
    """

    walk: Walk
    reference: Reference
    name: Name
    frame: int
    strategy: int
    close_ts: int
    piece: int
    intrabar: bool

    def value(self, rows: Sequence[IndicatorRows], answer: Answer) -> Value:
        """The feature's value or the strategy's answer at the bar."""
        if self.name.is_strategy:
            return answers_of(answer.signals).get((self.close_ts, self.strategy))
        return _at(rows[self.frame], self.name.name, self.close_ts)

    def cut(self, count: int) -> tuple[Value, Answer]:
        """What the run on the first `count` bars gives, in the run's own pieces."""
        answer = cut_run(self.walk, self.walk.pieces, count)
        return self.value(answer.rows, answer), answer


def explained(tally: Tally, walks: Sequence[Walk]) -> list[Leak]:
    """A leak for each name with differences, features first, then by time."""
    by_symbol = {walk.symbol: walk for walk in walks}
    found = [_leak(name, seen, by_symbol) for name, seen in tally.seen.items()]
    return sorted(found, key=lambda leak: (leak.is_strategy, leak.close_ts, leak.name))


def _leak(name: Name, seen: Seen, walks: dict[str, Walk]) -> Leak:
    """What the first differences of a name come from."""
    by_way = {one.way: one for one in seen.samples}
    samples = [by_way[way] for way in (Way.CUT, Way.SHORT, Way.WHOLE) if way in by_way]
    for sample in samples:
        walk = walks[sample.symbol]
        case = _case(name, sample, walk)
        leak = _not_again(case, sample, seen) or _of_future(case, sample, seen)
        if leak is not None:
            return leak
    sample = samples[0]
    case = _case(name, sample, walks[sample.symbol])
    fault = Fault.OUTSIDE if sample.way is Way.WHOLE else Fault.PIECES
    return _made(case, seen, fault, _whole_value(case), sample.found)


def _case(name: Name, sample: Sample, walk: Walk) -> _Case:
    frames = walk.frames.frames
    frame = [one.timeframe for one in frames].index(name.timeframe)
    strategies = {one.plan.strategy_id: one for one in walk.frames.strategies}
    strategy = strategies.get(name.name) if name.is_strategy else None
    final = int(np.searchsorted(walk.closes, sample.close_ts, side="left"))
    return _Case(
        walk=walk,
        reference=Reference(walk),
        name=name,
        frame=frame,
        strategy=-1 if strategy is None else strategy.number,
        intrabar=strategy is not None and strategy.plan.intrabar,
        close_ts=sample.close_ts,
        piece=walk.pieces.number_of(final + 1),
    )


def _whole_value(case: _Case) -> Value:
    """What the run itself gives."""
    if case.name.is_strategy:
        return answers_of(case.walk.signals).get((case.close_ts, case.strategy))
    return _at(case.reference.piece(case.piece)[case.frame], case.name.name, case.close_ts)


def _at(rows: IndicatorRows, name: str, close_ts: int) -> float | None:
    """The value of the last row at or before a time."""
    at = int(np.searchsorted(rows.ts, close_ts, side="right")) - 1
    return float(rows.columns[name][at]) if at >= 0 else None


# ---- state kept outside ----------------------------------------------------------------------


def _not_again(case: _Case, sample: Sample, seen: Seen) -> Leak | None:
    """The leak where equal calls give other values, made once more and in another order."""
    counts = _counts(case)
    tried = sorted({int(counts[behind]) for behind in _tried(case, sample, counts)})
    first = {count: case.cut(count)[0] for count in tried}
    for count in reversed(tried):
        value = case.cut(count)[0]
        if not _equal(value, first[count]):
            return _made(case, seen, Fault.OUTSIDE, first[count], value)
    return (_no_answers_again if case.name.is_strategy else _no_values_again)(case, seen)


def _no_answers_again(case: _Case, seen: Seen) -> Leak | None:
    """The same, of all answers of a strategy in a piece of the run."""
    count = case.walk.end_of(case.piece)
    one, other = (answers_of(cut_run(case.walk, case.walk.pieces, count).signals) for _ in "12")
    for close_ts, strategy in sorted({*one, *other}):
        pair = one.get((close_ts, strategy)), other.get((close_ts, strategy))
        if strategy == case.strategy and pair[0] != pair[1]:
            return _made(case._replace(close_ts=close_ts), seen, Fault.OUTSIDE, *pair)
    return None


def _no_values_again(case: _Case, seen: Seen) -> Leak | None:
    """The same, of all values of a feature in a piece of the run."""
    own = case.reference.piece(case.piece)[case.frame]
    again = case.reference.computed(case.piece)[case.frame]
    mask = unequal(own.columns[case.name.name], again.columns[case.name.name])
    if mask is None:
        return None
    at = int(np.argmax(mask))
    values = (float(rows.columns[case.name.name][at]) for rows in (own, again))
    return _made(case._replace(close_ts=int(own.ts[at])), seen, Fault.OUTSIDE, *values)


# ---- bars behind -----------------------------------------------------------------------------


def _counts(case: _Case) -> Ints:
    """How many bars it takes for the bar itself to be final, for one behind it, two, ..."""
    closes = case.walk.closes
    rows = closes if case.intrabar else case.reference.piece(case.piece)[case.frame].ts
    times = rows[np.searchsorted(rows, case.close_ts, side="left") :]
    return np.searchsorted(closes, times, side="left") + 1


def _tried(case: _Case, sample: Sample, counts: Ints) -> list[int]:
    """How many bars behind are tried: one by one, then twice as many, and as in the sample."""
    seen_at = int(np.searchsorted(counts, sample.count, side="right")) - 1
    doubling = [BY_ONE << n for n in range(1, 20)]
    return sorted(n for n in {*range(BY_ONE + 1), *doubling, seen_at} if 0 <= n < len(counts))


def _of_future(case: _Case, sample: Sample, seen: Seen) -> Leak | None:
    """The leak where the run's value takes bars behind its own."""
    whole, counts = _whole_value(case), _counts(case)
    tried = _tried(case, sample, counts)
    found = {behind: case.cut(int(counts[behind])) for behind in tried}
    wrong = [behind for behind in tried if not _equal(found[behind][0], whole)]
    if not wrong:
        return None
    last = wrong[-1]
    right = min((n for n in tried if n > last), default=len(counts))
    while right - last > 1:
        middle = (last + right) // 2
        if _equal(case.cut(int(counts[middle]))[0], whole):
            right = middle
        else:
            last = middle
    without, answer = found[wrong[0]]
    cut, ts = int(counts[wrong[0]]), case.walk.bars.ts
    return _made(case, seen, Fault.FUTURE, whole, without)._replace(
        behind=wrong[0],
        ahead=right,
        cut_ts=int(ts[cut]) if cut < len(ts) else None,
        features=_features(case, answer),
    )


def _equal(one: Value, other: Value) -> bool:
    if isinstance(one, float) and isinstance(other, float):
        return same(one, other)
    return one == other


def _features(case: _Case, answer: Answer) -> tuple[Difference, ...]:
    """A strategy's features in the run and in the answer; those a bar before where they differ.

    Those of an intrabar strategy are of bars that are not finished, which no row has.
    """
    if not case.name.is_strategy or case.intrabar:
        return ()
    own = case.walk.frames.frames[case.frame]
    names = next(one.features for one in own.strategies if one.number == case.strategy)
    timeframes = [one.timeframe for one in case.walk.frames.frames]
    whole = case.reference.piece(case.piece)
    ts = whole[case.frame].ts
    before = ts[: np.searchsorted(ts, case.close_ts, side="left")][-1:]
    found = []
    for name in names:
        timeframe, _, feature = name.rpartition(":")
        frame = timeframes.index(timeframe) if timeframe else case.frame
        for text, close_ts in (
            (name, case.close_ts),
            *((f"{name} a bar before", t) for t in before),
        ):
            left = _at(whole[frame], feature, int(close_ts))
            right = _at(answer.rows[frame], feature, int(close_ts))
            if close_ts == case.close_ts or not same(left, right):
                found.append(Difference(text, left, right))
    return tuple(found)


def _made(case: _Case, seen: Seen, fault: Fault, whole: Value, without: Value) -> Leak:
    texts = [
        answer_text(one) if case.name.is_strategy else _number_text(one) for one in (whole, without)
    ]
    return Leak(
        fault=fault,
        is_strategy=case.name.is_strategy,
        name=case.name.name,
        timeframe=case.name.timeframe,
        symbol=case.walk.symbol,
        close_ts=case.close_ts,
        cut_ts=None,
        whole=texts[0],
        without=texts[1],
        behind=0,
        ahead=0,
        features=(),
        values=seen.values,
        cuts=seen.cuts,
        symbols=tuple(sorted(seen.symbols)),
    )


def _number_text(value: Value) -> str:
    return value_text(value) if isinstance(value, float) else "missing"
