"""The batch form of the account fold: columns in, columns out, by the loop in account_kernel.

`fold` answers None where a number does not fit, a price rounds to 0 or the account does what the
loop does not know; then the step form (account_fold) does the work.
"""

from collections.abc import Sequence

import numpy as np

from udfs import account_kernel as kernel
from udfs import ids
from udfs.account import NULL, AccountInput, Outcome
from udfs.account_days import daily_rows
from udfs.account_fold import CODES
from udfs.account_memory import Books, Days, Decided, Events, Gate
from udfs.account_scale import FEE_DECIMALS, product_lifts, scaled_events, scaled_rules
from udfs.bars import Ints
from udfs.engine import EngineState
from udfs.lots import Lot
from udfs.money import DECIMALS, UNIT
from udfs.plan import RunPlan
from udfs.prices import decimals_of
from udfs.rows import Code
from udfs.wide import scaled, scaled_wide, to_int

KERNEL_CODES = (
    Code.OK,
    Code.NO_OPEN_POSITION,
    Code.QTY_BELOW_STEP,
    Code.ENTRY_LIMIT_EXCEEDED,
    Code.OPEN_LIMIT_EXCEEDED,
    Code.BUDGET_EXCEEDED,
)
_CODE_INDEX = np.array([CODES.index(code) for code in KERNEL_CODES], dtype=np.int8)


def fold(plan: RunPlan, given: AccountInput) -> Outcome | None:
    """The whole account in the order of events; None where the step form must do it."""
    if (given.signals.size_hint != 1.0).any():
        return None  # an own kind's sizes, exact fractions that need not fit 64 bits
    rules = scaled_rules(plan, given)
    events = scaled_events(plan, given) if rules is not None else None
    if rules is None or events is None:
        return None
    keys = len(plan.strategies) * len(given.symbols)
    books, gate, decided, days = _memory(keys, len(given.symbols), len(events.ts), given)
    failed, fills, matches, over_cap = kernel.run(events, rules, books, gate, decided, days)
    if failed:
        return None
    return _outcome(plan, given, events, books, decided, days, (fills, matches, over_cap))


def _memory(
    keys: int, symbols: int, n: int, given: AccountInput
) -> tuple[Books, Gate, Decided, Days]:
    """Everything that the loop fills, at its start."""

    def zeros(*shape: int) -> Ints:
        return np.zeros(shape, dtype=np.int64)

    def nulls(count: int) -> Ints:
        return np.full(count, NULL, dtype=np.int64)

    days = given.days.days
    books = Books(
        net=zeros(keys),
        cost=zeros(keys, 2),
        open_fees=zeros(keys),
        head=nulls(keys),
        tail=nulls(keys),
        pnl=zeros(keys, 2),
        fees=zeros(keys, 2),
        matches=zeros(keys),
        seq=zeros(keys),
        updated_ts=zeros(keys),
        matched_ts=zeros(keys),
    )
    gate = Gate(
        reserved_until=zeros(keys),
        entries=zeros(keys),
        held=zeros(keys + 1, 2),
        open_keys=zeros(symbols),
        reserved_symbol=zeros(symbols),
    )
    decided = Decided(
        code=np.zeros(n, dtype=np.int8),
        qty=nulls(n),
        open_symbols=np.full(n, NULL, dtype=np.int32),
        reserved_symbols=np.full(n, NULL, dtype=np.int32),
        fee=zeros(n),
        next_lot=nulls(n),
        fill_signal=zeros(n),
        fill_cost=np.zeros(n, dtype=np.float64),
        match_open=zeros(n),
        match_close=zeros(n),
        match_index=np.zeros(n, dtype=np.int32),
        match_pnl=zeros(n, 2),
        match_fees=zeros(n),
    )
    daily = Days(
        starts=given.days.starts,
        pnl=zeros(keys, days, 2),
        fees=zeros(keys, days, 2),
        net=zeros(keys, days),
        cost=zeros(keys, days, 2),
        open_fees=zeros(keys, days),
        touched=np.zeros((keys, days), dtype=np.bool_),
    )
    return books, gate, decided, daily


