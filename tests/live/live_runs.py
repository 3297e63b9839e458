"""Runs on the one live stack of these tests: each has a database and jobs of its own."""

import json
import os
import random
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.compute as pc
import pyarrow.parquet as pq

from feeds.live.replay import Pace, Replayed, replay
from jobs.live.stages import JOBS
from jobs.stack.names import JobName, parse
from jobs.stack.rest import Flink
from jobs.stack.state import Stack, read
from jobs.stack.submission import SCRIPT, run_client
from jobs.store import kafka_reading, reading
from jobs.store.client import Client, open_client
from jobs.store.kafka_session import Session
from jobs.store.making import make_tables
from schemas.config import Config, parse_config
from schemas.tables import TABLES
from tests import live_equal, runs
from udfs.bars import Bars
from udfs.simulate import EXAMPLE_SYMBOLS, simulate

REPO = Path(__file__).resolve().parents[2]
REAL = REPO.parent / "shared" / "data" / "bars-2019"
MINUTE_MS = 60_000
MONITOR_S = 30.0  # nobody waits for it, so it may come behind the others
PATIENCE_S = 300  # a machine that does much else at the same time is slow
FOR_EVER = {
    f"wm.{stage}.latenessSec": None
    for stage in ("indicators", "strategies", "tradepicker", "broker", "engine", "monitor")
}


@dataclass(frozen=True, slots=True)
class LiveRun:
    """Jobs that run, their configuration, and the folder of the bounded run of the same bars."""

    stack: Stack
    file: Path  # of the configuration
    config: Config
    database: str
    bounded: Path

    def client(self) -> Client:
        """A client of the run's own database."""
        return open_client(self.stack.store._replace(database=self.database), retry_s=None)

    def rows(self, name: str) -> list[dict[str, Any]]:
        """All rows of a table."""
        with self.client() as client:
            found: list[dict[str, Any]] = reading.read(client, TABLES[name]).to_pylist()
        return found

    def committed(self, name: str) -> list[tuple[Any, ...]]:
        """Keys of a history's committed rows in Kafka, each as often as it is there."""
        table = TABLES[name]
        place = self.stack.store._replace(database=self.database)
        session = Session(place, 50, 15_000, committed=True)
        try:
            rows = [one.row for one in kafka_reading.span(session, table, None, None)]
        finally:
            session.close()
        return [tuple(row[key] for key in table.key) for row in rows]

    def differences(self, ends: Mapping[str, int], but: str = "") -> list[str]:
        """What differs from the bounded run, `but` an account; the monitor is given some time."""

        def own(name: str) -> list[dict[str, Any]]:
            return [row for row in self.rows(name) if row.get("account_id", "-") != but]

        until = time.monotonic() + MONITOR_S
        while found := live_equal.differences(self.bounded, own, ends):
            if time.monotonic() > until:
                break
            time.sleep(1)
        return found

    def replay(self, speed: float | None, wait: bool = True) -> Replayed:
        """Feed all bars; with `wait` until every stage is done."""
        pace = Pace(speed=speed, wait=wait, patience_s=PATIENCE_S)
        with self.client() as client:
            return replay(client, self.config, pace, threading.Event(), lambda progress: None)

    def jobs(self) -> dict[str, str]:
        """Ids of this run's jobs by name."""
        flink = Flink(self.stack.rest, f"{self.config.run.id}.")
        return {job.name: job.job_id for job in flink.jobs() if parse(job.name).job in JOBS}


