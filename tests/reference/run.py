"""A whole bounded run, event by event, and the engine alone."""

from __future__ import annotations

import decimal
import heapq
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable
from decimal import Decimal
from fractions import Fraction
from typing import Any, NamedTuple

from .accounts import Decision, Gate, Order
from .bars import Bar, Market, read_bars, span_ms
from .engine import Engine, Fill
from .exact import CONTEXT, round_half_even, rounded_price
from .reports import COLUMNS, sort_out
from .settings import Account, Settings, read_settings
from .signals import Signal, compute_indicators, compute_signals, indicator_history, signal_row
from .valuation import equity_daily, unrealized_snapshot

Row = dict[str, Any]
FEE_UNIT = Decimal("1e-12")
RUN_TAG = "BACKTEST"


class Trading(NamedTuple):
    """What the accounts did; rows of each account are in order of its events."""

    accepted: list[Row]
    rejected: list[Row]
    reports: list[Row]
    unfilled: list[str]
    over_cap: int


def next_bar(bars: list[Bar], signal_ts: int) -> Bar | None:
    """The first bar that opens at the signal's time or later."""
    at = bisect_left(bars, signal_ts, key=lambda bar: bar.ts)
    return bars[at] if at < len(bars) else None


def paper_fill(order: Order, bar: Bar, account: Account, settings: Settings) -> Fill | None:
    """The fill at the bar's close, or None where its price rounds to 0."""
    symbol = settings.symbols[order.key[1]]
    slip = account.slippage_bps / 10_000
    factor = 1 + slip if order.action == "BUY" else 1 - slip
    price = round_half_even(Fraction(rounded_price(bar.close, symbol.tick)) * factor, symbol.tick)
    if price <= 0:
        return None
    fee = Fraction(price) * Fraction(order.qty) * account.fee_bps / 10_000
    return Fill(
        account_id=account.id,
        strategy_id=order.key[0],
        order_id=order.order_id,
        fill_id=order.order_id + ":1",
        symbol=order.key[1],
        side=order.action,
        qty=order.qty,
        price=price,
        ts=bar.close_ts,
        fee=round_half_even(fee, FEE_UNIT),
        fee_currency=symbol.quote,
    )


def decision_row(account_id: str, signal: Signal, decision: Decision, seq: int) -> Row:
    return {
        "account_id": account_id,
        "signal_id": signal.signal_id,
        "strategy_id": signal.strategy_id,
        "symbol": signal.symbol,
        "action": signal.action,
        "qty": decision.qty,
        "ts": signal.signal_ts,
        "reason": decision.code,
        "order_id": decision.order.order_id if decision.order else None,
        "seq": seq,
        "open_symbols": decision.open_symbols,
        "reserved_symbols": decision.reserved_symbols,
    }


def report_row(fill: Fill, settings: Settings) -> Row:
    row = fill._asdict()
    row["fill_qty"], row["fill_price"] = row.pop("qty"), row.pop("price")
    row["venue"] = "paper"
    return {**{name: row[name] for name in COLUMNS}, "run_id": settings.run_id}


def trade(
    account: Account, signals: list[Signal], market: Market, settings: Settings, engine: Engine
) -> Trading:
    """One account's signals and fills in order of event time, fills before signals."""
    gate = Gate(account, settings)
    result = Trading([], [], [], [], 0)
    # (ts, strategy, symbol, order id, fill id): the order among fills; the rest rides along.
    waiting: list[tuple[int, str, str, str, str, Order, Bar]] = []

    def fill_until(ts: int | None) -> None:
        while waiting and (ts is None or waiting[0][0] <= ts):
            *_, order, bar = heapq.heappop(waiting)
            fill = paper_fill(order, bar, account, settings)
            if fill is None:
                gate.ended(order)
                result.unfilled.append(order.order_id)
                continue
            gate.filled(order)
            engine.apply(fill)
            result.reports.append(report_row(fill, settings))

    followed = set(account.strategies)
    mine = [signal for signal in signals if signal.strategy_id in followed]
    for seq, signal in enumerate(mine, start=1):
        fill_until(signal.signal_ts)
        decision = gate.decide(signal)
        row = decision_row(account.id, signal, decision, seq)
        if decision.order is None:
            row.update(code=decision.code, detail="", run_id=settings.run_id)
            result.rejected.append(row)
            continue
        row["run_id"] = settings.run_id
        result.accepted.append(row)
        order = decision.order
        bar = next_bar(market.bars[signal.symbol], signal.signal_ts)
        if bar is None:
            result.unfilled.append(order.order_id)
        else:
            place = (bar.close_ts, *order.key, order.order_id, order.order_id + ":1")
            heapq.heappush(waiting, (*place, order, bar))
    fill_until(None)
    return result._replace(over_cap=gate.over_cap)


