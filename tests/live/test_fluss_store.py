"""A store on this machine: written and read, killed and stopped, and whole at the next start."""

import asyncio
import subprocess
import threading
import time
from pathlib import Path

import fluss
import pyarrow as pa
import pytest

from jobs import fluss_run, fluss_store
from jobs.servers import START_TIMEOUT_S, stop
from udfs.errors import ConfigError

TABLE = fluss.TablePath("test", "facts")
COLUMNS = pa.schema([pa.field("id", pa.string(), nullable=False), pa.field("said", pa.string())])
FIRST_ROW = {"table.merge-engine": "first_row"}
POLL_MS = 1000


async def _write(store: fluss_store.Store, rows: list[tuple[str, str]]) -> None:
    """Make the table where it is not there, and write rows to it."""
    connection = await fluss.FlussConnection.create(
        fluss.Config({"bootstrap.servers": store.bootstrap})
    )
    admin = connection.get_admin()
    await admin.create_database(TABLE.database_name, ignore_if_exists=True)
    schema = fluss.Schema(COLUMNS, ["id"])
    table = fluss.TableDescriptor(schema, bucket_keys=["id"], properties=FIRST_ROW)
    await admin.create_table(TABLE, table, ignore_if_exists=True)
    writer = (await connection.get_table(TABLE)).new_upsert().create_writer()
    for row in rows:
        writer.upsert(list(row))
    await writer.flush()
    await connection.close()


async def _read(store: fluss_store.Store) -> list[tuple[object, ...]]:
    """All rows of the table's log.

    Offsets do not tell how many there are: a write that changes nothing takes one, too.
    """
    connection = await fluss.FlussConnection.create(
        fluss.Config({"bootstrap.servers": store.bootstrap})
    )
    scanner = await (await connection.get_table(TABLE)).new_scan().create_log_scanner()
    scanner.subscribe(0, fluss.EARLIEST_OFFSET)
    rows: list[tuple[object, ...]] = []
    while records := await scanner.poll(POLL_MS):
        rows += [tuple(record.row.values()) for record in records]
    await connection.close()
    return rows


def _processes(folder: Path) -> str:
    listed = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True)
    return "\n".join(line for line in listed.stdout.splitlines() if str(folder) in line)


@pytest.mark.parametrize("is_killed", [True, False])
def test_rows_outlive_a_kill_and_a_stop(tmp_path: Path, is_killed: bool) -> None:
    store = fluss_store.configure(tmp_path, fluss_store.free_ports())
    with fluss_run.running(store) as started:
        asyncio.run(_write(store, [("a", "first"), ("b", "first"), ("a", "second")]))
        with pytest.raises(ConfigError, match="running already"), fluss_run.running(store):
            pass
        started.processes["tablet-0"].kill()  # what it has acknowledged must be there again
        started.processes["tablet-0"].wait()
        assert fluss_run.revive(started) == ["tablet-0", "coordinator"]
        assert fluss_run.revive(started) == []
        asyncio.run(_write(store, [("b", "third")]))
        assert asyncio.run(_read(store)) == [("a", "first"), ("b", "first")]
        if is_killed:  # its newest segment has a row that was there, and nothing else
            started.processes["tablet-0"].kill()
    assert not _processes(tmp_path)
    with fluss_run.running(store):
        asyncio.run(_write(store, [("a", "third"), ("c", "first")]))
        assert asyncio.run(_read(store)) == [("a", "first"), ("b", "first"), ("c", "first")]
    assert not _processes(tmp_path)


@pytest.mark.parametrize(("wait_s", "is_started"), [(0.0, True), (2.0, True), (0.5, False)])
def test_a_kill_while_it_is_revived_is_seen_at_once(
    tmp_path: Path, wait_s: float, is_started: bool
) -> None:
    store = fluss_store.configure(tmp_path, fluss_store.free_ports())
    with fluss_run.running(store) as started:
        asyncio.run(_write(store, [("a", "first")]))
        old = started.processes["coordinator"]
        old.kill()
        old.wait()

        def kill_the_tablet_server() -> None:
            while is_started and started.processes["coordinator"] is old:
                time.sleep(0.01)
            time.sleep(wait_s)
            started.processes["tablet-0"].kill()

        killing = threading.Thread(target=kill_the_tablet_server)
        killing.start()
        began = time.monotonic()
        with pytest.raises(ConfigError, match="tablet-0 ended with code -9"):
            fluss_run.revive(started, 0.0 if is_started else 2.0)
        killing.join()
        assert time.monotonic() - began < START_TIMEOUT_S / 3
        stop(started.processes)
        assert fluss_run.revive(started) == ["zookeeper", "tablet-0", "coordinator"]
        asyncio.run(_write(store, [("a", "second"), ("b", "first")]))
        assert asyncio.run(_read(store)) == [("a", "first"), ("b", "first")]


def test_a_taken_port_is_named(tmp_path: Path) -> None:
    ports = fluss_store.free_ports()
    store = fluss_store.configure(tmp_path, ports._replace(coordinator=ports.zookeeper))
    with (
        pytest.raises(ConfigError, match=rf"port {ports.zookeeper} of coordinator"),
        fluss_run.running(store),
    ):
        pass
    assert not _processes(tmp_path)
