"""A map in Flink's state that is written later: whatever is done with it, it is as a dict."""

from collections.abc import Collection, Iterable

from hypothesis import given
from hypothesis import strategies as st
from pyflink.datastream.state import MapState

from jobs.stored import Later

NAMES = st.sampled_from("abc")
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("set"), NAMES, st.text(max_size=2)),
        st.tuples(st.just("update"), NAMES, st.text(max_size=2)),
        st.tuples(st.sampled_from(["delete", "flush", "clear"]), NAMES, st.just("")),
    )
)


class InMemory(MapState):  # type: ignore[misc]
    """What Flink keeps; it counts how often it is called to write."""

    def __init__(self) -> None:
        self.held: dict[str, str] = {}
        self.writes = 0

    def get(self, key: str) -> str | None:
        return self.held.get(key)

    def put(self, key: str, value: str) -> None:
        raise AssertionError("one by one")

    def put_all(self, dict_value: dict[str, str]) -> None:
        self.writes += 1
        self.held.update(dict_value)

    def remove(self, key: str) -> None:
        self.writes += 1
        self.held.pop(key, None)

    def contains(self, key: str) -> bool:
        return key in self.held

    def items(self) -> Iterable[tuple[str, str]]:
        return self.held.items()

    def keys(self) -> Iterable[str]:
        return self.held.keys()

    def values(self) -> Collection[str]:
        return self.held.values()

    def is_empty(self) -> bool:
        return not self.held

    def clear(self) -> None:
        self.held.clear()


@given(STEPS)
def test_it_is_as_a_dict(steps: list[tuple[str, str, str]]) -> None:
    flink, expected = InMemory(), dict[str, str]()
    later = Later(flink)
    for what, name, text in steps:
        if what == "set":
            later[name] = expected[name] = text
        elif what == "update":
            later.update({name: text})
            expected[name] = text
        elif what == "delete" and name in expected:
            del later[name], expected[name]
        elif what == "flush":
            later.flush()
            assert flink.held == expected
        elif what == "clear":
            later.clear()
            expected.clear()
        assert {one: later.get(one) for one in "abc"} == {one: expected.get(one) for one in "abc"}
        assert [one in later for one in "abc"] == [one in expected for one in "abc"]
    assert dict(later.items()) == expected
    assert sorted(later) == sorted(expected)
    assert len(later) == len(expected)
    assert flink.held == expected


def test_many_are_kept_in_one_call() -> None:
    flink = InMemory()
    later = Later(flink)
    for number in range(9):
        later[str(number)] = "x"
    del later["0"]
    assert flink.writes == 0
    later.flush()
    assert flink.writes == 2
    assert len(flink.held) == 8
    later.flush()
    assert flink.writes == 2
