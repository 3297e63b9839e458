"""The batch form of the account fold: columns in, columns out, by the loop in account_kernel.

`fold` answers None where a number does not fit, a price rounds to 0 or the account does what the
loop does not know; then the step form (account_fold) does the work.
"""

from collections.abc import Sequence

import numpy as np

from udfs import account_kernel as kernel
from udfs import ids
from udfs.account import (
    FEES,
    NULL,
    OPEN_FEES,
    REALIZED,
    UNREALIZED,
    AccountInput,
    Outcome,
    Pairs,
    day_groups,
)
from udfs.account_fold import CODES
from udfs.bars import Ints
from udfs.compiled import njit
from udfs.engine import EngineState
from udfs.lots import Lot
from udfs.money import DECIMALS, UNIT
from udfs.paper_broker import BPS
from udfs.plan import AccountPlan, RunPlan, SymbolPlan
from udfs.prices import decimals_of, price_integers
from udfs.rows import Code
from udfs.wide import (
    LIMIT,
    add,
    divide_half_even,
    from_int,
    from_ints,
    multiply,
    negate,
    scale,
    scaled,
    scaled_wide,
    to_int,
)

FEE_DECIMALS = 12
_INT64 = 2**62
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
    rules = _rules(plan, given)
    events = _events(plan, given) if rules is not None else None
    if rules is None or events is None:
        return None
    keys = len(plan.strategies) * len(given.symbols)
    books, gate, decided, days = _memory(keys, len(given.symbols), len(events.ts), given)
    failed, fills, matches, over_cap = kernel.run(events, rules, books, gate, decided, days)
    if failed:
        return None
    return _outcome(plan, given, events, books, decided, days, (fills, matches, over_cap))


def _events(plan: RunPlan, given: AccountInput) -> kernel.Events | None:
    """The columns as whole numbers of each symbol's decimals; None where one does not fit."""
    signals = given.signals
    price = np.zeros(len(signals.ts), dtype=np.int64)
    fill_price = np.zeros(len(signals.ts), dtype=np.int64)
    for number, symbol in enumerate(given.symbols):
        mine = np.flatnonzero(given.symbol == number)
        closes = price_integers(signals.close[mine], symbol.price_tick)
        filled = mine[signals.next_ts[mine] >= 0]
        nexts = price_integers(signals.next_close[filled], symbol.price_tick)
        if closes is None or nexts is None:
            return None
        slipped = _slip(nexts, signals.action[filled].astype(np.int64), given.account, symbol)
        if slipped is None or (len(slipped) and slipped.min() <= 0):
            return None
        price[mine] = closes
        fill_price[filled] = slipped
    key = signals.strategy.astype(np.int64) * len(given.symbols) + given.symbol
    return kernel.Events(
        key=key,
        symbol=given.symbol,
        action=signals.action,
        ts=signals.ts,
        price=price,
        fill_price=fill_price,
        fill_ts=given.fill_ts,
        fill_at=given.fill_at,
    )


def _slip(prices: Ints, actions: Ints, account: AccountPlan, symbol: SymbolPlan) -> Ints | None:
    """Fill prices: moved against the order by the slippage and rounded to the tick again."""
    if not account.slippage_bps:
        return prices
    lift: int = 10 ** decimals_of(account.slippage_bps)
    base = BPS * lift
    bps = account.slippage_bps * lift // UNIT
    tick = symbol.price_tick // 10 ** (DECIMALS - decimals_of(symbol.price_tick))
    largest = float(np.abs(prices).max()) if len(prices) else 0.0
    if max(base + abs(bps), base * tick) >= _INT64 // 2 or largest * (base + abs(bps)) > LIMIT:
        return None
    return _slip_all(prices, base + actions * bps, base * tick, tick)


@njit
def _slip_all(prices: Ints, factors: Ints, divisor: int, tick: int) -> Ints:
    """round_half_even(price x factor / divisor) x tick."""
    out = np.empty_like(prices)
    for i in range(len(prices)):
        high, low = multiply(prices[i], factors[i])
        high, low = divide_half_even(high, low, np.uint64(divisor))
        out[i] = np.int64(low) * tick
    return out


