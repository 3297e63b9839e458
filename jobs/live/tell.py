"""When a tick is done with: how many bundles it was made of, and how many of them are worked."""

import json
from collections import Counter
from collections.abc import Mapping
from typing import NamedTuple

from jobs.live.shelf import BOOK, Kept, check_version
from jobs.live.stage import Stage

VERSION = 1


class Told(NamedTuple):
    """A progress row of the stage itself."""

    instance: str
    tick: int
    rows: int


class Tell:
    """Counts what was worked of each tick; tells progress, ticks in order, once all of it is."""

    def __init__(self, stage: Stage, kept: Kept) -> None:
        self._stage, self._kept = stage, kept
        self._expected: dict[int, int] = {}
        self._done: dict[int, int] = {}
        self._counts: dict[int, Counter[str]] = {}
        for key, text in kept.items():
            if key == BOOK:
                check_version(stage.name, VERSION, *json.loads(text))
                continue
            tick = int(key)
            expected, self._done[tick], counts = json.loads(text)
            self._counts[tick] = Counter(counts)
            if expected is not None:
                self._expected[tick] = expected
        if BOOK not in kept:
            kept[BOOK] = json.dumps([VERSION, stage.name])

    def expect(self, tick: int, bundles: int) -> list[Told]:
        """A tick was released in so many bundles."""
        self._expected[tick] = bundles
        self._keep(tick)
        return self._tell()

    def worked(self, tick: int, counts: Mapping[str, int]) -> list[Told]:
        """One bundle of the tick is worked; how many rows it gave, by instance."""
        self._done[tick] = self._done.get(tick, 0) + 1
        self._counts.setdefault(tick, Counter()).update(counts)
        self._keep(tick)
        return self._tell()

    def _tell(self) -> list[Told]:
        told: list[Told] = []
        while self._expected:
            tick = min(self._expected)
            if self._done.get(tick, 0) < self._expected[tick]:
                break
            counts = self._counts.pop(tick, Counter())
            told += [Told(instance, tick, counts[instance]) for instance in self._stage.instances]
            del self._expected[tick], self._kept[str(tick)]
            self._done.pop(tick, None)
        return told

    def _keep(self, tick: int) -> None:
        counts = dict(self._counts.get(tick, {}))
        held = [self._expected.get(tick), self._done.get(tick, 0), counts]
        self._kept[str(tick)] = json.dumps(held)