def _outcome(
    plan: RunPlan,
    given: AccountInput,
    events: Events,
    books: Books,
    decided: Decided,
    days: Days,
    counts: tuple[int, int, int],
) -> Outcome | None:
    """What the loop left behind, at 18 decimals."""
    fills, matches, over_cap = counts
    qty_lift = _powers(given, [s.qty_step for s in given.symbols])
    price_lift = _powers(given, [s.price_tick for s in given.symbols])
    lifts = product_lifts(given.symbols)
    opened, closed = decided.match_open[:matches], decided.match_close[:matches]
    pnl = decided.match_pnl[:matches]
    fill_signal = decided.fill_signal[:fills]
    product_lift = lifts[given.symbol]
    filled = np.zeros(len(events.ts), dtype=np.bool_)
    filled[fill_signal] = True
    fee_lift = np.full(len(events.ts), 10 ** (DECIMALS - FEE_DECIMALS), dtype=np.int64)
    qty = scaled(np.maximum(decided.qty, 0), qty_lift)
    daily = daily_rows(plan, given, days, lifts)
    if daily is None:
        return None
    return Outcome(
        code=_CODE_INDEX[decided.code],
        qty=qty,
        qty_known=decided.qty >= 0,
        open_symbols=decided.open_symbols,
        reserved_symbols=decided.reserved_symbols,
        price=scaled(np.where(filled, events.fill_price, 0), price_lift),
        fee=scaled(decided.fee, fee_lift),
        fill_signal=fill_signal,
        fill_cost=decided.fill_cost[:fills]
        * (product_lift[fill_signal].astype(np.float64) / 10.0**DECIMALS),
        match_open=opened,
        match_close=closed,
        match_index=decided.match_index[:matches],
        match_qty=qty[opened],
        match_pnl=scaled_wide(pnl[:, 1], pnl[:, 0], product_lift[closed]),
        match_fees=scaled(decided.match_fees[:matches], fee_lift[:matches]),
        states=_states(plan, given, events, books, decided),
        daily=daily,
        over_cap=over_cap,
    )


def _powers(given: AccountInput, units: Sequence[int]) -> Ints:
    """Per signal, what takes its symbol's whole numbers to 18 decimals."""
    lifts = [10 ** (DECIMALS - decimals_of(unit)) for unit in units]
    return np.array(lifts, dtype=np.int64)[given.symbol]


def _states(
    plan: RunPlan,
    given: AccountInput,
    events: Events,
    books: Books,
    decided: Decided,
) -> dict[tuple[int, int], EngineState]:
    """The engine's state of every key that had a fill."""
    states: dict[tuple[int, int], EngineState] = {}
    fee_lift = 10 ** (DECIMALS - FEE_DECIMALS)
    lifts = product_lifts(given.symbols)
    for key in np.flatnonzero(books.seq).tolist():
        strategy, number = divmod(key, len(given.symbols))
        symbol = given.symbols[number]
        lots: list[Lot] = []
        at = int(books.head[key])
        while at >= 0:
            lots.append(_lot(plan, given, events, decided, at))
            at = int(decided.next_lot[at])
        states[strategy, number] = EngineState(
            lots=tuple(lots),
            net_qty=int(books.net[key]) * 10 ** (DECIMALS - decimals_of(symbol.qty_step)),
            seq=int(books.seq[key]),
            newest_ts=int(books.updated_ts[key]),
            realized_pnl=to_int(books.pnl[key]) * int(lifts[number]) * UNIT,
            fees=to_int(books.fees[key]) * fee_lift,
            other_fees=(),
            matches=int(books.matches[key]),
            matched_ts=int(books.matched_ts[key]),
            updated_ts=int(books.updated_ts[key]),
        )
    return states


def _lot(
    plan: RunPlan,
    given: AccountInput,
    events: Events,
    decided: Decided,
    at: int,
) -> Lot:
    """The open lot that the fill of signal `at` made."""
    strategy = plan.strategies[given.signals.strategy[at]].strategy_id
    symbol = given.symbols[given.symbol[at]]
    signal = ids.signal_id(plan.run_id, strategy, symbol.symbol, int(given.signals.ts[at]))
    order = ids.order_id(given.account.account_id, signal)
    qty = int(decided.qty[at]) * 10 ** (DECIMALS - decimals_of(symbol.qty_step))
    fee = int(decided.fee[at]) * 10 ** (DECIMALS - FEE_DECIMALS)
    return Lot(
        order_id=order,
        fill_id=ids.paper_fill_id(order),
        side=int(given.signals.action[at]),
        price=int(events.fill_price[at]) * 10 ** (DECIMALS - decimals_of(symbol.price_tick)),
        fill_qty=qty,
        fill_fee=fee,
        qty_open=qty,
        qty_rem=qty,
        fee_left=fee,
        fee_currency=symbol.quote,
        open_ts=int(given.fill_ts[at]),
        updated_ts=int(given.fill_ts[at]),
    )
