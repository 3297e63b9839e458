"""Runs the store of `jobs/fluss_store.py`: starts its processes, waits until it works, ends it.

`python -m jobs.fluss_run FOLDER` starts one in the foreground and says its address.
"""

import asyncio
import fcntl
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO

import fluss

from jobs.fluss_store import HOST, NO_SETTINGS, Ports, Server, Store, configure, free_ports
from udfs.errors import ConfigError

START_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 30.0
ANSWER_TIMEOUT_S = 1.0
ERRORS_SHOWN = 5

Processes = dict[str, subprocess.Popen[bytes]]


@contextmanager
def local_store(
    folder: Path, ports: Ports | None = None, settings: Mapping[str, str] = NO_SETTINGS
) -> Iterator[Store]:
    """A running store on free ports (or these); all its processes end with the block."""
    store = configure(folder, free_ports() if ports is None else ports, settings)
    with running(store):
        yield store


@contextmanager
def running(store: Store) -> Iterator[Processes]:
    """Start the store and wait until it can be used; its processes, which end with the block.

    The coordinator comes last. One that sees a tablet server go takes its tables from it, and a
    tablet server that gets a table without other replicas back as a follower cuts the log at its
    last checkpoint: what it acknowledged in the seconds before is lost. One that starts later
    finds tables and servers as they were, and the log is kept.
    Raises ConfigError where the folder is in use, a port is taken, or a process ends early.
    """
    zookeeper, *tablets, coordinator = store.servers
    processes: Processes = {}
    with ExitStack() as stack:
        lock = stack.enter_context(_locked(store))
        stack.callback(stop, processes)
        processes[zookeeper.name] = start(zookeeper, lock)
        wait_for_port(zookeeper, processes[zookeeper.name])
        wait_for_sessions(store, 0)
        for server in tablets:
            processes[server.name] = start(server, lock)
        for server in tablets:
            wait_for_port(server, processes[server.name])
        wait_for_sessions(store, len(tablets))
        processes[coordinator.name] = start(coordinator, lock)
        wait_for_port(coordinator, processes[coordinator.name])
        wait_for_tablets(store)
        yield processes


@contextmanager
def _locked(store: Store) -> Iterator[IO[bytes]]:
    """The folder's lock. The servers inherit it: it is held as long as one of them lives."""
    with (store.folder / "lock").open("ab") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ConfigError(
                f"the store in {store.folder} is running already; "
                f"`ps x | grep {store.folder}` shows its processes"
            ) from None
        yield lock


def start(server: Server, lock: IO[bytes] | None = None) -> subprocess.Popen[bytes]:
    """Start one process of a store; what it prints goes to its log's neighbour, `.out`."""
    _check_port(server)
    with server.log.with_suffix(".out").open("ab") as output:
        return subprocess.Popen(
            server.command,
            # Without a limit, glibc keeps freed memory of RocksDB in one arena per thread.
            env={**os.environ, "MALLOC_ARENA_MAX": "2"},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            process_group=0,  # Ctrl-C ends this process first
            pass_fds=() if lock is None else (lock.fileno(),),
        )


def _check_port(server: Server) -> None:
    with socket.socket() as probe:
        # As Java does: a port that an ended connection still holds is free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, server.port))
        except OSError as error:
            raise ConfigError(f"port {server.port} of {server.name}: {error.strerror}") from None


def wait_for_port(server: Server, process: subprocess.Popen[bytes]) -> None:
    """Return once the process listens, which it does before the others know of it."""
    deadline = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline:
        code = process.poll()
        if code is not None:
            raise ConfigError(f"{server.name} ended with code {code}:\n{last_errors(server)}")
        with socket.socket() as probe:
            if probe.connect_ex((HOST, server.port)) == 0:
                return
        time.sleep(0.05)
    raise ConfigError(f"{server.name} is not up after {START_TIMEOUT_S} s: see {server.log}")


def wait_for_sessions(store: Store, servers: int) -> None:
    """Return once ZooKeeper believes that as many tablet servers and no coordinator live.

    Servers that were killed count until their sessions end; new ones do not get their numbers
    before that.
    """
    deadline = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline:
        answer = _ask_zookeeper(store.ports.zookeeper)
        known = answer.count(b"/fluss/tabletservers/ids/")
        led = b"/fluss/coordinators/" in answer
        # Before ZooKeeper has read its own data it answers something else, or nothing.
        if b"SessionTracker" in answer and known == servers and not led:
            return
        time.sleep(0.1)
    raise ConfigError(f"the ZooKeeper at {store.zookeeper} knows other servers than this store's")


def _ask_zookeeper(port: int) -> bytes:
    try:
        with socket.create_connection((HOST, port), ANSWER_TIMEOUT_S) as asked:
            asked.sendall(b"dump")
            return b"".join(iter(lambda: asked.recv(65536), b""))
    except OSError:
        return b""


def wait_for_tablets(store: Store) -> None:
    """Return once the coordinator knows all tablet servers: before, it refuses new tables."""
    deadline = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline:
        try:
            if asyncio.run(_count_tablets(store.bootstrap)) >= len(store.ports.tablets):
                return
        except fluss.FlussError:
            pass  # the coordinator is not ready yet
        time.sleep(0.05)
    raise ConfigError(
        f"the coordinator does not see all tablet servers after {START_TIMEOUT_S} s: "
        f"see {store.folder / 'log'}"
    )


async def _count_tablets(bootstrap: str) -> int:
    connection = await fluss.FlussConnection.create(fluss.Config({"bootstrap.servers": bootstrap}))
    try:
        nodes = await connection.get_admin().get_server_nodes()
    finally:
        await connection.close()
    return sum(node.server_type == "TabletServer" for node in nodes)


def last_errors(server: Server) -> str:
    """The last lines of the server's log and output that tell of an error, and where they are."""
    lines = []
    for file in (server.log, server.log.with_suffix(".out")):
        if file.is_file():
            text = file.read_text(encoding="utf-8", errors="replace")
            marks = (" ERROR ", "Caused by:", "Error", "Exception:")
            told = [line for line in text.splitlines() if any(mark in line for mark in marks)]
            lines += told[-ERRORS_SHOWN:]
    return "\n".join([*lines, f"see {server.log}"])


def stop(processes: Processes) -> None:
    """End the processes, ZooKeeper last."""
    for process in reversed(processes.values()):
        process.terminate()
        try:
            process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def main() -> None:
    """Run a store in the foreground until Ctrl-C or SIGTERM."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    store = configure(Path(sys.argv[1]))
    with running(store):
        print(f"bootstrap.servers {store.bootstrap}, ZooKeeper {store.zookeeper}", flush=True)
        try:
            signal.pause()
        except KeyboardInterrupt:
            print("ending")


if __name__ == "__main__":
    main()
