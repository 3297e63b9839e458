"""What open positions are worth at the end, and what every strategy was worth each day."""

from __future__ import annotations

import datetime
from bisect import bisect_right
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from .bars import Market
from .engine import Book, Engine
from .exact import rounded_price
from .settings import EPOCH, Settings

ZERO = Decimal(0)
ONE_DAY = datetime.timedelta(days=1)


class Calendar:
    """Local dates of event times; remembers them, as the same times come again and again."""

    def __init__(self, zone: str) -> None:
        self.zone = ZoneInfo(zone)
        self.known: dict[int, datetime.date] = {}

    def day(self, ts: int) -> datetime.date:
        if ts not in self.known:
            moment = EPOCH + datetime.timedelta(milliseconds=ts)
            self.known[ts] = moment.astimezone(self.zone).date()
        return self.known[ts]


def unrealized_snapshot(engine: Engine, market: Market, settings: Settings) -> list[dict[str, Any]]:
    """Open positions at the last close of their symbols."""
    rows = []
    for (account_id, strategy_id, symbol), book in engine.books.items():
        if not book.lots:
            continue
        last = market.bars[symbol][-1]
        close = rounded_price(last.close, settings.symbols[symbol].tick)
        rows.append(
            {
                "account_id": account_id,
                "strategy_id": strategy_id,
                "symbol": symbol,
                "side": book.lots[0].side,
                "net_qty": book.net_qty(),
                "avg_price": book.average_price(),
                "last_close": close,
                "unrealized": close * book.net_qty() - book.open_cost(),
                "ts": last.close_ts,
                "run_id": settings.run_id,
            }
        )
    rows.sort(key=lambda r: (r["ts"], r["account_id"], r["strategy_id"], r["symbol"]))
    return rows


def days_of(market: Market, calendar: Calendar) -> list[datetime.date]:
    """Every local day from the first kept bar to the last, by their close times."""
    kept = [bars for bars in market.bars.values() if bars]
    if not kept:
        return []
    day = calendar.day(min(bars[0].close_ts for bars in kept))
    last = calendar.day(max(bars[-1].close_ts for bars in kept))
    days = []
    while day <= last:
        days.append(day)
        day += ONE_DAY
    return days


def closes_by_day(
    market: Market, settings: Settings, calendar: Calendar, days: list[datetime.date]
) -> dict[str, dict[datetime.date, Decimal | None]]:
    """Per symbol and day the rounded close of the last bar so far; None before the first bar."""
    result: dict[str, dict[datetime.date, Decimal | None]] = {}
    for symbol, bars in market.bars.items():
        last = {calendar.day(bar.close_ts): bar.close for bar in bars}
        tick = settings.symbols[symbol].tick
        close: Decimal | None = None
        result[symbol] = {}
        for day in days:
            if day in last:
                close = rounded_price(last[day], tick)
            result[symbol][day] = close
    return result


class Figures:
    """Sums of one key's day: profits and fees of that day, and its standing at the end."""

    def __init__(self, book: Book, calendar: Calendar) -> None:
        self.book = book
        self.realized: dict[datetime.date, Decimal] = {}
        self.fees: dict[datetime.date, Decimal] = {}
        for match in book.matches:
            day = calendar.day(match["match_ts"])
            self.realized[day] = self.realized.get(day, ZERO) + match["realized_pnl"]
            self.fees[day] = self.fees.get(day, ZERO) + match["fees"]
        self.standing_days = [calendar.day(standing.ts) for standing in book.standings]

    def unrealized_and_open_fees(
        self, day: datetime.date, close: Decimal | None
    ) -> tuple[Decimal, Decimal]:
        count = bisect_right(self.standing_days, day)
        if count == 0:
            return ZERO, ZERO
        standing = self.book.standings[count - 1]
        assert close is not None  # a fill happens at a bar's close
        return close * standing.net_qty - standing.open_cost, standing.open_fees


def equity_daily(engine: Engine, market: Market, settings: Settings) -> list[dict[str, Any]]:
    """A row per day, account, followed strategy and quote currency, without start capital."""
    calendar = Calendar(settings.zone)
    days = days_of(market, calendar)
    closes = closes_by_day(market, settings, calendar, days)
    rows: list[dict[str, Any]] = []
    for account in settings.accounts.values():
        for strategy_id in account.strategies:
            names = settings.strategies[strategy_id].symbols
            for currency in sorted({settings.symbols[name].quote for name in names}):
                figures = {
                    name: Figures(engine.books[account.id, strategy_id, name], calendar)
                    for name in names
                    if settings.symbols[name].quote == currency
                    and (account.id, strategy_id, name) in engine.books
                }
                head = {
                    "account_id": account.id,
                    "strategy_id": strategy_id,
                    "currency": currency,
                }
                for row in day_rows(days, figures, closes):
                    rows.append({**head, **row, "run_id": settings.run_id})
    rows.sort(key=lambda r: (r["day"], r["account_id"], r["strategy_id"], r["currency"]))
    return rows


def day_rows(
    days: list[datetime.date],
    figures: dict[str, Figures],
    closes: dict[str, dict[datetime.date, Decimal | None]],
) -> list[dict[str, Any]]:
    rows = []
    so_far = ZERO  # realized less fees
    for day in days:
        realized = sum((f.realized.get(day, ZERO) for f in figures.values()), ZERO)
        fees = sum((f.fees.get(day, ZERO) for f in figures.values()), ZERO)
        so_far += realized - fees
        unrealized, open_fees = ZERO, ZERO
        for name, figure in figures.items():
            value, waiting = figure.unrealized_and_open_fees(day, closes[name][day])
            unrealized += value
            open_fees += waiting
        rows.append(
            {
                "day": day.isoformat(),
                "realized": realized,
                "fees": fees,
                "unrealized": unrealized,
                "equity": so_far + unrealized - open_fees,
            }
        )
    return rows
