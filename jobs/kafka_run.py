"""Runs the store of `jobs/kafka_store.py`: starts its processes, waits until it works, ends it.

`python -m jobs.kafka_run FOLDER` starts one in the foreground and says its address.
"""

import signal
import sys
import time
import uuid
from base64 import urlsafe_b64encode
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, NamedTuple

from kafka import KafkaAdminClient
from kafka.errors import KafkaError

from jobs.fluss_store import NO_SETTINGS
from jobs.kafka_store import FORMATTED, Ports, Store, configure, formatting, free_ports
from jobs.servers import (
    START_TIMEOUT_S,
    Processes,
    Server,
    check_lives,
    check_port,
    has_ended,
    last_errors,
    locked,
    start,
    stop,
    wait_for_port,
)
from jobs.store.login import kafka_settings
from udfs.errors import ConfigError

ANSWER_TIMEOUT_MS = 2_000


class Running(NamedTuple):
    """A store that was started: its processes by the servers' names, and its folder's lock."""

    store: Store
    processes: Processes
    lock: IO[bytes]


@contextmanager
def local_store(
    folder: Path, ports: Ports | None = None, settings: Mapping[str, str] = NO_SETTINGS
) -> Iterator[Store]:
    """A running store on free ports (or these); all its processes end with the block."""
    store = configure(folder, free_ports() if ports is None else ports, settings)
    with running(store):
        yield store


@contextmanager
def running(store: Store) -> Iterator[Running]:
    """Start the store and wait until it can be used; its processes end with the block.

    Raises ConfigError where the folder is in use, a port is taken, or a process ends early.
    """
    with ExitStack() as stack:
        started = Running(store, {}, stack.enter_context(locked(store.folder)))
        stack.callback(stop, started.processes)
        revive(started)
        yield started


def revive(running: Running) -> list[str]:
    """Start each process that has not been started or has ended; their names."""
    store, processes, _ = running
    gone = [server for server in store.servers if has_ended(processes.get(server.name))]
    for server in gone:
        if server.name == "broker":
            check_port("broker", store.ports.broker)
            check_port("the broker's controller", store.ports.controller)
            _format(running)
        processes[server.name] = start(server, running.lock)
        wait_for_port(server, processes[server.name])
        if server.name == "broker":
            _wait_for_broker(running, server)
    return [server.name for server in gone]


def _format(running: Running) -> None:
    """Prepare the data folder where that was not done; what was begun is done anew."""
    store = running.store
    if (store.data / FORMATTED).exists():
        return
    # Kafka's form of an id; one that begins with - looks like an option.
    cluster = "T" + urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")[1:]
    tool = formatting(store, cluster)
    process = start(tool, running.lock)
    if process.wait(START_TIMEOUT_S) != 0:
        raise ConfigError(f"{store.data} could not be formatted:\n{last_errors(tool)}")


def _wait_for_broker(running: Running, server: Server) -> None:
    """Return once the broker may lead tables: before, it answers and knows no broker."""
    deadline = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline:
        check_lives(server, running.processes[server.name])
        try:
            if _brokers(running.store):
                return
        except KafkaError:
            pass  # it is not ready yet
        time.sleep(0.05)
    raise ConfigError(f"the broker does not work after {START_TIMEOUT_S} s: see {server.log}")


def _brokers(store: Store) -> int:
    client = KafkaAdminClient(
        bootstrap_servers=store.bootstrap,
        request_timeout_ms=ANSWER_TIMEOUT_MS,
        bootstrap_timeout_ms=ANSWER_TIMEOUT_MS,
        **kafka_settings(None if store.guard is None else store.guard.own),
    )
    try:
        return len(client.describe_cluster()["brokers"])
    finally:
        client.close()


def main() -> None:
    """Run a store in the foreground until Ctrl-C or SIGTERM."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        store = configure(Path(sys.argv[1]))
        with running(store):
            print(f"bootstrap.servers {store.bootstrap}, ZooKeeper {store.zookeeper}", flush=True)
            signal.pause()
    except KeyboardInterrupt:
        print("ended")
    except ConfigError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()
