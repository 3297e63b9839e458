"""A Fluss store from plain Python: one connection at a time, given up where a call fails."""

import asyncio
import contextlib
import threading
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Mapping, Sequence
from concurrent.futures import TimeoutError as NotYet
from functools import partial
from types import TracebackType
from typing import Any, TypeVar

import fluss
import pyarrow as pa

from jobs.store import fluss_making as making
from jobs.store import fluss_reading as reading
from jobs.store.client import (
    LOOK_S,
    PAUSE_S,
    READ_LIMIT_S,
    STOP_GRACE_S,
    Client,
    Entry,
    Failure,
    Follower,
    Patience,
    Record,
    Source,
    Stopped,
    Writing,
)
from jobs.store.fluss_session import BUCKET, Session
from jobs.store.login import fluss_settings
from jobs.store.place import StorePlace
from jobs.store.refusals import refusal
from schemas.table import Table
from udfs.errors import InvariantError

WRITE_LIMIT_S = 8.0  # a store that was killed is back in some 10 s, and writes hang until then
SETTINGS = {
    # One batch per table and flush: flush tells of the batches that are under way, and not of one
    # that failed before it was called.
    "writer.batch-timeout-ms": "60000",
    "writer.batch-size": str(8 << 20),
    "writer.dynamic-batch-size.enabled": "false",
    "writer.buffer.wait-timeout-ms": "10000",
    "connect-timeout": "5000",
    "scanner.log.max-poll-records": "20000",
}
CHUNK_ROWS = 20_000
CHUNK_BYTES = 4 << 20  # by a high estimate, so that a chunk stays within one batch
VALUE_BYTES = 16
# What trying again does not mend: rows or names that the store refuses.
HOPELESS = ("illegal argument", "does not exist", "Table not found in metadata")
T = TypeVar("T")


