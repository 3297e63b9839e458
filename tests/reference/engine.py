"""Fills to lots and matches, first in first out, keyed by (account, strategy, symbol)."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from decimal import Decimal
from fractions import Fraction
from typing import Any, NamedTuple

from .exact import hash_of, round_half_even

ZERO = Decimal(0)
SHARE_UNIT = Decimal("1e-12")
AVERAGE_UNIT = Decimal("1e-18")
DAY_MS = 86_400_000
Amounts = dict[str, Decimal]
Key = tuple[str, str, str]  # account_id, strategy_id, symbol


class Fill(NamedTuple):
    account_id: str
    strategy_id: str
    order_id: str
    fill_id: str
    symbol: str
    side: str
    qty: Decimal
    price: Decimal
    ts: int
    fee: Decimal
    fee_currency: str


@dataclass
class FillInUse:
    """A fill and what of its fee and quantity has gone to matches."""

    fill: Fill
    matched: Decimal = ZERO
    fee_given: Decimal = ZERO

    def share(self, part: Decimal) -> Decimal:
        """Take the fee's share of one more matched part; the last part takes what is left."""
        self.matched += part
        if self.matched == self.fill.qty:
            share = self.fill.fee - self.fee_given
        else:
            exact = Fraction(self.fill.fee) * Fraction(part) / Fraction(self.fill.qty)
            share = round_half_even(exact, SHARE_UNIT)
        self.fee_given += share
        return share


@dataclass
class Lot:
    source: FillInUse
    side: str
    qty_open: Decimal
    qty_rem: Decimal
    updated_ts: int


class Standing(NamedTuple):
    """What a key is worth after a fill, for the valuation of days."""

    ts: int
    net_qty: Decimal
    open_cost: Decimal
    open_fees: Decimal


def add_amount(amounts: Amounts, currency: str, amount: Decimal) -> None:
    """Add to the amount of a currency; a currency without an amount does not stand there."""
    total = amounts.get(currency, ZERO) + amount
    amounts.pop(currency, None)
    if total != 0:
        amounts[currency] = total


