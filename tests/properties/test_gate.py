"""The gate under random histories: the cap, reservations, budgets, repeated and late changes."""

import random

import pytest
from hypothesis import Phase, find, given, settings
from hypothesis import strategies as st

from tests.properties.gate_world import (
    Step,
    World,
    gate_params,
    long_history,
    params_of_any_kind,
    steps,
)
from udfs import tradepicker
from udfs.money import UNIT
from udfs.plan import NO_CAP
from udfs.rows import BUY, Code, PositionChange, Signal
from udfs.state import dump, load_gate
from udfs.tradepicker import GateParams, committed, is_entry, pending

FAST = settings(max_examples=80, deadline=None, derandomize=True, database=None)


def open_symbols(world: World) -> set[str]:
    return {symbol for (_, symbol), key in world.state.items() if key.net_qty}


def passes_the_cap(params: GateParams, history: list[Step]) -> bool:
    """Whether, at a venue that is prompt, the open symbols are ever above the cap."""
    world = World(params, prompt=True)
    for step in history:
        world.run([step])
        if len(open_symbols(world)) > params.account.max_open_positions:
            return True
    world.finish()
    return len(open_symbols(world)) > params.account.max_open_positions or world.passed > 0


@FAST
@given(steps(), st.sampled_from((1, 2, 3)))
def test_the_cap_is_kept_while_fills_come_before_reservations_expire(
    history: list[Step], cap: int
) -> None:
    assert not passes_the_cap(gate_params(cap=cap), history)


def test_the_cap_is_kept_in_long_histories() -> None:
    """Rare: a slot that is given away while a BUY is still out shows in 1 history of 30."""
    for seed in range(200):
        params = gate_params(cap=1 + seed % 2)
        assert not passes_the_cap(params, long_history(random.Random(seed))), seed


@FAST
@given(steps(), st.sampled_from((1, 2)))
def test_the_cap_is_passed_only_where_a_reservation_expired(history: list[Step], cap: int) -> None:
    world = World(gate_params(cap=cap)).run(history)
    world.finish()
    assert world.passed == 0 or world.overdue


def test_without_reservations_the_same_property_fails() -> None:
    params = gate_params(cap=1, reserve=False)
    history = find(
        steps(),
        lambda found: passes_the_cap(params, found),
        settings=settings(max_examples=500, database=None, phases=[Phase.generate]),
        random=random.Random(1),
    )
    assert not passes_the_cap(gate_params(cap=1), history)


@pytest.mark.parametrize("reserve", [True, False])
def test_two_buys_before_the_first_fill(reserve: bool) -> None:
    history = [Step("buy", "a", symbol, 0, 0, 0) for symbol in ("X", "Y")]
    assert passes_the_cap(gate_params(cap=1, reserve=reserve), history) == (not reserve)


def held_together(world: World) -> None:
    """What must hold after every event, whatever the settings."""
    params = world.params
    for key in world.state.values():
        ends = [order.reserved_until for order in key.orders]
        assert key.reserved_until is None or key.reserved_until in ends
        assert all(0 < order.qty_left <= order.qty for order in key.orders)
        assert key.held >= 0 and pending(key) >= 0 and key.entries >= 0
        assert key.entries >= sum(map(is_entry, key.orders))
        if not key.net_qty:
            assert key.held == 0
            assert key.entries == sum(map(is_entry, key.orders))
        if params.gate.sell_requires_long:
            assert pending(key) <= key.net_qty
        if params.gate.max_entries:
            assert key.entries <= params.gate.max_entries
    if params.account.max_notional is not None:
        total = sum(map(committed, world.state.values()))
        assert total <= params.account.max_notional * UNIT


@FAST
@given(steps(), params_of_any_kind)
def test_reservations_entries_and_budgets_belong_to_orders_and_positions(
    history: list[Step], params: GateParams
) -> None:
    world = World(params).run(history, held_together)
    world.finish()
    held_together(world)
    for name, key in world.state.items():
        assert (key.orders, key.early, key.reserved_until) == ((), (), None)
        assert (key.net_qty, key.seq) == world.positions.get(name, (0, 0))


