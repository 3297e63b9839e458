"""An account's input as whole numbers of each symbol's own decimals, for the compiled fold."""

from collections.abc import Sequence

import numpy as np

from udfs.account import NULL, AccountInput
from udfs.account_memory import Events, Rules
from udfs.bars import Ints
from udfs.compiled import njit
from udfs.money import DECIMALS, UNIT
from udfs.paper_broker import BPS
from udfs.plan import AccountPlan, RunPlan, SymbolPlan
from udfs.prices import decimals_of, price_integers
from udfs.signal_columns import NO_NEXT
from udfs.wide import LIMIT, divide_half_even, from_ints, multiply

FEE_DECIMALS = 12
_INT64 = 2**62


def scaled_events(plan: RunPlan, given: AccountInput) -> Events | None:
    """The columns as whole numbers of each symbol's decimals; None where one does not fit."""
    signals = given.signals
    if len(signals.ts) and signals.ts.min() <= 0:
        return None  # the loop takes the time 0 for "never"; before 1970 the step form is right
    price = np.zeros(len(signals.ts), dtype=np.int64)
    fill_price = np.zeros(len(signals.ts), dtype=np.int64)
    for number, symbol in enumerate(given.symbols):
        mine = np.flatnonzero(given.symbol == number)
        closes = price_integers(signals.close[mine], symbol.price_tick)
        filled = mine[signals.next_ts[mine] != NO_NEXT]
        nexts = price_integers(signals.next_close[filled], symbol.price_tick)
        if closes is None or nexts is None:
            return None
        slipped = _slip(nexts, signals.action[filled].astype(np.int64), given.account, symbol)
        if slipped is None or (len(slipped) and slipped.min() <= 0):
            return None
        price[mine] = closes
        fill_price[filled] = slipped
    key = signals.strategy.astype(np.int64) * len(given.symbols) + given.symbol
    return Events(
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


def scaled_rules(plan: RunPlan, given: AccountInput) -> Rules | None:
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
    charged = abs(fee_bps) * 10 ** max(0, -min(powers))
    biggest = max([*fixed, *steps, charged, plan.gate.reservation_ttl_ms], default=0)
    if biggest >= _INT64 or max([*sized, limit or 0], default=0) >= LIMIT or max(powers) > DECIMALS:
        return None
    sized_pairs = from_ints(sized)
    limit_pair = from_ints([limit or 0])
    return Rules(
        fixed=np.array(fixed, dtype=np.int64),
        sized_high=np.ascontiguousarray(sized_pairs[:, 1]),
        sized_low=np.ascontiguousarray(sized_pairs[:, 0]),
        step=np.array(steps, dtype=np.int64),
        fee_bps=fee_bps,
        fee_factor=np.array([10 ** max(-power, 0) for power in powers], dtype=np.int64),
        fee_divisor=np.array([10 ** max(power, 0) for power in powers], dtype=np.int64),
        lift=product_lifts(given.symbols),
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


def product_lifts(symbols: Sequence[SymbolPlan]) -> Ints:
    """Per symbol, what takes price x qty to 18 decimals."""
    lifts = [
        10 ** (DECIMALS - decimals_of(s.price_tick) - decimals_of(s.qty_step)) for s in symbols
    ]
    return np.array(lifts, dtype=np.int64)
