"""When an alert of risk is raised, and when it is over: once each, with room between the two.

A value at its limit raises the alert, and one below a share of the limit clears it. Between the two
nothing changes, so a value that trembles at its limit is told of once.
"""

from collections.abc import Sequence
from typing import NamedTuple

from udfs.ids import hash_id
from udfs.money import UNIT

RAISED, CLEARED = "RAISED", "CLEARED"
DRAWDOWN, EXPOSURE = "DRAWDOWN", "EXPOSURE"
STALE_PRICES, STALE_ROLLUP = "STALE_PRICES", "STALE_ROLLUP"
CODES = (DRAWDOWN, EXPOSURE, STALE_PRICES, STALE_ROLLUP)


class Reading(NamedTuple):
    """A value and the limit that it should stay below, in units; `of` says of what, for people."""

    value: int
    limit: int
    of: str = ""


class Subject(NamedTuple):
    """What an alert is about: an account, a symbol or the feed."""

    code: str
    name: str


class Standing(NamedTuple):
    """How an alert stands, and the event time of its last change."""

    is_active: bool = False
    ts: int = -1


class Change(NamedTuple):
    """An alert that was raised or cleared, with the reading that stands closest to its limit."""

    alert_id: str
    subject: Subject
    state: str
    reading: Reading
    ts: int


QUIET = Standing()


def step(
    run_id: str,
    subject: Subject,
    standing: Standing,
    readings: Sequence[Reading],
    clear_at: int,
    ts: int,
) -> tuple[Standing, Change | None]:
    """How the alert stands at event time `ts`, and its change if there is one.

    `clear_at` is a share in units. Any of the readings raises it, all of them must be below their
    share to clear it. The id follows from what happened and when, so an alert is raised at most
    once at one time.
    """
    worst = max(readings, key=lambda one: (one.value * UNIT // one.limit, one.limit))
    if standing.is_active:
        if ts < standing.ts or any(r.value * UNIT >= r.limit * clear_at for r in readings):
            return standing, None
    elif ts <= standing.ts or worst.value < worst.limit:
        return standing, None
    state = CLEARED if standing.is_active else RAISED
    change = Change(hash_id(run_id, *subject, state, ts), subject, state, worst, ts)
    return Standing(not standing.is_active, ts), change
