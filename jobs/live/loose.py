"""Rows that go to their keys on arrival, in no tick: alone at once, many that come together.

A message costs as much as the work on a row, and so do a key's state and its timer.
"""

from typing import Any

from jobs.live.shelf import Shelf
from jobs.live.stage import Arrived

GATHER_MS = 50  # rows that come thicker than this go on together
GATHER_ROWS = 500
LOOSE = "loose"  # the kind of entry on the shelf


class Loose:
    """Rows that are gathered, on the shelf too. `told`: how many were kept and handed on."""

    def __init__(self, told: int) -> None:
        self.told = told
        self._rows: list[tuple[Arrived, str]] = []  # and their places
        self._passed_ms = 0  # when such rows went on

    def load(self, kept: list[tuple[list[Any], str]]) -> None:
        """Take in entries as they were kept, with their places."""
        for entry, place in sorted(kept, key=lambda one: one[0][1]):
            _, _, number, values, *marks = entry
            self._rows.append((Arrived(number, tuple(values), *marks), place))

    def take(self, arrived: Arrived, now_ms: int, shelf: Shelf) -> list[Arrived]:
        """Take in a row; the rows that go on now."""
        if not self._rows and now_ms - self._passed_ms >= GATHER_MS:
            self._passed_ms = now_ms
            return [arrived]
        number = self.told + len(self._rows) + 1
        self._rows.append((arrived, shelf.put([LOOSE, number, *arrived])))
        return self._all(now_ms, shelf) if len(self._rows) >= GATHER_ROWS else []

    def until(self) -> int | None:
        """The wall clock at which gathered rows go on; None where there are none."""
        return self._passed_ms + GATHER_MS if self._rows else None

    def due(self, now_ms: int, shelf: Shelf) -> list[Arrived]:
        """What was gathered for long enough, in the order in which it came."""
        until = self.until()
        return self._all(now_ms, shelf) if until is not None and now_ms >= until else []

    def _all(self, now_ms: int, shelf: Shelf) -> list[Arrived]:
        self._passed_ms = now_ms
        self.told += len(self._rows)
        shelf.free([place for _, place in self._rows])
        rows = [arrived for arrived, _ in self._rows]
        self._rows.clear()
        return rows
