"""The sparse half of a bounded run, one fold group at a time: signals → decisions, fills, matches.

A group is an account, or, where nothing the gate decides on one symbol depends on another, an
account and one symbol. Groups do not see each other.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from jobs.symbol_stage import DayCloses
from udfs import account_batch, account_fold, bulk_ids
from udfs.account import AccountInput, DayGrid, Outcome, account_input, day_groups, is_independent
from udfs.account_fold import CODES
from udfs.days import day_starts, local_day
from udfs.dense import Signals
from udfs.engine import EngineState
from udfs.plan import RunPlan

Columns = dict[str, Any]


class Group(NamedTuple):
    """A fold group: an account (index in the plan) and the symbols that it takes together."""

    account: int
    symbols: tuple[str, ...]

    @property
    def name(self) -> str:
        """A key that names the group."""
        return f"{self.account}:{','.join(self.symbols)}"


class GroupOut(NamedTuple):
    """All that a group's fold says, as columns by name (lengths m, n, f per table).

    `strategy` and `symbol` columns index the plan. `rejected` is int64[strategies, codes], the
    signals by what became of them. `usage` tells open cost after each fill. Empty where not asked.
    """

    account: int
    matches: Columns
    decisions: Columns
    fills: Columns
    states: list[tuple[int, int, EngineState]]
    daily: list[tuple[int, str, np.ndarray]]
    usage: Columns
    by_code: np.ndarray
    unfilled: Columns
    first_day: int
    over_cap: int


def plan_groups(plan: RunPlan) -> list[Group]:
    """The fold groups of a run."""
    groups: list[Group] = []
    for index, account in enumerate(plan.accounts):
        followed = set(account.strategies)
        traded = {
            symbol for s in plan.strategies if s.strategy_id in followed for symbol in s.symbols
        }
        names = tuple(s.symbol for s in plan.symbols if s.symbol in traded)
        if is_independent(plan, account):
            groups.extend(Group(index, (name,)) for name in names)
        else:
            groups.append(Group(index, names))
    return groups


def day_grid(plan: RunPlan, symbols: Sequence[str], closes: Sequence[DayCloses]) -> DayGrid | None:
    """The run's local days, from the first bar of any symbol to the last; None without bars."""
    if not closes:
        return None
    first = local_day(min(one.first_close_ts for one in closes), plan.zone)
    last = local_day(max(one.last_close_ts for one in closes), plan.zone)
    grid = np.full((len(symbols), last - first + 1), np.nan)
    for one in closes:
        if one.symbol in symbols:
            row = grid[symbols.index(one.symbol)]
            row[one.days - first] = one.closes
            known = np.maximum.accumulate(np.where(np.isnan(row), -1, np.arange(len(row))))
            row[:] = np.where(known >= 0, row[np.maximum(known, 0)], np.nan)
    return DayGrid(first, day_starts(first, last, plan.zone), grid)


def run_group(
    plan: RunPlan, group: Group, pieces: dict[str, Signals], closes: Sequence[DayCloses]
) -> GroupOut | None:
    """Folds a group's signals; None where the run has no bars at all.

    `pieces` are the signals of the group's symbols, `closes` the day closes of all symbols.
    """
    grid = day_grid(plan, group.symbols, closes)
    if grid is None:
        return None
    account = plan.accounts[group.account]
    symbols = tuple(plan.symbol(name) for name in group.symbols)
    given = account_input(plan, account, symbols, pieces, grid)
    outcome = account_batch.fold(plan, given)
    if outcome is None:
        outcome = account_fold.fold(plan, given)
    return _columns(plan, group, given, outcome)


