"""Whether a stack keeps up with many bars: lag, processors, memory and disk over time.

    python benchmarks/live/load.py [SYMBOLS [STRATEGIES [MINUTES [SECONDS
        [TASK_MANAGERS [PARALLELISM]]]]]]                              50 20 600 1 2 1

Every SECONDS a minute of bars of all symbols is written, and its progress row, whether the stages
have worked the last one or not. Lag of a stage: from that write until its progress of the minute
is seen. Asked for: no lag that grows within ten minutes, and less than 10 GiB of memory for all
processes of the stack. Exit code 1 where either fails; then it says which process was the limit.
"""

import signal
import sys
import tempfile
import threading
import time
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np

from benchmarks.live.latency import (
    MINUTE_MS,
    STAGES,
    START,
    WARM_LIMIT_S,
    WARM_MINUTES,
    Seen,
    bar_row,
    configuration,
    wait_for,
    watch,
    worked,
)
from benchmarks.live.machine import MIB, Watch
from jobs.stack import control, ending
from jobs.store import reading
from jobs.store.client import Client, Writing, open_client
from schemas.config import parse_config
from schemas.market import PRICE_1M_HISTORY
from schemas.ops import PROGRESS, PROGRESS_GAPS
from udfs.simulate import SymbolSpec, simulate

LAST = "tradepicker"
SETTLE_S = 20  # after the burst that warms the features
MOST_MEMORY_MB = 10 * 1024
MOST_GROWTH_S = 1.0  # of lag, by the line through all minutes, from the first to the last
BEHIND_S = 120
At = dict[tuple[str, str, int], float]  # when it was seen by stage, "last" and tick


class Lag(NamedTuple):
    """A stage's waits in s: quantiles, the most, and the growth of a line from first to last."""

    p50: float
    p95: float
    most: float
    growth: float


def main() -> None:
    """Run and print."""
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    given = [int(text) for text in sys.argv[1:]]
    symbols, strategies, minutes, seconds, managers, parallelism = (
        *given,
        *(50, 20, 600, 1, 2, 1)[len(given) :],
    )
    tree = configuration(symbols, strategies) | {
        "run.id": "load",
        "store.kind": "fluss",
        "live.task_managers": managers,
        "live.parallelism": parallelism,
    }
    with tempfile.TemporaryDirectory(prefix="tradeflow-load-") as name:
        folder = Path(name) / "stack"
        try:
            up = control.up(parse_config(tree), folder, note=print)
            if up.problems:
                sys.exit("\n".join(up.problems))
            where = up.stack.store
            with open_client(where) as client:
                written, seen, watched = feed(client, folder, symbols, minutes, seconds)
                gaps = reading.log(client, PROGRESS_GAPS)
        finally:
            ending.down(folder, savepoint=False)
    watched.show()
    lags = {stage: lag(stage, written, seen) for stage in STAGES}
    show(lags, len(written))
    print(f"went on without another: {len(gaps)}")
    sys.exit(0 if verdict(lags, watched) else 1)


def feed(
    client: Client, folder: Path, symbols: int, minutes: int, seconds: float
) -> tuple[dict[int, float], At, Watch]:
    """Warm up, then write at the pace; when each minute was written, and what was seen when."""
    specs = [
        SymbolSpec(f"S{n:02d}USD", 100.0 + n, 4, 0.04, 0.5, 30.0, 1.0, 3) for n in range(symbols)
    ]
    bars = simulate(7, specs, START, WARM_MINUTES + minutes + 1)
    all_seen, done = Seen(), threading.Event()
    watching = watch(client.place, all_seen, done)
    seen = all_seen.at

    def write(minute: int) -> int:
        tick = START + (minute + 1) * MINUTE_MS
        found = {name: np.flatnonzero(one.ts == tick - MINUTE_MS) for name, one in bars.items()}
        rows = [bar_row(name, bars[name], int(at[0])) for name, at in found.items() if len(at)]
        client.write(Writing(PRICE_1M_HISTORY, rows))
        client.write(Writing(PROGRESS, [("feed", "main", tick, len(rows))]))
        return tick

    for minute in range(WARM_MINUTES):
        warm = write(minute)
    began = time.perf_counter()
    wait_for(partial(worked, seen, warm), WARM_LIMIT_S)
    print(f"{WARM_MINUTES} minutes at once took {time.perf_counter() - began:.0f} s", flush=True)
    time.sleep(SETTLE_S)
    written: dict[int, float] = {}
    with Watch(folder) as watched:
        began = time.perf_counter()
        for number in range(minutes):
            time.sleep(max(0.0, began + number * seconds - time.perf_counter()))
            at = time.perf_counter()
            written[write(WARM_MINUTES + number)] = at
        end = time.monotonic() + BEHIND_S
        while (LAST, "last", max(written)) not in seen and time.monotonic() < end:
            time.sleep(0.1)
    time.sleep(1)
    done.set()
    for thread in watching:
        thread.join()
    return written, seen, watched


def lag(stage: str, written: dict[int, float], seen: At) -> Lag | None:
    """The stage's lag; None where it has not told some minute by the end."""
    ticks = sorted(written)
    if any((stage, "last", tick) not in seen for tick in ticks):
        return None
    waits = np.array([seen[stage, "last", tick] - written[tick] for tick in ticks])
    at = np.array([written[tick] for tick in ticks])
    slope = float(np.polyfit(at - at[0], waits, 1)[0])
    p50, p95 = np.percentile(waits, (50, 95))
    return Lag(float(p50), float(p95), float(waits.max()), slope * float(at[-1] - at[0]))


def show(lags: dict[str, Lag | None], minutes: int) -> None:
    """A line for each stage."""
    print(f"{f'lag in s, {minutes} minutes':24}{'p50':>8}{'p95':>8}{'most':>8}{'grown by':>10}")
    for stage, found in lags.items():
        shown = "  did not come to the end" if found is None else "".join(
            f"{value:{width}.2f}" for value, width in zip(found, (8, 8, 8, 10), strict=True)
        )  # fmt: skip
        print(f"{stage:24}{shown}")


def verdict(lags: dict[str, Lag | None], watched: Watch) -> bool:
    """Whether what is asked for holds; what bounds it where it does not."""
    grown = [s for s, one in lags.items() if one is None or one.growth > MOST_GROWTH_S]
    memory_mb = watched.most_pss() / MIB
    print(f"memory at most {memory_mb:.0f} MB of {MOST_MEMORY_MB}")
    if grown:
        name, share = watched.busiest()
        print(f"FAIL: lag grows in {', '.join(grown)}; {name} took {100 * share:.0f} % of a core")
        print(f"the stack took {100 * watched.share():.0f} % of all processors, others the rest")
    if memory_mb > MOST_MEMORY_MB:
        print("FAIL: too much memory")
    passed = not grown and memory_mb <= MOST_MEMORY_MB
    print("PASS" if passed else "what is asked for does not hold")
    return passed


if __name__ == "__main__":
    main()
