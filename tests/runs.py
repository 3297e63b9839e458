"""A small traced run on simulated bars that several tests share, with a user's own strategy."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import yaml

from jobs.run import RunReport, RunRequest, execute
from schemas.config import parse_config
from udfs.bars import Bars
from udfs.simulate import EXAMPLE_SYMBOLS, simulate

OWN = str(Path(__file__).resolve().parents[1] / "examples" / "my_strategy.py")
START = 1_711_756_800_000  # 2024-03-30 00:00 UTC: Oslo's clocks go forward a day later
MINUTES = 3 * 1440


def bars_table(symbol: str, bars: Bars) -> pa.Table:
    """Bars as a file has them."""
    return pa.table({"symbol": [symbol] * len(bars.ts), **bars._asdict()})


def write_bars(folder: Path, row_group: int = 5_000) -> str:
    """One Parquet file per simulated symbol; the pattern that names them."""
    folder.mkdir(parents=True, exist_ok=True)
    for symbol, bars in simulate(3, EXAMPLE_SYMBOLS, START, MINUTES).items():
        pq.write_table(bars_table(symbol, bars), folder / f"{symbol}.parquet", row_group)
    return str(folder / "*.parquet")


def config(prices: str, **changes: Any) -> dict[str, Any]:
    """All six kinds, a grid, an own one, three intrabar; accounts capped, budgeted and free."""
    names = [spec.symbol for spec in EXAMPLE_SYMBOLS]
    kinds = [
        ("cross", "ema_cross", "1m", {"params": {"fast": 9, "slow": 21}}),
        ("dip", "rsi_reversion", "5m", {"params": {"period": 14, "low": 30, "high": 70}}),
        ("macd", "macd_trend", "5m", {"params": {"fast": 12, "slow": 26, "signal": 9}}),
        ("bands", "bollinger_breakout", "15m", {"params": {"period": 20, "k": 1.5}}),
        ("channel", "donchian_breakout", "1m", {"params": {"entry": 20, "exit": 10}}),
        ("pull", "trend_pullback", "1m", {"params": {
            "trend_tf": "15m", "trend_ema": 10, "rsi_period": 7, "low": 35, "high": 70}}),
        ("sweep", "ema_cross", "1m", {"grid": {"fast": [5, 8], "slow": [8, 34]}}),
    ]  # fmt: skip
    straight = {"entry": 20, "mean": 30, "straight": 10, "least": 0.3}
    own = {"id": "own", "module": OWN, "timeframe": "5m", "params": straight}
    pull = {"trend_tf": "15m", "trend_ema": 10, "rsi_period": 7, "low": 40, "high": 65}
    intrabar = [
        {
            "id": "early",
            "kind": "bollinger_breakout",
            "timeframe": "15m",
            "params": {"period": 20, "k": 1.5},
        },
        {"id": "early-own", "module": OWN, "timeframe": "15m", "params": straight},
        {"id": "early-pull", "kind": "trend_pullback", "timeframe": "5m", "params": pull},
    ]
    ids = [*(one[0] for one in kinds), "own", *(str(one["id"]) for one in intrabar)]
    return {
        "run.id": "small",
        "prices.files": prices,
        "symbols": {name: {"price_tick": "0.0001", "qty_step": "0.001"} for name in names},
        "strategies": [
            *(
                {"id": name, "kind": kind, "timeframe": frame, **params}
                for name, kind, frame, params in kinds
            ),
            own,
            *(one | {"intrabar": True} for one in intrabar),
        ],
        "accounts": [
            {"id": "capped", "strategies": ids[:6], "sizing": {"notional": "5000"},
             "fee_bps": "10", "slippage_bps": "1", "shadow": True},
            {"id": "free", "strategies": ids, "sizing": {"fixed_qty": "2"},
             "limits": {"maxOpenPositions": None}, "fee_bps": "-0.5"},
            {"id": "tight", "strategies": ids[:3], "sizing": {"notional": "1000"},
             "limits": {"maxNotional": "2500"}, "weights": {"macd": "0.5"}},
        ],
        "engine.outputs": "full",
        **changes,
    }  # fmt: skip


def run(tree: dict[str, Any], out: Path, runner: str = "local", parallelism: int = 1) -> RunReport:
    """A traced run."""
    request = RunRequest(parse_config(tree), (), out, True, True, runner, parallelism)
    return execute(request, lambda done, total: None)


def write_config(tree: dict[str, Any], path: Path) -> Path:
    """The configuration as a YAML file."""
    path.write_text(yaml.safe_dump(tree))
    return path


def assert_same_folders(one: Path, other: Path) -> None:
    """Every table of both run folders is equal, row for row."""
    names = sorted(path.name for path in one.glob("*.parquet"))
    assert names == sorted(path.name for path in other.glob("*.parquet"))
    assert len(names) >= 11  # unrealized_snapshot only where a position is open
    for name in names:
        mine, theirs = pq.read_table(one / name), pq.read_table(other / name)
        assert mine.schema.equals(theirs.schema), name
        assert mine.num_rows == theirs.num_rows, name
        for column in mine.column_names:
            left, right = mine[column], theirs[column]
            if pa.types.is_floating(left.type):
                assert np.array_equal(left.to_numpy(), right.to_numpy(), equal_nan=True), column
            else:
                assert left.equals(right), f"{name} {column}"
