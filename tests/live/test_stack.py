"""A stack on this machine through its life: up, killed part by part, down, and up again."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from jobs.stack import control, names, processes
from jobs.stack.ending import down
from jobs.stack.rest import Flink
from jobs.stack.state import Stack, read
from jobs.store import reading
from jobs.store.client import Client, Writing, open_client
from schemas.config import Config, load_config
from schemas.ops import PROGRESS, RISK_ALERTS_HISTORY
from udfs.errors import ConfigError

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "tests" / "live" / "counting_jobs.py"
JOBS = (names.JobName("indicators"), names.JobName("tradepicker"))
WISH = control.Wish(jobs=JOBS, script=SCRIPT)
PATIENCE_S = 150.0
PER_JOB = {
    *(f"flink_jobmanager_job_{name}" for name in (
        "numRestarts", "uptime", "lastCheckpointDuration", "lastCheckpointSize",
        "numberOfCompletedCheckpoints", "numberOfFailedCheckpoints",
    )),
    *(f"flink_taskmanager_job_task_{name}" for name in (
        "busyTimeMsPerSecond", "backPressuredTimeMsPerSecond", "numRecordsInPerSecond",
        "operator_column_family_rocksdb_total_sst_files_size",
    )),
}  # fmt: skip
PER_PROCESS = {
    f"flink_{name}_Status_JVM_Memory_Heap_{part}"
    for name in ("jobmanager", "taskmanager")
    for part in ("Used", "Max")
}


def config(**given: object) -> Config:
    small = {"live.task_manager_memory": "1300m", "run.id": "stack-test"}
    return load_config(ROOT / "conf" / "live.yaml", small | given)


def command(*words: str) -> subprocess.CompletedProcess[str]:
    """The command line, as a user has it."""
    return subprocess.run(
        [sys.executable, "-m", "cli.main", *words],
        cwd=ROOT, capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip


def status(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(command("status", "--dir", str(folder), "--json").stdout)
    return found


def client(stack: Stack) -> Client:
    """A client that waits for the store while it is away."""
    return open_client(stack.store, PATIENCE_S)


def tell(stack: Stack, ticks: range) -> None:
    """Progress of a feed."""
    with client(stack) as store:
        store.write(Writing(PROGRESS, [("feed", "main", tick, 1) for tick in ticks]))


def counted(stack: Stack) -> dict[str, int]:
    """The number that each alert's row has."""
    with client(stack) as store:
        rows = reading.read(store, RISK_ALERTS_HISTORY).to_pylist()
    return {row["alert_id"]: int(row["message"]) for row in rows}


def work(stack: Stack) -> None:
    """Feed ten ticks; return once both jobs have counted each of all so far once, in order."""
    first = max(counted(stack).values(), default=0) + 1
    ticks = range(first, first + 10)
    tell(stack, ticks)
    wanted = {f"{job.text}-{tick}": tick for job in JOBS for tick in range(1, ticks.stop)}
    deadline = time.monotonic() + PATIENCE_S
    while (found := counted(stack)) != wanted:
        wrong = {name: n for name, n in found.items() if wanted.get(name) != n}
        assert not wrong
        assert time.monotonic() < deadline, f"{len(found)} of {len(wanted)} rows"
        time.sleep(0.3)


