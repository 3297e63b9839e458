"""The order keeper of live stages: what is released when, also after it was started again."""

import itertools
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.live.order import QUIET_MS, Gap, Order, ToTell, ToWork
from jobs.live.seen import TICKS
from jobs.live.sent import Sent, joined
from jobs.live.shelf import SPARE
from jobs.live.stage import Arrived, Input, Stage, Upstream, Worked
from schemas.market import PRICE_1M_HISTORY
from udfs.errors import InvariantError

FEED, GATE = ("feed", "main"), ("gate", "main")
BASE_MS, PATIENCE_MS = 10, 100


def stage(prompt: bool = False) -> Stage:
    """Counted bars of a feed, and a gate's progress of the tick before."""
    bars = Input(
        table=PRICE_1M_HISTORY,
        columns=("symbol",),
        ts="ts",
        lag_ms=0,
        instance=lambda values: FEED,
        keys=lambda values: [str(values[0])],
        prompt=prompt,
    )
    return Stage(
        name="toy",
        inputs=(bars,),
        upstreams=(Upstream(*FEED), Upstream(*GATE, lag_ms=BASE_MS)),
        outputs=(),
        instances=("main",),
        base_ms=BASE_MS,
        patience_ms=PATIENCE_MS,
        wake=lambda tick: [],
        work=lambda key, state, memory, bundle: Worked(None, []),
    )


def released(sent: list[Any]) -> dict[int, list[str]]:
    """Keys with rows, by tick."""
    found: dict[int, list[str]] = {one.tick: [] for one in sent if isinstance(one, ToTell)}
    for one in sent:
        if isinstance(one, ToWork):
            found[one.tick or 0] += [one.key] * len(one.rows)
    return found


def assert_nothing_is_held(order: Order, tick: int) -> None:
    """The next tick waits for both who promise it, and is released without a row."""
    assert order.progress(tick, FEED, 0, 0) == []
    assert released(order.progress(tick, GATE, 0, 0)) == {tick: []}


def test_a_tick_is_released_when_all_of_it_is_there() -> None:
    kept: dict[str, str] = {}
    order = Order(stage(), kept, {})
    assert order.row(0, 10, "b", ("B",), 0) == []
    assert order.progress(10, FEED, 2, 0) == []
    order = Order(stage(), kept, {})  # started again
    assert order.row(0, 10, "b", ("B",), 0) == []  # a copy
    sent = order.row(0, 10, "a", ("A",), 0)  # the first tick waits for no tick before
    assert released(sent) == {10: ["A", "B"]}
    assert order.progress(20, FEED, 0, 0) == []
    order = Order(stage(), kept, {})
    assert released(order.progress(20, GATE, 0, 0)) == {20: []}
    assert_nothing_is_held(Order(stage(), kept, {}), 30)


def test_patience_lasts_while_an_instance_is_heard_of() -> None:
    order = Order(stage(), {}, {})
    order.progress(10, FEED, 3, 10)
    for now_ms in (90, 180):  # rows of a long backlog come behind their progress
        assert order.row(0, 10, str(now_ms), ("A",), now_ms) == []
        assert order.wait_until() == now_ms + PATIENCE_MS
        assert order.expired(now_ms + PATIENCE_MS - 1, 0) == []
    assert order.expired(280, 0) == []
    sent = order.expired(280 + QUIET_MS, QUIET_MS)
    assert sent[0] == Gap("main", 10, "feed/main", 370)
    assert released(sent) == {10: ["A", "A"]}
    late = order.row(0, 10, "3", ("C",), 381)
    assert late == []
    order.progress(20, GATE, 0, 382)
    (sent_late,) = [one for one in order.progress(20, FEED, 0, 383) if isinstance(one, ToWork)]
    assert (sent_late.key, sent_late.tick, sent_late.rows[0].late) == ("C", 20, True)


