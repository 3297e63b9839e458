"""Strategies that join a run: `tradeflow up` with a configuration that has more of them.

What runs is stopped with savepoints and goes on from there with the new ones beside it; the store,
Flink and feeds run on. A strategy that joins has a time from which it gives signals, `from`. Until
then it is as if it were not there, so nothing that was decided would have been decided otherwise.
"""

import copy
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from jobs.stack import monitors, processes, settings
from jobs.stack.rest import Flink
from jobs.stack.state import Stack
from jobs.stack.stopping import stop_jobs
from jobs.store import reading
from jobs.store.client import open_client
from schemas.config_values import time_text
from schemas.ops import PROGRESS
from udfs.errors import ConfigError
from udfs.timeframes import timeframe_ms

STAGE = "strategies"
END_S = 20.0

Note = Callable[[str], None]
Tree = Mapping[str, Any]


class Joining(NamedTuple):
    """Strategies that a configuration has and the run has not, and since when they are to decide.

    `rest` is the configuration without them.
    """

    begins: Mapping[str, int]
    rest: Tree


def joining(before: Tree, now: Tree, begins: Mapping[str, int | None]) -> Joining:
    """What joins; `begins` is each strategy's `from`. ConfigError where a new one has none."""
    there = {one["id"] for one in before["strategies"]}
    new = {name: ts for name, ts in begins.items() if name not in there}
    rest = copy.deepcopy(dict(now))
    rest["strategies"] = [one for one in rest["strategies"] if one["id"] not in new]
    for account in rest["accounts"]:
        account["strategies"] = [one for one in account["strategies"] if one not in new]
        weights = account.get("weights") or {}
        account["weights"] = {one: weight for one, weight in weights.items() if one not in new}
    without = sorted(name for name, ts in new.items() if ts is None)
    if without:
        raise ConfigError(
            f"strategies.{without[0]}: it is new to this run, so it needs a time after which it "
            "decides: write from: 2024-03-01T12:00:00Z, one that no stage has reached yet; or give "
            "the configuration another run.id"
        )
    # Its stage reads bars too, and a job can't go on with another input than it has had.
    if not any(_is_intrabar(one, before) for one in before["strategies"]):
        for one in now["strategies"]:
            if one["id"] in new and _is_intrabar(one, now):
                raise ConfigError(
                    f"strategies.{one['id']}.intrabar: no strategy of this run is intrabar, and "
                    "the first one can't join while it runs; give the configuration another run.id"
                )
    return Joining({name: ts for name, ts in new.items() if ts is not None}, rest)


def _is_intrabar(strategy: Tree, tree: Tree) -> bool:
    """Whether a strategy looks at its bar before that is finished."""
    base = tree["prices"]["timeframe"]
    longer = timeframe_ms(strategy["timeframe"] or base) > timeframe_ms(base)
    return bool(strategy.get("intrabar")) and longer


def refuse_unless_running(joined: Joining, is_running: bool) -> None:
    """ConfigError where strategies would join a stack that is down: how far it is, it can't say."""
    if joined.begins and not is_running:
        raise ConfigError(
            f"strategies {', '.join(sorted(joined.begins))} would join a stack that is down: start "
            "it without them by `tradeflow up`, then say this again"
        )


def stop_for(stack: Stack, joined: Joining, note: Note) -> None:
    """Stop all jobs with savepoints, so that they can go on with those that join.

    ConfigError where one would have had to decide already; then the jobs still have to be started.
    """
    _check(stack, joined)
    if Flink(stack.rest, stack.prefix).jobs():
        _, problems = stop_jobs(stack, note)
        for problem in problems:
            note(problem)
    _check(stack, joined)


def show_to_monitors(stack: Stack) -> None:
    """End what reads the configuration once; the supervisor starts it again."""
    pids = [one.pid for one in stack.processes if one.name == monitors.NAMES[0] and one.pid]
    processes.end(pids, END_S)


def _check(stack: Stack, joined: Joining) -> None:
    """ConfigError where a strategy would join at a time that the run has passed."""
    with open_client(stack.store) as client:
        rows = reading.tail(
            client, PROGRESS, lambda found: any(one["stage"] == STAGE for one in found)
        )
    reached = max((row["ts"] for row in rows if row["stage"] == STAGE), default=None)
    for name, ts in sorted(joined.begins.items()):
        if reached is not None and ts < reached:
            raise ConfigError(
                f"strategies.{name}.from is {time_text(ts)}, and this run has decided up to "
                f"{time_text(reached)}: write a later time, with some minutes to spare"
            )


def changed_keys(stack: Stack, before: Tree, joined: Joining) -> list[str]:
    """Keys that changed and may, beside what joins; ConfigError for others."""
    return settings.refuse_changes(stack, before, joined.rest)
