"""The paper broker: an order fills whole at the close of the symbol's next bar."""

from typing import NamedTuple

from udfs import ids
from udfs.money import FEE_STEP, UNIT, round_half_even
from udfs.plan import AccountPlan, SymbolPlan
from udfs.rows import Fill
from udfs.sizing import rounded_close

VENUE = "paper"
BPS = 10_000


class PaperOrder(NamedTuple):
    """An accepted order on its way to the paper broker."""

    strategy_id: str
    symbol: str
    order_id: str
    action: int
    qty: int


def fill_price(close: float, action: int, account: AccountPlan, symbol: SymbolPlan) -> int:
    """The rounded close moved against the order by the slippage, rounded again, in units."""
    scale = BPS * UNIT
    factor = scale + action * account.slippage_bps
    price = rounded_close(close, symbol) * factor
    return round_half_even(price, scale * symbol.price_tick) * symbol.price_tick


def fill_fee(price: int, qty: int, account: AccountPlan) -> int:
    """price x qty x fee_bps / 1e4, half-even to 1e-12, in units."""
    return round_half_even(price * qty * account.fee_bps, BPS * UNIT * UNIT * FEE_STEP) * FEE_STEP


def fill(
    order: PaperOrder, ts: int, close: float, account: AccountPlan, symbol: SymbolPlan
) -> Fill | None:
    """The order's fill at the next bar (`ts` its close time); None where the price rounds to 0."""
    price = fill_price(close, order.action, account, symbol)
    if price <= 0:
        return None
    return Fill(
        account_id=account.account_id,
        strategy_id=order.strategy_id,
        order_id=order.order_id,
        fill_id=ids.paper_fill_id(order.order_id),
        symbol=order.symbol,
        side=order.action,
        qty=order.qty,
        price=price,
        ts=ts,
        fee=fill_fee(price, order.qty, account),
        fee_currency=symbol.quote,
        venue=VENUE,
    )