def test_nobody_is_given_up_while_there_is_a_backlog() -> None:
    order = Order(stage(), {}, {})
    order.progress(10, FEED, 0, 10)
    order.progress(20, FEED, 1, 10)
    order.progress(20, GATE, 0, 10)
    for now_ms in range(110, 1_000, QUIET_MS):
        assert order.expired(now_ms, now_ms) == []
        assert order.wait_until() == now_ms + QUIET_MS
        order.progress(30 + now_ms, GATE, 0, now_ms + 1)
        assert order.expired(now_ms + QUIET_MS - 1, now_ms + QUIET_MS - 1) == []
        order.progress(40 + now_ms, GATE, 0, now_ms + QUIET_MS - 1)
    for now_ms in range(1_000, 2_000, QUIET_MS):  # the workers are behind: nothing can be taken in
        assert order.expired(now_ms, 1_000) == []
    (gap, *_) = order.expired(2_000, 1_000 + QUIET_MS)
    assert gap == Gap("main", 20, "feed/main", 1_990)


def given_up(order: Order, now_ms: int) -> list[Gap]:
    """The gaps once nothing has come for a while."""
    assert order.expired(now_ms, now_ms) == []
    return [
        one for one in order.expired(now_ms + QUIET_MS, now_ms + QUIET_MS) if isinstance(one, Gap)
    ]


def test_an_instance_that_was_given_up_is_waited_for_once_it_tells_again() -> None:
    order = Order(stage(), {}, {})
    order.progress(10, FEED, 0, 10)
    order.progress(20, FEED, 0, 10)
    # Nothing was heard of the gate yet: it may be starting.
    assert order.wait_until() == 10 + 6 * PATIENCE_MS
    assert given_up(order, 610) == [Gap("main", 20, "gate/main", 700)]
    assert released(order.progress(30, FEED, 0, 711)) == {30: []}
    assert order.progress(20, GATE, 0, 712) == []
    assert order.progress(40, FEED, 0, 713) == []
    assert order.wait_until() == 713 + PATIENCE_MS
    assert released(order.progress(40, GATE, 0, 714)) == {40: []}


@pytest.mark.parametrize("started_again", [False, True])
def test_prompt_rows_go_with_the_next_tick(started_again: bool) -> None:
    kept: dict[str, str] = {}
    order = Order(stage(prompt=True), kept, {})
    assert order.row(0, 20, "a", ("A",), 0) == []
    if started_again:
        order = Order(stage(prompt=True), kept, {})
    assert released(order.progress(10, FEED, 0, 0)) == {10: ["A"]}
    assert order.progress(20, GATE, 0, 0) == []
    if started_again:
        order = Order(stage(prompt=True), kept, {})
    assert released(order.progress(20, FEED, 1, 0)) == {20: []}  # it counts for its own tick
    assert_nothing_is_held(Order(stage(prompt=True), kept, {}), 30)


def test_what_is_kept_does_not_grow() -> None:
    kept: dict[str, str] = {}
    order = Order(stage(), kept, {})
    order.progress(10, FEED, 0, 0)
    for tick in range(20, 1_000, 10):
        if tick % 70 == 0:
            order = Order(stage(), kept, {})
        order.row(0, tick, "a", ("A",), 0)
        order.progress(tick, FEED, 1, 0)
        assert released(order.progress(tick, GATE, 0, 0)) == {tick: ["A"]}
        assert len(kept) < 8
    for number in range(3 * SPARE):
        order.row(0, 1_000, str(number), ("A",), 0)
    assert len(kept) > 3 * SPARE
    order.progress(1_000, FEED, 3 * SPARE, 0)
    assert [*released(order.progress(1_000, GATE, 0, 0))] == [1_000]
    assert len(kept) <= SPARE + 1


