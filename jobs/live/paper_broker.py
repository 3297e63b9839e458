"""The paper broker live: orders of paper accounts and bars → exec reports and states of orders.

Reads accepted_trade_signal_history (of the ticks before) and price_1m_history; writes
exec_report_history and order_status_history. Key: symbol. State: the orders that are out. An order
fills whole at the close of the first bar that opens when it was accepted or later.

After a restart an order may be there earlier than it was (a stage had gone on without the gate);
what the log says that it was filled at stays.
"""

import json
from collections.abc import Mapping
from functools import partial
from typing import NamedTuple

from jobs.live.prices import FEED, bars_input
from jobs.live.stage import (
    INSTANCE,
    Bundle,
    Input,
    Journal,
    Memory,
    Row,
    Stage,
    Upstream,
    Values,
    Worked,
    no_journal,
    state_head,
)
from schemas.codec import amount, encode
from schemas.signals import ACCEPTED_TRADE_SIGNAL_HISTORY
from schemas.trading import EXEC_REPORT_HISTORY, ORDER_STATUS_HISTORY
from udfs import paper_broker
from udfs.paper_broker import PaperOrder
from udfs.plan import AccountPlan, RunPlan, SymbolPlan
from udfs.rows import SIDE_OF_TEXT, SIDE_TEXT, Fill

NAME = "broker"
STATE_VERSION = 1
ENDS = "ends"
BARS, ORDERS = range(2)
REPORTS, STATUSES = range(2)
GATE = ("tradepicker", INSTANCE)
NO_PRICE = "its price rounds to 0"


class OutOrder(NamedTuple):
    """An order that is out; `ts` is when it was accepted."""

    account_id: str
    ts: int
    order: PaperOrder


class Broker:
    """What all symbols share, and the fills that the log has already."""

    def __init__(
        self,
        run_id: str,
        accounts: Mapping[str, AccountPlan],
        symbols: Mapping[str, SymbolPlan],
        journal: Journal,
    ) -> None:
        self.run_id, self.accounts, self.symbols = run_id, accounts, symbols
        self._journal = journal
        self._filled: dict[str, int] | None = None

    def filled_ts(self, order_id: str, since_ms: int) -> int | None:
        """When the log says that an order was filled; None where it does not."""
        if self._filled is None:
            rows = self._journal(EXEC_REPORT_HISTORY, since_ms)
            self._filled = {}
            for row in rows:
                self._filled.setdefault(str(row["order_id"]), int(row["ts"] or 0))
        return self._filled.get(order_id)


def stage(plan: RunPlan, patience_ms: int | None, journal: Journal = no_journal) -> Stage:
    """The stage of the plan's paper accounts."""
    accounts = {one.account_id: one for one in plan.accounts if one.broker == "paper"}
    symbols = {symbol.symbol: symbol for symbol in plan.symbols}
    return Stage(
        name=NAME,
        inputs=(
            bars_input(plan),
            Input(
                table=ACCEPTED_TRADE_SIGNAL_HISTORY,
                columns=(
                    *("account_id", "strategy_id", "symbol", "order_id", "action", "qty", "ts"),
                ),
                ts="ts",
                lag_ms=plan.base_ms,
                instance=lambda values: GATE,
                keys=lambda values: (
                    [str(values[2])] if values[0] in accounts and values[2] in symbols else []
                ),
            ),
        ),
        upstreams=(Upstream(*FEED), Upstream(*GATE, lag_ms=plan.base_ms)),
        outputs=(EXEC_REPORT_HISTORY, ORDER_STATUS_HISTORY),
        instances=(INSTANCE, ENDS),
        base_ms=plan.base_ms,
        patience_ms=patience_ms,
        wake=lambda tick: [],
        work=partial(work, Broker(plan.run_id, accounts, symbols, journal)),
    )


def work(
    broker: Broker, symbol: str, state: bytes | None, memory: Memory, bundle: Bundle
) -> Worked:
    """New orders of a symbol, and the fills of all that are out where a bar closes."""
    out: list[Row] = []
    orders = load(state)
    for row in bundle.rows:
        if row.input == ORDERS:
            orders.append(order_of(row.values))
            out.append(status_row(orders[-1], "NEW", orders[-1].ts, None, broker.run_id))
    left: list[OutOrder] = []
    bars = [row.values for row in bundle.rows if row.input == BARS and not row.late]
    tick = bundle.tick or 0
    for given in orders:
        filled_ts = broker.filled_ts(given.order.order_id, bundle.since_ms)
        if filled_ts is not None and filled_ts < tick:
            continue
        bar = next((bar for bar in bars if int(bar[1] or 0) >= given.ts), None)
        if bar is None or (filled_ts is not None and filled_ts > tick):
            left.append(given)
        else:
            out += end(broker, given, tick, float(bar[5] or 0))
    return Worked(save(left), out)


def order_of(values: Values) -> OutOrder:
    """An accepted row as an order."""
    account, strategy, symbol, order_id, action, qty, ts = values
    side = SIDE_OF_TEXT[str(action)]
    order = PaperOrder(str(strategy), str(symbol), str(order_id), side, amount(qty))
    return OutOrder(str(account), int(ts or 0), order)


def end(broker: Broker, given: OutOrder, tick: int, close: float) -> list[Row]:
    """The rows of an order's end at a bar's close: filled, or refused for want of a price."""
    account, symbol = broker.accounts[given.account_id], broker.symbols[given.order.symbol]
    fill = paper_broker.fill(given.order, tick, close, account, symbol)
    if fill is None:
        return [status_row(given, "REJECTED", tick, NO_PRICE, broker.run_id)]
    filled = status_row(given, "FILLED", tick, None, broker.run_id)
    return [report_row(fill, broker.run_id), filled]


def report_row(fill: Fill, run_id: str) -> Row:
    """A fill as a row of exec_report_history."""
    row = {
        **fill._asdict(),
        "side": SIDE_TEXT[fill.side],
        "fill_qty": fill.qty,
        "fill_price": fill.price,
        "run_id": run_id,
    }
    return Row(REPORTS, encode(EXEC_REPORT_HISTORY, row), INSTANCE)


def status_row(given: OutOrder, status: str, ts: int, detail: str | None, run_id: str) -> Row:
    """A state of an order; the gate waits for those that end it without a fill."""
    row = {
        "account_id": given.account_id,
        "order_id": given.order.order_id,
        "status": status,
        "ts": ts,
        "detail": detail or "",
        "run_id": run_id,
    }
    counted = ENDS if status == "REJECTED" else None
    return Row(STATUSES, encode(ORDER_STATUS_HISTORY, row), counted)


def save(orders: list[OutOrder]) -> bytes | None:
    """The orders as bytes, in one order; None where there are none."""
    if not orders:
        return None
    rows = [[one.account_id, one.ts, *one.order] for one in sorted(orders)]
    return json.dumps({"kind": NAME, "version": STATE_VERSION, "orders": rows}).encode()


def load(data: bytes | None) -> list[OutOrder]:
    """What `save` wrote; InvariantError where it was something else."""
    if data is None:
        return []
    held = state_head(data, NAME, STATE_VERSION)
    return [OutOrder(account, ts, PaperOrder(*order)) for account, ts, *order in held["orders"]]
