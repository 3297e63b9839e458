"""The bounded backtest's stages on Flink, as functions of blobs, and how they are run.

symbols (one task each: files → bars → features → signals, jobs/symbol_stage.py)
  → keyed by fold group (an account, or an account's symbol: gate, paper broker and engine in the
    order of events, jobs/group_stage.py)
  → one writer (tables in order, jobs/assemble.py)

A chunk of a large run is a job of its own: its fold groups write their matches to files, and the
writer what is left (jobs/sweep/parts.py).
"""

import os
import pickle
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from jobs.assemble import assemble
from jobs.group_stage import GroupOut, plan_groups, run_group
from jobs.run_folder import unwritable, write_tables
from jobs.signals import held
from jobs.sources import Task, absolute
from jobs.sweep.parts import Spilled, finish_chunk, run_span, spill
from jobs.symbol_stage import DayCloses, SymbolOut, run_symbol
from udfs.plan import RunPlan
from udfs.signal_columns import Signals

RUN = "run"  # the key of what goes to the writer as it is
PROGRESS = ".progress"
POLL_SECONDS = 0.2


class Work(NamedTuple):
    """One task of the job: a symbol's places, and all that the stages must know of the run.

    `folder` is where files go: of tables, or of a chunk's parts.
    """

    plan: RunPlan
    task: Task
    folder: str
    is_chunk: bool


class Part(NamedTuple):
    """What one symbol gives a fold group: its signals where they are the group's, its closes."""

    work: Work
    symbol: str
    signals: Signals | None
    closes: DayCloses


class Result(NamedTuple):
    """Rows by table, counts of the manifest, the summary."""

    rows: dict[str, int]
    counts: dict[str, Any]
    summary: list[dict[str, Any]]


def dense(blob: bytes) -> Iterator[tuple[str, bytes]]:
    """Stage 1: a symbol's signals for every fold group, and the rest for the writer."""
    work: Work = pickle.loads(blob)
    plan = work.plan
    out = run_symbol(plan, work.task, _progress_file(work.folder))
    if out.closes is not None:
        for group in plan_groups(plan):
            signals = out.signals if out.symbol in group.symbols else None
            yield group.name, _dump(Part(work, out.symbol, signals, out.closes))
    if not plan.trace:
        out = out._replace(signals=Signals(*(column[:0] for column in out.signals)))
    yield RUN, _dump((work, out))


def fold(key: str, blobs: list[bytes]) -> Iterator[tuple[str, bytes]]:
    """Stage 2: a group's decisions, fills and matches; those of a chunk as files."""
    if key == RUN:
        for blob in blobs:
            yield RUN, blob
        return
    parts: list[Part] = [pickle.loads(blob) for blob in blobs]
    work = parts[0].work
    names = [group.name for group in plan_groups(work.plan)]
    number = names.index(key)
    pieces = {part.symbol: part.signals for part in parts if part.signals is not None}
    closes = [part.closes for part in parts]
    folded = run_group(work.plan, plan_groups(work.plan)[number], pieces, closes)
    if folded is not None and work.is_chunk:
        yield RUN, _dump(spill(Path(work.folder), number, work.plan, folded, run_span(closes)))
    elif folded is not None:
        yield RUN, _dump(folded)


def write(key: str, blobs: list[bytes]) -> Iterator[tuple[str, bytes]]:
    """Stage 3: the tables in order, as files in the run's folder under construction."""
    groups: list[GroupOut] = []
    spilled: list[Spilled] = []
    symbols: list[SymbolOut] = []
    work = None
    for blob in blobs:
        value = pickle.loads(blob)
        if isinstance(value, GroupOut):
            groups.append(value)
        elif isinstance(value, Spilled):
            spilled.append(value)
        else:
            work, out = value
            symbols.append(out)
    if work is not None and work.is_chunk:
        finish_chunk(Path(work.folder), work.plan, symbols, spilled)
        yield key, b""
    elif work is not None:
        assembled = assemble(work.plan, symbols, groups)
        rows = write_tables(Path(work.folder), assembled.tables)
        yield key, _dump(Result(rows, assembled.counts, assembled.summary))


def _dump(value: object) -> bytes:
    return pickle.dumps(value, protocol=5)


def _progress_file(staging: str) -> Callable[[int], None]:
    """Reports rows by a line in a file that the client reads (appends of a line are atomic)."""
    path = Path(staging) / PROGRESS

    def report(rows: int) -> None:
        try:
            file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
            try:
                os.write(file, f"{rows}\n".encode())
            finally:
                os.close(file)
        except OSError as error:
            raise unwritable(path.parent, error) from error

    return report


class _Watch(threading.Thread):
    """Reads the progress file while the job runs, and hands on the rows that were added."""

    def __init__(self, path: Path, report: Callable[[int], None]) -> None:
        super().__init__(daemon=True)
        self.path, self.report = path, report
        self.stopped = threading.Event()
        self.offset = 0

    def run(self) -> None:
        """Poll until stopped."""
        while not self.stopped.wait(POLL_SECONDS):
            self.poll()

    def poll(self) -> None:
        """Hand on whole lines that were added since the last look."""
        if not self.path.exists():
            return
        with self.path.open("rb") as file:
            file.seek(self.offset)
            added = file.read()
        whole = added[: added.rfind(b"\n") + 1]
        self.offset += len(whole)
        rows = sum(int(line) for line in whole.split())
        if rows:
            self.report(rows)

    def stop(self) -> None:
        """End, and hand on what is left."""
        self.stopped.set()
        self.join()
        self.poll()
        self.path.unlink(missing_ok=True)


def run_flink(
    plan: RunPlan,
    tasks: Sequence[Task],
    staging: Path,
    parallelism: int,
    report: Callable[[int], None],
) -> tuple[dict[str, int], dict[str, Any], list[dict[str, Any]]]:
    """Runs the job here or on the cluster of `flink run`; tables go to `staging`."""
    result: Result = pickle.loads(_run_job(plan, tasks, staging, parallelism, report, False))
    return result.rows, result.counts, result.summary


def run_flink_chunk(
    parallelism: int,
    plan: RunPlan,
    tasks: Sequence[Task],
    folder: Path,
    report: Callable[[int], None],
) -> None:
    """Runs a chunk, `plan` being its own, as a job; its parts go to `folder`."""
    _run_job(plan, tasks, folder, parallelism, report, True)


def _run_job(
    plan: RunPlan,
    tasks: Sequence[Task],
    staging: Path,
    parallelism: int,
    report: Callable[[int], None],
    is_chunk: bool,
) -> bytes:
    """What the writer gives."""
    from jobs.adapter import Stages, define
    from jobs.runtime import collect, environment, java_errors

    folder = str(staging.resolve())
    work = [_dump(Work(plan, absolute(task), folder, is_chunk)) for task in tasks]
    stages = Stages(dense, fold, write)
    watch = _Watch(staging / PROGRESS, report)
    watch.start()
    stream: Any = None
    try:
        with java_errors():
            stream = define(environment(parallelism), work, stages)
        (blob,) = collect(stream, f"backtest {plan.run_id}")
    finally:
        with held():  # py4j swallows exceptions while it lets Java's objects go
            stream = None
        watch.stop()
    return bytes(blob)  # type: ignore[call-overload,no-any-return]
