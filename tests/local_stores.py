"""Local stores of each kind for tests that hold on both."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

from jobs import fluss_run, fluss_store, kafka_run, kafka_store
from jobs.servers import Running
from jobs.store.place import FLUSS, KAFKA

KINDS = (FLUSS, KAFKA)
STORES: dict[str, ModuleType] = {FLUSS: fluss_store, KAFKA: kafka_store}
RUNS: dict[str, ModuleType] = {FLUSS: fluss_run, KAFKA: kafka_run}
# What holds the rows, and what comes back together with it.
HOLDER = {FLUSS: "tablet-0", KAFKA: "broker"}
BACK = {FLUSS: ["tablet-0", "coordinator"], KAFKA: ["broker"]}


@contextmanager
def local_store(kind: str, folder: Path) -> Iterator[Running[Any]]:
    """A store on free ports; it ends at once with the block, and so do its data."""
    stores = STORES[kind]
    with RUNS[kind].running(stores.configure(folder, stores.free_ports())) as started:
        yield started
        for process in started.processes.values():
            process.kill()  # nothing of it is needed any more


def kill_and_revive(kind: str, running: Running[Any]) -> None:
    """Kill what holds the rows, and bring it back."""
    process = running.processes[HOLDER[kind]]
    process.kill()
    process.wait()
    assert RUNS[kind].revive(running) == BACK[kind]
