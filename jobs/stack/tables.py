"""The store of a stack as a person asks for it: tables, how many rows, how far each stage is.

Offsets of a table's log are no count of rows: a write that changes nothing takes one too. So small
tables are counted by reading them, and of large ones the last offset is told, as "at most".
"""

import asyncio
import time
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import fluss

from jobs.fluss_tables import connect, create_tables, descriptor, within
from schemas.table import Kind, Table
from schemas.tables import TABLES
from udfs.errors import ConfigError

COUNTED = 20_000  # tables with logs up to this long are counted
TAIL = 2_000  # log entries that are read to find the newest of each stage and symbol
LONG_TAIL = 50_000
POLL_MS = 100
QUIET_S = 0.6
PAUSES_S = (0.05, 0.2, 0.5)
PATIENCE_S = 2.0

Progress = Mapping[tuple[str, str], int]  # newest tick by stage and instance


class Rows(NamedTuple):
    """Rows of a table; not `is_exact`: at most that many."""

    name: str
    rows: int
    is_exact: bool


class Reading(NamedTuple):
    """What the store says of a run."""

    tables: tuple[Rows, ...]
    progress: Progress
    last_bars: Mapping[str, int]


async def prepare(bootstrap: str, database: str, run: tuple[str, str, str, str]) -> None:
    """Make the run's tables and write its row of run_history.

    `run`: its id, and the hash and JSON of its configuration, and the code's version. ConfigError
    where a table is there with other columns.
    """
    await create_tables(bootstrap, database)
    connection = await connect(bootstrap)
    try:
        admin = connection.get_admin()
        for table in TABLES.values():
            path = fluss.TablePath(database, table.name)
            info = await within(admin.get_table_info(path), bootstrap)
            check_columns(table, info.get_schema().get_columns(), database)
        path = fluss.TablePath(database, "run_history")
        writer = (await within(connection.get_table(path), bootstrap)).new_upsert().create_writer()
        writer.upsert([*run, int(time.time() * 1000)])
        await within(writer.flush(), bootstrap)
    finally:
        await asyncio.wait_for(connection.close(), PATIENCE_S)


def check_columns(table: Table, found: Iterable[tuple[str, str]], database: str) -> None:
    """ConfigError where a table's columns are not those of its contract."""
    contract = dict(descriptor(table).get_schema().get_columns())
    there = dict(found)
    wrong = [
        f"{name} is {there.get(name, 'missing')} and should be {contract.get(name, 'absent')}"
        for name in sorted({*contract, *there})
        if contract.get(name) != there.get(name)
    ]
    if wrong:
        raise ConfigError(
            f"table {table.name} of database {database} was made by another version: "
            f"{'; '.join(wrong)}. Run this version with another run.id, or `tradeflow down "
            "--purge` to remove the old data"
        )


async def reading(bootstrap: str, database: str, instances: Iterable[tuple[str, str]]) -> Reading:
    """What the store says; ConfigError where it does not answer in time."""
    connection = await connect(bootstrap, PATIENCE_S)
    try:
        counts = (_count(connection, bootstrap, database, name) for name in TABLES)
        tables = await asyncio.gather(*counts)
        progress = await _newest(
            connection, bootstrap, database, "progress", ("stage", "instance"), set(instances)
        )
        bars = await _newest(
            connection, bootstrap, database, "price_1m_history", ("symbol",), set()
        )
        last = {names[0]: ts for names, ts in bars.items()}
        return Reading(tuple(tables), {(one, two): ts for (one, two), ts in progress.items()}, last)
    finally:
        await asyncio.wait_for(connection.close(), PATIENCE_S)


async def _count(
    connection: fluss.FlussConnection, bootstrap: str, database: str, name: str
) -> Rows:
    path = fluss.TablePath(database, name)
    table = await within(connection.get_table(path), bootstrap, PATIENCE_S)
    end = await _end(connection, bootstrap, path)
    if end == 0:
        return Rows(name, 0, True)
    if end > COUNTED and TABLES[name].kind is Kind.HISTORY:
        return Rows(name, end, False)
    bucket = fluss.TableBucket(table.get_table_info().table_id, 0)
    scanner = table.new_scan().limit(COUNTED + 1).create_bucket_batch_scanner(bucket)
    found = await within(scanner.to_arrow(), bootstrap, PATIENCE_S)
    is_exact = found.num_rows <= COUNTED
    return Rows(name, found.num_rows if is_exact else end, is_exact)


async def _end(connection: fluss.FlussConnection, bootstrap: str, path: fluss.TablePath) -> int:
    """The end of a table's log. A connection that is new may not know the table's leader yet."""
    for pause_s in PAUSES_S:
        try:
            asked = connection.get_admin().list_offsets(path, [0], fluss.OffsetSpec.latest())
            return (await asyncio.wait_for(asked, PATIENCE_S))[0]
        except fluss.FlussError:
            await asyncio.sleep(pause_s)
    asked = connection.get_admin().list_offsets(path, [0], fluss.OffsetSpec.latest())
    return (await within(asked, bootstrap, PATIENCE_S))[0]


async def _newest(
    connection: fluss.FlussConnection,
    bootstrap: str,
    database: str,
    name: str,
    keys: tuple[str, ...],
    expected: set[tuple[str, ...]],
) -> dict[tuple[Any, ...], int]:
    """The newest ts by these columns, of the end of a table's log."""
    path = fluss.TablePath(database, name)
    table = await within(connection.get_table(path), bootstrap, PATIENCE_S)
    end = await _end(connection, bootstrap, path)
    found: dict[tuple[Any, ...], int] = {}
    for length in (TAIL, LONG_TAIL):
        scan = table.new_scan().project_by_name([*keys, "ts"])
        scanner = await within(scan.create_log_scanner(), bootstrap, PATIENCE_S)
        scanner.subscribe(0, max(0, end - length))
        quiet_since = time.monotonic()
        last = -1
        # The last offsets may have no record, so an end is also when nothing has come for a while.
        while last < end - 1 and time.monotonic() - quiet_since < QUIET_S:
            for record in await within(scanner.poll(POLL_MS), bootstrap, PATIENCE_S):
                row, last = record.row, record.offset
                key = tuple(row[column] for column in keys)
                ts = int(str(row["ts"]))
                found[key] = max(ts, found.get(key, ts))
                quiet_since = time.monotonic()
        if expected <= set(found) or end <= length:
            break
    return found