def _rules(plan: RunPlan, given: AccountInput) -> kernel.Rules | None:
    """Settings as integers of each symbol's decimals; None where one does not fit."""
    account = given.account
    price_decimals = [decimals_of(s.price_tick) for s in given.symbols]
    qty_decimals = [decimals_of(s.qty_step) for s in given.symbols]
    fee_decimals = decimals_of(account.fee_bps)
    powers = [
        p + q + fee_decimals + 4 - FEE_DECIMALS
        for p, q in zip(price_decimals, qty_decimals, strict=True)
    ]
    steps = [
        s.qty_step // 10 ** (DECIMALS - q) for s, q in zip(given.symbols, qty_decimals, strict=True)
    ]
    fee_bps = account.fee_bps // 10 ** (DECIMALS - fee_decimals)
    fixed, sized = _sizes(plan, given, price_decimals, qty_decimals, steps)
    limit = account.max_notional
    biggest = max([*fixed, *steps, abs(fee_bps), plan.gate.reservation_ttl_ms], default=0)
    if biggest >= _INT64 or max([*sized, limit or 0], default=0) >= LIMIT or max(powers) > DECIMALS:
        return None
    sized_pairs = _split(sized)
    limit_pair = _split([limit or 0])
    return kernel.Rules(
        fixed=np.array(fixed, dtype=np.int64),
        sized_high=sized_pairs[:, 1],
        sized_low=sized_pairs[:, 0],
        step=np.array(steps, dtype=np.int64),
        fee_bps=fee_bps,
        fee_power=np.array(powers, dtype=np.int64),
        lift=_lifts(given.symbols),
        cap=account.max_open_positions,
        limit_high=NULL if limit is None else int(limit_pair[0, 1]),
        limit_low=int(limit_pair[0, 0]),
        max_entries=plan.gate.max_entries,
        sell_requires_long=plan.gate.sell_requires_long,
        reserve_on_open=plan.gate.reserve_on_open,
        ttl_ms=plan.gate.reservation_ttl_ms,
    )


