"""FIFO lots: a fill closes opposite lots, oldest first; what is left of it opens one."""

from typing import NamedTuple

from udfs import ids
from udfs.money import FEE_STEP, round_half_even
from udfs.rows import Fill, Match


class Lot(NamedTuple):
    """An open lot. `side` +1 long, -1 short; `fee_left` is what its fill has not yet given."""

    order_id: str
    fill_id: str
    side: int
    price: int
    fill_qty: int
    fill_fee: int
    qty_open: int
    qty_rem: int
    fee_left: int
    fee_currency: str
    open_ts: int
    updated_ts: int


def lot_id(account_id: str, strategy_id: str, symbol: str, lot: Lot) -> str:
    """The lot's id: its key and the fill that opened it."""
    return ids.hash_id(account_id, strategy_id, symbol, lot.order_id, lot.fill_id)


def fee_share(fee: int, part: int, whole: int) -> int:
    """fee x part / whole, half-even to 1e-12, in units."""
    return round_half_even(fee * part, whole * FEE_STEP) * FEE_STEP


def book(
    lots: tuple[Lot, ...], fill: Fill, quote: str
) -> tuple[tuple[Lot, ...], list[Match], list[Lot]]:
    """FIFO: (the lots that are left, one match per closed segment, the lots that ended)."""
    matches: list[Match] = []
    ended: list[Lot] = []
    remaining, fee_left = fill.qty, fill.fee
    index = 0
    while remaining and index < len(lots) and lots[index].side != fill.side:
        lot = lots[index]
        part = min(remaining, lot.qty_rem)
        lot_fee = (
            lot.fee_left if part == lot.qty_rem else fee_share(lot.fill_fee, part, lot.fill_qty)
        )
        fill_fee = fee_left if part == remaining else fee_share(fill.fee, part, fill.qty)
        matches.append(_match(lot, fill, part, lot_fee, fill_fee, quote, len(matches)))
        remaining -= part
        fee_left -= fill_fee
        lot = lot._replace(
            qty_rem=lot.qty_rem - part, fee_left=lot.fee_left - lot_fee, updated_ts=fill.ts
        )
        if lot.qty_rem:
            lots = (*lots[:index], lot, *lots[index + 1 :])
            break
        ended.append(lot)
        index += 1
    left = lots[index:]
    if remaining:
        left = (*left, _opened(fill, remaining, fee_left))
    return left, matches, ended


def _opened(fill: Fill, qty: int, fee_left: int) -> Lot:
    """The lot that the rest of a fill opens."""
    return Lot(
        order_id=fill.order_id,
        fill_id=fill.fill_id,
        side=fill.side,
        price=fill.price,
        fill_qty=fill.qty,
        fill_fee=fill.fee,
        qty_open=qty,
        qty_rem=qty,
        fee_left=fee_left,
        fee_currency=fill.fee_currency,
        open_ts=fill.ts,
        updated_ts=fill.ts,
    )


def _match(
    lot: Lot, fill: Fill, qty: int, lot_fee: int, fill_fee: int, quote: str, index: int
) -> Match:
    """The match of one closed segment; fees in another currency stand apart."""
    fees = 0
    others: dict[str, int] = {}
    for currency, share in ((lot.fee_currency, lot_fee), (fill.fee_currency, fill_fee)):
        if currency == quote:
            fees += share
        else:
            others[currency] = others.get(currency, 0) + share
    buy, sell = (lot, fill) if lot.side > 0 else (fill, lot)
    return Match(
        match_id=ids.hash_id(
            fill.account_id,
            fill.strategy_id,
            fill.symbol,
            lot.order_id,
            lot.fill_id,
            fill.order_id,
            fill.fill_id,
            index,
        ),
        account_id=fill.account_id,
        strategy_id=fill.strategy_id,
        symbol=fill.symbol,
        buy_order_id=buy.order_id,
        sell_order_id=sell.order_id,
        qty=qty,
        buy_price=buy.price,
        sell_price=sell.price,
        realized_pnl=(sell.price - buy.price) * qty,
        fees=fees,
        other_fees=tuple(sorted((name, fee) for name, fee in others.items() if fee)),
        open_ts=lot.open_ts,
        match_ts=fill.ts,
    )
