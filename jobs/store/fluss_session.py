"""One connection to a Fluss store."""

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
