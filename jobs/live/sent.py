"""What the order keeper hands on: to work, to tell, and of what it went on without."""

from collections.abc import Iterable
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


def joined(sent: Iterable[Sent]) -> list[Sent]:
    """The same in fewer: rows without a tick for one key, with no tick of its between, are one."""
    found: list[tuple[Sent, list[Arrived]]] = []
    open_: dict[str, list[Arrived] | None] = {}  # rows of each key that more may join
    for one in sent:
        if not isinstance(one, ToWork):
            found.append((one, []))
            continue
        rows = open_.get(one.key) if one.tick is None else None
        if rows is None:
            rows = []
            found.append((one, rows))
            open_[one.key] = rows if one.tick is None else None
        rows += one.rows
    return [
        one._replace(rows=tuple(rows)) if isinstance(one, ToWork) else one for one, rows in found
    ]
