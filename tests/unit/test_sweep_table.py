"""Sets ranked, and the table of them that people read."""

from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest

from jobs.sweep.ranking import RankBy, RankedFamily, ranked_families
from jobs.sweep.table import sweep_table
from schemas.config import parse_config
from schemas.resolve import plan_run
from udfs.plan import RunPlan

FIGURES = (
    "win_rate", "profit_factor", "max_drawdown", "max_drawdown_amount", "sharpe", "cagr",
    "volatility", "sortino", "calmar", "expectancy", "payoff_ratio", "best_trade", "worst_trade",
    "longest_losing_streak",
)  # fmt: skip


def plan() -> RunPlan:
    """Two families and a strategy alone."""
    strategies = [
        {"id": "cross", "kind": "ema_cross", "grid": {"fast": [5, 9, 10], "slow": [20]}},
        {"id": "bands", "kind": "bollinger_breakout", "timeframe": "1h",
         "sets": [{"period": 20, "k": 2}, {"period": 9, "k": 2.5}]},
        {"id": "alone", "kind": "ema_cross", "params": {"fast": 5, "slow": 20}},
        {"id": "pull", "kind": "trend_pullback", "grid": {"trend_tf": ["15m", "1h"],
         "trend_ema": [10], "rsi_period": [7], "low": [30], "high": [70]}},
    ]  # fmt: skip
    account = {"id": "a", "strategies": [s["id"] for s in strategies], "sizing": {"fixed_qty": 1}}
    tree = {"symbols": {"AUSD": {}}, "strategies": strategies, "accounts": [account]}
    return plan_run(parse_config({"prices.files": "x", **tree}))


def row(strategy_id: str, net: str, **figures: Any) -> dict[str, Any]:
    return {
        "account_id": "a", "strategy_id": strategy_id, "currency": "USD", "round_trips": 2,
        "gross_pnl": net, "fees": "0", "net_pnl": net, **dict.fromkeys(FIGURES),
        "time_in_market": 0.5, "peak_capital": 1.0, "start_capital": 1e5, "signals": 9,
        "accepted": 4, "rejected": {"NO_OPEN_POSITION": 4, "QTY_BELOW_STEP": 1}, **figures,
    }  # fmt: skip


def of_family(families: list[RankedFamily], family_id: str) -> RankedFamily:
    return next(one for one in families if one.family_id == family_id)


@pytest.mark.parametrize(
    ("rank_by", "first"),
    [
        (RankBy.NET_PNL, "9 10 5"),
        (RankBy.SHARPE, "10 9 5"),
        (RankBy.PROFIT_FACTOR, "10 5 9"),  # two are not defined: by their ids
        (RankBy.MAX_DRAWDOWN, "5 10 9"),
    ],
)
def test_the_best_is_first_and_what_is_not_defined_last(rank_by: RankBy, first: str) -> None:
    rows = [
        row("cross/fast=5,slow=20", "-1.5", sharpe=-2.0, max_drawdown=-0.1),
        row("cross/fast=10,slow=20", "9.000000000000000001", sharpe=2.5, max_drawdown=-0.2),
        row("cross/fast=9,slow=20", "9.000000000000000002", sharpe=0.0, max_drawdown=-0.3),
    ]
    rows[1]["profit_factor"] = 1.2
    ranked = of_family(ranked_families(plan(), [*rows, row("", "1")], rank_by), "cross")
    assert [str(one.params["fast"]) for one in ranked.sets] == first.split()
    assert [one.rank for one in ranked.sets] == [1, 2, 3]
    assert (ranked.profitable, ranked.median("sharpe")) == (2, 0.0)
    assert ranked.median("win_rate") is None
    assert Decimal(ranked.median("net_pnl")) == Decimal("9.000000000000000001")


def test_single_strategies_are_no_family() -> None:
    given = [row("alone", "1"), row("", "1")]
    assert ranked_families(plan(), given, RankBy.NET_PNL) == []


def test_a_row_per_set_with_parameters_as_columns() -> None:
    given = plan()
    names = [one.strategy_id for one in given.strategies]
    rows = [row(name, "1.5", sharpe=0.25) for name in names]
    table = sweep_table(ranked_families(given, rows, RankBy.NET_PNL))
    assert table.num_rows == len(names) - 1
    schema = {field.name: field.type for field in table.schema}
    assert [name for name in schema if name.startswith("param_")] == [
        "param_fast", "param_high", "param_k", "param_low", "param_period", "param_rsi_period",
        "param_slow", "param_trend_ema", "param_trend_tf",
    ]  # fmt: skip
    assert (schema["param_fast"], schema["param_k"]) == (pa.int64(), pa.float64())
    assert (schema["param_trend_tf"], schema["net_pnl"]) == (pa.string(), pa.decimal128(38, 18))
    first = table.to_pylist()[0]
    assert (first["family_id"], first["kind"], first["timeframe"]) == (
        "bands",
        "bollinger_breakout",
        "1h",
    )
    assert (first["param_k"], first["param_fast"], first["net_pnl"]) == (2.0, None, Decimal("1.5"))
    assert (first["rejected"], first["rejected_by_code"]) == (
        5,
        '{"NO_OPEN_POSITION":4,"QTY_BELOW_STEP":1}',
    )
