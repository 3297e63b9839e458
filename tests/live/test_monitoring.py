"""A stack with Prometheus and Alertmanager: metrics equal the tables, and faults are told of."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
import urllib.parse
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow.parquet as pq
import pytest

from feeds.live.replay import Pace, replay
from jobs.stack import control, ending
from jobs.stack.rest import Flink
from jobs.stack.scrape import Samples, scrape
from jobs.stack.state import Stack
from jobs.store import reading
from jobs.store.client import Client, Stopped, Writing, open_client
from schemas.config import Config, parse_config
from schemas.market import PRICE_1M_HISTORY
from schemas.ops import PROGRESS
from schemas.signals import STRATEGY_SIGNAL_HISTORY
from schemas.tables import TABLES
from schemas.trading import EXEC_REPORT_HISTORY
from tests import dashboards, runs
from tests.live.live_runs import MINUTE_MS, current, kill, wait_for, write_bars
from udfs.errors import Refusal
from udfs.simulate import EXAMPLE_SYMBOLS

MINUTES = 300
OUT = "out"  # an account with a broker of its own
SYMBOLS = [one.symbol for one in EXAMPLE_SYMBOLS]
HELD, LIQUID = SYMBOLS[0], SYMBOLS[1]
FIRES_S, CLEARS_S = 60.0, 90.0
TOLD = ("FeedStopped", "UnrealizedDrawdown")  # by Alertmanager and the notifier, too
DISK_BYTES = 100 * 2**30
COUNTERS = (
    "tp_signals_accepted_total", "tp_signals_rejected_total", "strategy_signals_total",
    "engine_matches_emitted_total", "progress_gaps_total", "rows_rejected_total",
)  # fmt: skip
LABELS = {"job_name"}  # of rules, which look like metrics
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
        with suppress(Stopped), self.client() as client:
            while not self.done.wait(1.0):
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


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    """All bars of a few hours are worked; then a feed goes on, a minute a second, if it is let."""
    place = tmp_path_factory.mktemp("monitoring")
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
    """The feed goes on for the block."""
    thread = threading.Thread(target=watched.feed, daemon=True)
    thread.start()
    try:
        yield
    finally:
        watched.done.set()
        thread.join(20)
        watched.done.clear()


def sums(rows: list[dict[str, Any]], column: str) -> dict[tuple[str, str], float]:
    """Exact sums by account and strategy, as floats."""
    found: dict[tuple[str, str], Decimal] = {}
    for row in rows:
        owner = (row["account_id"], row["strategy_id"])
        found[owner] = found.get(owner, Decimal(0)) + row[column]
    return {owner: float(value) for owner, value in found.items()}


def by_owner(found: Samples, name: str) -> dict[tuple[str, ...], float]:
    return dict(found.by(name, "account", "strategy"))


def check_equal(watched: Watched, found: Samples) -> None:
    """Every metric that the tables decide is what they say."""
    open_rows = watched.rows("unrealized_pnl_latest")
    for row in open_rows:
        row["exposure"] = row["net_qty"] * row["current_price"]
    assert open_rows
    assert by_owner(found, "te_unrealized_pnl_total") == sums(open_rows, "unrealized_pnl")
    assert by_owner(found, "te_net_exposure") == sums(open_rows, "exposure")
    owners = Counter((row["account_id"], row["strategy_id"]) for row in open_rows)
    assert by_owner(found, "te_open_positions_count") == owners
    realized = watched.rows("realized_pnl_latest")
    assert by_owner(found, "te_realized_pnl_total") == sums(realized, "realized_pnl")
    assert by_owner(found, "te_net_pnl_total") == sums(realized, "net_pnl")
    for name, table, columns in (
        ("tp_signals_accepted_total", "accepted_trade_signal_history", ("account_id", "reason")),
        ("tp_signals_rejected_total", "rejected_trade_signal_history", ("account_id", "code")),
        ("strategy_signals_total", "strategy_signal_history", ("strategy_id",)),
        ("progress_gaps_total", "progress_gaps", ("stage",)),
    ):
        labels = [column.removesuffix("_id") for column in columns]
        rows = Counter(tuple(row[one] for one in columns) for row in watched.rows(table))
        counted = {key: value for key, value in found.by(name, *labels) if value}
        assert counted == rows, name
    matches = watched.rows("paper_trade_match_history") + watched.rows("trade_match_history")
    assert found.one("engine_matches_emitted_total") == len(matches)


def is_equal(watched: Watched) -> bool:
    try:
        check_equal(watched, watched.samples())
    except AssertionError:
        return False
    return True


def test_metrics_equal_the_tables_and_the_backtest(watched: Watched) -> None:
    wait_for(lambda: is_equal(watched), 60)  # latest tables follow behind the word of the stages
    found = watched.samples()
    check_equal(watched, found)
    snapshot = pq.read_table(watched.bounded / "unrealized_snapshot.parquet").to_pylist()
    own = [row for row in snapshot if row["account_id"] != OUT]
    assert by_owner(found, "te_unrealized_pnl_total") == sums(own, "unrealized")
    assert {one.value for one in found.of("tradeflow_job_up")} == {1.0}
    assert len(found.of("tradeflow_job_up")) == 6


def test_a_killed_exporter_says_the_same(watched: Watched) -> None:
    before = watched.samples()
    pid = watched.pid("exporter")
    kill(watched.stack.folder, "exporter")
    wait_for(lambda: watched.pid("exporter") not in (pid, None), 30)
    after = watched.samples()
    names = ("te_unrealized_pnl_total", "te_realized_pnl_total", "tp_signals_accepted_total")
    for name in (*names, "tp_signals_rejected_total", "engine_matches_emitted_total", "te_equity"):
        assert after.of(name) == before.of(name), name
    check_equal(watched, after)


def test_the_command_shows_it(watched: Watched) -> None:
    words = ("top", "--dir", str(watched.stack.folder), "--once")
    shown = command(*words)
    assert shown.returncode == 0, shown.stderr
    for part in ("6 of 6 jobs run", "capped", "NO_OPEN_POSITION"):
        assert part in shown.stdout
    status = json.loads(command("status", "--dir", str(watched.stack.folder), "--json").stdout)
    ports = watched.stack.ports
    assert {int(one.split(":")[2].partition("/")[0]) for one in status["metrics"]} == {
        ports.exporter, ports.flink_metrics, ports.flink_metrics + 1, ports.prometheus,
        ports.alertmanager,
    }  # fmt: skip
    for address in status["metrics"]:
        assert answers(address), address


def command(*words: str, given: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "cli.main", *words],
        input=given, capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip


def test_every_query_has_an_answer(watched: Watched) -> None:
    with feeding(watched):
        wait_for(lambda: not dashboards.empty_answers(watched.prometheus), 90)
        assert {text for text in selectors(watched) if not asked(watched, text)} == set()


def asked(watched: Watched, expression: str) -> list[Any]:
    """What Prometheus answers."""
    query = urllib.parse.urlencode({"query": expression})
    with urllib.request.urlopen(f"{watched.prometheus}/api/v1/query?{query}") as answer:
        found: list[Any] = json.load(answer)["data"]["result"]
    return found


def selectors(watched: Watched) -> set[str]:
    """All series that the rules of alerts name; an alert that names none would never fire."""
    with urllib.request.urlopen(f"{watched.prometheus}/api/v1/rules") as answer:
        groups = json.load(answer)["data"]["groups"]
    found = {
        text
        for group in groups
        for rule in group["rules"]
        for text in re.findall(r"\b(?:[a-zA-Z]+_\w+|up)\b(?:{[^}]*})?", rule["query"])
    }
    return found - {"group_left", "predict_linear", *LABELS}


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


def test_faults_are_told_of_and_cleared(watched: Watched) -> None:
    report(watched, HELD, "1000")
    with counting(watched) as counted, feeding(watched):
        wait_for(lambda: (OUT, "cross") in by_owner(watched.samples(), "te_net_exposure"), 60)
        time.sleep(10)
        cured = [
            drill(watched, "FeedStopped", watched.pause.set, watched.pause.clear),
            drill(watched, "SymbolStale", lambda: watched.silent.add(LIQUID), watched.silent.clear),
        ]
        close = watched.closes[HELD]
        fall = {HELD: close / 2}
        back = {HELD: close}
        checkpoints = watched.stack.folder / "flink" / "checkpoints"
        cured += [
            drill(
                watched,
                "UnrealizedDrawdown",
                lambda: watched.closes.update(fall),
                lambda: watched.closes.update(back),
            ),
            drill(
                watched,
                "ExposureHigh",
                lambda: report(watched, HELD, "60000", "more"),
                lambda: report(watched, HELD, "60000", "less", "SELL"),
            ),
            drill(watched, "RowsRejected", lambda: garbage(watched), lambda: None),
            drill(watched, "RestartsInARow", lambda: thrice(watched, "notifier"), lambda: None),
            drill(
                watched, "CheckpointFailing", lambda: block(checkpoints), lambda: free(checkpoints)
            ),
        ]
        over(cured)
        kill_task_manager = (lambda: kill(watched.stack.folder, "taskmanager-0"), lambda: None)
        over([drill(watched, "JobNotRunning", *kill_task_manager)])
        again = drill(
            watched,
            "GateWithoutUpstream",
            lambda: cancel(watched, "strategies"),
            lambda: control.up(watched.config, watched.stack.folder),
        )
        over([again])
        for alert, name in (
            ("FlinkMetricsDown", "taskmanager-0"),
            ("RollupStale", "taskmanager-0"),
            ("ExporterDown", "exporter"),
            ("StoreAway", "tablet-0"),
        ):
            wait_for(lambda name=name: watched.pid(name) is not None, 60)  # type: ignore[misc]
            pid = watched.pid(name)
            assert pid is not None
            let_go = drill(
                watched,
                alert,
                lambda pid=pid: os.kill(pid, signal.SIGSTOP),  # type: ignore[misc]
                lambda pid=pid: os.kill(pid, signal.SIGCONT),  # type: ignore[misc]
            )
            over([let_go])
    wait_for(lambda: is_equal(watched), 120)  # after all of it
    for series, values in counted.items():
        assert values == sorted(values), series  # absent at times, and never less or more
        assert values[-1] <= (watched.samples().one(series[0], **dict(series[1:])) or 0), series
    rows = [row for row in watched.rows("risk_alerts_history") if row["account_id"] == OUT]
    for code in ("DRAWDOWN", "EXPOSURE"):
        states = [row["state"] for row in rows if row["code"] == code]
        assert states == ["RAISED", "CLEARED"], code
    assert len(rows) == 4
    silence = [row for row in watched.rows("risk_alerts_history") if "feed" in row["message"]]
    states = [row["state"] for row in silence]
    assert {*states[::2]} == {"RAISED"}
    assert {*states[1::2]} == {"CLEARED"}


def test_refusals_and_slow_checkpoints_are_told_of(watched: Watched) -> None:
    with feeding(watched):
        time.sleep(10)  # an increase needs a value before
        rejects = drill(watched, "FrequentRejects", lambda: refused(watched), lambda: None)
        worker = watched.pid("taskmanager-0")
        assert worker is not None
        over([rejects, drill(watched, "CheckpointSlow", lambda: hold_up(worker), lambda: None)])
    wait_for(lambda: is_equal(watched), 120)


def test_a_disk_that_fills_is_told_of(watched: Watched) -> None:
    folder = watched.stack.folder
    if not folder.is_mount():
        pytest.skip("a disk of its own can't be mounted here")
    ballast = folder / "ballast"

    def leave(free: float) -> None:
        size = shutil.disk_usage(folder).free - int(free)
        subprocess.run(("fallocate", "-l", str(size), ballast), check=True)

    over([drill(watched, "DiskFilling", lambda: leave(0.05 * DISK_BYTES), ballast.unlink)])
    over([drill(watched, "DiskFull", lambda: leave(1.5e9), ballast.unlink)])


class Cured(NamedTuple):
    """An alert that fired, how long after its fault, and how long after the cure it was over."""

    alert: str
    fired: float
    cleared: Future[float]


def drill(
    watched: Watched, alert: str, fault: Callable[[], object], cure: Callable[[], object]
) -> Cured:
    """The alert fires soon after the fault; whether it is over soon after the cure says `over`."""
    assert alert not in watched.firing()
    fault()
    try:
        fired = wait_for(lambda: alert in watched.firing(), FIRES_S)
        if alert in TOLD:
            # One that is over within `group_wait` is told to nobody.
            wait_for(lambda: f"FIRING critical] {alert}" in notified(watched), FIRES_S)
    finally:
        cure()
    looking = watched.looking.submit(wait_for, lambda: alert not in watched.firing(), CLEARS_S)
    return Cured(alert, fired, looking)


def notified(watched: Watched) -> str:
    """What was told of alerts."""
    return (watched.stack.folder / "log" / "notifier.out").read_text()


def over(cured: Sequence[Cured]) -> None:
    """All of them are over, each soon after its cure."""
    for alert, fired, cleared in cured:
        told = cleared.result()
        print(f"{alert}: fired after {fired:.0f} s, over {told:.0f} s after the cure")


def report(
    watched: Watched, symbol: str, worth: str, order: str = "drill", side: str = "BUY"
) -> None:
    """The account outside buys or sells for so much."""
    close = Decimal(str(watched.closes[symbol]))
    row = {
        "account_id": OUT, "strategy_id": "cross", "symbol": symbol, "order_id": order,
        "fill_id": "1", "side": side, "fill_qty": Decimal(worth) / close, "fill_price": close,
        "ts": watched.next_ts, "fee": Decimal(0), "run_id": watched.config.run.id,
    }  # fmt: skip
    row["fill_qty"] = row["fill_qty"].quantize(Decimal("0.001"))  # type: ignore[union-attr]
    values = [row.get(column.name) for column in EXEC_REPORT_HISTORY.stored]
    with watched.client() as client:
        client.write(Writing(EXEC_REPORT_HISTORY, [values]))


def refused(watched: Watched) -> None:
    """A dozen signals for nothing, each refused by every account that follows the strategy."""
    rows = [
        {
            "signal_id": f"nothing-{number}", "strategy_id": "cross", "symbol": HELD,
            "timeframe": "1m", "signal_ts": watched.next_ts, "action": "BUY", "close": 1.0,
            "size_hint": 0.0, "confidence": 1.0, "reason": "drill", "strategy_version": "1",
            "params_hash": "0", "run_id": watched.config.run.id,
        }
        for number in range(12)
    ]  # fmt: skip
    columns = [column.name for column in STRATEGY_SIGNAL_HISTORY.stored]
    with watched.client() as client:
        found = [[row[name] for name in columns] for row in rows]
        client.write(Writing(STRATEGY_SIGNAL_HISTORY, found))


def hold_up(pid: int) -> None:
    """The process stands still for longer than a checkpoint may last, but is not given up."""
    for _ in range(3):
        os.kill(pid, signal.SIGSTOP)
        time.sleep(6)
        os.kill(pid, signal.SIGCONT)
        time.sleep(5)


def thrice(watched: Watched, name: str) -> None:
    """kill -9 a process, and twice again what comes back."""
    for _ in range(3):
        wait_for(lambda: watched.pid(name) is not None, 30)
        kill(watched.stack.folder, name)
        time.sleep(1)


def cancel(watched: Watched, name: str) -> None:
    """End a job as nobody should."""
    flink = Flink(watched.stack.rest, watched.stack.prefix)
    (job,) = [one for one in flink.jobs() if one.name == name]
    flink.cancel(job.job_id)


def garbage(watched: Watched) -> None:
    """A report with a quantity that is none, as a person feeds it."""
    header = "account_id,strategy_id,order_id,fill_id,symbol,side,fill_qty,fill_price,ts"
    line = f"{OUT},cross,x,1,{HELD},BUY,much,1,{watched.next_ts}"
    words = ("ingest", "--dir", str(watched.stack.folder), "--table", "exec_report_history")
    told = command(*words, given=f"{header}\n{line}\n")
    assert told.returncode in (0, 1), told.stderr


def block(folder: Path) -> None:
    """No checkpoint can be written."""
    folder.rename(folder.with_suffix(".away"))
    folder.write_text("")


def free(folder: Path) -> None:
    folder.unlink()
    folder.with_suffix(".away").rename(folder)
