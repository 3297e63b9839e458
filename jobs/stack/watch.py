"""Keeps processes alive: each is started again, later and later where it ends each time."""

import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from jobs.cluster import end
from jobs.stack.flink import Command
from jobs.stack.rest import leads, reason
from jobs.stack.state import ENDED, RUNNING, WAITING

POLL_S = 0.2
STEADY_S = 60.0  # what has lived that long has not failed at its start
LONGEST_WAIT_S = 30.0
ASK_S = 5.0
LEADERLESS_S = 90.0  # a start takes some 10 s, an election one; more while ZooKeeper is away
STOP_TIMEOUT_S = 20.0
NOTIFIER, SECRETS = "notifier", "TRADEFLOW_NOTIFY_"
ERRORS = ("Caused by: ", " ERROR ", "Exception", "Error: ")
NO_MEMORY = "OutOfMemoryError"  # what came before it is not why the process ended

# Told of a process: name, state, its pid, and why it is not as it should be.
Told = Callable[[str, str, int | None, str], None]


class Wait(NamedTuple):
    """How often something failed in a row, and how long to wait before the next try."""

    failures: int = 0
    seconds: float = 0.0


NO_WAIT = Wait()


def after_failure(wait: Wait, lived_s: float) -> Wait:
    """The first failure is tried again at once, then after 1, 2, 4 ... 30 s."""
    failures = 1 if lived_s >= STEADY_S else wait.failures + 1
    seconds = 0.0 if failures == 1 else min(LONGEST_WAIT_S, 2.0 ** (failures - 2))
    return Wait(failures, seconds)


@dataclass(slots=True)
class _Child:
    """A process that is kept alive; `process` None: not started, or it has ended."""

    command: Command
    process: subprocess.Popen[bytes] | None = None
    wait: Wait = NO_WAIT
    since: float = 0.0
    not_before: float = 0.0
    asked: float = 0.0  # when it was asked last whether it leads
    led: float = 0.0  # when it did, as far as is known
    fault: str = ""  # for which it was killed
    said: tuple[int, ...] = ()  # bytes of its log and output before it was started


@contextmanager
def kept_alive(
    commands: Callable[[], Sequence[Command]],
    variables: Mapping[str, str],
    folder: Path,
    told: Told,
) -> Iterator[None]:
    """Run these processes in `folder` for the block, by a thread of its own; all end with it.

    `commands` is asked again and again: what it no longer names is ended.
    """
    stop = threading.Event()
    children: dict[str, _Child] = {}

    def watch() -> None:
        while not stop.is_set():
            wanted = {command.name: command for command in commands()}
            gone = [children.pop(name) for name in list(children) if name not in wanted]
            _end(gone)
            for child in gone:
                told(child.command.name, ENDED, None, "")
            for name, command in wanted.items():
                child = children.setdefault(name, _Child(command))
                _look_after(child, variables, folder, told)
            stop.wait(POLL_S)

    thread = threading.Thread(target=watch, name="flink")
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
        _end(list(children.values()))


def _end(children: Sequence[_Child]) -> None:
    running = [child.process for child in children if child.process is not None]
    for process in running:
        process.terminate()
    for process in running:
        end(process, STOP_TIMEOUT_S)


def _look_after(child: _Child, variables: Mapping[str, str], folder: Path, told: Told) -> None:
    now = time.monotonic()
    name = child.command.name
    if child.process is None:
        if now >= child.not_before:
            child.said = tuple(len(_bytes(file)) for file in _files(child.command))
            child.process, child.since = _start(child.command, variables, folder), now
            child.asked = child.led = now
            child.fault = ""
            told(name, RUNNING, child.process.pid, "")
        return
    code = child.process.poll()
    if code is None:
        if _leads_nothing(child, now):
            child.fault = f", killed as it led nothing for {LEADERLESS_S:.0f} s"
            child.process.kill()
        return
    lived_s = now - child.since
    child.process = None
    child.wait = after_failure(child.wait, lived_s)
    child.not_before = now + child.wait.seconds
    told(name, WAITING, None, _why(child, code, lived_s))


def _leads_nothing(child: _Child, now: float) -> bool:
    """Whether it is a JobManager that has not led, or not answered, for long.

    Where a session of ZooKeeper was lost twice, its election may wait for ever for an entry that it
    has left itself (Curator's LeaderLatch).
    """
    rest = child.command.rest
    if rest is None or now - child.asked < ASK_S:
        return False
    child.asked = now
    if leads(rest):
        child.led = now
    return now - child.led > LEADERLESS_S


def _start(command: Command, variables: Mapping[str, str], folder: Path) -> subprocess.Popen[bytes]:
    with command.log.with_suffix(".out").open("ab") as output:
        return subprocess.Popen(
            # By a command: all threads of the process have it, those of its start too.
            ("nice", "-n", str(command.nice), *command.words) if command.nice else command.words,
            env=_environment(command, variables),
            cwd=command.place or folder,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            process_group=0,
        )


def _environment(command: Command, variables: Mapping[str, str]) -> dict[str, str]:
    """What a process sees: where alerts go is a secret, which one of them needs."""
    return {
        name: value
        for name, value in variables.items()
        if command.name == NOTIFIER or not name.startswith(SECRETS)
    }


def _why(child: _Child, code: int, lived_s: float) -> str:
    """Why a process ended, in one line."""
    wait = child.wait
    text = f"{ending(code)} after {lived_s:.0f} s{child.fault}"
    if wait.seconds:
        text += f", {wait.failures} times in a row; the next start in {wait.seconds:.0f} s"
    if code > 0 and lived_s < STEADY_S:
        text += f": {_last_words(child)}"
    return text


def _files(command: Command) -> tuple[Path, Path]:
    return command.log, command.log.with_suffix(".out")


def _bytes(file: Path) -> bytes:
    return file.read_bytes() if file.is_file() else b""


def _last_words(child: _Child) -> str:
    """The last cause that the process named in what it wrote."""
    found = map(_bytes, _files(child.command))
    # A log that is shorter now was begun anew.
    fresh = [
        text[size:] if len(text) >= size else text
        for text, size in zip(found, child.said, strict=True)
    ]
    lines = b"\n".join(fresh).decode(errors="replace").splitlines()
    told = [line for line in lines if NO_MEMORY in line]
    told = told or [line for line in lines if any(mark in line for mark in ERRORS)]
    return reason("\n".join(told)) or f"see {child.command.log}"


def ending(code: int) -> str:
    """How a process ended by its return code."""
    return f"ended by signal {-code}" if code < 0 else f"ended with code {code}"
