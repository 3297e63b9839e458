"""equity_daily: what each strategy of an account realized and was worth, day by day, exactly."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from jobs import columns
from jobs.group_stage import GroupOut
from schemas import trading
from udfs import wide
from udfs.account import FEES, OPEN_FEES, REALIZED, UNREALIZED
from udfs.days import day_text
from udfs.plan import RunPlan


class EquityLine(NamedTuple):
    """One (account, strategy, currency): int64[days, 2] amounts (low bits, high) per day."""

    account: int
    strategy: int
    currency: str
    first_day: int
    realized: np.ndarray
    fees: np.ndarray
    unrealized: np.ndarray
    equity: np.ndarray


def equity_lines(plan: RunPlan, groups: Sequence[GroupOut]) -> list[EquityLine]:
    """The lines of all groups; an account's symbols of one currency add up."""
    sums: dict[tuple[int, int, str], np.ndarray] = {}
    first_days = {group.first_day for group in groups}
    for group in groups:
        for strategy, quote, amounts in group.daily:
            total = sums.setdefault((group.account, strategy, quote), np.zeros_like(amounts))
            wide.add_rows(total.reshape(-1, 2), amounts.reshape(-1, 2))
    return [
        EquityLine(
            *key,
            first_day=min(first_days),
            realized=amounts[:, REALIZED].copy(),
            fees=amounts[:, FEES].copy(),
            unrealized=amounts[:, UNREALIZED].copy(),
            equity=_equity(amounts),
        )
        for key, amounts in sorted(sums.items())
    ]


def _equity(amounts: np.ndarray) -> np.ndarray:
    """realized - fees so far + unrealized - open fees, per day."""
    equity = wide.negated(amounts[:, FEES].copy())
    wide.add_rows(equity, amounts[:, REALIZED].copy())
    wide.cumulate(equity)
    wide.add_rows(equity, amounts[:, UNREALIZED].copy())
    wide.add_rows(equity, wide.negated(amounts[:, OPEN_FEES].copy()))
    return equity


def equity_table(plan: RunPlan, lines: Sequence[EquityLine]) -> pa.Table:
    """equity_daily in order of (day, account, strategy, currency)."""
    if not lines:
        return columns.rows_table(trading.EQUITY_DAILY, [])
    days = len(lines[0].realized)
    count = len(lines)
    order = np.arange(days * count).reshape(count, days).T.reshape(-1)
    repeated = np.tile(np.arange(count), days)
    day_texts = [day_text(lines[0].first_day + day) for day in range(days)]
    currencies = sorted({line.currency for line in lines})
    built = {
        "account_id": columns.texts(
            np.array([line.account for line in lines])[repeated],
            [account.account_id for account in plan.accounts],
        ),
        "strategy_id": columns.texts(
            np.array([line.strategy for line in lines])[repeated],
            [strategy.strategy_id for strategy in plan.strategies],
        ),
        "currency": columns.texts(
            np.array([currencies.index(line.currency) for line in lines])[repeated], currencies
        ),
        "day": columns.texts(np.repeat(np.arange(days), count), day_texts),
        "run_id": columns.constant(plan.run_id, days * count),
    }
    for name in ("realized", "fees", "unrealized", "equity"):
        stacked = np.concatenate([getattr(line, name) for line in lines])
        built[name] = columns.decimals(stacked[order])
    return columns.table(trading.EQUITY_DAILY, built)
