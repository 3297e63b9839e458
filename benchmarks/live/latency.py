"""How long a minute takes through the live jobs, hop by hop, on a stack of its own.

    python benchmarks/live/latency.py [--kafka] [SYMBOLS STRATEGIES [MINUTES [SECONDS
        [TASK_MANAGERS [PARALLELISM]]]]]]

Every SECONDS (1) a minute of bars is written and then its progress row. From that write on: when
each stage's progress of the minute, and the first and last accepted row of it, are seen by a
reader. Asked for: p95 of the accepted row at most 150 ms with 10 symbols and 6 strategies, 700 ms
with 50 and 20.
"""

import asyncio
import sys
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import fluss
import numpy as np

from jobs.stack import control, ending
from jobs.store import reading
from jobs.store.client import Writing, open_client
from jobs.store.kafka_session import Session
from jobs.store.place import FLUSS, KAFKA, StorePlace
from schemas.config import parse_config
from schemas.market import PRICE_1M_HISTORY
from schemas.ops import PROGRESS, PROGRESS_GAPS
from schemas.signals import ACCEPTED_TRADE_SIGNAL_HISTORY
from schemas.table import Table
from udfs.simulate import SymbolSpec, simulate

START = 1_711_756_800_000
MINUTE_MS = 60_000
STALL = 3  # times the median
WARM_MINUTES = 120  # written at once before, so that features have values
WARM_LIMIT_S = 600  # for that burst
SETTLE_S = 20  # after it
STAGES = ("indicators", "strategies", "broker", "engine", "tradepicker")
KINDS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("ema_cross", {"fast": 3, "slow": 8}),
    ("rsi_reversion", {"period": 7, "low": 40, "high": 60}),
    ("macd_trend", {"fast": 6, "slow": 13, "signal": 5}),
    ("bollinger_breakout", {"period": 10, "k": 1}),
    ("donchian_breakout", {"entry": 8, "exit": 5}),
    ("trend_pullback", {"trend_tf": "15m", "trend_ema": 3, "rsi_period": 5, "low": 45, "high": 60}),
)


def main() -> None:
    """Run and print."""
    store = KAFKA if "--kafka" in sys.argv else FLUSS
    given = [int(text) for text in sys.argv[1:] if not text.startswith("--")]
    symbols, strategies, minutes, seconds, managers, parallelism = (
        *given,
        *(10, 6, 240, 1, 1, 1)[len(given) :],
    )
    with tempfile.TemporaryDirectory(prefix="tradeflow-latency-") as name:
        folder = Path(name) / "stack"
        live = {"live.task_managers": managers, "live.parallelism": parallelism}
        tree = configuration(symbols, strategies) | live | {"store.kind": store}
        try:
            up = control.up(parse_config(tree), folder, note=print)
            if up.problems:
                sys.exit("\n".join(up.problems))
            measure(up.stack.store, symbols, minutes, seconds)
            with open_client(up.stack.store) as client:
                gaps = reading.log(client, PROGRESS_GAPS)
            print(f"went on without another: {len(gaps)}", *gaps[:5], sep="\n")
        finally:
            ending.down(folder, savepoint=False)


def configuration(symbols: int, strategies: int) -> dict[str, Any]:
    """So many of both; every account takes all strategies, one of them has a cap."""
    chosen = [
        {"id": f"s{n:02d}", "kind": KINDS[n % 6][0], "timeframe": "1m", "params": KINDS[n % 6][1]}
        for n in range(strategies)
    ]
    ids = [str(one["id"]) for one in chosen]
    return {
        "run.id": "latency",
        "symbols": {f"S{n:02d}USD": {} for n in range(symbols)},
        "strategies": chosen,
        "accounts": [
            {"id": "capped", "strategies": ids, "sizing": {"notional": "1000"}},
            {
                "id": "free",
                "strategies": ids,
                "sizing": {"notional": "1000"},
                "limits": {"maxOpenPositions": None},
            },
        ],
        "engine.outputs": "full",
    }


class Seen:
    """When rows were seen first: progress by stage, accepted rows by tick (first and last)."""

    def __init__(self) -> None:
        self.at: dict[tuple[str, str, int], float] = {}
        self.counts: dict[int, int] = {}

    def take(self, table: Table, row: Mapping[str, Any]) -> None:
        """A row that has come now."""
        now, ts = time.perf_counter(), row["ts"]
        if table is PROGRESS:
            self.at.setdefault((row["stage"], row["instance"], ts), now)
            self.at[row["stage"], "last", ts] = now
        else:
            self.counts[ts] = self.counts.get(ts, 0) + 1
            self.at.setdefault(("accepted", "first", ts), now)
            self.at["accepted", "last", ts] = now


def measure(place: StorePlace, symbols: int, minutes: int, seconds: float) -> None:
    """Feed, watch, and print the figures."""
    specs = [
        SymbolSpec(f"S{n:02d}USD", 100.0 + n, 4, 0.04, 0.5, 30.0, 1.0, 3) for n in range(symbols)
    ]
    bars = simulate(7, specs, START, WARM_MINUTES + minutes + 1)
    all_seen, done = Seen(), threading.Event()
    watching = watch(place, all_seen, done)
    seen, counts = all_seen.at, all_seen.counts
    written: dict[int, float] = {}
    with open_client(place, writer="feed" if place.kind == KAFKA else None) as client:
        for minute in range(WARM_MINUTES + minutes):
            began = time.perf_counter()
            tick = START + (minute + 1) * MINUTE_MS
            rows = [
                bar_row(name, one, int(at[0]))
                for name, one in bars.items()
                if len(at := np.flatnonzero(one.ts == tick - MINUTE_MS))
            ]
            client.write(Writing(PRICE_1M_HISTORY, rows))
            written[tick] = time.perf_counter()
            client.write(Writing(PROGRESS, [("feed", "main", tick, len(rows))]))
            if minute == WARM_MINUTES - 1:
                wait_for(partial(worked, seen, tick), WARM_LIMIT_S)
                time.sleep(SETTLE_S)
            if minute >= WARM_MINUTES:
                time.sleep(max(0.0, seconds - (time.perf_counter() - began)))
        last = max(written)
        wait_for(lambda: ("tradepicker", "main", last) in seen)
        time.sleep(1)
    done.set()
    for thread in watching:
        thread.join()
    show(written, seen, counts)


