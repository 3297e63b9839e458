"""Two stages as Flink jobs on a store, TaskManager and jobs ended in between: no row too many."""

import asyncio
import json
import shutil
import struct
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from decimal import Decimal
from pathlib import Path
from random import Random
from typing import NamedTuple

import fluss
import pytest

from jobs import fluss_run
from jobs.cluster import end, free_port
from jobs.stack import flink
from jobs.stack.rest import Flink, FlinkAwayError
from jobs.stack.state import Ports, Stack, process
from jobs.stack.submission import newest_checkpoint
from jobs.store.fluss_making import descriptor
from jobs.store.place import FLUSS
from schemas.config_models import LiveConfig
from schemas.ops import PROGRESS, PROGRESS_GAPS
from schemas.table import Table
from tests.live import toy_stages as toy

HERE = Path(__file__).parent
LIVE = LiveConfig(task_manager_memory="1300m")
SYMBOLS = ("A", "BB", "C", toy.UNREAD)
DATABASES = {"one": 1, "two": 2}  # and the parallelism of the jobs there
JOBS = [f"{database}:{parallelism}" for database, parallelism in DATABASES.items()]
FIRST, SECOND, THIRD = 12, 30, 36  # ticks until the kill, until the jobs end, in all
POLL_MS = 500
Rows = list[tuple[str, dict[str, object]]]


class Cluster(NamedTuple):
    """A store and a Flink that run."""

    stack: Stack
    rest: Flink
    processes: dict[str, subprocess.Popen[bytes]]
    store: str

    def start(self, command: flink.Command) -> None:
        """Start a process of Flink."""
        with command.log.with_suffix(".out").open("ab") as output:
            self.processes[command.name] = subprocess.Popen(
                command.words,
                env=flink.variables(self.stack.folder),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                process_group=0,
            )

    def submit(self, *jobs: str) -> None:
        """Run the client, which submits all of these; see submit_toys.py."""
        arguments = [self.store, self.stack.bootstrap, *jobs]
        script = self.stack.folder / "code" / "submit_toys.py"
        command = flink.client(self.stack.folder, ["run", "-d", "-py", str(script), *arguments])
        done = subprocess.run(
            command.words,
            env=flink.variables(self.stack.folder),
            capture_output=True,
            text=True,
            timeout=240,
        )
        assert done.returncode == 0, done.stdout + done.stderr

    def kill_task_manager(self) -> None:
        """kill -9, and another one in its place."""
        command = flink.commands(self.stack, LIVE)[1]
        self.processes[command.name].kill()
        self.processes[command.name].wait()
        self.start(command)


@contextmanager
def cluster(folder: Path) -> Iterator[Cluster]:
    """A store and a Flink with the settings of a live stack; all processes end with the block."""
    with fluss_run.local_store(folder / "store") as store:
        ports = Ports(store.ports.zookeeper, store.ports.coordinator, 0, free_port())
        with flink_beside(folder, ports, FLUSS) as found:
            yield found


@contextmanager
def flink_beside(folder: Path, ports: Ports, store: str) -> Iterator[Cluster]:
    """A Flink beside a store that runs."""
    with ExitStack() as started:
        stack = Stack(
            folder, "test", "", ports, "thread", "", "", str(folder), 0, process(""), (), ()
        )
        flink.configure(stack, LIVE, 8)
        code = flink.copy_code(folder)
        for name in ("toy_stages.py", "submit_toys.py"):
            shutil.copy(HERE / name, code)
        found = Cluster(stack, Flink(stack.rest, ""), {}, store)
        started.callback(lambda: [end(one, 10) for one in reversed(found.processes.values())])
        for command in flink.commands(stack, LIVE):
            found.start(command)
        wait(lambda: found.rest.slots() >= 8, 60)
        yield found


