"""The data frames of daily_pnl, equity_curve and summary_by."""

import datetime
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd

from scripts.equity.book import Book
from scripts.equity.columns import exact
from scripts.equity.parts import Part, accounts_of, curve, daily_sums, span, split, words_of
from udfs.figures import daily_returns

DAILY = ("realized", "fees", "net_pnl", "trades")
CURVE = ("equity", "daily_return", "drawdown", "drawdown_amount", "basis")
EPOCH_DAY = datetime.date(1970, 1, 1).toordinal()

Piece = tuple[int, dict[str, Any]]  # the ordinal of a group's first day, and its columns


def daily_frame(book: Book, by: str | Sequence[str] | None) -> pd.DataFrame:
    """A row per day and group, see scripts.equity_metrics.daily_pnl."""
    shown = words_of(by)
    parts = split(book, [word for _, word in shown])
    days = _together([span(book, part) for part in parts])
    pieces: list[Piece] = []
    for part in parts if days else []:
        scale = part.trades.scale
        sums = daily_sums(part.trades, days[0], days[1] - days[0] + 1)
        columns = {
            **_labels(part, [name for name, _ in shown]),
            "realized": _objects([exact(day.realized, scale) for day in sums]),
            "fees": _objects([exact(day.fees, scale) for day in sums]),
            "net_pnl": _objects([exact(day.net, scale) for day in sums]),
            "trades": [day.trades for day in sums],
        }
        pieces.append((days[0], columns))
    return _frame(pieces, [name for name, _ in shown], DAILY)


def curve_frame(book: Book, by: str | Sequence[str] | None) -> pd.DataFrame:
    """A row per day and group, see scripts.equity_metrics.equity_curve."""
    shown = words_of(by)
    parts = split(book, [word for _, word in shown])
    days = _together([span(book, part) for part in parts])
    pieces: list[Piece] = []
    for part in parts:
        line = curve(book, part, days)
        if line is None:
            continue
        start = float(start_capital(book, part))
        balance = start + line.equity
        peak = np.maximum.accumulate(np.concatenate(([start], balance)))[1:]
        returns = daily_returns(line.equity, start)
        with np.errstate(divide="ignore", invalid="ignore"):
            share = np.where(peak > 0.0, (balance - peak) / peak, np.nan)
        columns = {
            **_labels(part, [name for name, _ in shown]),
            "equity": balance,
            "daily_return": np.full(len(balance), np.nan) if returns is None else returns,
            "drawdown": share,
            "drawdown_amount": balance - peak,
            "basis": line.basis,
        }
        pieces.append((line.first_day, columns))
    return _frame(pieces, [name for name, _ in shown], CURVE)


def start_capital(book: Book, part: Part) -> Decimal:
    """The start capital of the accounts of a part."""
    return book.capital.of(accounts_of(part), part.currency)


def _together(spans: Sequence[tuple[int, int] | None]) -> tuple[int, int] | None:
    """From the first day of any to the last of any."""
    known = [one for one in spans if one is not None]
    return (min(a for a, _ in known), max(b for _, b in known)) if known else None


def _labels(part: Part, shown: Sequence[str]) -> dict[str, Any]:
    return {**dict(zip(shown, part.key, strict=True)), "currency": part.currency}


def _objects(values: Sequence[Any]) -> np.ndarray:
    column = np.empty(len(values), dtype=object)
    column[:] = values
    return column


def _frame(pieces: Sequence[Piece], shown: Sequence[str], figures: Sequence[str]) -> pd.DataFrame:
    """The pieces by day, then in their order; the index `day` holds midnights without a zone."""
    labels = [*shown, *([] if "currency" in shown else ["currency"])]
    if not pieces:
        empty = pd.DataFrame({name: pd.Series(dtype=object) for name in [*labels, *figures]})
        return empty.set_index(pd.DatetimeIndex([], name="day"))
    lengths = [len(columns[figures[0]]) for _, columns in pieces]
    days = np.concatenate(
        [np.arange(first, first + n) for (first, _), n in zip(pieces, lengths, strict=True)]
    )
    order = np.argsort(days, kind="stable")
    joined = {
        name: np.concatenate(
            [_column(columns[name], n) for (_, columns), n in zip(pieces, lengths, strict=True)]
        )[order]
        for name in [*labels, *figures]
    }
    midnights = (days[order] - EPOCH_DAY).astype("datetime64[D]").astype("datetime64[ns]")
    return pd.DataFrame(joined, index=pd.DatetimeIndex(midnights, name="day"))


def _column(values: Any, length: int) -> np.ndarray:
    """An array, or one text for every row."""
    return _objects([values] * length) if isinstance(values, str) else np.asarray(values)
