"""A store of tables from plain Python: writes that are tried again, and calls that never hang.

The store's own client waits for ever while the store is away, and some of its calls for longer.
So every call has a time limit; after a failure the connection is given up and a new one is
made. Writes may be repeated: history keeps the first row of a key, latest tables the same values.
"""

import asyncio
import contextlib
import threading
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Sequence
from concurrent.futures import TimeoutError as NotYet
from functools import partial
from types import TracebackType
from typing import Any, NamedTuple, TypeVar

import fluss

from jobs.store.login import Login, fluss_settings
from jobs.store.refusals import refusal
from schemas.table import Table
from udfs.errors import ConfigError, InvariantError

CALL_LIMIT_S = 15.0
WRITE_LIMIT_S = 8.0  # a store that was killed is back in some 10 s, and writes hang until then
RETRY_S = 20.0  # how long calls are tried again, unless a client is told otherwise
PAUSE_S = 0.5
QUIET_S = 3.0  # a new table, or a moved one, has no leader for a moment
LOOK_S = 0.2  # how often a wait looks whether it should end
STOP_GRACE_S = 3.0
BUCKET = 0  # every table has one
FETCH_WAIT_MS = 50
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
Row = Sequence[Any]  # in the order of the store's columns


class Stopped(Exception):
    """A wait for the store that was ended from outside."""


class Session:
    """One connection, with the tables and writers that were asked of it."""

    def __init__(
        self, connection: fluss.FlussConnection, database: str, is_known: bool = False
    ) -> None:
        self.connection, self.database = connection, database
        self._is_known = is_known  # to the store, by a name
        self.admin = connection.get_admin()
        self._tables: dict[str, fluss.FlussTable] = {}
        self._writers: dict[str, fluss.UpsertWriter] = {}

    def path(self, table: Table) -> fluss.TablePath:
        """Where the table is."""
        return fluss.TablePath(self.database, table.name)

    async def table(self, table: Table) -> fluss.FlussTable:
        """The table as the store knows it."""
        if table.name not in self._tables:
            self._tables[table.name] = await self._get(self.path(table))
        return self._tables[table.name]

    async def _get(self, path: fluss.TablePath) -> fluss.FlussTable:
        try:
            return await self.connection.get_table(path)
        except fluss.FlussError:
            if self._is_known:  # the store hides a table by which it may not be asked: this says so
                await self.admin.get_table_info(path)
            raise

    async def writer(self, table: Table) -> fluss.UpsertWriter:
        """What writes to the table."""
        if table.name not in self._writers:
            self._writers[table.name] = (await self.table(table)).new_upsert().create_writer()
        return self._writers[table.name]

    async def offsets(self, table: Table) -> tuple[int, int]:
        """The first offset of the table's log, and the one after its last."""
        await self.table(table)  # else: no leader found
        path, found = self.path(table), []
        for which in (fluss.OffsetSpec.earliest(), fluss.OffsetSpec.latest()):
            found.append((await self.admin.list_offsets(path, [BUCKET], which))[BUCKET])
        return found[0], found[1]


class Writing(NamedTuple):
    """Rows for a table, or keys of a latest table whose rows are to be deleted."""

    table: Table
    rows: Sequence[Row]
    delete: bool = False


