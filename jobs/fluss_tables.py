"""The contracts' tables in a Fluss store, made by its own client: no Java, no SQL.

A database per run. Every call has a time limit: while the store is down, the client waits for ever.
"""

import asyncio
import time
from collections.abc import Awaitable
from typing import TypeVar

import fluss

from schemas.table import Table, fluss_table
from schemas.tables import TABLES
from udfs.errors import ConfigError

PATIENCE_S = 30.0
ATTEMPTS = 3
WATCH_S = 0.5  # until the coordinator watches a new database
LEADER_S = 10.0
LOOK_S = 0.1
T = TypeVar("T")


async def connect(bootstrap: str, patience_s: float = PATIENCE_S) -> fluss.FlussConnection:
    """A connection to the store; ConfigError where it does not answer in time."""
    settings = fluss.Config({"bootstrap.servers": bootstrap})
    return await within(fluss.FlussConnection.create(settings), bootstrap, patience_s)


async def within(call: Awaitable[T], bootstrap: str, patience_s: float = PATIENCE_S) -> T:
    """What the call answers; ConfigError where the store does not in time, or refuses."""
    try:
        return await asyncio.wait_for(call, patience_s)
    except TimeoutError:
        raise ConfigError(
            f"the store at {bootstrap} did not answer in {patience_s:g} s; is it running?"
        ) from None
    except fluss.FlussError as error:
        raise ConfigError(f"the store at {bootstrap}: {error}") from error


async def create_tables(bootstrap: str, database: str) -> list[str]:
    """Make the database and all tables of the contracts where they are not there; their names.

    The coordinator of Fluss 0.9.1 may miss tables that are made right after their database, before
    it watches that: they are there, and nobody ever leads them. Such a table holds nothing, so it
    is dropped and made again; never one that was there before.
    """
    left: list[Table] | None = None
    for _ in range(ATTEMPTS):
        connection = await connect(bootstrap)  # a connection keeps the number of a dropped table
        try:
            admin = connection.get_admin()
            if not await within(admin.database_exists(database), bootstrap):
                await within(admin.create_database(database, ignore_if_exists=True), bootstrap)
                await asyncio.sleep(WATCH_S)
            if left is None:
                there = set(await within(admin.list_tables(database), bootstrap))
                left = [table for table in TABLES.values() if table.name not in there]
            for table in left:
                path = fluss.TablePath(database, table.name)
                made = admin.create_table(path, descriptor(table), ignore_if_exists=True)
                await within(made, bootstrap)
            left = [table for table in left if not await _is_led(connection, database, table)]
            if not left:
                return sorted(await within(admin.list_tables(database), bootstrap))
            for table in left:
                path = fluss.TablePath(database, table.name)
                await within(admin.drop_table(path, ignore_if_not_exists=True), bootstrap)
        finally:
            await asyncio.wait_for(connection.close(), PATIENCE_S)
    names = ", ".join(table.name for table in left or ())
    raise ConfigError(f"the store at {bootstrap} has no server that leads {names}")


async def _is_led(connection: fluss.FlussConnection, database: str, table: Table) -> bool:
    """Whether a server answers for the table, within some seconds."""
    path = fluss.TablePath(database, table.name)
    deadline = time.monotonic() + LEADER_S
    while time.monotonic() < deadline:
        try:
            await asyncio.wait_for(connection.get_table(path), PATIENCE_S)
            latest = fluss.OffsetSpec.latest()
            await asyncio.wait_for(connection.get_admin().list_offsets(path, [0], latest), LEADER_S)
            return True
        except (fluss.FlussError, TimeoutError):
            await asyncio.sleep(LOOK_S)
    return False


def descriptor(table: Table) -> fluss.TableDescriptor:
    """The contract as the client takes it."""
    made = fluss_table(table)
    return fluss.TableDescriptor(
        fluss.Schema(made.columns, list(made.key)),
        bucket_count=made.buckets,
        bucket_keys=list(made.bucket_key),
        properties=dict(made.properties),
    )
