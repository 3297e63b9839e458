"""The dict of figures of one part, and why those that are None are not defined."""

import math
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import numpy as np

from schemas.config_checks import SHADOW_PREFIX
from scripts.equity.book import Book
from scripts.equity.capital import DEFAULT_CAPITAL
from scripts.equity.columns import total
from scripts.equity.frames import start_capital
from scripts.equity.parts import (
    MARKED,
    Curve,
    Part,
    accounts_of,
    curve,
    split,
    unrealized,
    words_of,
)
from scripts.equity.reasons import reasons
from udfs import figures, figures_returns, figures_trades
from udfs.bars import Floats
from udfs.days import day_text

MONEY_AND_RATIOS = (
    "start_capital", "gross_pnl", "fees", "net_pnl", "unrealized", "end_equity", "total_return",
    "cagr", "volatility", "sharpe", "sortino", "calmar", "max_drawdown", "max_drawdown_amount",
    "max_drawdown_peak", "max_drawdown_trough", "max_drawdown_recovery", "max_drawdown_days",
    "longest_drawdown_days", "best_day", "best_day_date", "worst_day", "worst_day_date",
    "win_rate", "profit_factor", "expectancy", "expectancy_r", "average_win", "average_loss",
    "payoff_ratio", "best_trade", "worst_trade", "longest_losing_streak",
    "average_holding_hours", "exposure", "gross_exposure", "traded_notional", "turnover",
    "turnover_annual", "fee_share", "fee_bps", "other_fees",
)  # fmt: skip
# None says here that there was nothing, not that the figure can't be told.
NO_NOTE = ("max_drawdown_peak", "max_drawdown_trough", "max_drawdown_recovery", "unrealized")


def summarise(book: Book) -> dict[str, Any]:
    """See scripts.equity_metrics.summary."""
    by_currency = {part.currency: figures_of(book, part) for part in split(book, [])}
    if len(by_currency) == 1:
        ((currency, found),) = by_currency.items()
        return {**found, "by_currency": {currency: found}}
    if not by_currency:
        nothing = Part((), book.currency, book.trades, None, book.opened)
        return {**figures_of(book, nothing), "by_currency": {}}
    listed = ", ".join(by_currency)
    note = (
        f"several currencies ({listed}) are never added: see by_currency, or choose one with "
        f"currency={next(iter(by_currency))!r}"
    )
    first = next(iter(by_currency.values()))
    bases = {found["basis"] for found in by_currency.values()}
    return {
        "basis": bases.pop() if len(bases) == 1 else None,
        "currency": None,
        "zone": book.zone,
        "periods": book.periods,
        **{key: first[key] for key in ("first_day", "last_day", "days")},
        **_common_days(list(by_currency.values())),
        "trades": sum(found["trades"] for found in by_currency.values()),
        "wins": sum(found["wins"] for found in by_currency.values()),
        "losses": sum(found["losses"] for found in by_currency.values()),
        **dict.fromkeys(MONEY_AND_RATIOS),
        "start_capital_from": book.capital.origin,
        "notes": [note, *book.notes],
        "by_currency": by_currency,
    }


def group_figures(book: Book, by: str | Sequence[str]) -> list[dict[str, Any]]:
    """The figures of each combination of `by` and currency, its names first."""
    shown = words_of(by)
    rows = []
    for part in split(book, [word for _, word in shown]):
        names = dict(zip([name for name, _ in shown], part.key, strict=True))
        rows.append({**names, **figures_of(book, part)})
    return rows


