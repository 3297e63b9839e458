"""What the order keeper hands on: to work, to tell, and of what it went on without."""

from typing import NamedTuple

from jobs.live.stage import Arrived


class ToWork(NamedTuple):
    """Rows for a key; `tick` None: they came without one and go on at once.

    `since_ms` is the wall clock of what was kept when this process began.
    """

    key: str
    tick: int | None
    rows: tuple[Arrived, ...]
    since_ms: int = 0


class ToTell(NamedTuple):
    """A released tick, and how many ToWork it was made of."""

    tick: int
    bundles: int


class Gap(NamedTuple):
    """A tick that was released without an instance; one row of progress_gaps."""

    instance: str
    ts: int
    missing: str
    waited_ms: int


Sent = ToWork | ToTell | Gap
