"""The summary of a run: figures per account, strategy and currency, and per account in all."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from jobs.equity import EquityLine
from jobs.group_stage import Columns, GroupOut
from udfs import wide
from udfs.account_fold import CODES
from udfs.figures import FigureInput, summary_row
from udfs.money import UNIT
from udfs.plan import RunPlan
from udfs.rows import Code

ALL = ""  # the strategy_id of an account's own row


def summarise(
    plan: RunPlan,
    groups: Sequence[GroupOut],
    lines: Sequence[EquityLine],
    matches: Columns,
    usage: Columns,
    span: tuple[int, int],
) -> list[dict[str, Any]]:
    """Rows in order of account, strategy (an account's own row last) and currency.

    `matches` and `usage` are the columns of all groups in order of time, `span` the close times
    of the run's first and last bar.
    """
    quotes = [symbol.quote for symbol in plan.symbols]
    by_code: dict[int, np.ndarray] = {}
    for group in groups:
        by_code[group.account] = by_code.get(group.account, 0) + group.by_code
    net = wide.negated(matches["fees"])
    wide.add_rows(net, matches["realized_pnl"])
    net_pnl = wide.to_floats(net, float(UNIT))
    rows = []
    for account in range(len(plan.accounts)):
        mine = [line for line in lines if line.account == account]
        parts = [([line], line.strategy) for line in mine]
        for currency in sorted({line.currency for line in mine}):
            parts.append(([line for line in mine if line.currency == currency], None))
        for part, strategy in parts:
            codes = by_code[account]
            rows.append(
                summary_row(
                    FigureInput(
                        account_id=plan.accounts[account].account_id,
                        strategy_id=ALL if strategy is None else _name(plan, strategy),
                        currency=part[0].currency,
                        **_signals(codes.sum(axis=0) if strategy is None else codes[strategy]),
                        gross=_total([line.realized for line in part]),
                        fees=_total([line.fees for line in part]),
                        net_pnl=net_pnl[_rows(matches, account, strategy, part, quotes)],
                        equity=sum(wide.to_floats(line.equity, float(UNIT)) for line in part),
                        start_capital=plan.accounts[account].start_capital / UNIT,
                        periods=plan.periods,
                        **_usage(plan, usage, _rows(usage, account, strategy, part, quotes)),
                        first_ts=span[0],
                        last_ts=span[1],
                    )
                )
            )
    return rows


def _name(plan: RunPlan, strategy: int) -> str:
    return plan.strategies[strategy].strategy_id


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


def _rows(
    columns: Columns,
    account: int,
    strategy: int | None,
    part: Sequence[EquityLine],
    quotes: Sequence[str],
) -> np.ndarray:
    """Which rows belong to an account, a strategy (None: all) and a currency."""
    mask = columns["account"] == account
    if strategy is not None:
        mask &= columns["strategy"] == strategy
    if len(set(quotes)) > 1:
        of_currency = np.array([quote == part[0].currency for quote in quotes])
        mask &= of_currency[columns["symbol"]]
    return np.flatnonzero(mask)


def _usage(plan: RunPlan, usage: Columns, rows: np.ndarray) -> dict[str, Any]:
    """Times of fills, and the total absolute open cost after each of them."""
    key = usage["strategy"][rows].astype(np.int64) * len(plan.symbols) + usage["symbol"][rows]
    cost = usage["cost"][rows]
    order = np.argsort(key, kind="stable")
    sorted_cost, sorted_key = cost[order], key[order]
    change = sorted_cost.copy()
    same = sorted_key[1:] == sorted_key[:-1]
    change[1:] -= np.where(same, sorted_cost[:-1], 0.0)
    changes = np.empty_like(change)
    changes[order] = change
    total = np.cumsum(changes)
    total[np.abs(total) < 1e-9 * max(1.0, float(np.abs(cost).max(initial=0)))] = 0.0
    return {"usage_ts": usage["ts"][rows], "usage_cost": total}
