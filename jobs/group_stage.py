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
from udfs.days import day_starts, day_text, local_day
from udfs.engine import EngineState
from udfs.errors import ConfigError
from udfs.plan import RunPlan
from udfs.rows import Code
from udfs.signal_columns import Signals

Columns = dict[str, Any]
# One bar with a wrong year gives every strategy a row a day for all years between.
MAX_DAY_ROWS = 20_000_000


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

    `strategy` and `symbol` columns index the plan. `by_code` is int64[strategies, symbols,
    codes], the signals by what became of them. `usage` tells the open cost after each fill.
    Empty where not asked.
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
    oldest = min(closes, key=lambda one: one.first_close_ts)
    newest = max(closes, key=lambda one: one.last_close_ts)
    first = local_day(oldest.first_close_ts, plan.zone)
    last = local_day(newest.last_close_ts, plan.zone)
    rows = (last - first + 1) * sum(len(account.strategies) for account in plan.accounts)
    if rows > MAX_DAY_ROWS:
        raise ConfigError(
            f"the bars span {last - first + 1} days, from {day_text(first)} ({oldest.symbol}) to "
            f"{day_text(last)} ({newest.symbol}), so that equity_daily would have {rows} rows; set "
            "run.start and run.end where a ts of the bars is wrong"
        )
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
        try:
            outcome = account_fold.fold(plan, given)
        except OverflowError:
            raise _too_large(account.account_id, group.symbols, grid) from None
    return _columns(plan, group, given, outcome)


def _too_large(account: str, symbols: Sequence[str], grid: DayGrid) -> ConfigError:
    """What to tell where amounts have more digits than the tables have."""
    highest = np.nanmax(grid.closes, axis=1, initial=0.0)
    at = int(np.argmax(highest))
    return ConfigError(
        f"account {account!r}: an amount does not fit DECIMAL(38,18), which holds 20 digits before "
        f"the point; the highest close at the end of a day is {highest[at]} of {symbols[at]}: look "
        "at its bars, or run without it"
    )


class _Ids(NamedTuple):
    """Ids per signal: uint8[n, 32], zeros where none is wanted. `symbol` int32[n] in the plan."""

    signal: np.ndarray
    order: np.ndarray
    symbol: np.ndarray
    accepted: np.ndarray


def _columns(plan: RunPlan, group: Group, given: AccountInput, outcome: Outcome) -> GroupOut:
    """The outcome as columns of the tables."""
    tickers = [symbol.symbol for symbol in plan.symbols]
    numbers = np.array([tickers.index(name) for name in group.symbols], dtype=np.int32)
    ids = _ids(plan, given, outcome, numbers)
    filled = outcome.price.any(axis=1)
    lost = np.flatnonzero(ids.accepted & ~filled)
    quotes, _ = day_groups(plan, given)
    fills = outcome.fill_signal
    return GroupOut(
        account=group.account,
        matches=_matches(plan, given, outcome, ids),
        decisions=_decisions(given, outcome, ids, plan.trace),
        fills=_fills(given, outcome, ids, plan.trace),
        states=[(s, int(numbers[n]), state) for (s, n), state in outcome.states.items()],
        daily=[(number, quote, outcome.daily[i]) for i, (number, quote) in enumerate(quotes)],
        usage={
            "strategy": given.signals.strategy[fills],
            "symbol": ids.symbol[fills],
            "ts": given.fill_ts[fills],
            "cost": outcome.fill_cost,
        },
        by_code=_count_codes(plan, given, outcome, ids),
        unfilled={
            "strategy": given.signals.strategy[lost],
            "symbol": ids.symbol[lost],
            "ts": given.signals.ts[lost],
            "action": given.signals.action[lost],
            "order_id": ids.order[lost],
        },
        first_day=given.days.first_day,
        over_cap=outcome.over_cap,
    )


def _ids(plan: RunPlan, given: AccountInput, outcome: Outcome, numbers: np.ndarray) -> _Ids:
    """Ids of accepted signals and their orders; of all signals in a traced run."""
    signals, symbol = given.signals, numbers[given.symbol]
    accepted = outcome.code == CODES.index(Code.OK)
    wanted = np.ones(len(accepted), dtype=np.bool_) if plan.trace else accepted
    signal = np.zeros((len(accepted), bulk_ids.ID_LENGTH), dtype=np.uint8)
    order = np.zeros_like(signal)
    signal[wanted] = bulk_ids.signal_ids(
        plan.run_id,
        [strategy.strategy_id for strategy in plan.strategies],
        [one.symbol for one in plan.symbols],
        signals.strategy[wanted],
        symbol[wanted],
        signals.ts[wanted],
    )
    order[accepted] = bulk_ids.order_ids(given.account.account_id, signal[accepted])
    return _Ids(signal, order, symbol, accepted)


def _count_codes(plan: RunPlan, given: AccountInput, outcome: Outcome, ids: _Ids) -> np.ndarray:
    """int64[strategies, symbols, codes]: signals by what became of them."""
    shape = (len(plan.strategies), len(plan.symbols), len(CODES))
    cell = np.ravel_multi_index((given.signals.strategy, ids.symbol, outcome.code), shape)
    return np.bincount(cell, minlength=int(np.prod(shape))).reshape(shape)


def _decisions(given: AccountInput, outcome: Outcome, ids: _Ids, traced: bool) -> Columns:
    """One row per signal; none without a trace."""
    columns = {
        "strategy": given.signals.strategy,
        "symbol": ids.symbol,
        "ts": given.signals.ts,
        "action": given.signals.action,
        "code": outcome.code,
        "qty": outcome.qty,
        "qty_known": outcome.qty_known,
        "open_symbols": outcome.open_symbols,
        "reserved_symbols": outcome.reserved_symbols,
        "signal_id": ids.signal,
        "order_id": ids.order,
    }
    return columns if traced else {name: column[:0] for name, column in columns.items()}


def _fills(given: AccountInput, outcome: Outcome, ids: _Ids, traced: bool) -> Columns:
    """One row per fill in order of application; none without a trace."""
    at = outcome.fill_signal if traced else outcome.fill_signal[:0]
    return {
        "strategy": given.signals.strategy[at],
        "symbol": ids.symbol[at],
        "ts": given.fill_ts[at],
        "side": given.signals.action[at],
        "qty": outcome.qty[at],
        "price": outcome.price[at],
        "fee": outcome.fee[at],
        "order_id": ids.order[at],
    }


def _matches(plan: RunPlan, given: AccountInput, outcome: Outcome, ids: _Ids) -> Columns:
    """One row per closed segment."""
    opening, closing = outcome.match_open, outcome.match_close
    sells = given.signals.action[closing] < 0
    buy, sell = np.where(sells, opening, closing), np.where(sells, closing, opening)
    strategy = given.signals.strategy[closing]
    return {
        "strategy": strategy,
        "symbol": ids.symbol[closing],
        "open_ts": given.fill_ts[opening],
        "match_ts": given.fill_ts[closing],
        "index": outcome.match_index,
        "matched_qty": outcome.match_qty,
        "buy_price": outcome.price[buy],
        "sell_price": outcome.price[sell],
        "realized_pnl": outcome.match_pnl,
        "fees": outcome.match_fees,
        "buy_order_id": ids.order[buy],
        "sell_order_id": ids.order[sell],
        "match_id": bulk_ids.match_ids(
            given.account.account_id,
            [s.strategy_id for s in plan.strategies],
            [s.symbol for s in plan.symbols],
            strategy,
            ids.symbol[closing],
            ids.order[opening],
            ids.order[closing],
            outcome.match_index,
        ),
    }
