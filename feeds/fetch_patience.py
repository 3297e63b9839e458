"""How long to keep asking a venue: pauses that double, and those that the venue asks for."""

import random
import time
from collections.abc import Callable
from typing import NamedTuple, TypeVar

from feeds.fetch_venue import Fault
from udfs.errors import Refusal

Value = TypeVar("Value")

SPREAD = 0.25  # so that many clients that failed together do not come back together


class Patience(NamedTuple):
    """`tries` of one request in all, pauses of `first_s`, twice that, and so on up to `most_s`.

    A venue may ask for a longer pause, up to `longest_s`; beyond it the fetch ends.
    """

    tries: int = 8
    first_s: float = 1.0
    most_s: float = 60.0
    longest_s: float = 300.0
    sleep: Callable[[float], None] = time.sleep
    clock: Callable[[], float] = time.time


def ask(
    call: Callable[[], Value], who: str, patience: Patience, tell: Callable[[str], None]
) -> Value:
    """The answer of a call that may raise Fault; Refusal where it failed for good.

    `tell` hears of every pause of a second or more.
    """
    number = 1
    while True:
        try:
            return call()
        except Fault as fault:
            ending = _ending(fault, number, patience)
            if ending is not None:
                raise Refusal(f"{who}: {ending}") from fault
            pause = pause_s(number, patience.first_s, patience.most_s, fault.wait_s)
            number += 1
            if pause >= 1:
                tell(f"{who}: {fault}; try {number} of {patience.tries} in {pause:.0f} s")
            patience.sleep(pause)


def pause_s(number: int, first_s: float, most_s: float, asked_s: float = 0.0) -> float:
    """How long to wait after failure `number`, from 1: twice as long each time, and spread.

    `asked_s` is what the other side asks for, at least.
    """
    doubled = min(first_s * 2.0 ** min(number - 1, 60), most_s)
    return max(asked_s, doubled) * (1 + SPREAD * random.random())


def _ending(fault: Fault, number: int, patience: Patience) -> str | None:
    """Why try `number` was the last one; None where another may help."""
    if not fault.again:
        return str(fault)
    if fault.wait_s > patience.longest_s:
        return f"it asks to wait {fault.wait_s:,.0f} s: {fault}"
    if number >= patience.tries:
        return f"no good answer in {patience.tries} tries, at last: {fault}"
    return None
