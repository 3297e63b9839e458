"""What is in the tables of a Fluss store, and rows as they come."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any

import fluss
import pyarrow as pa

from jobs.store.client import CALL_LIMIT_S, Entry, Record, Source, arrow
from jobs.store.fluss_session import BUCKET, Session
from schemas.table import Kind, Table, fluss_table
from udfs.errors import Refusal

POLL_MS = 300
FOLLOW_MS = 1000  # how long a follower asks for rows that are not there yet
EMPTY_POLLS = 2
TURN_S = 0.3  # after which `poll` of a follower returns even if nothing came
LOOK_S = 1.0  # how often it looks whether the store still answers
# The tablet server holds the answer in memory; 1.5 million rows ended it.
SCAN_ROWS = 500_000
ENDS = (fluss.ChangeType.UpdateBefore, fluss.ChangeType.Delete)


async def span(
    session: Session, table: Table, start: int | None, until: int | None = None
) -> list[Record]:
    """Rows of a history from an offset on, up to another, or what was the end when this began."""
    records = await _records(session, table, start)
    return [record.row for record in records if until is None or record.offset < until]


async def _records(session: Session, table: Table, start: int | None) -> list[fluss.ScanRecord]:
    """Records of a log from an offset on, up to what was the end when this began."""
    return [one async for records in batches(session, table, start) for one in records]


def entries(records: Sequence[fluss.ScanRecord]) -> list[Entry]:
    """Records as entries, without those that say what a row was before."""
    return [
        Entry(one.offset, one.timestamp, one.row, one.change_type == fluss.ChangeType.Delete)
        for one in records
        if one.change_type != fluss.ChangeType.UpdateBefore
    ]


class FlussFollower:
    """Rows of some tables as they come, see `Follower`."""

    def __init__(
        self,
        call: Callable[[Callable[[Session], Awaitable[Any]]], Any],
        sources: Sequence[Source],
        gather_s: float,
    ) -> None:
        self._call, self._sources, self._gather_s = call, sources, gather_s
        self._positions = {one.table.name: one.offset for one in sources}
        self._session: Session | None = None
        self._scanners: dict[Source, fluss.LogScanner] = {}
        self._polls: dict[Source, asyncio.Task[list[fluss.ScanRecord]]] = {}
        self._looked = 0.0
        self._found: list[tuple[Table, list[Entry]]] = []  # kept where a call fails half-way

    def poll(self) -> list[tuple[Table, list[Entry]]]:
        """See `Follower`."""
        self._call(self._poll)
        found, self._found = self._found, []
        return found

    async def _poll(self, session: Session) -> None:
        if session is not self._session:
            await self._begin(session)
        for source, scanner in self._scanners.items():
            if source not in self._polls:
                self._polls[source] = asyncio.create_task(self._rows(scanner))
        await asyncio.wait(
            self._polls.values(), timeout=TURN_S, return_when=asyncio.FIRST_COMPLETED
        )
        if time.monotonic() - self._looked > LOOK_S:
            # Else an absent store would look like a quiet one.
            await session.offsets(self._sources[0].table)
            self._looked = time.monotonic()
        for source in [one for one in self._sources if self._polls[one].done()]:
            records = self._polls.pop(source).result()
            if records:
                last = max(record.offset for record in records) + 1
                name = source.table.name
                self._positions[name] = max(last, self._positions[name])
                self._found.append((source.table, entries(records)))

    async def _begin(self, session: Session) -> None:
        """Take up where it stood, on another connection."""
        for task in self._polls.values():
            task.cancel()
        await asyncio.gather(*self._polls.values(), return_exceptions=True)
        self._polls.clear()
        self._scanners = {
            one: await scanner_at(session, one.table, self._positions[one.table.name], one.columns)
            for one in self._sources
        }
        self._session = session

    async def _rows(self, scanner: fluss.LogScanner) -> list[fluss.ScanRecord]:
        await asyncio.sleep(self._gather_s)
        return list(await scanner.poll(FOLLOW_MS))


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


async def latest(session: Session, table: Table) -> pa.Table:
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


async def count(session: Session, table: Table, limit: int) -> tuple[int, bool]:
    """Rows of a table, and whether that is their number; else it is at most that."""
    _, end = await session.offsets(table)
    if end == 0:
        return 0, True
    if end > limit and table.kind is Kind.HISTORY:
        return end, False
    # Keys only: some maps of amounts can't be decoded.
    rows = (await some(session, table, limit + 1, table.key)).num_rows
    return (rows, True) if rows <= limit else (end, False)


def _typed(table: Table, given: pa.Table) -> pa.Table:
    fields = fluss_table(table).columns
    columns = [given[field.name].cast(field.type) for field in fields]
    return pa.table(columns, names=fields.names)
