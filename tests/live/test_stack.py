"""A stack on this machine through its life: up, killed part by part, down, and up again."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, TypeVar

import fluss
import pytest

from jobs.fluss_tables import connect
from jobs.stack import control, names, processes
from jobs.stack.ending import down
from jobs.stack.state import Ports, Stack, read
from schemas.config import Config, load_config
from udfs.errors import ConfigError

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "tests" / "live" / "counting_jobs.py"
JOBS = (names.JobName("indicators"), names.JobName("tradepicker"))
WISH = control.Wish(jobs=JOBS, script=SCRIPT)
PATIENCE_S = 150.0
T = TypeVar("T")


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


async def _tell(stack: Stack, ticks: range) -> None:
    connection = await connect(stack.bootstrap)
    table = await connection.get_table(fluss.TablePath(stack.database, "progress"))
    writer = table.new_upsert().create_writer()
    for tick in ticks:
        writer.upsert(["feed", "main", tick, 1])
    await asyncio.wait_for(writer.flush(), 30)
    await connection.close()


async def _counted(stack: Stack) -> dict[str, int]:
    """The number that each alert's row has."""
    connection = await connect(stack.bootstrap)
    table = await connection.get_table(fluss.TablePath(stack.database, "risk_alerts_history"))
    bucket = fluss.TableBucket(table.get_table_info().table_id, 0)
    scan = table.new_scan().limit(10_000).create_bucket_batch_scanner(bucket)
    rows = (await asyncio.wait_for(scan.to_arrow(), 10)).to_pylist()
    await connection.close()
    return {row["alert_id"]: int(row["message"]) for row in rows}


def until_it_answers(call: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """What the store answers, asked again while it is away."""
    deadline = time.monotonic() + PATIENCE_S
    while True:
        try:
            return asyncio.run(call())
        except (ConfigError, fluss.FlussError, TimeoutError):
            if time.monotonic() > deadline:
                raise
            time.sleep(0.5)


def work(stack: Stack, ticks: range) -> None:
    """Feed ticks; return once both jobs have counted each of all so far once, in order."""
    until_it_answers(lambda: _tell(stack, ticks))
    wanted = {f"{job.text}-{tick}": tick for job in JOBS for tick in range(1, ticks.stop)}
    deadline = time.monotonic() + PATIENCE_S
    while (found := until_it_answers(lambda: _counted(stack))) != wanted:
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


@pytest.fixture
def folder(tmp_path: Path) -> Any:
    """A stack's folder; whatever happens, nothing of it runs on."""
    place = tmp_path / "stack"
    yield place
    supervisor = processes.supervisor_of(place)
    processes.end([] if supervisor is None else [supervisor], 60)
    processes.end_servers(place, 20)


def test_a_stack_lives_through_kills_and_ends(folder: Path) -> None:
    said: list[str] = []
    up = control.up(config(), folder, WISH, said.append)
    stack = up.stack
    assert up.problems == []
    assert set(up.submitted) == {"indicators", "tradepicker"}
    work(stack, range(1, 21))
    found = status(folder)
    assert {one["name"] for one in found["processes"]} >= {"supervisor", "tablet-0", "jobmanager"}
    assert {one["state"] for one in found["processes"]} == {"running"}
    assert {"name": "progress", "rows": 20, "is_exact": True} in found["tables"]
    again = control.up(config(), folder, WISH)
    assert (again.was_running, again.submitted, again.problems) == (True, {}, [])
    with pytest.raises(ConfigError, match="another configuration: accounts"):
        control.up(config(**{"accounts.main.fee_bps": 1}), folder, WISH)
    for number, name in enumerate(("taskmanager-0", "jobmanager", "tablet-0"), 2):
        kill(stack, name)
        work(stack, range(number * 10 + 1, number * 10 + 11))
    ended = down(folder)
    assert ended.problems == []
    assert sorted(Path(point).name[:10] for point in ended.points.values()) == ["savepoint-"] * 2
    assert not processes.servers_of(folder)
    assert "the stack is down: `tradeflow up` starts it" in status(folder)["problems"]


def test_what_was_killed_whole_goes_on(folder: Path) -> None:
    stack = control.up(config(), folder, WISH).stack
    work(stack, range(1, 11))
    # With the supervisor gone the rest lives on; the next `up` ends it and starts anew.
    supervisor = processes.supervisor_of(folder)
    assert supervisor is not None
    os.kill(supervisor, signal.SIGKILL)
    assert "the supervisor does not run" in status(folder)["problems"][0]
    work(control.up(config(), folder, WISH).stack, range(11, 21))
    ended = down(folder)
    assert ended.problems == []
    resumed = control.up(config(), folder, WISH)
    assert resumed.submitted == ended.points
    work(resumed.stack, range(21, 31))


def test_what_can_not_start_is_told(folder: Path) -> None:
    ports = Ports(*(port + 77 for port in control.choose_ports(None, False)))
    assert all(map(processes.is_free, ports))
    up = control.up(config(), folder, WISH._replace(jobs=()))
    failed = control.submit(
        folder, [names.JobName("strategies", ("broken",))], WISH._replace(jobs=())
    )
    assert len(failed.problems) == 1
    assert "ConfigError: this job is broken" in failed.problems[0]
    with pytest.raises(ConfigError, match="holds the run"):
        control.up(config(**{"run.id": "other"}), folder, WISH)
    beside = folder.with_name("beside")
    with pytest.raises(ConfigError, match=f"taken by process .*the stack in {folder}"):
        control.up(config(), beside, WISH._replace(fixed_ports=True))
    said: list[str] = []
    try:
        second = control.up(config(), beside, WISH._replace(jobs=()), said.append)
        assert not set(second.stack.ports) & set(up.stack.ports)
        assert "usual ports are taken" in said[0]
    finally:
        down(beside)
    assert processes.servers_of(folder)
    done = command("down", "--dir", str(folder), "--purge", "--yes")
    assert (done.returncode, folder.exists()) == (0, False)
