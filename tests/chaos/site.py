"""A live run that is to be disturbed: its processes, and a feeder that is started again."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

from jobs.stack.processes import servers_of, supervisor_of
from jobs.stack.state import Stack, read
from jobs.store.client import Client, open_client
from schemas.config import Config
from tests.chaos.faults import FEEDER, KILL, MACHINE, SUPERVISOR, Fault

REPO = Path(__file__).resolve().parents[2]
TRADEFLOW = (sys.executable, "-m", "cli.main")
STORE = ("zookeeper", "coordinator", "tablet", "kafka", "broker")
FLINK = ("jobmanager", "taskmanager")
THERE_S = 120.0  # within which a process that was killed is there again
POLL_S = 0.1
UP_TRIES = 5
UP_PAUSE_S = 10.0


class Site(NamedTuple):
    """A run on a stack in `folder`; `file` is its configuration.

    `is_own`: the stack is there for this run alone, so all of it may be killed.
    """

    folder: Path
    file: Path
    config: Config
    database: str
    is_own: bool

    def stack(self) -> Stack:
        """The stack as it is now."""
        found = read(self.folder)
        assert found is not None
        return found

    def client(self, stop: threading.Event | None = None) -> Client:
        """A client of the run's database that waits for the store."""
        place = self.stack().store._replace(database=self.database)
        return open_client(place, retry_s=None, stop=stop)

    def targets(self) -> list[str]:
        """The processes that may be killed one by one."""
        names = [one.name for one in self.stack().processes]
        return [name for name in names if name.startswith((*STORE, *FLINK))] + [FEEDER]

    def rare(self) -> tuple[str, ...]:
        """What is killed rarely."""
        return (SUPERVISOR, MACHINE) if self.is_own else ()


class Feeder:
    """`tradeflow replay` as a process that is started again when it ends before its time."""

    def __init__(self, site: Site, speed: str, log: Path) -> None:
        stack = site.stack()
        where = ("--store", stack.store.address, "--database", site.database)
        self._words = (*TRADEFLOW, "replay", "--config", str(site.file), *where)
        self._speed, self._log = speed, log
        self._stop = threading.Event()
        self._process: subprocess.Popen[bytes] | None = None
        self._thread = threading.Thread(target=self._keep)
        self.is_done = False
        self.failures: list[str] = []

    def __enter__(self) -> "Feeder":
        self._process = self._start("--speed", self._speed)
        self._thread.start()
        return self

    def __exit__(self, *args: object) -> None:
        self._stop.set()
        self._thread.join()
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            self._process.wait()

    def pid(self) -> int | None:
        """The process, while it lives."""
        one = self._process
        return one.pid if one is not None and one.poll() is None else None

    @contextmanager
    def held(self) -> Iterator[None]:
        """It stands still for the block."""
        pid = self.pid()
        if pid is not None:
            _signal(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            if pid is not None:
                _signal(pid, signal.SIGCONT)

    def finish(self, patience_s: float) -> str:
        """Feed the rest without a pause until every stage is done; empty, or what went wrong."""
        self.__exit__()
        rest = ("--speed", "max", "--wait", "--patience", f"{patience_s:g}")
        code = self._start(*rest).wait()
        return "" if code == 0 else f"the last replay ended with code {code}; see {self._log}"

    def _start(self, *words: str) -> subprocess.Popen[bytes]:
        with self._log.open("ab") as output:
            return subprocess.Popen(
                [*self._words, *words], cwd=REPO, stdin=subprocess.DEVNULL, stdout=output,
                stderr=output, start_new_session=True,
            )  # fmt: skip

    def _keep(self) -> None:
        while not self._stop.wait(POLL_S):
            assert self._process is not None
            code = self._process.poll()
            if code == 0:
                self.is_done = True
                return
            if code is not None:
                if code > 0:
                    self.failures.append(f"the feeder ended with code {code}; see {self._log}")
                self._process = self._start("--speed", self._speed)


class Hand:
    """Does a fault to a site. `notes` are what needed more than the usual to come back."""

    def __init__(self, site: Site, feeder: Feeder, log: Path) -> None:
        self._site, self._feeder, self._log = site, feeder, log
        self._paused: list[threading.Timer] = []
        self.notes: list[str] = []

    def do(self, fault: Fault) -> bool:
        """Kill or stop; False where the process was not there in time."""
        if fault.target in (SUPERVISOR, MACHINE):
            self._kill_many(fault.target)
            return True
        pid = self._pid(fault.target)
        if pid is None:
            return False
        if fault.how == KILL:
            return _signal(pid, signal.SIGKILL)
        if not _signal(pid, signal.SIGSTOP):
            return False
        timer = threading.Timer(fault.pause_s, _signal, (pid, signal.SIGCONT))
        timer.start()
        self._paused.append(timer)
        return True

    def let_go(self) -> None:
        """Return once no process stands still any more."""
        for timer in self._paused:
            timer.join()
        self._paused.clear()

    def _pid(self, target: str) -> int | None:
        """The process of that name, once it lives."""
        until = time.monotonic() + THERE_S
        while time.monotonic() < until:
            pid = self._feeder.pid() if target == FEEDER else self._of_stack(target)
            if pid is not None:
                return pid
            if target == FEEDER and self._feeder.is_done:
                return None
            time.sleep(POLL_S)
        return None

    def _of_stack(self, target: str) -> int | None:
        living = {one.pid for one in servers_of(self._site.folder)}
        found = [one.pid for one in self._site.stack().processes if one.name == target]
        return next((pid for pid in found if pid in living), None)

    def _kill_many(self, target: str) -> None:
        """The supervisor, with all processes or alone; then `tradeflow up`, as a person does."""
        folder = self._site.folder
        pids: Sequence[int | None] = [supervisor_of(folder)]
        if target == MACHINE:
            pids = [*pids, *(one.pid for one in servers_of(folder))]
        for pid in pids:
            if pid is not None:
                _signal(pid, signal.SIGKILL)
        words = [*TRADEFLOW, "up", "--config", str(self._site.file), "--dir", str(folder)]
        for number in range(1, UP_TRIES + 1):
            with self._log.open("ab") as output:
                code = subprocess.run(
                    words, cwd=REPO, stdout=output, stderr=output, check=False
                ).returncode
            if code == 0:
                return
            self.notes.append(f"`tradeflow up` number {number} after {target} killed: code {code}")
            time.sleep(UP_PAUSE_S)


def _signal(pid: int, number: int) -> bool:
    with suppress(ProcessLookupError):
        os.kill(pid, number)
        return True
    return False


@contextmanager
def nothing_paused(hand: Hand) -> Iterator[None]:
    """Whatever happens in the block, no process stands still after it."""
    try:
        yield
    finally:
        hand.let_go()
