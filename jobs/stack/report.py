"""`status`: what runs of a stack and how it fares. Every question has a time limit."""

import json
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from jobs.live.job_names import FLUSS, monitor_stages
from jobs.stack import monitors, names
from jobs.stack.processes import servers_of, supervisor_of
from jobs.stack.rest import FlinkAwayError, jobs_of
from jobs.stack.state import CONFIG, ENDED, RUNNING, WAITING, Process, Stack, read
from jobs.stack.tables import Reading, Rows, reading
from schemas.config_models import LiveConfig
from udfs.errors import ConfigError
from udfs.timeframes import timeframe_ms

FEED = "feed"
MAIN = "main"
STORE_PATIENCE_S = 4.0
ABSENT = "NOT RUNNING"
STORE = ("zookeeper", "tablet", "coordinator", "broker")
# Stages of one instance; strategies tell progress one by one.
INSTANCES = (
    ("indicators", MAIN),
    ("tradepicker", MAIN),
    ("broker", MAIN),
    ("broker", "ends"),
    ("engine", MAIN),
)


class JobStatus(NamedTuple):
    """A job and its health; None where it is not known. `point`: where it would go on from."""

    name: str
    id: str | None
    state: str
    checkpoint_age_s: float | None
    checkpoint_bytes: int | None
    checkpoints_failed: int | None
    restarts: int | None
    problem: str
    point: str


class StackStatus(NamedTuple):
    """All of it. `lag` is in ms by stage, `last_bar` the newest open time by symbol, `metrics`
    the address for Prometheus by process.

    `problems` says what is down and what to do; empty: all runs.
    """

    folder: Path
    run_id: str
    database: str
    store_kind: str
    bootstrap: str
    rest: str
    processes: tuple[Process, ...]
    jobs: tuple[JobStatus, ...]
    tables: tuple[Rows, ...]
    lag: Mapping[str, int | None]
    last_bar: Mapping[str, int | None]
    metrics: Mapping[str, str]
    problems: tuple[str, ...]


def status(folder: Path) -> StackStatus:
    """What runs of the stack in a folder. ConfigError where there is no stack."""
    folder = folder.absolute()
    stack = read(folder)
    if stack is None:
        raise ConfigError(f"there is no stack in {folder}; start one by `tradeflow up`")
    config = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
    strategies = [one["id"] for one in config["strategies"]]
    processes = _processes(stack)
    is_up = stack.outside is not None or any(one.state == RUNNING for one in processes)
    problems = [] if stack.outside else _process_problems(stack, processes)
    base_ms = timeframe_ms(config["prices"]["timeframe"])
    export = config["monitoring"]["export"]
    instances = [*INSTANCES, *(("strategies", one) for one in strategies)]
    instances += [(name, MAIN) for name in monitor_stages(export)]
    with ThreadPoolExecutor() as pool:
        asked = pool.submit(_store, stack, processes, instances, problems)
        jobs = _jobs(stack, export, problems, is_up)
        divided = [job.name for job in jobs if job.id and job.name.startswith(names.SEVERAL)]
        left = names.left_out(divided, strategies) if divided else []
        if left:
            problems.append(f"strategies that no job runs: {', '.join(left)}; `tradeflow submit`")
        found = asked.result()
    tables = found.tables if found else ()
    return StackStatus(
        folder=folder,
        run_id=stack.run_id,
        database=stack.database,
        store_kind=stack.store_kind,
        bootstrap=stack.bootstrap,
        rest=stack.rest,
        processes=processes,
        jobs=jobs,
        tables=tables,
        lag=lag_of(_with_feed(found, base_ms) if found else {}, instances),
        last_bar={one: found.last_bars.get(one) if found else None for one in config["symbols"]},
        metrics=monitors.addresses(stack, LiveConfig.model_validate(config["live"]), export),
        problems=tuple(problems),
    )


def metrics_of(folder: Path) -> str:
    """Where the exporter of the stack in a folder answers; ConfigError where there is none."""
    stack = read(folder)
    if stack is None:
        raise ConfigError(f"there is no stack in {folder}; start one by `tradeflow up`")
    config = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
    export = config["monitoring"]["export"]
    found = monitors.addresses(stack, LiveConfig.model_validate(config["live"]), export)
    if "exporter" not in found and stack.outside and export != FLUSS:
        raise ConfigError(
            f"the stack in {folder} does not know its exporter: `tradeflow attach --exporter URL`"
        )
    if "exporter" not in found:
        raise ConfigError(
            "monitoring.export is fluss, so nothing serves metrics: `tradeflow watch` reads the "
            "tables; or `tradeflow down`, and `tradeflow up --set monitoring.export=both`"
        )
    return found["exporter"]


