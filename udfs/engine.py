"""The trading engine: fills become positions, lots, matches and profit.

Key: (account, strategy, symbol). State: open lots, totals, the number of the last applied fill and
the newest one's time. Beside it stands the memory of fills, (order_id, fill_id) → ts, which the
caller looks up and keeps, so that live it can be a map on disk: `verdict` says what to do with a
fill, `count` tells its change of position, `apply` books it. Invariants: the signed lots add up
to the net quantity, and every fill's fee is given to its matches to the last digit.
"""

from enum import Enum
from typing import NamedTuple

from udfs.errors import InvariantError
from udfs.lots import Lot, book
from udfs.money import round_half_even
from udfs.rows import Fill, Match, PositionChange

STATE_VERSION = 1

Amounts = tuple[tuple[str, int], ...]


class EngineState(NamedTuple):
    """One key's book. `realized_pnl` is wide; `other_fees` by currency, ascending."""

    lots: tuple[Lot, ...] = ()
    net_qty: int = 0
    seq: int = 0
    newest_ts: int | None = None
    realized_pnl: int = 0
    fees: int = 0
    other_fees: Amounts = ()
    matches: int = 0
    matched_ts: int = 0
    updated_ts: int = 0


EMPTY = EngineState()


class Verdict(Enum):
    """What to do with a fill that passed its checks."""

    APPLY = "APPLY"
    DUPLICATE = "DUPLICATE"
    STALE = "STALE"


class Booked(NamedTuple):
    """What one applied fill did."""

    change: PositionChange
    matches: tuple[Match, ...]
    ended: tuple[Lot, ...]


class Rollup(NamedTuple):
    """A key's open position. `open_cost` is wide; `avg_price` rounded half-even to 1e-18."""

    side: int
    net_qty: int
    avg_price: int
    open_cost: int
    open_fees: int
    other_fees: Amounts


def verdict(state: EngineState, fill: Fill, first_seen_ts: int | None, ttl_ms: int) -> Verdict:
    """Whether to apply a fill whose (order_id, fill_id) was first seen at `first_seen_ts`.

    A fill that lies too far behind is stale whether its first copy is still remembered or not, so
    the answer does not depend on when memory is cleaned: a pair may be forgotten once the key's
    newest fill is more than 2 x ttl_ms past its first ts.
    """
    if state.newest_ts is not None and state.newest_ts - fill.ts > ttl_ms:
        return Verdict.STALE
    if first_seen_ts is not None and fill.ts - first_seen_ts <= ttl_ms:
        return Verdict.DUPLICATE
    return Verdict.APPLY


def count(state: EngineState, fill: Fill) -> tuple[EngineState, PositionChange]:
    """The fill as a change of position: what can be told before any lot is booked.

    The state has the new net quantity, number and times; its lots and totals are untouched.
    """
    after = state._replace(
        net_qty=state.net_qty + fill.side * fill.qty,
        seq=state.seq + 1,
        newest_ts=fill.ts if state.newest_ts is None else max(state.newest_ts, fill.ts),
        updated_ts=fill.ts,
    )
    change = PositionChange(
        fill.account_id,
        fill.strategy_id,
        fill.symbol,
        after.seq,
        fill.order_id,
        fill.fill_id,
        fill.side,
        fill.qty,
        state.net_qty,
        after.net_qty,
        fill.ts,
    )
    return after, change


def apply(state: EngineState, fill: Fill, quote: str) -> tuple[EngineState, Booked]:
    """Books a fill: the key's new state and what came of it."""
    counted, change = count(state, fill)
    lots, matches, ended = book(state.lots, fill, quote)
    net_qty = counted.net_qty
    closed = sum(match.qty for match in matches)
    if closed > min(fill.qty, abs(state.net_qty)) or bool(lots) != bool(net_qty):
        raise InvariantError(f"lots of {fill.symbol} do not add up to its net quantity {net_qty}")
    others = state.other_fees
    for match in matches:
        others = add_amounts(others, match.other_fees)
    after = counted._replace(
        lots=lots,
        realized_pnl=state.realized_pnl + sum(match.realized_pnl for match in matches),
        fees=state.fees + sum(match.fees for match in matches),
        other_fees=others,
        matches=state.matches + len(matches),
        matched_ts=fill.ts if matches else state.matched_ts,
    )
    return after, Booked(change, tuple(matches), tuple(ended))


def rollup(state: EngineState, quote: str) -> Rollup | None:
    """The key's open position, or None when flat."""
    if not state.net_qty:
        return None
    open_cost = sum(lot.side * lot.qty_rem * lot.price for lot in state.lots)
    others: Amounts = ()
    for lot in state.lots:
        if lot.fee_currency != quote:
            others = add_amounts(others, ((lot.fee_currency, lot.fee_left),))
    return Rollup(
        side=1 if state.net_qty > 0 else -1,
        net_qty=state.net_qty,
        avg_price=round_half_even(open_cost * (1 if state.net_qty > 0 else -1), abs(state.net_qty)),
        open_cost=open_cost,
        open_fees=sum(lot.fee_left for lot in state.lots if lot.fee_currency == quote),
        other_fees=others,
    )


def unrealized(last_close: int, position: Rollup) -> int:
    """close x net_qty - open_cost, wide."""
    return last_close * position.net_qty - position.open_cost


def add_amounts(left: Amounts, right: Amounts) -> Amounts:
    """Two sums by currency added up; a currency whose sum is 0 does not stand there."""
    total = dict(left)
    for currency, amount in right:
        total[currency] = total.get(currency, 0) + amount
    return tuple(sorted((currency, amount) for currency, amount in total.items() if amount))
