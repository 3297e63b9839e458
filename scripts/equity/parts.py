"""Groups of what was chosen, their exact daily sums and their curves of equity."""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import NamedTuple

import numpy as np

from scripts.equity.book import Book
from scripts.equity.columns import Names, exact, group_sums, nearest_float, whole
from scripts.equity.levels import LINE, EquityLines, Opened
from scripts.equity.matches import GROUPS, Trades
from udfs.bars import Floats, Ints
from udfs.errors import ConfigError, nearest

MARKED, REALIZED = "marked to market", "realized-only"
ALIASES = {"account_id": "account", "strategy_id": "strategy", "quote": "currency"}

NO_ROWS = np.empty(0, dtype=np.int64)

Key = tuple[str, ...]


class Part(NamedTuple):
    """The rows of one group, in one currency."""

    key: Key
    currency: str
    trades: Trades
    equity: EquityLines | None
    opened: Opened | None


class Curve(NamedTuple):
    """Equity float64[days] without start capital, from the ordinal `first_day` on.

    `opened` is the open result that was added on the last day, None where none was: equity_daily
    has its own.
    """

    first_day: int
    equity: Floats
    basis: str
    opened: Decimal | None


def words_of(by: str | Sequence[str] | None) -> list[tuple[str, str]]:
    """(column to show, word of GROUPS) of each group that was asked for."""
    if by is None:
        return []
    given = by.split(",") if isinstance(by, str) else list(by)
    found = []
    for one in (str(name).strip() for name in given):
        word = ALIASES.get(one, one)
        if word not in GROUPS:
            raise ConfigError(f"by: {one!r} is not known{nearest(one, GROUPS)}; one or more of "
                              f"{', '.join(GROUPS)}")  # fmt: skip
        if word not in [known for _, known in found]:
            found.append((one, word))
    return found


def split(book: Book, words: Sequence[str]) -> list[Part]:
    """One part per combination of the words' names that occurs, and per currency, sorted."""
    keyed = [*words, *([] if "currency" in words else ["currency"])]
    trades = _rows_by_key(book.trades.names, keyed)
    with_lines = book.equity is not None and set(keyed) <= set(LINE)
    lines = _rows_by_key(book.equity.names, keyed) if book.equity and with_lines else {}
    opened = _rows_by_key(book.opened.names, keyed) if book.opened else {}
    parts = []
    for key in sorted({*trades, *lines, *opened}):
        equity = book.equity.chosen(lines[key]) if book.equity and key in lines else None
        parts.append(
            Part(
                key[: len(words)],
                key[keyed.index("currency")],
                book.trades.chosen(trades.get(key, NO_ROWS)),
                equity,
                book.opened.chosen(opened.get(key, NO_ROWS)) if book.opened else None,
            )
        )
    return parts


def _rows_by_key(names: Mapping[str, Names], words: Sequence[str]) -> dict[Key, Ints]:
    """The rows of each key that occurs, ascending."""
    codes = np.zeros(len(names[words[0]].codes), dtype=np.int64)
    for word in words:
        codes = codes * max(1, len(names[word].values)) + names[word].codes
    order = np.argsort(codes, kind="stable")
    ordered = codes[order]
    found = {}
    for rows in np.split(order, np.flatnonzero(ordered[1:] != ordered[:-1]) + 1):
        if len(rows):
            key = tuple(names[word].values[names[word].codes[rows[0]]] for word in words)
            found[key] = rows
    return found


def span(book: Book, part: Part) -> tuple[int, int] | None:
    """First and last ordinal of a part: what equity_daily tells, and the days of its matches."""
    days = list(book.days or ())
    if len(part.trades.day):
        days += [int(part.trades.day.min()), int(part.trades.day.max())]
    if book.days is None and part.opened is not None and len(part.opened.unrealized):
        days += [] if part.opened.day is None else [part.opened.day]
    return (min(days), max(days)) if days else None


class Day(NamedTuple):
    """Exact sums of one day: whole numbers of the last decimal."""

    realized: int
    fees: int
    trades: int


def daily_sums(trades: Trades, first: int, count: int) -> list[Day]:
    """One per day of `count` days from the ordinal `first` on."""
    cells = trades.day - first
    realized = group_sums(trades.realized, cells, count)
    fees = group_sums(trades.fees, cells, count)
    numbers = np.bincount(cells, minlength=count).tolist()
    return [Day(*one) for one in zip(realized, fees, numbers, strict=True)]


def curve(book: Book, part: Part, days: tuple[int, int] | None = None) -> Curve | None:
    """The part's equity by day; `days` wider than its own give it zeros. None without any day."""
    if part.equity is not None:
        lines = part.equity
        levels = [nearest_float(one, lines.scale) for one in whole(lines.equity.sum(axis=0))]
        return Curve(lines.first_day, np.array(levels), MARKED, None)
    days = days or span(book, part)
    if days is None:
        return None
    first, count = days[0], days[1] - days[0] + 1
    sums = daily_sums(part.trades, first, count)
    scale = part.trades.scale
    so_far, levels = 0, []
    for day in sums:
        so_far += day.realized - day.fees
        levels.append(nearest_float(so_far, scale))
    opened = unrealized(part)
    if opened is not None:
        levels[-1] = float(exact(so_far, scale) + opened)
    return Curve(first, np.array(levels), REALIZED, opened)


def unrealized(part: Part) -> Decimal | None:
    """The open result at the end; None where no table tells."""
    if part.equity is not None and part.equity.unrealized is not None:
        total = part.equity.unrealized.sum(axis=0)[None]
        return exact(whole(total)[0], part.equity.scale)
    if part.opened is not None:
        total = part.opened.unrealized.sum(axis=0)[None]
        return exact(whole(total)[0], part.opened.scale)
    return None
