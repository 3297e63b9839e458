"""The processes of a stack as the machine knows them: found by their folder, and ended.

A supervisor that was killed can't tell what it had started, so processes are found by their
commands, which all name the stack's folder.
"""

import contextlib
import os
import signal
import socket
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

HOST = "127.0.0.1"
SUPERVISOR = "jobs.stack.supervisor"
POLL_S = 0.1
# What commands hold and what the stack calls them; in the order in which they are ended.
MAINS = (
    ("prometheus-alertmanager ", "alertmanager"),
    ("prometheus ", "prometheus"),
    ("-m jobs.notifier ", "notifier"),
    ("-m jobs.exporter ", "exporter"),
    ("CliFrontend", "client"),
    ("TaskManagerRunner", "taskmanager"),
    ("StandaloneSessionClusterEntrypoint", "jobmanager"),
    ("CoordinatorServer", "coordinator"),
    ("TabletServer", "tablet"),
    ("kafka.Kafka ", "broker"),
    ("QuorumPeerMain", "zookeeper"),
)


# Those that name the folder as their last word.
PYTHON = ("-m jobs.exporter ", "-m jobs.notifier ")


class Found(NamedTuple):
    """A process of a stack that lives."""

    pid: int
    kind: str


def supervisor_of(folder: Path) -> int | None:
    """The supervisor of the stack in the folder, if it lives."""
    for pid, command in _listed():
        if f"-m {SUPERVISOR} " in command and command.endswith(f" {folder}"):
            return pid
    return None


def servers_of(folder: Path) -> list[Found]:
    """What runs in the stack in the folder, in the order in which it should end."""
    marks = [f"-Djava.io.tmpdir={folder / part} " for part in ("store/tmp", "flink/tmp")]
    marks += [f"={folder}/monitoring/"]
    lines = [
        (pid, command)
        for pid, command in _listed()
        if any(mark in f"{command} " for mark in marks)
        or (any(one in command for one in PYTHON) and command.endswith(f" {folder}"))
    ]
    order = [kind for _, kind in MAINS]
    found = [Found(pid, _kind(command)) for pid, command in lines]
    return sorted(found, key=lambda one: order.index(one.kind) if one.kind in order else -1)


def _kind(command: str) -> str:
    return next((kind for main, kind in MAINS if main in command), "java")


def _listed() -> list[tuple[int, str]]:
    """Process id and whole command of every process; one that has ended has none."""
    listed = subprocess.run(
        ["ps", "-eww", "-o", "pid=,args="], capture_output=True, text=True, check=True
    )
    lines = [line.strip().partition(" ") for line in listed.stdout.splitlines()]
    return [(int(pid), command) for pid, _, command in lines if "<defunct>" not in command]


def lives(pid: int | None) -> bool:
    """Whether there is such a process that has not ended."""
    if pid is None:
        return False
    done = subprocess.run(
        ["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False
    )
    return bool(done.stdout.strip()) and not done.stdout.strip().startswith("Z")


def end(pids: Sequence[int], seconds: float) -> list[int]:
    """End processes that need not be children: by themselves within this time, else killed.

    Returns those that had to be killed.
    """
    _signal(pids, signal.SIGTERM)
    left = _wait(pids, seconds)
    _signal(left, signal.SIGKILL)
    _wait(left, seconds)
    return left


def _signal(pids: Sequence[int], number: int) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)


def _wait(pids: Sequence[int], seconds: float) -> list[int]:
    deadline = time.monotonic() + seconds
    left = [pid for pid in pids if lives(pid)]
    while left and time.monotonic() < deadline:
        time.sleep(POLL_S)
        left = [pid for pid in left if lives(pid)]
    return left


def end_servers(folder: Path, seconds: float) -> list[Found]:
    """End every process of the stack in order, one kind after the other; what was found."""
    found = servers_of(folder)
    for kind in dict.fromkeys(one.kind for one in found):
        end([one.pid for one in found if one.kind == kind], seconds)
    return found


def is_free(port: int) -> bool:
    """Whether a server could listen on this loopback port."""
    with socket.socket() as probe:
        # As Java does: a port that an ended connection still holds is free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True


def holder(port: int) -> str:
    """Which process listens on a port, as far as this user may know: `process 123 (java ...)`."""
    sockets = _listening(port)
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if not any(_link(file) in sockets for file in (process / "fd").iterdir()):
                continue
            words = (process / "cmdline").read_bytes().decode(errors="replace").split("\0")
        except OSError:
            continue  # it has ended, or belongs to another user
        return f"process {process.name} ({_what(words)})"
    return "another process"


def _link(file: Path) -> str:
    """What an open file of a process is; empty where it has just been closed."""
    try:
        return os.readlink(file)
    except OSError:
        return ""


def _what(words: Sequence[str]) -> str:
    """A short name of a command: the stack's folder where it belongs to one, else its program."""
    for word in words:
        folder = word.removeprefix("-Djava.io.tmpdir=")
        if folder != word and folder.endswith(("/store/tmp", "/flink/tmp")):
            return f"the stack in {Path(folder).parents[1]}"
    return Path(words[0]).name


def _listening(port: int) -> set[str]:
    """The sockets that listen on a port, as links of /proc name them."""
    found = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        with contextlib.suppress(OSError):
            for line in Path(table).read_text(encoding="ascii").splitlines()[1:]:
                columns = line.split()
                if columns[3] == "0A" and int(columns[1].rpartition(":")[2], 16) == port:
                    found.add(f"socket:[{columns[9]}]")
    return found
