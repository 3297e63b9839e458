"""Whole-process times of a year of seven symbols: `make bench`.

Prints wall seconds and the largest process for an empty Flink job, one symbol x one strategy, and
seven symbols x 20 sets (51.3 million bar-strategies), by both runners, each the best and the median
of RUNS runs in one session, and as a ratio to the local run. Needs the real bars of 2019.
"""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parent.parent
BARS = ROOT.parent / "shared" / "data" / "bars-2019"
SYMBOLS = ("BTCUSD", "EOSUSD", "ETHUSD", "IOTUSD", "LTCUSD", "NEOUSD", "XRPUSD")
RUNS = 3


def config(symbols: tuple[str, ...], fast: range, run_id: str) -> dict[str, object]:
    """ema_cross with slow = floor(2.5 x fast + 0.5), fixed quantity 1, 10 bps, no cap."""
    sets = [{"fast": number, "slow": int(2.5 * number + 0.5)} for number in fast]
    return {
        "run.id": run_id,
        "prices.files": [str(BARS / f"{symbol}.parquet") for symbol in symbols],
        "symbols": {symbol: {} for symbol in symbols},
        "strategies": [{"id": "s", "kind": "ema_cross", "sets": sets}],
        "accounts": [
            {
                "id": "a",
                "strategies": ["s"],
                "sizing": {"fixed_qty": "1"},
                "fee_bps": "10",
                "limits": {"maxOpenPositions": None},
            }
        ],
    }


def measure(command: list[str]) -> tuple[float, float]:
    """(wall seconds, MB of the largest process) of one command."""
    started = time.perf_counter()
    done = subprocess.Popen(command, stdout=subprocess.DEVNULL, cwd=ROOT)
    _, status, used = os.wait4(done.pid, 0)
    if status:
        sys.exit(f"failed: {' '.join(command)}")
    return time.perf_counter() - started, used.ru_maxrss / 1024


def report(name: str, command: list[str], runs: int = RUNS) -> float:
    """Print a line; the median in seconds."""
    results = [measure(command) for _ in range(runs)]
    walls = sorted(wall for wall, _ in results)
    median = statistics.median(walls)
    print(f"{name:<44}{walls[0]:>8.2f}{median:>9.2f}{max(mb for _, mb in results):>9.0f}")
    return median


def main() -> None:
    """All of it, some five minutes."""
    if not BARS.exists():
        sys.exit(f"needs the bars of 2019 in {BARS}")
    tradeflow = str(ROOT / ".venv" / "bin" / "tradeflow")
    with tempfile.TemporaryDirectory() as folder:
        cases = {
            "one": (SYMBOLS[:1], range(5, 6)),
            "year": (SYMBOLS, range(5, 25)),
        }
        for name, (symbols, fast) in cases.items():
            path = Path(folder) / f"{name}.yaml"
            path.write_text(yaml.safe_dump(config(symbols, fast, name)))
        print(f"{'':<44}{'best s':>8}{'median s':>9}{'MB':>9}")
        empty = report("empty Flink job", [sys.executable, str(ROOT / "benchmarks/empty_job.py")])
        medians: dict[str, float] = {}
        for name, label in (("one", "1 symbol x 1 strategy"), ("year", "7 symbols x 20 sets")):
            for runner in ("local", "flink -p 1", "flink -p 2"):
                options = runner.split()
                command = [tradeflow, "backtest", "--quiet", "--overwrite"]
                command += ["--config", f"{folder}/{name}.yaml", "--out", f"{folder}/runs"]
                command += ["--runner", options[0], "--parallelism", (options[1:] or ["", "1"])[-1]]
                medians[name + runner] = report(f"{label}, {runner}", command)
        print(f"1 x 1 beyond an empty job: {medians['oneflink -p 1'] - empty:.2f} s")
        print(f"Flink / local, 7 x 20: {medians['yearflink -p 1'] / medians['yearlocal']:.2f}")


if __name__ == "__main__":
    main()
