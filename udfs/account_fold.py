"""The bounded fold of one account, step by step: gate, paper broker and engine as live calls them.

Events apply in order of time; at equal time fills before signals. Exact at any magnitude, some
30 us an event: the batch form is for the bulk.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from udfs import engine, ids, paper_broker, tradepicker, wide
from udfs.account import (
    FEES,
    NULL,
    OPEN_FEES,
    REALIZED,
    UNREALIZED,
    AccountInput,
    Outcome,
    day_groups,
)
from udfs.engine import EngineState
from udfs.lots import Lot
from udfs.money import UNIT, narrow
from udfs.plan import RunPlan, SymbolPlan
from udfs.rows import Code, Decision, Fill, OrderEnd, Signal
from udfs.sizing import rounded_close
from udfs.tradepicker import GateParams, GateState, OpenOrder

CODES: tuple[Code, ...] = tuple(Code)


class _Row(NamedTuple):
    """What became of one signal."""

    decision: Decision
    order: OpenOrder | None


class _Books:
    """The engine's keys of one account, and what their fills left behind."""

    def __init__(self, plan: RunPlan, given: AccountInput) -> None:
        self.plan, self.given = plan, given
        self.states: dict[tuple[int, int], EngineState] = {}
        self.seen: dict[tuple[str, str], int] = {}
        self.signal_of: dict[str, int] = {}
        self.fill_signal: list[int] = []
        self.fill_cost: list[float] = []
        self.matches: list[tuple[int, int, int, int, int, int]] = []
        groups, self.group_of = day_groups(plan, given)
        days = given.days.days
        self.daily = [[[0] * 4 for _ in range(days)] for _ in groups]
        self.marks: dict[tuple[int, int], list[tuple[int, EngineState]]] = {}

    def apply(self, at: int, fill: Fill) -> engine.Booked | None:
        """Book a fill of signal `at`; None for a duplicate."""
        name = (int(self.given.signals.strategy[at]), int(self.given.symbol[at]))
        state = self.states.get(name, engine.EMPTY)
        first = self.seen.get((fill.order_id, fill.fill_id))
        if engine.verdict(state, fill, first, self.plan.dedupe_ttl_ms) is not _APPLY:
            return None
        self.seen[fill.order_id, fill.fill_id] = fill.ts
        quote = self.given.symbols[name[1]].quote
        state, booked = engine.apply(state, fill, quote)
        self.states[name] = state
        self.fill_signal.append(at)
        self.fill_cost.append(open_cost_float(state.lots))
        day = int(np.searchsorted(self.given.days.starts, fill.ts, side="right")) - 1
        group = self.daily[self.group_of[name]][day]
        for index, match in enumerate(booked.matches):
            opening = match.buy_order_id if fill.side < 0 else match.sell_order_id
            opened = self.signal_of[opening]
            pnl = narrow(match.realized_pnl)
            self.matches.append((opened, at, index, match.qty, pnl, match.fees))
            group[REALIZED] += pnl
            group[FEES] += match.fees
        self.marks.setdefault(name, []).append((day, state))
        return booked

    def mark(self, close_of: Callable[[int, int], int]) -> None:
        """Value every key at the end of every day: unrealized and open fees."""
        for (strategy, number), marks in self.marks.items():
            group = self.daily[self.group_of[strategy, number]]
            quote = self.given.symbols[number].quote
            at, position = 0, None
            for day in range(self.given.days.days):
                while at < len(marks) and marks[at][0] <= day:
                    position = engine.rollup(marks[at][1], quote)
                    at += 1
                if position is not None:
                    worth = engine.unrealized(close_of(number, day), position)
                    group[day][UNREALIZED] += narrow(worth)
                    group[day][OPEN_FEES] += position.open_fees


_APPLY = engine.Verdict.APPLY


def open_cost_float(lots: tuple[Lot, ...]) -> float:
    """The absolute open cost, for figures that are shown (not booked)."""
    cost = sum(lot.side * lot.qty_rem * lot.price for lot in lots)
    return float(abs(cost) / (UNIT * UNIT))


