"""One bounded run from configuration to folder, by either runner; and its notebook form."""

import functools
import hashlib
import sys
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa

from jobs import sources
from jobs.frames import bar_tables
from jobs.pipeline import run_local, run_local_chunk
from jobs.run_folder import RunFolder, as_frames, write_tables
from jobs.sweep.chunks import cut, memory_notes
from jobs.sweep.kept import digest_of
from jobs.sweep.ranking import RankBy, RankedFamily, ranked_families
from jobs.sweep.run import ChunkRunner, Watch, keeping, left_over, run_chunks, shared_accounts
from jobs.sweep.table import write_sweep
from schemas.config import Config, config_as_dict, parse_config
from schemas.config_values import time_text
from schemas.resolve import plan_run
from udfs.features import FEATURE_VERSION
from udfs.plan import RunPlan

VERSION = "0.1.0"
LATE_SHARE = 0.001  # more late bars than this are said loudly
Progress = Callable[[int, int], None]


def _unwatched(done: int, total: int) -> None:
    """Say nothing."""


def _unheard(text: str) -> None:
    """Say nothing."""


class RunRequest(NamedTuple):
    """What to run, and how. `only_strategies` empty: all of them.

    A large run of many sets is done in chunks. `sets_done(done, total)` then counts sets, the
    first time those that an earlier run had done. `note` gets what should be known at once.
    """

    config: Config
    only_strategies: tuple[str, ...]
    out: Path
    overwrite: bool
    trace: bool
    runner: str
    parallelism: int
    rank_by: RankBy = RankBy.NET_PNL
    sets_done: Progress = _unwatched
    note: Callable[[str], None] = _unheard


class RunReport(NamedTuple):
    """The folder of a finished run, its manifest and summary, and what a user must be told.

    `families` ranks the combinations of grids and sets.
    """

    folder: Path
    manifest: dict[str, Any]
    summary: list[dict[str, Any]]
    warnings: list[str]
    families: Sequence[RankedFamily] = ()


def execute(request: RunRequest, progress: Progress) -> RunReport:
    """Runs a backtest. ConfigError and Refusal say what is wrong; nothing half-done is left.

    `progress(done, total)` counts rows of bars, in a run in chunks once per set. The chunks that
    such a run has done are kept when it is ended early: Ctrl-C and signals raise SweepStopped.
    """
    started = time.perf_counter()
    config = request.config
    plan = plan_run(config, trace=request.trace, only_strategies=request.only_strategies)
    with RunFolder(request.out, plan.run_id, request.overwrite) as folder, ExitStack() as stack:
        files = sources.list_files(config.prices.files)
        tasks, inputs = sources.plan_tasks(files, [symbol.symbol for symbol in plan.symbols])
        total = sum(file.rows for file in inputs)
        for text in memory_notes(plan, total):
            request.note(text)
        if len(cut(plan, total)) > 1:
            digest = digest_of(
                config_as_dict(config),
                sorted(request.only_strategies),
                [file.sha256 for file in inputs],
                code_version(),
                _versions(plan),
            )
            kept = stack.enter_context(keeping(request.out, plan, digest, request.rank_by))
            watch = Watch(progress, request.sets_done)
            run = _chunk_runner(request)
            rows, counts, summary = run_chunks(plan, tasks, total, kept, folder.staging, run, watch)
        else:
            rows, counts, summary = _run(
                request, plan, tasks, folder.staging, _counter(progress, total)
            )
        families = ranked_families(plan, summary, request.rank_by, shared_accounts(plan))
        if families:
            write_sweep(folder.staging, families)
        manifest = {
            "run_id": plan.run_id,
            "config": config_as_dict(config),
            "code_version": code_version(),
            "inputs": [file._asdict() for file in inputs],
            "versions": _versions(plan),
            "rows": rows,
            **counts,
            "symbols_without_rows": _without_rows(plan, tasks),
            "summary": summary,
            "runner": request.runner,
            "timings": {"total_s": round(time.perf_counter() - started, 3)},
        }
        place = folder.finish(manifest)
    told = [*warnings_of(plan, manifest), *left_over(request.out, plan.run_id)]
    return RunReport(place, manifest, summary, told, families)


def _without_rows(plan: RunPlan, tasks: Sequence[sources.Task]) -> list[str]:
    """Symbols of the configuration that no file has."""
    found = {task.symbol for task in tasks}
    return [symbol.symbol for symbol in plan.symbols if symbol.symbol not in found]


def _run(
    request: RunRequest,
    plan: RunPlan,
    tasks: Sequence[sources.Task],
    staging: Path,
    report: Callable[[int], None],
) -> tuple[dict[str, int], dict[str, Any], list[dict[str, Any]]]:
    """The stages, by the runner that was asked for: (rows by table, counts, summary)."""
    if request.runner == "flink":
        from jobs.bounded import run_flink

        return run_flink(plan, tasks, staging, request.parallelism, report)
    assembled = run_local(plan, tasks, report)
    return write_tables(staging, assembled.tables), assembled.counts, assembled.summary


def _chunk_runner(request: RunRequest) -> ChunkRunner:
    """What runs a chunk, by the runner that was asked for."""
    if request.runner != "flink":
        return run_local_chunk
    from jobs.bounded import run_flink_chunk

    return functools.partial(run_flink_chunk, request.parallelism)


