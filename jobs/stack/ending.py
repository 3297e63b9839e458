"""`down`: every job stopped with a savepoint, then every process ended."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from jobs.stack.control import BUSY, silent
from jobs.stack.processes import end, end_servers, servers_of, supervisor_of
from jobs.stack.state import ENDED, Stack, change, held, process, read
from jobs.stack.stopping import stop_jobs
from udfs.errors import ConfigError

SUPERVISOR_TIMEOUT_S = 90.0
SERVERS_TIMEOUT_S = 20.0

Note = Callable[[str], None]


class Down(NamedTuple):
    """What `down` did. `points`: where each job goes on; `problems`: jobs without a savepoint."""

    ended: int
    points: dict[str, str]
    problems: list[str]


def down(folder: Path, savepoint: bool = True, note: Note = silent) -> Down:
    """End the stack of a folder; nothing of it is left running.

    A job that can't take a savepoint goes on from its last checkpoint, and so do all of them
    without `savepoint`. ConfigError where there is
    no stack, or another command works on it.
    """
    folder = folder.absolute()
    stack = read(folder)
    if stack is None and not servers_of(folder):
        raise ConfigError(f"there is no stack in {folder}")
    with held(folder / "command.lock", BUSY.format(folder)):
        points: dict[str, str] = {}
        problems: list[str] = []
        if stack is not None and savepoint:
            points, problems = stop_jobs(stack, note)
        supervisor = supervisor_of(folder)
        ended = len(servers_of(folder))
        if ended or supervisor:
            note("ending the processes")
        if supervisor is not None:
            ended += 1
            end([supervisor], SUPERVISOR_TIMEOUT_S)
        end_servers(folder, SERVERS_TIMEOUT_S)
        if stack is not None:
            change(folder, _all_ended)
        return Down(ended, points, problems)


def _all_ended(stack: Stack) -> Stack:
    """Nothing of it runs, whoever ended it."""
    gone = tuple(one._replace(state=ENDED, pid=None) for one in stack.processes)
    own = process("supervisor")._replace(log=stack.supervisor.log)
    return stack._replace(supervisor=own, processes=gone)


def remove(folder: Path) -> None:
    """Remove the folder of a stack that has ended, with all its data."""
    shutil.rmtree(folder)
