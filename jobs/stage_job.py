"""A stage that runs alone, as one bounded Flink job: files in, a folder of tables out.

A job file tells what its stage is (`Stage`): the options that name its files, and `define`, which
gives its dataflow. Everything else is here: the command line, the run of the dataflow by Flink
(or, for quick trials, by a loop), and the folder `<out>/<run id>/` with manifest.json, which
appears whole or not at all.
"""

import argparse
import pickle
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa

from jobs import sources
from jobs.live import command as live_command
from jobs.run import code_version
from jobs.run_folder import RunFolder, write_tables
from jobs.sources import InputFile, Task
from schemas.config import Config, config_as_dict, load_config
from schemas.overrides import settings
from schemas.resolve import plan_run
from udfs.errors import ConfigError, TradeflowError
from udfs.plan import RunPlan

RUN = ""  # the key of what goes to the writer as it is
PRICES = "prices"
RUNNERS = ("flink", "local")
Files = Mapping[str, Sequence[str]]  # paths by the name of the option that gives them
Blobs = Iterator[tuple[str, bytes]]


class Written(NamedTuple):
    """A stage's tables by name, their rows in order, and what its manifest counts."""

    tables: dict[str, pa.Table]
    counts: dict[str, Any]


class Dataflow(NamedTuple):
    """The steps of a stage: functions at the top level of a module, or partials of such.

    read   a task → (key, value)...; once per task
    fold   key, its values in order of the tasks → values; once per key, RUN excepted
    write  all values in order of the keys → the tables; once

    `remembers`: the fold's last argument is a mapping of texts that is empty at first, which Flink
    keeps in RocksDB.
    """

    tasks: Sequence[Any]
    read: Callable[[Any], Iterable[tuple[str, Any]]]
    fold: Callable[..., Iterable[Any]]
    write: Callable[[list[Any]], Written]
    inputs: Sequence[InputFile]
    remembers: bool = False


class Stage(NamedTuple):
    """A stage as its job file tells it. `files`: the options that name its files, explained."""

    name: str
    doc: str
    files: Mapping[str, str]
    define: Callable[[RunPlan, Files], Dataflow]


class StageRequest(NamedTuple):
    """What to run, and how. Without PRICES in `files` the configuration's bars are read."""

    config: Config
    files: Files
    out: Path
    overwrite: bool = False
    only_strategies: tuple[str, ...] = ()
    runner: str = "flink"
    parallelism: int = 1


class StageReport(NamedTuple):
    """The folder of a finished stage, and its manifest."""

    folder: Path
    manifest: dict[str, Any]


class Result(NamedTuple):
    """Rows by table, and what the manifest counts."""

    rows: dict[str, int]
    counts: dict[str, Any]


# ---- steps on blobs --------------------------------------------------------------------------


def _dump(value: object) -> bytes:
    return pickle.dumps(value, protocol=5)


def read_task(read: Callable[[Any], Iterable[tuple[str, Any]]], task: bytes) -> Blobs:
    """`read` on blobs. The first one makes sure that the writer is called, whatever is read."""
    yield RUN, _dump(None)
    for key, value in read(pickle.loads(task)):
        yield key, _dump(value)


def fold_key(
    fold: Callable[..., Iterable[Any]], key: str, blobs: list[bytes], *memory: Any
) -> Blobs:
    """`fold` on blobs."""
    if key == RUN:
        for blob in blobs:
            yield RUN, blob
        return
    for value in fold(key, [pickle.loads(blob) for blob in blobs], *memory):
        yield RUN, _dump(value)


def write_all(
    write: Callable[[list[Any]], Written], staging: str, key: str, blobs: list[bytes]
) -> Blobs:
    """`write` on blobs, its tables as files in `staging`."""
    values = [pickle.loads(blob) for blob in blobs]
    try:
        written = write([value for value in values if value is not None])
    except OverflowError as error:
        raise ConfigError(f"{error}: it holds 20 digits before the point") from None
    rows = write_tables(Path(staging), written.tables)
    yield key, _dump(Result(rows, written.counts))


def pass_on(key: str, values: list[Any]) -> Iterator[Any]:
    """A fold that leaves everything as it is."""
    yield from values


# ---- one run ---------------------------------------------------------------------------------


def run_dataflow(flow: Dataflow, name: str, staging: Path, runner: str, parallelism: int) -> Result:
    """Runs the steps by Flink or by a loop; the tables go to `staging`."""
    tasks = [_dump(task) for task in flow.tasks]
    steps = (
        partial(read_task, flow.read),
        partial(fold_key, flow.fold),
        partial(write_all, flow.write, str(staging.resolve())),
    )
    result: Result = pickle.loads(
        _by_flink(tasks, steps, name, parallelism, flow.remembers)
        if runner == "flink"
        else _by_loop(tasks, steps, flow.remembers)
    )
    return result


