"""A stack with Prometheus and Alertmanager, and a feed that goes on as long as it is let."""

import faulthandler
import json
import os
import re
import signal
import subprocess
import sys
import threading
import urllib.parse
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from feeds.live.replay import Pace, replay
from jobs.stack import control, ending
from jobs.stack.scrape import Samples, scrape
from jobs.stack.state import Stack
from jobs.store import reading
from jobs.store.client import Client, Stopped, Writing, open_client
from schemas.config import Config, parse_config
from schemas.market import PRICE_1M_HISTORY
from schemas.ops import PROGRESS
from schemas.tables import TABLES
from tests import runs
from tests.live.live_runs import MINUTE_MS, current, wait_for, write_bars
from udfs.errors import Refusal
from udfs.simulate import EXAMPLE_SYMBOLS

MINUTES = 300
OUT = "out"  # an account with a broker of its own
SYMBOLS = [one.symbol for one in EXAMPLE_SYMBOLS]
HELD, LIQUID = SYMBOLS[0], SYMBOLS[1]
DISK_BYTES = 100 * 2**30
FEEDING_S = 300
COUNTERS = (
    "tp_signals_accepted_total", "tp_signals_rejected_total", "strategy_signals_total",
    "engine_matches_emitted_total", "progress_gaps_total", "rows_rejected_total",
)  # fmt: skip
# Spans of the rules, shorter: the faults are the same.
SHORTER = (
    (r"lastCheckpointDuration\) > 10000", "lastCheckpointDuration) > 3000"),
    (r"for: \S+", "for: 2s"),
    (r"interval: 1m", "interval: 5s"),
    (r"\[(3m|5m|10m|15m|12h)\]", "[30s]"),
)


@dataclass
class Watched:
    """The stack, what is fed to it, and the bounded run of its first bars."""

    stack: Stack
    config: Config
    bounded: Path
    closes: dict[str, float]
    next_ts: int
    silent: set[str] = field(default_factory=set)
    pause: threading.Event = field(default_factory=threading.Event)
    done: threading.Event = field(default_factory=threading.Event)
    looking: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(12))

    @property
    def prometheus(self) -> str:
        return f"http://127.0.0.1:{self.stack.ports.prometheus}"

    def client(self) -> Client:
        return open_client(self.stack.store, None, stop=self.done)

    def rows(self, name: str) -> list[dict[str, Any]]:
        with self.client() as client:
            found: list[dict[str, Any]] = reading.read(client, TABLES[name]).to_pylist()
        return found

    def samples(self) -> Samples:
        """What the exporter says once it has read everything."""
        address = f"http://127.0.0.1:{self.stack.ports.exporter}/metrics"
        wait_for(lambda: answers(address) and bool(scrape(address).of("te_equity")), 60)
        return scrape(address)

    def firing(self) -> set[str]:
        """Names of the alerts that fire."""
        with urllib.request.urlopen(f"{self.prometheus}/api/v1/alerts", timeout=10) as answer:
            found = json.load(answer)["data"]["alerts"]
        return {one["labels"]["alertname"] for one in found if one["state"] == "firing"}

    def pid(self, name: str) -> int | None:
        (found,) = [one.pid for one in current(self.stack.folder).processes if one.name == name]
        return found

    def feed(self) -> None:
        """A minute of bars a second until it is done."""
        done = self.done
        with suppress(Stopped), self.client() as client:
            while not done.wait(1.0):
                if self.pause.is_set():
                    continue
                bars = [
                    [name, self.next_ts, *[close] * 4, 1.0, "main", False]
                    for name, close in self.closes.items()
                    if name not in self.silent
                ]
                client.write(Writing(PRICE_1M_HISTORY, bars))
                self.next_ts += MINUTE_MS
                progress = [("feed", "main", self.next_ts, len(bars))]
                client.write(Writing(PROGRESS, progress))


def answers(address: str) -> bool:
    try:
        urllib.request.urlopen(address, timeout=2).close()
    except OSError:
        return False
    return True


def configuration(prices: str) -> dict[str, Any]:
    tree = runs.config(prices) | {"run.id": "watched", "monitoring.export": "both"}
    tree["accounts"] += [
        {"id": OUT, "broker": "external", "strategies": ["cross"], "start_capital": "1000",
         "sizing": {"fixed_qty": "1"}, "limits": {"maxOpenPositions": None}}
    ]  # fmt: skip
    tree["symbols"][LIQUID] = {**tree["symbols"][LIQUID], "stale_after": "10m"}
    tree["monitoring.alerts"] = {
        "drawdown_ratio": "0.2", "drawdown": "400", "exposure_ratio": "50", "stale": "20s",
    }  # fmt: skip
    return tree