def fold(plan: RunPlan, given: AccountInput) -> Outcome:
    """The whole account in the order of events, at exact precision."""
    symbols = {symbol.symbol: symbol for symbol in given.symbols}
    params = GateParams(given.account, plan.gate, symbols)
    gate: GateState = {}
    books = _Books(plan, given)
    rows: list[_Row] = []
    prices = [0] * len(given.signals.ts)
    fees = [0] * len(given.signals.ts)
    over_cap = 0
    position = 0
    ends = [*given.signals.ts.tolist(), None]
    for at, ts in enumerate(ends):
        while position < len(given.fill_at):
            filled = int(given.fill_at[position])
            if ts is not None and given.fill_ts[filled] > ts:
                break
            position += 1
            order = rows[filled].order
            if order is None:
                continue
            fill = _fill(plan, given, filled, order)
            if fill is None:
                end = _order_end(plan, given, filled, order)
                gate = tradepicker.apply_end(gate, end)
                continue
            prices[filled], fees[filled] = fill.price, fill.fee
            booked = books.apply(filled, fill)
            if booked is not None:
                gate, passed = tradepicker.apply_change(gate, booked.change, params)
                over_cap += passed
        if ts is not None:
            gate, decision, order = tradepicker.decide(gate, _signal(plan, given, at), params)
            rows.append(_Row(decision, order))
            if order is not None:
                books.signal_of[order.order_id] = at
    books.mark(lambda number, day: _close(given.symbols[number], given, number, day))
    return _outcome(rows, books, prices, fees, over_cap)


def _close(symbol: SymbolPlan, given: AccountInput, number: int, day: int) -> int:
    """The symbol's last close of that day, rounded to its tick."""
    return rounded_close(float(given.days.closes[number, day]), symbol)


def _signal(plan: RunPlan, given: AccountInput, at: int) -> Signal:
    """Row `at` of the columns as the value that the gate takes."""
    strategy = plan.strategies[given.signals.strategy[at]].strategy_id
    symbol = given.symbols[given.symbol[at]].symbol
    ts = int(given.signals.ts[at])
    return Signal(
        ids.signal_id(plan.run_id, strategy, symbol, ts),
        strategy,
        symbol,
        ts,
        int(given.signals.action[at]),
        float(given.signals.close[at]),
        float(given.signals.size_hint[at]),
    )


def _fill(plan: RunPlan, given: AccountInput, at: int, order: OpenOrder) -> Fill | None:
    """The paper broker's fill of an order that the gate let through."""
    strategy = plan.strategies[given.signals.strategy[at]].strategy_id
    symbol = given.symbols[given.symbol[at]]
    paper = paper_broker.PaperOrder(
        strategy, symbol.symbol, order.order_id, order.action, order.qty
    )
    return paper_broker.fill(
        paper,
        int(given.fill_ts[at]),
        float(given.signals.next_close[at]),
        given.account,
        symbol,
    )


def _order_end(plan: RunPlan, given: AccountInput, at: int, order: OpenOrder) -> OrderEnd:
    """The end of an order that the paper broker could not fill."""
    strategy = plan.strategies[given.signals.strategy[at]].strategy_id
    symbol = given.symbols[given.symbol[at]].symbol
    return OrderEnd(strategy, symbol, order.order_id, int(given.fill_ts[at]))


def _outcome(
    rows: list[_Row], books: _Books, prices: list[int], fees: list[int], over_cap: int
) -> Outcome:
    """Rows as columns."""
    matches = books.matches
    daily = [value for group in books.daily for day in group for value in day]
    days = books.given.days.days
    return Outcome(
        **decision_columns([row.decision for row in rows]),
        price=wide.from_ints(prices),
        fee=wide.from_ints(fees),
        fill_signal=np.array(books.fill_signal, dtype=np.int64),
        fill_cost=np.array(books.fill_cost, dtype=np.float64),
        match_open=np.array([m[0] for m in matches], dtype=np.int64),
        match_close=np.array([m[1] for m in matches], dtype=np.int64),
        match_index=np.array([m[2] for m in matches], dtype=np.int32),
        match_qty=wide.from_ints([m[3] for m in matches]),
        match_pnl=wide.from_ints([m[4] for m in matches]),
        match_fees=wide.from_ints([m[5] for m in matches]),
        states=books.states,
        daily=wide.from_ints(daily).reshape(-1, days, 4, 2),
        over_cap=over_cap,
    )


def decision_columns(decisions: Sequence[Decision]) -> dict[str, Any]:
    """Code, quantity and counts of decisions, as `Outcome` has them."""
    counts = [
        [NULL if count is None else count for count in (d.open_symbols, d.reserved_symbols)]
        for d in decisions
    ]
    counted = np.array(counts, dtype=np.int32).reshape(-1, 2)
    return {
        "code": np.array([CODES.index(d.code) for d in decisions], dtype=np.int8),
        "qty": wide.from_ints([d.qty or 0 for d in decisions]),
        "qty_known": np.array([d.qty is not None for d in decisions], dtype=np.bool_),
        "open_symbols": counted[:, 0],
        "reserved_symbols": counted[:, 1],
    }
