"""What a stack is, as its folder's stack.json says it to everybody.

Two write to it, the supervisor (processes) and commands (the rest). Each change is read, made and
written under a lock, and the file is replaced at once: who reads it needs no lock.
"""

import fcntl
import json
import os
import re
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from jobs.store.login import stack_login
from jobs.store.place import FLUSS, StorePlace
from udfs.errors import ConfigError

FILE = "stack.json"
CONFIG = "config.json"
VERSION = 1
STARTING, RUNNING, WAITING, ENDED, FAILED = "starting", "running", "waiting", "ended", "failed"


class Ports(NamedTuple):
    """Loopback ports of a stack, the usual ones unless they are given.

    With Kafka the broker listens where Fluss's coordinator would, its controller where the tablet
    server would. `flink_metrics` is the JobManager's; TaskManagers have those after it. The
    monitoring ones are away from where a machine's own Prometheus listens.
    """

    zookeeper: int = 2181
    coordinator: int = 9123
    tablet: int = 9124
    rest: int = 8081
    exporter: int = 9125
    flink_metrics: int = 9126
    prometheus: int = 9190
    alertmanager: int = 9193
    notifier: int = 9194


class Process(NamedTuple):
    """A process of the stack as its supervisor sees it.

    `starts` counts how often it was started since the supervisor was. `problem`: why the last
    one ended, or why it is not started.
    """

    name: str
    state: str
    pid: int | None
    starts: int
    problem: str
    log: str


class JobRecord(NamedTuple):
    """A job that was submitted: its id while it may run, and where it began.

    `point` is the savepoint or checkpoint that it goes on from unless there is a newer checkpoint
    of `job_id`; empty: from nothing.
    """

    name: str
    job_id: str
    point: str


class Outside(NamedTuple):
    """What others run, by address, as `tradeflow attach` names it: `store` by host and port, and
    by URL the JobManagers and, where it is known, the exporter.
    """

    store: str
    flinks: tuple[str, ...]
    exporter: str | None = None


class Stack(NamedTuple):
    """All that the folder of a stack says. `generation` names Flink's memory in ZooKeeper.

    `monitoring`: with Prometheus and Alertmanager. `store_kind`: fluss or kafka. `outside`: nothing
    of it runs below a supervisor here, and the ports mean nothing.
    """

    folder: Path
    run_id: str
    database: str
    ports: Ports
    execution_mode: str
    code_digest: str
    config_digest: str
    work_folder: str
    generation: int
    supervisor: Process
    processes: tuple[Process, ...]
    jobs: tuple[JobRecord, ...]
    monitoring: bool = False
    store_kind: str = FLUSS
    outside: Outside | None = None

    @property
    def store(self) -> StorePlace:
        """Where its tables are, for the stack's own user."""
        login = stack_login(self.folder)
        return StorePlace(self.store_kind, self.bootstrap, self.database, login)

    @property
    def bootstrap(self) -> str:
        """The address of the store."""
        return self.outside.store if self.outside else f"127.0.0.1:{self.ports.coordinator}"

    @property
    def rest(self) -> str:
        """The address of Flink; of the first JobManager, where there are several."""
        return self.rests[0]

    @property
    def rests(self) -> tuple[str, ...]:
        """The addresses of all JobManagers: one per job in a cluster of application mode."""
        return self.outside.flinks if self.outside else (f"http://localhost:{self.ports.rest}",)

    @property
    def prefix(self) -> str:
        """How the names of its jobs begin in Flink."""
        return f"{self.run_id}."

    def job(self, name: str) -> JobRecord:
        """The record of a job; an empty one where it was never submitted."""
        return next((job for job in self.jobs if job.name == name), JobRecord(name, "", ""))

    def with_job(self, record: JobRecord) -> "Stack":
        """The same with this record of a job."""
        others = [job for job in self.jobs if job.name != record.name]
        return self._replace(jobs=tuple(sorted([*others, record])))

    def without_jobs(self, gone: Collection[str]) -> "Stack":
        """The same without the records of these jobs."""
        return self._replace(jobs=tuple(job for job in self.jobs if job.name not in gone))


