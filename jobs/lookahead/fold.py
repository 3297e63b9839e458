"""Decisions and matches, held against those of the fold of the signals that a cut leaves.

Two cuts that leave a group the same signals, with the same next bars, have the same fold, as it is
a function of these: it is done once. Days are not looked at here, so all bars are one day.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from jobs.group_stage import Group, plan_groups
from jobs.lookahead.dense import Altered
from jobs.lookahead.walk import Walk, expected_signals
from udfs import account_batch, account_fold
from udfs.account import AccountInput, DayGrid, Outcome, account_input
from udfs.bars import Bools, Ints
from udfs.money import plain_text
from udfs.plan import RunPlan
from udfs.signal_columns import NO_NEXT, Signals, concat_signals, no_signals
from udfs.wide import to_int

Report = Callable[[int], None]
# What all folds together may cost, in signals: one costs FOLD_COST beside its signals, and in the
# step form STEP_COST for each of these. Measured: a million takes some 1.2 s.
BUDGET = 12_000_000
FOLD_COST = 2_500
STEP_COST = 40


class MatchLeak(NamedTuple):
    """A match or decision up to a cut that is not the run's; texts, None where there is none."""

    account: str
    strategy: str
    symbol: str
    ts: int
    cut_ts: int
    what: str
    whole: str | None
    without: str | None


class Folded(NamedTuple):
    """Decisions and matches of the run; the cuts with signals of their own, those folded."""

    decisions: int
    matches: int
    different: int
    folded: int
    leaks: list[MatchLeak]


class _Whole(NamedTuple):
    """A fold group of the run: what went in, what came out."""

    group: Group
    given: AccountInput
    outcome: Outcome


class FoldWork(NamedTuple):
    """A group and the cuts to fold it at, with what each costs, of all that are `different`."""

    whole: _Whole
    different: int
    times: Ints
    costs: Ints


