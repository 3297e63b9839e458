"""How many exec reports of outside brokers the live engine takes, on a stack of its own.

    python benchmarks/live/engine.py [RATE [SECONDS [ACCOUNTS [PARALLELISM [TASK_MANAGERS]]]]]
                                                                     2000 120 2 1 1

RATE reports a second go through `tradeflow ingest` for SECONDS; 0: 2000 x SECONDS at once, which
gives the most that the engine takes. Every report is a fill, every fourth closes a
lot; of 100 one is a copy. Lag: reports in the store that no change of position tells of yet.
Asked for: 2,000 a second, and a lag that does not grow.
"""

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from benchmarks.live.machine import MIB, Watch
from jobs.stack import control, ending
from jobs.store import reading
from jobs.store.client import Client, open_client
from schemas.config import parse_config
from schemas.table import Table
from schemas.trading import (
    DUPLICATE_FILL_HISTORY,
    EXEC_REPORT_HISTORY,
    POSITION_CHANGE_HISTORY,
    TRADE_MATCH_HISTORY,
)
from udfs.reports import REPORT_COLUMNS

START = 1_711_756_800_000
SYMBOLS, STRATEGIES = 10, 5
COPY_OF = 100  # one of 100 is a copy
# What a key's fills do again and again: three lots, closed and turned; then it is flat in the end.
STEPS = (
    *[("BUY", "1.0625")] * 3, ("SELL", "3.5"), *[("BUY", "1.0625")] * 3, ("SELL", "2.875"),
)  # fmt: skip
MOST = 2_000  # a second are asked for
LOOK_S = 1.0
LONGEST_S = 600
MOST_LAG_S = 3.0  # what the last third's mean lag may be, in seconds of the rate
PIECES_S = 0.02


class Seen(NamedTuple):
    """Rows of tables at a time."""

    at_s: float
    reports: int
    changes: int
    copies: int
    matches: int

    @property
    def lag(self) -> int:
        """Reports that the engine has not counted yet."""
        return self.reports - self.changes - self.copies


def main() -> None:
    """Run and print."""
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    given = [int(text) for text in sys.argv[1:]]
    rate, seconds, accounts, parallelism, managers = (*given, *(2000, 120, 2, 1, 1)[len(given) :])
    tree = configuration(accounts, parallelism, managers)
    with tempfile.TemporaryDirectory(prefix="tradeflow-engine-") as name:
        folder = Path(name) / "stack"
        try:
            up = control.up(parse_config(tree), folder, note=print)
            if up.problems:
                sys.exit("\n".join(up.problems))
            (Path(name) / "run.yaml").write_text(yaml_text(tree), encoding="utf-8")
            with open_client(up.stack.store) as client, Watch(folder) as watch:
                passed = measure(client, folder, Path(name) / "run.yaml", rate, seconds, accounts)
            watch.show()
            busy_s = watch.share() * (os.cpu_count() or 1) * watch.seconds()
            print(f"memory at most {watch.most_pss() / MIB:.0f} MB")
            print(f"processor time a report: {busy_s / wanted(rate, seconds) * 1e6:.0f} us")
        finally:
            ending.down(folder, savepoint=False)
    sys.exit(0 if passed else 1)


def configuration(accounts: int, parallelism: int, managers: int) -> dict[str, Any]:
    """Accounts of an outside broker; the one strategy's kind does not matter."""
    ids = [f"s{number}" for number in range(STRATEGIES)]
    kind = {"kind": "ema_cross", "timeframe": "1m", "params": {"fast": 3, "slow": 8}}
    return {
        "run.id": "engine",
        "symbols": {f"S{number}USD": {} for number in range(SYMBOLS)},
        "strategies": [{"id": one, **kind} for one in ids],
        "accounts": [
            {"id": f"a{n}", "broker": "external", "strategies": ids, "sizing": {"notional": "1000"}}
            for n in range(accounts)
        ],
        "engine.outputs": "full",
        "store.kind": "fluss",
        "live.parallelism": parallelism,
        "live.task_managers": managers,
    }


def yaml_text(tree: dict[str, Any]) -> str:
    """The configuration as a file; JSON is YAML."""
    return json.dumps(tree)


