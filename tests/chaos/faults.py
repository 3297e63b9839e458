"""Which process meets what, in which order: a function of the seed alone."""

import random
from collections.abc import Sequence
from typing import NamedTuple

KILL, PAUSE = "kill", "pause"
FEEDER, SUPERVISOR, MACHINE = "feeder", "supervisor", "machine"
# Flink misses a task manager after 8 s, and a session of ZooKeeper ends after 6 s.
SHORT_S = (2.0, 5.0)
LONG_S = (12.0, 22.0)
TOGETHER = 0.15  # share of faults that do not wait until the last one is over
# All at once, as a machine ends, or the one who looks after the others: rarely, it takes long.
RARE = (SUPERVISOR, MACHINE)
DECKS_PER_RARE = 2


class Fault(NamedTuple):
    """One disturbance. `pause_s` is how long the process stands still; kills have 0.

    `is_together`: it comes `wait_s` after the last fault, else `wait_s` after all goes on.
    """

    number: int
    target: str
    how: str
    pause_s: float
    wait_s: float
    is_together: bool


def plan(seed: int, kills: int, targets: Sequence[str], rare: Sequence[str] = ()) -> list[Fault]:
    """Faults with that many kills; each target is met about as often as any other.

    `rare` ones, killed alone, come once in two rounds.
    """
    pick = random.Random(seed)
    found: list[Fault] = []
    done = rounds = 0
    while done < kills:
        deck = [(target, KILL) for target in targets] * 2 + [(target, PAUSE) for target in targets]
        if rounds % DECKS_PER_RARE == 0:
            deck += [(target, KILL) for target in rare]
        pick.shuffle(deck)
        rounds += 1
        for target, how in deck:
            if done == kills:
                break
            done += how == KILL
            found.append(_fault(pick, len(found) + 1, target, how))
    return found


def _fault(pick: random.Random, number: int, target: str, how: str) -> Fault:
    is_together = number > 1 and target not in RARE and pick.random() < TOGETHER
    wait_s = pick.uniform(0.0, 2.0) if is_together else pick.uniform(0.0, 4.0)
    pause_s = 0.0 if how == KILL else pick.uniform(*pick.choice((SHORT_S, LONG_S, LONG_S)))
    return Fault(number, target, how, round(pause_s, 1), round(wait_s, 1), is_together)


def kind(target: str) -> str:
    """What a process is, without its number."""
    return target.rstrip("0123456789").rstrip("-")
