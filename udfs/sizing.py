"""How much an account buys: exact until the one floor to the quantity step."""

from udfs.money import UNIT, hint_fraction, price_units
from udfs.plan import AccountPlan, SymbolPlan
from udfs.rows import Signal


def rounded_close(close: float, symbol: SymbolPlan) -> int:
    """A bar's close as a multiple of the symbol's tick, half to even, in units."""
    return price_units(close, symbol.price_tick)


def order_qty(signal: Signal, price: int, account: AccountPlan, symbol: SymbolPlan) -> int | None:
    """The sized quantity in units, a multiple of qty_step; None where the close rounds to 0.

    `price` is the rounded close. fixed_qty: floor(q x hint x weight / step) x step; notional:
    floor(n x hint x weight / (close x step)) x step; 0 where the hint is negative.
    """
    if price <= 0:
        return None
    weight = account.weights[signal.strategy_id]
    hint = hint_fraction(signal.size_hint)
    if account.fixed_qty is not None:
        numerator, denominator = account.fixed_qty * weight, UNIT * symbol.qty_step
    else:
        numerator, denominator = (account.notional or 0) * weight, price * symbol.qty_step
    steps: int = (numerator * hint.numerator) // (denominator * hint.denominator)
    return max(steps, 0) * symbol.qty_step
