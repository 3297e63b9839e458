"""sweep.parquet: one row per set of a family, with its parameters and every figure."""

import json
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa

from jobs.columns import DECIMAL
from jobs.run_folder import unwritable, write_table
from jobs.sweep.ranking import RankedFamily, RankedSet
from schemas.grid import value_text
from udfs.errors import ConfigError

SWEEP = "sweep.parquet"
PARAMETER = "param_"
NAMES = ("account_id", "family_id", "strategy_id", "kind", "timeframe", "currency")
MONEY = ("gross_pnl", "fees", "net_pnl")
FIGURES = {
    "rank": pa.int64(),
    "round_trips": pa.int64(),
    "gross_pnl": DECIMAL,
    "fees": DECIMAL,
    "net_pnl": DECIMAL,
    "win_rate": pa.float64(),
    "profit_factor": pa.float64(),
    "max_drawdown": pa.float64(),
    "max_drawdown_amount": pa.float64(),
    "sharpe": pa.float64(),
    "time_in_market": pa.float64(),
    "peak_capital": pa.float64(),
    "start_capital": pa.float64(),
    "signals": pa.int64(),
    "accepted": pa.int64(),
    "rejected": pa.int64(),
    "rejected_by_code": pa.string(),
    "cagr": pa.float64(),
    "volatility": pa.float64(),
    "sortino": pa.float64(),
    "calmar": pa.float64(),
    "expectancy": pa.float64(),
    "payoff_ratio": pa.float64(),
    "best_trade": pa.float64(),
    "worst_trade": pa.float64(),
    "longest_losing_streak": pa.int64(),
}


def write_sweep(folder: Path, families: Sequence[RankedFamily]) -> Path:
    """Write sweep.parquet into a folder, in one step. ConfigError where that fails."""
    path = folder / SWEEP
    part = path.with_suffix(".part")
    try:
        write_table(part, sweep_table(families))
        return part.replace(path)
    except OSError as error:
        raise unwritable(path, error) from error


def sweep_table(families: Sequence[RankedFamily]) -> pa.Table:
    """Rows by account, family and currency, best first; see docs/sweeps.md for the columns."""
    parameters = sorted({name for family in families for name in family.parameters})
    sets = [(family, one) for family in families for one in family.sets]
    rows = [_row(family, one) for family, one in sets]
    arrays = {name: pa.array([row[name] for row in rows], pa.string()) for name in NAMES}
    for name in parameters:
        arrays[PARAMETER + name] = _parameter([one.params.get(name) for _, one in sets])
    for name, kind in FIGURES.items():
        try:
            arrays[name] = pa.array([row[name] for row in rows], kind)
        except pa.ArrowInvalid as error:
            raise ConfigError(f"{name} of a set does not fit its column: {error}") from None
    return pa.table(arrays)


def _row(family: RankedFamily, one: RankedSet) -> dict[str, Any]:
    """What a set's row holds beside its parameters."""
    row = {name: one.row[name] for name in FIGURES if name in one.row}
    for name in MONEY:
        row[name] = Decimal(row[name])
    return {
        **row,
        "account_id": family.account_id,
        "family_id": family.family_id,
        "strategy_id": one.row["strategy_id"],
        "kind": family.kind,
        "timeframe": family.timeframe,
        "currency": family.currency,
        "rank": one.rank,
        "rejected": sum(one.row["rejected"].values()),
        "rejected_by_code": json.dumps(one.row["rejected"], separators=(",", ":")),
    }


def _parameter(values: Sequence[Any]) -> pa.Array:
    """Whole numbers, numbers, or text as YAML prints it; null where a family has no such one."""
    kinds = {type(value) for value in values if value is not None}
    if kinds == {int} and all(abs(value) < 2**63 for value in values if value is not None):
        return pa.array(values, pa.int64())
    if kinds <= {int, float}:
        return pa.array([None if v is None else float(v) for v in values], pa.float64())
    return pa.array([None if v is None else value_text(v) for v in values], pa.string())
