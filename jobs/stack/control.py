"""`up`, `submit` and `down`: what commands do with a stack. One at a time per folder."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Collection, Sequence
from operator import methodcaller
from pathlib import Path
from typing import Any, NamedTuple

from jobs import code, jvm
from jobs.run import code_version
from jobs.stack import (
    checks,
    flink,
    joining,
    monitors,
    names,
    secrets,
    settings,
    tables,
)
from jobs.stack.ports import claim_ports, taken_note
from jobs.stack.processes import SUPERVISOR, end_servers, servers_of, supervisor_of
from jobs.stack.rest import Flink, FlinkAwayError, Job
from jobs.stack.state import (
    CONFIG,
    FAILED,
    RUNNING,
    STARTING,
    WAITING,
    JobRecord,
    Ports,
    Stack,
    change,
    database_of,
    held,
    process,
    read,
    write,
    write_file,
)
from jobs.stack.submission import SCRIPT, Start, point_of
from jobs.stack.submission import submit as submit_jobs
from schemas.config import Config
from udfs.errors import ConfigError

START_TIMEOUT_S = 240.0
JOBS_TIMEOUT_S = 180.0
END_TIMEOUT_S = 20.0
SUPERVISOR_TIMEOUT_S = 90.0
POLL_S = 0.2
STARTS = 3  # of a process that ends each time: then it is told
BUSY = "another tradeflow command works on the stack in {}; wait until it is done"

Note = Callable[[str], None]


class Wish(NamedTuple):
    """How a stack is brought up. `jobs` None: all that it should have. `script` submits them.

    `monitoring`: with Prometheus and Alertmanager or without, None: as it was.
    """

    fixed_ports: bool = False
    monitoring: bool | None = None
    jobs: Sequence[names.JobName] | None = None
    fresh: bool = False
    script: Path = SCRIPT


class Up(NamedTuple):
    """What `up` found and did. `submitted`: job and where it goes on from, empty for nothing.

    `came_back`: jobs that Flink brought back itself after all processes were killed.
    """

    stack: Stack
    was_running: bool
    came_back: list[str]
    submitted: dict[str, str]
    problems: list[str]


AS_USUAL = Wish()


def silent(text: str) -> None:
    """Say nothing."""


def up(config: Config, folder: Path, wish: Wish = AS_USUAL, note: Note = silent) -> Up:
    """Start what does not run of a stack: processes, tables, jobs. Refuses what would mix runs.

    ConfigError says what is missing, taken or different. `note` is told of each step.
    """
    folder = folder.absolute()
    checks.check_config(config)
    checks.check_writable(folder)
    with held(folder / "command.lock", BUSY.format(folder)):
        was_running = supervisor_of(folder) is not None
        joined = _joining(config, folder, was_running)
        if joined.begins:
            _stop_for(joined, folder, wish, note)
        stack = _record(config, folder, wish, was_running, note)
        if not was_running:
            _start(stack, secrets.hidden(config), note)
        _wait_until_up(stack, config, note)
        if joined.begins:
            joining.show_to_monitors(stack)
        text = (folder / CONFIG).read_text(encoding="utf-8")
        run = (stack.run_id, stack.config_digest, text, code_version())
        secrets.grant(stack, config)
        place = checks.place(stack, config)
        tables.prepare(place, run, config.store.retention_days)
        return bring_jobs(stack, wish, was_running, note)


def _joining(config: Config, folder: Path, was_running: bool) -> joining.Joining:
    """Strategies that the stack in the folder does not have yet."""
    tree = settings.resolved(config)
    if read(folder) is None:
        return joining.Joining({}, tree)
    begins = {one.id: one.from_ts for one in config.strategies}
    found = joining.joining(settings.written(folder), tree, begins)
    joining.refuse_unless_running(found, was_running)
    return found


def _stop_for(joined: joining.Joining, folder: Path, wish: Wish, note: Note) -> None:
    """Stop the jobs for strategies that join; where it is too late for those, start them again."""
    stack = running_stack(folder)
    joining.changed_keys(stack, settings.written(folder), joined)
    note(f"joining: {', '.join(sorted(joined.begins))}")
    try:
        joining.stop_for(stack, joined, note)
    except ConfigError:
        bring_jobs(running_stack(folder), wish._replace(jobs=None), True, note)
        raise


def _record(config: Config, folder: Path, wish: Wish, was_running: bool, note: Note) -> Stack:
    """Check everything, and write what this start of the stack is."""
    tree = settings.resolved(config)
    text = settings.json_text(tree)
    mode = checks.execution_mode()
    before = read(folder)
    if before is not None and before.outside:
        raise ConfigError(
            f"{folder} is that of a store and Flink outside: `tradeflow attach` works with them; "
            "name another folder by --dir"
        )
    watched = before is not None and before.monitoring
    if wish.monitoring is not None:
        watched = wish.monitoring
    if watched:
        monitors.check(config.monitoring)
    if before is not None:
        begins = {one.id: one.from_ts for one in config.strategies}
        joined = joining.joining(settings.written(folder), tree, begins)
        changed = joining.changed_keys(before, settings.written(folder), joined)
        checks.check_mode(before.execution_mode, mode)
        if changed and was_running:
            note(
                f"changed: {', '.join(changed)}; processes that run keep the old values until "
                "`tradeflow down` and `tradeflow up`"
            )
    jobs = names.wanted(_recorded(before), config.monitoring.export)
    slots = flink.slots_of(config.live, len(jobs))
    flink.check_heap(config.live, len(jobs))
    database = database_of(config.run.id, config.store.database)
    if before is not None:
        checks.check_store(before.store, config.store.kind, database)
    if before is not None and was_running:
        stack = before._replace(config_digest=settings.digest(text), monitoring=watched)
        write_file(folder / CONFIG, text)
        _configure_monitors(stack, config)
        return change(
            folder,
            lambda one: one._replace(config_digest=stack.config_digest, monitoring=watched),
        )
    _end_left(folder, note)
    checks.check_machine(folder, config)
    ports = claim_ports(folder, before.ports if before else None, wish.fixed_ports)
    moved = taken_note(ports)
    if moved:
        note(moved)
    stack = _new(config, folder, ports, before)._replace(
        database=database,
        execution_mode=mode,
        config_digest=settings.digest(text),
        monitoring=watched,
        store_kind=config.store.kind,
    )
    secrets.prepare(folder, config)
    write_file(folder / CONFIG, text)
    write(stack)
    flink.copy_code(folder)
    flink.configure(stack, config.live, slots)
    _configure_monitors(stack, config)
    return stack


def _configure_monitors(stack: Stack, config: Config) -> None:
    if stack.monitoring:
        monitors.configure(stack, config.live, config.monitoring.export)


def _recorded(stack: Stack | None) -> list[str]:
    return [job.name for job in stack.jobs] if stack else []


def _new(config: Config, folder: Path, ports: Ports, before: Stack | None) -> Stack:
    """What this start is. Where the code is another, Flink forgets its jobs: they come anew."""
    generation = before.generation if before else 1
    if before is not None and before.code_digest != code.CODE:
        generation += 1
    return Stack(
        folder=folder,
        run_id=config.run.id,
        database="",
        ports=ports,
        execution_mode="",
        code_digest=code.CODE,
        config_digest="",
        work_folder=os.getcwd(),
        generation=generation,
        supervisor=process("supervisor", STARTING),
        processes=(),
        jobs=before.jobs if before else (),
    )


def _end_left(folder: Path, note: Note) -> None:
    """End what a killed supervisor left: the store's folder and the ports must be free."""
    left = servers_of(folder)
    if left:
        note(f"ending {len(left)} processes that a supervisor left behind when it was killed")
        end_servers(folder, END_TIMEOUT_S)


