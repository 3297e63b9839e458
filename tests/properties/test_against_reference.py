"""The product equals the plain reference in every column, on random configurations and bars."""

import copy
import random
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from jobs import group_stage, sources
from jobs.pipeline import run_local
from schemas.config import parse_config
from schemas.resolve import plan_run
from tests.reference import run as reference
from tests.reference.cases import add_budget, random_config, random_rows
from tests.reference.compare import differences
from udfs import account_batch

COUNTED = (
    "rejected",
    "price_rejects",
    "skipped",
    "late",
    "duplicates",
    "grid_left_out",
    "over_cap",
)
SAMPLE = Path("../shared/data/sample")


def run_both(config: dict, rows: list[dict], piece_rows: int) -> list[str]:
    expected = reference.run(copy.deepcopy(config), rows)
    plan = plan_run(parse_config(config), trace=True)
    table = pa.Table.from_pylist(rows)
    half = len(rows) // 2
    tables = [table.slice(0, half), table.slice(half)]
    tasks = sources.memory_tasks(tables, [symbol.symbol for symbol in plan.symbols])
    got = run_local(plan, tasks, lambda count: None, piece_rows)
    found = differences(got.tables, expected)
    for name in (*COUNTED, "unfilled"):
        mine, theirs = got.counts[name], expected["manifest"][name]
        if mine != theirs:
            found.append(f"manifest {name}: {mine}, expected {theirs}")
    return found


@pytest.mark.parametrize("seed", range(24))
def test_random_runs(seed: int) -> None:
    rng = random.Random(seed)
    symbols = ["AAAUSD", "BBBUSD", "CCCUSD", "DDDUSD"][: rng.randint(1, 4)]
    minutes = rng.choice([120, 600, 1500])
    config = random_config(rng, symbols, minutes)
    add_budget(rng, config)
    rows = random_rows(rng, symbols, minutes, bad=rng.choice([0.0, 0.05]))
    assert run_both(config, rows, rng.choice([1, 7, 100, 32_768])) == []


@pytest.mark.slow
@pytest.mark.skipif(not SAMPLE.exists(), reason="needs the real sample bars")
def test_real_bars() -> None:
    rows = []
    for path in sorted(SAMPLE.glob("*.parquet")):
        rows.extend(pq.read_table(path).slice(0, 5000).to_pylist())
    symbols = sorted({row["symbol"] for row in rows})
    params = {
        "ema_cross": {"fast": 9, "slow": 23},
        "rsi_reversion": {"period": 14, "low": 30, "high": 70},
        "macd_trend": {"fast": 12, "slow": 26, "signal": 9},
        "bollinger_breakout": {"period": 20, "k": 2.5},
        "donchian_breakout": {"entry": 20, "exit": 10},
        "trend_pullback": {
            "trend_tf": "15m", "trend_ema": 50, "rsi_period": 14, "low": 40, "high": 70,
        },
    }  # fmt: skip
    config = {
        "run.id": "real",
        "prices.files": "unused",
        "symbols": {symbol: {"price_tick": "0.0001", "qty_step": "0.001"} for symbol in symbols},
        "strategies": [
            {"id": kind, "kind": kind, "params": one, "timeframe": "1m" if i % 2 else "5m"}
            for i, (kind, one) in enumerate(params.items())
        ],
        "accounts": [
            {"id": "main", "strategies": list(params), "sizing": {"notional": "10000"},
             "fee_bps": "10", "slippage_bps": "1", "shadow": True},
            {"id": "wide", "strategies": list(params)[:3], "sizing": {"fixed_qty": "1"},
             "limits": {"maxOpenPositions": None}, "fee_bps": "-1"},
        ],
        "engine.outputs": "full",
    }  # fmt: skip
    assert run_both(config, rows, 4000) == []


@pytest.mark.parametrize("seed", range(6))
def test_numbers_beyond_the_batch_form(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Prices of 10^11 at ticks of 10^-8 do not fit: the step form does the work, as exactly."""
    rng = random.Random(seed)
    symbols = ["AAAUSD", "BBBUSD"]
    config = random_config(rng, symbols, 300)
    config["symbols"] = {symbol: {} for symbol in symbols}
    for account in config["accounts"]:
        account["sizing"] = {"notional": "123456789012"}
    rows = random_rows(rng, symbols, 300, bad=0.0)
    for row in rows:
        for name in ("open", "high", "low", "close"):
            row[name] *= 1e11
    outcomes = []

    def watched(*given: Any) -> Any:
        outcomes.append(account_batch.fold(*given))
        return outcomes[-1]

    monkeypatch.setattr(group_stage, "account_batch", SimpleNamespace(fold=watched))
    assert run_both(config, rows, 1000) == []
    assert None in outcomes
