"""Whole-process times and memory of sweeps over a year of seven symbols: `make bench`.

Prints wall seconds and the highest resident memory of all processes together, sampled ten times a
second, for 20 and 500 sets of an EMA cross by both runners. Ten minutes and 5 GB of disk; needs
the real bars of 2019. `python benchmarks/bench_sweep.py 20 local` measures one case.
"""

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parent.parent
BARS = ROOT.parent / "shared" / "data" / "bars-2019"
SYMBOLS = ("BTCUSD", "EOSUSD", "ETHUSD", "IOTUSD", "LTCUSD", "NEOUSD", "XRPUSD")
FAST = list(range(5, 25))
CASES = [(20, "local"), (20, "flink"), (500, "local"), (500, "flink")]


def config(sets: int) -> dict[str, object]:
    """ema_cross with 20 fast and sets / 20 slow periods, fixed quantity 1, 10 bps, no cap."""
    slow = list(range(30, 30 + 5 * (sets // len(FAST)), 5))
    return {
        "run.id": f"sweep{sets}",
        "prices.files": [str(BARS / f"{symbol}.parquet") for symbol in SYMBOLS],
        "symbols": {symbol: {} for symbol in SYMBOLS},
        "strategies": [{"id": "s", "kind": "ema_cross", "grid": {"fast": FAST, "slow": slow}}],
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


def resident_mb(process: int) -> float:
    """Resident memory of a process and all that it started."""
    total = 0.0
    try:
        status = Path(f"/proc/{process}/status").read_text()
        total = int(status.partition("VmRSS:")[2].split()[0]) / 1024
        for task in Path(f"/proc/{process}/task").iterdir():
            total += sum(resident_mb(int(one)) for one in (task / "children").read_text().split())
    except (OSError, IndexError):
        pass  # it has just ended
    return total


def measure(command: list[str]) -> tuple[float, float]:
    """(wall seconds, MB of the process tree at its highest) of one command."""
    started, peak = time.perf_counter(), 0.0
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, cwd=ROOT) as process:
        while process.poll() is None:
            peak = max(peak, resident_mb(process.pid))
            time.sleep(0.1)
    if process.returncode:
        sys.exit(f"failed: {' '.join(command)}")
    return time.perf_counter() - started, peak


def main() -> None:
    """All cases, or the one of the arguments."""
    if not BARS.exists():
        sys.exit(f"needs the bars of 2019 in {BARS}")
    wanted = [(int(sys.argv[1]), sys.argv[2])] if len(sys.argv) > 2 else CASES
    tradeflow = str(ROOT / ".venv" / "bin" / "tradeflow")
    print(f"{'sets':>5} {'runner':<7}{'seconds':>9}{'MB':>8}{'round trips':>14}{'MB on disk':>12}")
    for sets, runner in wanted:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "sweep.yaml"
            path.write_text(yaml.safe_dump(config(sets)))
            command = [tradeflow, "backtest", "--quiet", "--config", str(path)]
            command += ["--out", f"{folder}/runs", "--runner", runner]
            seconds, peak = measure(command)
            done = Path(folder) / "runs" / f"sweep{sets}"
            rows = json.loads((done / "manifest.json").read_text())["rows"]["trade_match_history"]
            disk = sum(file.stat().st_size for file in done.iterdir()) / 1e6
        print(f"{sets:>5} {runner:<7}{seconds:>9.1f}{peak:>8.0f}{rows:>14,}{disk:>12.0f}")


if __name__ == "__main__":
    main()
