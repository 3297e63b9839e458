"""Kills the one tablet server of a store under load: which acknowledged rows are there afterwards?

    python benchmarks/live/kill_tablet_server.py [KILLS] [--naive | --pause SECONDS [SERVER]]

--naive starts the tablet server again beside a living coordinator; else `revive` of
jobs/fluss_run.py does it. --pause stops it, or another server, by SIGSTOP for so long instead.
Needs the jars of `make jars`.
"""

import asyncio
import random
import signal
import sys
import tempfile
import threading
import time
from pathlib import Path

import fluss
import pyarrow as pa

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from jobs import fluss_run, fluss_store  # noqa: E402

TABLE = fluss.TablePath("bench", "facts")
COLUMNS = pa.schema([pa.field("id", pa.int64(), nullable=False), pa.field("text", pa.string())])
ROWS_AT_ONCE = 50
PATIENCE_S = 60.0


class Load:
    """Writes rows with ascending ids for as long as it is wanted; knows which were acknowledged."""

    def __init__(self, bootstrap: str) -> None:
        self.config = fluss.Config({"bootstrap.servers": bootstrap, "writer.batch-timeout-ms": "1"})
        self.acknowledged = 0
        self.wanted = True
        self.failures: list[str] = []

    async def prepare(self) -> None:
        connection = await fluss.FlussConnection.create(self.config)
        admin = connection.get_admin()
        await admin.create_database(TABLE.database_name, ignore_if_exists=True)
        table = fluss.TableDescriptor(
            fluss.Schema(COLUMNS, ["id"]),
            bucket_count=1,
            bucket_keys=["id"],
            properties={"table.merge-engine": "first_row"},
        )
        await admin.create_table(TABLE, table, ignore_if_exists=True)
        await connection.close()

    async def write(self) -> None:
        while self.wanted:
            try:
                await self._write_until_failure()
            except (fluss.FlussError, TimeoutError) as error:
                self.failures.append(f"{type(error).__name__}: {error}".splitlines()[0][:100])
                await asyncio.sleep(0.5)

    async def _write_until_failure(self) -> None:
        connection = await asyncio.wait_for(fluss.FlussConnection.create(self.config), PATIENCE_S)
        writer = (await connection.get_table(TABLE)).new_upsert().create_writer()
        while self.wanted:
            for number in range(self.acknowledged, self.acknowledged + ROWS_AT_ONCE):
                writer.upsert([number, "x" * 50])
            await asyncio.wait_for(writer.flush(), PATIENCE_S)
            self.acknowledged += ROWS_AT_ONCE
            await asyncio.sleep(0.005)

    async def read_once_it_can(self) -> list[int]:
        until = time.monotonic() + PATIENCE_S
        while True:
            try:
                return await self.read()
            except fluss.FlussError as error:
                if time.monotonic() > until:
                    raise
                self.failures.append(f"reading: {error}".splitlines()[0][:100])
                await asyncio.sleep(0.5)

    async def read(self) -> list[int]:
        connection = await fluss.FlussConnection.create(self.config)
        scanner = await (await connection.get_table(TABLE)).new_scan().create_log_scanner()
        scanner.subscribe(0, fluss.EARLIEST_OFFSET)
        found: list[int] = []
        while records := await scanner.poll(3000):
            found += [int(str(record.row["id"])) for record in records]
        await connection.close()
        return found


def kill(started: fluss_run.Running, load: Load, naive: bool) -> float:
    """Kill the tablet server and bring it back; seconds until a write is acknowledged again."""
    before, since = load.acknowledged, time.monotonic()
    process = started.processes["tablet-0"]
    process.kill()
    process.wait()
    if naive:
        server = next(server for server in started.store.servers if server.name == "tablet-0")
        started.processes["tablet-0"] = fluss_run.start(server, started.lock)
    else:
        fluss_run.revive(started)
    while load.acknowledged <= before + ROWS_AT_ONCE and time.monotonic() - since < PATIENCE_S:
        time.sleep(0.02)
    return time.monotonic() - since


def pause(started: fluss_run.Running, load: Load, name: str, seconds: float) -> float:
    """Stop a server for a while; seconds from its going on until a write is acknowledged again."""
    process = started.processes[name]
    process.send_signal(signal.SIGSTOP)
    time.sleep(seconds)
    before, since = load.acknowledged, time.monotonic()
    process.send_signal(signal.SIGCONT)
    while load.acknowledged <= before + ROWS_AT_ONCE and time.monotonic() - since < PATIENCE_S:
        time.sleep(0.02)
    return time.monotonic() - since


def main() -> None:
    """Kill or stop, read, count."""
    naive, given = "--naive" in sys.argv, sys.argv[1:]
    paused: tuple[str, float] | None = None
    if "--pause" in given:
        at = given.index("--pause")
        seconds, server = (*given[at + 1 : at + 3], "tablet-0")[:2]
        paused = (server, float(seconds))
        del given[at : at + 3]
    kills = next((int(text) for text in given if text.isdigit()), 10)
    chance = random.Random(4)
    with tempfile.TemporaryDirectory() as folder:
        store = fluss_store.configure(Path(folder), fluss_store.free_ports())
        with fluss_run.running(store) as started:
            load = Load(store.bootstrap)
            asyncio.run(load.prepare())
            writer = threading.Thread(target=lambda: asyncio.run(load.write()))
            writer.start()
            away = []
            for _ in range(kills):
                time.sleep(chance.uniform(1, 7))
                away.append(pause(started, load, *paused) if paused else kill(started, load, naive))
                print(f"away {away[-1]:.1f} s", flush=True)
            load.wanted = False
            writer.join()
            found = asyncio.run(load.read_once_it_can())
    lost = load.acknowledged - len(set(found) & set(range(load.acknowledged)))
    print(f"kills {kills}, acknowledged {load.acknowledged}, lost {lost}", end=", ")
    print(f"twice {len(found) - len(set(found))}, away s {sorted(round(s, 1) for s in away)}")
    print(f"failures of the writer: {load.failures}")


if __name__ == "__main__":
    main()