@dataclass
class Book:
    """Lots, matches and profits of one key. `seen` holds the first ts of each applied pair."""

    key: Key
    quote: str
    run_id: str
    run_tag: str
    lots: deque[Lot] = field(default_factory=deque)
    matches: list[dict[str, Any]] = field(default_factory=list)
    realized_pnl: Decimal = ZERO
    fees: Decimal = ZERO
    other_fees: Amounts = field(default_factory=dict)
    updated_ts: int = 0
    standings: list[Standing] = field(default_factory=list)
    seen: dict[tuple[str, str], int] = field(default_factory=dict)

    def apply(self, fill: Fill) -> None:
        """Close opposite lots, oldest first; what is left of the fill opens a lot."""
        opposite = "SHORT" if fill.side == "BUY" else "LONG"
        in_use = FillInUse(fill)
        left = fill.qty
        index = 0
        while left > 0 and self.lots and self.lots[0].side == opposite:
            lot = self.lots[0]
            part = min(left, lot.qty_rem)
            self.match(lot, in_use, part, index)
            lot.qty_rem -= part
            lot.updated_ts = fill.ts
            left -= part
            index += 1
            if lot.qty_rem == 0:
                self.lots.popleft()
        if left > 0:
            side = "LONG" if fill.side == "BUY" else "SHORT"
            self.lots.append(Lot(in_use, side, left, left, fill.ts))
        self.updated_ts = fill.ts
        self.standings.append(
            Standing(fill.ts, self.net_qty(), self.open_cost(), self.open_fees(self.quote))
        )

    def match(self, lot: Lot, closing: FillInUse, part: Decimal, index: int) -> None:
        opened, closed = lot.source.fill, closing.fill
        buy, sell = (opened, closed) if lot.side == "LONG" else (closed, opened)
        realized = (sell.price - buy.price) * part
        amounts: Amounts = {}
        add_amount(amounts, opened.fee_currency, lot.source.share(part))
        add_amount(amounts, closed.fee_currency, closing.share(part))
        fees = amounts.pop(self.quote, ZERO)
        account_id, strategy_id, symbol = self.key
        self.matches.append(
            {
                "match_id": hash_of(
                    *self.key,
                    opened.order_id,
                    opened.fill_id,
                    closed.order_id,
                    closed.fill_id,
                    index,
                ),
                "account_id": account_id,
                "strategy_id": strategy_id,
                "symbol": symbol,
                "buy_order_id": buy.order_id,
                "sell_order_id": sell.order_id,
                "matched_qty": part,
                "buy_price": buy.price,
                "sell_price": sell.price,
                "realized_pnl": realized,
                "fees": fees,
                "net_pnl": realized - fees,
                "other_fees": amounts,
                "open_ts": opened.ts,
                "match_ts": closed.ts,
                "run_id": self.run_id,
                "run_tag": self.run_tag,
            }
        )
        self.realized_pnl += realized
        self.fees += fees
        for currency, amount in amounts.items():
            add_amount(self.other_fees, currency, amount)

    def net_qty(self) -> Decimal:
        return sum((signed(lot) for lot in self.lots), ZERO)

    def open_cost(self) -> Decimal:
        return sum((signed(lot) * lot.source.fill.price for lot in self.lots), ZERO)

    def open_amounts(self) -> Amounts:
        """Fees that open lots' fills have not yet given to matches, by currency."""
        amounts: Amounts = {}
        for lot in self.lots:
            fill = lot.source.fill
            add_amount(amounts, fill.fee_currency, fill.fee - lot.source.fee_given)
        return amounts

    def open_fees(self, currency: str) -> Decimal:
        return self.open_amounts().get(currency, ZERO)

    def key_columns(self) -> dict[str, Any]:
        return dict(zip(("account_id", "strategy_id", "symbol"), self.key, strict=True))

    def lot_rows(self) -> list[dict[str, Any]]:
        return [
            {
                **self.key_columns(),
                "lot_id": hash_of(*self.key, lot.source.fill.order_id, lot.source.fill.fill_id),
                "side": lot.side,
                "qty_open": lot.qty_open,
                "qty_rem": lot.qty_rem,
                "avg_price": lot.source.fill.price,
                "open_ts": lot.source.fill.ts,
                "updated_ts": lot.updated_ts,
                "run_id": self.run_id,
            }
            for lot in self.lots
        ]

    def average_price(self) -> Decimal:
        """Mean price of the open lots by remaining quantity; only while there are any."""
        qty = Fraction(sum(lot.qty_rem for lot in self.lots))
        cost = sum(Fraction(lot.qty_rem) * Fraction(lot.source.fill.price) for lot in self.lots)
        return round_half_even(cost / qty, AVERAGE_UNIT)

    def rollup_row(self) -> dict[str, Any]:
        """The key's row of the rollup; only while it has open lots."""
        other = {c: amount for c, amount in self.open_amounts().items() if c != self.quote}
        return {
            **self.key_columns(),
            "side": self.lots[0].side,
            "net_qty": self.net_qty(),
            "avg_price": self.average_price(),
            "open_cost": self.open_cost(),
            "open_fees": self.open_fees(self.quote),
            "other_fees": other,
            "updated_ts": self.updated_ts,
            "run_id": self.run_id,
        }

    def realized_row(self) -> dict[str, Any]:
        """The key's row of realized_pnl_latest; only after its first match."""
        return {
            **self.key_columns(),
            "realized_pnl": self.realized_pnl,
            "fees": self.fees,
            "net_pnl": self.realized_pnl - self.fees,
            "other_fees": dict(self.other_fees),
            "updated_ts": self.matches[-1]["match_ts"],
            "run_id": self.run_id,
        }


def signed(lot: Lot) -> Decimal:
    return lot.qty_rem if lot.side == "LONG" else -lot.qty_rem


class Engine:
    """The books of all keys, fed with fills in order."""

    def __init__(
        self, run_id: str, run_tag: str, quotes: dict[str, str], ttl_days: int = 7
    ) -> None:
        self.run_id = run_id
        self.run_tag = run_tag
        self.quotes = quotes
        self.memory_ms = ttl_days * DAY_MS
        self.books: dict[Key, Book] = {}
        self.duplicates = 0

    def apply(self, fill: Fill) -> None:
        """Apply a fill unless it is a copy of one that is still remembered."""
        key = (fill.account_id, fill.strategy_id, fill.symbol)
        if key not in self.books:
            quote = self.quotes.get(fill.symbol, fill.symbol[-3:])
            self.books[key] = Book(key, quote, self.run_id, self.run_tag)
        book = self.books[key]
        pair = (fill.order_id, fill.fill_id)
        if pair in book.seen and fill.ts - book.seen[pair] <= self.memory_ms:
            self.duplicates += 1
            return
        book.seen[pair] = fill.ts
        book.apply(fill)

    def tables(self) -> dict[str, list[dict[str, Any]]]:
        """The tables of matches, lots, rollup and profits, in the order of the semantics.

        Each book's matches and lots are in order already, so a stable sort by time and key is
        enough: of one key no two fills at the same time interleave.
        """
        books = [self.books[key] for key in sorted(self.books)]
        tables = {
            "trade_match_history": [row for book in books for row in book.matches],
            "open_positions_lots": [row for book in books for row in book.lot_rows()],
            "open_positions_rollup": [book.rollup_row() for book in books if book.lots],
            "realized_pnl_latest": [book.realized_row() for book in books if book.matches],
        }
        for name, rows in tables.items():
            ts = "match_ts" if name == "trade_match_history" else "updated_ts"
            rows.sort(
                key=lambda row: (row[ts], row["account_id"], row["strategy_id"], row["symbol"])
            )
        return tables
