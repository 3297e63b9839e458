"""How the stack's processes and jobs fare, and how full its disk is, asked every few seconds."""

import os
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path

from prometheus_client.metrics_core import Metric

from jobs.exporter.families import counter, gauge
from jobs.stack import names
from jobs.stack.rest import jobs_of
from jobs.stack.state import RUNNING, Stack, read

PATIENCE_S = 2.0


class Health:
    """The last answers; `look` asks anew."""

    def __init__(self, folder: Path, export: str) -> None:
        self._folder, self._export = folder, export
        self._lock = threading.Lock()
        self._jobs: dict[str, bool] = {}
        self._processes: dict[str, tuple[bool, int]] = {}

    def look(self) -> None:
        """Ask the stack's file, the machine and Flink."""
        stack = read(self._folder)
        if stack is None:
            return
        # Who runs the processes of a stack outside says himself how they are.
        known = () if stack.outside else (stack.supervisor, *stack.processes)
        processes = {
            one.name: (one.state == RUNNING and _lives(one.pid), one.starts) for one in known
        }
        jobs = self._ask(stack)
        with self._lock:
            self._jobs, self._processes = jobs, processes

    def _ask(self, stack: Stack) -> dict[str, bool]:
        """Whether each job that the stack should have works; none does where Flink is away."""
        recorded = [job.name for job in stack.jobs]
        wanted = [one.text for one in names.wanted(recorded, self._export)]
        found, _ = jobs_of(stack.rests, stack.prefix, PATIENCE_S)
        working = {job.name for _, job in found if job.is_working}
        return {name: name in working for name in wanted}

    def metrics(self) -> Iterator[Metric]:
        """As of the last look; the disk as it is now."""
        with self._lock:
            jobs, processes = self._jobs, self._processes
        yield gauge(
            "tradeflow_job_up",
            "Whether all of a job runs",
            ("job",),
            (((name,), float(is_up)) for name, is_up in jobs.items()),
        )
        yield gauge(
            "tradeflow_process_up",
            "Whether a process of the stack lives",
            ("process",),
            (((name,), float(is_up)) for name, (is_up, _) in processes.items()),
        )
        yield counter(
            "tradeflow_process_starts",
            "How often the supervisor has started a process",
            ("process",),
            (((name,), count) for name, (_, count) in processes.items()),
        )
        disk = shutil.disk_usage(self._folder)
        for name, words, size in (
            ("tradeflow_disk_free_bytes", "Left on the disk of the stack's folder", disk.free),
            ("tradeflow_disk_size_bytes", "Size of the disk of the stack's folder", disk.total),
        ):
            yield gauge(name, words, (), [((), size)])


def _lives(pid: int | None) -> bool:
    if pid is None:
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
