"""A store of tables from plain Python: what its clients can do, whichever store it is.

The stores' own clients wait for ever while the store is away, and some of their calls for longer.
So every call has a time limit; after a failure the connection is given up and a new one is
made. Writes may be repeated: history keeps the first row of a key, latest tables the same values.
"""

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import Any, NamedTuple, Protocol, TypeVar

import pyarrow as pa

from jobs.store.place import FLUSS, KAFKA, StorePlace
from schemas.table import Table, fluss_table
from udfs.errors import ConfigError

CALL_LIMIT_S = 15.0
READ_LIMIT_S = 600.0
RETRY_S = 20.0  # how long calls are tried again, unless a client is told otherwise
PAUSE_S = 0.5
QUIET_S = 3.0  # a new table, or a moved one, has no leader for a moment
LOOK_S = 0.2  # how often a wait looks whether it should end
STOP_GRACE_S = 3.0
FETCH_WAIT_MS = 50
T = TypeVar("T")
Row = Sequence[Any]  # in the order of the store's columns
Record = Mapping[str, Any]  # a row by column name, maps as lists of pairs


class Stopped(Exception):
    """A wait for the store that was ended from outside."""


class Writing(NamedTuple):
    """Rows for a table, or keys of a latest table whose rows are to be deleted."""

    table: Table
    rows: Sequence[Row]
    delete: bool = False


class Entry(NamedTuple):
    """A row in a table's log. `ts`: when it came by the store's clock, in milliseconds."""

    offset: int
    ts: int
    row: Record
    deleted: bool


class Source(NamedTuple):
    """A table to follow from an offset on, and the columns that are asked for (None: all)."""

    table: Table
    offset: int
    columns: tuple[str, ...] | None = None


class Follower(Protocol):
    """What tells of rows as they come into some tables."""

    def poll(self) -> list[tuple[Table, list[Entry]]]:
        """Rows that came since the last call, some hundred milliseconds after it at most."""


class Client(Protocol):
    """A database of a store, to be used in a `with` block by one thread.

    Every call may raise ConfigError where the store does not answer in time or has no such table,
    and Stopped. Rows of a history are given once each, the first of its key.
    """

    @property
    def place(self) -> StorePlace:
        """Where it is."""

    def __enter__(self) -> "Client": ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...

    def write(self, *writings: Writing, then: Sequence[Writing] = ()) -> None:
        """Write all rows, those of `then` not before the others; when this returns, they are there.

        Rows of several tables go together, in no order.
        """

    def renew(self) -> None:
        """Take a new connection with the next call."""

    def databases(self) -> list[str]:
        """All that the store has."""

    def tables(self) -> list[str]:
        """Names of the tables of this database."""

    def make(self, retention_days: int | None) -> None:
        """Make the database and its tables where they are not there; others may do it at once.

        `retention_days` is how long new histories keep rows, None: for good.
        """

    def columns(self, table: Table) -> Mapping[str, str]:
        """Types of the columns that the table was made with, by name."""

    def contract(self, table: Table) -> Mapping[str, str]:
        """The same as this version would make it."""

    def offsets(self, table: Table) -> tuple[int, int]:
        """The first offset of the table's log, and the one after its last."""

    def uncommitted(self, table: Table) -> int:
        """How much of the table's log no transaction has committed yet; 0: all is."""

    def offset_at(self, table: Table, since_ms: int) -> int:
        """The offset of the first row that came at that time by the store's clock, or later."""

    def rows(self, table: Table, start: int | None, until: int | None = None) -> list[Record]:
        """Rows of a history from an offset on (None: the first), up to another (None: its end)."""

    def latest(self, table: Table) -> pa.Table:
        """A latest table as it is now, with the store's columns and types.

        Refusal where it has more rows than the store can give.
        """

    def each(self, source: Source, take: Callable[[list[Entry]], None]) -> None:
        """Hand over the rows of a table up to its end as it is now, some at a time."""

    def follow(self, sources: Sequence[Source], gather_s: float = 0.0) -> Follower:
        """Rows as they come; of each table asked for `gather_s` after those before them."""

    def counts(self, tables: Sequence[Table], limit: int) -> list[tuple[int, bool]]:
        """Rows of each table, and whether that is their number; else it is at most that."""


class Patience:
    """Tries again what fails while the store is away.

    `retry_s` is how long, None: for ever. `note` is told of the first failure of a call and of its
    end. `stop` ends all waiting, by Stopped.
    """

    def __init__(
        self, retry_s: float | None, note: Callable[[str], None], stop: threading.Event
    ) -> None:
        self._retry_s, self._note, self.stop = retry_s, note, stop

    def call(self, attempt: Callable[[], T], failed: Callable[[Exception], "Failure | None"]) -> T:
        """What the attempt answers; `failed` says what a failure means, None: it is none of ours.

        ConfigError once `retry_s` is over or where trying again is of no use.
        """
        began, told = time.monotonic(), False
        while True:
            try:
                found = attempt()
            except Exception as error:
                failure = failed(error)
                if failure is None:
                    raise
                away_s = time.monotonic() - began
                if failure.hopeless or (self._retry_s is not None and away_s > self._retry_s):
                    raise ConfigError(failure.problem) from None
                if not told and away_s > QUIET_S:
                    self._note(f"{failure.problem}; trying again")
                    told = True
                if self.stop.wait(PAUSE_S):
                    raise Stopped from None
            else:
                if told:
                    self._note(f"the store is back after {time.monotonic() - began:.0f} s")
                return found


class Failure(NamedTuple):
    """Why a call failed; `hopeless`: it would fail for ever."""

    problem: str
    hopeless: bool


def open_client(
    place: StorePlace,
    retry_s: float | None = RETRY_S,
    note: Callable[[str], None] = lambda text: None,
    stop: threading.Event | None = None,
    fetch_wait_ms: int = FETCH_WAIT_MS,
    limit_s: float = CALL_LIMIT_S,
    committed: bool = False,
    writer: str | None = None,
) -> Client:
    """The client of a store, for a `with` block.

    `retry_s` is how long a call is tried again, None: for ever; `limit_s` how long one attempt may
    take, unless it reads whole tables. `note` is told of the first failure of a call and of its
    end. `stop` ends all waiting, by Stopped. `fetch_wait_ms` is how long the store holds a request
    for rows that are not there yet.

    Of Kafka alone: `committed` reads only what transactions have committed; `writer` names the
    transactions in which it writes, so that what an earlier one of that name left open is undone.
    """
    patience = Patience(retry_s, note, threading.Event() if stop is None else stop)
    if place.kind == KAFKA:
        from jobs.store.kafka_client import KafkaClient

        return KafkaClient(place, patience, fetch_wait_ms, limit_s, committed, writer)
    if place.kind == FLUSS:
        from jobs.store.fluss_client import FlussClient

        return FlussClient(place, patience, fetch_wait_ms, limit_s)
    raise ConfigError(f"store.kind is {place.kind}: live runs keep their tables in fluss or kafka")


def arrow(table: Table, rows: Sequence[Record]) -> pa.Table:
    """Rows as a table with the store's columns and types, all of which may be null."""
    fields = fluss_table(table).columns
    columns = [pa.array([row[field.name] for row in rows], field.type) for field in fields]
    return pa.table(columns, names=fields.names)
