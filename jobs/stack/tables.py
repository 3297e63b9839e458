"""The store of a stack as a person asks for it: tables, how many rows, how far each stage is.

Offsets of a table's log are no count of rows: a write that changes nothing takes one too. So small
tables are counted by reading them, and of large ones the last offset is told, as "at most".
"""

import time
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from jobs.store.client import Client, Writing, open_client
from jobs.store.making import make_tables
from jobs.store.place import StorePlace
from schemas.market import PRICE_1M_HISTORY
from schemas.ops import PROGRESS, RUN_HISTORY
from schemas.table import Table
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


def prepare(place: StorePlace, run: tuple[str, str, str, str], retention_days: int | None) -> None:
    """Make the run's tables and write its row of run_history.

    `run`: its id, and the hash and JSON of its configuration, and the code's version. ConfigError
    where a table is there with other columns.
    """
    with open_client(place) as client:
        make_tables(client, retention_days)
        for table in TABLES.values():
            check_columns(table, client.contract(table), client.columns(table), place.database)
        client.write(Writing(RUN_HISTORY, [[*run, int(time.time() * 1000)]]))


def check_columns(
    table: Table, contract: Mapping[str, str], there: Mapping[str, str], database: str
) -> None:
    """ConfigError where a table's columns are not those of its contract."""
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


def reading(place: StorePlace, instances: Iterable[tuple[str, str]], patience_s: float) -> Reading:
    """What the store says; ConfigError where it does not answer in time."""
    with open_client(place, retry_s=AGAIN_S, limit_s=patience_s) as client:
        counted = zip(TABLES, client.counts(list(TABLES.values()), COUNTED), strict=True)
        progress = _newest(client, PROGRESS, ("stage", "instance"), set(instances))
        bars = _newest(client, PRICE_1M_HISTORY, ("symbol",), set())
    return Reading(
        tuple(Rows(name, rows, is_exact) for name, (rows, is_exact) in counted),
        {(one, two): ts for (one, two), ts in progress.items()},
        {names[0]: ts for names, ts in bars.items()},
    )


def _newest(
    client: Client, table: Table, keys: tuple[str, ...], expected: set[tuple[str, ...]]
) -> dict[tuple[Any, ...], int]:
    """The newest ts by these columns, of the end of a table's log."""
    first, end = client.offsets(table)
    found: dict[tuple[Any, ...], int] = {}
    for length in (TAIL, LONG_TAIL):
        for row in client.rows(table, max(first, end - length)):
            key = tuple(row[column] for column in keys)
            found[key] = max(row["ts"], found.get(key, row["ts"]))
        if expected <= set(found) or end - length <= first:
            break
    return found
