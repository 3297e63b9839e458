"""What Kafka's topics hold beside the rows that count: repeats, open and undone transactions."""

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest
from kafka import KafkaAdminClient, KafkaProducer
from kafka.admin import NewTopic

from feeds.live.tables import read_place, table_of
from jobs.stack import tables
from jobs.store import reading
from jobs.store.client import Client, Source, Writing, open_client
from jobs.store.kafka_session import Session
from jobs.store.making import make_tables
from jobs.store.place import KAFKA
from schemas.market import PRICE_1M_HISTORY
from schemas.ops import PROGRESS, PROGRESS_GAPS
from schemas.table import Table
from schemas.trading import REALIZED_PNL_LATEST
from tests.local_stores import Running, local_store
from udfs.errors import ConfigError


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with local_store(KAFKA, tmp_path_factory.mktemp("kafka")) as started:
        yield started


def progress(ts: int, rows: int = 1) -> tuple[Any, ...]:
    return ("s", "main", ts, rows)


def bar(ts: int, close: float = 1.0) -> tuple[Any, ...]:
    return ("A", ts, 1.0, 2.0, 0.5, close, 7.0, "main", False)


def begun(store: Running, database: str, name: str, *rows: tuple[Table, Any]) -> KafkaProducer:
    """A transaction that is not ended yet."""
    session = Session(store.store.place(database), 50, 30_000, False)
    producer = session.producer(f"{database}.{name}")
    producer.begin_transaction()
    for table, row in rows:
        codec = session.codec(table)
        producer.send(session.topic(table), codec.value(row), codec.key(row), partition=0).get(30)
    return producer


def ticks(client: Client) -> list[tuple[int, int]]:
    return [(row["ts"], row["rows"]) for row in reading.log(client, PROGRESS)]


def test_the_first_row_of_a_key_counts(store: Running) -> None:
    with open_client(store.store.place("firsts")) as client:
        make_tables(client)
        follower = client.follow([Source(PROGRESS, 0), Source(PRICE_1M_HISTORY, 0)])
        client.write(Writing(PROGRESS, [progress(1), progress(2), progress(1, 9)]))
        seen: list[Any] = []
        while len(seen) < 2:
            seen += [one.row["rows"] for _, entries in follower.poll() for one in entries]
        client.write(Writing(PROGRESS, [progress(2, 9), progress(3)]), then=[])
        client.write(Writing(PRICE_1M_HISTORY, [bar(0), bar(0, 1.5)]))
        while len(seen) < 4:
            for table, entries in follower.poll():
                seen += [
                    one.row["close" if table is PRICE_1M_HISTORY else "rows"] for one in entries
                ]
        assert seen == [1, 1, 1, 1]
        assert ticks(client) == [(1, 1), (2, 1), (3, 1)]
        after, rows = reading.since(client, PROGRESS, 3)
        assert (after, [row["ts"] for row in rows]) == (5, [3])
        assert client.counts([PROGRESS, PROGRESS_GAPS], 10) == [(3, True), (0, True)]
        now = int(time.time() * 1000)
        assert len(reading.written_since(client, PROGRESS, now - 60_000)) == 3
        assert reading.written_since(client, PROGRESS, now + 60_000) == []


def test_stages_see_what_people_see_once_it_is_committed(store: Running) -> None:
    at = store.store.place("open")
    with open_client(at) as client:
        make_tables(client)
        job = begun(store, "open", "job", (PROGRESS, progress(1)), (PROGRESS, progress(2)))
        assert ticks(client) == [(1, 1), (2, 1)]
        notes: list[str] = []
        assert read_place(at, table_of("progress"), note=notes.append).num_rows == 0
        assert notes == [
            "progress: up to 2 rows of the last seconds are not shown: jobs commit what they have "
            "written with their next checkpoint"
        ]
        job.abort_transaction()
        assert ticks(client) == [(1, 1), (2, 1)]  # as a job finds again what it had said
        again = begun(store, "open", "job", (PROGRESS, progress(1)))
        again.commit_transaction()
        notes.clear()
        shown = read_place(at, table_of("progress"), note=notes.append)
        assert (shown["ts"].to_pylist(), notes) == ([1], [])
        assert ticks(client) == [(1, 1), (2, 1)]


def test_a_killed_feed_leaves_nothing(store: Running) -> None:
    at = store.store.place("fed")
    with open_client(at) as client:
        make_tables(client)
        begun(store, "fed", "bars", (PRICE_1M_HISTORY, bar(0, 1.25)))
        assert reading.log(client, PRICE_1M_HISTORY) == []
        with open_client(at, writer="bars") as feed:
            told = [Writing(PROGRESS, [progress(60_000)])]
            feed.write(Writing(PRICE_1M_HISTORY, [bar(0, 1.5)]), then=told)
            assert [row["close"] for row in reading.log(client, PRICE_1M_HISTORY)] == [1.5]
            assert ticks(client) == [(60_000, 1)]
            assert client.uncommitted(PROGRESS) == client.uncommitted(PRICE_1M_HISTORY) == 0


def test_latest_tables_are_read_on(store: Running) -> None:
    names = [column.name for column in REALIZED_PNL_LATEST.stored]

    def row(account: str, ts: int) -> list[Any]:
        held = dict.fromkeys(names) | {"account_id": account, "strategy_id": "s", "symbol": "X"}
        return [(held | {"updated_ts": ts})[name] for name in names]

    with open_client(store.store.place("latest")) as client:
        make_tables(client)
        for turn in range(3):
            client.write(Writing(REALIZED_PNL_LATEST, [row("a", turn), row(f"b{turn}", turn)]))
            if turn:
                key = [f"b{turn - 1}", "s", "X"]
                client.write(Writing(REALIZED_PNL_LATEST, [key], delete=True))
            found = reading.read(client, REALIZED_PNL_LATEST).to_pylist()
            assert sorted((one["account_id"], one["updated_ts"]) for one in found) == [
                ("a", turn),
                (f"b{turn}", turn),
            ]


def test_a_topic_that_is_not_there_is_told_at_once(store: Running) -> None:
    with open_client(store.store.place("nowhere"), retry_s=None) as client:
        with pytest.raises(ConfigError, match="no topic of this table in database nowhere"):
            client.offsets(PROGRESS)
        with pytest.raises(ConfigError, match="no topic of this table in database nowhere"):
            client.write(Writing(PROGRESS, [progress(1)]))
        with pytest.raises(ConfigError, match="has no database 'nowhere'"):
            reading.check(client, PROGRESS)


def test_topics_of_another_version_are_refused(store: Running) -> None:
    at = store.store.place("older")
    admin = KafkaAdminClient(bootstrap_servers=at.bootstrap)
    admin.create_topics([NewTopic("older.contracts", 1, 1)])
    admin.close()
    producer = KafkaProducer(bootstrap_servers=at.bootstrap)
    columns = {"stage": "STRING", "instance": "STRING", "ts": "BIGINT"}
    producer.send("older.contracts", json.dumps(columns).encode(), b"progress").get(30)
    producer.close()
    with pytest.raises(ConfigError, match="progress of database older was made by another version"):
        tables.prepare(at, ("r", "hash", "{}", "1"), None)
    tables.prepare(at._replace(database="newer"), ("r", "hash", "{}", "1"), None)
