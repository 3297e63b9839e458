"""A Kafka store from plain Python, by kafka-python.

Its calls wait as long as they are told, and some longer. So each is made in a thread of its own,
which is left behind together with its connection where it takes too long.
"""

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from concurrent.futures import TimeoutError as NotYet
from functools import partial
from types import TracebackType
from typing import TypeVar

import pyarrow as pa
from kafka.errors import (
    AuthorizationError,
    InvalidProducerEpochError,
    KafkaConnectionError,
    KafkaError,
    KafkaTimeoutError,
    ProducerFencedError,
    SaslAuthenticationFailedError,
    UnknownTopicOrPartitionError,
)

from jobs.store import kafka_making as making
from jobs.store import kafka_reading as reading
from jobs.store.client import (
    LOOK_S,
    READ_LIMIT_S,
    Client,
    Entry,
    Failure,
    Follower,
    Patience,
    Record,
    Source,
    Stopped,
    Writing,
    arrow,
)
from jobs.store.kafka_session import Session
from jobs.store.place import StorePlace
from jobs.store.refusals import forbidden, unknown
from schemas.table import Table
from udfs.errors import InvariantError

CHUNK_ROWS = 2_000  # of one transaction: far less than a limit, on a busy machine too
CLOSE_LIMIT_S = 3.0
T = TypeVar("T")
# Another one writes under the same name; so many times within so long, and it is no accident.
FENCES, FENCED_S = 3, 60.0
FENCED = (ProducerFencedError, InvalidProducerEpochError)
REFUSED = (SaslAuthenticationFailedError, AuthorizationError)
AWAY = (KafkaConnectionError, KafkaTimeoutError, OSError)


