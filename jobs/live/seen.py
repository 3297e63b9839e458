"""Which rows of released ticks were handed on, so that a repeat of one is told from a late row.

One entry per tick that had rows, in a ring of TICKS places: one write a tick, and a read only where
a row comes late. What lies further back is taken for a repeat.
"""

import json
from collections.abc import Iterable

from jobs.live.shelf import Kept

TICKS = 10_080  # a week of minutes
One = tuple[int, str]  # the number of an input and the id of a row of it


class Seen:
    """Ids of rows by their tick, and a copy of the entry that was read last."""

    def __init__(self, kept: Kept, base_ms: int) -> None:
        self._kept, self._base_ms = kept, base_ms
        self._read: tuple[int, set[One]] | None = None

    def is_old(self, tick: int, candidate: int) -> bool:
        """Whether the tick lies too far behind the next one to know what it had."""
        return tick <= candidate - TICKS * self._base_ms

    def keep(self, tick: int, ids: Iterable[One]) -> None:
        """The rows of a tick that is released now."""
        found = list(ids)
        if found:
            self._kept[self._place(tick)] = json.dumps([tick, found])

    def knows(self, tick: int, one: One) -> bool:
        """Whether a row of this id went with its tick, or was added."""
        return one in self._ids(tick)

    def add(self, tick: int, one: One) -> None:
        """A row that came after its tick was released."""
        ids = self._ids(tick)
        ids.add(one)
        self._kept[self._place(tick)] = json.dumps([tick, sorted(ids)])

    def _ids(self, tick: int) -> set[One]:
        """Rows of a tick come together, so the entry is parsed once for all of them."""
        if self._read is None or self._read[0] != tick:
            kept_tick, ids = json.loads(self._kept.get(self._place(tick), "[-1, []]"))
            known = ids if kept_tick == tick else ()
            self._read = (tick, {(number, row_id) for number, row_id in known})
        return self._read[1]

    def _place(self, tick: int) -> str:
        return str(tick // self._base_ms % TICKS)