def fold_works(plan: RunPlan, walks: Sequence[Walk], cuts: Ints) -> list[FoldWork]:
    """Every group's fold of the run, and the cuts (times) at which it is done again."""
    by_symbol = {walk.symbol: walk for walk in walks}
    signals = {walk.symbol: walk.signals for walk in walks}
    works = []
    groups = plan_groups(plan)
    for group in groups:
        given = _given(plan, group, by_symbol, signals)
        whole = _Whole(group, given, _fold(plan, given))
        times = _different(whole, by_symbol, cuts)
        costs = _costs(whole, times)
        taken = _affordable(costs, BUDGET // len(groups))
        works.append(FoldWork(whole, len(times), times[taken], costs[taken]))
    return works


def check_folds(
    plan: RunPlan,
    walks: Sequence[Walk],
    works: Sequence[FoldWork],
    altered: Sequence[Altered],
    report: Report,
) -> Folded:
    """All groups at all their cuts; `report` gets the cost of each fold."""
    by_symbol = {walk.symbol: walk for walk in walks}
    leaks: list[MatchLeak] = []
    for work in works:
        for ts, cost in zip(work.times.tolist(), work.costs.tolist(), strict=True):
            report(cost)
            leaks.extend(_cut_leaks(plan, work.whole, by_symbol, ts))
        for one in altered:
            if one.symbol in work.whole.group.symbols:
                leaks.extend(_altered_leaks(plan, work.whole, by_symbol, one))
    return Folded(
        decisions=sum(len(work.whole.outcome.code) for work in works),
        matches=sum(len(work.whole.outcome.match_open) for work in works),
        different=sum(work.different for work in works),
        folded=sum(len(work.times) for work in works),
        leaks=leaks,
    )


def _given(
    plan: RunPlan, group: Group, walks: dict[str, Walk], signals: dict[str, Signals]
) -> AccountInput:
    """A group's input from the signals of all symbols."""
    account = plan.accounts[group.account]
    symbols = tuple(plan.symbol(name) for name in group.symbols)
    first = min(int(walk.bars.ts[0]) for walk in walks.values())
    last = max(int(walk.closes[-1]) for walk in walks.values())
    closes = [[walks[n].bars.close[0] if n in walks else np.nan] for n in group.symbols]
    days = DayGrid(0, np.array([first, last + 1]), np.array(closes))
    return account_input(plan, account, symbols, signals, days)


def _fold(plan: RunPlan, given: AccountInput) -> Outcome:
    return account_batch.fold(plan, given) or account_fold.fold(plan, given)


def _signals_at(walk: Walk, ts: int) -> Signals:
    """The signals that a cut leaves."""
    count = int(np.searchsorted(walk.bars.ts, ts, side="left"))
    return expected_signals(walk, 0, count) if count else no_signals()


def _different(whole: _Whole, walks: dict[str, Walk], cuts: Ints) -> Ints:
    """The cuts without those that leave the group the same signals as an earlier one."""
    followed = np.unique(whole.given.signals.strategy)
    columns = []
    for name in whole.group.symbols:
        if name not in walks:
            continue
        walk = walks[name]
        counts = np.searchsorted(walk.bars.ts, cuts, side="left")
        last = np.where(counts > 0, walk.bars.ts[np.maximum(counts - 1, 0)], np.iinfo(np.int64).min)
        ts = walk.signals.ts[np.isin(walk.signals.strategy, followed)]
        closes = np.where(counts > 0, last + walk.frames.base_ms, last)
        columns.append(np.searchsorted(ts, closes, side="right"))  # signals
        columns.append(np.searchsorted(ts, last, side="right"))  # those with a next bar
    if not columns:
        return cuts[:0]
    _, first = np.unique(np.stack(columns, axis=1), axis=0, return_index=True)
    return cuts[np.sort(first)]


def _costs(whole: _Whole, times: Ints) -> Ints:
    """What the fold at each of the cuts costs, in signals."""
    signals = whole.given.signals
    weight = STEP_COST if (signals.size_hint != 1.0).any() else 1
    return FOLD_COST + np.searchsorted(signals.ts, times, side="right") * weight


def _affordable(costs: Ints, budget: int) -> Ints:
    """The places of all cuts, or of as many as the budget allows, evenly spread."""
    total = int(costs.sum())
    number = len(costs) if total <= budget else max(1, len(costs) * budget // total)
    return np.linspace(0, max(len(costs) - 1, 0), number).astype(np.int64)


def _cut_leaks(plan: RunPlan, whole: _Whole, walks: dict[str, Walk], ts: int) -> list[MatchLeak]:
    """What the fold on the input before `ts` decides otherwise, the first of it.

    Where a window of a higher timeframe ends before the cut and waits for its next bar there, its
    signal is missing: what comes after it in the order of events is left out.
    """
    full = whole.given
    pieces = {name: _signals_at(walk, ts) for name, walk in walks.items()}
    given = _given(plan, whole.group, walks, pieces)
    outcome = _fold(plan, given)
    last = _last_closes(whole, walks, ts)[full.symbol]
    place = np.flatnonzero(full.signals.ts <= last)
    waiting = np.flatnonzero((full.signals.ts <= ts) & (full.signals.ts > last))
    limit = int(waiting[0]) if len(waiting) else len(full.signals.ts)
    compared = np.flatnonzero(place < limit)
    own = place[compared]
    found = _decision_leaks(plan, whole, (given, outcome), (own, compared), ts)
    return found or _match_leaks(plan, whole, (given, outcome), place, limit, ts)


def _last_closes(whole: _Whole, walks: dict[str, Walk], ts: int) -> Ints:
    """Per symbol of the group the close of its last bar before `ts`."""
    never = np.iinfo(np.int64).min
    found = np.full(len(whole.group.symbols), never, dtype=np.int64)
    for number, name in enumerate(whole.group.symbols):
        if name in walks:
            count = int(np.searchsorted(walks[name].bars.ts, ts, side="left"))
            found[number] = walks[name].closes[count - 1] if count else never
    return found


def _decision_leaks(
    plan: RunPlan,
    whole: _Whole,
    cut: tuple[AccountInput, Outcome],
    at: tuple[Ints, Ints],
    ts: int,
) -> list[MatchLeak]:
    """The first signal that was decided or filled otherwise."""
    (given, outcome), (own, other) = cut, at
    filled = given.signals.next_ts[other] != NO_NEXT
    wrong = np.zeros(len(own), dtype=np.bool_)
    for name in ("code", "qty", "qty_known", "open_symbols", "reserved_symbols"):
        wrong |= _rows_differ(getattr(whole.outcome, name)[own], getattr(outcome, name)[other])
    for name in ("price", "fee"):
        left, right = getattr(whole.outcome, name)[own], getattr(outcome, name)[other]
        wrong |= _rows_differ(left, right) & filled
    if not wrong.any():
        return []
    first = int(np.argmax(wrong))
    texts = [
        f"{account_fold.CODES[found.code[row]].value}, qty {plain_text(to_int(found.qty[row]))}"
        for found, row in ((whole.outcome, own[first]), (outcome, other[first]))
    ]
    return [_leak(plan, whole, int(own[first]), ts, "decision", texts[0], texts[1])]


def _rows_differ(left: np.ndarray, right: np.ndarray) -> Bools:
    different = left != right
    return different.any(axis=1) if different.ndim == 2 else np.asarray(different)


def _match_leaks(
    plan: RunPlan,
    whole: _Whole,
    cut: tuple[AccountInput, Outcome],
    place: Ints,
    limit: int,
    ts: int,
) -> list[MatchLeak]:
    """The first match that is not the run's, of those whose closing fill is before the cut."""
    _, outcome = cut
    full, out = whole.given, whole.outcome
    mine = (full.fill_ts[out.match_close] <= ts) & (out.match_close < limit)
    mine &= out.match_open < limit
    opened, closed = place[outcome.match_open], place[outcome.match_close]
    theirs = (opened < limit) & (closed < limit)
    left = _match_columns(out.match_open, out.match_close, out, mine)
    right = _match_columns(opened, closed, outcome, theirs)
    rows = min(len(left), len(right))
    wrong = (left[:rows] != right[:rows]).any(axis=1)
    if len(left) == len(right) and not wrong.any():
        return []
    first = int(np.argmax(wrong)) if wrong.any() else rows
    signal = int(left[first, 1] if first < len(left) else right[first, 1])
    texts = [_match_text(columns, first) for columns in (left, right)]
    return [_leak(plan, whole, signal, ts, "match", texts[0], texts[1])]


def _match_columns(opened: Ints, closed: Ints, outcome: Outcome, mask: Bools) -> Ints:
    """int64[m, 9]: opening and closing signal, index, quantity, profit, fees (low, high each)."""
    columns = [opened, closed, outcome.match_index]
    for pair in (outcome.match_qty, outcome.match_pnl, outcome.match_fees):
        columns += [pair[:, 0], pair[:, 1]]
    return np.stack([np.asarray(column, dtype=np.int64)[mask] for column in columns], axis=1)


def _match_text(columns: Ints, row: int) -> str | None:
    if row >= len(columns):
        return None
    qty, pnl, fees = (plain_text(to_int(columns[row, at : at + 2])) for at in (3, 5, 7))
    return f"qty {qty}, profit {pnl}, fees {fees}"


def _leak(
    plan: RunPlan,
    whole: _Whole,
    signal: int,
    ts: int,
    what: str,
    text: str | None,
    without: str | None,
) -> MatchLeak:
    full = whole.given
    at = full.fill_ts[signal] if what == "match" else full.signals.ts[signal]
    return MatchLeak(
        account=full.account.account_id,
        strategy=plan.strategies[full.signals.strategy[signal]].strategy_id,
        symbol=full.symbols[full.symbol[signal]].symbol,
        ts=int(at),
        cut_ts=ts,
        what=what,
        whole=text,
        without=without,
    )


def _altered_leaks(
    plan: RunPlan, whole: _Whole, walks: dict[str, Walk], one: Altered
) -> list[MatchLeak]:
    """The first match that changes with the signals of a cut that are not those of the run."""
    walk = walks[one.symbol]
    if one.count == len(walk.bars.ts):
        return []
    ts = int(walk.bars.ts[one.count])
    pieces = {name: _signals_at(other, ts) for name, other in walks.items()}
    earlier = walk.signals
    if one.start:
        stop = int(np.searchsorted(earlier.ts, walk.bars.ts[one.start - 1], side="right"))
        earlier = Signals._make(column[:stop] for column in earlier)
        pieces[one.symbol] = concat_signals([earlier, one.signals])
    else:
        pieces[one.symbol] = one.signals
    given = _given(plan, whole.group, walks, pieces)
    outcome = _fold(plan, given)
    left = _by_name(plan, whole.given, whole.outcome, ts)
    right = _by_name(plan, given, outcome, ts)
    for name in sorted({*left, *right}, key=lambda name: (name[0], name[1:])):
        if left.get(name) != right.get(name):
            match_ts, strategy, symbol, _, _ = name
            account = whole.given.account.account_id
            texts = left.get(name), right.get(name)
            return [MatchLeak(account, strategy, symbol, match_ts, ts, "match", *texts)]
    return []


def _by_name(
    plan: RunPlan, given: AccountInput, outcome: Outcome, ts: int
) -> dict[tuple[int, str, str, int, int], str]:
    """Matches up to `ts` by (match time, strategy, symbol, opening time, index)."""
    opened, closed = outcome.match_open, outcome.match_close
    columns = _match_columns(opened, closed, outcome, np.ones(len(opened), dtype=np.bool_))
    found = {}
    for row in np.flatnonzero(given.fill_ts[closed] <= ts).tolist():
        signal = closed[row]
        name = (
            int(given.fill_ts[signal]),
            plan.strategies[given.signals.strategy[signal]].strategy_id,
            given.symbols[given.symbol[signal]].symbol,
            int(given.fill_ts[opened[row]]),
            int(outcome.match_index[row]),
        )
        found[name] = _match_text(columns, row) or ""
    return found
