"""How far the stages of a live run are, by their progress."""

import threading
import time
from collections.abc import Sequence

from feeds.live.feed import moment
from jobs.live.job_names import METRICS, monitor_stages
from jobs.live.stage import INSTANCE
from jobs.store import reading
from jobs.store.client import Client, Stopped
from schemas.ops import PROGRESS
from udfs.errors import Refusal
from udfs.plan import RunPlan

Name = tuple[str, str]  # stage and instance
# Rows that no stage waits for are written a moment after its progress.
SETTLE_S = 1.0


def instances(plan: RunPlan, export: str = METRICS) -> list[Name]:
    """All that tell progress in a run of this plan and `monitoring.export`, but for the feed."""
    names = [("indicators", INSTANCE)]
    names += [("strategies", name) for name in sorted({s.family_id for s in plan.strategies})]
    names.append(("tradepicker", INSTANCE))
    if plan.has_paper:
        names += [("broker", INSTANCE), ("broker", "ends"), ("engine", INSTANCE)]
    return names + [(name, INSTANCE) for name in monitor_stages(export)]


class Watch:
    """The newest tick of every stage, read as the table of progress grows."""

    def __init__(self, client: Client, plan: RunPlan, export: str = METRICS) -> None:
        self._base_ms = plan.base_ms
        self._newest: dict[Name, int | None] = dict.fromkeys(instances(plan, export))
        after = reading.end(client, PROGRESS)
        self._take(reading.tail(client, PROGRESS, self._all_in))
        self._rows = reading.follow(client, PROGRESS, after)

    def behind(self, tick: int) -> list[Name]:
        """Those that have not told the tick."""
        return [name for name, told in self._newest.items() if told is None or told < tick]

    def wait(self, tick: int | None, patience_s: float, stop: threading.Event) -> None:
        """Return once all have told the tick. Refusal where none moves for so long."""
        moved = time.monotonic()
        while tick is not None and self.behind(tick):
            if self._take([change.row for change in next(self._rows)]):
                moved = time.monotonic()
            if stop.is_set():
                raise Stopped
            if time.monotonic() - moved > patience_s:
                raise Refusal(self._standing(tick, patience_s))
        stop.wait(SETTLE_S)

    def _all_in(self, rows: Sequence[reading.Record]) -> bool:
        return {(row["stage"], row["instance"]) for row in rows} >= set(self._newest)

    def _take(self, rows: Sequence[reading.Record]) -> bool:
        """Whether any of them is news."""
        news = False
        for row in rows:
            name = (row["stage"], row["instance"])
            if name in self._newest and row["ts"] > (self._newest[name] or row["ts"] - 1):
                self._newest[name] = row["ts"]
                news = True
        return news

    def _standing(self, tick: int, patience_s: float) -> str:
        lines = []
        for name in self.behind(tick):
            told = self._newest[name]
            where = "has told nothing"
            if told is not None:
                ticks = (tick - told) // self._base_ms
                where = f"stands at {moment(told)}, {ticks:,} ticks behind"
            lines.append(f"  {'/'.join(name)} {where}")
        return (
            f"no stage has moved for {patience_s:g} s, and these have not reached "
            f"{moment(tick)}:\n" + "\n".join(lines)
        )