def kill(stack: Stack, name: str) -> None:
    now = read(stack.folder)
    assert now is not None
    (one,) = [one for one in now.processes if one.name == name]
    assert one.pid is not None
    os.kill(one.pid, signal.SIGKILL)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The folder of the stack that all tests share; whatever happens, nothing of it runs on."""
    place = tmp_path_factory.mktemp("live") / "stack"
    yield place
    for one in (place, place.with_name("beside")):
        supervisor = processes.supervisor_of(one)
        processes.end([] if supervisor is None else [supervisor], 60)
        processes.end_servers(one, 20)


def test_what_is_killed_comes_back(folder: Path) -> None:
    up = control.up(config(), folder, WISH)
    assert up.problems == []
    work(up.stack)
    found = status(folder)
    assert {one["name"] for one in found["processes"]} >= {"supervisor", "tablet-0", "jobmanager"}
    assert {one["state"] for one in found["processes"]} == {"running"}
    assert {"name": "progress", "rows": 10, "is_exact": True} in found["tables"]
    for name in ("taskmanager-0", "jobmanager", "tablet-0"):
        kill(up.stack, name)
        work(up.stack)


def test_flink_tells_its_metrics_on_loopback(folder: Path) -> None:
    stack = control.up(config(), folder, WISH).stack
    work(stack)
    series: list[str] = []
    for port in (stack.ports.flink_metrics, stack.ports.flink_metrics + 1):
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as answer:
            series += [line for line in answer.read().decode().splitlines() if line[0] != "#"]
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.2", port))
    names = {re.split("[{ ]", line)[0] for line in series}
    assert names >= PER_PROCESS
    for job in JOBS:
        label = f'job_name="stack-test.{job.text}"'
        assert {line.partition("{")[0] for line in series if label in line} >= PER_JOB
    tasks = {name for line in series for name in re.findall('task_name="([^"]*)"', line)}
    assert "Source: progress" in tasks
    assert not [name for name in tasks if "[" in name or "->" in name]
    assert len(series) < 300


def test_a_second_up_changes_nothing(folder: Path) -> None:
    control.up(config(), folder, WISH)
    again = control.up(config(), folder, WISH)
    assert (again.was_running, again.submitted, again.problems) == (True, {}, [])
    with pytest.raises(ConfigError, match="another configuration: accounts"):
        control.up(config(**{"accounts.main.fee_bps": 1}), folder, WISH)
    with pytest.raises(ConfigError, match="holds the run"):
        control.up(config(**{"run.id": "other"}), folder, WISH)


def test_a_job_that_is_about_to_end_is_started_again(folder: Path) -> None:
    stack = control.up(config(), folder, WISH).stack
    work(stack)
    flink = Flink(stack.rest, stack.prefix)
    (job, _) = flink.jobs()
    now = read(folder)
    assert now is not None
    (worker,) = [one.pid for one in now.processes if one.name == "taskmanager-0"]
    assert worker is not None
    os.kill(worker, signal.SIGSTOP)
    try:
        flink.cancel(job.job_id)
        threading.Timer(4, os.kill, (worker, signal.SIGCONT)).start()
        again = control.up(config(), folder, WISH)
    finally:
        os.kill(worker, signal.SIGCONT)
    assert (list(again.submitted), again.problems) == ([job.name], [])
    work(again.stack)


def test_a_job_that_can_not_be_submitted_is_told(folder: Path) -> None:
    control.up(config(), folder, WISH)
    failed = control.submit(folder, [names.JobName("strategies", ("broken",))], WISH)
    assert len(failed.problems) == 1
    assert "ConfigError: this job is broken" in failed.problems[0]


def test_a_second_stack_runs_beside_it(folder: Path) -> None:
    first = control.up(config(), folder, WISH).stack
    beside = folder.with_name("beside")
    with pytest.raises(ConfigError, match=r"port 9123 of coordinator is taken by process \d+"):
        control.up(config(), beside, WISH._replace(fixed_ports=True))
    said: list[str] = []
    second = control.up(config(), beside, WISH._replace(jobs=()), said.append).stack
    assert not set(second.ports) & set(first.ports)
    assert "usual ports are taken" in said[0]
    done = command("down", "--dir", str(beside), "--purge", "--yes")
    assert (done.returncode, beside.exists()) == (0, False)
    assert processes.servers_of(folder)


def test_what_a_killed_supervisor_left_goes_on(folder: Path) -> None:
    work(control.up(config(), folder, WISH).stack)
    supervisor = processes.supervisor_of(folder)
    assert supervisor is not None
    os.kill(supervisor, signal.SIGKILL)
    assert "the supervisor does not run" in status(folder)["problems"][0]
    work(control.up(config(), folder, WISH).stack)


def test_jobs_go_on_from_savepoints(folder: Path) -> None:
    work(control.up(config(), folder, WISH).stack)
    ended = down(folder)
    assert ended.problems == []
    assert [Path(point).name[:10] for point in ended.points.values()] == ["savepoint-"] * 2
    assert not processes.servers_of(folder)
    assert status(folder)["problems"] == ["the stack is down: `tradeflow up` starts it"]
    resumed = control.up(config(), folder, WISH)
    assert resumed.submitted == ended.points
    work(resumed.stack)
