"""Feeds from outside into real stores: an exchange whose feeder is killed, and a topic of Kafka."""

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from kafka import KafkaProducer
from kafka.admin import KafkaAdminClient, NewTopic

from cli.errors import INTERRUPTED
from feeds.live.ingest_bars import Ingested, ingest_bars
from feeds.live.ingest_reports import ingest_reports
from feeds.live.kafka_lines import REREAD_MS, Topic, since
from jobs.sources import COLUMNS
from jobs.store import reading
from jobs.store.client import Client, open_client
from jobs.store.making import make_tables
from jobs.store.place import FLUSS, KAFKA
from schemas.config import parse_config
from schemas.market import PRICE_1M_HISTORY
from schemas.ops import PROGRESS
from schemas.trading import EXEC_REPORT_HISTORY
from tests.live_venue import FastClock, LiveVenue, Trouble, living
from tests.local_stores import Running, local_store
from tests.venue import MINUTE
from udfs.errors import ConfigError

ROOT = Path(__file__).parents[2]
START = 1_700_000_040_000
DAY_MS = 86_400_000
SPEED = 30.0
MARKETS = ("BTCUSDT", "ETHUSDT")
TROUBLES = Trouble(drop=0.01, repeat=0.05, delay=0.05, swap=0.05, garbage=0.01, seed=3)
ACCOUNT = {"id": "out", "strategies": ["s"], "sizing": {"fixed_qty": "1"}, "broker": "external"}
PATIENCE_S = 240.0


def tree(symbols: tuple[str, ...], **more: Any) -> dict[str, Any]:
    strategy = {"id": "s", "kind": "ema_cross", "params": {"fast": 2, "slow": 3}}
    return {
        "run": {"id": "fed"},
        "prices.files": "none",
        "symbols": {name: {} for name in symbols},
        "strategies": [strategy],
        "accounts": [ACCOUNT],
    } | more


# ---- an exchange -----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def fluss(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with local_store(FLUSS, tmp_path_factory.mktemp("store")) as started:
        yield started


def test_a_feeder_that_is_killed_leaves_the_exact_table(fluss: Running, tmp_path: Path) -> None:
    """Killed with signal 9 three times, at a venue with troubles of its own."""
    pick = random.Random(7)
    config = tmp_path / "config.yaml"
    late = {"indicators.finalAfterMs": 600_000}  # 20 s: bars that REST alone has are waited for
    first = {"run": {"id": "fed", "start": START}}
    config.write_text(json.dumps(tree(MARKETS, **late, **first)), encoding="utf-8")
    clock = FastClock(START + 30 * MINUTE, SPEED)
    place = fluss.store.place("venue")
    with living(LiveVenue(START, clock, TROUBLES)) as venue, open_client(place, 300.0) as client:
        make_tables(client)
        words = (venue.url, place.bootstrap, place.database, str(config), str(clock.start_ms))
        for turn in range(4):
            told = newest(client)
            process = subprocess.Popen(
                [sys.executable, "-m", "tests.venue_feeder", *words, str(SPEED), str(clock.made)],
                cwd=ROOT,
                env={**os.environ, "NO_PROXY": "127.0.0.1"},
                stdout=subprocess.DEVNULL,
            )
            try:
                wanted = max(told, int(clock.now_ms())) + pick.randint(1, 4) * MINUTE
                wait_for(lambda: newest(client) >= wanted, process)  # noqa: B023
            finally:
                process.send_signal(signal.SIGKILL)
                process.wait()
            assert turn == 3 or newest(client) > told
        until = newest(client)
        assert venue.connections > 0
        bars = [row for row in reading.log(client, PRICE_1M_HISTORY) if row["ts"] < until]
        assert not [row for row in bars if row["late"]]
        found = {tuple(row[name] for name in COLUMNS) for row in bars}
        expected = {
            (market, bar.ts, *map(float, bar[1:]))
            for market in MARKETS
            for bar in venue.final(market, until)
        }
        assert found == expected and len(bars) == len(expected)
        counts = Counter(row[1] + MINUTE for row in expected)
        progress = {row["ts"]: row["rows"] for row in reading.log(client, PROGRESS)}
        ticks = range(min(counts), until + MINUTE, MINUTE)
        assert {tick: progress[tick] for tick in progress if tick <= until} == {
            tick: counts[tick] for tick in ticks
        }