def write_bars(folder: Path, seed: int, minutes: int) -> dict[str, int]:
    """Simulated bars with gaps, long ones too; when each symbol's last one closes."""
    pick = np.random.default_rng(seed)
    folder.mkdir(parents=True)
    ends = {}
    for symbol, bars in simulate(seed, EXAMPLE_SYMBOLS, runs.START, minutes).items():
        kept = pick.random(len(bars.ts)) > 0.1
        for start in pick.integers(0, len(bars.ts), 1 + minutes // 500):
            kept[start : start + 45] = False
        kept[-1] = True
        left = Bars(*(column[kept] for column in bars))
        pq.write_table(runs.bars_table(symbol, left), folder / f"{symbol}.parquet")
        ends[symbol] = int(left.ts[-1]) + MINUTE_MS
    return ends


def write_real_bars(folder: Path, start: int, minutes: int, count: int) -> dict[str, int]:
    """The same of real bars: the first `count` symbols from `start` on."""
    folder.mkdir(parents=True)
    ends = {}
    for file in sorted(REAL.glob("*.parquet"))[:count]:
        table = pq.read_table(file)
        ts = table["ts"]
        inside = pc.and_(pc.greater_equal(ts, start), pc.less(ts, start + minutes * MINUTE_MS))
        table = table.filter(inside)
        pq.write_table(table, folder / file.name)
        ends[table["symbol"][0].as_py()] = int(pc.max(table["ts"]).as_py()) + MINUTE_MS
    return ends


@contextmanager
def live_run(
    folder: Path,
    tree: Mapping[str, Any],
    bounded: Path,
    parallelism: int,
    by_hand: Sequence[JobName] = (),
) -> Iterator[LiveRun]:
    """The jobs of a configuration on the stack in `folder`; they end with the block.

    Those `by_hand` are submitted by `flink run`, as a person does it.
    """
    stack = current(folder)
    tree = {**tree, "store.kind": stack.store_kind}
    config = parse_config({**tree, "live": {"parallelism": parallelism}})
    database = config.run.id.replace("-", "_")
    work = folder / "flink" / f"{config.run.id}.request.json"
    answer = work.with_suffix(".answer")
    file = work.with_suffix(".config.json")
    run = LiveRun(stack, file, config, database, bounded)
    with run.client() as client:
        make_tables(client)
    file.write_text(json.dumps({**tree, "live.parallelism": parallelism}))
    at_once = [name for name in JOBS if name not in {one.job for one in by_hand}]
    jobs = [{"name": name, "job": name, "strategies": [], "point": ""} for name in at_once]
    asked = {"config": str(file), "bootstrap": stack.bootstrap, "database": database}
    work.write_text(json.dumps({**asked, "answer": str(answer), "jobs": jobs}))
    problem = run_client(stack, ["run", "-d", "-py", str(SCRIPT), "--request", str(work)])
    assert not problem, problem
    try:
        for one in by_hand:
            script = REPO / "jobs" / f"{one.job.replace('-', '_')}.py"
            store = f"--config {file} --store {stack.bootstrap} --database {database}"
            own = " ".join(f"--strategy {name}" for name in one.strategies)
            command = f"source {folder}/flink/env.sh && flink run -d -py {script} {store} {own}"
            subprocess.run(["bash", "-c", command], check=True, timeout=PATIENCE_S)
        names = {*at_once, *(one.text for one in by_hand)}
        wait_for(lambda: set(working(run)) == names, PATIENCE_S)
        yield run
    finally:
        for job_id in run.jobs().values():
            Flink(current(folder).rest, "").cancel(job_id)


def working(run: LiveRun) -> list[str]:
    """The run's jobs of which all tasks run."""
    return [j.name for j in Flink(run.stack.rest, f"{run.config.run.id}.").jobs() if j.is_working]


def current(folder: Path) -> Stack:
    """The stack as it is now: its processes may have been started again."""
    found = read(folder)
    assert found is not None
    return found


def wait_for(holds: Callable[[], bool], seconds: float) -> float:
    """Wait until it holds; how long that took."""
    started = time.monotonic()
    while True:
        try:
            if holds():
                return time.monotonic() - started
        except OSError:
            pass  # a server is away
        assert time.monotonic() - started < seconds, f"not within {seconds} s"
        time.sleep(0.2)


def kill(folder: Path, name: str) -> None:
    """kill -9 a process of the stack."""
    (pid,) = [one.pid for one in current(folder).processes if one.name == name]
    assert pid is not None
    os.kill(pid, signal.SIGKILL)


def stand_still(pid: int, seconds: float) -> None:
    """Stop a process, and let it go on."""
    os.kill(pid, signal.SIGSTOP)
    time.sleep(seconds)
    os.kill(pid, signal.SIGCONT)


def kills(
    folder: Path, names: Sequence[str], pick: random.Random, recovered: Callable[[], bool]
) -> list[tuple[str, float]]:
    """Kill one after another, each a while after the last has recovered: (name, seconds)."""
    found = []
    for name in names:
        time.sleep(pick.uniform(2.0, 8.0))
        kill(folder, name)
        time.sleep(0.5)
        found.append((name, wait_for(recovered, PATIENCE_S)))
    return found
