"""Runs the store of `jobs/kafka_store.py`: starts its processes, waits until it works, ends it.

`python -m jobs.kafka_run FOLDER` starts one in the foreground and says its address.
"""

import time
import uuid
from base64 import urlsafe_b64encode
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from kafka import KafkaAdminClient
from kafka.errors import KafkaError

from jobs.fluss_store import NO_SETTINGS
from jobs.kafka_store import FORMATTED, Ports, Store, configure, formatting, free_ports
from jobs.servers import (
    START_TIMEOUT_S,
    Running,
    Server,
    check_lives,
    check_port,
    has_ended,
    last_errors,
    run,
    run_in_foreground,
    start,
    wait_for_port,
)
from jobs.store.login import kafka_settings
from udfs.errors import ConfigError

ANSWER_TIMEOUT_MS = 2_000


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
    """Start each process that has not been started or has ended, after `wait_s`; their names."""
    time.sleep(wait_s)
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


def _format(running: Running[Store]) -> None:
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


def _wait_for_broker(running: Running[Store], server: Server) -> None:
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


if __name__ == "__main__":
    run_in_foreground(configure, revive)