def _columns(plan: RunPlan, group: Group, given: AccountInput, outcome: Outcome) -> GroupOut:
    """The outcome as columns of the tables."""
    account = given.account.account_id
    names = [strategy.strategy_id for strategy in plan.strategies]
    numbers = np.array(
        [[s.symbol for s in plan.symbols].index(name) for name in group.symbols], dtype=np.int32
    )
    signals = given.signals
    strategy, symbol = signals.strategy, numbers[given.symbol]
    accepted = outcome.code == CODES.index(account_fold.Code.OK)
    filled = outcome.price.any(axis=1) & accepted
    wanted = np.ones(len(accepted), dtype=np.bool_) if plan.trace else accepted
    order_id = np.zeros((len(accepted), bulk_ids.ID_LENGTH), dtype=np.uint8)
    signal_id = np.zeros_like(order_id)
    tickers = [s.symbol for s in plan.symbols]
    signal_id[wanted] = bulk_ids.signal_ids(
        plan.run_id, names, tickers, strategy[wanted], symbol[wanted], signals.ts[wanted]
    )
    order_id[accepted] = bulk_ids.order_ids(account, signal_id[accepted])
    traced = np.arange(len(accepted)) if plan.trace else np.empty(0, dtype=np.int64)
    lost = np.flatnonzero(accepted & ~filled)
    fills = outcome.fill_signal if plan.trace else outcome.fill_signal[:0]
    by_code = np.zeros((len(names), len(CODES)), dtype=np.int64)
    np.add.at(by_code, (strategy, outcome.code), 1)
    matches = _matches(plan, given, outcome, symbol, order_id)
    daily_groups, _ = day_groups(plan, given)
    return GroupOut(
        account=group.account,
        matches=matches,
        decisions={
            "strategy": strategy[traced],
            "symbol": symbol[traced],
            "ts": signals.ts[traced],
            "action": signals.action[traced],
            "code": outcome.code[traced],
            "qty": outcome.qty[traced],
            "qty_known": outcome.qty_known[traced],
            "open_symbols": outcome.open_symbols[traced],
            "reserved_symbols": outcome.reserved_symbols[traced],
            "signal_id": signal_id[traced],
            "order_id": order_id[traced],
        },
        fills={
            "strategy": strategy[fills],
            "symbol": symbol[fills],
            "ts": given.fill_ts[fills],
            "side": signals.action[fills],
            "qty": outcome.qty[fills],
            "price": outcome.price[fills],
            "fee": outcome.fee[fills],
            "order_id": order_id[fills],
        },
        states=[(s, int(numbers[n]), state) for (s, n), state in outcome.states.items()],
        daily=[(number, quote, outcome.daily[i]) for i, (number, quote) in enumerate(daily_groups)],
        usage={
            "strategy": strategy[outcome.fill_signal],
            "symbol": symbol[outcome.fill_signal],
            "ts": given.fill_ts[outcome.fill_signal],
            "cost": outcome.fill_cost,
        },
        by_code=by_code,
        unfilled={
            "strategy": strategy[lost],
            "symbol": symbol[lost],
            "ts": signals.ts[lost],
            "action": signals.action[lost],
            "order_id": order_id[lost],
        },
        first_day=given.days.first_day,
        over_cap=outcome.over_cap,
    )


def _matches(
    plan: RunPlan,
    given: AccountInput,
    outcome: Outcome,
    symbol: np.ndarray,
    order_id: np.ndarray,
) -> Columns:
    """One row per closed segment."""
    opening, closing = outcome.match_open, outcome.match_close
    sells = given.signals.action[closing] < 0
    buy, sell = np.where(sells, opening, closing), np.where(sells, closing, opening)
    strategy = given.signals.strategy[closing]
    return {
        "strategy": strategy,
        "symbol": symbol[closing],
        "open_ts": given.fill_ts[opening],
        "match_ts": given.fill_ts[closing],
        "index": outcome.match_index,
        "matched_qty": outcome.match_qty,
        "buy_price": outcome.price[buy],
        "sell_price": outcome.price[sell],
        "realized_pnl": outcome.match_pnl,
        "fees": outcome.match_fees,
        "buy_order_id": order_id[buy],
        "sell_order_id": order_id[sell],
        "match_id": bulk_ids.match_ids(
            given.account.account_id,
            [s.strategy_id for s in plan.strategies],
            [s.symbol for s in plan.symbols],
            strategy,
            symbol[closing],
            order_id[opening],
            order_id[closing],
            outcome.match_index,
        ),
    }
