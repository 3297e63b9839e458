"""A store that knows its users: who is refused, what is said, and where no password stands."""

import re
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from jobs import (
    fluss_run,
    fluss_security,
    fluss_store,
    guard,
    kafka_run,
    kafka_security,
    kafka_store,
)
from jobs.guard import Right
from jobs.store import reading
from jobs.store.client import Client, Writing, open_client
from jobs.store.login import Login
from jobs.store.place import FLUSS, KAFKA, StorePlace
from schemas.ops import PROGRESS, RUN_HISTORY
from udfs.errors import ConfigError

DATABASE = "guarded"
PLANTED = {"jobs": 'jobs-"planted\\1', "people": "people-planted-2", "some": "some-planted-3"}
WRONG = "wrong-planted-4"
RUN_ROW = ["one", "digest", "{}", "code", 1_700_000_000_000]
ALL = [Right("jobs", "ALL"), Right("people", "READ"), Right("some", "READ", PROGRESS.name)]


class Guarded(NamedTuple):
    """A store, its processes, and its users."""

    kind: str
    running: Any
    users: dict[str, Login]

    def place(self, login: Login | None, port: int | None = None) -> StorePlace:
        """Where it is for a user, at the usual port or another."""
        bootstrap = f"127.0.0.1:{port}" if port else self.running.store.bootstrap
        return StorePlace(self.kind, bootstrap, DATABASE, login)

    def client(self, name: str, login: Login | None = None) -> Client:
        """A client of a user; `login` instead of what the user has."""
        return open_client(self.place(login or self.users[name]))

    def grant(self, rights: list[Right]) -> None:
        """Give these rights and no others."""
        store = self.running.store
        if self.kind == FLUSS:
            fluss_security.grant(store.bootstrap, store.guard, DATABASE, rights, store.folder)
        else:
            kafka_security.grant(store.bootstrap, store.guard, DATABASE, rights)


def private(file: Path, text: str) -> str:
    file.write_text(text + "\n", encoding="utf-8")
    file.chmod(0o600)
    return str(file)


@pytest.fixture(scope="module", params=[FLUSS, KAFKA])
def guarded(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Guarded]:
    folder = tmp_path_factory.mktemp("guarded")
    given = folder / "given"
    given.mkdir()
    users = {name: Login(name, private(given / name, text)) for name, text in PLANTED.items()}
    found = guard.make(folder / "secrets", users["jobs"], [users["people"], users["some"]])
    parts: Any = {FLUSS: (fluss_store, fluss_run), KAFKA: (kafka_store, kafka_run)}
    configured, run = parts[request.param]
    store = configured.configure(folder / "store", configured.free_ports(), guard=found)
    with run.running(store) as running:
        one = Guarded(request.param, running, users)
        one.grant(ALL)
        with one.client("jobs") as client:
            client.make(None)
            client.write(Writing(RUN_HISTORY, [RUN_ROW]))
        yield one


def refused(client: Client, what: str = "read") -> str:
    """What somebody is told who may not do it."""
    with client, pytest.raises(ConfigError) as told:
        if what == "read":
            reading.read(client, RUN_HISTORY)
        else:
            client.write(Writing(RUN_HISTORY, [["two", *RUN_ROW[1:]]]))
    return str(told.value)


def test_users_do_what_they_may(guarded: Guarded) -> None:
    for name in ("jobs", "people"):
        with guarded.client(name) as client:
            assert reading.read(client, RUN_HISTORY).num_rows == 1
    with guarded.client("some") as client:
        reading.check(client, PROGRESS)
        assert reading.read(client, PROGRESS).num_rows == 0