class Client:
    """A database of a store, to be used in a `with` block by one thread.

    `login` is needed by a store that asks who speaks to it. `retry_s` is how long a call is tried
    again, None: for ever. `note` is told of the first failure of a call and of its end. `stop` ends
    all waiting, by Stopped. `fetch_wait_ms` is how long the store holds a request for rows that are
    not there yet.
    """

    def __init__(
        self,
        bootstrap: str,
        database: str,
        login: Login | None = None,
        retry_s: float | None = RETRY_S,
        note: Callable[[str], None] = lambda text: None,
        stop: threading.Event | None = None,
        fetch_wait_ms: int = FETCH_WAIT_MS,
    ) -> None:
        self.bootstrap, self.database, self.login = bootstrap, database, login
        self._retry_s, self._note = retry_s, note
        self._settings = {
            "bootstrap.servers": bootstrap,
            "scanner.log.fetch.wait-max-time-ms": str(fetch_wait_ms),
            **SETTINGS,
        }
        self._stop = threading.Event() if stop is None else stop
        self._session: Session | None = None
        self._loop = asyncio.new_event_loop()
        # In a thread of its own: a notebook's thread has a loop already.
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    def __enter__(self) -> "Client":
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
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(STOP_GRACE_S)

    def call(self, work: Callable[[Session], Awaitable[T]], limit_s: float = CALL_LIMIT_S) -> T:
        """What `work` answers; it is begun anew on a new connection whenever it fails.

        ConfigError once `retry_s` is over or where trying again is of no use.
        """
        began, told = time.monotonic(), False
        while True:
            try:
                found = self._wait(self._begin(work), limit_s)
            except (fluss.FlussError, TimeoutError) as error:
                self._drop()
                refused = refusal(error, self.bootstrap, self.login)
                problem = refused or self._problem(error, limit_s)
                away_s = time.monotonic() - began
                if (
                    refused
                    or _is_hopeless(error)
                    or (self._retry_s is not None and away_s > self._retry_s)
                ):
                    raise ConfigError(problem) from None
                if not told and away_s > QUIET_S:
                    self._note(f"{problem}; trying again")
                    told = True
                if self._stop.wait(PAUSE_S):
                    raise Stopped from None
            else:
                if told:
                    self._note(f"the store is back after {time.monotonic() - began:.0f} s")
                return found

    def write(self, *writings: Writing) -> None:
        """Write all rows; they are in the store when this returns.

        Rows of several tables go together, in no order.
        """
        chunks = [list(_chunks(writing)) for writing in writings]
        for number in range(max(map(len, chunks), default=0)):
            together = [of_table[number] for of_table in chunks if number < len(of_table)]
            self.call(partial(_write, writings=together), WRITE_LIMIT_S)

    def renew(self) -> None:
        """Take a new connection with the next call."""
        self._drop(STOP_GRACE_S)

    def _begin(self, work: Callable[[Session], Awaitable[T]]) -> Coroutine[Any, Any, T]:
        async def begun() -> T:
            if self._session is None:
                settings = {**self._settings, **fluss_settings(self.login)}
                connection = await fluss.FlussConnection.create(fluss.Config(settings))
                self._session = Session(connection, self.database, self.login is not None)
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
                if self._stop.is_set() and not stopped:
                    stopped, deadline = True, min(deadline, time.monotonic() + STOP_GRACE_S)
                if time.monotonic() > deadline:
                    future.cancel()
                    raise (Stopped if stopped else TimeoutError) from None
            except KeyboardInterrupt:
                future.cancel()
                raise

    def _problem(self, error: Exception, limit_s: float) -> str:
        if isinstance(error, TimeoutError) and str(error):
            return f"the store at {self.bootstrap}, database {self.database}: {error}"
        if isinstance(error, TimeoutError):
            return f"the store at {self.bootstrap} did not answer in {limit_s:g} s; is it running?"
        said = str(error).partition("\n")[0]
        if "onnection" in said:
            return f"the store at {self.bootstrap} can't be reached; is it running? ({said})"
        return f"the store at {self.bootstrap}, database {self.database}: {said}"

    def _drop(self, limit_s: float = PAUSE_S) -> None:
        """Give the connection up; closing it waits for writes, so not for long."""
        session, self._session = self._session, None
        if session is not None:
            closing = asyncio.run_coroutine_threadsafe(_close(session), self._loop)
            try:
                closing.result(limit_s)
            except NotYet:
                closing.cancel()


async def _close(session: Session) -> None:
    with contextlib.suppress(fluss.FlussError):  # it is of no use any more
        await session.connection.close()


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
        await writer.flush()  # of all writers of the connection
        for handle in handles:
            await handle.wait()


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
