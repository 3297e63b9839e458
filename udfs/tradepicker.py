"""The gate: which signals of an account become orders, and why the others do not.

Key: account. State: per (strategy, symbol) the net quantity as position changes report it, the
reservation, the entries since flat, the notional committed, and the orders that are out.
`decide` takes a signal; `apply_change` and `apply_end` take what became of orders. All three give
a new state and never touch the old one.
"""

from collections.abc import Iterable
from typing import NamedTuple

from udfs import ids, sizing
from udfs.money import UNIT, round_half_even
from udfs.plan import NO_CAP, AccountPlan, GatePlan, SymbolPlan
from udfs.rows import BUY, DETAILS, Code, Decision, OrderEnd, PositionChange, Signal

STATE_VERSION = 1


class OpenOrder(NamedTuple):
    """An order that is out. `price` is the rounded close that sized it, `closing` reduces.

    `reserved_until` is the end of the reservation that it made, None where it made none;
    `filled` whether any of it was filled since the position was last flat.
    """

    order_id: str
    action: int
    closing: bool
    qty: int
    qty_left: int
    price: int
    reserved_until: int | None = None
    filled: bool = False


class GateKey(NamedTuple):
    """The gate's memory of one (strategy, symbol).

    A reservation holds for event times below `reserved_until`. `held` is the wide notional of
    BUYs that were filled and not yet reduced; what orders are out for comes on top.
    `early` keeps position changes that came before their turn.
    """

    net_qty: int = 0
    reserved_until: int | None = None
    entries: int = 0
    held: int = 0
    seq: int = 0
    orders: tuple[OpenOrder, ...] = ()
    early: tuple[PositionChange, ...] = ()


EMPTY = GateKey()
GateState = dict[tuple[str, str], GateKey]


class GateParams(NamedTuple):
    """What the gate of one account must know."""

    account: AccountPlan
    gate: GatePlan
    symbols: dict[str, SymbolPlan]


class Counts(NamedTuple):
    """Symbols open, reserved, and open or reserved, before a decision."""

    open: int
    reserved: int
    taken: int
    has_symbol: bool
    is_open: bool


UNASKED = Counts(0, 0, 0, False, False)  # where no rule asks, as keys may be many


def decide(
    state: GateState, signal: Signal, params: GateParams
) -> tuple[GateState, Decision, OpenOrder | None]:
    """The decision on a signal, and the order where it is accepted."""
    key = state.get((signal.strategy_id, signal.symbol), EMPTY)
    capped = params.account.max_open_positions != NO_CAP
    asked = capped or not params.gate.sell_requires_long
    counts = count_symbols(state, signal.symbol, signal.ts) if asked else UNASKED
    price = sizing.rounded_close(signal.close, params.symbols[signal.symbol])
    if signal.action == BUY:
        code, qty, closing = _check_buy(state, key, signal, counts, price, params)
    else:
        code, qty, closing = _check_sell(key, signal, counts, price, params)
    accepted = code is Code.OK
    order = None
    if accepted and qty is not None:
        order_id = ids.order_id(params.account.account_id, signal.signal_id)
        reserves = signal.action == BUY and params.gate.reserve_on_open
        until = signal.ts + params.gate.reservation_ttl_ms if reserves else None
        order = OpenOrder(order_id, signal.action, closing, qty, qty, price, until)
        key = _with_order(key, order)
        state = {**state, (signal.strategy_id, signal.symbol): key}
    decision = Decision(
        account_id=params.account.account_id,
        signal_id=signal.signal_id,
        strategy_id=signal.strategy_id,
        symbol=signal.symbol,
        action=signal.action,
        qty=qty,
        ts=signal.ts,
        code=code,
        order_id=order.order_id if order else None,
        open_symbols=counts.open if capped else None,
        reserved_symbols=counts.reserved if capped else None,
        detail=DETAILS[code],
    )
    return state, decision, order


