"""A store that knows its users: who is refused, what is said, and where no password stands."""

import re
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from jobs import fluss_run, fluss_security, fluss_store, guard
from jobs.guard import Right
from jobs.store import reading
from jobs.store.client import Client, Writing
from jobs.store.login import Login
from jobs.store.making import make_tables
from schemas.ops import PROGRESS, RUN_HISTORY
from udfs.errors import ConfigError

DATABASE = "guarded"
PLANTED = {"jobs": 'jobs-"planted\\1', "people": "people-planted-2", "some": "some-planted-3"}
WRONG = "wrong-planted-4"
RUN_ROW = ["one", "digest", "{}", "code", 1_700_000_000_000]


class Guarded(NamedTuple):
    """A store, its processes, and its users."""

    running: fluss_run.Running
    users: dict[str, Login]

    def client(self, name: str, login: Login | None = None) -> Client:
        """A client of a user; `login` instead of what the user has."""
        store = self.running.store
        return Client(store.bootstrap, DATABASE, login=login or self.users[name])


def private(file: Path, text: str) -> str:
    file.write_text(text + "\n", encoding="utf-8")
    file.chmod(0o600)
    return str(file)


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    folder = tmp_path_factory.mktemp("guarded")
    given = folder / "given"
    given.mkdir()
    users = {name: Login(name, private(given / name, text)) for name, text in PLANTED.items()}
    found = guard.make(folder / "secrets", users["jobs"], [users["people"], users["some"]])
    store = fluss_store.configure(folder / "store", fluss_store.free_ports(), guard=found)
    with fluss_run.running(store) as running:
        rights = [
            Right("jobs", "ALL"),
            Right("people", "READ"),
            Right("some", "READ", PROGRESS.name),
        ]
        fluss_security.grant(store.bootstrap, found, DATABASE, rights, store.folder)
        one = Guarded(running, users)
        with one.client("jobs") as client:
            make_tables(client)
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
    assert f"refuses user jobs: no such user, or another password than that of file {file}" in told
    assert WRONG not in told
    monkeypatch.setenv("SOME_PASSWORD", WRONG)
    told = refused(guarded.client("jobs", Login("nobody", env="SOME_PASSWORD")))
    assert "refuses user nobody: no such user, or another password than that of variable" in told
    assert WRONG not in told


def test_who_does_not_say_a_name_is_told_how(guarded: Guarded) -> None:
    client = Client(guarded.running.store.bootstrap, DATABASE)
    assert "asks who speaks to it: name a user by store.security.username" in refused(client)


def test_a_reader_may_not_write(guarded: Guarded) -> None:
    told = refused(guarded.client("people"), "write")
    assert f"does not let user people WRITE table {DATABASE}.run_history" in told


def test_a_forbidden_table_is_named(guarded: Guarded) -> None:
    told = refused(guarded.client("some"))
    assert f"does not let user some DESCRIBE table {DATABASE}.run_history" in told
    with guarded.client("some") as client, pytest.raises(ConfigError, match="user some DESCRIBE"):
        reading.check(client, RUN_HISTORY)


def test_rights_that_are_not_given_again_are_taken(guarded: Guarded) -> None:
    store = guarded.running.store
    assert store.guard is not None
    rights = [Right("jobs", "ALL"), Right("people", "READ")]
    fluss_security.grant(store.bootstrap, store.guard, DATABASE, rights, store.folder)
    with guarded.client("some") as client, pytest.raises(ConfigError, match="user some DESCRIBE"):
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
    """Requests at the listener for servers are not asked for rights."""
    store = guarded.running.store
    ports = {store.ports.coordinator, *store.ports.tablets, store.ports.zookeeper}
    pids = {process.pid for process in guarded.running.processes.values()}
    others = {port for _, port in listening(pids)} - ports
    assert len(others) == 2
    for port in others:
        with (
            Client(f"127.0.0.1:{port}", DATABASE, login=guarded.users["jobs"]) as client,
            pytest.raises(ConfigError, match="refuses user jobs"),
        ):
            reading.read(client, RUN_HISTORY)


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
