"""A stack whose store knows its users: it works, listens on loopback, and shows no password."""

import json
import re
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from jobs.stack import control, names, processes
from jobs.stack.ending import down
from jobs.stack.state import Stack
from jobs.store import reading
from jobs.store.client import Writing, open_client
from schemas.config import Config, load_config
from schemas.ops import PROGRESS
from udfs.errors import ConfigError

ROOT = Path(__file__).resolve().parents[2]
JOBS, PEOPLE, WRONG = "jobs-planted-1", "people-planted-2", "wrong-planted-3"
WISH = control.Wish(jobs=(names.JobName("indicators"),))
PATIENCE_S = 150.0
TICK = 1_711_756_860_000


def config(password_file: Path) -> Config:
    people = {"username": "people", "password_env": "PEOPLE_PASSWORD", "tables": ["progress"]}
    given = {
        "run.id": "secured",
        "live.task_manager_memory": "1300m",
        "store.security.username": "jobs",
        "store.security.password_file": str(password_file),
        "store.security.readers": [people],
    }
    return load_config(ROOT / "conf" / "live.yaml", given)


def private(file: Path, text: str) -> Path:
    file.write_text(f"{text}\n", encoding="utf-8")
    file.chmod(0o600)
    return file


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    place = tmp_path_factory.mktemp("secured")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PEOPLE_PASSWORD", PEOPLE)
        file = private(place / "password", JOBS)
        try:
            found = control.up(config(file), place / "stack", WISH)
            assert found.problems == []
            yield found.stack
        finally:
            down(place / "stack", savepoint=False)


def command(stack: Stack, *words: str, **environment: str) -> str:
    """What a command says; it must not say a password."""
    done = subprocess.run(
        [sys.executable, "-m", "cli.main", *words, "--dir", str(stack.folder)],
        cwd=ROOT, capture_output=True, text=True, check=False, timeout=300,
        env={"PATH": "/usr/bin:/bin", "HOME": str(Path.home()), **environment},
    )  # fmt: skip
    said = done.stdout + done.stderr
    assert "planted" not in said
    return said


def test_jobs_and_commands_work(stack: Stack) -> None:
    with open_client(stack.store) as client:
        client.write(Writing(PROGRESS, [("feed", "main", TICK, 0)]))
    deadline = time.monotonic() + PATIENCE_S
    told: set[str] = set()
    while "indicators" not in told:
        assert time.monotonic() < deadline, told
        with open_client(stack.store) as client:
            told = {row["stage"] for row in reading.log(client, PROGRESS)}
        time.sleep(0.5)
    assert '"run_id": "secured"' in command(stack, "status", "--json")


def test_the_refused_are_told_why(stack: Stack, tmp_path: Path) -> None:
    wrong = {"TRADEFLOW_STORE_USER": "jobs", "TRADEFLOW_STORE_PASSWORD": WRONG}
    assert "refuses user jobs" in command(stack, "table", "progress", **wrong)
    people = {"TRADEFLOW_STORE_USER": "people", "TRADEFLOW_STORE_PASSWORD": PEOPLE}
    said = command(stack, "table", "run_history", **people)
    assert "does not let user people DESCRIBE table secured.run_history" in said
    assert "error" not in command(stack, "table", "progress", **people)
    file = private(tmp_path / "wrong", WRONG)
    with pytest.MonkeyPatch.context() as patch, pytest.raises(ConfigError) as told:
        patch.setenv("PEOPLE_PASSWORD", PEOPLE)
        control.up(config(file), stack.folder, WISH)
    assert f"password than that of file {file}" in str(told.value)


def pids(stack: Stack) -> set[int]:
    supervisor = processes.supervisor_of(stack.folder)
    found = {one.pid for one in processes.servers_of(stack.folder)}
    return found | ({supervisor} if supervisor else set())


def test_it_listens_on_loopback_alone(stack: Stack) -> None:
    listed = subprocess.run(["ss", "-ltnpH"], capture_output=True, text=True, check=True).stdout
    own = pids(stack)
    found = {
        line.split()[3].rpartition(":")[0]
        for line in listed.splitlines()
        if {int(pid) for pid in re.findall(r"pid=(\d+)", line)} & own
    }
    assert found
    assert found <= {"127.0.0.1", "[::ffff:127.0.0.1]", "[::1]"}


def test_no_password_is_shown(stack: Stack) -> None:
    own = stack.folder / "secrets"
    hidden = [JOBS.encode(), PEOPLE.encode(), WRONG.encode()]
    hidden.append((own / "admin.password").read_bytes().strip())
    for file in sorted(stack.folder.rglob("*")):
        if own in file.parents:
            assert file.stat().st_mode & 0o077 == 0
        elif file.is_file():
            content = file.read_bytes()
            assert not any(one in content for one in hidden), file
    arguments = subprocess.run(["ps", "-eww", "-o", "args="], capture_output=True, check=True)
    assert not any(one in arguments.stdout for one in hidden)
    for pid in pids(stack):
        given = Path(f"/proc/{pid}/environ").read_bytes()
        assert not any(one in given for one in hidden), pid
    ids = [one["id"] for one in json.loads(answer(stack, "/jobs"))["jobs"]]
    assert ids
    paths = [
        f"/jobs/{one}{part}" for one in ids for part in ("", "/config", "/plan", "/exceptions")
    ]
    for path in (*paths, "/jobmanager/config", "/jobmanager/environment", "/config"):
        said = answer(stack, path)
        assert not any(one in said for one in hidden), path


def answer(stack: Stack, path: str) -> bytes:
    with urllib.request.urlopen(f"{stack.rest}{path}", timeout=30) as given:
        found: bytes = given.read()
    return found
