"""A stack of its own, fed with simulated bars, while its processes are killed and paused.

    python -m tests.chaos [--kills 100] [--seed 7] [--store fluss] [--patience SECONDS]
                          [--minutes M] [--out DIR]

Without --patience every stage waits for ever, and in the end each table equals the backtest's of
the same bars. With --patience 5 what must hold then is looked at: each signal decided once, the
same again by seq, the cap kept. The report goes to DIR/chaos.txt and DIR/chaos.json. Exit code 1
where anything is wrong.
"""

import argparse
import math
import shutil
import sys
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from jobs.stack import control, ending
from schemas.config import parse_config
from tests import runs
from tests.chaos import report
from tests.chaos.engine import Outcome, Pace, StandstillError, disturb, wait_until
from tests.chaos.faults import SHORT_S, Fault, kind, plan
from tests.chaos.site import Feeder, Hand, Site
from tests.chaos.verdict import judge, latest
from tests.chaos.watching import Watcher
from tests.live.live_runs import FOR_EVER, write_bars
from udfs.timeframes import DAY_MS

MINUTES_PER_KILL = 55  # of bars, at 60x: what is left in the end is fed without a pause
FINISH_PATIENCE_S = 300.0
CAUGHT_UP_S = 600.0
SETTLE_S = 3.0


def main() -> None:
    """Run and report."""
    asked = arguments()
    folder = asked.out.absolute()
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    ends = write_bars(folder / "bars", asked.seed, max(600, asked.kills * MINUTES_PER_KILL))
    tree = configuration(str(folder / "bars" / "*.parquet"), asked.store, asked.patience)
    files = {key: value for key, value in tree.items() if not key.startswith(("store", "live"))}
    bounded = runs.run(files, folder / "runs").folder
    file = runs.write_config(tree, folder / "chaos.yaml")
    config = parse_config(tree)
    stack = folder / "stack"
    try:
        up = control.up(config, stack, note=print)
        if up.problems:
            sys.exit("\n".join(up.problems))
        site = Site(stack, file, config, up.stack.database, is_own=True)
        ran = run(site, asked, None if asked.patience else bounded, ends)
    finally:
        ending.down(stack, savepoint=False)
    print(report.write(folder, ran))
    sys.exit(1 if ran.verdict.wrong else 0)


def run(site: Site, asked: Any, bounded: Path | None, ends: dict[str, int]) -> report.Ran:
    """Disturb the run, feed it the rest of its bars, and judge its tables."""
    began = time.monotonic()
    folder = site.folder.parent
    faults = plan(asked.seed, asked.kills, site.targets(), site.rare())
    wrong: list[str] = []
    outcomes: list[Outcome] = []
    with Watcher(site) as watcher, Feeder(site, asked.speed, folder / "feeder.log") as feeder:
        hand = Hand(site, feeder, folder / "up.log")
        try:
            pace = Pace(limit_s=asked.minutes * 60)
            look = partial(look_for_zombies, site, feeder, watcher)
            outcomes.extend(disturb(faults, hand, feeder, watcher, pace, say, look))
            problem = feeder.finish(FINISH_PATIENCE_S)
        except StandstillError as error:
            problem = str(error)
        wrong += [problem] if problem else []
        wrong += [f"fault {o.fault.number}: {text}" for o in outcomes for text in o.wrong]
        notes = [*hand.notes, *feeder.failures]
    say("reading all tables")
    verdict = judge(site, bounded, ends)
    verdict = verdict._replace(wrong=[*wrong, *verdict.wrong])
    shown = {"seed": asked.seed, "store": asked.store, "patience": asked.patience or "for ever"}
    return report.Ran(shown, outcomes, notes, time.monotonic() - began, verdict)


def look_for_zombies(site: Site, feeder: Feeder, watcher: Watcher, fault: Fault) -> Sequence[str]:
    """After a task manager was missed and woke up: the latest tables are what history says.

    The feeder stands still until the stages have caught up, else they would always differ.
    """
    if kind(fault.target) != "taskmanager" or fault.pause_s < SHORT_S[1]:
        return []
    with feeder.held():
        mark = watcher.told().feed or 0
        wait_until(lambda: (watcher.told().gate or 0) >= mark, CAUGHT_UP_S, "the gate is behind")
        time.sleep(SETTLE_S)
        with site.client() as client:
            return latest(client, site)


def say(text: str) -> None:
    """A line with the time."""
    print(time.strftime("%H:%M:%S"), text, flush=True)


def configuration(prices: str, store: str, patience_s: float | None) -> dict[str, Any]:
    """All kinds of strategies, three accounts and a shadow, two task managers.

    A reservation outlives every gap of the bars: so the cap has no excuse.
    """
    waits = FOR_EVER if patience_s is None else dict.fromkeys(FOR_EVER, patience_s)
    return runs.config(prices) | {
        "run.id": "chaos",
        "tradepicker.reservationTtlMs": DAY_MS,
        "monitoring.export": "both",
        "store.kind": store,
        "live": {"task_managers": 2, "task_manager_memory": "1500m", "parallelism": 1},
        **waits,
    }


def arguments() -> argparse.Namespace:
    """What stands on the command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument(
        "--kills", type=int, default=100, help="kill -9 so many; pauses come on top"
    )
    parser.add_argument("--seed", type=int, default=7, help="of bars and faults")
    parser.add_argument("--store", default="fluss", choices=("fluss", "kafka"))
    parser.add_argument("--patience", type=float, help="seconds; none: for ever")
    parser.add_argument("--minutes", type=float, default=math.inf, help="no fault begins later")
    parser.add_argument("--speed", default="60x", help="of the feed")
    parser.add_argument("--out", type=Path, default=Path(".run/chaos"))
    return parser.parse_args()


if __name__ == "__main__":
    main()
