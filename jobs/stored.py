"""Flink's state as Python has it: maps of texts as mappings, and keys that are worked together."""

from collections.abc import Iterator, Mapping, MutableMapping
from typing import Any

from pyflink.datastream.state import MapState, ValueState


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


class Keys:
    """The key that is worked, of several in one call of Flink, which knows of one of them.

    `backend` is what keeps the states, `state` the value of each key; in thread mode alone.
    """

    def __init__(self, backend: Any, state: ValueState) -> None:
        from pemja import findClass  # there is none outside a task

        self._java = findClass("tradeflow.Keys")
        self._backend, self._value = backend, state
        self._key: str | None = None
        self._used: str | None = None
        self._new: dict[str, bytes | None] = {}

    def enter(self, key: str | None) -> None:
        """Flink calls, for this key; None: for several, or one that is not known."""
        self._key = self._used = key

    def work(self, key: str) -> None:
        """States are this key's from now on."""
        self._key = key

    def use(self) -> None:
        """Tell Flink, if it is to be asked."""
        if self._used != self._key:
            self._java.use(self._backend, self._key)
            self._used = self._key

    def value(self) -> bytes | None:
        """The key's value, as it was before this call of Flink."""
        self.use()
        found: bytes | None = self._value.value()
        return found

    def update(self, value: bytes | None) -> None:
        """The key's value from now on; it goes into the state by `flush`."""
        self._new[str(self._key)] = value

    def flush(self) -> None:
        """Keep the new values, in one call into Flink."""
        if self._new:
            pickled = {
                key: self._value._value_converter.to_external(self._new[key]) for key in self._new
            }
            self._java.update(self._backend, self._value._state, pickled)
            self._new.clear()
            self._used = None


class Keyed(Stored):
    """A map of each key of `keys`."""

    def __init__(self, state: MapState, keys: Keys) -> None:
        self._flink, self._keys = state, keys

    @property
    def _state(self) -> MapState:  # type: ignore[override]
        self._keys.use()
        return self._flink
