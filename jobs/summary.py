"""The summary of a run: figures per account, strategy and currency, and per account in all."""

import math
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from jobs.equity import EquityLine
from jobs.group_stage import Columns, GroupOut
from udfs import figures_returns, figures_trades, wide
from udfs.account_fold import CODES
from udfs.figures import FigureInput, daily_returns, summary_row
from udfs.money import UNIT
from udfs.plan import RunPlan
from udfs.rows import Code

Key = tuple[int, int, str]  # account, strategy, currency
ALL = ""  # the strategy_id of an account's own row


def summarise(
    plan: RunPlan,
    groups: Sequence[GroupOut],
    lines: Sequence[EquityLine],
    matches: Columns,
    usage: Columns,
    span: tuple[int, int],
    totals: bool = True,
) -> list[dict[str, Any]]:
    """Rows in order of account, strategy (an account's own row last) and currency.

    `matches` and `usage` are the columns of all groups in order of time, `span` the close times
    of the run's first and last bar. Without `totals` accounts have no rows of their own.
    """
    quotes = _quotes(plan)
    by_code: dict[int, np.ndarray] = {}
    for group in groups:
        by_code[group.account] = by_code.get(group.account, 0) + group.by_code
    net_pnl = net_floats(matches)
    match_rows, usage_rows = _rows_of(matches, quotes), _rows_of(usage, quotes)
    rows = []
    for account, strategy_id, part in _parts(plan, lines):
        if strategy_id == ALL and not totals:
            continue
        currency = part[0].currency
        strategies = [line.strategy for line in part]
        keys = [(account, strategy, currency) for strategy in strategies]
        codes = by_code[account][strategies][:, quotes == currency].sum(axis=(0, 1))
        rows.append(
            all_figures(
                FigureInput(
                    account_id=plan.accounts[account].account_id,
                    strategy_id=strategy_id,
                    currency=currency,
                    **_signals(codes),
                    gross=_total([line.realized for line in part]),
                    fees=_total([line.fees for line in part]),
                    net_pnl=net_pnl[_join(match_rows, keys)],
                    equity=sum(wide.to_floats(line.equity, float(UNIT)) for line in part),
                    start_capital=plan.accounts[account].start_capital / UNIT,
                    periods=plan.periods,
                    **_usage(plan, usage, _join(usage_rows, keys)),
                    first_ts=span[0],
                    last_ts=span[1],
                )
            )
        )
    return rows


def all_figures(given: FigureInput) -> dict[str, Any]:
    """A row of the summary: that of udfs/figures.py, and more that is known of days and trips."""
    row = summary_row(given)
    returns = daily_returns(given.equity, given.start_capital)
    yearly = figures_returns.cagr(given.equity, given.start_capital, given.periods)
    drawdown: Any = row["max_drawdown"]
    net = given.net_pnl
    more = {
        "cagr": yearly,
        "volatility": figures_returns.volatility(returns, given.periods),
        "sortino": figures_returns.sortino(returns, given.periods),
        "calmar": figures_returns.calmar(yearly, drawdown),
        "expectancy": figures_trades.expectancy(net),
        "payoff_ratio": figures_trades.payoff_ratio(net),
        "best_trade": float(net.max()) if len(net) else None,
        "worst_trade": float(net.min()) if len(net) else None,
        "longest_losing_streak": figures_trades.longest_losing_streak(net),
    }
    return {
        **row,
        **{
            name: None if isinstance(value, float) and not math.isfinite(value) else value
            for name, value in more.items()
        },
    }


def net_floats(matches: Columns) -> np.ndarray:
    """float64[m]: net profit per match, in the currency."""
    net = wide.negated(matches["fees"])
    wide.add_rows(net, matches["realized_pnl"])
    return wide.to_floats(net, float(UNIT))


def _quotes(plan: RunPlan) -> np.ndarray:
    return np.array([symbol.quote for symbol in plan.symbols])


class _Part(NamedTuple):
    """The lines of one row of the summary; `strategy_id` ALL for an account's own row."""

    account: int
    strategy_id: str
    lines: list[EquityLine]


def _parts(plan: RunPlan, lines: Sequence[EquityLine]) -> Iterator[_Part]:
    """One per account, strategy and currency, then one per account and currency."""
    for account in range(len(plan.accounts)):
        mine = [line for line in lines if line.account == account]
        for line in mine:
            yield _Part(account, plan.strategies[line.strategy].strategy_id, [line])
        for currency in sorted({line.currency for line in mine}):
            yield _Part(account, ALL, [line for line in mine if line.currency == currency])


