"""Compile every kernel once, so that no run has to wait for it: `python -m cli.warm`.

Tiny backtests over simulated bars in a temporary folder take every path through the kernels: all
kinds of strategies, both ways of sizing, caps, budgets, shorts, CSV and Parquet. numba keeps what
it compiled beside the code.
"""

import tempfile
import time
from datetime import date
from pathlib import Path
from typing import Any

from cli.simulate import write_simulated
from jobs.run import RunRequest, execute
from schemas.config import Config, parse_config
from udfs.strategies import KINDS, example_params

START = date(2024, 3, 1)
DAYS = 4
SYMBOLS = ("ALFAUSD", "ECHOUSD")


def main() -> None:
    """Run the backtests and say how long they took."""
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="tradeflow-warm-") as name:
        folder = Path(name)
        bars = write_simulated(folder, start=START, days=DAYS, symbols=SYMBOLS)
        bars.append(_as_csv(bars.pop()))
        for run_id, is_long_only in (("long", True), ("short", False)):
            config = parse_config(configuration(run_id, is_long_only, bars), "cli/warm.py")
            # One strategy alone: numba takes columns of length 1 for another type.
            for only in ((), (f"{next(iter(KINDS))}-1m",)):
                execute(_request(config, only, folder), lambda done, total: None)
    print(f"kernels compiled in {time.monotonic() - began:.1f} s")


def _as_csv(path: Path) -> Path:
    """The same bars as CSV, in place of the Parquet file."""
    import pyarrow.csv
    import pyarrow.parquet

    table = pyarrow.parquet.read_table(path)
    pyarrow.csv.write_csv(table, path.with_suffix(".csv"))
    path.unlink()
    return path.with_suffix(".csv")


def _request(config: Config, only: tuple[str, ...], folder: Path) -> RunRequest:
    return RunRequest(
        config=config,
        only_strategies=only,
        out=folder / "runs",
        overwrite=True,
        trace=True,
        runner="local",
        parallelism=1,
    )


def configuration(run_id: str, is_long_only: bool, bars: list[Path]) -> dict[str, Any]:
    """All kinds, on two timeframes, and intrabar; accounts that take every path of the gate."""
    strategies = [
        {
            "id": f"{name}-{timeframe}{'-early' if intrabar else ''}",
            "kind": name,
            "timeframe": timeframe,
            "intrabar": intrabar,
            "params": example_params(kind),
        }
        for name, kind in KINDS.items()
        for timeframe, intrabar in (("1m", False), ("5m", False), ("5m", True))
    ]
    followed = [strategy["id"] for strategy in strategies]
    costs = {"strategies": followed, "fee_bps": "10", "slippage_bps": "1"}
    return {
        "run": {"id": run_id},
        "prices.files": [str(path) for path in bars],
        "symbols": {
            "ALFAUSD": {"price_tick": "0.01", "qty_step": "0.0001"},
            "ECHOUSD": {"price_tick": "0.05", "qty_step": "1"},
        },
        "strategies": strategies,
        "accounts": [
            {"id": "capped", "sizing": {"notional": "10000"}, **costs},
            {
                "id": "free",
                "sizing": {"fixed_qty": "3"},
                "limits": {"maxOpenPositions": None},
                "shadow": True,
                **costs,
            },
            {
                "id": "budget",
                "sizing": {"notional": "5000"},
                "limits": {"maxOpenPositions": 1, "maxNotional": "12000"},
                **costs,
            },
        ],
        "tradepicker": {"sellRequiresLong": is_long_only, "maxEntries": 2},
    }


if __name__ == "__main__":
    main()
