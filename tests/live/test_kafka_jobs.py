"""Two stages as Flink jobs on Kafka, the TaskManager killed in between: each row committed once."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from kafka import KafkaAdminClient
from kafka.admin import NewTopic

from jobs import kafka_run
from jobs.cluster import free_port
from jobs.stack.state import Ports
from jobs.store import kafka_reading
from jobs.store.client import Writing, open_client
from jobs.store.kafka_session import Session
from jobs.store.place import KAFKA, StorePlace
from schemas.ops import PROGRESS, PROGRESS_GAPS
from schemas.table import Kind, Table
from tests.live import toy_stages as toy
from tests.live.test_adapter import (
    DATABASES,
    FIRST,
    JOBS,
    SECOND,
    Cluster,
    bars,
    exact,
    flink_beside,
    wait,
    wanted_sums,
    wanted_totals,
)

COMMITTED_S = 60.0


@pytest.fixture
def kafka(tmp_path: Path) -> Iterator[Cluster]:
    """A broker with the toys' topics, and a Flink beside it."""
    with kafka_run.local_store(tmp_path / "store") as store:
        make_topics(store.bootstrap)
        ports = Ports(store.ports.zookeeper, store.ports.broker, 0, free_port())
        with flink_beside(tmp_path, ports, KAFKA) as found:
            yield found


def make_topics(bootstrap: str) -> None:
    """A topic for each table of the chain, for each parallelism."""
    admin = KafkaAdminClient(bootstrap_servers=bootstrap)
    for database in DATABASES:
        for table in (*toy.TABLES.values(), PROGRESS, PROGRESS_GAPS):
            settings = {"cleanup.policy": "compact"} if table.kind is Kind.LATEST else {}
            name = f"{database}.{table.name}"
            admin.create_topics([NewTopic(name, 1, 1, topic_configs=settings)])
    admin.close()


def feed(bootstrap: str, start: int, stop: int) -> None:
    """Bars and progress of these minutes; sometimes progress comes before its bars."""
    for database in DATABASES:
        with open_client(StorePlace(KAFKA, bootstrap, database)) as client:
            for minute in range(start, stop):
                told = ("feed", "main", (minute + 1) * toy.BASE_MS, len(bars(minute)))
                parts = [Writing(toy.TABLES[toy.BARS], bars(minute)), Writing(PROGRESS, [told])]
                client.write(*(parts if minute % 3 else reversed(parts)))


def log(bootstrap: str, database: str, table: Table, committed: bool) -> list[kafka_reading.Entry]:
    """All that is in a topic, or all that is committed there."""
    session = Session(StorePlace(KAFKA, bootstrap, database), 50, 15_000, committed)
    try:
        return kafka_reading.span(session, table, None, None)
    finally:
        session.close()


def wait_for_totals(bootstrap: str, minutes: int) -> None:
    """Return once the last stage has told progress of so many minutes everywhere."""

    def told(database: str) -> bool:
        rows = [one.row for one in log(bootstrap, database, PROGRESS, False)]
        last = minutes * toy.BASE_MS
        return any(row["stage"] == "totals" and row["ts"] == last for row in rows)

    wait(lambda: all(told(database) for database in DATABASES), 240)


def test_a_chain_of_jobs_is_exact_and_committed_once(kafka: Cluster) -> None:
    bootstrap = kafka.stack.bootstrap
    kafka.submit(*(f"{job}:sums" for job in JOBS), *(f"{job}:totals" for job in JOBS))
    feed(bootstrap, 1, FIRST)
    wait_for_totals(bootstrap, FIRST)
    feed(bootstrap, FIRST, FIRST + 3)
    kafka.kill_task_manager()
    feed(bootstrap, FIRST + 3, SECOND)
    wait_for_totals(bootstrap, SECOND)
    for database in DATABASES:
        check_histories(bootstrap, database)
        check_latest(bootstrap, database)


def check_histories(bootstrap: str, database: str) -> None:
    """Every row is committed once, with the right content; a repeat is the row that it repeats."""
    for name, wanted in ((toy.SUMS, wanted_sums(SECOND)), (toy.TOTALS, wanted_totals(SECOND))):
        table = toy.TABLES[name]
        names = [column.name for column in table.stored]
        rows = sorted(repr(exact(table, dict(zip(names, row, strict=True)))) for row in wanted)

        def found(committed: bool, table: Table = table) -> list[str]:
            entries = log(bootstrap, database, table, committed)
            return sorted(repr(exact(table, dict(one.row))) for one in entries)

        wait(lambda: len(found(True)) >= len(rows), COMMITTED_S)  # noqa: B023
        assert found(committed=True) == rows
        assert sorted(set(found(committed=False))) == rows


def check_latest(bootstrap: str, database: str) -> None:
    """Latest rows went as they should."""
    with open_client(StorePlace(KAFKA, bootstrap, database)) as client:
        left = {
            row["symbol"]: row["ts"] for row in client.latest(toy.TABLES[toy.LATEST]).to_pylist()
        }
    wanted: dict[object, object] = {}
    for row in wanted_sums(SECOND):
        wanted[row[0]] = None if int(str(row[-1])) % 3 == 0 else row[1]
    assert left == {symbol: ts for symbol, ts in wanted.items() if ts is not None}
    entries = log(bootstrap, database, toy.TABLES[toy.LATEST], committed=False)
    assert any(one.deleted for one in entries)
