"""The monitor's marks: exact, and the same in whatever order closes and positions come."""

from collections.abc import Sequence
from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.live import monitoring as live
from udfs import monitoring
from udfs.errors import InvariantError
from udfs.money import UNIT
from udfs.monitoring import EMPTY, Mark, Position, SymbolState

OWNER = ("main", "trend")
Step = tuple[str, int]  # a close at that minute, or a position by its number

POSITIONS = (
    Position(2 * UNIT, 10 * UNIT, 20 * UNIT, 60_000),
    Position(-3 * UNIT, 11 * UNIT, -33 * UNIT, 120_000),
)


def walk(steps: Sequence[Step]) -> tuple[SymbolState, dict[tuple[str, str], Mark]]:
    """The state after the steps, and the rows that a table would then have."""
    state, rows = EMPTY, {}
    for what, number in steps:
        if what == "close":
            state, found = monitoring.on_close(state, (9 + number) * UNIT, number * 60_000)
        elif number < len(POSITIONS):
            state, mark = monitoring.on_position(state, OWNER, POSITIONS[number])
            found = [] if mark is None else [mark]
        else:
            state, mark = monitoring.on_position(state, OWNER, None)
            assert mark is None
            rows.pop(OWNER, None)
            found = []
        rows |= {mark.owner: mark for mark in found}
    return state, rows


def test_a_mark_is_close_times_net_less_cost() -> None:
    _, rows = walk([("position", 0), ("close", 3)])
    mark = rows[OWNER]
    assert (mark.close, mark.unrealized, mark.exposure) == (12 * UNIT, 4 * UNIT, 24 * UNIT)
    assert mark.ts == 180_000
    _, rows = walk([("close", 1), ("position", 1)])
    mark = rows[OWNER]
    assert (mark.unrealized, mark.exposure) == (3 * UNIT, -30 * UNIT)
    assert mark.ts == 120_000  # the fill came after the close


@pytest.mark.parametrize("closes", list(permutations([("close", 1), ("close", 2), ("close", 3)])))
def test_an_older_close_changes_nothing(closes: Sequence[Step]) -> None:
    assert walk([("position", 0), *closes])[1] == walk([("position", 0), ("close", 3)])[1]


def test_a_flat_position_has_no_mark_nor_has_one_before_a_close() -> None:
    assert walk([("position", 0)])[1] == {}
    state, rows = walk([("position", 0), ("close", 1), ("position", 2)])
    assert (rows, state.positions) == ({}, {})


@given(
    st.lists(
        st.tuples(st.just("close"), st.integers(1, 5))
        | st.tuples(st.just("position"), st.integers(0, 2))
    )
)
def test_rows_are_the_marks_of_the_state(steps: list[Step]) -> None:
    state, rows = walk(steps)
    assert list(rows.values()) == monitoring.marks(state)
    assert live.load(live.save(state)) == state


def test_another_state_is_refused() -> None:
    with pytest.raises(InvariantError, match="no state of the monitor"):
        live.load(b'{"kind": "engine", "version": 1}')