def wait(is_done: Callable[[], bool], seconds: float) -> None:
    """Return once it is done; fail after so many seconds."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            if is_done():
                return
        except FlinkAwayError:
            pass
        assert time.monotonic() < deadline, f"not done after {seconds} s"
        time.sleep(0.1)


def bar(symbol: str, minute: int) -> tuple[object, ...] | None:
    """A symbol's bar of a minute, in the order of the store's columns; it has none in some."""
    seed = Random(f"{symbol}{minute}")
    if minute > 1 and seed.random() < 0.3:
        return None
    number = struct.unpack("d", struct.pack("Q", seed.getrandbits(62)))[0]
    number = seed.choice([number, -0.0, 100.0, 1e22, 5e-324, 0.1 + 0.2])
    return (
        symbol,
        minute * toy.BASE_MS,
        number,
        seed.choice([None, seed.randrange(9)]),
        seed.random() < 0.5,
        seed.choice([None, Decimal(seed.randrange(-(10**30), 10**30)).scaleb(-18)]),
        seed.choice([None, "", 'a "b" \\ é\n,=']),
        seed.choice([{}, {"ema_5": number, "1h:rsi_14": -0.0}]),
        seed.choice([{}, {"USD": Decimal("1.5"), "BTC": Decimal("-1E-18")}]),
    )


def bars(minute: int) -> list[tuple[object, ...]]:
    """The bars of a minute."""
    return [found for symbol in SYMBOLS if (found := bar(symbol, minute)) is not None]


async def connect(bootstrap: str) -> fluss.FlussConnection:
    """A connection to the store."""
    return await fluss.FlussConnection.create(fluss.Config({"bootstrap.servers": bootstrap}))


async def make_tables(bootstrap: str) -> None:
    """The chain's tables, in a database for each parallelism."""
    connection = await connect(bootstrap)
    admin = connection.get_admin()
    for database in DATABASES:
        await admin.create_database(database, ignore_if_exists=True)
        for table in (*toy.TABLES.values(), PROGRESS, PROGRESS_GAPS):
            await admin.create_table(fluss.TablePath(database, table.name), descriptor(table))
    await connection.close()


async def feed(bootstrap: str, start: int, stop: int) -> None:
    """Bars and progress of these minutes; sometimes progress comes before its bars."""
    connection = await connect(bootstrap)
    for minute in range(start, stop):
        for database in DATABASES:
            told = ("feed", "main", (minute + 1) * toy.BASE_MS, len(bars(minute)))
            parts = [(toy.TABLES[toy.BARS], bars(minute)), (PROGRESS, [told])]
            for table, rows in parts if minute % 3 else reversed(parts):
                path = fluss.TablePath(database, table.name)
                writer = (await connection.get_table(path)).new_upsert().create_writer()
                for row in rows:
                    writer.upsert(list(row))
                await asyncio.wait_for(writer.flush(), 20)
    await connection.close()


async def read(bootstrap: str, database: str, table: str) -> Rows:
    """The log of a table: kind of change and row."""
    connection = await connect(bootstrap)
    found = await connection.get_table(fluss.TablePath(database, table))
    scanner = await found.new_scan().create_log_scanner()
    scanner.subscribe(0, fluss.EARLIEST_OFFSET)
    rows: Rows = []
    while records := await asyncio.wait_for(scanner.poll(POLL_MS), 20):
        rows += [(one.change_type.short_string(), one.row) for one in records]
    await connection.close()
    return rows


def wait_for_totals(bootstrap: str, minutes: int) -> None:
    """Return once the last stage has told progress of so many minutes everywhere."""
    last = minutes * toy.BASE_MS

    def is_done() -> bool:
        told = [asyncio.run(read(bootstrap, name, PROGRESS.name)) for name in DATABASES]
        return all(
            any(row["stage"] == "totals" and row["ts"] == last for _, row in rows) for rows in told
        )

    wait(is_done, 60)


def wanted_sums(minutes: int) -> list[tuple[object, ...]]:
    """The rows of toy_sums."""
    counts = dict.fromkeys(SYMBOLS, 0)
    rows = []
    for minute in range(1, minutes):
        for row in bars(minute):
            counts[str(row[0])] += 1
            rows.append((*row, counts[str(row[0])]))
    return rows


def wanted_totals(minutes: int) -> list[tuple[object, ...]]:
    """The rows of toy_totals, in order of ticks: `said` of the JSON that the stage makes."""
    sums = {(row[0], row[1]): row for row in wanted_sums(minutes)}
    seen: dict[str, int] = {}
    rows = []
    for minute in range(1, minutes):
        ts = minute * toy.BASE_MS
        for key in sorted({*SYMBOLS[:3], toy.CLOCK}):
            found = sums.get((key, ts))
            if found is None and key not in seen and key != toy.CLOCK:
                continue
            got = [] if found is None else [[0, ts, found[2], found[-1]]]
            got += [[1, ts, seen[key]]] if key in seen else []
            seen[key] = seen.get(key, 0) + 1
            rows.append((key, ts + toy.BASE_MS, seen[key], json.dumps(["total", got])))
    return rows


