"""One connection to a Fluss store."""

import asyncio
import contextlib
from collections.abc import Sequence

import fluss

from schemas.table import Table

BUCKET = 0  # every table has one


class Session:
    """One connection, with the tables and writers that were asked of it."""

    def __init__(self, connection: fluss.FlussConnection, database: str, is_known: bool) -> None:
        self.connection, self.database = connection, database
        self._is_known = is_known  # to the store, by a name
        self.admin = connection.get_admin()
        self._tables: dict[str, fluss.FlussTable] = {}
        self._writers: dict[str, fluss.UpsertWriter] = {}
        self._writing: asyncio.Task[None] | None = None

    def path(self, table: Table) -> fluss.TablePath:
        """Where the table is."""
        return fluss.TablePath(self.database, table.name)

    async def table(self, table: Table) -> fluss.FlussTable:
        """The table as the store knows it."""
        if table.name not in self._tables:
            self._tables[table.name] = await self._get(self.path(table))
        return self._tables[table.name]

    async def _get(self, path: fluss.TablePath) -> fluss.FlussTable:
        try:
            return await self.connection.get_table(path)
        except fluss.FlussError:
            if self._is_known:  # a table that the user may not see is not found; this says which
                await self.admin.get_table_info(path)
            raise

    async def writer(self, table: Table) -> fluss.UpsertWriter:
        """What writes to the table."""
        if table.name not in self._writers:
            self._writers[table.name] = (await self.table(table)).new_upsert().create_writer()
        return self._writers[table.name]

    async def offsets(self, table: Table) -> tuple[int, int]:
        """The first offset of the table's log, and the one after its last."""
        await self.table(table)  # else: no leader found
        path, found = self.path(table), []
        for which in (fluss.OffsetSpec.earliest(), fluss.OffsetSpec.latest()):
            found.append((await self.admin.list_offsets(path, [BUCKET], which))[BUCKET])
        return found[0], found[1]

    async def written(
        self, writer: fluss.UpsertWriter, handles: Sequence[fluss.WriteResultHandle]
    ) -> None:
        """Send what all writers have been given, and wait until the store has it.

        It goes on being sent where the wait is cancelled.
        """
        self._writing = asyncio.ensure_future(_send(writer, handles))
        await asyncio.shield(self._writing)

    async def close(self) -> None:
        """Close the connection, once its writes are done or have failed.

        One that is closed, or forgotten, with a write under way tries it again without a pause,
        which takes a processor for as long as the write fails.
        """
        with contextlib.suppress(fluss.FlussError):  # it is of no use any more
            if self._writing is not None:
                await self._writing
        with contextlib.suppress(fluss.FlussError):
            await self.connection.close()


async def _send(writer: fluss.UpsertWriter, handles: Sequence[fluss.WriteResultHandle]) -> None:
    await writer.flush()  # of all writers of the connection
    for handle in handles:
        await handle.wait()