def _common_days(found: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The days of all currencies together; `days` is None where they differ."""
    firsts = [one["first_day"] for one in found if one["first_day"]]
    lasts = [one["last_day"] for one in found if one["last_day"]]
    days = {one["days"] for one in found}
    return {
        "first_day": min(firsts, default=None),
        "last_day": max(lasts, default=None),
        "days": days.pop() if len(days) == 1 else None,
    }


def figures_of(book: Book, part: Part) -> dict[str, Any]:
    """All figures of one part, in the order of MONEY_AND_RATIOS, and `notes`."""
    line = curve(book, part)
    capital = start_capital(book, part)
    equity = np.empty(0) if line is None else line.equity
    trips = part.trades.trips
    days = len(equity)
    found = {
        "basis": "realized-only" if line is None else line.basis,
        "currency": part.currency,
        "zone": book.zone,
        "periods": book.periods,
        "first_day": day_text(line.first_day) if line else None,
        "last_day": day_text(line.first_day + days - 1) if line else None,
        "days": days,
        "trades": len(trips),
        "wins": int(np.sum(trips > 0.0)),
        "losses": int(np.sum(trips < 0.0)),
        "start_capital": float(capital),
        **_money(part),
        **_of_returns(equity, float(capital), book.periods),
        **_of_days(line, float(capital)),
        **_of_trips(trips),
        **_of_market(part, float(capital), days, book.periods),
        "other_fees": _other_fees(part),
        "start_capital_from": book.capital.origin,
    }
    for key, value in found.items():
        if isinstance(value, float) and not math.isfinite(value):
            found[key] = None
    return {**found, "notes": _notes(book, part, line, found)}


def _money(part: Part) -> dict[str, Any]:
    """Exact sums."""
    trades = part.trades
    return {
        "gross_pnl": total(trades.realized, trades.scale),
        "fees": total(trades.fees, trades.scale),
        "net_pnl": total(trades.net, trades.scale),
        "unrealized": unrealized(part),
    }


def _of_returns(equity: Floats, capital: float, periods: float) -> dict[str, Any]:
    """What the curve of equity tells per year and in all."""
    returns = figures.daily_returns(equity, capital) if len(equity) else None
    share, deepest = figures.max_drawdown(equity, capital)
    yearly = figures_returns.cagr(equity, capital, periods)
    return {
        "end_equity": capital + float(equity[-1]) if len(equity) else None,
        "total_return": figures_returns.total_return(equity, capital),
        "cagr": yearly,
        "volatility": figures_returns.volatility(returns, periods),
        "sharpe": figures.sharpe(returns, periods),
        "sortino": figures_returns.sortino(returns, periods),
        "calmar": figures_returns.calmar(yearly, share),
        "max_drawdown": share,
        "max_drawdown_amount": deepest,
    }


def _of_days(line: Curve | None, capital: float) -> dict[str, Any]:
    """Dates of the deepest fall, and the best and the worst day by the change of equity."""
    names = MONEY_AND_RATIOS[MONEY_AND_RATIOS.index("max_drawdown_peak") :][:9]
    if line is None:
        return dict.fromkeys(names)
    before_first = line.first_day - 1  # the end of that day is where the start capital stands
    fall = figures_returns.deepest_drawdown(line.equity, capital)
    change = np.diff(np.concatenate(([0.0], line.equity)))
    best, worst = int(np.argmax(change)), int(np.argmin(change))
    dates: list[Any] = [None, None, None, 0, 0]
    if fall is not None:
        dates = [
            day_text(before_first + fall.peak),
            day_text(before_first + fall.trough),
            None if fall.recovery is None else day_text(before_first + fall.recovery),
            fall.days,
            fall.longest,
        ]
    values = [
        *dates,
        float(change[best]), day_text(line.first_day + best),
        float(change[worst]), day_text(line.first_day + worst),
    ]  # fmt: skip
    return dict(zip(names, values, strict=True))


def _of_trips(net: Floats) -> dict[str, Any]:
    """What the round trips tell."""
    return {
        "win_rate": figures.win_rate(net),
        "profit_factor": figures.profit_factor(net),
        "expectancy": figures_trades.expectancy(net),
        "expectancy_r": figures_trades.expectancy_r(net),
        "average_win": figures_trades.average_win(net),
        "average_loss": figures_trades.average_loss(net),
        "payoff_ratio": figures_trades.payoff_ratio(net),
        "best_trade": float(net.max()) if len(net) else None,
        "worst_trade": float(net.min()) if len(net) else None,
        "longest_losing_streak": figures_trades.longest_losing_streak(net),
    }


def _of_market(part: Part, capital: float, days: int, periods: float) -> dict[str, Any]:
    """Time in the market, what was traded, and what that cost."""
    trades = part.trades
    opened, closed = trades.open_ts, trades.match_ts
    timed = opened is not None
    traded = None if trades.traded is None else float(np.sum(trades.traded))
    fees, gross = (float(total(one, trades.scale)) for one in (trades.fees, trades.realized))
    known = traded is not None
    return {
        "average_holding_hours": figures_trades.average_holding_hours(opened, closed)
        if timed
        else None,
        "exposure": figures_trades.exposure(opened, closed) if timed else None,
        "gross_exposure": figures_trades.gross_exposure(trades.traded, opened, closed, capital)
        if timed and known
        else None,
        "traded_notional": traded,
        "turnover": figures_trades.turnover(traded, capital) if known else None,
        "turnover_annual": figures_trades.turnover_annual(traded, capital, days, periods)
        if known
        else None,
        "fee_share": figures_trades.fee_share(fees, gross),
        "fee_bps": figures_trades.fee_bps(fees, traded) if known else None,
    }


def _other_fees(part: Part) -> dict[str, Decimal]:
    """Fees in other currencies, by currency: in no other figure."""
    found: dict[str, Decimal] = {}
    for _, currency, amount in part.trades.other_fees:
        found[currency] = found.get(currency, Decimal(0)) + amount
    return found


def _notes(book: Book, part: Part, line: Curve | None, found: dict[str, Any]) -> list[str]:
    """What was assumed, and why figures are not defined."""
    notes = list(book.notes)
    if found["basis"] != MARKED:
        notes.append("realized-only: equity moves when a round trip closes, by its net_pnl")
    for given, kept in ((book.equity, part.equity), (book.opened, part.opened)):
        if given is not None and kept is None and len(part.trades.day):
            notes.append(f"{given.label} tells nothing of this part by itself")
    if line is not None and line.opened:
        notes.append(f"the open result of {line.opened} is added on the last day")
    if book.capital.origin == "default":
        notes.append(f"start_capital: none given, so {found['start_capital']:,.0f} is assumed")
    accounts = accounts_of(part)
    if book.capital.origin == "manifest" and (missing := book.capital.missing(accounts)):
        notes.append(
            f"start_capital: {', '.join(missing)} are not in the run's configuration, so "
            f"{DEFAULT_CAPITAL:,.0f} is assumed for each"
        )
    for shadow in (one for one in accounts if one.startswith(SHADOW_PREFIX)):
        if (account := shadow.removeprefix(SHADOW_PREFIX)) in accounts:
            notes.append(f"account {account!r} and its shadow {shadow!r} are both counted")
    if found["other_fees"]:
        told = ", ".join(f"{amount} {name}" for name, amount in found["other_fees"].items())
        notes.append(f"other_fees: {told} are in no other figure")
    notes += _doubts(part, line)
    missing = [key for key in MONEY_AND_RATIOS if found[key] is None and key not in NO_NOTE]
    return notes + reasons(missing, found, part, line, book)


def _doubts(part: Part, line: Curve | None) -> list[str]:
    """Where matches and equity_daily do not seem to be of the same run."""
    if part.equity is None or line is None or part.equity.booked is None:
        return []
    booked = total(part.equity.booked, part.equity.scale)
    net = _money(part)["net_pnl"]
    if abs(booked - net) <= Decimal("1e-9") * max(abs(net), Decimal(1)):
        return []
    return [
        f"equity_daily booked {booked} net of fees, the matches {net}: they are not of one run, "
        "or not of the same accounts and strategies"
    ]
