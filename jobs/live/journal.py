"""What a live stage wrote before it was started again, read back from the store by its own client.

A stage goes on from its last checkpoint; what it wrote after that is in the log, and the log is the
truth. Read once after each start, by the workers, so it must not need Flink.
"""

import asyncio
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import NamedTuple

import fluss

from jobs.fluss_tables import PATIENCE_S, connect, within
from jobs.live.stage import Value
from schemas.codec import decimal_text
from schemas.table import Kind, Table
from udfs.errors import InvariantError

BUCKET = 0
SLACK_MS = 60_000  # clocks of two processes, and rows on their way to the store
POLL_MS = 500
EMPTY_POLLS = 20  # offsets of a first_row table have gaps, so the end may never be seen


class FlussJournal(NamedTuple):
    """Reads the tail of a history of this database; plain data, so that jobs can carry it."""

    bootstrap: str
    database: str

    def __call__(self, table: Table, since_ms: int) -> Sequence[Mapping[str, Value]]:
        """Rows that the table got since a wall clock (and a minute before), in order of its log."""
        if table.kind is not Kind.HISTORY:
            raise InvariantError(f"{table.name} is no history")
        return asyncio.run(self._read(table, max(0, since_ms - SLACK_MS)))

    async def _read(self, table: Table, since_ms: int) -> list[Mapping[str, Value]]:
        connection = await connect(self.bootstrap)
        try:
            found = await within(
                connection.get_table(fluss.TablePath(self.database, table.name)), self.bootstrap
            )
            admin, path = connection.get_admin(), fluss.TablePath(self.database, table.name)
            spec = fluss.OffsetSpec.timestamp(since_ms) if since_ms else fluss.OffsetSpec.earliest()
            start = (await within(admin.list_offsets(path, [BUCKET], spec), self.bootstrap))[BUCKET]
            last = fluss.OffsetSpec.latest()
            after = (await within(admin.list_offsets(path, [BUCKET], last), self.bootstrap))[BUCKET]
            return await self._scan(found, start, after)
        finally:
            await asyncio.wait_for(connection.close(), PATIENCE_S)

    async def _scan(
        self, table: fluss.FlussTable, start: int, after: int
    ) -> list[Mapping[str, Value]]:
        if start >= after:
            return []
        scan = await within(table.new_scan().create_log_scanner(), self.bootstrap)
        scan.subscribe(BUCKET, start)
        rows: list[Mapping[str, Value]] = []
        at, empty = start, 0
        while at < after and empty < EMPTY_POLLS:
            records = list(await within(scan.poll(POLL_MS), self.bootstrap))
            empty = 0 if records else empty + 1
            for record in records:
                at = record.offset + 1
                rows.append({name: plain(value) for name, value in record.row.items()})
        return rows


def plain(value: object) -> Value:
    """A value as live stages have it: decimals as text; maps are not read back."""
    if isinstance(value, Decimal):
        return decimal_text(value)
    return value if isinstance(value, str | int | float | bool) else None