def database_of(run_id: str, given: str | None) -> str:
    """The database of a run: what was given, else the run's name as a database may have it."""
    return given or re.sub(r"[^A-Za-z0-9_]", "_", run_id)


def process(name: str, state: str = ENDED, pid: int | None = None) -> Process:
    """A process that nothing is known of."""
    return Process(name, state, pid, 0, "", "")


def as_dict(stack: Stack) -> dict[str, Any]:
    """What stack.json holds; addresses are written for others, and not read again."""
    return {
        "version": VERSION,
        "run_id": stack.run_id,
        "store_kind": stack.store_kind,
        "database": stack.database,
        "bootstrap": stack.bootstrap,
        "rest": stack.rest,
        "ports": stack.ports._asdict(),
        "execution_mode": stack.execution_mode,
        "code_digest": stack.code_digest,
        "config_digest": stack.config_digest,
        "work_folder": stack.work_folder,
        "generation": stack.generation,
        "supervisor": stack.supervisor._asdict(),
        "processes": [one._asdict() for one in stack.processes],
        "jobs": [one._asdict() for one in stack.jobs],
        "monitoring": stack.monitoring,
        "outside": stack.outside and stack.outside._asdict(),
    }


def from_dict(folder: Path, data: dict[str, Any]) -> Stack:
    """The stack of what `as_dict` gave; KeyError and TypeError where it did not."""
    outside = data.get("outside")
    return Stack(
        folder=folder,
        run_id=data["run_id"],
        database=data["database"],
        ports=Ports(**data["ports"]),
        execution_mode=data["execution_mode"],
        code_digest=data["code_digest"],
        config_digest=data["config_digest"],
        work_folder=data["work_folder"],
        generation=data["generation"],
        supervisor=Process(**data["supervisor"]),
        processes=tuple(Process(**one) for one in data["processes"]),
        jobs=tuple(JobRecord(**one) for one in data["jobs"]),
        monitoring=data.get("monitoring", False),
        store_kind=data.get("store_kind", FLUSS),
        outside=Outside(**outside)._replace(flinks=tuple(outside["flinks"])) if outside else None,
    )


def read(folder: Path) -> Stack | None:
    """The stack of a folder, None where there is none; ConfigError where its file is no such."""
    file = folder / FILE
    try:
        data = json.loads(file.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except ValueError as error:
        raise ConfigError(f"{file} is not JSON ({error}); {_remedy(folder)}") from None
    version = data.get("version") if isinstance(data, dict) else None
    if version != VERSION:
        raise ConfigError(
            f"{file} has version {version!r} and this program knows {VERSION}; {_remedy(folder)}"
        )
    try:
        return from_dict(folder, data)
    except (KeyError, TypeError) as error:
        raise ConfigError(f"{file} is damaged ({error}); {_remedy(folder)}") from None


def _remedy(folder: Path) -> str:
    return f"take another --dir, or remove {folder} with all its data"


def write(stack: Stack) -> None:
    """Replace stack.json."""
    write_file(stack.folder / FILE, json.dumps(as_dict(stack), indent=1) + "\n")


def change(folder: Path, changed: Callable[[Stack], Stack]) -> Stack:
    """Read, change and write the stack, alone with it."""
    with _locked(folder / "stack.lock"):
        stack = read(folder)
        if stack is None:
            raise ConfigError(f"{folder / FILE} is gone; start anew with `tradeflow up`")
        after = changed(stack)
        if after != stack:
            write(after)
        return after


@contextmanager
def _locked(file: Path) -> Iterator[None]:
    with file.open("ab") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@contextmanager
def held(file: Path, problem: str) -> Iterator[None]:
    """Hold a lock for the block; ConfigError with `problem` where another process holds it."""
    with file.open("ab") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ConfigError(problem) from None
        yield


def write_file(file: Path, text: str) -> None:
    """Replace a file at once: who reads it sees the old or the new one, whole."""
    part = file.with_name(f"{file.name}.part{os.getpid()}")
    part.write_text(text, encoding="utf-8")
    part.replace(file)
