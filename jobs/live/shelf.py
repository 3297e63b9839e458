"""What a stage's operators keep in a map on disk: a book, and entries that end with their tick."""

import json
from collections.abc import Callable, Iterator, MutableMapping
from typing import Any

from udfs.errors import InvariantError

BOOK = "book"
SPARE = 2_000  # free places that stay after a flood
Kept = MutableMapping[str, str]
Entry = list[Any]  # what JSON knows


class Shelf:
    """Entries by their place. A place that is free is written again.

    Until then the old entry lies in it, so who loads must know from elsewhere which are over: to
    delete each one would cost as much as it cost to write it.
    """

    def __init__(self, kept: Kept) -> None:
        self._kept = kept
        self._free: list[str] = []
        self._places = 0

    def load(self, is_over: Callable[[Entry], bool]) -> Iterator[tuple[str, Entry]]:
        """Entries as they were kept, with their places; those of entries that are over are free."""
        for place, text in self._kept.items():
            if place == BOOK:
                continue
            self._places = max(self._places, int(place) + 1)
            entry = json.loads(text)
            if is_over(entry):
                self._free.append(place)
            else:
                yield place, entry

    def put(self, entry: Entry) -> str:
        """Keep an entry; its place."""
        if self._free:
            place = self._free.pop()
        else:
            place = str(self._places)
            self._places += 1
        self._kept[place] = json.dumps(entry)
        return place

    def free(self, places: list[str]) -> None:
        """The entries in these places are over."""
        self._free += places
        while len(self._free) > SPARE:
            del self._kept[self._free.pop()]


def check_version(stage: str, version: int, kept_version: int, kept_stage: str) -> None:
    """InvariantError unless a state was kept by this version of this stage."""
    if (kept_version, kept_stage) != (version, stage):
        raise InvariantError(
            f"state of {kept_stage!r}, version {kept_version}, where {stage!r}, version {version}, "
            "is read: start from a savepoint that this code wrote"
        )
