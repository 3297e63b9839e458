"""How far feed and gate are, as the store's table of progress grows, and when its output stood."""

import threading
import time
from itertools import pairwise
from typing import NamedTuple

from jobs.store import reading
from jobs.store.client import Stopped
from schemas.ops import PROGRESS
from tests.chaos.site import Site

FEED, LAST = "feed", "tradepicker"  # the gate waits for all others


class Told(NamedTuple):
    """The newest tick of the feed and of the gate, None before the first."""

    feed: int | None
    gate: int | None


class Watcher:
    """Reads progress in a thread of its own for as long as the block lasts."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._read)
        self._newest: dict[str, int] = {}
        self._arrivals: list[float] = []  # of ticks of the gate, by the clock

    def __enter__(self) -> "Watcher":
        self._thread.start()
        return self

    def __exit__(self, *args: object) -> None:
        self._stop.set()
        self._thread.join()

    def told(self) -> Told:
        """How far they are."""
        return Told(self._newest.get(FEED), self._newest.get(LAST))

    def arrived(self) -> int:
        """How many ticks of the gate were seen."""
        return len(self._arrivals)

    def stood_s(self, since: float, until: float) -> tuple[float, float]:
        """The longest time without a new tick of the gate, and its end after `since`, seconds.

        Both are by the monotonic clock and count from `since` on.
        """
        inside = [since, *(at for at in self._arrivals if since < at < until), until]
        gaps = [(later - at, later) for at, later in pairwise(inside)]
        longest, end = max(gaps)
        return longest, end - since

    def _read(self) -> None:
        try:
            with self._site.client(self._stop) as client:
                for changes in reading.follow(client, PROGRESS, 0):
                    if self._stop.is_set():
                        return
                    self._take([change.row for change in changes])
        except Stopped:
            return

    def _take(self, rows: list[reading.Record]) -> None:
        for row in rows:
            stage, ts = row["stage"], row["ts"]
            if stage in (FEED, LAST) and ts > self._newest.get(stage, -1):
                self._newest[stage] = ts
                if stage == LAST:
                    self._arrivals.append(time.monotonic())
