"""Runs the store of `jobs/fluss_store.py`: starts its processes, waits until it works, ends it.

`python -m jobs.fluss_run FOLDER` starts one in the foreground and says its address.
"""

import asyncio
import socket
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from functools import partial
from pathlib import Path

import fluss

from jobs.fluss_mend import mend
from jobs.fluss_store import NO_SETTINGS, Ports, Store, configure, free_ports
from jobs.servers import (
    HOST,
    START_TIMEOUT_S,
    Running,
    Server,
    check_lives,
    has_ended,
    run,
    run_in_foreground,
    start,
    wait_for_port,
)
from jobs.store.login import fluss_settings
from udfs.errors import ConfigError

ANSWER_TIMEOUT_S = 1.0
PAUSE_S = 0.1


def running(store: Store) -> AbstractContextManager[Running[Store]]:
    """Start the store and wait until it can be used; its processes end with the block.

    Raises ConfigError where the folder is in use, a port is taken, or a process ends early.
    """
    return run(store, revive)


@contextmanager
def local_store(
    folder: Path, ports: Ports | None = None, settings: Mapping[str, str] = NO_SETTINGS
) -> Iterator[Store]:
    """A running store on free ports (or these); all its processes end with the block."""
    with running(configure(folder, ports or free_ports(), settings)) as started:
        yield started.store


def revive(running: Running[Store], wait_s: float = 0.0) -> list[str]:
    """Start each process that has not been started or has ended, after `wait_s`; their names.

    The coordinator comes last, and it is ended first where no tablet server is left.
    One that sees the tablet server go takes its tables from it; back as a follower of nobody the
    tablet server cuts each log at its last checkpoint, and what it acknowledged in the seconds
    before is lost. One that starts later finds tables and servers as they were, and the log is
    kept. While other tablet servers live, replicas there take over, if each table has them.
    ConfigError where one ends meanwhile: then the coordinator is ended too, as it would see that.
    """
    store, processes, _ = running
    zookeeper, *tablets, coordinator = store.servers
    gone = [server for server in store.servers if has_ended(processes.get(server.name))]
    lost = [server for server in tablets if server in gone]
    alone = bool(lost) and len(lost) == len(tablets)  # no other replica is left
    if alone and coordinator not in gone:
        _end_coordinator(running)
        gone.append(coordinator)
    time.sleep(wait_s)
    if zookeeper in gone:
        _start(running, zookeeper)
    if alone:
        wait_for_sessions(running, 0)
    for server in lost:
        mend(store.folder / "data" / server.name)
        _start(running, server)
    if alone:
        wait_for_sessions(running, len(tablets))
    if coordinator in gone:
        _start(running, coordinator)
    if gone:
        wait_for_tablets(running)
    return [server.name for server in gone]


def _start(running: Running[Store], server: Server) -> None:
    """Start it, while all that come before it live, and what lives besides lives on."""
    store, processes, lock = running
    at = store.servers.index(server)
    later = [one for one in store.servers[at + 1 :] if not has_ended(processes.get(one.name))]
    look = partial(_check_all, running, [*store.servers[:at], *later])
    look()
    processes[server.name] = start(server, lock)
    wait_for_port(server, processes[server.name], look)


def _check_all(running: Running[Store], servers: Sequence[Server]) -> None:
    """ConfigError where one of these has ended, and no coordinator any more."""
    for server in servers:
        if has_ended(running.processes[server.name]):
            _end_coordinator(running)
            check_lives(server, running.processes[server.name])


def _end_coordinator(running: Running[Store]) -> None:
    """At once, before it sees that a tablet server has gone."""
    coordinator = running.processes.get(running.store.servers[-1].name)
    if coordinator is not None:
        coordinator.kill()
        coordinator.wait()


def wait_for_sessions(running: Running[Store], servers: int) -> None:
    """Return once ZooKeeper believes that as many tablet servers and no coordinator live.

    Servers that were killed count until their sessions end, so wait for 0 before new ones start.
    """
    store = running.store
    for _ in tries(running, store.servers[: 1 + servers]):
        answer = _ask_zookeeper(store.ports.zookeeper)
        known = answer.count(b"/fluss/tabletservers/ids/")
        led = b"/fluss/coordinators/" in answer
        # Before ZooKeeper has read its own data it answers something else, or nothing.
        if b"SessionTracker" in answer and known == servers and not led:
            return
    raise ConfigError(f"the ZooKeeper at {store.zookeeper} knows other servers than this store's")


def _ask_zookeeper(port: int) -> bytes:
    try:
        with socket.create_connection((HOST, port), ANSWER_TIMEOUT_S) as asked:
            asked.sendall(b"dump")
            return b"".join(iter(lambda: asked.recv(65536), b""))
    except OSError:
        return b""


def wait_for_tablets(running: Running[Store]) -> None:
    """Return once the coordinator knows all tablet servers: before, it refuses new tables."""
    store = running.store
    for _ in tries(running, store.servers):
        with suppress(fluss.FlussError):  # the coordinator is not ready yet
            if asyncio.run(_count_tablets(store)) >= len(store.ports.tablets):
                return
    raise ConfigError(
        f"the coordinator does not see all tablet servers after {START_TIMEOUT_S} s: "
        f"see {store.folder / 'log'}"
    )


def tries(running: Running[Store], servers: Sequence[Server]) -> Iterator[None]:
    """As many as the time for a start allows; ConfigError at once where one of these has ended."""
    deadline = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline:
        _check_all(running, servers)
        yield
        time.sleep(PAUSE_S)


async def _count_tablets(store: Store) -> int:
    own = None if store.guard is None else store.guard.own
    settings = {"bootstrap.servers": store.bootstrap, **fluss_settings(own)}
    connection = await fluss.FlussConnection.create(fluss.Config(settings))
    try:
        nodes = await connection.get_admin().get_server_nodes()
    finally:
        await connection.close()
    return sum(node.server_type == "TabletServer" for node in nodes)


if __name__ == "__main__":
    run_in_foreground(configure, revive)
