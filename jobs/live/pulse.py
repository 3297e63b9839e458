"""Whether this process stood still for so long that its jobs may run elsewhere by now.

A task manager that is stopped (SIGSTOP, a machine that sleeps, a disk that hangs) is missed after
8 s, and its jobs go on in another one. When it goes on itself, its tasks work on for some
milliseconds before Flink ends them. What they write to histories changes nothing, but a row of a
latest table would be taken for news although a newer one is there. So what was begun before such a
time is given up.
"""

import threading
import time
from collections.abc import Callable
from functools import partial

from udfs.errors import InvariantError

BEAT_S = 0.5
# Less than Flink's heartbeat.timeout, 8 s, by more than heartbeat.interval, 2 s.
LIMIT_S = 5.0


# Linux has a clock that also runs while the machine sleeps.
CLOCK = partial(time.clock_gettime, getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


class Pulse:
    """Counts how often the process stood still. `clock` gives seconds that also pass meanwhile."""

    def __init__(self, clock: Callable[[], float] = CLOCK) -> None:
        self._clock = clock
        self._last = clock()
        self._stops = 0

    def beat(self) -> None:
        """To be called every BEAT_S."""
        now = self._clock()
        if now - self._last > LIMIT_S:
            self._stops += 1
        self._last = now

    def stops(self) -> int:
        """How often it stood still so far, also where no beat has come since."""
        return self._stops + (self._clock() - self._last > LIMIT_S)

    def check(self, stops: int) -> None:
        """InvariantError where it has stood still since `stops` gave this number."""
        if self.stops() != stops:
            raise InvariantError(
                f"this process stood still for more than {LIMIT_S:g} s: its jobs may run "
                "elsewhere, so this task ends; it goes on from its last checkpoint"
            )


def _begin() -> Pulse:
    pulse = Pulse()

    def beat() -> None:
        while True:
            time.sleep(BEAT_S)
            pulse.beat()

    threading.Thread(target=beat, name="pulse", daemon=True).start()
    return pulse


_known: list[Pulse] = []
_lock = threading.Lock()


def pulse() -> Pulse:
    """That of this process; its thread begins with the first call."""
    with _lock:
        if not _known:
            _known.append(_begin())
        return _known[0]
