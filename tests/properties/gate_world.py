"""A venue around the gate: orders are filled in parts, reported late, out of order or again."""

import random
from collections.abc import Callable
from typing import NamedTuple

from hypothesis import strategies as st

from udfs import tradepicker
from udfs.money import UNIT
from udfs.plan import NO_CAP, AccountPlan, GatePlan, SymbolPlan
from udfs.rows import BUY, SELL, Decision, OrderEnd, PositionChange, Signal
from udfs.tradepicker import GateParams, GateState

Name = tuple[str, str]
STRATEGIES = ("a", "b")
SYMBOLS = ("X", "Y", "Z")
TTL = 50


class Step(NamedTuple):
    """One event. `pick` chooses among what there is at that moment, `amount` is its size.

    buy, short: a signal on (strategy, symbol), `wait` after the one before; exit: a signal that
    closes one of the positions that the gate knows; fill: a fill of an order, `amount` 0 the whole
    rest, told later; report: a fill told at once; tell, repeat: a change that the gate does not
    know, or knows; end: an order ends.
    """

    kind: str
    strategy: str
    symbol: str
    pick: int
    amount: int
    wait: int


KINDS = (
    *("buy", "buy", "buy", "buy", "exit", "exit", "exit", "short"),
    *("fill", "report", "report", "report", "tell", "tell", "repeat", "end"),
)
AMOUNTS = (0, 0, 1, 4, 9)
WAITS = (0, 0, 0, 1, 5, 30)


def steps(max_size: int = 50) -> st.SearchStrategy[list[Step]]:
    """Histories in which positions are opened, added to, closed and opened again."""
    step = st.builds(
        Step,
        kind=st.sampled_from(KINDS),
        strategy=st.sampled_from(STRATEGIES),
        symbol=st.sampled_from(SYMBOLS),
        pick=st.integers(0, 7),
        amount=st.sampled_from(AMOUNTS),
        wait=st.sampled_from(WAITS),
    )
    # Left to themselves, lists have some five items: too few to open, sell and open again.
    return st.integers(0, max_size).flatmap(lambda n: st.lists(step, min_size=n, max_size=n))


def long_history(rng: random.Random, length: int = 150) -> list[Step]:
    """A long one, cheaper than Hypothesis makes it: what is rare needs many events to happen."""
    choose = rng.choice
    return [
        Step(
            choose(KINDS),
            choose(STRATEGIES),
            choose(SYMBOLS),
            rng.randrange(8),
            choose(AMOUNTS),
            choose(WAITS),
        )
        for _ in range(length)
    ]