def bar_row(symbol: str, bars: Any, at: int) -> tuple[Any, ...]:
    """A bar as the table has it."""
    row = {name: getattr(bars, name)[at].item() for name in bars._fields}
    row |= {"symbol": symbol, "feed": "main", "late": False}
    return tuple(row[column.name] for column in PRICE_1M_HISTORY.stored)


def worked(seen: Mapping[tuple[str, str, int], float], tick: int) -> bool:
    """Whether all stages have told the tick."""
    return all((stage, "last", tick) in seen for stage in STAGES)


def wait_for(holds: Any, limit_s: float = 120) -> None:
    """Up to so many seconds."""
    deadline = time.monotonic() + limit_s
    while not holds():
        if time.monotonic() > deadline:
            sys.exit("the stages did not come to the end of the bars")
        time.sleep(0.01)


def watch(place: StorePlace, seen: Seen, done: threading.Event) -> list[threading.Thread]:
    """Threads that note what comes until it is done; they are ready when this returns."""
    ready = threading.Semaphore(0)
    if place.kind == KAFKA:
        calls = [partial(watch_topic, table) for table in (PROGRESS, ACCEPTED_TRADE_SIGNAL_HISTORY)]
    else:
        calls = [lambda *given: asyncio.run(watch_fluss(*given))]
    given = (place, seen, ready, done)
    threads = [threading.Thread(target=one, args=given, daemon=True) for one in calls]
    for thread in threads:
        thread.start()
    for _ in threads:
        ready.acquire()
    return threads


def watch_topic(
    table: Table, place: StorePlace, seen: Seen, ready: threading.Semaphore, done: threading.Event
) -> None:
    """Note rows of a topic as they are written, committed or not."""
    session = Session(place, 500, 15_000, committed=False)
    consumer, codec = session.new_consumer(committed=False), session.codec(table)
    consumer.assign([session.partition(table)])
    consumer.seek_to_beginning()
    ready.release()
    while not done.is_set():
        for records in consumer.poll(timeout_ms=200).values():
            for record in records:
                seen.take(table, codec.read(record.value))
    session.close()


async def watch_fluss(
    place: StorePlace, seen: Seen, ready: threading.Semaphore, done: threading.Event
) -> None:
    """Note rows of both tables."""
    settings = {"bootstrap.servers": place.bootstrap, "scanner.log.fetch.wait-max-time-ms": "50"}
    connection = await fluss.FlussConnection.create(fluss.Config(settings))
    scans = [
        (table, await scanner(connection, place.database, table))
        for table in (PROGRESS, ACCEPTED_TRADE_SIGNAL_HISTORY)
    ]
    ready.release()

    async def follow(table: Table, scan: fluss.LogScanner) -> None:
        while not done.is_set():
            for record in await scan.poll(50):
                seen.take(table, record.row)

    await asyncio.gather(*(follow(table, scan) for table, scan in scans))


async def scanner(
    connection: fluss.FlussConnection, database: str, table: Table
) -> fluss.LogScanner:
    """A reader of a table's log from its start."""
    found = await connection.get_table(fluss.TablePath(database, table.name))
    scan = await found.new_scan().create_log_scanner()
    scan.subscribe(0, fluss.EARLIEST_OFFSET)
    return scan


def show(
    written: dict[int, float], seen: dict[tuple[str, str, int], float], counts: dict[int, int]
) -> None:
    """A line per hop, ms since the write of the feed's progress row."""
    ticks = sorted(written)[WARM_MINUTES:]
    print(f"{len(ticks)} minutes, {sum(counts.get(tick, 0) for tick in ticks)} accepted rows")
    hops = [(stage, (stage, "last")) for stage in STAGES]
    hops += [("first accepted row", ("accepted", "first")), ("last accepted", ("accepted", "last"))]
    print(f"{'seen, ms after the write':28}{'p50':>8}{'p95':>8}{'p99':>8}{'max':>8}{'n':>6}")
    for name, key in hops:
        waits = [seen[*key, t] - written[t] for t in ticks if (*key, t) in seen]
        print(f"{name:28}{line(waits)}{len(waits):6}")

    total = {tick: seen["tradepicker", "last", tick] - written[tick] for tick in ticks}
    slow = STALL * float(np.median(list(total.values())))
    for tick in [tick for tick in ticks if total[tick] > slow]:
        waits = [f"{one} {(seen[one, 'last', tick] - written[tick]) * 1000:.0f}" for one in STAGES]
        print(f"slow: minute {(tick - START) // MINUTE_MS}: {', '.join(waits)} ms")


def line(seconds: Sequence[float]) -> str:
    """Quantiles in ms."""
    if not seconds:
        return f"{'-':>8}" * 4
    ms = np.array(seconds) * 1000
    return "".join(f"{value:8.0f}" for value in [*np.percentile(ms, (50, 95, 99)), ms.max()])


if __name__ == "__main__":
    main()
