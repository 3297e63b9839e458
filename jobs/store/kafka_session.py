"""One connection to a Kafka store: a client of kafka-python for each thing that is done there.

A topic per table, of one partition; its name is that of the database, a point, and the table's.
"""

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any, TypeVar

from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer, TopicPartition
from kafka.errors import (
    KafkaError,
    LeaderNotAvailableError,
    SaslAuthenticationFailedError,
    UnknownTopicOrPartitionError,
)
from kafka.structs import OffsetAndTimestamp

from jobs.store.login import kafka_settings
from jobs.store.place import StorePlace
from schemas.kafka_json import Codec
from schemas.market import PRICE_1M_HISTORY
from schemas.table import Table

T = TypeVar("T")
CONNECT_MS = 5_000
BOOTSTRAP_LOG = "kafka.net.manager"
CLOSE_S = 0.5
PARTITION = 0
POLL_MS = 300
MAX_RECORDS = 5_000
FETCH_BYTES = 8 << 20
BATCH_BYTES = 256 << 10
REQUEST_BYTES = 8 << 20
TRANSACTION_MS = 60_000
RETRY_MS = 5  # after a commit, the next transaction is refused for a moment
# A feed commits at once, and one that was killed may be followed by other rows of the same keys.
FED = frozenset({PRICE_1M_HISTORY.name})


class Refusals(logging.Handler):
    """Hears of wrong passwords: kafka-python tells of them in its log alone, and tries again."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.found: list[SaslAuthenticationFailedError] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Remember a refusal; say nothing."""
        given = record.args if isinstance(record.args, tuple) else ()
        self.found += [one for one in given if isinstance(one, SaslAuthenticationFailedError)]


def connected(kind: Callable[..., T], common: Mapping[str, Any], **settings: Any) -> T:
    """A client of kafka-python; SaslAuthenticationFailedError where the user is refused."""
    log, refusals = logging.getLogger(BOOTSTRAP_LOG), Refusals()
    log.addHandler(refusals)
    try:
        return kind(**settings, **common)
    except KafkaError:
        if refusals.found:
            raise refusals.found[0] from None
        raise
    finally:
        log.removeHandler(refusals)