def test_the_command_feeds_and_is_stopped(fluss: Running, tmp_path: Path) -> None:
    """With the true clock: what is missing at once, then Ctrl-C."""
    now_ms = time.time_ns() // 1_000_000
    first = now_ms // MINUTE * MINUTE - 90 * MINUTE
    config = tmp_path / "config.yaml"
    given = tree(MARKETS, run={"id": "fed", "start": first})
    config.write_text(json.dumps(given), encoding="utf-8")
    place = fluss.store.place("command")
    venue = LiveVenue(first, FastClock(now_ms, 1.0))
    with living(venue), open_client(place, 300.0) as client:
        make_tables(client)
        words = ["ingest", "--source", "ccxt", "--exchange", "binance", "--config", str(config)]
        words += ["--store", place.address, "--database", place.database]
        process = subprocess.Popen(
            [sys.executable, "-m", "cli.main", *words],
            cwd=ROOT,
            env={**os.environ, "NO_PROXY": "127.0.0.1", "TRADEFLOW_EXCHANGE_URL": venue.url},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        try:
            wait_for(lambda: newest(client) >= first + 89 * MINUTE, process)
            process.send_signal(signal.SIGINT)
            output, notes = process.communicate(timeout=PATIENCE_S)
        finally:
            process.kill()
        assert process.returncode == INTERRUPTED
        assert "note: binance: BTC/USDT, ETH/USDT, by websocket" in notes
        assert "bars a symbol to ask for" in notes and "warning" not in notes
        bars = reading.log(client, PRICE_1M_HISTORY)
        assert len(bars) == int(output.split()[0]) > 100
        assert not any(row["late"] for row in bars)


def newest(client: Client) -> int:
    """The newest tick that was told; 0 for none."""
    return max((row["ts"] for row in reading.log(client, PROGRESS)), default=0)


def wait_for(done: Any, process: subprocess.Popen[Any] | None = None) -> None:
    limit = time.monotonic() + PATIENCE_S
    while not done():
        assert time.monotonic() < limit
        assert process is None or process.poll() is None
        time.sleep(0.1)


# ---- a topic ---------------------------------------------------------------------------------

SYMBOLS = ("AAAUSD", "BBBUSD", "CCCUSD")


@pytest.fixture(scope="module")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with local_store(KAFKA, tmp_path_factory.mktemp("kafka")) as started:
        admin = KafkaAdminClient(bootstrap_servers=started.store.bootstrap)
        admin.create_topics([NewTopic("bars", 3, 1), NewTopic("fills", 1, 1)])
        admin.close()
        yield started


def send(bootstrap: str, topic: str, messages: list[tuple[int, int, bytes]]) -> None:
    """Messages (partition, ms, value) in their order."""
    producer = KafkaProducer(bootstrap_servers=bootstrap)
    for partition, ts, value in messages:
        producer.send(topic, value, partition=partition, timestamp_ms=ts)
    producer.flush(60)
    producer.close()


def bar_messages(minutes: range) -> list[tuple[int, int, bytes]]:
    """Each symbol in a partition of its own, one after another; every second message is JSON."""
    found = []
    for number, symbol in enumerate(SYMBOLS):
        for minute in minutes:
            ts = START + minute * MINUTE
            row = (symbol, str(ts), "1.5", "2.5", "0.5", f"1.{minute % 10}", "7")
            value = ",".join(row)
            if minute % 2:
                value = json.dumps(dict(zip(COLUMNS, row, strict=True)))
            found.append((number, ts + MINUTE, value.encode()))
    return found


def test_bars_of_a_topic(kafka: Running) -> None:
    """Partitions that come one after another are told in the order of time, and none twice."""
    bootstrap = kafka.store.bootstrap
    config = parse_config(tree(SYMBOLS))
    place = kafka.store.place("of_topic")
    messages = bar_messages(range(600))
    messages[100:100] = [(0, messages[100][1], b"garbage"), (0, messages[100][1], b'{"ts":1}')]
    send(bootstrap, "bars", messages)

    def feed(done: Any) -> tuple[Ingested, list[str]]:
        said: list[str] = []
        stop = threading.Event()
        with open_client(place, retry_s=None, writer="bars") as client:
            make_tables(client)
            source = Topic(bootstrap, "bars", {}, since(client, is_reports=False), said.append)

            def show(so_far: Ingested) -> None:
                if done(so_far):
                    stop.set()

            clock = lambda: time.time_ns() // 1_000_000  # noqa: E731
            return ingest_bars(client, config, source, DAY_MS, stop, clock, show), said

    done, said = feed(lambda so_far: so_far.written == 3 * 600)
    assert (done.late, done.repeated, done.rejects) == (0, 0, {"BAD_LINE": 2})
    assert said == []
    send(bootstrap, "bars", bar_messages(range(600, 700)))
    hour = REREAD_MS // MINUTE  # what is read again
    done, said = feed(lambda so_far: so_far.written == 3 * 100)
    assert done.late == 0 and 3 * (hour - 2) <= done.repeated <= 3 * (hour + 3)
    with open_client(place) as client:
        rows = reading.log(client, PRICE_1M_HISTORY)
        assert len(rows) == 3 * 700 and not any(row["late"] for row in rows)
        with pytest.raises(ConfigError, match=r"show no such topic \(did you mean 'bars'\?\)"):
            next(Topic(bootstrap, "bar", {}, None, said.append).batches(threading.Event(), _none()))


def _none() -> Any:
    from feeds.live.lines import Columns

    return Columns("bars", COLUMNS, COLUMNS)


def test_fills_of_a_topic(kafka: Running) -> None:
    bootstrap = kafka.store.bootstrap
    config = parse_config(tree(SYMBOLS))
    fill = {"account_id": "out", "strategy_id": "s", "order_id": "o", "symbol": "AAAUSD",
            "side": "BUY", "fill_qty": 2, "fill_price": 1.25, "ts": START}  # fmt: skip
    values = [json.dumps({**fill, "fill_id": str(number)}).encode() for number in range(20)]
    send(bootstrap, "fills", [(0, START, value) for value in [*values, values[3], b"{}"]])
    stop = threading.Event()
    with open_client(kafka.store.place("fills"), retry_s=None) as client:
        make_tables(client)
        source = Topic(bootstrap, "fills", {}, since(client, is_reports=True), print)
        show = lambda so_far: stop.set() if so_far.lines == 22 else None  # noqa: E731
        done = ingest_reports(client, config, source, stop, show)
        assert (done.written, done.repeated, done.rejects) == (20, 1, {"BAD_LINE": 1})
        rows = reading.log(client, EXEC_REPORT_HISTORY)
        assert sorted(int(row["fill_id"]) for row in rows) == list(range(20))
        assert since(client, is_reports=True) == START - REREAD_MS
