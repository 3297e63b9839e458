"""Tables of a store as a whole, the end of their logs, and rows as they come."""

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import pyarrow as pa

from jobs.store.client import Client, Record, Source, arrow
from jobs.store.refusals import forbidden
from schemas.table import Kind, Table
from udfs.errors import ConfigError, nearest

TAIL_ROWS = 5_000
TAIL_GROWTH = 8

__all__ = ["Change", "Record", "arrow"]


class Change(NamedTuple):
    """A row that came; `deleted` from a latest table."""

    row: Record
    deleted: bool


def check(client: Client, table: Table) -> None:
    """ConfigError where the store has no such database, or no such table in it."""
    at = client.place
    names = client.databases()
    if at.database not in names:
        known = ", ".join(sorted(names)) or "none"
        raise ConfigError(
            f"the store at {at.bootstrap} has no database {at.database!r}"
            f"{nearest(at.database, names)}; it has {known}"
        )
    if table.name not in client.tables():
        if at.login is not None and client.columns(table):  # of Fluss it says itself why
            raise ConfigError(forbidden(at.bootstrap, at.login, f"READ table {table.name}"))
        raise ConfigError(
            f"database {at.database!r} of the store at {at.bootstrap} has no table "
            f"{table.name}; `tradeflow up` or `tradeflow replay` make the tables"
        )


def read(client: Client, table: Table) -> pa.Table:
    """All rows with the store's columns and types.

    History in the order of arrival; a latest table as it is now. Refusal where a latest table has
    more rows than the store can give.
    """
    if table.kind is Kind.HISTORY:
        return arrow(table, log(client, table))
    return client.latest(table)


def log(client: Client, table: Table) -> list[Record]:
    """All rows of a history table, in the order of arrival."""
    return client.rows(table, None)


def end(client: Client, table: Table) -> int:
    """The offset after the last one of the table's log."""
    return client.offsets(table)[1]


def tail(client: Client, table: Table, enough: Callable[[Sequence[Record]], bool]) -> list[Record]:
    """The last rows of a history table in the order of arrival: as many as are enough, or all."""
    size = TAIL_ROWS
    while True:
        first, after = client.offsets(table)
        start = max(first, after - size)
        rows = client.rows(table, start)
        if start == first or enough(rows):
            return rows
        size *= TAIL_GROWTH


def since(client: Client, table: Table, offset: int | None) -> tuple[int, list[Record]]:
    """Rows of a history from an offset on (None: from the first); the offset to go on from."""
    after = end(client, table)
    if offset is not None and offset >= after:
        return after, []
    return after, client.rows(table, offset, after)


def written_since(client: Client, table: Table, since_ms: int) -> list[Record]:
    """Rows of a history that came at that time by the store's clock, or later; 0: all."""
    return client.rows(table, client.offset_at(table, since_ms) if since_ms else None)


def follow(client: Client, table: Table, offset: int) -> Iterator[list[Change]]:
    """Rows from an offset of the log on, as they come, for ever; an empty list now and then."""
    follower = client.follow([Source(table, offset)])
    while True:
        found = follower.poll()
        yield [Change(one.row, one.deleted) for _, entries in found for one in entries]
