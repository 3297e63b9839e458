"""The contracts' tables in a Kafka store: topics, and one more that says what is in them.

A topic has no columns. So each that is made is told in the topic `<database>.contracts`, a record
by its table's name with the columns' types: a version with another contract refuses to mix.
"""

import json
from collections.abc import Mapping
from contextlib import suppress

from kafka import TopicPartition
from kafka.admin import NewTopic
from kafka.errors import TopicAlreadyExistsError

from jobs.store.kafka_session import Session
from schemas.table import Kind, Table
from schemas.tables import TABLES

CONTRACTS = "contracts"
MAKE_LIMIT_S = 60.0
DAY_MS = 86_400_000
HOUR_MS = 3_600_000
COMPACT = {
    "cleanup.policy": "compact",
    # A deletion stays to be read by those who follow, and by jobs that were away.
    "delete.retention.ms": str(7 * DAY_MS),
    # What was overwritten goes soon: who reads the table reads all that is left of its changes.
    "segment.bytes": str(16 << 20),
    "segment.ms": str(HOUR_MS),
    "min.cleanable.dirty.ratio": "0.2",
}


def topic_settings(table: Table, retention_days: int | None) -> dict[str, str]:
    """A topic's settings. Rows expire by when they came, as old bars may be replayed any day."""
    # The broker's clock, not that of who writes: what came after a moment can be asked for.
    common = {"message.timestamp.type": "LogAppendTime"}
    if table.kind is Kind.LATEST:
        return common | COMPACT
    if retention_days is None:
        return common | {"cleanup.policy": "delete", "retention.ms": "-1"}
    kept = {"retention.ms": str(retention_days * DAY_MS), "segment.ms": str(DAY_MS)}
    return common | {"cleanup.policy": "delete"} | kept


def contract(table: Table) -> dict[str, str]:
    """Types of a table's columns, by name."""
    return {column.name: column.type.value for column in table.stored}


def databases(session: Session) -> list[str]:
    """All that the store has."""
    names = [name.rpartition(".") for name in session.admin().list_topics()]
    return sorted({database for database, _, table in names if database and table == CONTRACTS})


def tables(session: Session) -> list[str]:
    """Names of the tables of the session's database."""
    prefix = f"{session.database}."
    names = session.admin().list_topics()
    found = (name.removeprefix(prefix) for name in names if name.startswith(prefix))
    return [name for name in found if name in TABLES]


def make(session: Session, retention_days: int | None) -> None:
    """Make topics and tell their contracts, where they are not there.

    A topic without a contract that holds nothing was being made when its maker was killed.
    """
    admin = session.admin()
    there = set(admin.list_topics())
    wanted = {f"{session.database}.{CONTRACTS}": dict(COMPACT)}
    for table in TABLES.values():
        wanted[session.topic(table)] = topic_settings(table, retention_days)
    new = {name: settings for name, settings in wanted.items() if name not in there}
    for name, settings in new.items():
        with suppress(TopicAlreadyExistsError):  # another one is as quick
            admin.create_topics([NewTopic(name, 1, -1, topic_configs=settings)])
    if new:
        admin.wait_for_topics(list(new))
    told = stamps(session)
    untold = [table for table in TABLES.values() if table.name not in told]
    empty = [
        table
        for table, (_, after) in zip(untold, session.offsets(untold) if untold else (), strict=True)
        if after == 0
    ]
    producer = session.producer(None)
    topic = f"{session.database}.{CONTRACTS}"
    sent = [
        producer.send(topic, json.dumps(contract(table)).encode(), table.name.encode(), partition=0)
        for table in empty
    ]
    for future in sent:
        future.get(session.limit_ms / 1000)


def stamps(session: Session) -> dict[str, Mapping[str, str]]:
    """Columns and types of the tables of the session's database, as they were made."""
    place = TopicPartition(f"{session.database}.{CONTRACTS}", 0)
    consumer = session.consumer(False)
    consumer.assign([place])
    consumer.seek_to_beginning(place)
    after = consumer.end_offsets([place], timeout_ms=session.limit_ms)[place]
    found: dict[str, Mapping[str, str]] = {}
    while (consumer.position(place, timeout_ms=session.limit_ms) or 0) < after:
        for record in consumer.poll(timeout_ms=session.limit_ms).get(place, []):
            found.setdefault(record.key.decode(), json.loads(record.value))
    return found