def _start(stack: Stack, hidden: Collection[str], note: Note) -> None:
    """Start the supervisor, which starts the rest, without these variables of the environment."""
    note("starting the store and Flink")
    log = stack.folder / "log" / "supervisor.log"
    with log.open("ab") as output:
        subprocess.Popen(
            [sys.executable, "-m", SUPERVISOR, str(stack.folder)],
            cwd=jvm.REPO,
            env={name: value for name, value in os.environ.items() if name not in hidden},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,  # it outlives this terminal
        )


def _wait_until_up(stack: Stack, config: Config, note: Note) -> None:
    """Return once the store runs and Flink has its slots."""
    deadline = time.monotonic() + START_TIMEOUT_S
    rest, slots = Flink(stack.rest, stack.prefix), config.live.task_managers
    log = stack.folder / "log" / "supervisor.log"
    while time.monotonic() < deadline:
        time.sleep(POLL_S)
        now = read(stack.folder)
        state = now.supervisor if now else process("supervisor", FAILED)
        if state.state == FAILED:
            raise ConfigError(f"the stack did not start: {state.problem}\nsee {log}")
        for one in now.processes if now else ():
            if one.state == WAITING and one.starts >= STARTS and one.name not in monitors.NAMES:
                raise ConfigError(f"{one.name} does not start: {one.problem}\nsee {one.log}")
        if state.state == RUNNING:
            try:
                if rest.slots() >= slots:
                    return
            except FlinkAwayError:
                pass  # not listening yet
        if state.pid and supervisor_of(stack.folder) is None:
            raise ConfigError(f"the supervisor has ended; see {log}, and say `tradeflow up` again")
    raise ConfigError(
        f"the stack is not up after {START_TIMEOUT_S:.0f} s; `tradeflow status` says what is "
        f"missing, and {log} why"
    )


