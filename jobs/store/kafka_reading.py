"""What is in the topics of a Kafka store, and rows as they come.

A topic holds a row of a history again where its writer was started again, and one that a
transaction wrote and did not commit: the same rows, so the first of a key counts, and others are
passed by. Transactions leave offsets that hold no row.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import Any

from kafka import KafkaConsumer

from jobs.store.client import CALL_LIMIT_S, Entry, Record, Source
from jobs.store.kafka_session import Session
from schemas.table import Kind, Table

LOOK_S = 1.0  # how often a follower looks whether the store still answers
TURN_MS = 300  # after which `poll` of a follower returns even if nothing came
# Keys that are remembered of each history: repetitions lie no further apart than a job's last
# checkpoint and its restart. By their hashes, which takes some 120 bytes each.
KEYS = 100_000
COUNTED, COUNTING_S = 2_000, 1.0
Key = tuple[Any, ...]


class Firsts:
    """Which rows of histories are the first of their key, by the offsets of those seen before."""

    def __init__(self) -> None:
        self._known: dict[str, dict[int, int]] = {}

    def of(self, table: Table, entries: Sequence[Entry]) -> list[Entry]:
        """Entries of a history without repetitions; all of a latest table."""
        if table.kind is Kind.LATEST:
            return list(entries)
        known = self._known.setdefault(table.name, {})
        found = []
        for entry in entries:
            key = hash(tuple(entry.row[name] for name in table.key))
            first = known.setdefault(key, entry.offset)
            if entry.offset <= first:
                known[key] = entry.offset
                found.append(entry)
        for key in list(islice(known, max(0, len(known) - KEYS))):
            del known[key]
        return found


def span(session: Session, table: Table, start: int | None, until: int | None) -> list[Entry]:
    """Entries of a table's log from an offset on (None: the first), up to another (None: its end).

    TimeoutError where nothing comes for too long.
    """
    return [one for some in batches(session, table, start, until) for one in some]


def batches(
    session: Session, table: Table, start: int | None, until: int | None = None
) -> Iterator[list[Entry]]:
    """The same some at a time, none of them empty."""
    first, after = session.offsets([table])[0]
    position = first if start is None else max(first, start)
    codec, moved = session.codec(table), time.monotonic()
    for records in session.records(table, position, after if until is None else until):
        if records:
            moved = time.monotonic()
            yield [_entry(codec, one) for one in records]
            moved = time.monotonic()
        elif time.monotonic() - moved > CALL_LIMIT_S:
            raise TimeoutError(f"{table.name} gives no rows, and {after} is its end")


def _entry(codec: Any, record: Any) -> Entry:
    deleted = record.value is None
    row = codec.read_key(record.key) if deleted else codec.read(record.value)
    return Entry(record.offset, record.timestamp, row, deleted)


class Folded:
    """A latest table as far as its changes were read: the next reading goes on there."""

    def __init__(self, table: Table) -> None:
        self._table = table
        self._rows: dict[Key, Record] = {}
        self._position = 0

    def read(self, session: Session) -> list[Record]:
        """Its rows with all changes that are there by now."""
        if session.offsets([self._table])[0][1] < self._position:
            self._rows, self._position = {}, 0  # it was made anew
        for entries in batches(session, self._table, self._position):
            for entry in entries:
                key = tuple(entry.row[name] for name in self._table.key)
                if entry.deleted:
                    self._rows.pop(key, None)
                else:
                    self._rows[key] = entry.row
                self._position = entry.offset + 1
        return list(self._rows.values())


def counts(session: Session, tables: Sequence[Table], limit: int) -> list[tuple[int, bool]]:
    """Rows of each table, and whether that is their number; else it is at most that.

    They are counted by reading them, some 10,000 a second: of few rows, and not for long.
    """
    found, began = [], time.monotonic()
    for table, (first, after) in zip(tables, session.offsets(tables), strict=True):
        if after == first:
            found.append((0, True))
        elif after - first > min(limit, COUNTED) or time.monotonic() - began > COUNTING_S:
            found.append((after - first, False))
        elif table.kind is Kind.LATEST:
            found.append((len(Folded(table).read(session)), True))
        else:
            entries = span(session, table, None, None)
            found.append((len(Firsts().of(table, entries)), True))
    return found


class KafkaFollower:
    """Rows of some tables as they come, see `Follower`."""

    def __init__(
        self,
        call: Callable[[Callable[[Session], Any]], Any],
        sources: Sequence[Source],
        gather_s: float,
        firsts: Firsts,
    ) -> None:
        self._call, self._sources, self._gather_s = call, sources, gather_s
        self._firsts = firsts
        self._positions = {one.table.name: one.offset for one in sources}
        self._session: Session | None = None
        self._consumers: list[KafkaConsumer] = []
        self._looked = 0.0

    def poll(self) -> list[tuple[Table, list[Entry]]]:
        """See `Follower`."""
        time.sleep(self._gather_s)
        found: list[tuple[Table, list[Entry]]] = self._call(self._poll)
        return found

    def _poll(self, session: Session) -> list[tuple[Table, list[Entry]]]:
        if session is not self._session:
            self._consumers = self._begin(session)
            self._session = session
        if time.monotonic() - self._looked > LOOK_S:
            # Else an absent store would look like a quiet one.
            session.offsets([self._sources[0].table])
            self._looked = time.monotonic()
        polled: dict[Any, Any] = {}
        for consumer in self._consumers:
            polled |= consumer.poll(timeout_ms=TURN_MS // len(self._consumers))
        found = []
        for source in self._sources:
            records = polled.get(session.partition(source.table), [])
            if records:
                codec = session.codec(source.table)
                entries = [_entry(codec, one) for one in records]
                self._positions[source.table.name] = records[-1].offset + 1
                found.append((source.table, self._firsts.of(source.table, entries)))
        return found

    def _begin(self, session: Session) -> list[KafkaConsumer]:
        """Take up where it stood, on another connection; a consumer for each way of reading."""
        tables = [one.table for one in self._sources]
        session.check_there(tables)
        consumers = []
        for committed in sorted({session.reads_committed(one) for one in tables}):
            consumer = session.new_consumer(committed)
            some = [one for one in tables if session.reads_committed(one) is committed]
            consumer.assign([session.partition(one) for one in some])
            for table in some:
                consumer.seek(session.partition(table), self._positions[table.name])
            consumers.append(consumer)
        return consumers
