"""A stack with Prometheus and Alertmanager: metrics equal the tables, and faults are told of."""

import json
import os
import re
import shutil
import signal
import subprocess
import time
import urllib.parse
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from decimal import Decimal
from typing import Any, NamedTuple

import pyarrow.parquet as pq
import pytest

from jobs.stack.scrape import Samples
from tests import dashboards
from tests.live.live_runs import kill, wait_for
from tests.live.monitoring_faults import (
    block,
    bring_back,
    cancel,
    free,
    garbage,
    hold_up,
    refused,
    report,
    thrice,
)  # fmt: skip
from tests.live.watched_stack import (
    DISK_BYTES,
    HELD,
    LIQUID,
    OUT,
    Watched,
    answers,
    command,
    counting,
    explain,
    feeding,
    running,
)  # fmt: skip

FIRES_S, CLEARS_S = 60.0, 90.0
TOLD = ("FeedStopped", "UnrealizedDrawdown")  # by Alertmanager and the notifier, too
LABELS = {"job_name"}  # of rules, which look like metrics


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    """The stack of all tests here."""
    with running(tmp_path_factory.mktemp("monitoring")) as found:
        yield found


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
        over(watched, cured)
        kill_task_manager = (lambda: kill(watched.stack.folder, "taskmanager-0"), lambda: None)
        over(watched, [drill(watched, "JobNotRunning", *kill_task_manager)])
        again = drill(
            watched,
            "GateWithoutUpstream",
            lambda: cancel(watched, "strategies"),
            lambda: bring_back(watched),
        )
        over(watched, [again])
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
            over(watched, [let_go])
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
        over(
            watched,
            [rejects, drill(watched, "CheckpointSlow", lambda: hold_up(worker), lambda: None)],
        )
    wait_for(lambda: is_equal(watched), 120)


def test_a_disk_that_fills_is_told_of(watched: Watched) -> None:
    folder = watched.stack.folder
    if not folder.is_mount():
        pytest.skip("a disk of its own can't be mounted here")
    ballast = folder / "ballast"

    def leave(free: float) -> None:
        size = shutil.disk_usage(folder).free - int(free)
        subprocess.run(("fallocate", "-l", str(size), ballast), check=True)

    over(watched, [drill(watched, "DiskFilling", lambda: leave(0.05 * DISK_BYTES), ballast.unlink)])
    over(watched, [drill(watched, "DiskFull", lambda: leave(1.5e9), ballast.unlink)])


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
    except AssertionError:
        explain(watched)
        raise
    finally:
        cure()
    looking = watched.looking.submit(wait_for, lambda: alert not in watched.firing(), CLEARS_S)
    return Cured(alert, fired, looking)


def notified(watched: Watched) -> str:
    """What was told of alerts."""
    return (watched.stack.folder / "log" / "notifier.out").read_text()


def over(watched: Watched, cured: Sequence[Cured]) -> None:
    """All of them are over, each soon after its cure."""
    for alert, fired, cleared in cured:
        try:
            told = cleared.result()
        except AssertionError:
            print(f"{alert}: fired after {fired:.0f} s, and is not over")
            explain(watched)
            raise
        print(f"{alert}: fired after {fired:.0f} s, over {told:.0f} s after the cure")