class KafkaClient:
    """A database of a Kafka store, see `Client`."""

    def __init__(
        self,
        place: StorePlace,
        patience: Patience,
        fetch_wait_ms: int,
        limit_s: float,
        committed: bool,
        writer: str | None,
    ) -> None:
        self.place = place
        self._patience, self._limit_s = patience, limit_s
        self._wait_ms, self._committed = fetch_wait_ms, committed
        self._writer = None if writer is None else f"{place.database}.{writer}"
        self._session: Session | None = None
        self._firsts = reading.Firsts()
        self._folded: dict[str, reading.Folded] = {}
        self._fenced: list[float] = []
        self._is_open = False
        self._attempt = object()

    def __enter__(self) -> Client:
        self._is_open = True
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._is_open = False
        self._drop()

    def call(self, work: Callable[[Session], T], limit_s: float | None = None) -> T:
        """What `work` answers; it is begun anew on a new connection whenever it fails."""
        if not self._is_open:
            raise InvariantError("a client of the store is used outside its block")
        limit = self._limit_s if limit_s is None else limit_s

        def failed(error: Exception) -> Failure | None:
            if not isinstance(error, KafkaError | TimeoutError | OSError):
                return None
            self._drop()
            return Failure(self._problem(error, limit), self._is_hopeless(error))

        return self._patience.call(lambda: self._wait(work, limit), failed)

    def write(self, *writings: Writing, then: Sequence[Writing] = ()) -> None:
        """See `Client`. A writer of a name commits what comes before `then` before it goes on.

        So whoever reads rows that are not committed yet finds none of `then` alone.
        """
        for some in [*_chunks(writings), *_chunks(then)]:
            self.call(partial(_write, writings=some, writer=self._writer))

    def renew(self) -> None:
        """See `Client`."""
        self._drop()

    def databases(self) -> list[str]:
        """See `Client`."""
        return self.call(making.databases)

    def tables(self) -> list[str]:
        """See `Client`."""
        return self.call(making.tables)

    def make(self, retention_days: int | None) -> None:
        """See `Client`."""
        self.call(lambda session: making.make(session, retention_days), making.MAKE_LIMIT_S)

    def columns(self, table: Table) -> Mapping[str, str]:
        """See `Client`."""
        return self.call(making.stamps).get(table.name, {})

    def contract(self, table: Table) -> Mapping[str, str]:
        """See `Client`."""
        return making.contract(table)

    def offsets(self, table: Table) -> tuple[int, int]:
        """See `Client`."""
        return self.call(lambda session: session.offsets([table])[0])

    def uncommitted(self, table: Table) -> int:
        """See `Client`."""
        return self.call(lambda session: session.uncommitted(table))

    def offset_at(self, table: Table, since_ms: int) -> int:
        """See `Client`."""
        return self.call(lambda session: session.offset_at(table, since_ms))

    def rows(self, table: Table, start: int | None, until: int | None = None) -> list[Record]:
        """See `Client`."""

        def read(session: Session) -> list[Record]:
            entries = reading.span(session, table, start, until)
            return [one.row for one in self._firsts.of(table, entries)]

        return self.call(read, READ_LIMIT_S)

    def latest(self, table: Table) -> pa.Table:
        """See `Client`."""

        def read(session: Session) -> list[Record]:
            folded = self._folded.setdefault(table.name, reading.Folded(table))
            return folded.read(session)

        return arrow(table, self.call(read, READ_LIMIT_S))

    def each(self, source: Source, take: Callable[[list[Entry]], None]) -> None:
        """See `Client`."""
        position = source.offset

        def read(session: Session) -> None:
            nonlocal position
            for entries in reading.batches(session, source.table, position):
                if session.closed:
                    return  # left behind: another attempt is under way
                take(self._firsts.of(source.table, entries))
                position = entries[-1].offset + 1

        self.call(read, READ_LIMIT_S)

    def follow(self, sources: Sequence[Source], gather_s: float = 0.0) -> Follower:
        """See `Client`."""
        return reading.KafkaFollower(self.call, sources, gather_s, self._firsts)

    def counts(self, tables: Sequence[Table], limit: int) -> list[tuple[int, bool]]:
        """See `Client`."""
        return self.call(lambda session: reading.counts(session, tables, limit))

    def _wait(self, work: Callable[[Session], T], limit_s: float) -> T:
        """What the work answers; TimeoutError after the limit, Stopped soon after a stop."""
        found: Future[T] = Future()

        attempt = self._attempt = object()

        def run() -> None:
            try:
                session = self._session or self._new_session()
                if self._attempt is not attempt:  # it took too long, another one is under way
                    session.close()
                    return
                self._session = session
                found.set_result(work(session))
            except Exception as error:  # noqa: BLE001 - raised again where it is waited for
                found.set_exception(error)

        threading.Thread(target=run, daemon=True).start()
        deadline = time.monotonic() + limit_s
        while True:
            try:
                return found.result(LOOK_S)
            except NotYet:  # TimeoutError itself, also where the work raised it
                if found.done():
                    raise
                if self._patience.stop.is_set():
                    self._drop()
                    raise Stopped from None
                if time.monotonic() > deadline:
                    raise TimeoutError from None
            except KeyboardInterrupt:
                self._drop()
                raise

    def _new_session(self) -> Session:
        limit_ms = int(self._limit_s * 1000)
        return Session(self.place, self._wait_ms, limit_ms, self._committed)

    def _problem(self, error: Exception, limit_s: float) -> str:
        _, bootstrap, database, login = self.place
        if isinstance(error, SaslAuthenticationFailedError):
            return unknown(bootstrap, login)
        if _is_forbidden(error) and login is not None:
            writes = "InitProducerId" in str(error)
            what = f"WRITE any table of database {database}" if writes else f"do that ({error})"
            return forbidden(bootstrap, login, what)
        if isinstance(error, UnknownTopicOrPartitionError) and login is not None:
            # Topics that a user may not see are none.
            topic = str(error).rpartition(" ")[2]
            return forbidden(bootstrap, login, f"see topic {topic}, or there is none")
        if isinstance(error, UnknownTopicOrPartitionError):
            return (
                f"the store at {bootstrap} has no topic of this table in database {database}; "
                "`tradeflow up` or `tradeflow replay` make the tables"
            )
        if isinstance(error, FENCED):
            return f"another feed writes to {database} at {bootstrap}; end it first"
        if type(error) is TimeoutError and not str(error):
            return f"the store at {bootstrap} did not answer in {limit_s:g} s; is it running?"
        said = str(error).partition("\n")[0]
        if isinstance(error, AWAY):
            # A broker that refuses a user often ends the connection before it says so.
            asks = "does it ask who speaks to it (store.security)"
            if login is not None:
                asks = f"does it know user {login.username} with the password of {login.place}"
            return f"the store at {bootstrap} can't be reached; is it running, {asks}? ({said})"
        return f"the store at {bootstrap}, database {database}: {said}"

    def _is_hopeless(self, error: Exception) -> bool:
        """Whether trying again is of no use: no such table or user, or fenced again and again."""
        if isinstance(error, FENCED):
            # Once it may be this client's own doing, in a connection that was given up.
            now = time.monotonic()
            self._fenced = [at for at in self._fenced if now - at < FENCED_S] + [now]
            return len(self._fenced) >= FENCES
        return _is_forbidden(error) or isinstance(error, (UnknownTopicOrPartitionError, *REFUSED))

    def _drop(self) -> None:
        """Give the connection up; what waits there ends by itself."""
        session, self._session = self._session, None
        self._attempt = object()
        self._folded = {}  # what is left behind may still change it
        if session is not None:
            session.closed = True
            closing = threading.Thread(target=session.close, daemon=True)
            closing.start()
            closing.join(CLOSE_LIMIT_S)


def _is_forbidden(error: Exception) -> bool:
    """Whether the user may not do it; some errors say so in their text alone."""
    return isinstance(error, AuthorizationError) or "AuthorizationFailedError" in str(error)


def _write(session: Session, writings: Sequence[Writing], writer: str | None) -> None:
    producer = session.producer(writer)
    session.check_there([one.table for one in writings])
    if writer is not None:
        producer.begin_transaction()
    sent = []
    for table, rows, delete in writings:
        topic, codec = session.topic(table), session.codec(table)
        for row in rows:
            value = None if delete else codec.value(row)
            sent.append(producer.send(topic, value, codec.key(row), partition=0))
    producer.flush(session.limit_ms / 1000)
    for future in sent:
        future.get(session.limit_ms / 1000)
    if writer is not None:
        producer.commit_transaction()


def _chunks(writings: Sequence[Writing]) -> Iterator[list[Writing]]:
    """All rows in their order, in pieces of so many; no piece without rows."""
    some: list[Writing] = []
    room = CHUNK_ROWS
    for writing in writings:
        rows = writing.rows
        while rows:
            some.append(writing._replace(rows=rows[:room]))
            room, rows = room - len(some[-1].rows), rows[room:]
            if room == 0:
                yield some
                some, room = [], CHUNK_ROWS
    if some:
        yield some
