"""A map of texts in Flink's state as a mapping of Python's."""

from collections.abc import Iterator, Mapping, MutableMapping
from typing import Any

from pyflink.datastream.state import MapState


class Stored(MutableMapping[str, str]):
    """A state of Flink as a mapping. It is that of the key which is worked at the moment."""

    def __init__(self, state: MapState) -> None:
        self._state = state

    def __getitem__(self, name: str) -> str:
        text = self._state.get(name)
        if text is None:
            raise KeyError(name)
        return str(text)

    def __setitem__(self, name: str, text: str) -> None:
        self._state.put(name, text)

    def update(self, entries: Mapping[str, str]) -> None:  # type: ignore[override]
        """Keep all entries, in one call into Flink."""
        self._state.put_all(dict(entries))

    def __delitem__(self, name: str) -> None:
        self._state.remove(name)

    def __contains__(self, name: object) -> bool:
        return bool(self._state.contains(name))

    def __iter__(self) -> Iterator[str]:
        # A list: whoever goes through it may change it.
        return iter(list(self._state.keys()))

    def __len__(self) -> int:
        return len(list(self._state.keys()))

    def items(self) -> Any:
        """All pairs, read at once."""
        return list(self._state.items())

    def clear(self) -> None:
        """Forget all of the key."""
        self._state.clear()