def gate_params(
    cap: int = 2,
    shorts: bool = False,
    reserve: bool = True,
    budget: int | None = None,
    entries: int = 0,
) -> GateParams:
    """An account that buys 10 of anything; `budget` in whole quote."""
    account = AccountPlan(
        account_id="acct-1",
        strategies=STRATEGIES,
        fixed_qty=10 * UNIT,
        notional=None,
        weights={"a": UNIT, "b": UNIT // 2},
        max_open_positions=cap,
        max_notional=None if budget is None else budget * UNIT,
        fee_bps=0,
        slippage_bps=0,
        start_capital=0,
        broker="external",
        is_shadow=False,
    )
    gate = GatePlan(entries, not shorts, reserve, TTL)
    symbols = {name: SymbolPlan(name, UNIT // 100, UNIT, "USD") for name in SYMBOLS}
    return GateParams(account, gate, symbols)


params_of_any_kind = st.builds(
    gate_params,
    cap=st.sampled_from((NO_CAP, 1, 2, 3)),
    shorts=st.booleans(),
    reserve=st.booleans(),
    budget=st.sampled_from((None, 15, 40)),
    entries=st.integers(0, 2),
)


class Out(NamedTuple):
    """An order at the venue, with what is still to be filled."""

    name: Name
    order_id: str
    side: int
    qty_left: int
    until: int | None


def same(state: GateState) -> GateState:
    return state


class World:
    """Runs a history. `told` are the gate's outputs, `passed` the times over the cap.

    prompt: the venue fills and reports every order before its reservation expires. `overdue`: a
    reservation expired, by the gate's clock, before the gate knew of the order's whole fill.
    `carry` is what happens to the state between events.
    """

    def __init__(
        self,
        params: GateParams,
        prompt: bool = False,
        carry: Callable[[GateState], GateState] = same,
    ) -> None:
        self.params, self.prompt, self.carry = params, prompt, carry
        self.state: GateState = {}
        self.now = 0
        self.out: list[Out] = []
        self.positions: dict[Name, tuple[int, int]] = {}
        self.untold: list[PositionChange] = []
        self.changes: list[PositionChange] = []
        self.told: list[Decision] = []
        self.passed = 0
        self.overdue = False

    def run(self, history: list[Step], check: Callable[["World"], None] | None = None) -> "World":
        for step in history:
            self.step(step)
            self.state = self.carry(self.state)
            if check:
                check(self)
        return self

    def step(self, step: Step) -> None:
        if step.kind in ("buy", "short"):
            side = BUY if step.kind == "buy" else SELL
            self.signal((step.strategy, step.symbol), side, step)
        elif step.kind == "exit":
            known = [(name, key.net_qty) for name, key in sorted(self.state.items()) if key.net_qty]
            if known:
                name, net = known[step.pick % len(known)]
                self.signal(name, SELL if net > 0 else BUY, step)
        elif step.kind in ("fill", "report") and self.out:
            order = self.out[step.pick % len(self.out)]
            self.fill(order, min(order.qty_left, step.amount * UNIT or order.qty_left))
            if step.kind == "report":
                self.tell(self.untold.pop())
        elif step.kind == "tell" and self.untold:
            self.tell(self.untold.pop(step.pick % len(self.untold)))
        elif step.kind == "repeat" and self.changes:
            change = self.changes[step.pick % len(self.changes)]
            if change not in self.untold:
                self.tell(change)
        elif step.kind == "end" and self.out:
            order = self.out[step.pick % len(self.out)]
            # A venue tells an order's end after its fills.
            if not any(change.order_id == order.order_id for change in self.untold):
                self.end(order)

    def signal(self, name: Name, side: int, step: Step) -> None:
        self.now += step.wait
        if self.prompt:
            self.settle(self.now)
        late = [until for until in self.open_to_gate() if until is not None and until <= self.now]
        self.overdue = self.overdue or bool(late)
        signal = Signal(
            signal_id=f"{len(self.told)}",
            strategy_id=name[0],
            symbol=name[1],
            ts=self.now,
            action=side,
            close=1.0 + step.pick / 4,
            size_hint=1.0,
        )
        self.state, decision, order = tradepicker.decide(self.state, signal, self.params)
        self.told.append(decision)
        if order is not None:
            self.out.append(Out(name, order.order_id, side, order.qty, order.reserved_until))

    def open_to_gate(self) -> list[int | None]:
        """Ends of the reservations of orders that, as far as the gate knows, are still out."""
        return [order.reserved_until for key in self.state.values() for order in key.orders]

    def fill(self, order: Out, qty: int) -> None:
        net, seq = self.positions.get(order.name, (0, 0))
        after = net + order.side * qty
        self.positions[order.name] = (after, seq + 1)
        fill_id = f"{order.order_id}:{seq + 1}"
        change = PositionChange(
            "acct-1", *order.name, seq + 1, order.order_id, fill_id, order.side, qty, net, after, 0
        )
        self.untold.append(change)
        self.changes.append(change)
        left = order._replace(qty_left=order.qty_left - qty)
        self.out = [left if other is order else other for other in self.out]
        self.out = [other for other in self.out if other.qty_left]

    def tell(self, change: PositionChange) -> None:
        self.state, passed = tradepicker.apply_change(self.state, change, self.params)
        self.passed += passed

    def end(self, order: Out) -> None:
        end = OrderEnd(*order.name, order.order_id, self.now)
        self.state = tradepicker.apply_end(self.state, end)
        self.out = [other for other in self.out if other is not order]

    def settle(self, now: int) -> None:
        """Everything whose reservation would expire by `now` is filled and reported."""
        due = [order for order in self.out if order.until is not None and order.until <= now]
        for order in due:
            self.fill(order, order.qty_left)
        waiting = {(o.strategy_id, o.symbol) for o in self.untold if self.is_due(o, now)}
        for change in [c for c in self.untold if (c.strategy_id, c.symbol) in waiting]:
            self.untold.remove(change)
            self.tell(change)

    def is_due(self, change: PositionChange, now: int) -> bool:
        """Whether the change belongs to an order whose reservation expires by `now`."""
        key = self.state.get((change.strategy_id, change.symbol), tradepicker.EMPTY)
        ends = [o.reserved_until for o in key.orders if o.order_id == change.order_id]
        return any(end is not None and end <= now for end in ends)

    def finish(self) -> None:
        """Everything that is out is filled, and the gate told of all of it."""
        for order in list(self.out):
            self.fill(order, order.qty_left)
        for change in self.untold:
            self.tell(change)
        self.untold = []