def _processes(stack: Stack) -> tuple[Process, ...]:
    """The supervisor and what it looks after, as they are now and not as it last said."""
    if stack.outside:
        return ()
    living = {one.pid for one in servers_of(stack.folder)}
    supervisor = supervisor_of(stack.folder)
    own = stack.supervisor
    if supervisor is None and own.state not in (ENDED, "failed"):
        own = own._replace(state=ENDED, pid=None, problem="it was killed")
    found = [own]
    for one in stack.processes:
        if one.state == RUNNING and one.pid not in living:
            state = WAITING if supervisor else ENDED
            one = one._replace(state=state, pid=None, problem="it has ended just now")
        found.append(one)
    return tuple(found)


def _process_problems(stack: Stack, processes: tuple[Process, ...]) -> list[str]:
    """What is down among the processes, and what to do."""
    supervisor, *rest = processes
    running = [one for one in rest if one.state == RUNNING]
    if supervisor.state == "failed":
        return [f"the stack did not start: {supervisor.problem}; `tradeflow up` tries again"]
    if supervisor.pid is None and not running:
        return ["the stack is down: `tradeflow up` starts it"]
    found = []
    if supervisor.pid is None:
        found.append(
            "the supervisor does not run, so nothing that ends comes back: `tradeflow up` starts "
            "all again and goes on with the data"
        )
    for one in rest:
        if one.state != RUNNING:
            what = "is being started again" if supervisor.pid else "is down"
            found.append(f"{one.name} {what}: {one.problem}; `tradeflow logs {one.name}`")
    return found


def _jobs(stack: Stack, export: str, problems: list[str], is_up: bool) -> tuple[JobStatus, ...]:
    """The jobs that the stack should have, and others that Flink knows."""
    known, away = jobs_of(stack.rests, stack.prefix) if is_up else ([], [])
    try:
        with ThreadPoolExecutor() as pool:
            health = list(pool.map(lambda one: one[0].health(one[1].job_id), known))
    except FlinkAwayError as error:
        known, health = [], []
        away.append(str(error))
    problems += [f"{error}; jobs go on as soon as it is back" for error in away]
    answers = is_up and not away
    running = [job for _, job in known]
    now_ms = time.time() * 1000
    found = []
    for job, one in zip(running, health, strict=True):
        age = None if one.checkpoint_ts is None else round((now_ms - one.checkpoint_ts) / 1000, 1)
        state = job.state if job.is_working or job.state != RUNNING.upper() else "STARTING"
        problem = one.problem if state != RUNNING.upper() else ""
        found.append(
            JobStatus(
                job.name,
                job.job_id,
                state,
                age,
                one.checkpoint_bytes,
                one.checkpoints_failed,
                one.restarts,
                problem,
                "",
            )
        )
        if state != RUNNING.upper():
            problems.append(f"job {job.name} is {state}" + (f": {problem}" if problem else ""))
    missing = [one.text for one in names.wanted((job.name for job in stack.jobs), export)]
    missing = [name for name in missing if name not in {job.name for job in running}]
    for name in missing:
        point = stack.job(name).point
        found.append(JobStatus(name, None, ABSENT, None, None, None, None, "", point))
    if missing and answers:
        problems.append(f"jobs that do not run: {', '.join(missing)}; `tradeflow up` submits them")
    return tuple(sorted(found))


def _store(
    stack: Stack,
    processes: tuple[Process, ...],
    instances: list[tuple[str, str]],
    problems: list[str],
) -> Reading | None:
    """What the store says, unless it is known to be down or does not answer in time."""
    down = [one.name for one in processes if one.name.startswith(STORE) and one.state != RUNNING]
    known = stack.outside is not None or any(one.name.startswith(STORE) for one in processes)
    if down or not known:
        return None
    try:
        return reading(stack.store, instances, STORE_PATIENCE_S)
    except ConfigError as error:
        problems.append(str(error))
    return None


def _with_feed(found: Reading, base_ms: int) -> dict[tuple[str, str], int]:
    """Progress, with the feed's as far as its last bar shows it: its own row may lie far back."""
    closes = [ts + base_ms for ts in found.last_bars.values()]
    told = [ts for (stage, _), ts in found.progress.items() if stage == FEED]
    newest = max([*closes, *told], default=None)
    return dict(found.progress) | ({} if newest is None else {(FEED, MAIN): newest})


def lag_of(
    progress: Mapping[tuple[str, str], int], instances: list[tuple[str, str]]
) -> dict[str, int | None]:
    """How far each stage is behind the feed in event time, ms: its slowest instance.

    None where the feed or an instance has not told progress, or so long ago that it was not found.
    """
    newest = max((ts for (stage, _), ts in progress.items() if stage == FEED), default=None)
    found: dict[str, int | None] = {}
    for stage, instance in instances:
        ts = progress.get((stage, instance))
        behind = None if newest is None or ts is None else max(0, newest - ts)
        if stage in found and (found[stage] is None or behind is None):
            found[stage] = None
        else:
            found[stage] = behind if stage not in found else max(behind or 0, found[stage] or 0)
    return found