def adopt(state: GateState, signal: Signal, qty: int, params: GateParams) -> GateState:
    """The state once a signal is out as an order of this quantity, whatever would be decided now.

    For decisions that are in the log already: they are never taken back.
    """
    name = (signal.strategy_id, signal.symbol)
    key = state.get(name, EMPTY)
    is_buy = signal.action == BUY
    closing = key.net_qty < 0 if is_buy else params.gate.sell_requires_long or key.net_qty > 0
    reserves = is_buy and params.gate.reserve_on_open
    order = OpenOrder(
        ids.order_id(params.account.account_id, signal.signal_id),
        signal.action,
        closing,
        qty,
        qty,
        sizing.rounded_close(signal.close, params.symbols[signal.symbol]),
        signal.ts + params.gate.reservation_ttl_ms if reserves else None,
    )
    return {**state, name: _with_order(key, order)}


def count_symbols(state: GateState, symbol: str, ts: int) -> Counts:
    """How many symbols are open and reserved at `ts`, and whether `symbol` is among them."""
    opened = {name for (_, name), key in state.items() if key.net_qty}
    reserved = {
        name
        for (_, name), key in state.items()
        if key.reserved_until is not None and ts < key.reserved_until
    }
    taken = opened | reserved
    return Counts(len(opened), len(reserved), len(taken), symbol in taken, symbol in opened)


def _check_buy(
    state: GateState,
    key: GateKey,
    signal: Signal,
    counts: Counts,
    price: int,
    params: GateParams,
) -> tuple[Code, int | None, bool]:
    """Code, quantity where computed, and whether the order would close a position."""
    if key.net_qty < 0:
        qty = -key.net_qty - pending(key)
        return (Code.OK if qty > 0 else Code.BUY_ALREADY_PENDING), max(qty, 0), True
    qty_sized = sizing.order_qty(signal, price, params.account, params.symbols[signal.symbol])
    if not qty_sized:
        return Code.QTY_BELOW_STEP, qty_sized, False
    if params.gate.max_entries and key.entries >= params.gate.max_entries:
        return Code.ENTRY_LIMIT_EXCEEDED, qty_sized, False
    cap = params.account.max_open_positions
    if cap != NO_CAP and not counts.has_symbol and counts.taken >= cap:
        return Code.OPEN_LIMIT_EXCEEDED, qty_sized, False
    budget = params.account.max_notional
    if budget is not None:
        committed_total = sum(committed(other) for other in state.values())
        if committed_total + qty_sized * price > budget * UNIT:
            return Code.BUDGET_EXCEEDED, qty_sized, False
    return Code.OK, qty_sized, False


def _check_sell(
    key: GateKey, signal: Signal, counts: Counts, price: int, params: GateParams
) -> tuple[Code, int | None, bool]:
    """Code, quantity where computed, and whether the order would close a position."""
    if params.gate.sell_requires_long:
        if key.net_qty <= 0:
            return Code.NO_OPEN_POSITION, None, True
    elif not counts.is_open:
        return Code.NO_OPEN_POSITION, None, True
    if key.net_qty > 0:
        qty = key.net_qty - pending(key)
        return (Code.OK if qty > 0 else Code.SELL_ALREADY_PENDING), max(qty, 0), True
    qty_sized = sizing.order_qty(signal, price, params.account, params.symbols[signal.symbol])
    return (Code.OK if qty_sized else Code.QTY_BELOW_STEP), qty_sized, False


def _with_order(key: GateKey, order: OpenOrder) -> GateKey:
    """The key once the order is out: every BUY reserves, every opening BUY is an entry."""
    return key._replace(
        orders=(*key.orders, order),
        reserved_until=key.reserved_until if order.reserved_until is None else order.reserved_until,
        entries=key.entries + is_entry(order),
    )


def is_entry(order: OpenOrder) -> bool:
    """Whether it is an opening BUY: one that counts as an entry and commits its notional."""
    return order.action == BUY and not order.closing


def pending(key: GateKey) -> int:
    """The quantity that closing orders are out for."""
    return sum(order.qty_left for order in key.orders if order.closing)


def outstanding(key: GateKey) -> int:
    """The wide notional that opening BUYs are out for."""
    return sum(order.qty_left * order.price for order in key.orders if is_entry(order))


