"""What monitoring costs, and how soon a metric follows a bar, on a stack of its own.

    python benchmarks/live/monitoring.py [SYMBOLS [MINUTES [PAIRS [CHUNK]]]]    50 60 7 40

Five accounts and four strategies; four of the accounts hold every symbol by every strategy. First
MINUTES minutes, one each PACE_S: from the write of a minute's bars until te_net_exposure is that of
its closes, and how long a scrape takes. Asked for: 2 s, and 200 ms.

Then chunks of CHUNK minutes at once, PAIRS times with monitoring and without (its processes are
stopped by a signal meanwhile), in turns: seconds until the gate has worked the chunk, as ratios of
the pairs. Asked for: less than 1.05. With it, what monitoring's processes took of the processors.
"""

import os
import re
import shutil
import signal
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.live.latency import KINDS, MINUTE_MS, START, bar_row
from jobs.stack import control, ending, monitors
from jobs.stack.state import Stack, read
from jobs.store import reading
from jobs.store.client import Client, Writing, open_client
from schemas.config import parse_config
from schemas.market import PRICE_1M_HISTORY
from schemas.ops import PROGRESS
from schemas.resolve import plan_run
from schemas.trading import EXEC_REPORT_HISTORY, OPEN_POSITIONS_ROLLUP
from udfs.simulate import SymbolSpec, simulate
from udfs.sizing import rounded_close

ACCOUNTS = ("ext0", "ext1", "ext2", "ext3", "paper")
WATCHED = re.compile(r'^te_net_exposure\{account="ext0",strategy="s00"\} (\S+)$', re.MULTILINE)
WARM_MINUTES = 30
PACE_S = 3.0  # what the jobs keep up with on two slow cores
CAUGHT_UP_S = 60.0
LONGEST_S = 300


def main() -> None:
    """Run and print."""
    given = [int(text) for text in sys.argv[1:]]
    symbols, minutes, pairs, chunk = (*given, *(50, 60, 7, 40)[len(given) :])
    config = parse_config(configuration(symbols))
    with tempfile.TemporaryDirectory(prefix="tradeflow-monitoring-") as name:
        folder = Path(name) / "stack"
        is_there = all(shutil.which(one) for one in monitors.PROGRAMS)
        try:
            up = control.up(
                config,
                folder,
                control.Wish(monitoring=is_there and monitors.CONF.is_dir()),
                note=print,
            )
            if up.problems:
                sys.exit("\n".join(up.problems))
            bench = Bench(up.stack, config, WARM_MINUTES + minutes + (2 * pairs + 1) * chunk)
            with open_client(up.stack.store) as bench.client:
                bench.hold()
                bench.chunk(WARM_MINUTES)
                bench.follow(minutes)
                bench.compare(pairs, chunk)
        finally:
            ending.down(folder, savepoint=False)


def configuration(symbols: int) -> dict[str, Any]:
    """Four accounts with a broker of their own, one of the paper broker."""
    ids = [f"s{n:02d}" for n in range(4)]
    common = {"strategies": ids, "sizing": {"notional": "1000"}}
    free = {"limits": {"maxOpenPositions": None}}
    brokers = ["external"] * 4 + ["paper"]
    return {
        "run.id": "monitored",
        "symbols": {f"S{n:02d}USD": {"price_tick": "0.0001"} for n in range(symbols)},
        "strategies": [
            {"id": one, "kind": KINDS[n][0], "timeframe": "1m", "params": KINDS[n][1]}
            for n, one in enumerate(ids)
        ],
        "accounts": [
            {"id": one, "broker": broker, **common, **free}
            for one, broker in zip(ACCOUNTS, brokers, strict=True)
        ],
        "engine.outputs": "full",
        "store.kind": "fluss",
    }


