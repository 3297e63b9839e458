"""Tables of a store as a whole, the end of their logs, and rows as they come."""

import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import fluss
import pyarrow as pa

from jobs.store.client import BUCKET, CALL_LIMIT_S, Client, Session
from schemas.table import Kind, Table, fluss_table
from udfs.errors import ConfigError, Refusal, nearest

POLL_MS = 300
EMPTY_POLLS = 2
READ_LIMIT_S = 600.0
TAIL_ROWS = 5_000
TAIL_GROWTH = 8
# The tablet server holds the answer in memory; 1.5 million rows ended it.
SCAN_ROWS = 500_000
ENDS = (fluss.ChangeType.UpdateBefore, fluss.ChangeType.Delete)
Record = Mapping[str, Any]  # a row by column name, maps as lists of pairs


class Change(NamedTuple):
    """A row that came; `deleted` from a latest table."""

    row: Record
    deleted: bool


def check(client: Client, table: Table) -> None:
    """ConfigError where the store has no such database, or no such table in it."""

    async def look(session: Session) -> tuple[list[str], bool]:
        names = await session.admin.list_databases()
        if session.database not in names and await session.admin.database_exists(session.database):
            names.append(session.database)  # it is not listed for who may read some tables alone
        there = session.database in names and await session.admin.table_exists(session.path(table))
        if there and client.login is not None:
            await session.table(table)  # says so where it is forbidden
        return names, there

    names, there = client.call(look)
    if client.database not in names:
        known = ", ".join(sorted(names))
        raise ConfigError(
            f"the store at {client.bootstrap} has no database {client.database!r}"
            f"{nearest(client.database, names)}; it has {known}"
        )
    if not there:
        raise ConfigError(
            f"database {client.database!r} of the store at {client.bootstrap} has no table "
            f"{table.name}; `tradeflow up` or `tradeflow replay` make the tables"
        )


def read(client: Client, table: Table) -> pa.Table:
    """All rows with the store's columns and types.

    History in the order of arrival; a latest table as it is now. Refusal where a latest table has
    more rows than the store can give.
    """
    if table.kind is Kind.HISTORY:
        return arrow(table, log(client, table))
    return client.call(lambda session: _latest(session, table), READ_LIMIT_S)


def log(client: Client, table: Table) -> list[Record]:
    """All rows of a history table, in the order of arrival."""
    return client.call(lambda session: span(session, table, None), READ_LIMIT_S)


def end(client: Client, table: Table) -> int:
    """The offset after the last one of the table's log."""
    return client.call(lambda session: session.offsets(table))[1]


def tail(client: Client, table: Table, enough: Callable[[Sequence[Record]], bool]) -> list[Record]:
    """The last rows of a history table in the order of arrival: as many as are enough, or all."""
    size = TAIL_ROWS
    while True:
        first, after = client.call(lambda session: session.offsets(table))
        start = max(first, after - size)
        rows = client.call(
            lambda session, start=start: span(session, table, start),  # type: ignore[misc]
            READ_LIMIT_S,
        )
        if start == first or enough(rows):
            return rows
        size *= TAIL_GROWTH


def since(client: Client, table: Table, offset: int | None) -> tuple[int, list[Record]]:
    """Rows of a history from an offset on (None: from the first); the offset to go on from."""
    after = end(client, table)
    if offset is not None and offset >= after:
        return after, []
    return after, client.call(lambda session: span(session, table, offset), READ_LIMIT_S)


def written_since(client: Client, table: Table, since_ms: int) -> list[Record]:
    """Rows of a history that came at that time by the store's clock, or later; 0: all."""

    async def read_on(session: Session) -> list[Record]:
        await session.table(table)  # else: no leader found
        spec = fluss.OffsetSpec.timestamp(since_ms) if since_ms else fluss.OffsetSpec.earliest()
        found = await session.admin.list_offsets(session.path(table), [BUCKET], spec)
        return await span(session, table, found[BUCKET])

    return client.call(read_on, READ_LIMIT_S)


def follow(client: Client, table: Table, offset: int) -> Iterator[list[Change]]:
    """Rows from an offset of the log on, as they come, for ever; an empty list now and then."""
    held: list[tuple[Session, fluss.LogScanner]] = []

    async def poll(session: Session) -> tuple[int, list[Change]]:
        if not held or held[0][0] is not session:
            held[:] = [(session, await scanner_at(session, table, offset))]
        records = await held[0][1].poll(POLL_MS)
        if not records:
            await session.offsets(table)  # else an absent store would look like a quiet one
        news = [
            Change(record.row, record.change_type == fluss.ChangeType.Delete)
            for record in records
            if record.change_type != fluss.ChangeType.UpdateBefore
        ]
        last = max((record.offset for record in records), default=offset - 1)
        return last + 1, news

    while True:
        offset, rows = client.call(poll, CALL_LIMIT_S)
        yield rows