def reports(count: int, accounts: int, rate: float) -> Iterator[str]:
    """Lines of CSV: fills over all keys, their ts as `rate` a second, one of COPY_OF again."""
    for number in range(count):
        if number % COPY_OF == COPY_OF - 1:
            number -= COPY_OF // 2
        turn, key = divmod(number, accounts * STRATEGIES * SYMBOLS)
        rest, account = divmod(key, accounts)
        symbol, strategy = divmod(rest, STRATEGIES)
        cycle, step = divmod(turn, len(STEPS))
        side, qty = STEPS[step]
        yield (
            f"a{account},s{strategy},o{number},f1,S{symbol}USD,{side},{qty},"
            f"{100 + (number + cycle) % 97 / 8},{START + int(number * 1000 / rate)},0.01,,venue\n"
        )


def wanted(rate: int, seconds: int) -> int:
    """How many reports are none of the copies."""
    count = (rate or MOST) * seconds
    return count - count // COPY_OF


def measure(
    client: Client, folder: Path, config: Path, rate: int, seconds: int, accounts: int
) -> bool:
    """Feed, look once a second, print; whether the lag stayed small."""
    steady = rate > 0
    rate = rate or MOST
    count, changes = rate * seconds, wanted(rate, seconds)
    command = [sys.executable, "-m", "cli.main", "ingest", "--config", str(config)]
    command += ["--dir", str(folder), "--table", EXEC_REPORT_HISTORY.name]
    feeder = subprocess.Popen(command, stdin=subprocess.PIPE, text=True)
    lines = reports(count, accounts, rate)
    writing = threading.Thread(
        target=write, args=(feeder, lines, rate if steady else None), daemon=True
    )
    writing.start()
    began = time.monotonic()
    found: list[Seen] = []
    while not found or found[-1].changes < changes:
        time.sleep(LOOK_S)
        found.append(look(client, began))
        show(found)
        if found[-1].at_s > LONGEST_S + seconds:
            print("the engine does not come to the end of the reports")
            break
    writing.join()
    feeder.wait()
    return verdict(found, rate, steady)


def write(feeder: "subprocess.Popen[str]", lines: Iterator[str], rate: int | None) -> None:
    """Lines at a rate (None: at once) into the feeder's pipe, a few at a time."""
    pipe = feeder.stdin
    assert pipe is not None
    pipe.write(",".join(REPORT_COLUMNS) + "\n")
    began, sent = time.monotonic(), 0
    with contextlib.closing(pipe):
        for line in lines:
            pipe.write(line)
            sent += 1
            ahead = 0.0 if rate is None else sent / rate - (time.monotonic() - began)
            if ahead > PIECES_S:
                pipe.flush()
                time.sleep(ahead)


def look(client: Client, began: float) -> Seen:
    """Rows so far, by the ends of logs."""

    def rows(table: Table) -> int:
        return reading.end(client, table)

    return Seen(
        time.monotonic() - began,
        rows(EXEC_REPORT_HISTORY),
        rows(POSITION_CHANGE_HISTORY),
        rows(DUPLICATE_FILL_HISTORY),
        rows(TRADE_MATCH_HISTORY),
    )


def show(found: list[Seen]) -> None:
    """A line now and then."""
    if len(found) % 10 == 1:
        one = found[-1]
        print(
            f"{one.at_s:6.0f} s  {one.reports:9,} reports  {one.changes:9,} changes  "
            f"{one.matches:9,} matches  lag {one.lag:8,}",
            flush=True,
        )


def verdict(found: list[Seen], rate: int, steady: bool) -> bool:
    """The rate that was taken, the lag over time, and what they say."""
    first = next(one for one in found if one.changes)
    last = next(one for one in found if one.changes == found[-1].changes)
    taken = (last.changes - first.changes) / max(last.at_s - first.at_s, LOOK_S)
    print(f"{last.changes:,} reports, {taken:,.0f} a second")
    if not steady:
        return taken >= rate
    fed = [one for one in found if first.at_s <= one.at_s and one.reports < found[-1].reports]
    lags = np.array([one.lag for one in fed]) / rate
    thirds = [float(part.mean()) for part in np.array_split(lags, 3)]
    text = " ".join(f"{third:.2f}" for third in thirds)
    print(f"lag in s, mean by thirds: {text}, most {lags.max():.2f}")
    passed = thirds[2] < MOST_LAG_S and thirds[2] < 2 * max(thirds[1], 0.5)
    print("PASS" if passed else f"FAIL: {rate:,} a second are more than the engine takes")
    return passed


if __name__ == "__main__":
    main()
