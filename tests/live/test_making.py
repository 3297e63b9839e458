"""All tables of the contracts in a real store, made twice, and what a store that is away says."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from kafka.admin import ConfigResource, KafkaAdminClient

from jobs import fluss_run, fluss_store
from jobs.store.client import open_client
from jobs.store.fluss_session import Session
from jobs.store.making import make_tables
from jobs.store.place import KAFKA
from schemas.table import Kind
from schemas.tables import TABLES
from tests.local_stores import KINDS, STORES, local_store
from udfs.errors import ConfigError


def test_all_tables_are_made_once(tmp_path: Path) -> None:
    store = fluss_store.configure(tmp_path, fluss_store.free_ports())
    with fluss_run.running(store), open_client(store.place("run_1")) as client:
        for _ in range(2):
            make_tables(client, 2)
            made = client.call(made_tables)
            assert sorted(made) == sorted(TABLES)
        for name, info in made.items():
            table = TABLES[name]
            assert tuple(info.get_primary_keys()) == table.key
            assert tuple(info.get_bucket_keys()) == table.bucket_key
            merges = info.get_properties().get("table.merge-engine")
            wanted = "2 d" if table.kind is Kind.HISTORY else "7 d"
            assert info.get_properties().get("table.log.ttl") == wanted
            assert merges == (None if table.kind is Kind.LATEST else "first_row"), name


def test_all_topics_are_made_once(tmp_path: Path) -> None:
    with local_store(KAFKA, tmp_path) as running:
        with open_client(running.store.place("run_1")) as client:
            for _ in range(2):
                make_tables(client, 2)
                assert sorted(client.tables()) == sorted(TABLES)
            assert client.databases() == ["run_1"]
            for table in TABLES.values():
                assert client.columns(table) == client.contract(table)
        admin = KafkaAdminClient(bootstrap_servers=running.store.bootstrap)
        asked = [ConfigResource("TOPIC", f"run_1.{name}") for name in TABLES]
        made = admin.describe_configs(asked, config_filter="all")["topic"]
        admin.close()
        for name, table in TABLES.items():
            settings = {key: held["value"] for key, held in made[f"run_1.{name}"].items()}
            assert settings["message.timestamp.type"] == "LogAppendTime"
            is_history = table.kind is Kind.HISTORY
            assert settings["cleanup.policy"] == ("delete" if is_history else "compact")
            assert settings["retention.ms"] == ("172800000" if is_history else "-1"), name


async def made_tables(session: Session) -> Mapping[str, Any]:
    """What the store says of each table that is there."""
    names = await session.admin.list_tables(session.database)
    return {name: await session.admin.get_table_info(session.path(TABLES[name])) for name in names}


@pytest.mark.parametrize("kind", KINDS)
def test_a_store_that_is_away_is_told(kind: str, tmp_path: Path) -> None:
    stores = STORES[kind]
    store = stores.configure(tmp_path, stores.free_ports())
    away = pytest.raises(ConfigError, match=r"the store at 127\.0\.0\.1:.* is it running")
    with open_client(store.place("run_1"), retry_s=2.0) as client, away:
        make_tables(client)