class Bench:
    """A stack that is fed minute by minute."""

    client: Client

    def __init__(self, stack: Stack, config: Any, minutes: int) -> None:
        self.stack, self.plan = stack, plan_run(config)
        specs = [
            SymbolSpec(one.symbol, 100.0 + n, 4, 0.04, 0.5, 30.0, 1.0, 0)
            for n, one in enumerate(self.plan.symbols)
        ]
        self.bars = simulate(7, specs, START, minutes + 1)
        self.minute = 0
        self.closes: dict[str, int] = {}
        self.address = f"http://127.0.0.1:{stack.ports.exporter}/metrics"

    def hold(self) -> None:
        """Open one of each symbol by each strategy in each account outside."""
        columns = [column.name for column in EXEC_REPORT_HISTORY.stored]
        rows = []
        for account in ACCOUNTS[:4]:
            for strategy in self.plan.strategies:
                for symbol in self.plan.symbols:
                    name = f"{account}-{strategy.strategy_id}-{symbol.symbol}"
                    row = {
                        "account_id": account, "strategy_id": strategy.strategy_id,
                        "symbol": symbol.symbol, "order_id": name, "fill_id": "1", "side": "BUY",
                        "fill_qty": Decimal(1), "fill_price": Decimal(100), "fee": Decimal(0),
                        "ts": START, "run_id": self.plan.run_id,
                    }  # fmt: skip
                    rows.append([row.get(column) for column in columns])
        self.client.write(Writing(EXEC_REPORT_HISTORY, rows))
        wanted = len(rows)
        wait(lambda: reading.read(self.client, OPEN_POSITIONS_ROLLUP).num_rows >= wanted)
        print(f"{wanted} positions are open")

    def feed(self) -> tuple[int, float]:
        """Write a minute; its tick, and the exposure that a pair of one each then has."""
        at = START + self.minute * MINUTE_MS
        self.minute += 1
        rows = []
        for name, one in self.bars.items():
            for number in np.flatnonzero(one.ts == at):
                rows.append(bar_row(name, one, int(number)))
                close = float(one.close[number])
                self.closes[name] = rounded_close(close, self.plan.symbol(name))
        self.client.write(Writing(PRICE_1M_HISTORY, rows))
        self.client.write(Writing(PROGRESS, [("feed", "main", at + MINUTE_MS, len(rows))]))
        return at + MINUTE_MS, sum(self.closes.values()) / 10**18

    def chunk(self, minutes: int) -> float:
        """Write so many at once; seconds until the gate has worked them."""
        began = time.monotonic()
        for _ in range(minutes):
            tick, _ = self.feed()
        after = reading.end(self.client, PROGRESS)
        told = reading.tail(self.client, PROGRESS, lambda rows: True)
        rows = reading.follow(self.client, PROGRESS, after)
        while not any(row["stage"] == "tradepicker" and row["ts"] >= tick for row in told):
            told = [change.row for change in next(rows)]
            if time.monotonic() - began > LONGEST_S:
                sys.exit("the stages do not come to the end of the bars")
        return time.monotonic() - began

    def follow(self, minutes: int) -> None:
        """A minute each PACE_S; how late the metric is, and how long scrapes take."""
        seen: dict[float, float] = {}
        scrapes: list[float] = []
        done = threading.Event()

        def poll() -> None:
            while not done.is_set():
                began = time.monotonic()
                text = urllib.request.urlopen(self.address).read().decode()
                now = time.monotonic()
                scrapes.append(now - began)
                found = WATCHED.search(text)
                if found:
                    seen.setdefault(float(found[1]), now)
                done.wait(0.2)

        polling = threading.Thread(target=poll)
        polling.start()
        written: dict[float, float] = {}
        for _ in range(minutes):
            began = time.monotonic()
            _, exposure = self.feed()
            written[exposure] = began
            time.sleep(max(0.0, PACE_S - (time.monotonic() - began)))
        time.sleep(3)
        done.set()
        polling.join()
        waits = [seen[one] - at for one, at in written.items() if one in seen]
        show("exposure follows its bars, s", waits)
        print(f"  {minutes - len(waits)} minutes were replaced by the next before they were seen")
        show("a scrape, s", scrapes)
        text = urllib.request.urlopen(self.address).read()
        print(f"  {len(text):,} bytes, {text.count(b'te_unrealized_pnl_total{')} pairs")

    def compare(self, pairs: int, chunk: int) -> None:
        """Chunks with and without."""
        self.chunk(chunk)
        ratios, shares = [], []
        for number in range(pairs):
            seconds = {}
            for is_on in (True, False) if number % 2 else (False, True):
                self.switch(is_on)
                before = self.processor_s()
                seconds[is_on] = self.chunk(chunk)
                if is_on:
                    took_s = self.processor_s() - before
                    shares.append(took_s / seconds[is_on] / (os.cpu_count() or 1))
            self.switch(True)
            time.sleep(2)
            ratios.append(seconds[True] / seconds[False])
            print(f"  with {seconds[True]:.2f} s, without {seconds[False]:.2f} s")
        show("with / without", ratios)
        show("share of all processors", shares)

    def processor_s(self) -> float:
        """Seconds of a processor that monitoring has taken so far."""
        ticks = 0
        for pid in self.pids():
            words = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            ticks += int(words[11]) + int(words[12])
        return ticks / os.sysconf("SC_CLK_TCK")

    def pids(self) -> list[int]:
        """Monitoring's processes."""
        now = read(self.stack.folder)
        found = now.processes if now else ()
        return [one.pid for one in found if one.name in monitors.NAMES and one.pid is not None]

    def switch(self, is_on: bool) -> None:
        """Stop monitoring's processes, or let them go on."""
        for pid in self.pids():
            os.kill(pid, signal.SIGCONT if is_on else signal.SIGSTOP)
        if is_on:
            wait(self.is_told, CAUGHT_UP_S)  # what it has missed is no part of the next chunk

    def is_told(self) -> bool:
        """Whether the metric is that of the newest closes."""
        text = urllib.request.urlopen(self.address).read().decode()
        found = WATCHED.search(text)
        return found is not None and float(found[1]) == sum(self.closes.values()) / 10**18


def wait(holds: Callable[[], bool], seconds: float = 120.0) -> None:
    """Until it holds."""
    deadline = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > deadline:
            sys.exit(f"not within {seconds:.0f} s")
        time.sleep(0.5)


def show(what: str, values: list[float]) -> None:
    """Median and the ends."""
    found = np.array(values)
    p50, p95 = np.percentile(found, (50, 95))
    print(f"{what}: median {p50:.3f}, p95 {p95:.3f}, most {found.max():.3f} ({len(found)})")


if __name__ == "__main__":
    main()