class Session:
    """Clients of one database, made when they are first needed, and codecs of its tables."""

    def __init__(self, place: StorePlace, wait_ms: int, limit_ms: int, committed: bool) -> None:
        self.database, self.limit_ms = place.database, limit_ms
        self._common = {
            "bootstrap_servers": place.bootstrap,
            "bootstrap_timeout_ms": CONNECT_MS,
            **kafka_settings(place.login),
        }
        self._committed, self._wait_ms = committed, wait_ms
        self._codecs: dict[str, Codec] = {}
        self._consumers: dict[bool, KafkaConsumer] = {}
        self._producers: dict[str | None, KafkaProducer] = {}
        self._admin: KafkaAdminClient | None = None
        self._others: list[KafkaConsumer] = []
        self.closed = False

    def topic(self, table: Table) -> str:
        """The name of the table's topic."""
        return f"{self.database}.{table.name}"

    def partition(self, table: Table) -> TopicPartition:
        """Where its rows are."""
        return TopicPartition(self.topic(table), PARTITION)

    def codec(self, table: Table) -> Codec:
        """The codec of the table's records."""
        if table.name not in self._codecs:
            self._codecs[table.name] = Codec(table)
        return self._codecs[table.name]

    def admin(self) -> KafkaAdminClient:
        """What makes topics and lists them."""
        if self._admin is None:
            self._admin = connected(
                KafkaAdminClient, self._common, request_timeout_ms=self.limit_ms
            )
        return self._admin

    def reads_committed(self, table: Table) -> bool:
        """Whether only committed rows of the table are read."""
        return self._committed or table.name in FED

    def consumer(self, committed: bool) -> KafkaConsumer:
        """What reads spans and asks for offsets, one thing at a time."""
        if committed not in self._consumers:
            self._consumers[committed] = self.new_consumer(committed)
        return self._consumers[committed]

    def new_consumer(self, committed: bool) -> KafkaConsumer:
        """Another one, that is closed with the session."""
        made = connected(
            KafkaConsumer,
            self._common,
            group_id=None,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            allow_auto_create_topics=False,
            max_poll_records=MAX_RECORDS,
            max_partition_fetch_bytes=FETCH_BYTES,
            metrics_enabled=False,
            fetch_max_wait_ms=self._wait_ms,
            isolation_level="read_committed" if committed else "read_uncommitted",
        )
        self._others.append(made)
        return made

    def producer(self, writer: str | None) -> KafkaProducer:
        """What writes: in transactions of this name, after those that it left open were undone."""
        if writer not in self._producers:
            made = connected(
                KafkaProducer,
                self._common,
                acks="all",
                enable_idempotence=True,
                linger_ms=0,
                batch_size=BATCH_BYTES,
                max_request_size=REQUEST_BYTES,
                max_block_ms=self.limit_ms,
                delivery_timeout_ms=self.limit_ms,
                request_timeout_ms=self.limit_ms,
                allow_auto_create_topics=False,
                metrics_enabled=False,
                transactional_id=writer,
                retry_backoff_ms=RETRY_MS,
                transaction_timeout_ms=TRANSACTION_MS,
            )
            self._producers[writer] = made
            if writer is not None:
                made.init_transactions()
        return self._producers[writer]

    def offsets(self, tables: Sequence[Table]) -> list[tuple[int, int]]:
        """The first offset of each table's log, and the one after its last."""
        self.check_there(tables)
        found: dict[TopicPartition, tuple[int, int]] = {}
        for committed in (False, True):
            some = [self.partition(one) for one in tables if self.reads_committed(one) is committed]
            if some:
                consumer = self.consumer(committed)
                first = consumer.beginning_offsets(some, timeout_ms=self.limit_ms)
                after = consumer.end_offsets(some, timeout_ms=self.limit_ms)
                found |= {place: (first[place], after[place]) for place in some}
        return [found[self.partition(table)] for table in tables]

    def uncommitted(self, table: Table) -> int:
        """Offsets behind the last one that is committed."""
        self.check_there([table])
        place = self.partition(table)
        committed, written = (
            self.consumer(level).end_offsets([place], timeout_ms=self.limit_ms)[place]
            for level in (True, False)
        )
        return max(0, written - committed)

    def offset_at(self, table: Table, since_ms: int) -> int:
        """The first offset of that time or a later one, else the end."""
        place = self.partition(table)
        self.check_there([table])
        asked = {place: since_ms}
        found: Mapping[TopicPartition, OffsetAndTimestamp | None]
        consumer = self.consumer(self.reads_committed(table))
        found = consumer.offsets_for_times(asked, timeout_ms=self.limit_ms)
        there = found.get(place)
        return self.offsets([table])[0][1] if there is None else int(there.offset)

    def check_there(self, tables: Sequence[Table]) -> None:
        """UnknownTopicOrPartitionError where one of the tables is not there."""
        for table in tables:
            consumer = self.consumer(self.reads_committed(table))
            if not consumer.partitions_for_topic(self.topic(table)):
                # Also where it has no leader for a moment.
                there = self.topic(table) in self.admin().list_topics()
                raise (LeaderNotAvailableError if there else UnknownTopicOrPartitionError)(
                    self.topic(table)
                )

    def records(self, table: Table, start: int, after: int) -> Iterator[list[Any]]:
        """Records of a table's log between two offsets, some at a time; an empty list now and then.

        The caller ends it where nothing comes for too long.
        """
        consumer, place = self.consumer(self.reads_committed(table)), self.partition(table)
        consumer.assign([place])
        consumer.seek(place, start)
        # What transactions leave at the end are offsets without records.
        while start < after:
            polled = consumer.poll(timeout_ms=POLL_MS).get(place, [])
            yield [one for one in polled if one.offset < after]
            start = consumer.position(place, timeout_ms=self.limit_ms) or start

    def close(self) -> None:
        """Give everything up."""
        self.closed = True
        for producer in self._producers.values():
            with suppress(Exception):  # it is of no use any more
                producer.close(CLOSE_S)
        for consumer in self._others:
            with suppress(Exception):  # it is of no use any more
                consumer.close(autocommit=False, timeout_ms=int(CLOSE_S * 1000))
        if self._admin is not None:
            with suppress(Exception):  # it is of no use any more
                self._admin.close()
