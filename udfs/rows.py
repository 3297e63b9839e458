"""Rows of the sparse stages as values. Amounts are in units of 10^-18 (udfs/money.py).

`side` and `action` are +1 for BUY and -1 for SELL everywhere inside; tables show the words.
"""

from enum import Enum
from typing import NamedTuple

BUY = 1
SELL = -1
SIDE_TEXT = {BUY: "BUY", SELL: "SELL"}
SIDE_OF_TEXT = {text: side for side, text in SIDE_TEXT.items()}
POSITION_TEXT = {BUY: "LONG", SELL: "SHORT"}


class Code(Enum):
    """Why a signal was accepted or refused, refusals in the order in which they are checked."""

    OK = "OK"
    ACCOUNT_HALTED = "ACCOUNT_HALTED"
    SYMBOL_PAUSED = "SYMBOL_PAUSED"
    NO_OPEN_POSITION = "NO_OPEN_POSITION"
    QTY_BELOW_STEP = "QTY_BELOW_STEP"
    BUY_ALREADY_PENDING = "BUY_ALREADY_PENDING"
    SELL_ALREADY_PENDING = "SELL_ALREADY_PENDING"
    ENTRY_LIMIT_EXCEEDED = "ENTRY_LIMIT_EXCEEDED"
    OPEN_LIMIT_EXCEEDED = "OPEN_LIMIT_EXCEEDED"
    BUDGET_EXCEEDED = "BUDGET_EXCEEDED"


DETAILS = {
    Code.OK: "",
    Code.ACCOUNT_HALTED: "the account is halted",
    Code.SYMBOL_PAUSED: "the symbol is paused",
    Code.NO_OPEN_POSITION: "there is no open position to sell",
    Code.QTY_BELOW_STEP: "the sized quantity is below one qty_step",
    Code.BUY_ALREADY_PENDING: "the whole short is being covered already",
    Code.SELL_ALREADY_PENDING: "the whole position is being sold already",
    Code.ENTRY_LIMIT_EXCEEDED: "tradepicker.maxEntries is reached since the position was flat",
    Code.OPEN_LIMIT_EXCEEDED: "maxOpenPositions symbols are open or reserved",
    Code.BUDGET_EXCEEDED: "limits.maxNotional would be exceeded",
}


class BarCode(Enum):
    """Why a bar is rejected, in the order in which it is checked."""

    BAD_TS = "BAD_TS"
    PRICE_NOT_FINITE = "PRICE_NOT_FINITE"
    PRICE_NOT_POSITIVE = "PRICE_NOT_POSITIVE"
    OHLC_INCONSISTENT = "OHLC_INCONSISTENT"
    BAD_VOLUME = "BAD_VOLUME"


class ReportCode(Enum):
    """Why an exec report is rejected, in the order in which it is checked."""

    MISSING_ID = "MISSING_ID"
    BAD_TS = "BAD_TS"
    BAD_SIDE = "BAD_SIDE"
    NOT_A_NUMBER = "NOT_A_NUMBER"
    NOT_POSITIVE = "NOT_POSITIVE"
    PRECISION = "PRECISION"
    UNKNOWN_ORDER = "UNKNOWN_ORDER"
    STALE_FILL = "STALE_FILL"


class FeedCode(Enum):
    """Why a line that comes from outside is no row of its table."""

    BAD_LINE = "BAD_LINE"
    UNKNOWN_ACCOUNT = "UNKNOWN_ACCOUNT"
    PAPER_ACCOUNT = "PAPER_ACCOUNT"
    UNKNOWN_SYMBOL = "UNKNOWN_SYMBOL"


class Signal(NamedTuple):
    """A strategy's answer at `ts` (the close of its anchor bar), with that bar's close."""

    signal_id: str
    strategy_id: str
    symbol: str
    ts: int
    action: int
    close: float
    size_hint: float


class Decision(NamedTuple):
    """What the gate made of a signal for one account.

    `qty` is None where it was never computed, `order_id` None where refused, the two counts None
    for an account without a cap.
    """

    account_id: str
    signal_id: str
    strategy_id: str
    symbol: str
    action: int
    qty: int | None
    ts: int
    code: Code
    order_id: str | None
    open_symbols: int | None
    reserved_symbols: int | None
    detail: str


class Fill(NamedTuple):
    """An exec report that passed its checks. `fee` in `fee_currency`, negative for a rebate."""

    account_id: str
    strategy_id: str
    order_id: str
    fill_id: str
    symbol: str
    side: int
    qty: int
    price: int
    ts: int
    fee: int
    fee_currency: str
    venue: str


class PositionChange(NamedTuple):
    """One applied fill's effect on (account, strategy, symbol); `seq` counts them from 1."""

    account_id: str
    strategy_id: str
    symbol: str
    seq: int
    order_id: str
    fill_id: str
    side: int
    qty: int
    net_before: int
    net_after: int
    ts: int


class OrderEnd(NamedTuple):
    """An order that will not fill any further (cancelled, expired, refused by the venue)."""

    strategy_id: str
    symbol: str
    order_id: str
    ts: int


class Match(NamedTuple):
    """A closed segment. `realized_pnl` is wide (units of 10^-36), fees in units of 10^-18."""

    match_id: str
    account_id: str
    strategy_id: str
    symbol: str
    buy_order_id: str
    sell_order_id: str
    qty: int
    buy_price: int
    sell_price: int
    realized_pnl: int
    fees: int
    other_fees: tuple[tuple[str, int], ...]
    open_ts: int
    match_ts: int


def fill_order(fill: Fill) -> tuple[int, str, str, str, str, str]:
    """The order in which fills apply: event time, account, strategy, symbol, order, fill."""
    return (
        fill.ts,
        fill.account_id,
        fill.strategy_id,
        fill.symbol,
        fill.order_id,
        fill.fill_id,
    )


def signal_order(signal: Signal) -> tuple[int, int, str, str]:
    """The order in which signals of one account apply: event time, SELL first, strategy, symbol."""
    return (signal.ts, signal.action, signal.strategy_id, signal.symbol)
