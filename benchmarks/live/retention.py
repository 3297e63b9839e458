"""What histories take on disk, what goes when their time is over, and what a partition gives back.

    python benchmarks/live/retention.py [ROWS]    200000 of each dense table

A store of its own. First each dense table in partitions by day of event time, and all days but one
are dropped. Then as `store.retentionDays` makes it, but with a minute in the place of days, and
small segments: bytes of log and of keys for each million rows, at once and after some minutes.
"""

import asyncio
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import fluss
import pyarrow as pa

from benchmarks.live.machine import MIB, disk
from jobs import fluss_run, fluss_store
from schemas.market import INDICATOR_HISTORY, PRICE_1M_HISTORY
from schemas.ops import PROGRESS
from schemas.table import Table, fluss_table

START = 1_711_756_800_000
MINUTE_MS, DAY_MS = 60_000, 86_400_000
TABLES = (PRICE_1M_HISTORY, INDICATOR_HISTORY, PROGRESS)
FEATURES = [f"feature_{number:02d}" for number in range(20)]
TTL = "1 min"
SETTINGS = {
    "log.segment.file-size": "1mb",
    "remote.log.task-interval-duration": "5s",
    "kv.snapshot.interval": "20s",
}
WAITS_S = (60, 120)
DROP_WAITS_S = (2, 20)
SYMBOLS = 50
DAYS = 4
CHUNK = 10_000
DAY = "day"


def main() -> None:
    """Run and print."""
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    rows = int(sys.argv[1]) if len(sys.argv) > 1 else 200_000
    with tempfile.TemporaryDirectory(prefix="tradeflow-retention-") as name:
        folder = Path(name)
        store = fluss_store.configure(folder, fluss_store.free_ports(), SETTINGS)
        with fluss_run.running(store):
            asyncio.run(measure(store.bootstrap, folder, rows))


async def measure(bootstrap: str, folder: Path, rows: int) -> None:
    """Both parts."""
    connection = await fluss.FlussConnection.create(fluss.Config({"bootstrap.servers": bootstrap}))
    admin = connection.get_admin()
    await admin.create_database("d", ignore_if_exists=True)
    await asyncio.sleep(1)
    for table in TABLES:
        path = fluss.TablePath("d", f"{table.name}_by_day")
        await admin.create_table(path, made(table, "36500 d", [DAY]))
        for number in range(DAYS):  # pyfluss 1.0.0 asks for ever for one that is not there
            day = day_of(START + number * DAY_MS)
            await admin.create_partition(path, {DAY: day}, ignore_if_exists=True)
        await fill(connection, table, path.table_name, rows, True)
    show("by day", folder, rows)
    for table in TABLES:
        path = fluss.TablePath("d", f"{table.name}_by_day")
        days = sorted(await admin.list_partition_infos(path), key=lambda one: one.partition_name)
        print(path.table_name, [one.partition_name for one in days])
        began = time.monotonic()
        for one in days[:-1]:
            await admin.drop_partition(path, {DAY: one.partition_name})
        print(f"dropped {len(days) - 1} in {time.monotonic() - began:.2f} s")
    for wait_s in DROP_WAITS_S:
        await asyncio.sleep(wait_s)
        show(f"all days but one dropped, {wait_s} s later", folder, rows)
    for table in TABLES:
        await admin.create_table(fluss.TablePath("d", table.name), made(table, TTL, []))
    for table in TABLES:
        await fill(connection, table, table.name, rows, False)
    show("at once", folder, rows)
    for wait_s in WAITS_S:
        await asyncio.sleep(wait_s)
        for table in TABLES:  # TTL is looked after where something is written
            await fill(connection, table, table.name, 1, False)
        show(f"{wait_s} s later", folder, rows)
    await connection.close()


def made(table: Table, ttl: str, partitions: Sequence[str]) -> fluss.TableDescriptor:
    """The contract, with another TTL, and perhaps in partitions."""
    found = fluss_table(table)
    columns, key = found.columns, list(found.key)
    if partitions:
        columns = pa.schema([pa.field(DAY, pa.string(), nullable=False), *columns])
        key = [DAY, *key]
    return fluss.TableDescriptor(
        fluss.Schema(columns, key),
        bucket_count=1,
        bucket_keys=list(found.bucket_key),
        partition_keys=list(partitions),
        properties={**found.properties, "table.log.ttl": ttl},
    )


async def fill(connection: Any, table: Table, name: str, count: int, by_day: bool) -> None:
    """Rows of SYMBOLS a minute; by day, DAYS of them."""
    began = time.monotonic()
    writer = (await connection.get_table(fluss.TablePath("d", name))).new_upsert().create_writer()
    for number in range(count):
        minute, symbol = divmod(number, SYMBOLS)
        ts = START + minute * MINUTE_MS
        if by_day:
            ts = START + number * DAYS // count * DAY_MS + minute * MINUTE_MS // 100
        row = row_of(table, symbol, ts, number)
        writer.upsert([day_of(ts), *row] if by_day else row)
        if number % CHUNK == CHUNK - 1:
            await writer.flush()
    await writer.flush()
    if count > 1:
        print(f"{name}: {count:,} rows in {time.monotonic() - began:.1f} s", flush=True)


def day_of(ts: int) -> str:
    """The day of an event time, UTC."""
    return time.strftime("%Y%m%d", time.gmtime(ts // 1000))


def row_of(table: Table, symbol: int, ts: int, number: int) -> list[Any]:
    """A row like a real one, in the store's columns."""
    price = 100 + number % 977 / 100
    values = {
        "symbol": f"S{symbol:02d}USD", "ts": ts, "open": price, "high": price + 0.02,
        "low": price - 0.03, "close": price + 0.01, "volume": number % 89 + 0.5, "feed": "main",
        "late": False, "timeframe": "1m", "final": True, "calc_ts": ts + 60_005,
        "features": {one: price * (at + 1.0001) for at, one in enumerate(FEATURES)},
        "indicator_version": "1:0123456789abcdef", "run_id": "bench", "stage": "strategies",
        "instance": f"s{symbol:02d}", "rows": 3,
    }  # fmt: skip
    return [values.get(column.name) for column in table.stored]


def show(when: str, folder: Path, rows: int) -> None:
    """MB by table and part, and for a million rows."""
    print(f"-- {when}")
    for part, size in sorted(disk(folder).items()):
        if size >= MIB // 4 and not part.startswith("log/"):
            print(f"{part:44}{size / MIB:9.1f} MB{size / MIB / rows * 1e6:9.0f} MB a million")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