@pytest.mark.parametrize("prompt", [False, True])
def test_a_repeat_is_never_handed_on_again(prompt: bool) -> None:
    kept: dict[str, str] = {}
    seen: dict[str, str] = {}

    def again() -> Order:
        return Order(stage(prompt), kept, seen)

    order = again()
    order.progress(10, FEED, 1, 0)
    assert released(order.row(0, 10, "a", ("A",), 0)) == {10: ["A"]}
    order.row(0, 20, "b", ("B",), 0)
    order.row(0, 10, "late", ("L",), 0)  # its tick is over: it goes with the next one
    for started_again in (False, True):
        order = again() if started_again else order
        for tick, row_id in ((10, "a"), (20, "b"), (10, "late")):
            assert order.row(0, tick, row_id, ("X",), 0) == []
    order.progress(20, GATE, 0, 0)
    sent = order.progress(20, FEED, 1, 0)
    rows = [(one.key, one.rows[0].late) for one in sent if isinstance(one, ToWork)]
    assert rows == [("B", False), ("L", True)]
    for started_again in (False, True):
        order = again() if started_again else order
        for tick, row_id in ((10, "a"), (20, "b"), (10, "late")):
            assert order.row(0, tick, row_id, ("X",), 0) == []
    assert_nothing_is_held(order, 30)


def test_a_prompt_row_that_went_before_its_tick_counts_once() -> None:
    kept: dict[str, str] = {}
    order = Order(stage(prompt=True), kept, {})
    order.row(0, 20, "a", ("A",), 0)
    assert released(order.progress(10, FEED, 0, 0)) == {10: ["A"]}
    for started_again in (False, True):
        order = Order(stage(prompt=True), kept, {}) if started_again else order
        assert order.row(0, 20, "a", ("A",), 0) == []
    order.progress(20, GATE, 0, 0)
    assert order.progress(20, FEED, 2, 0) == []  # a second row was promised
    assert released(order.row(0, 20, "b", ("B",), 0)) == {20: ["B"]}


def test_what_is_known_of_rows_does_not_grow() -> None:
    seen: dict[str, str] = {}
    order = Order(stage(), {}, seen)
    last = (TICKS + 100) * BASE_MS
    for tick in range(BASE_MS, last + 1, BASE_MS):
        order.progress(tick, FEED, 1, 0)
        order.progress(tick, GATE, 0, 0)
        assert released(order.row(0, tick, "a", ("A",), 0)) == {tick: ["A"]}
    assert len(seen) == TICKS
    for tick in (BASE_MS, 100 * BASE_MS, last - TICKS * BASE_MS, last):
        assert order.row(0, tick, "a", ("A",), 0) == []
    assert order.row(0, BASE_MS, "b", ("B",), 0) == []  # too old to be told from a repeat
    order.row(0, last, "b", ("B",), 0)
    order.progress(last + BASE_MS, GATE, 0, 0)
    sent = order.progress(last + BASE_MS, FEED, 0, 0)
    assert released(sent) == {last + BASE_MS: ["B"]}


def test_another_state_is_refused() -> None:
    kept: dict[str, str] = {}
    Order(stage(), kept, {}).progress(10, FEED, 0, 0)
    with pytest.raises(InvariantError, match="start from a savepoint that this code wrote"):
        Order(stage()._replace(name="other"), kept, {})


ROWS = st.lists(st.builds(Arrived, st.integers(0, 9), st.just(())), max_size=2).map(tuple)
SENT = st.lists(
    st.one_of(
        st.builds(ToWork, st.sampled_from("ab"), st.sampled_from([None, None, 10]), ROWS),
        st.builds(ToTell, st.just(10), st.just(1)),
    )
)


@given(SENT)
def test_rows_without_a_tick_go_together(sent: list[Sent]) -> None:
    fewer = joined(sent)
    for key in "ab":
        own = [
            [one for one in some if isinstance(one, ToWork) and one.key == key]
            for some in (sent, fewer)
        ]
        ticks = [[(one.tick, row) for one in some for row in one.rows] for some in own]
        assert ticks[0] == ticks[1]
        assert [one for one in own[0] if one.tick] == [one for one in own[1] if one.tick]
        loose = [one.tick is None for one in own[1]]
        assert (True, True) not in itertools.pairwise(loose)
    told = [[one for one in some if isinstance(one, ToTell)] for some in (sent, fewer)]
    assert told[0] == told[1]
