"""The run on cut input from its first bar on, by the very stages of a backtest.

A few of these prove the shortcut of the other cuts, which start from a carried state.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from jobs.group_stage import Columns, GroupOut, plan_groups, run_group
from jobs.lookahead.compare import Tally, Way, compare_rows, compare_signals
from jobs.lookahead.fold import MatchLeak
from jobs.lookahead.walk import Answer, Reference, Walk, in_order
from jobs.sources import COLUMNS, Place, Task
from jobs.symbol_stage import DayCloses, run_symbol
from schemas.config_values import time_text
from udfs.account_fold import CODES
from udfs.bars import Ints, cut
from udfs.money import plain_text
from udfs.plan import RunPlan
from udfs.signal_columns import Signals
from udfs.wide import to_int

Report = Callable[[int], None]
WORDS = {"decisions": "decision", "matches": "match"}


def check_whole(
    plan: RunPlan, walks: Sequence[Walk], cuts: Ints, tally: Tally, report: Report
) -> list[MatchLeak]:
    """All stages at each of the cuts (times), held against the run; matches that differ."""
    if not len(cuts):
        return []
    leaks: list[MatchLeak] = []
    ends = [run_whole(plan, walk, len(walk.bars.ts), tally, report) for walk in walks]
    full = _folded(plan, walks, ends)
    for ts in cuts.tolist():
        runs = [run_whole(plan, walk, _count(walk, ts), tally, report) for walk in walks]
        # Where a window waits for its next bar, later decisions may be others: not compared.
        if not any(_waits(walk, ts) for walk in walks):
            for mine, other in zip(full, _folded(plan, walks, runs), strict=True):
                leaks.extend(_differences(plan, mine, other, ts))
    return leaks


def _count(walk: Walk, ts: int) -> int:
    return int(np.searchsorted(walk.bars.ts, ts, side="left"))


def _waits(walk: Walk, ts: int) -> bool:
    """Whether a signal's window ended by `ts` and its next bar is behind the cut."""
    count = _count(walk, ts)
    last = walk.closes[count - 1] if count else np.iinfo(np.int64).min
    return bool(((walk.signals.ts <= ts) & (walk.signals.ts > last)).any())


def _folded(
    plan: RunPlan, walks: Sequence[Walk], runs: Sequence["WholeRun"]
) -> list[GroupOut | None]:
    """Every group's fold; None where no symbol has a bar."""
    signals = {walk.symbol: run.signals for walk, run in zip(walks, runs, strict=True)}
    closes = [run.closes for run in runs if run.closes is not None]
    return [
        run_group(plan, group, {n: signals[n] for n in group.symbols if n in signals}, closes)
        for group in plan_groups(plan)
    ]


def _differences(
    plan: RunPlan, full: GroupOut | None, found: GroupOut | None, ts: int
) -> list[MatchLeak]:
    """The first decision or match up to `ts` that is not the run's."""
    if full is None or found is None:
        return []
    for what, time in (("decisions", "ts"), ("matches", "match_ts")):
        left: Columns = getattr(full, what)
        right: Columns = getattr(found, what)
        early = left[time] <= ts
        left = {name: column[early] for name, column in left.items()}
        rows = min(len(left[time]), len(right[time]))
        wrong = np.zeros(rows, dtype=np.bool_)
        for name, column in left.items():
            different = column[:rows] != right[name][:rows]
            wrong |= different if different.ndim == 1 else different.any(axis=1)
        if not wrong.any() and len(left[time]) == len(right[time]):
            continue
        at = int(np.argmax(wrong)) if wrong.any() else rows
        columns = left if at < len(left[time]) else right
        return [
            MatchLeak(
                account=plan.accounts[full.account].account_id,
                strategy=plan.strategies[columns["strategy"][at]].strategy_id,
                symbol=plan.symbols[columns["symbol"][at]].symbol,
                ts=int(columns[time][at]),
                cut_ts=ts,
                what=WORDS[what],
                whole=_row_text(plan, left, time, at),
                without=_row_text(plan, right, time, at),
            )
        ]
    return []


def _row_text(plan: RunPlan, columns: Columns, time: str, at: int) -> str | None:
    """A decision or match that stands at a place of the order of events."""
    if at >= len(columns[time]):
        return None
    strategy = plan.strategies[columns["strategy"][at]].strategy_id
    symbol = plan.symbols[columns["symbol"][at]].symbol
    if time == "ts":
        what = CODES[columns["code"][at]].value
    else:
        qty, pnl = (plain_text(to_int(columns[n][at])) for n in ("matched_qty", "realized_pnl"))
        what = f"qty {qty}, profit {pnl}"
    return f"{strategy} {symbol} {time_text(int(columns[time][at]))}: {what}"


class WholeRun(NamedTuple):
    """The run of a symbol on cut input from the first bar on: its signals and day closes."""

    signals: Signals
    closes: DayCloses | None


def run_whole(plan: RunPlan, walk: Walk, count: int, tally: Tally, report: Report) -> WholeRun:
    """The whole stage over a symbol's first `count` bars, all of it held against the run."""
    out = run_symbol(plan, bars_task(walk, count), report)
    reference = Reference(walk)
    frames = len(walk.frames.frames)
    for piece in range(walk.pieces.number_of(count) + 1 if count else 0):
        start, end = int(walk.pieces.starts[piece]), min(walk.end_of(piece), count)
        expected = reference.rows(start, end)
        found = out.indicators[piece * frames : (piece + 1) * frames]
        for own, other in zip(expected, found, strict=True):
            compare_rows(walk, own, other, count, Way.WHOLE, tally)
    if count:
        answer = Answer(0, count, [], in_order(out.signals))
        compare_signals(walk, answer, Way.WHOLE, tally)
    return WholeRun(out.signals, out.closes)


def bars_task(walk: Walk, count: int) -> Task:
    """A symbol's first `count` bars as a task in memory, in the pieces of the run."""
    places = []
    for piece in range(walk.pieces.number_of(count) + 1 if count else 0):
        bars = cut(walk.bars, int(walk.pieces.starts[piece]), min(walk.end_of(piece), count))
        names = pa.DictionaryArray.from_arrays(
            np.zeros(len(bars.ts), dtype=np.int32), [walk.symbol]
        )
        table = pa.table([names, *bars], names=list(COLUMNS))
        places.append(Place("", 0, -1, int(walk.pieces.starts[piece]), table))
    return Task(walk.symbol, tuple(places))