@contextmanager
def running(place: Path) -> Iterator[Watched]:
    """The stack in a folder of its own; its jobs have worked all bars of a few hours."""
    ends = write_bars(place / "bars", 5, MINUTES)
    tree = configuration(str(place / "bars" / "*.parquet"))
    bounded = runs.run(tree, place / "runs").folder
    live = {"task_manager_memory": "2g"}
    config = parse_config({**tree, "store.kind": "fluss", "live": live})
    folder = place / "stack"
    is_mounted = mount(place / "disk", folder)
    try:
        up = control.up(config, folder, control.Wish(monitoring=True))
        assert up.problems == []
        shorten(folder)
        closes = {
            file.stem: float(pq.read_table(file)["close"][-1].as_py())
            for file in (place / "bars").glob("*.parquet")
        }
        found = Watched(up.stack, config, bounded, closes, max(ends.values()))
        with found.client() as client:
            pace = Pace(wait=True)
            replay(client, config, pace, threading.Event(), lambda progress: None)
        assert set(closes) == set(SYMBOLS)
        yield found
        found.done.set()
    finally:
        ending.down(folder, savepoint=False)
        if is_mounted:
            subprocess.run(("umount", "--lazy", folder), check=True)


def mount(disk: Path, folder: Path) -> bool:
    """Give the folder a disk of its own, which takes no room until it is written to.

    False where this user, or this machine, may not.
    """
    folder.mkdir()
    with disk.open("wb") as file:
        file.truncate(DISK_BYTES)
    made = ("mkfs.ext4", "-q", "-m", "0", "-O", "^has_journal", disk)
    for words in (made, ("mount", "-o", "loop", disk, folder)):
        with suppress(FileNotFoundError):
            done = subprocess.run(words, capture_output=True, text=True, check=False)
            if done.returncode == 0:
                continue
            print(done.stderr)
        return False
    return True


def shorten(folder: Path) -> None:
    """Rules that wait less; Prometheus reads them again."""
    for file in (folder / "monitoring" / "rules").glob("*.yml"):
        text = file.read_text()
        for pattern, words in SHORTER:
            text = re.sub(pattern, words, text)
        file.write_text(text)
    now = current(folder)
    wait_for(lambda: answers(f"http://127.0.0.1:{now.ports.prometheus}/-/ready"), 60)
    (pid,) = [one.pid for one in now.processes if one.name == "prometheus"]
    assert pid is not None
    os.kill(pid, signal.SIGHUP)


@contextmanager
def feeding(watched: Watched) -> Iterator[None]:
    """The feed goes on for the block, which begins when the gate has worked bars of it.

    After some faults in a row Flink waits for some ten seconds before it starts a job again.
    """
    began = watched.next_ts
    thread = threading.Thread(target=watched.feed, daemon=True)
    thread.start()
    try:
        try:
            waited = wait_for(lambda: worked(watched, "tradepicker") > began, FEEDING_S)
            print(f"the gate worked what was fed after {waited:.0f} s")
        except AssertionError:
            print(f"fed from {began} to {watched.next_ts}, by a thread: {thread.is_alive()}")
            explain(watched)
            raise
        yield
    finally:
        watched.done.set()
        thread.join(20)
        if thread.is_alive():
            print("the feed did not end: its store client hangs")
        watched.done = threading.Event()


def worked(watched: Watched, stage: str) -> int:
    """The time up to which a stage has told its progress, UTC ms."""
    return max(row["ts"] for row in watched.rows("progress") if row["stage"] == stage)


def explain(watched: Watched) -> None:
    """Print what the stack says of itself, where a test of it fails."""
    folder = watched.stack.folder
    print(command("status", "--dir", str(folder)).stdout)
    print(command("top", "--dir", str(folder), "--once").stdout)
    reached = {}
    for row in watched.rows("progress"):
        stage = (row["stage"], row["instance"])
        reached[stage] = max(row["ts"], reached.get(stage, 0))
    print("progress:", reached)
    for file in sorted((folder / "log").glob("*")):
        if file.is_file():
            print(f"-- {file.name}:", *file.read_text(errors="replace").splitlines()[-8:], sep="\n")
    faulthandler.dump_traceback(sys.__stderr__)


def command(*words: str, given: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "cli.main", *words],
        input=given, capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip


@contextmanager
def counting(watched: Watched) -> Iterator[dict[Any, list[float]]]:
    """What counters of rows say, once a second; none where the exporter does not answer."""
    found: dict[Any, list[float]] = {}
    done = threading.Event()

    def look() -> None:
        address = f"http://127.0.0.1:{watched.stack.ports.exporter}/metrics"
        while not done.wait(1.0):
            with suppress(Refusal):
                samples = scrape(address)
                for name in COUNTERS:
                    for one in samples.of(name):
                        series = (name, *sorted(one.labels.items()))
                        found.setdefault(series, []).append(one.value)

    thread = threading.Thread(target=look, daemon=True)
    thread.start()
    try:
        yield found
    finally:
        done.set()
        thread.join(20)
