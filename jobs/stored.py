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


class Later(Stored):
    """The same, but what is set or deleted goes into the state by `flush`, all in one call or two.

    It must be called before Flink takes its next checkpoint, and before another key is worked.
    """

    def __init__(self, state: MapState) -> None:
        super().__init__(state)
        self._new: dict[str, str] = {}
        self._gone: set[str] = set()

    def flush(self) -> None:
        """Keep all of it."""
        if self._new:
            self._state.put_all(self._new)
            self._new = {}
        for name in self._gone:
            self._state.remove(name)
        self._gone.clear()

    def __getitem__(self, name: str) -> str:
        if name in self._gone:
            raise KeyError(name)
        return self._new[name] if name in self._new else super().__getitem__(name)

    def __setitem__(self, name: str, text: str) -> None:
        self._gone.discard(name)
        self._new[name] = text

    def update(self, entries: Mapping[str, str]) -> None:  # type: ignore[override]
        """Set all entries."""
        self._gone -= entries.keys()
        self._new.update(entries)

    def __delitem__(self, name: str) -> None:
        self._new.pop(name, None)
        self._gone.add(name)

    def __contains__(self, name: object) -> bool:
        return name not in self._gone and (name in self._new or super().__contains__(name))

    def __iter__(self) -> Iterator[str]:
        self.flush()
        return super().__iter__()

    def __len__(self) -> int:
        self.flush()
        return super().__len__()

    def items(self) -> Any:
        """All pairs, read at once."""
        self.flush()
        return super().items()

    def clear(self) -> None:
        """Forget all of the key."""
        self._new.clear()
        self._gone.clear()
        super().clear()
