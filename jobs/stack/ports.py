"""Which loopback ports a stack uses: the usual ones, or a whole set beside them."""

import fcntl
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from jobs.stack.processes import holder, is_free, supervisor_of
from jobs.stack.state import Ports
from udfs.errors import ConfigError

USUAL = Ports()
# Sets of ports lie this far apart. They stay below those that systems give to clients, from which
# a client might take the port of a server that is being started again.
STEP = 100
SETS = 50
# Ports of this user's stacks on this machine: a file each, with the folder of the stack.
CLAIMS = Path(tempfile.gettempdir()) / f"tradeflow-ports-{os.getuid()}"
POLL_S = 0.2
CLAIM_S = 10.0  # within which a stack that is being started has a supervisor


def claim_ports(folder: Path, remembered: Ports | None, is_fixed: bool) -> Ports:
    """`choose_ports` for the stack in a folder; those of other stacks that live are not free.

    A port looks free while its stack is being started, or one of its processes is.
    """
    CLAIMS.mkdir(mode=0o700, exist_ok=True)
    if remembered and not is_fixed:
        _wait_for(remembered, folder)
    with (CLAIMS / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        ports = choose_ports(
            remembered, is_fixed, lambda port: is_free(port) and not _is_claimed(port, folder)
        )
        for port in ports:
            (CLAIMS / str(port)).write_text(str(folder), encoding="utf-8")
    return ports


def _wait_for(ports: Ports, folder: Path) -> None:
    """Give processes that have just ended a moment to leave the ports of the stack.

    Its jobs know the store by them: on others they would find nothing.
    """
    deadline = time.monotonic() + CLAIM_S
    while time.monotonic() < deadline and not all(map(is_free, ports)):
        if any(_is_claimed(port, folder) for port in ports):
            return  # another stack has them
        time.sleep(POLL_S)


def _is_claimed(port: int, folder: Path) -> bool:
    """Whether the port is that of another stack which lives or is just being started."""
    claim = CLAIMS / str(port)
    try:
        owner, age_s = Path(claim.read_text("utf-8")), time.time() - claim.stat().st_mtime
    except OSError:
        return False
    return owner != folder and (age_s < CLAIM_S or supervisor_of(owner) is not None)


def choose_ports(
    remembered: Ports | None, is_fixed: bool, free: Callable[[int], bool] = is_free
) -> Ports:
    """The ports that a stack had before, else the usual ones, else the first free set beside them.

    `is_fixed`: only the usual ones; ConfigError names who holds one of them.
    """
    if is_fixed:
        _refuse_taken(USUAL, free)
        return USUAL
    sets = [Ports(*(port + number * STEP for port in USUAL)) for number in range(SETS)]
    for ports in ([remembered] if remembered else []) + sets:
        if all(map(free, ports)):
            return ports
    raise ConfigError(
        f"no free ports: tried {SETS} sets from {', '.join(map(str, USUAL))} on, {STEP} apart"
    )


def _refuse_taken(ports: Ports, free: Callable[[int], bool]) -> None:
    taken = [
        f"port {port} of {name} is taken by {holder(port)}"
        for name, port in ports._asdict().items()
        if not free(port)
    ]
    if taken:
        remedy = "end it, or leave out --ports fixed to take free ports"
        raise ConfigError("; ".join([*taken, remedy]))


def taken_note(ports: Ports) -> str | None:
    """What to say where other ports than the usual ones were taken."""
    moved = [name for name in Ports._fields if getattr(ports, name) != getattr(USUAL, name)]
    blocked = [port for port in USUAL if not is_free(port)]
    if not moved or not blocked:
        return None
    who = "; ".join(f"{port} by {holder(port)}" for port in blocked)
    return f"usual ports are taken ({who}): this stack uses {', '.join(map(str, ports))}"
