"""Time at a venue, and how far the machine's clock is off: warned of, then nothing is told."""

import time
from collections.abc import Callable
from typing import NamedTuple

from feeds.fetch_venue import Reading

WARNED_MS = 1_000
BLOCKED_MS = 5_000


class Clocks(NamedTuple):
    """The machine's clock, and one that nobody sets; both in ms."""

    wall_ms: Callable[[], float] = lambda: time.time() * 1000
    steady_ms: Callable[[], float] = lambda: time.monotonic() * 1000


CLOCKS = Clocks()


class Limits(NamedTuple):
    """Seconds: pauses between tries, between looks at the venue's clock, and of silence."""

    first_s: float = 1.0
    most_s: float = 60.0
    measure_s: float = 60.0
    measure_blocked_s: float = 10.0
    silence_s: float = 30.0


class Drift(NamedTuple):
    """How far the machine's clock is ahead of the venue's (ms; negative: behind), and how sure."""

    ahead_ms: float
    within_ms: float

    @property
    def surely_ms(self) -> float:
        """How far it is off at least."""
        return max(0.0, abs(self.ahead_ms) - self.within_ms)

    @property
    def is_warned(self) -> bool:
        return self.surely_ms > WARNED_MS

    @property
    def is_blocked(self) -> bool:
        return self.surely_ms > BLOCKED_MS

    def __str__(self) -> str:
        way = "ahead of" if self.ahead_ms > 0 else "behind"
        sure = f" (within {self.within_ms / 1000:.1f} s)" if self.within_ms >= 100 else ""
        return f"this machine's clock is {abs(self.ahead_ms) / 1000:.1f} s {way} the venue's{sure}"


class VenueClock:
    """The venue's time, as last read and gone on by the steady clock."""

    def __init__(self, clocks: Clocks) -> None:
        self.clocks = clocks
        self._last: Reading | None = None

    @property
    def is_known(self) -> bool:
        return self._last is not None

    def set(self, reading: Reading) -> Drift:
        """Take a reading; how far the machine's clock is off."""
        self._last = reading
        wall_then = self.clocks.wall_ms() - (self.clocks.steady_ms() - reading.at_ms)
        return Drift(wall_then - reading.venue_ms, reading.within_ms)

    def at(self, steady_ms: float) -> int:
        """The venue's time, ms, when the steady clock stood there."""
        assert self._last is not None
        return int(self._last.venue_ms + steady_ms - self._last.at_ms)

    def now_ms(self) -> int:
        """The venue's time, ms."""
        return self.at(self.clocks.steady_ms())


class Outage:
    """What fails, by name: the first failure is told, and that all works again."""

    def __init__(self, who: str, say: Callable[[str], None]) -> None:
        self._who, self._say = who, say
        self._failures: dict[str, int] = {}
        self._since = 0.0

    def failed(self, why: str, what: str = "") -> int:
        """Note a failure; how many there were in a row of the same."""
        if not self._failures:
            self._since = time.monotonic()
            self._say(f"{self._who}{what}: {why}; trying again until it answers")
        self._failures[what] = self._failures.get(what, 0) + 1
        return self._failures[what]

    def mended(self, what: str = "") -> None:
        """It works."""
        if self._failures.pop(what, 0) and not self._failures:
            self._say(f"{self._who}: back after {time.monotonic() - self._since:.0f} s")
