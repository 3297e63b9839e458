"""Equity per day and open results, as tables hold them, as exact columns."""

import datetime
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from scripts.equity import columns
from scripts.equity.columns import Names
from scripts.equity.matches import Quotes, chosen_names, local_days, read_names
from scripts.equity.sources import EQUITY, SNAPSHOT, require
from udfs.bars import Ints
from udfs.errors import ConfigError

LINE = ("account", "strategy", "currency")


class EquityLines(NamedTuple):
    """Equity per (account, strategy, currency) and day, without start capital.

    `names` by the words of LINE, one code per line. equity int64[lines, days, k] exact with `scale`
    decimals from the ordinal `first_day` on; a day without a row has the value of the day before.
    `unrealized` int64[lines, k] is each line's at the end, `booked` its realized - fees in all;
    None where the table lacks those columns.
    """

    names: Mapping[str, Names]
    first_day: int
    equity: Ints
    scale: int
    unrealized: Ints | None
    booked: Ints | None

    @property
    def label(self) -> str:
        """The table's name."""
        return EQUITY

    @property
    def days(self) -> tuple[int, int]:
        """The first and last day, as ordinals."""
        return self.first_day, self.first_day + self.equity.shape[1] - 1

    def chosen(self, lines: Ints) -> "EquityLines":
        """These lines."""
        return self._replace(
            names=chosen_names(self.names, lines),
            equity=self.equity[lines],
            unrealized=None if self.unrealized is None else self.unrealized[lines],
            booked=None if self.booked is None else self.booked[lines],
        )


class Opened(NamedTuple):
    """Open results of positions: names by the words of GROUPS, exact amounts, the last local day.

    `day` is None where the table has no ts.
    """

    names: Mapping[str, Names]
    unrealized: Ints
    scale: int
    day: int | None

    @property
    def label(self) -> str:
        """The table's name."""
        return SNAPSHOT

    def chosen(self, rows: Ints) -> "Opened":
        """These rows."""
        return self._replace(names=chosen_names(self.names, rows), unrealized=self.unrealized[rows])


def read_equity(table: pa.Table, currency: str | None) -> EquityLines | None:
    """The lines of equity_daily; None without rows. `currency` is what a table without one has."""
    require(table, EQUITY, "day")
    require(table, EQUITY, "equity")
    if not table.num_rows:
        return None
    days = ordinals(table["day"])
    names = _line_names(table, currency)
    keys = np.zeros(table.num_rows, dtype=np.int64)
    for word in LINE:
        keys = keys * max(1, len(names[word].values)) + names[word].codes
    _, firsts, lines = np.unique(keys, return_index=True, return_inverse=True)
    first, count = int(days.min()), int(days.max() - days.min()) + 1
    cells = lines * count + (days - first)
    if len(np.unique(cells)) < len(cells):
        raise ConfigError(
            f"{EQUITY}: a day is there twice for one account, strategy and currency; give the "
            "table of one run"
        )
    wanted = [n for n in ("equity", "realized", "fees", "unrealized") if n in table.column_names]
    found, scale = columns.amounts({name: table[name] for name in wanted}, EQUITY)
    rows = _rows_by_day(cells, len(firsts), count)
    booked = None
    if "realized" in found and "fees" in found:
        booked = np.zeros((len(firsts), found["equity"].shape[1]), dtype=np.int64)
        np.add.at(booked, lines, found["realized"] - found["fees"])
    return EquityLines(
        names={word: Names(n.codes[firsts], n.values) for word, n in names.items()},
        first_day=first,
        equity=_taken(found["equity"], rows),
        scale=scale,
        unrealized=_taken(found["unrealized"], rows[:, -1]) if "unrealized" in found else None,
        booked=booked,
    )


def _line_names(table: pa.Table, currency: str | None) -> dict[str, Names]:
    names = read_names(table, Quotes(currency, {}))
    if not {"currency", "quote"} & set(table.column_names) and currency is None:
        raise ConfigError(
            f"{EQUITY}: column 'currency' is missing, and the matches are in several currencies"
        )
    return {word: names[word] for word in LINE}


def _rows_by_day(cells: Ints, lines: int, count: int) -> Ints:
    """int64[lines, days]: the row of each day, of the day before where it has none, else -1."""
    rows = np.full(lines * count, -1, dtype=np.int64)
    rows[cells] = np.arange(len(cells))
    rows = rows.reshape(lines, count)
    day = np.where(rows >= 0, np.arange(count), -1)
    latest = np.maximum.accumulate(day, axis=1)
    filled = np.take_along_axis(rows, np.maximum(latest, 0), axis=1)
    return np.where(latest >= 0, filled, -1)


def _taken(limbs: Ints, rows: Ints) -> Ints:
    """The amounts of rows; 0 where the row is -1."""
    taken: Ints = limbs[np.maximum(rows, 0)]
    taken[rows < 0] = 0
    return taken


def ordinals(column: pa.ChunkedArray) -> Ints:
    """Local dates as ordinals: YYYY-MM-DD text, dates, or timestamps of midnight."""
    kind = column.type
    if pa.types.is_dictionary(kind):
        column = column.cast(kind.value_type)
        kind = column.type
    if pa.types.is_timestamp(kind):
        text = pc.strftime(column, format="%Y-%m-%d")
    else:
        text = column.cast(pa.string())
    values = text.unique().to_pylist()
    found = {}
    for value in values:
        try:
            found[value] = datetime.date.fromisoformat(str(value)[:10]).toordinal()
        except ValueError:
            raise ConfigError(f"{EQUITY}: day {value!r} is no date; expected YYYY-MM-DD") from None
    encoded = columns.names(text)
    return np.array([found[v] for v in encoded.values], dtype=np.int64)[encoded.codes]


def read_opened(table: pa.Table, quotes: Quotes, currency: str | None, zone: str) -> Opened:
    """Open results by position. `currency` is what a table without symbol and currency has."""
    if not {"symbol", "currency", "quote"} & set(table.column_names):
        quotes = Quotes(currency, {})
    name = require(table, SNAPSHOT, "unrealized", "unrealized_pnl")
    found, scale = columns.amounts({name: table[name]}, SNAPSHOT)
    day = None
    if "ts" in table.column_names and table.num_rows:
        ts = columns.times(table["ts"], f"{SNAPSHOT}: ts")
        day = int(local_days(ts, zone, f"{SNAPSHOT}: ts").max())
    return Opened(read_names(table, quotes), found[name], scale, day)