def test_the_same_in_long_histories() -> None:
    rng = random.Random(5)
    for _ in range(100):
        params = gate_params(
            cap=rng.choice((NO_CAP, 1, 2)),
            shorts=rng.random() < 0.5,
            budget=rng.choice((None, 20, 60)),
            entries=rng.choice((0, 0, 1, 3)),
        )
        world = World(params).run(long_history(rng, 80), held_together)
        world.finish()
        held_together(world)


@FAST
@given(steps(), params_of_any_kind)
def test_what_is_accepted_agrees_with_its_numbers(history: list[Step], params: GateParams) -> None:
    for decision in World(params).run(history).told:
        counts = (decision.open_symbols, decision.reserved_symbols)
        assert (counts == (None, None)) == (params.account.max_open_positions == NO_CAP)
        assert (decision.order_id is not None) == (decision.code is Code.OK)
        if decision.code is Code.OK:
            assert decision.qty is not None and decision.qty > 0
        if decision.code is Code.OPEN_LIMIT_EXCEEDED:
            assert sum(count or 0 for count in counts) >= params.account.max_open_positions


@FAST
@given(steps(), params_of_any_kind)
def test_saving_and_loading_after_every_event_changes_nothing(
    history: list[Step], params: GateParams
) -> None:
    kept = World(params).run(history)
    loaded = World(params, carry=lambda state: load_gate(dump(state))).run(history)
    assert (loaded.told, loaded.passed, loaded.state) == (kept.told, kept.passed, kept.state)
    assert dump(loaded.state) == dump(kept.state)


@FAST
@given(steps(), params_of_any_kind, st.randoms(use_true_random=False))
def test_changes_apply_once_each_in_order_of_seq(
    history: list[Step], params: GateParams, rng: random.Random
) -> None:
    """Any order of delivery, with repetitions, ends in the state that the order of seq gives."""
    world = World(params).run([step for step in history if step.kind in ("buy", "fill")])
    start = world.state
    world.finish()
    changes = world.changes
    shuffled = changes + rng.choices(changes, k=len(changes)) if changes else []
    rng.shuffle(shuffled)
    state = start
    for change in shuffled:
        state, _ = tradepicker.apply_change(state, change, params)
    assert dump(state) == dump(world.state)


@FAST
@given(steps(), params_of_any_kind)
def test_no_event_touches_the_state_that_it_was_given(
    history: list[Step], params: GateParams
) -> None:
    world = World(params)
    for step in history:
        given_state, before = world.state, dump(world.state)
        world.run([step])
        assert dump(given_state) == before


@pytest.mark.parametrize("sold", [1, 7, 10])
@given(st.lists(st.integers(1, 10**20), min_size=1, max_size=6))
@FAST
def test_a_reduction_takes_its_proportional_part(sold: int, parts: list[int]) -> None:
    """Against fractions, to the last unit of the rounding (10^-36)."""
    params = gate_params(cap=NO_CAP)
    state: tradepicker.GateState = {}
    signal = Signal("s", "a", "X", 0, BUY, 3.21, 1.0)
    state, _, order = tradepicker.decide(state, signal, params)
    assert order is not None
    name, net, seq, exact = ("a", "X"), 0, 0, order.qty * order.price
    for part in (order.qty, *(-p for p in parts if sum(parts) < order.qty)):
        after = net + part
        side, order_id = (1, order.order_id) if part > 0 else (-1, "sold")
        change = PositionChange(
            "acct-1", *name, seq + 1, order_id, "f", side, abs(part), net, after, 0
        )
        state, _ = tradepicker.apply_change(state, change, params)
        exact = exact if part > 0 else exact * after / net if net else exact
        net, seq = after, seq + 1
    assert abs(committed(state[name]) - exact) <= max(len(parts), exact * 1e-12)
