"""Jobs stopped with savepoints, each recorded with the place where it goes on."""

import time
from collections.abc import Callable
from operator import methodcaller
from pathlib import Path

from jobs.stack.processes import servers_of
from jobs.stack.rest import Flink, FlinkAwayError, Job
from jobs.stack.state import JobRecord, Stack, change
from jobs.stack.submission import newest_checkpoint

SAVEPOINT_TIMEOUT_S = 60.0
CANCEL_TIMEOUT_S = 20.0
POLL_S = 0.2
STORE = {
    "fluss": ("zookeeper", "coordinator", "tablet-0"),
    "kafka": ("zookeeper", "broker"),
}

Note = Callable[[str], None]


def stop_jobs(stack: Stack, note: Note) -> tuple[dict[str, str], list[str]]:
    """Stop every job, record where it goes on; (where, what went wrong)."""
    rest = Flink(stack.rest, stack.prefix)
    lives = stack.outside is not None or bool(servers_of(stack.folder))
    try:
        jobs = rest.jobs() if lives else []
    except FlinkAwayError:
        jobs = []
        if lives:
            return {}, ["Flink does not answer: jobs go on from their last checkpoints"]
    if not jobs:
        return {}, []
    why = _why_no_savepoint(stack)
    saved: dict[str, str] = {}
    failed: dict[str, str] = {}
    if why:
        failed = {job.job_id: why for job in jobs}
    else:
        note(f"stopping {len(jobs)} jobs with savepoints")
        saved, failed = _savepoints(rest, jobs, stack.folder / "flink" / "savepoints")
    points, problems = {}, []
    for job in jobs:
        if job.job_id in saved:
            point = saved[job.job_id].removeprefix("file:")
            point = "/" + point.lstrip("/")
            record = JobRecord(job.name, "", point)
        else:
            record, text = _fall_back(stack, rest, job)
            problems.append(f"{job.name}: no savepoint ({failed[job.job_id]}); {text}")
        change(stack.folder, methodcaller("with_job", record))
        points[job.name] = record.point
    return points, problems


def _why_no_savepoint(stack: Stack) -> str:
    """Why there can be no savepoints, or nothing: they wait for the store's writers."""
    if stack.outside:
        return ""
    kinds = {one.kind for one in servers_of(stack.folder)}
    gone = [name for name in STORE[stack.store_kind] if name.partition("-")[0] not in kinds]
    return f"{', '.join(gone)} of the store does not run" if gone else ""


def _savepoints(
    rest: Flink, jobs: list[Job], folder: Path
) -> tuple[dict[str, str], dict[str, str]]:
    """Stop jobs all at once; their savepoints, and why there is none, by the jobs' ids."""
    saved: dict[str, str] = {}
    failed: dict[str, str] = {}
    asked: dict[str, str] = {}
    for job in jobs:
        try:
            asked[job.job_id] = rest.stop(job.job_id, f"file://{folder}")
        except FlinkAwayError as error:
            failed[job.job_id] = str(error)
    deadline = time.monotonic() + SAVEPOINT_TIMEOUT_S
    while asked and time.monotonic() < deadline:
        for job_id, request in list(asked.items()):
            try:
                point = rest.savepoint(job_id, request)
            except FlinkAwayError:
                continue
            if point.is_done:
                del asked[job_id]
                (saved if point.location else failed)[job_id] = point.location or point.problem
        time.sleep(POLL_S)
    failed |= dict.fromkeys(asked, f"not done in {SAVEPOINT_TIMEOUT_S:.0f} s")
    return saved, failed


def _fall_back(stack: Stack, rest: Flink, job: Job) -> tuple[JobRecord, str]:
    """Cancel a job and take its last checkpoint; its record, and what to say."""
    before = stack.job(job.name)
    newest = newest_checkpoint(stack.folder / "flink" / "checkpoints" / job.job_id)
    try:
        rest.cancel(job.job_id)
        deadline = time.monotonic() + CANCEL_TIMEOUT_S
        while job.job_id in {one.job_id for one in rest.jobs()} and time.monotonic() < deadline:
            time.sleep(POLL_S)
        # One may have been finished since.
        newest = newest_checkpoint(stack.folder / "flink" / "checkpoints" / job.job_id) or newest
    except FlinkAwayError:
        return JobRecord(job.name, job.job_id, before.point), "it goes on from its last checkpoint"
    if newest is None:
        where = "where it had begun" if before.point else "the start of its tables"
        return JobRecord(job.name, "", before.point), f"it goes on from {where}"
    return JobRecord(job.name, "", str(newest)), f"it goes on from its checkpoint {newest.name}"
