"""What the engine books as rows: matches, and its states as lots, rollup, realized, snapshot."""

import json
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from udfs import engine
from udfs.engine import Amounts, EngineState
from udfs.lots import lot_id
from udfs.money import narrow, plain_text, to_decimal
from udfs.rows import POSITION_TEXT, Match

Row = dict[str, Any]
# What an amount becomes in a row: a Decimal for files; live rows take the amount (`fitting`).
Amount = Callable[[int], object]


class Book(NamedTuple):
    """One key of the engine and its state."""

    account_id: str
    strategy_id: str
    symbol: str
    quote: str
    state: EngineState


def other_fees_text(amounts: Amounts) -> str:
    """Fees by currency as JSON text, currencies ascending, amounts as decimal text."""
    if not amounts:
        return "{}"
    shown = {currency: plain_text(amount) for currency, amount in amounts if amount}
    return json.dumps(shown, separators=(",", ":"), sort_keys=True)


def match_row(match: Match, run_id: str, run_tag: str, amount: Amount = to_decimal) -> Row:
    """A row of trade_match_history."""
    pnl = narrow(match.realized_pnl)
    return {
        "match_id": match.match_id,
        "account_id": match.account_id,
        "strategy_id": match.strategy_id,
        "symbol": match.symbol,
        "buy_order_id": match.buy_order_id,
        "sell_order_id": match.sell_order_id,
        "matched_qty": amount(match.qty),
        "buy_price": amount(match.buy_price),
        "sell_price": amount(match.sell_price),
        "realized_pnl": amount(pnl),
        "fees": amount(match.fees),
        "net_pnl": amount(pnl - match.fees),
        "other_fees": other_fees_text(match.other_fees),
        "open_ts": match.open_ts,
        "match_ts": match.match_ts,
        "run_id": run_id,
        "run_tag": run_tag,
    }


def _key(book: Book) -> Row:
    return {
        "account_id": book.account_id,
        "strategy_id": book.strategy_id,
        "symbol": book.symbol,
    }


def _order(rows: Iterable[Row]) -> list[Row]:
    """By event time, then account, strategy, symbol."""
    return sorted(
        rows, key=lambda r: (r["updated_ts"], r["account_id"], r["strategy_id"], r["symbol"])
    )


def lot_rows(books: Iterable[Book], run_id: str, amount: Amount = to_decimal) -> list[Row]:
    """open_positions_lots, oldest lot of a key first."""
    rows = [
        {
            **_key(book),
            "lot_id": lot_id(book.account_id, book.strategy_id, book.symbol, lot),
            "side": POSITION_TEXT[lot.side],
            "qty_open": amount(lot.qty_open),
            "qty_rem": amount(lot.qty_rem),
            "avg_price": amount(lot.price),
            "open_ts": lot.open_ts,
            "updated_ts": lot.updated_ts,
            "run_id": run_id,
        }
        for book in books
        for lot in book.state.lots
    ]
    return _order(rows)


def rollup_rows(books: Iterable[Book], run_id: str, amount: Amount = to_decimal) -> list[Row]:
    """open_positions_rollup."""
    rows = []
    for book in books:
        position = engine.rollup(book.state, book.quote)
        if position is not None:
            rows.append(
                {
                    **_key(book),
                    "side": POSITION_TEXT[position.side],
                    "net_qty": amount(position.net_qty),
                    "avg_price": amount(position.avg_price),
                    "open_cost": amount(narrow(position.open_cost)),
                    "open_fees": amount(position.open_fees),
                    "other_fees": other_fees_text(position.other_fees),
                    "updated_ts": book.state.updated_ts,
                    "run_id": run_id,
                }
            )
    return _order(rows)


def realized_rows(books: Iterable[Book], run_id: str, amount: Amount = to_decimal) -> list[Row]:
    """realized_pnl_latest: no row before a key's first match."""
    rows = []
    for book in books:
        state = book.state
        if state.matches:
            pnl = narrow(state.realized_pnl)
            rows.append(
                {
                    **_key(book),
                    "realized_pnl": amount(pnl),
                    "fees": amount(state.fees),
                    "net_pnl": amount(pnl - state.fees),
                    "other_fees": other_fees_text(state.other_fees),
                    "updated_ts": state.matched_ts,
                    "run_id": run_id,
                }
            )
    return _order(rows)


def snapshot_rows(
    books: Iterable[Book], run_id: str, last: dict[str, tuple[int, int]]
) -> list[Row]:
    """unrealized_snapshot; `last` gives each symbol's last close (rounded, units) and its time."""
    rows = []
    for book in books:
        position = engine.rollup(book.state, book.quote)
        if position is not None:
            close, ts = last[book.symbol]
            rows.append(
                {
                    **_key(book),
                    "side": POSITION_TEXT[position.side],
                    "net_qty": to_decimal(position.net_qty),
                    "avg_price": to_decimal(position.avg_price),
                    "last_close": to_decimal(close),
                    "unrealized": to_decimal(narrow(engine.unrealized(close, position))),
                    "ts": ts,
                    "run_id": run_id,
                }
            )
    return sorted(rows, key=lambda r: (r["ts"], r["account_id"], r["strategy_id"], r["symbol"]))