def _signals(counts: np.ndarray) -> dict[str, Any]:
    """Signals, accepted ones, and rejected ones by code."""
    accepted = int(counts[CODES.index(Code.OK)])
    rejected = {
        code.value: int(counts[i])
        for i, code in enumerate(CODES)
        if code is not Code.OK and counts[i]
    }
    return {"signals": int(counts.sum()), "accepted": accepted, "rejected": rejected}


def _total(amounts: Sequence[np.ndarray]) -> int:
    """The exact sum of int64[n, 2] rows, in units."""
    total = 0
    for rows in amounts:
        cumulated = rows.copy()
        wide.cumulate(cumulated)
        total += wide.to_int(cumulated[-1]) if len(cumulated) else 0
    return total


def _rows_of(columns: Columns, quotes: np.ndarray) -> dict[Key, np.ndarray]:
    """The rows of each (account, strategy, currency), ascending: one sort for all of them."""
    order = np.lexsort((columns["symbol"], columns["strategy"], columns["account"]))
    found: dict[Key, list[np.ndarray]] = {}
    names = ("account", "strategy", "symbol")
    change = np.zeros(len(order), dtype=np.bool_)
    for name in names:
        values = columns[name][order]
        change[1:] |= values[1:] != values[:-1]
    for rows in np.split(order, np.flatnonzero(change)):
        if len(rows):
            account, strategy, symbol = (int(columns[name][rows[0]]) for name in names)
            found.setdefault((account, strategy, str(quotes[symbol])), []).append(rows)
    return {key: np.sort(np.concatenate(parts)) for key, parts in found.items()}


def _join(rows: dict[Key, np.ndarray], keys: Sequence[Key]) -> np.ndarray:
    """The rows of several keys, ascending."""
    parts = [rows[key] for key in keys if key in rows]
    return np.sort(np.concatenate(parts)) if parts else np.empty(0, dtype=np.int64)


def _usage(plan: RunPlan, usage: Columns, rows: np.ndarray) -> dict[str, Any]:
    """Times of fills, and the total absolute open cost after each of them."""
    taken = {name: usage[name][rows] for name in ("strategy", "symbol", "cost")}
    total = np.cumsum(cost_changes(plan, taken))
    largest = float(np.abs(taken["cost"]).max(initial=0))
    return {"usage_ts": usage["ts"][rows], "usage_cost": without_dust(total, largest)}


def cost_changes(plan: RunPlan, usage: Columns) -> np.ndarray:
    """By how much each fill changes the absolute open cost of its strategy and symbol."""
    key = usage["strategy"].astype(np.int64) * len(plan.symbols) + usage["symbol"]
    order = np.argsort(key, kind="stable")
    sorted_cost, sorted_key = usage["cost"][order], key[order]
    change = sorted_cost.copy()
    same = sorted_key[1:] == sorted_key[:-1]
    change[1:] -= np.where(same, sorted_cost[:-1], 0.0)
    changes = np.empty_like(change)
    changes[order] = change
    return changes


def without_dust(total: np.ndarray, largest: float) -> np.ndarray:
    """Sums of changes with 0 where only rounding is left; `largest` is the largest single cost."""
    total[np.abs(total) < 1e-9 * max(1.0, largest)] = 0.0
    return total


def cost_limits(plan: RunPlan, usage: Columns) -> dict[tuple[int, str], tuple[float, float]]:
    """Per (account, currency): the largest cost of a strategy and symbol, and the sum of all their
    largest ones, which no total exceeds."""
    found: dict[tuple[int, str], tuple[float, float]] = {}
    shape = (len(plan.accounts), len(plan.strategies), len(plan.symbols))
    flat = np.zeros(math.prod(shape))
    cell = np.ravel_multi_index([usage[n] for n in ("account", "strategy", "symbol")], shape)
    np.maximum.at(flat, cell, np.abs(usage["cost"]))
    most = flat.reshape(shape)
    quotes = _quotes(plan)
    for account in range(len(plan.accounts)):
        for currency in sorted(set(quotes.tolist())):
            mine = most[account][:, quotes == currency]
            found[account, currency] = (float(mine.max(initial=0)), float(mine.sum()))
    return found