def committed(key: GateKey) -> int:
    """The wide notional of the key's accepted BUYs, filled or out, less what was reduced."""
    return key.held + outstanding(key)


def apply_change(
    state: GateState, change: PositionChange, params: GateParams
) -> tuple[GateState, int]:
    """The state after a position change, and how many times it went over the cap (0 or 1).

    Changes apply once each in the order of their `seq`: a repeated one changes nothing, an early
    one waits for those before it.
    """
    name = (change.strategy_id, change.symbol)
    key = state.get(name, EMPTY)
    if knows_change(state, change):
        return state, 0
    waiting = sorted((*key.early, change), key=lambda other: other.seq)
    over_cap = 0
    while waiting and waiting[0].seq == key.seq + 1:
        was_open = any(k.net_qty and n[1] == change.symbol for n, k in state.items())
        key = _after_change(key, waiting.pop(0))
        state = {**state, name: key}
        cap = params.account.max_open_positions
        if cap != NO_CAP and not was_open and key.net_qty:
            over_cap += len({n[1] for n, k in state.items() if k.net_qty}) > cap
    state = {**state, name: key._replace(early=tuple(waiting))}
    return state, over_cap


def knows_change(state: GateState, change: PositionChange) -> bool:
    """Whether the change was applied, or waits for those before it."""
    key = state.get((change.strategy_id, change.symbol), EMPTY)
    return change.seq <= key.seq or any(other.seq == change.seq for other in key.early)


def _after_change(key: GateKey, change: PositionChange) -> GateKey:
    """The key with one more fill: the reservation, the orders, the entries and the notional."""
    before, after = change.net_before, change.net_after
    orders: list[OpenOrder] = []
    held, completed = key.held, 0
    for order in key.orders:
        if order.order_id == change.order_id:
            filled = min(order.qty_left, change.qty)
            order = order._replace(qty_left=order.qty_left - filled, filled=True)
            if is_entry(order):
                # What of it only covers a short commits nothing.
                held += min(filled, max(after, 0)) * order.price
                completed += not order.qty_left
        if order.qty_left:
            orders.append(order)
    if before > 0 and after < before:
        reduced = before - max(after, 0)
        held -= held if reduced == before else round_half_even(held * reduced, before)
    entries = key.entries
    if after == 0 or before * after < 0:
        flipping = change.order_id if after else None
        orders = [order._replace(filled=order.order_id == flipping) for order in orders]
        entries = sum(map(is_entry, orders)) + (completed if after > 0 else 0)
    return key._replace(
        net_qty=after,
        seq=change.seq,
        orders=tuple(orders),
        held=held,
        entries=entries,
        reserved_until=_reserved_after(key, orders, before, after),
    )


def _reserved_after(key: GateKey, orders: list[OpenOrder], before: int, after: int) -> int | None:
    """A raise releases the reservation; flat again, the BUYs that are still out hold theirs.

    Without the latter a BUY filled in parts, or the second of two, could open the symbol anew
    once its slot was given away, and pass the cap although nothing had expired.
    """
    if after == 0:
        return latest_reservation(orders)
    return None if after > before else key.reserved_until


def latest_reservation(orders: Iterable[OpenOrder]) -> int | None:
    """The latest end of the reservations that these orders made, None where they made none."""
    ends = (order.reserved_until for order in orders if order.reserved_until is not None)
    return max(ends, default=None)


def apply_end(state: GateState, end: OrderEnd) -> GateState:
    """The state once an order will fill no further: what it was out for is free again."""
    name = (end.strategy_id, end.symbol)
    key = state.get(name, EMPTY)
    ended = [order for order in key.orders if order.order_id == end.order_id]
    if not ended:
        return state
    order = ended[0]
    rest = tuple(other for other in key.orders if other is not order)
    reserved_until = key.reserved_until
    if key.net_qty == 0:
        reserved_until = latest_reservation(rest)
    elif order.reserved_until == reserved_until:
        reserved_until = None
    key = key._replace(
        orders=rest,
        reserved_until=reserved_until,
        entries=key.entries - (is_entry(order) and not order.filled),
    )
    return {**state, name: key}
