"""The store of a stack as a person asks for it: tables, how many rows, how far each stage is.

Offsets of a table's log are no count of rows: a write that changes nothing takes one too. So small
tables are counted by reading them, and of large ones the last offset is told, as "at most".
"""

import asyncio
import time
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from jobs.store.client import Client, Session, Writing
from jobs.store.login import Login
from jobs.store.making import descriptor, make_tables
from jobs.store.reading import some, span
from schemas.market import PRICE_1M_HISTORY
from schemas.ops import PROGRESS, RUN_HISTORY
from schemas.table import Kind, Table
from schemas.tables import TABLES
from udfs.errors import ConfigError

COUNTED = 20_000  # tables with logs up to this long are counted
TAIL = 2_000  # log entries that are read to find the newest of each stage and symbol
LONG_TAIL = 50_000
AGAIN_S = 2.0  # a table that is there is at times not found for a moment

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


def prepare(
    bootstrap: str,
    database: str,
    login: Login | None,
    run: tuple[str, str, str, str],
    retention_days: int | None,
) -> None:
    """Make the run's tables and write its row of run_history.

    `run`: its id, and the hash and JSON of its configuration, and the code's version. ConfigError
    where a table is there with other columns.
    """

    async def columns(session: Session) -> dict[str, Any]:
        found = {}
        for table in TABLES.values():
            info = await session.admin.get_table_info(session.path(table))
            found[table.name] = info.get_schema().get_columns()
        return found

    with Client(bootstrap, database, login) as client:
        make_tables(client, retention_days)
        for name, there in client.call(columns).items():
            check_columns(TABLES[name], there, database)
        client.write(Writing(RUN_HISTORY, [[*run, int(time.time() * 1000)]]))


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


def reading(
    bootstrap: str,
    database: str,
    login: Login | None,
    instances: Iterable[tuple[str, str]],
    patience_s: float,
) -> Reading:
    """What the store says; ConfigError where it does not answer in time."""

    async def read(session: Session) -> Reading:
        tables = await asyncio.gather(*(_count(session, table) for table in TABLES.values()))
        progress = await _newest(session, PROGRESS, ("stage", "instance"), set(instances))
        bars = await _newest(session, PRICE_1M_HISTORY, ("symbol",), set())
        last = {names[0]: ts for names, ts in bars.items()}
        return Reading(tuple(tables), {(one, two): ts for (one, two), ts in progress.items()}, last)

    with Client(bootstrap, database, login, retry_s=AGAIN_S) as client:
        return client.call(read, patience_s)


async def _count(session: Session, table: Table) -> Rows:
    _, end = await session.offsets(table)
    if end == 0:
        return Rows(table.name, 0, True)
    if end > COUNTED and table.kind is Kind.HISTORY:
        return Rows(table.name, end, False)
    # Keys only: some maps of amounts can't be decoded.
    rows = (await some(session, table, COUNTED + 1, table.key)).num_rows
    return Rows(table.name, rows, True) if rows <= COUNTED else Rows(table.name, end, False)


async def _newest(
    session: Session, table: Table, keys: tuple[str, ...], expected: set[tuple[str, ...]]
) -> dict[tuple[Any, ...], int]:
    """The newest ts by these columns, of the end of a table's log."""
    first, end = await session.offsets(table)
    found: dict[tuple[Any, ...], int] = {}
    for length in (TAIL, LONG_TAIL):
        for row in await span(session, table, max(first, end - length)):
            key = tuple(row[column] for column in keys)
            found[key] = max(row["ts"], found.get(key, row["ts"]))
        if expected <= set(found) or end - length <= first:
            break
    return found