def _by_flink(
    tasks: list[bytes], steps: tuple[Any, ...], name: str, parallelism: int, remembers: bool
) -> bytes:
    """The result of the dataflow, run here or on the cluster of `flink run`."""
    from jobs.adapter import Stages, define
    from jobs.runtime import collect, environment, java_errors

    with java_errors():
        stream = define(environment(parallelism), tasks, Stages(*steps, remembers))
    (blob,) = collect(stream, name)
    return bytes(blob)  # type: ignore[call-overload,no-any-return]


def _by_loop(tasks: list[bytes], steps: tuple[Any, ...], remembers: bool) -> bytes:
    """The same without Flink: blobs meet in the same order."""
    read, fold, write = steps
    keyed: dict[str, list[bytes]] = {}
    for task in tasks:
        for key, blob in read(task):
            keyed.setdefault(key, []).append(blob)
    folded = [
        blob
        for key in sorted(keyed)
        for _, blob in fold(key, keyed[key], *([{}] if remembers else []))
    ]
    ((_, result),) = write(RUN, folded)
    return bytes(result)


def execute(stage: Stage, request: StageRequest) -> StageReport:
    """Runs a stage alone. ConfigError and Refusal say what is wrong; nothing half-done is left."""
    started = time.perf_counter()
    config = request.config
    plan = plan_run(config, trace=True, only_strategies=request.only_strategies)
    with RunFolder(request.out, plan.run_id, request.overwrite) as folder:
        flow = stage.define(plan, {PRICES: config.prices.files, **request.files})
        name = f"{stage.name} {plan.run_id}"
        result = run_dataflow(flow, name, folder.staging, request.runner, request.parallelism)
        manifest = {
            "run_id": plan.run_id,
            "stage": stage.name,
            "config": config_as_dict(config),
            "code_version": code_version(),
            "inputs": [file._asdict() for file in flow.inputs],
            "rows": result.rows,
            **result.counts,
            "runner": request.runner,
            "timings": {"total_s": round(time.perf_counter() - started, 3)},
        }
        return StageReport(folder.finish(manifest), manifest)


def bar_tasks(plan: RunPlan, patterns: Sequence[str]) -> tuple[list[Task], list[InputFile]]:
    """Bars as tasks, one per symbol, and one that counts those of unknown symbols."""
    names = [symbol.symbol for symbol in plan.symbols]
    tasks, inputs = sources.plan_tasks(sources.list_files(patterns), names)
    return [sources.absolute(task) for task in tasks], inputs


# ---- the command -----------------------------------------------------------------------------


def main(stage: Stage, arguments: Sequence[str]) -> int:
    """The command of a stage, here or under `flink run`; 2 where something is wrong with it.

    A configuration whose store is not files makes it the live job of that name.
    """
    if live_command.is_live(arguments):
        return live_command.main(stage.name.replace("_", "-"), arguments)
    options = _parser(stage).parse_args(arguments)
    given = {name: getattr(options, name.replace("-", "_")) for name in stage.files}
    try:
        overrides = settings(options.set)
        if options.run_id is not None:
            overrides["run.id"] = options.run_id
        request = StageRequest(
            config=load_config(options.config, overrides),
            files={name: paths for name, paths in given.items() if paths},
            out=options.out,
            overwrite=options.overwrite,
            only_strategies=tuple(options.strategy),
            runner=options.runner,
            parallelism=options.parallelism,
        )
        report = execute(stage, request)
    except TradeflowError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("stopped: nothing was written", file=sys.stderr)
        return 130
    for table, rows in report.manifest["rows"].items():
        print(f"{report.folder / table}.parquet: {rows} rows")
    return 0


def _parser(stage: Stage) -> argparse.ArgumentParser:
    """The options of a stage."""
    parser = argparse.ArgumentParser(
        prog=f"python -m jobs.{stage.name}",
        description=stage.doc,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--config", required=True, type=Path, help="the YAML file of the run")
    for name, text in stage.files.items():
        needed = name != PRICES
        parser.add_argument(f"--{name}", nargs="+", required=needed, metavar="FILE", help=text)
    parser.add_argument(
        "--out", type=Path, default=Path("runs"), help="tables go to the folder <out>/<run id>"
    )
    parser.add_argument("--overwrite", action="store_true", help="replace such a folder")
    parser.add_argument("--run-id", help="instead of the configuration's run.id")
    parser.add_argument("--strategy", action="append", default=[], help="only this one; repeatable")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--runner", choices=RUNNERS, default="flink")
    parser.add_argument("--parallelism", type=int, default=1, help="without flink run's -p")
    return parser