def exact(table: Table, row: dict[str, object]) -> tuple[object, ...]:
    """A row's values, doubles and maps such that -0.0 is not 0.0."""
    return tuple(_exact(row[column.name]) for column in table.stored)


def _exact(value: object) -> object:
    if isinstance(value, float):
        return value.hex()
    if isinstance(value, Decimal):
        return value.as_integer_ratio()
    if isinstance(value, list | dict):  # the client gives maps as pairs
        return sorted((name, _exact(one)) for name, one in dict(value).items())
    return value


def check(bootstrap: str, database: str, minutes: int) -> None:
    """Every row is there, once, with the right content; latest rows went as they should."""
    for name, wanted in (
        (toy.SUMS, wanted_sums(minutes)),
        (toy.TOTALS, wanted_totals(minutes)),
    ):
        table = toy.TABLES[name]
        found = asyncio.run(read(bootstrap, database, name))
        names = [column.name for column in table.stored]
        rows = [exact(table, dict(zip(names, row, strict=True))) for row in wanted]
        assert [kind for kind, _ in found] == ["+I"] * len(rows)
        assert sorted(map(repr, (exact(table, row) for _, row in found))) == sorted(map(repr, rows))
    changes = asyncio.run(read(bootstrap, database, toy.LATEST))
    left: dict[object, object] = {}
    for kind, row in changes:
        left[row["symbol"]] = None if kind in ("-D", "-U") else row["ts"]
    wanted_left = {
        row[0]: (None if int(str(row[-1])) % 3 == 0 else row[1]) for row in wanted_sums(minutes)
    }
    assert left == wanted_left
    assert any(kind == "-D" for kind, _ in changes)
    told = asyncio.run(read(bootstrap, database, PROGRESS.name))
    for stage, instance in (("sums", "main"), ("totals", "even"), ("totals", "odd")):
        ticks = [
            row["ts"] for _, row in told if (row["stage"], row["instance"]) == (stage, instance)
        ]
        assert ticks == [(minute + 1) * toy.BASE_MS for minute in range(1, minutes)]
    assert not asyncio.run(read(bootstrap, database, PROGRESS_GAPS.name))


def test_a_chain_of_jobs_is_exact(tmp_path: Path) -> None:
    with cluster(tmp_path) as found:
        bootstrap = found.stack.bootstrap
        asyncio.run(make_tables(bootstrap))
        found.submit(*(f"{job}:sums" for job in JOBS), *(f"{job}:totals" for job in JOBS))
        asyncio.run(feed(bootstrap, 1, FIRST))
        wait_for_totals(bootstrap, FIRST)
        asyncio.run(feed(bootstrap, FIRST, FIRST + 3))
        found.kill_task_manager()
        asyncio.run(feed(bootstrap, FIRST + 3, SECOND))
        wait_for_totals(bootstrap, SECOND)
        for database in DATABASES:
            check(bootstrap, database, SECOND)
        _go_on(found)
        asyncio.run(feed(bootstrap, SECOND, THIRD))
        wait_for_totals(bootstrap, THIRD)
        for database in DATABASES:
            check(bootstrap, database, THIRD)
    listed = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True)
    assert str(tmp_path) not in listed.stdout


def _go_on(found: Cluster) -> None:
    """End the jobs of `one` and begin again: `sums` from its checkpoint, `totals` from nothing."""
    ids = {job.name: job.job_id for job in found.rest.jobs()}
    sums, totals = ids["one.sums"], ids["one.totals"]
    folder = found.stack.folder / "flink" / "checkpoints" / sums
    wait(lambda: newest_checkpoint(folder) is not None, 30)
    for job in (sums, totals):
        found.rest.cancel(job)
    wait(lambda: not {sums, totals} & {job.job_id for job in found.rest.jobs()}, 30)
    point = f"file://{newest_checkpoint(folder)}"
    found.submit(f"{JOBS[0]}:sums={point}", f"{JOBS[0]}:totals")


@pytest.fixture(autouse=True)
def _jars() -> None:
    flink.library_folder()
