"""The contracts' tables in a Fluss store, made by its own client: no Java, no SQL.

A database per run. Every call has a time limit: while the store is down, the client waits for ever.
"""

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

import fluss

from schemas.table import Table, fluss_table
from schemas.tables import TABLES
from udfs.errors import ConfigError

PATIENCE_S = 30.0
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
    """Make the database and all tables of the contracts where they are not there; their names."""
    connection = await connect(bootstrap)
    try:
        admin = connection.get_admin()
        await within(admin.create_database(database, ignore_if_exists=True), bootstrap)
        for table in TABLES.values():
            path = fluss.TablePath(database, table.name)
            made = admin.create_table(path, descriptor(table), ignore_if_exists=True)
            await within(made, bootstrap)
        return sorted(await within(admin.list_tables(database), bootstrap))
    finally:
        await asyncio.wait_for(connection.close(), PATIENCE_S)


def descriptor(table: Table) -> fluss.TableDescriptor:
    """The contract as the client takes it."""
    made = fluss_table(table)
    return fluss.TableDescriptor(
        fluss.Schema(made.columns, list(made.key)),
        bucket_count=made.buckets,
        bucket_keys=list(made.bucket_key),
        properties=dict(made.properties),
    )
