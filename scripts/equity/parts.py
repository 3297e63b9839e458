"""Groups of what was chosen, their exact daily sums and their curves of equity."""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any, NamedTuple

import numpy as np

from scripts.equity.book import Book
from scripts.equity.columns import Names, exact, group_sums, nearest_float, total, used, whole
from scripts.equity.levels import EquityLines, Opened
from scripts.equity.matches import ALL, GROUPS, Trades
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
    equity = _groupable(book, book.equity, keyed)
    lines = {} if equity is None else _rows_by_key(equity.names, keyed)
    snapshot = _groupable(book, book.opened, keyed)
    opened = {} if snapshot is None else _rows_by_key(snapshot.names, keyed)
    parts = []
    for key in sorted({*trades, *lines, *opened}):
        parts.append(
            Part(
                key[: len(words)],
                key[keyed.index("currency")],
                _chosen(book.trades, trades.get(key, NO_ROWS)),
                equity.chosen(lines[key]) if key in lines else None,
                None if snapshot is None else snapshot.chosen(opened.get(key, NO_ROWS)),
            )
        )
    return parts


def _chosen(trades: Trades, rows: Ints) -> Trades:
    """These rows; all of them without a copy, which takes 0.3 s for a million."""
    return trades if len(rows) == len(trades.match_ts) else trades.chosen(rows)


def _groupable(book: Book, table: Any, words: Sequence[str]) -> Any:
    """The table, unless it lacks a column that tells its groups; the matches then stand alone."""
    if table is None:
        return None
    for word in words:
        if word not in table.names:
            return None
        told, known = used(table.names[word]), used(book.trades.names[word])
        if told == [ALL] and known not in ([], [ALL]):
            return None
    return table


def _rows_by_key(names: Mapping[str, Names], words: Sequence[str]) -> dict[Key, Ints]:
    """The rows of each key that occurs, ascending."""
    codes = np.zeros(len(names[words[0]].codes), dtype=np.int64)
    for word in words:
        codes = codes * max(1, len(names[word].values)) + names[word].codes
    is_one = len(codes) > 0 and codes.min() == codes.max()
    order = np.arange(len(codes)) if is_one else np.argsort(codes, kind="stable")
    ordered = codes[order]
    found = {}
    for rows in np.split(order, np.flatnonzero(ordered[1:] != ordered[:-1]) + 1):
        if len(rows):
            key = tuple(names[word].values[names[word].codes[rows[0]]] for word in words)
            found[key] = rows
    return found


def accounts_of(part: Part) -> list[str]:
    """The accounts that occur in any table of a part, sorted."""
    tables = [one for one in (part.trades, part.equity, part.opened) if one is not None]
    return sorted({account for table in tables for account in used(table.names["account"])})


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
    net: int
    trades: int


def daily_sums(trades: Trades, first: int, count: int) -> list[Day]:
    """One per day of `count` days from the ordinal `first` on."""
    cells = trades.day - first
    amounts = (trades.realized, trades.fees, trades.net)
    sums = [group_sums(limbs, cells, count) for limbs in amounts]
    numbers = np.bincount(cells, minlength=count).tolist()
    return [Day(*one) for one in zip(*sums, numbers, strict=True)]


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
        so_far += day.net
        levels.append(nearest_float(so_far, scale))
    opened = unrealized(part)
    if opened is not None:
        levels[-1] = float(exact(so_far, scale) + opened)
    return Curve(first, np.array(levels), REALIZED, opened)


def unrealized(part: Part) -> Decimal | None:
    """The open result at the end; None where no table tells."""
    if part.equity is not None and part.equity.unrealized is not None:
        return total(part.equity.unrealized, part.equity.scale)
    return None if part.opened is None else total(part.opened.unrealized, part.opened.scale)
