"""Changed classes: the store answers those who wait, and other versions are refused."""

import asyncio
import re
import shutil
import threading
import time
import zipfile
from pathlib import Path

import fluss
import pytest

from jobs import jar_patches, java_classes
from jobs.jar_patches import JARS, PATCHES, SERVER, Patch, patch
from jobs.stack import state
from jobs.store.client import Writing, open_client
from jobs.store.making import make_tables
from schemas.ops import PROGRESS
from schemas.signals import STRATEGY_SIGNAL_LATEST
from schemas.table import Table, Type
from udfs.errors import ConfigError

WAIT_MS = 20_000
SOME: dict[Type, object] = {Type.STRING: "a", Type.BIGINT: 60_000, Type.DOUBLE: 1.5}


def seconds_until_seen(bootstrap: str, database: str, table: Table, seen: list[float]) -> None:
    """How long after its start a reader sees a first row; its requests wait for WAIT_MS."""

    async def look() -> None:
        settings = {
            "bootstrap.servers": bootstrap,
            "scanner.log.fetch.wait-max-time-ms": str(WAIT_MS),
        }
        connection = await fluss.FlussConnection.create(fluss.Config(settings))
        found = await connection.get_table(fluss.TablePath(database, table.name))
        scanner = await found.new_scan().create_log_scanner()
        scanner.subscribe(0, fluss.EARLIEST_OFFSET)
        began = time.monotonic()
        while not seen and time.monotonic() < began + 2 * WAIT_MS / 1000:
            for _ in await scanner.poll(1000):
                seen.append(time.monotonic() - began)

    asyncio.run(look())


@pytest.mark.parametrize("table", [PROGRESS, STRATEGY_SIGNAL_LATEST], ids=["history", "latest"])
def test_a_reader_that_waits_is_answered_at_once(stack: Path, table: Table) -> None:
    found = state.read(stack)
    assert found is not None
    database = f"patches_{table.kind.name.lower()}"
    seen: list[float] = []
    with open_client(found.store._replace(database=database)) as client:
        make_tables(client)
        arguments = (found.bootstrap, database, table, seen)
        reader = threading.Thread(target=seconds_until_seen, args=arguments)
        reader.start()
        time.sleep(3)
        assert not seen
        row = [SOME[column.type] for column in table.stored]
        client.write(Writing(table, [row]))
        reader.join()
    assert seen[0] < WAIT_MS / 1000 / 2


def test_the_same_jars_are_made_again(tmp_path: Path) -> None:
    folder = copy(tmp_path)
    patch(folder)
    for one in PATCHES:
        assert (folder / one.ours).read_bytes() == (JARS / one.ours).read_bytes()
        assert Path(one.ours).name < Path(one.theirs).name
    assert (folder / java_classes.JAR).read_bytes() == (JARS / java_classes.JAR).read_bytes()


@pytest.mark.parametrize("one", PATCHES, ids=[one.ours for one in PATCHES])
def test_another_version_is_refused(tmp_path: Path, one: Patch) -> None:
    folder = copy(tmp_path)
    (folder / one.theirs).unlink()
    with zipfile.ZipFile(folder / one.theirs, "w") as archive:
        archive.writestr("other.txt", "")
    with pytest.raises(ConfigError, match=f"another version than {re.escape(one.version)}: "):
        patch(folder)
    assert not (folder / one.ours).exists()
    assert {path.suffix for path in folder.rglob("*") if path.is_file()} == {".jar"}


def test_what_is_missing_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match=r"no javassist.* fetch it by `make jars`"):
        patch(tmp_path)
    folder = copy(tmp_path)
    (folder / SERVER.theirs).unlink()
    with pytest.raises(ConfigError, match=r"no fluss-server.* fetch it by `make jars`"):
        patch(folder)
    monkeypatch.setattr(jar_patches, "JARS", folder)
    with pytest.raises(ConfigError, match=r"no a-fluss-server.* fetch it by `make jars`"):
        jar_patches.made(SERVER)


def copy(folder: Path) -> Path:
    """A folder of the jars that are patched and of the tool."""
    made = folder / "jars"
    for one in PATCHES:
        (made / one.theirs).parent.mkdir(parents=True, exist_ok=True)
        (made / one.theirs).symlink_to(JARS / one.theirs)
    shutil.copytree(JARS / "tools", made / "tools")
    return made