def test_a_wrong_password_is_refused_by_a_message_that_names_its_place(
    guarded: Guarded, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = private(tmp_path / "wrong", WRONG)
    told = refused(guarded.client("jobs", Login("jobs", file)))
    assert "user jobs" in told
    assert f"password than that of file {file}" in told or f"the password of file {file}" in told
    assert WRONG not in told
    monkeypatch.setenv("SOME_PASSWORD", WRONG)
    told = refused(guarded.client("jobs", Login("nobody", env="SOME_PASSWORD")))
    assert "user nobody" in told
    assert "of variable SOME_PASSWORD" in told
    assert WRONG not in told


def test_who_does_not_say_a_name_is_told_how(guarded: Guarded) -> None:
    told = refused(open_client(guarded.place(None)))
    assert "ask" in told
    assert "who speaks to it" in told
    assert "store.security" in told


def test_a_reader_may_not_write(guarded: Guarded) -> None:
    told = refused(guarded.client("people"), "write")
    assert "does not let user people WRITE " in told
    assert DATABASE in told


def test_a_forbidden_table_is_named(guarded: Guarded) -> None:
    told = refused(guarded.client("some"))
    assert "does not let user some " in told
    assert "run_history" in told
    with guarded.client("some") as client, pytest.raises(ConfigError) as checked:
        reading.check(client, RUN_HISTORY)
    assert "does not let user some " in str(checked.value)
    assert "run_history" in str(checked.value)


def test_rights_that_are_not_given_again_are_taken(guarded: Guarded) -> None:
    guarded.grant(ALL[:2])
    with guarded.client("some") as client, pytest.raises(ConfigError, match="not let user some"):
        reading.read(client, PROGRESS)
    with guarded.client("people") as client:
        assert reading.read(client, RUN_HISTORY).num_rows == 1


def listening(pids: set[int]) -> list[tuple[str, int]]:
    """Address and port of each socket on which these processes listen."""
    listed = subprocess.run(["ss", "-ltnpH"], capture_output=True, text=True, check=True).stdout
    found = []
    for line in listed.splitlines():
        if {int(pid) for pid in re.findall(r"pid=(\d+)", line)} & pids:
            address, _, port = line.split()[3].rpartition(":")
            found.append((address, int(port)))
    return found


def test_clients_can_not_pass_for_servers(guarded: Guarded) -> None:
    """Requests at Fluss's listener for servers are not asked for rights."""
    if guarded.kind == KAFKA:
        return  # its controller has users and rights of all
    store = guarded.running.store
    ports = {store.ports.coordinator, *store.ports.tablets, store.ports.zookeeper}
    pids = {process.pid for process in guarded.running.processes.values()}
    others = {port for _, port in listening(pids)} - ports
    assert len(others) == 2
    for port in others:
        with (
            open_client(guarded.place(guarded.users["jobs"], port)) as client,
            pytest.raises(ConfigError, match="refuses user jobs"),
        ):
            reading.read(client, RUN_HISTORY)


def test_it_listens_on_loopback_alone(guarded: Guarded) -> None:
    found = listening({process.pid for process in guarded.running.processes.values()})
    assert len(found) >= 3
    assert {address for address, _ in found} <= {"127.0.0.1", "[::ffff:127.0.0.1]"}


def test_zookeeper_asks_as_well(guarded: Guarded) -> None:
    """Rights are kept there."""
    store = guarded.running.store
    request = bytes.fromhex("0000002c" + "00" * 12 + "00001770" + "00" * 8 + "00000010" + "00" * 16)
    with socket.create_connection(("127.0.0.1", store.ports.zookeeper), 5) as asked:
        asked.settimeout(20)
        asked.sendall(request)
        assert len(asked.recv(1000)) > 0  # a session
        path = b"/fluss"
        body = (1).to_bytes(4) + (8).to_bytes(4) + len(path).to_bytes(4) + path + b"\0"
        asked.sendall(len(body).to_bytes(4) + body)
        answer = asked.recv(1000)
        error = int.from_bytes(answer[16:20], signed=True) if answer else None
        assert error in (None, -124)  # closed, or SessionClosedRequireSaslAuth


def test_no_password_is_where_others_may_read(guarded: Guarded) -> None:
    folder = guarded.running.store.folder.parent
    own = [(folder / "secrets" / name).read_text("utf-8") for name in (guard.OWN,)]
    planted = [*PLANTED.values(), WRONG, *(text.strip() for text in own)]
    private_files = {file for part in ("secrets", "given") for file in (folder / part).iterdir()}
    for file in sorted(folder.rglob("*")):
        if file in private_files:
            assert file.stat().st_mode & 0o077 == 0
        elif file.is_file():
            content = file.read_bytes()
            assert not any(one.encode() in content for one in planted), file
    processes = subprocess.run(["ps", "-eww", "-o", "args="], capture_output=True, check=True)
    assert not any(one.encode() in processes.stdout for one in planted)


def test_a_store_is_given_names_of_files_alone(tmp_path: Path) -> None:
    password = tmp_path / "jobs"
    password.write_text(WRONG + "\n", encoding="utf-8")
    password.chmod(0o600)
    jobs = Login("jobs", str(password))
    made = guard.make(tmp_path / "secrets", jobs, [])
    for store in (
        fluss_store.configure(tmp_path / "fluss", guard=made),
        kafka_store.configure(tmp_path / "kafka", guard=made),
    ):
        assert all(made.java_option in server.command for server in store.servers)
        written = [file for file in store.folder.rglob("*") if file.is_file()]
        assert written
        assert not any(WRONG in file.read_text("utf-8") for file in written)
    assert (tmp_path / "secrets").stat().st_mode & 0o777 == 0o700
    files = sorted(tmp_path.joinpath("secrets").iterdir())
    assert len(files) == 4
    assert all(file.stat().st_mode & 0o777 == 0o600 for file in files)
    assert made.own.password() != guard.make(tmp_path / "again", jobs, []).own.password()
