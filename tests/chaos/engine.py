"""Faults one after another on a run that is fed: what each one did to its output."""

import math
import time
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from tests.chaos.faults import Fault
from tests.chaos.site import Feeder, Hand, nothing_paused
from tests.chaos.watching import Watcher

POLL_S = 0.2
FIRST_S = 180.0
GOES_ON = 3  # ticks


# Lines that say what is wrong after a fault.
Inspect = Callable[[Fault], Sequence[str]]


class Pace(NamedTuple):
    """`settle_s`: a fault is over once so long after it some more ticks have been decided.

    `recover_s`: how long that may take beyond the pause. No fault begins after `limit_s`.
    """

    settle_s: float = 10.0
    recover_s: float = 420.0
    limit_s: float = math.inf


class Outcome(NamedTuple):
    """What a fault did: `stood_s` is the longest time without a tick of the gate, `back_s` its end.

    `was_there` False: the process was not there to be met. `wrong`: what was not right after it.
    """

    fault: Fault
    was_there: bool
    stood_s: float
    back_s: float
    wrong: tuple[str, ...] = ()


class StandstillError(Exception):
    """The run did not go on after a fault."""


def disturb(
    faults: Sequence[Fault],
    hand: Hand,
    feeder: Feeder,
    watcher: Watcher,
    pace: Pace,
    note: Callable[[str], None],
    inspect: Inspect = lambda fault: (),
) -> Iterator[Outcome]:
    """Do all faults, one for each outcome; StandstillError where the run does not go on after one.

    `inspect` is asked after each what is wrong, once the run goes on.
    """
    wait_until(lambda: watcher.told().gate is not None, FIRST_S, "the gate has told nothing")
    until = time.monotonic() + pace.limit_s
    with nothing_paused(hand):
        for number, fault in enumerate(faults):
            if feeder.is_done or time.monotonic() > until:
                what = "no bars are" if feeder.is_done else "no time is"
                note(f"{what} left: {len(faults) - number} faults are left out")
                break
            time.sleep(fault.wait_s)
            began = time.monotonic()
            was_there = hand.do(fault)
            is_last, wrong = number + 1 == len(faults), ()
            if is_last or not faults[number + 1].is_together:
                settle(fault, hand, feeder, watcher, pace)
            stood_s, back_s = watcher.stood_s(began, time.monotonic())
            if is_last or not faults[number + 1].is_together:
                wrong = tuple(inspect(fault))
            found = Outcome(fault, was_there, stood_s, back_s, wrong)
            note(line(found, watcher))
            yield found


def settle(fault: Fault, hand: Hand, feeder: Feeder, watcher: Watcher, pace: Pace) -> None:
    """Return once some ticks have been decided a while after the fault."""
    hand.let_go()
    time.sleep(pace.settle_s)
    mark = watcher.arrived()

    def goes_on() -> bool:
        return watcher.arrived() >= mark + GOES_ON or feeder.is_done

    what = f"fault {fault.number}, {fault.target} {fault.how}: nothing was decided any more"
    wait_until(goes_on, pace.recover_s, what)


def wait_until(holds: Callable[[], bool], seconds: float, what: str) -> None:
    """Return once it holds; StandstillError after so long."""
    until = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > until:
            raise StandstillError(f"{what} within {seconds:.0f} s")
        time.sleep(POLL_S)


def line(one: Outcome, watcher: Watcher) -> str:
    """An outcome in words."""
    fault, told = one.fault, watcher.told()
    what = "killed" if not fault.pause_s else f"paused for {fault.pause_s:.0f} s"
    if not one.was_there:
        what = "was not there"
    behind = ((told.feed or 0) - (told.gate or 0)) // 60_000
    return (
        f"{fault.number:4d} {fault.target:14} {what:16} stood still {one.stood_s:5.1f} s, "
        f"gate {behind} ticks behind" + "".join(f"\n     WRONG {text}" for text in one.wrong)
    )
