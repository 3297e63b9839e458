"""Two days of five symbols through the live jobs, against the backtest of the same bars.

    python benchmarks/live/two_days.py [SPEED [PARALLELISM [MINUTES]]]    SPEED such as 60, or max

A stack of its own, the default patience, real bars from beside the project where there are any,
else simulated ones. Says what differs (nothing), how many ticks went on without another, and ticks
a second. Exit code 1 where anything differs.
"""

import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

from feeds.live.replay import Pace, replay
from jobs.stack import control, ending
from jobs.store import reading
from jobs.store.client import open_client
from schemas.config import parse_config
from schemas.tables import TABLES
from tests import live_equal, runs
from tests.live.live_runs import REAL, write_bars, write_real_bars

START = 1_559_520_000_000  # 2019-06-03 00:00 UTC, a Monday


def main() -> None:
    """Run and print."""
    speed = None if sys.argv[1:2] in ([], ["max"]) else float(sys.argv[1])
    parallelism, minutes = (*map(int, sys.argv[2:4]), *(1, 2880)[len(sys.argv[2:4]) :])
    with tempfile.TemporaryDirectory(prefix="tradeflow-two-days-") as name:
        folder = Path(name)
        if REAL.is_dir():
            ends = write_real_bars(folder / "bars", START, minutes, 5)
        else:
            ends = write_bars(folder / "bars", 1, minutes)
        tree = configuration(str(folder / "bars" / "*.parquet"), list(ends))
        bounded = runs.run(tree, folder / "runs").folder
        live = tree | {"store.kind": "fluss", "live": {"parallelism": parallelism}}
        try:
            up = control.up(parse_config(live), folder / "stack", note=print)
            if up.problems:
                sys.exit("\n".join(up.problems))
            wrong = compare(up.stack, live, speed, bounded, ends)
        finally:
            ending.down(folder / "stack", savepoint=False)
    sys.exit(1 if wrong else 0)


def configuration(prices: str, symbols: list[str]) -> dict[str, Any]:
    """All kinds, three accounts and a shadow, a cap that binds: as the tests have it."""
    venue = {"price_tick": "0.00001", "qty_step": "0.001"}
    return runs.config(prices) | {"symbols": dict.fromkeys(symbols, venue)}


def compare(
    stack: Any, live: dict[str, Any], speed: float | None, bounded: Path, ends: dict[str, int]
) -> list[str]:
    """Replay, then what differs."""
    with open_client(stack.store) as client:
        began = time.monotonic()
        pace = Pace(speed=speed, wait=True)
        done = replay(client, parse_config(live), pace, threading.Event(), lambda progress: None)
        seconds = time.monotonic() - began
        rows = {name: reading.read(client, TABLES[name]).to_pylist() for name in TABLES}
    wrong = live_equal.differences(bounded, rows.__getitem__, ends)
    print(
        f"{done.bars} bars, {done.ticks} ticks in {seconds:.0f} s: {done.ticks / seconds:.1f} a s"
    )
    print(", ".join(f"{name} {len(found)}" for name, found in rows.items() if found))
    gaps = Counter(f"{row['stage']} without {row['missing']}" for row in rows["progress_gaps"])
    print(f"went on without another: {gaps.total()}", *gaps.items())
    print("differs:", *(wrong or ["nothing"]), sep="\n  ")
    return wrong


if __name__ == "__main__":
    main()