def bring_jobs(stack: Stack, wish: Wish, was_running: bool, note: Note) -> Up:
    """Submit the jobs that are missing, and wait until all work.

    One of Flink's clients at a time: whoever calls it holds the lock of the stack's commands.
    """
    rest = Flink(stack.rest, stack.prefix)
    try:
        there = rest.jobs_that_stay(JOBS_TIMEOUT_S)
    except FlinkAwayError as error:
        raise ConfigError(f"{error}; say `tradeflow up` again") from None
    for job in there:
        if stack.job(job.name).job_id != job.job_id:
            record = JobRecord(job.name, job.job_id, stack.job(job.name).point)
            stack = change(stack.folder, methodcaller("with_job", record))
    wanted = wish.jobs
    if wanted is None:
        tree: Any = settings.written(stack.folder)
        wanted = names.wanted(_recorded(stack), tree["monitoring"]["export"])
    missing = [one for one in wanted if one.text not in {job.name for job in there}]
    names.refuse_doubles(missing, [job.name for job in there])
    starts = [
        Start(one, "" if wish.fresh else point_of(stack.folder, stack.job(one.text)))
        for one in missing
    ]
    problems = []
    submitted = {}
    if starts:
        note(f"submitting {', '.join(one.name.text for one in starts)}")
        answers = submit_jobs(stack, starts, wish.script)
        for start in starts:
            name = start.name.text
            if answers[name].job_id:
                record = JobRecord(name, answers[name].job_id, start.point)
                gone = names.replaced(start.name, _recorded(stack))
                change(stack.folder, methodcaller("without_jobs", gone))
                stack = change(stack.folder, methodcaller("with_job", record))
                submitted[name] = start.point
            else:
                problems.append(f"{name} was not submitted: {answers[name].problem}")
    problems += _wait_for_jobs(rest, {job.name for job in there} | set(submitted), note)
    now = read(stack.folder) or stack
    problems += [
        f"{one.name} does not start: {one.problem}; see {one.log}"
        for one in now.processes
        if one.name in monitors.NAMES and one.state == WAITING
    ]
    came_back = [] if was_running else [job.name for job in there]
    return Up(now, was_running, came_back, submitted, problems)


def _wait_for_jobs(rest: Flink, wanted: set[str], note: Note) -> list[str]:
    """Return once all tasks of these jobs run; what is wrong with those that do not in time."""
    deadline = time.monotonic() + JOBS_TIMEOUT_S
    late: list[Job] = []
    found: list[Job] = []
    if wanted:
        note("waiting until all jobs work")
    while time.monotonic() < deadline:
        try:
            found = rest.jobs()
        except FlinkAwayError:
            found = []
        working = {job.name for job in found if job.is_working}
        if wanted <= working:
            return []
        late = [job for job in found if job.name in wanted - working]
        time.sleep(POLL_S)
    told = [f"{job.name} is {job.state}: {_problem(rest, job)}" for job in late]
    gone = sorted(wanted - {job.name for job in found})
    return told + [f"{name} has ended by itself; `tradeflow logs jobmanager`" for name in gone]


def _problem(rest: Flink, job: Job) -> str:
    try:
        return rest.health(job.job_id).problem or "not all of its tasks run"
    except FlinkAwayError as error:
        return str(error)


def configured_strategies(folder: Path) -> list[str]:
    """The ids of the strategies of the stack in a folder, grids as one; ConfigError without one."""
    running_stack(folder)
    tree: Any = settings.written(folder)
    return [str(one["id"]) for one in tree["strategies"]]


def submit(
    folder: Path,
    jobs: Sequence[names.JobName] | None,
    wish: Wish = AS_USUAL,
    note: Note = silent,
) -> Up:
    """Submit jobs to a stack that runs, None for all; those that run already are left alone."""
    folder = folder.absolute()
    stack = running_stack(folder)
    with held(folder / "command.lock", BUSY.format(folder)):
        return bring_jobs(stack, wish._replace(jobs=jobs), True, note)


def running_stack(folder: Path) -> Stack:
    """The stack of a folder; ConfigError where it does not run."""
    stack = read(folder)
    if stack is not None and stack.outside:
        return stack
    if stack is None or supervisor_of(folder) is None:
        what = "there is no stack" if stack is None else "the stack does not run"
        raise ConfigError(f"{what} in {folder}; start it by `tradeflow up`")
    return stack