class FlussClient:
    """A database of a Fluss store, see `Client`."""

    def __init__(
        self, place: StorePlace, patience: Patience, fetch_wait_ms: int, limit_s: float
    ) -> None:
        self.place = place
        self._patience, self._limit_s = patience, limit_s
        self._settings = {
            "bootstrap.servers": place.bootstrap,
            "scanner.log.fetch.wait-max-time-ms": str(fetch_wait_ms),
            **SETTINGS,
        }
        self._session: Session | None = None
        self._loop = asyncio.new_event_loop()
        # In a thread of its own: a notebook's thread has a loop already.
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    def __enter__(self) -> Client:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        # What the store's client still does when Python ends would end the process by a signal.
        self._drop(STOP_GRACE_S)
        # A write that is left to a store that is away is no news; asyncio would print it.
        self._loop.set_exception_handler(lambda loop, context: None)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(STOP_GRACE_S)

    def call(self, work: Callable[[Session], Awaitable[T]], limit_s: float | None = None) -> T:
        """What `work` answers; it is begun anew on a new connection whenever it fails."""
        limit = self._limit_s if limit_s is None else limit_s

        def failed(error: Exception) -> Failure | None:
            if not isinstance(error, fluss.FlussError | TimeoutError):
                return None
            self._drop()
            refused = refusal(error, self.place.bootstrap, self.place.login)
            if refused:
                return Failure(refused, hopeless=True)
            return Failure(self._problem(error, limit), _is_hopeless(error))

        return self._patience.call(lambda: self._wait(self._begin(work), limit), failed)

    def write(self, *writings: Writing, then: Sequence[Writing] = ()) -> None:
        """See `Client`."""
        for together in (writings, then):
            chunks = [list(_chunks(writing)) for writing in together]
            for number in range(max(map(len, chunks), default=0)):
                some = [of_table[number] for of_table in chunks if number < len(of_table)]
                self.call(partial(_write, writings=some), min(self._limit_s, WRITE_LIMIT_S))

    def renew(self) -> None:
        """See `Client`."""
        self._drop(STOP_GRACE_S)

    def databases(self) -> list[str]:
        """See `Client`."""

        async def ask(session: Session) -> list[str]:
            names = await session.admin.list_databases()
            own = session.database  # not listed for who may read some tables of it alone
            if own not in names and await session.admin.database_exists(own):
                names.append(own)
            return names

        return self.call(ask)

    def tables(self) -> list[str]:
        """See `Client`."""
        return self.call(lambda session: session.admin.list_tables(session.database))

    def make(self, retention_days: int | None) -> None:
        """See `Client`."""
        making.make_tables(self, retention_days)

    def columns(self, table: Table) -> Mapping[str, str]:
        """See `Client`."""

        async def ask(session: Session) -> Mapping[str, str]:
            info = await session.admin.get_table_info(session.path(table))
            return dict(info.get_schema().get_columns())

        return self.call(ask)

    def contract(self, table: Table) -> Mapping[str, str]:
        """See `Client`."""
        return dict(making.descriptor(table).get_schema().get_columns())

    def offsets(self, table: Table) -> tuple[int, int]:
        """See `Client`."""
        return self.call(lambda session: session.offsets(table))

    def uncommitted(self, table: Table) -> int:
        """See `Client`: its rows are there as soon as they are written."""
        return 0

    def offset_at(self, table: Table, since_ms: int) -> int:
        """See `Client`."""

        async def ask(session: Session) -> int:
            await session.table(table)  # else: no leader found
            spec = fluss.OffsetSpec.timestamp(since_ms)
            found = await session.admin.list_offsets(session.path(table), [BUCKET], spec)
            return int(found[BUCKET])

        return self.call(ask)

    def rows(self, table: Table, start: int | None, until: int | None = None) -> list[Record]:
        """See `Client`."""
        return self.call(lambda session: reading.span(session, table, start, until), READ_LIMIT_S)

    def latest(self, table: Table) -> pa.Table:
        """See `Client`."""
        return self.call(lambda session: reading.latest(session, table), READ_LIMIT_S)

    def each(self, source: Source, take: Callable[[list[Entry]], None]) -> None:
        """See `Client`."""
        position = source.offset

        async def read(session: Session) -> None:
            nonlocal position
            async for records in reading.batches(session, source.table, position, source.columns):
                take(reading.entries(records))
                position = max(record.offset for record in records) + 1

        self.call(read, READ_LIMIT_S)

    def follow(self, sources: Sequence[Source], gather_s: float = 0.0) -> Follower:
        """See `Client`."""
        return reading.FlussFollower(self.call, sources, gather_s)

    def counts(self, tables: Sequence[Table], limit: int) -> list[tuple[int, bool]]:
        """See `Client`."""

        async def count(session: Session) -> list[tuple[int, bool]]:
            counting = (reading.count(session, table, limit) for table in tables)
            return list(await asyncio.gather(*counting))

        return self.call(count)

    def _begin(self, work: Callable[[Session], Awaitable[T]]) -> Coroutine[Any, Any, T]:
        async def begun() -> T:
            if self._session is None:
                login = self.place.login
                settings = {**self._settings, **fluss_settings(login)}
                connection = await fluss.FlussConnection.create(fluss.Config(settings))
                self._session = Session(connection, self.place.database, login is not None)
            return await work(self._session)

        return begun()

    def _wait(self, work: Coroutine[Any, Any, T], limit_s: float) -> T:
        """What the work answers; TimeoutError after the limit, Stopped soon after a stop."""
        if not self._thread.is_alive():
            raise InvariantError("a client of the store is used outside its block")
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        deadline = time.monotonic() + limit_s
        stopped = False
        while True:
            try:
                return future.result(LOOK_S)
            except NotYet:  # TimeoutError itself, also where the work raised it
                if future.done():
                    raise
                if self._patience.stop.is_set() and not stopped:
                    stopped, deadline = True, min(deadline, time.monotonic() + STOP_GRACE_S)
                if time.monotonic() > deadline:
                    future.cancel()
                    raise (Stopped if stopped else TimeoutError) from None
            except KeyboardInterrupt:
                future.cancel()
                raise

    def _problem(self, error: Exception, limit_s: float) -> str:
        _, bootstrap, database, _ = self.place
        if isinstance(error, TimeoutError) and str(error):
            return f"the store at {bootstrap}, database {database}: {error}"
        if isinstance(error, TimeoutError):
            return f"the store at {bootstrap} did not answer in {limit_s:g} s; is it running?"
        said = str(error).partition("\n")[0]
        if "onnection" in said:
            return f"the store at {bootstrap} can't be reached; is it running? ({said})"
        return f"the store at {bootstrap}, database {database}: {said}"

    def _drop(self, limit_s: float = PAUSE_S) -> None:
        """Give the connection up; it closes once its writes are done, which is not waited for."""
        session, self._session = self._session, None
        if session is not None:
            closing = asyncio.run_coroutine_threadsafe(session.close(), self._loop)
            with contextlib.suppress(NotYet):
                closing.result(limit_s)


async def _write(session: Session, writings: Sequence[Writing]) -> None:
    """Rows that fit one batch for each table."""
    handles = []
    for table, rows, delete in writings:
        if not rows:
            continue
        writer = await session.writer(table)
        send = writer.delete if delete else writer.upsert
        for row in rows:
            handle = send(row)
        handles.append(handle)
    if handles:
        await session.written(writer, handles)


def _chunks(writing: Writing) -> Iterator[Writing]:
    """Pieces that fit one batch."""
    start = size = 0
    for number, row in enumerate(writing.rows):
        size += sum(
            VALUE_BYTES + (len(value) * 4 if isinstance(value, str) and len(value) > 32 else 0)
            for value in row
        )
        if size > CHUNK_BYTES or number - start >= CHUNK_ROWS:
            if number > start:
                yield writing._replace(rows=writing.rows[start:number])
            start, size = number, 0
    if start < len(writing.rows):
        yield writing._replace(rows=writing.rows[start:])


def _is_hopeless(error: Exception) -> bool:
    return any(words in str(error) for words in HOPELESS)
