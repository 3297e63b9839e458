"""`python -m jobs.stack.supervisor FOLDER`: starts a stack's processes and keeps them alive.

`tradeflow up` starts it, in a session of its own. The store comes first and ends last; what ends in
it is brought back by `revive`, without which acknowledged rows would be lost. SIGTERM ends all.
"""

import json
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType, ModuleType
from typing import NoReturn

from jobs import fluss_run, fluss_store, kafka_run, kafka_store
from jobs.servers import Running, stop
from jobs.stack import flink, monitors, secrets
from jobs.stack.processes import end_servers
from jobs.stack.state import (
    CONFIG,
    ENDED,
    FAILED,
    RUNNING,
    STARTING,
    WAITING,
    Process,
    Stack,
    change,
    held,
    read,
)
from jobs.stack.watch import POLL_S, Wait, after_failure, ending, kept_alive
from schemas.config_models import LiveConfig
from udfs.errors import ConfigError

END_TIMEOUT_S = 20.0
Store = fluss_store.Store | kafka_store.Store
RUNNERS = {"fluss": fluss_run, "kafka": kafka_run}
LOCK = "supervisor.lock"


class Told:
    """What is known of the processes: said in the log, and in stack.json for others.

    Called by two threads.
    """

    def __init__(self, folder: Path, logs: dict[str, Path]) -> None:
        self._folder = folder
        self._lock = threading.Lock()
        self._known = {name: _unknown(name, log) for name, log in logs.items()}

    def __call__(self, name: str, state: str, pid: int | None, problem: str) -> None:
        """A process has changed its state."""
        with self._lock:
            before = self._known.get(name) or _unknown(name, self._folder / "log" / f"{name}.out")
            starts = before.starts + (state == RUNNING)
            # Why it was started again stays to be read.
            kept = problem or before.problem
            self._known[name] = before._replace(state=state, pid=pid, starts=starts, problem=kept)
            log(
                f"{name} {state}{f', process {pid}' if pid else ''}{f': {problem}' * bool(problem)}"
            )
            processes = tuple(self._known.values())
            change(self._folder, lambda stack: stack._replace(processes=processes))

    def pid(self, name: str) -> int | None:
        """The process that was told of last."""
        return self._known[name].pid

    def names(self) -> list[str]:
        """Of all processes that it knows."""
        return list(self._known)

    def supervisor(self, state: str, problem: str = "") -> None:
        """The supervisor itself has changed its state."""
        pid = None if state in (ENDED, FAILED) else os.getpid()
        log(f"supervisor {state}{f': {problem}' * bool(problem)}")
        file = str(self._folder / "log" / "supervisor.log")
        own = Process("supervisor", state, pid, 1, problem, file)
        change(self._folder, lambda stack: stack._replace(supervisor=own))


def _unknown(name: str, log: Path) -> Process:
    return Process(name, ENDED, None, 0, "", str(log))


class Stopped(Exception):
    """SIGTERM came."""


def log(text: str) -> None:
    """A line of the log."""
    # One write: two threads speak.
    sys.stdout.write(f"{time.strftime('%Y-%m-%d %H:%M:%S')} {text}\n")
    sys.stdout.flush()


@contextmanager
def stopping() -> Iterator[None]:
    """SIGTERM, SIGINT or SIGHUP end the block by Stopped; more of them change nothing."""
    numbers = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)

    def stop(number: int, frame: FrameType | None) -> NoReturn:
        for one in numbers:
            signal.signal(one, signal.SIG_IGN)
        raise Stopped

    for one in numbers:
        signal.signal(one, stop)
    yield


def run(folder: Path) -> int:
    """Run the stack of the folder until SIGTERM; the exit code."""
    stack = read(folder)
    if stack is None:
        raise ConfigError(f"no stack in {folder}")
    live = LiveConfig.model_validate(
        json.loads((folder / CONFIG).read_text(encoding="utf-8"))["live"]
    )
    store, commands = parts(stack, live)
    logs = {one.name: one.log for one in store.servers} | {one.name: one.log for one in commands}
    told = Told(folder, logs)
    code = 0
    try:
        with stopping():
            told.supervisor(STARTING)
            for left in end_servers(folder, END_TIMEOUT_S):
                log(f"ended process {left.pid}, a {left.kind} that an earlier supervisor had left")
            runner = RUNNERS[stack.store_kind]
            with runner.running(store) as running:
                tell_store(running, told)
                wanted = Wanted(commands, stack)
                with kept_alive(wanted, flink.variables(folder), folder, told):
                    told.supervisor(RUNNING)
                    keep_store(runner, running, told)
    except Stopped:
        log("asked to end")
    except ConfigError as error:
        told.supervisor(FAILED, str(error))
        code = 2
    end_servers(folder, END_TIMEOUT_S)  # what was being started when the signal came
    for name in told.names():
        told(name, ENDED, None, "")
    if code == 0:
        told.supervisor(ENDED)
    return code


class Wanted:
    """The processes that the stack should have by now, as its file says."""

    def __init__(self, commands: Sequence[flink.Command], stack: Stack) -> None:
        self._commands, self._stack = commands, stack

    def __call__(self) -> list[flink.Command]:
        """What Flink needs, and what watches; as before where the file can't be read."""
        with suppress(ConfigError, OSError):
            self._stack = read(self._stack.folder) or self._stack
        return [*self._commands, *monitors.commands(self._stack)]


def parts(stack: Stack, live: LiveConfig) -> tuple[Store, list[flink.Command]]:
    """The store and Flink's processes as configured for a stack."""
    folder, ports = stack.folder / "store", stack.ports
    guard = secrets.guard_of(stack.folder)
    store: Store
    if stack.store_kind == "kafka":
        of_kafka = kafka_store.Ports(ports.zookeeper, ports.coordinator, ports.tablet)
        store = kafka_store.configure(folder, of_kafka, guard=guard)
    else:
        of_fluss = fluss_store.Ports(ports.zookeeper, ports.coordinator, (ports.tablet,))
        store = fluss_store.configure(folder, of_fluss, guard=guard)
    return store, flink.commands(stack, live)


def keep_store(runner: ModuleType, running: Running[Store], told: Told) -> NoReturn:
    """Bring back what ends of the store, until an exception ends it.

    Where that fails all of it is started anew: half a store could make the new coordinator take the
    tables from a tablet server that is not there yet.
    """
    wait, revived = Wait(), 0.0
    while True:
        gone = {
            name: process.returncode
            for name, process in running.processes.items()
            if process.poll() is not None
        }
        if gone:
            for name, code in gone.items():
                told(name, WAITING, None, ending(code))
            wait = after_failure(wait, time.monotonic() - revived)
            if wait.seconds:
                log(f"the store ended {wait.failures} times in a row: waiting {wait.seconds:.0f} s")
            try:
                runner.revive(running, wait.seconds)
                tell_store(running, told)
            except ConfigError as error:
                stop(running.processes)
                for name in running.processes:
                    told(name, WAITING, None, str(error).splitlines()[0])
            revived = time.monotonic()
        time.sleep(POLL_S)


def tell_store(running: Running[Store], told: Told) -> None:
    """Tell of the store's processes that are new."""
    for name, process in running.processes.items():
        if told.pid(name) != process.pid:
            told(name, RUNNING, process.pid, "")


def main() -> None:
    """Run the stack of the folder that is named."""
    folder = Path(sys.argv[1])
    try:
        with held(folder / LOCK, f"a supervisor runs the stack in {folder} already"):
            sys.exit(run(folder))
    except ConfigError as error:
        log(f"error: {error}")
        sys.exit(2)


if __name__ == "__main__":
    main()