def _sizes(
    plan: RunPlan,
    given: AccountInput,
    price_decimals: Sequence[int],
    qty_decimals: Sequence[int],
    steps: Sequence[int],
) -> tuple[list[int], list[int]]:
    """Per key the fixed quantity (or -1), and the number to divide by the price for whole steps."""
    account = given.account
    fixed: list[int] = []
    sized: list[int] = []
    for strategy in plan.strategies:
        weight = account.weights.get(strategy.strategy_id, 0)
        for number, symbol in enumerate(given.symbols):
            if account.fixed_qty is not None:
                whole = account.fixed_qty * weight // (UNIT * symbol.qty_step)
                fixed.append(whole * steps[number])
                sized.append(0)
            else:
                digits = price_decimals[number] + qty_decimals[number]
                scale_down: int = 10 ** (2 * DECIMALS - digits)
                fixed.append(NULL)
                notional = (account.notional or 0) * weight
                sized.append(notional // (scale_down * steps[number]))
    return fixed, sized


def _split(values: Sequence[int]) -> Pairs:
    """Whole numbers as int64[n, 2] (low bits, high)."""
    return from_ints(list(values))


def _lifts(symbols: Sequence[SymbolPlan]) -> Ints:
    """Per symbol, what takes price x qty to 18 decimals."""
    lifts = [
        10 ** (DECIMALS - decimals_of(s.price_tick) - decimals_of(s.qty_step)) for s in symbols
    ]
    return np.array(lifts, dtype=np.int64)


def _memory(
    keys: int, symbols: int, n: int, given: AccountInput
) -> tuple[kernel.Books, kernel.Gate, kernel.Decided, kernel.Days]:
    """Everything that the loop fills, at its start."""

    def zeros(*shape: int) -> Ints:
        return np.zeros(shape, dtype=np.int64)

    def nulls(count: int) -> Ints:
        return np.full(count, NULL, dtype=np.int64)

    days = given.days.days
    books = kernel.Books(
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
    gate = kernel.Gate(
        reserved_until=zeros(keys),
        entries=zeros(keys),
        held=zeros(keys + 1, 2),
        open_keys=zeros(symbols),
        reserved_symbol=zeros(symbols),
    )
    decided = kernel.Decided(
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
    daily = kernel.Days(
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
    events: kernel.Events,
    books: kernel.Books,
    decided: kernel.Decided,
    days: kernel.Days,
    counts: tuple[int, int, int],
) -> Outcome | None:
    """What the loop left behind, at 18 decimals."""
    fills, matches, over_cap = counts
    qty_lift = _powers(given, [s.qty_step for s in given.symbols])
    price_lift = _powers(given, [s.price_tick for s in given.symbols])
    lifts = _lifts(given.symbols)
    opened, closed = decided.match_open[:matches], decided.match_close[:matches]
    pnl = decided.match_pnl[:matches]
    fill_signal = decided.fill_signal[:fills]
    product_lift = lifts[given.symbol]
    filled = np.zeros(len(events.ts), dtype=np.bool_)
    filled[fill_signal] = True
    fee_lift = np.full(len(events.ts), 10 ** (DECIMALS - FEE_DECIMALS), dtype=np.int64)
    qty = scaled(np.maximum(decided.qty, 0), qty_lift)
    daily = _daily(plan, given, days, lifts)
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
    events: kernel.Events,
    books: kernel.Books,
    decided: kernel.Decided,
) -> dict[tuple[int, int], EngineState]:
    """The engine's state of every key that had a fill."""
    states: dict[tuple[int, int], EngineState] = {}
    fee_lift = 10 ** (DECIMALS - FEE_DECIMALS)
    lifts = _lifts(given.symbols)
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
    events: kernel.Events,
    decided: kernel.Decided,
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


def _daily(plan: RunPlan, given: AccountInput, days: kernel.Days, lifts: Ints) -> Ints | None:
    """int64[groups, days, 4, 2]: what each (strategy, quote) realized and was worth, day by day."""
    groups, group_of = day_groups(plan, given)
    out = np.zeros((len(groups), given.days.days, 4, 2), dtype=np.int64)
    for number, symbol in enumerate(given.symbols):
        known = ~np.isnan(given.days.closes[number])
        closes = np.zeros(given.days.days, dtype=np.int64)
        rounded = price_integers(given.days.closes[number][known], symbol.price_tick)
        if rounded is None:
            return None
        closes[known] = rounded
        largest = float(np.abs(days.net[number :: len(given.symbols)]).max(initial=0))
        if largest * float(closes.max(initial=0)) * float(lifts[number]) > LIMIT:
            return None
        for strategy in range(len(plan.strategies)):
            key = strategy * len(given.symbols) + number
            if group_of[strategy, number] >= 0 and days.touched[key].any():
                _mark(days, key, closes, int(lifts[number]), out[group_of[strategy, number]])
    return out


@njit
def _mark(days: kernel.Days, key: int, closes: Ints, lift: int, out: Ints) -> None:
    """Add one key's days to its group's rows, at 18 decimals."""
    fee_lift = np.uint64(1_000_000)
    net = np.int64(0)
    open_fees = np.int64(0)
    cost_high, cost_low = from_int(np.int64(0))
    for day in range(len(closes)):
        if days.touched[key, day]:
            net = days.net[key, day]
            open_fees = days.open_fees[key, day]
            cost_high, cost_low = days.cost[key, day, 1], np.uint64(days.cost[key, day, 0])
        high, low = multiply(net, closes[day])
        minus_high, minus_low = negate(cost_high, cost_low)
        high, low = add(high, low, minus_high, minus_low)
        high, low = scale(high, low, np.uint64(lift))
        _add_to(out[day, UNREALIZED], high, low)
        high, low = from_int(open_fees)
        high, low = scale(high, low, fee_lift)
        _add_to(out[day, OPEN_FEES], high, low)
        high, low = scale(days.pnl[key, day, 1], np.uint64(days.pnl[key, day, 0]), np.uint64(lift))
        _add_to(out[day, REALIZED], high, low)
        high, low = scale(days.fees[key, day, 1], np.uint64(days.fees[key, day, 0]), fee_lift)
        _add_to(out[day, FEES], high, low)


@njit
def _add_to(cell: Ints, high: np.int64, low: np.uint64) -> None:
    """cell (low bits, high) += (high, low)."""
    new_high, new_low = add(high, low, cell[1], np.uint64(cell[0]))
    cell[0] = np.int64(new_low)
    cell[1] = new_high