def _counter(progress: Progress, total: int) -> Callable[[int], None]:
    """Turns rows of a piece into rows so far."""
    done = 0

    def report(rows: int) -> None:
        nonlocal done
        done += rows
        progress(min(done, total), total)

    return report


def run_frames(
    config: Config | Mapping[str, Any],
    prices: Any,
    *,
    trace: bool = False,
    only_strategies: Sequence[str] = (),
) -> dict[str, Any]:
    """A backtest in a notebook: configuration and bars in, the run's tables out as data frames.

    `prices` is a data frame, or several in order of arrival, with the columns symbol, ts, open,
    high, low, close, volume; prices.files of the configuration is not read. Nothing is written.
    Rows that were not counted are told by `warnings.warn`.
    """
    if not isinstance(config, Config):
        config = parse_config(config)
    plan = plan_run(config, trace=trace, only_strategies=tuple(only_strategies))
    tables = bar_tables(prices)
    tasks = sources.memory_tasks(tables, [symbol.symbol for symbol in plan.symbols])
    assembled = run_local(plan, tasks, lambda rows: None)
    told = {
        **assembled.counts,
        "inputs": [{"path": f"prices[{number}]"} for number in range(len(tables))],
        "symbols_without_rows": _without_rows(plan, tasks),
    }
    for text in _warnings_of_bars(plan, told):
        warnings.warn(text, stacklevel=2)
    return as_frames(assembled.tables)


def _versions(plan: RunPlan) -> dict[str, Any]:
    """Versions of what decides values."""
    return {
        "features": FEATURE_VERSION,
        "strategies": {s.strategy_id: f"{s.kind}/{s.version}" for s in plan.strategies},
        "own": [{"path": source.path, "sha256": source.sha256} for source in plan.own],
        "python": sys.version.split()[0],
        "pyarrow": pa.__version__,
    }


@functools.cache
def code_version() -> str:
    """The version, and a hash of the code that decides a run's rows."""
    root = Path(__file__).resolve().parent.parent
    digest = hashlib.sha256()
    for package in ("udfs", "schemas", "jobs"):
        for path in sorted((root / package).rglob("*.py")):
            digest.update(path.relative_to(root).as_posix().encode() + b"\0" + path.read_bytes())
    return f"{VERSION}+{digest.hexdigest()[:12]}"


def _warnings_of_bars(plan: RunPlan, manifest: Mapping[str, Any]) -> list[str]:
    """What became of rows that were not what a run expects."""
    found = []
    bars, late, rejects = manifest["bars"], manifest["late"], manifest["price_rejects"]
    skipped = {name: n for name, n in manifest["skipped"].items() if n}
    lost = late + manifest["duplicate_bars"] + sum(rejects.values()) + sum(skipped.values())
    if lost == bars:
        found.append(f"NO BARS: none of the {bars} rows counts, so nothing was traded")
    if late:
        share = f"{late} of {bars} bars came late and were dropped"
        first = manifest["first_late"]
        where = f"; the first: {_place(manifest, first)}, {first['symbol']} ts {first['ts']}"
        found.append(("LATE BARS: " if late > LATE_SHARE * bars else "") + share + where)
    if manifest["duplicate_bars"]:
        found.append(f"{manifest['duplicate_bars']} bars were repeated and dropped")
    if rejects:
        codes = ", ".join(f"{code} {n}" for code, n in rejects.items())
        first = manifest["first_reject"]
        values = ", ".join(f"{name} {value}" for name, value in first["values"].items())
        found.append(
            f"bars rejected: {codes} (--trace writes price_rejects); the first: "
            f"{_place(manifest, first)}: {first['code']}: {values}"
        )
    if skipped:
        counts = ", ".join(f"{n} {name}" for name, n in sorted(skipped.items()))
        found.append(f"rows skipped: {counts}{_span(plan) if 'out_of_range' in skipped else ''}")
    if manifest["symbols_without_rows"]:
        names = manifest["symbols_without_rows"]
        more = ", ..." if len(names) > 10 else ""
        found.append(f"no rows of {len(names)} symbols: {', '.join(names[:10])}{more}")
    return found


def _place(manifest: Mapping[str, Any], first: Mapping[str, Any]) -> str:
    return f"{manifest['inputs'][first['file']]['path']} row {first['row']}"


def _span(plan: RunPlan) -> str:
    """The run's span of bars, warm-up included, as far as it is limited."""
    start = "" if plan.first_ts is None else f" from {time_text(plan.first_ts)}"
    end = "" if plan.end_ts is None else f" to {time_text(plan.end_ts)}"
    return f" (the run's bars are{start}{end})"


def warnings_of(plan: RunPlan, manifest: Mapping[str, Any]) -> list[str]:
    """What a user must be told of a run, the worst first."""
    found = _warnings_of_bars(plan, manifest)
    quotes = sorted({symbol.quote for symbol in plan.symbols})
    if len(quotes) > 1:
        found.append(f"several quote currencies, never added up: {', '.join(quotes)}")
    if manifest["unfilled"]:
        orders = manifest["unfilled"]
        found.append(f"{len(orders)} orders never filled: {', '.join(orders[:3])}")
    if manifest["over_cap"]:
        found.append(f"{manifest['over_cap']} fills opened a symbol above the cap (over_cap)")
    if manifest["grid_left_out"]:
        found.append(f"{manifest['grid_left_out']} senseless combinations of grids left out")
    return found
