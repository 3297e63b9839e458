"""All tables of the contracts in a real store, made twice, and what a store that is away says."""

import asyncio
from pathlib import Path

import fluss
import pytest

from jobs import fluss_run, fluss_store, fluss_tables
from schemas.table import Kind
from schemas.tables import TABLES
from udfs.errors import ConfigError


def test_all_tables_are_made_once(tmp_path: Path) -> None:
    store = fluss_store.configure(tmp_path, fluss_store.free_ports())
    with fluss_run.running(store):
        for _ in range(2):
            made = asyncio.run(fluss_tables.create_tables(store.bootstrap, "run_1"))
            assert made == sorted(TABLES)
        asyncio.run(_equal_to_the_contracts(store.bootstrap))


async def _equal_to_the_contracts(bootstrap: str) -> None:
    connection = await fluss_tables.connect(bootstrap)
    admin = connection.get_admin()
    for table in TABLES.values():
        info = await admin.get_table_info(fluss.TablePath("run_1", table.name))
        assert tuple(info.get_primary_keys()) == table.key
        assert tuple(info.get_bucket_keys()) == table.bucket_key
        merges = info.get_properties().get("table.merge-engine")
        assert merges == (None if table.kind is Kind.LATEST else "first_row"), table.name
    await connection.close()


def test_a_store_that_is_away_is_told(tmp_path: Path) -> None:
    store = fluss_store.configure(tmp_path, fluss_store.free_ports())
    with pytest.raises(ConfigError, match=r"the store at 127\.0\.0\.1:"):
        asyncio.run(fluss_tables.connect(store.bootstrap, 2.0))