async def span(session: Session, table: Table, start: int | None) -> list[Record]:
    """Rows of a history table from an offset on, up to what was the end when this began."""
    return [record.row for record in await _records(session, table, start)]


async def _records(session: Session, table: Table, start: int | None) -> list[fluss.ScanRecord]:
    """Records of a log from an offset on, up to what was the end when this began."""
    return [one async for records in batches(session, table, start) for one in records]


async def batches(
    session: Session, table: Table, start: int | None, columns: Sequence[str] | None = None
) -> AsyncIterator[list[fluss.ScanRecord]]:
    """The same some at a time, with these columns alone (None: all).

    The end is reached at the last offset, at a record behind it, or where the last record is given
    again and nothing after it: the last offsets may hold none, and polls are also empty while a
    server comes back.
    TimeoutError where neither comes in time.
    """
    first, after = await session.offsets(table)
    position = first if start is None else start
    if position >= after:
        return
    scanner = await scanner_at(session, table, position, columns)
    empty, moved = 0, time.monotonic()
    is_sure = position > first  # of a part without any record nothing is to be known
    is_any = False
    while position < after and not (is_sure and empty >= EMPTY_POLLS):
        records = await scanner.poll(POLL_MS)
        if records:
            empty, moved = 0, time.monotonic()
        elif time.monotonic() - moved > CALL_LIMIT_S:
            raise TimeoutError(f"{table.name} gives no rows at {position}, and {after} is its end")
        else:
            empty += 1
            if is_any and not is_sure:
                scanner = await scanner_at(session, table, position - 1, columns)
        fresh = []
        for record in records:
            if record.offset < position:
                is_sure = True  # the last one again
                continue
            position, is_sure = record.offset + 1, False
            if record.offset < after:
                fresh.append(record)
        if fresh:
            is_any = True
            yield fresh


async def scanner_at(
    session: Session, table: Table, offset: int, columns: Sequence[str] | None = None
) -> fluss.LogScanner:
    """What polls the table's log from an offset on, these columns alone (None: all)."""
    scan = (await session.table(table)).new_scan()
    if columns is not None:
        scan = scan.project_by_name(list(columns))
    scanner = await scan.create_log_scanner()
    scanner.subscribe(BUCKET, offset)
    return scanner


async def _latest(session: Session, table: Table) -> pa.Table:
    """A latest table by one scan, or folded from its changes where that can't be had."""
    first, _ = await session.offsets(table)
    scanned = await _scan(session, table)
    if scanned is not None:
        return _typed(table, scanned)
    if first > 0:
        raise Refusal(
            f"{table.name} can't be read whole: it has {SCAN_ROWS:,} rows or more, or maps of "
            "amounts that the store's client does not understand, and its oldest changes are gone"
        )
    rows: dict[tuple[Any, ...], Record] = {}
    for record in await _records(session, table, first):
        key = tuple(record.row[name] for name in table.key)
        if record.change_type in ENDS:
            rows.pop(key, None)
        else:
            rows[key] = record.row
    return arrow(table, list(rows.values()))


async def _scan(session: Session, table: Table) -> pa.Table | None:
    """All rows by one scan; None where they are too many, or the client can't decode them.

    pyfluss 1.0.0 takes a map that holds an amount below 2^63 x 10^-18 for a damaged one, unless
    it comes by the log.
    """
    try:
        scanned = await some(session, table, SCAN_ROWS)
    except fluss.FlussError as error:
        if "FlussMap" not in str(error):
            raise
        return None
    return scanned if scanned.num_rows < SCAN_ROWS else None


async def some(
    session: Session, table: Table, limit: int, columns: Sequence[str] | None = None
) -> pa.Table:
    """Rows of a table in no order, as many as there are up to the limit."""
    found = await session.table(table)
    bucket = fluss.TableBucket(found.get_table_info().table_id, BUCKET)
    scan = found.new_scan()
    if columns is not None:
        scan = scan.project_by_name(list(columns))
    return await scan.limit(limit).create_bucket_batch_scanner(bucket).to_arrow()


def arrow(table: Table, rows: Sequence[Record]) -> pa.Table:
    """Rows as a table with the store's columns and types, all of which may be null."""
    fields = fluss_table(table).columns
    columns = [pa.array([row[field.name] for row in rows], field.type) for field in fields]
    return pa.table(columns, names=fields.names)


def _typed(table: Table, given: pa.Table) -> pa.Table:
    fields = fluss_table(table).columns
    columns = [given[field.name].cast(field.type) for field in fields]
    return pa.table(columns, names=fields.names)
