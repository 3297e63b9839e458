"""Ten kills at random and some pauses, on the one stack: every table equals the bounded run's."""

import time
from pathlib import Path

from tests import runs
from tests.chaos.engine import Pace, disturb
from tests.chaos.faults import KILL, plan
from tests.chaos.site import Feeder, Hand, Site
from tests.chaos.verdict import judge
from tests.chaos.watching import Watcher
from tests.live.live_runs import FOR_EVER, live_run, write_bars
from udfs.timeframes import DAY_MS

SEED, KILLS, MINUTES = 3, 10, 600
PACE = Pace(settle_s=4.0)


def test_ten_kills_leave_no_trace(stack: Path, tmp_path: Path) -> None:
    ends = write_bars(tmp_path / "bars", SEED, MINUTES)
    tree = runs.config(str(tmp_path / "bars" / "*.parquet"))
    tree |= {"run.id": "ten-kills", "tradepicker.reservationTtlMs": DAY_MS}
    tree |= {"monitoring.export": "both"}  # so that the end of the feed waits for it
    bounded = runs.run(tree, tmp_path / "runs").folder
    with live_run(stack, tree | FOR_EVER, bounded, 1) as run:
        site = Site(stack, run.file, run.config, run.database, is_own=False)
        faults = plan(SEED, KILLS, site.targets())
        assert sum(one.how == KILL for one in faults) == KILLS
        with Watcher(site) as watcher, Feeder(site, "60x", tmp_path / "feeder.log") as feeder:
            hand = Hand(site, feeder, tmp_path / "up.log")
            found = list(disturb(faults, hand, feeder, watcher, PACE, print))
            assert feeder.finish(patience_s=120) == ""
        assert sum(one.was_there for one in found) >= KILLS
        time.sleep(1)
        verdict = judge(site, bounded, ends)
    assert (verdict.wrong, verdict.over_cap) == ([], 0)
    assert sum(verdict.refused.values()) > 0  # rows were written again, and changed nothing
