"""The contracts' tables in a Fluss store, made by its own client: no Java, no SQL.

A database per run.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any, Protocol

import fluss

from jobs.store.client import LOOK_S
from jobs.store.fluss_session import Session
from schemas.table import Table, fluss_table
from schemas.tables import TABLES

MAKE_LIMIT_S = 60.0
ANSWER_S = 5.0
WATCH_S = 0.5  # in which the coordinator begins to watch a new database, as a rule
LEADER_S = 10.0  # how long a new table may have no leader before it is made again


class Caller(Protocol):
    """What a client of Fluss does for it."""

    def call(self, work: Callable[[Session], Awaitable[Any]], limit_s: float) -> Any:
        """Try work until it succeeds."""

    def renew(self) -> None:
        """Take a new connection."""


def make_tables(client: Caller, retention_days: int | None = None) -> None:
    """Make the database and its tables where they are not there; others may do it at once.

    `retention_days` is how long new histories keep rows, None: as the contracts have it.

    The coordinator of Fluss 0.9.1 may miss tables that are made right after their database, before
    it watches that: they are there, and nobody ever leads them. Writes to such a table wait for
    ever. It holds nothing, so it is dropped and made again.
    """
    new = client.call(partial(_make, days=retention_days), MAKE_LIMIT_S)
    while leaderless := client.call(partial(_without_leader, tables=new), MAKE_LIMIT_S):
        client.call(partial(_make_again, tables=leaderless, days=retention_days), MAKE_LIMIT_S)
        client.renew()  # a connection keeps the number of the table that is gone
        new = leaderless


async def _make(session: Session, days: int | None) -> list[Table]:
    """The tables that were not there."""
    if not await session.admin.database_exists(session.database):
        await session.admin.create_database(session.database, ignore_if_exists=True)
        await asyncio.sleep(WATCH_S)
    there = set(await session.admin.list_tables(session.database))
    new = [table for table in TABLES.values() if table.name not in there]
    for table in new:
        await _create(session, table, days)
    return new


async def _make_again(session: Session, tables: Sequence[Table], days: int | None) -> None:
    for table in tables:
        await session.admin.drop_table(session.path(table), ignore_if_not_exists=True)
        await _create(session, table, days)


async def _create(session: Session, table: Table, days: int | None) -> None:
    path = session.path(table)
    await session.admin.create_table(path, descriptor(table, days), ignore_if_exists=True)


async def _without_leader(session: Session, tables: Sequence[Table]) -> list[Table]:
    """Those that have none after a while."""
    deadline = time.monotonic() + LEADER_S
    left = list(tables)
    while left and time.monotonic() < deadline:
        left = [table for table in left if not await _has_leader(session, table)]
        if left:
            await asyncio.sleep(LOOK_S)
    return left


async def _has_leader(session: Session, table: Table) -> bool:
    try:
        await asyncio.wait_for(session.offsets(table), ANSWER_S)
    except (fluss.FlussError, TimeoutError):
        return False
    return True


def descriptor(table: Table, retention_days: int | None = None) -> fluss.TableDescriptor:
    """The contract as the client takes it."""
    made = fluss_table(table, retention_days)
    return fluss.TableDescriptor(
        fluss.Schema(made.columns, list(made.key)),
        bucket_count=made.buckets,
        bucket_keys=list(made.bucket_key),
        properties=dict(made.properties),
    )