def by_signal(row: Row) -> tuple[Any, ...]:
    sell_first = row["action"] != "SELL"
    return (row["ts"], row["account_id"], sell_first, row["strategy_id"], row["symbol"])


def by_fill(row: Row) -> tuple[Any, ...]:
    names = ("ts", "account_id", "strategy_id", "symbol", "order_id", "fill_id")
    return tuple(row[name] for name in names)


def run(config: dict[str, Any], rows: Iterable[Row]) -> dict[str, Any]:
    """A bounded run: every traced table by name as rows in order, and the manifest's counts.

    `config` is the parsed YAML; `rows` are raw bars in order of arrival. Raises ValueError where
    the configuration is refused.
    """
    with decimal.localcontext(CONTEXT):
        settings = read_settings(config)
        first = None if settings.start is None else settings.start - settings.warmup_ms
        base_ms = span_ms(settings.base)
        market = read_bars(rows, settings.symbols, first, settings.end, base_ms, settings.run_id)
        indicators = compute_indicators(market, settings)
        signals = compute_signals(market, indicators, settings)
        quotes = {name: symbol.quote for name, symbol in settings.symbols.items()}
        engine = Engine(settings.run_id, RUN_TAG, quotes, settings.ttl_days)
        traded = [
            trade(account, signals, market, settings, engine)
            for account in settings.accounts.values()
        ]
        accepted = sorted((row for one in traded for row in one.accepted), key=by_signal)
        rejected = sorted((row for one in traded for row in one.rejected), key=by_signal)
        return {
            "indicator_history": indicator_history(indicators, settings),
            "strategy_signal_history": [signal_row(signal, settings) for signal in signals],
            "accepted_trade_signal_history": accepted,
            "rejected_trade_signal_history": rejected,
            "exec_report_history": sorted(
                (row for one in traded for row in one.reports), key=by_fill
            ),
            **engine.tables(),
            "unrealized_snapshot": unrealized_snapshot(engine, market, settings),
            "equity_daily": equity_daily(engine, market, settings),
            "price_rejects": market.rejects,
            "manifest": manifest(market, settings, traded, accepted, rejected),
        }


def manifest(
    market: Market,
    settings: Settings,
    traded: list[Trading],
    accepted: list[Row],
    rejected: list[Row],
) -> Row:
    unfilled = {order_id for one in traded for order_id in one.unfilled}
    return {
        "rejected": dict(sorted(Counter(row["code"] for row in rejected).items())),
        "price_rejects": dict(sorted(Counter(row["code"] for row in market.rejects).items())),
        "skipped": market.skipped,
        "late": market.late,
        "duplicates": market.duplicates,
        "grid_left_out": settings.grid_left_out,
        "over_cap": sum(one.over_cap for one in traded),
        # in the order of the accepted signals
        "unfilled": [row["order_id"] for row in accepted if row["order_id"] in unfilled],
    }


def run_engine(
    reports: list[Row],
    quotes: dict[str, str],
    ttl_days: int = 7,
    run_id: str = "run",
    run_tag: str = RUN_TAG,
) -> dict[str, Any]:
    """The engine alone over exec reports, in full mode, put in order before any is applied.

    `quotes` names the quote currency of symbols; for others it is the last three letters.
    Returns matches, lots, rollup, realized_pnl_latest and rejects as rows, duplicates as a count.
    """
    with decimal.localcontext(CONTEXT):
        fills, rejects = sort_out(reports, quotes, run_id)
        engine = Engine(run_id, run_tag, quotes, ttl_days)
        for fill in fills:
            engine.apply(fill)
        return {**engine.tables(), "rejects": rejects, "duplicates": engine.duplicates}
