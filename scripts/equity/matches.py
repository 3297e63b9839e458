"""Matches as columns: names, times, exact amounts, and the quote currency of each."""

import json
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from jobs.values import doubles
from scripts.equity import columns
from scripts.equity.columns import Names, used
from scripts.equity.sources import require
from udfs.bars import Floats, Ints
from udfs.days import day_starts, local_day
from udfs.errors import ConfigError
from udfs.money import finite_decimal

ALL = "all"  # the one name of an account, strategy or symbol where a table has no such column
UNKNOWN = "unknown"  # the currency where neither a column nor a symbol tells
IN_SECONDS = 100_000_000_000  # March 1973 in ms; in seconds the year 5138
COLUMN_OF = {"account": "account_id", "strategy": "strategy_id", "symbol": "symbol"}
GROUPS = (*COLUMN_OF, "currency")
LONGEST_DAYS = 73_000  # 200 years
# Last three letters of a symbol that are surely a quote currency; others may be anything (AAPL).
KNOWN_QUOTES = {
    "AUD", "BNB", "BRL", "BTC", "CAD", "CHF", "CLP", "CNH", "CNY", "COP", "CZK", "DAI",
    "DKK", "ETH", "EUR", "GBP", "HKD", "HUF", "IDR", "ILS", "INR", "ISK", "JPY", "KRW",
    "MXN", "MYR", "NGN", "NOK", "NZD", "PEN", "PHP", "PLN", "RON", "RUB", "SAR", "SEK",
    "SGD", "SOL", "THB", "TRY", "TWD", "UAH", "USD", "VND", "XBT", "XRP", "ZAR",
}  # fmt: skip

Rows = Mapping[str, Names]


class Trades(NamedTuple):
    """Matches in order of match_ts.

    `names` by the words of GROUPS. match_ts, open_ts UTC ms (open_ts None where there is no such
    column), day ordinals of the local date of match_ts. realized, fees and net exact
    (scripts/equity/columns.py) with `scale` decimals, `trips` the doubles of net. `traded` is the
    bought and sold notional of each, None where prices lack. `other_fees` are
    (row, currency, amount).
    """

    names: Rows
    match_ts: Ints
    open_ts: Ints | None
    day: Ints
    realized: Ints
    fees: Ints
    net: Ints
    scale: int
    trips: Floats
    traded: Floats | None
    other_fees: list[tuple[int, str, Decimal]]

    def chosen(self, rows: Ints) -> "Trades":
        """These rows, in this order."""
        kept = {int(row): place for place, row in enumerate(rows)} if self.other_fees else {}
        return Trades(
            names=chosen_names(self.names, rows),
            match_ts=self.match_ts[rows],
            open_ts=None if self.open_ts is None else self.open_ts[rows],
            day=self.day[rows],
            realized=self.realized[rows],
            fees=self.fees[rows],
            net=self.net[rows],
            scale=self.scale,
            trips=self.trips[rows],
            traded=None if self.traded is None else self.traded[rows],
            other_fees=[(kept[row], c, a) for row, c, a in self.other_fees if row in kept],
        )


def chosen_names(names: Rows, rows: Ints) -> dict[str, Names]:
    """The names of these rows."""
    return {word: Names(one.codes[rows], one.values) for word, one in names.items()}


class Quotes(NamedTuple):
    """How symbols find their quote currency: what the caller said, then the configuration."""

    given: str | Mapping[str, str] | None
    configured: Mapping[str, str]

    def is_guess(self, symbol: str) -> bool:
        """Whether nothing tells the currency but last letters that no currency has."""
        told = isinstance(self.given, str) or symbol in self.configured
        told = told or (isinstance(self.given, Mapping) and symbol in self.given)
        return not told and symbol[-3:] not in KNOWN_QUOTES

    def of(self, symbol: str) -> str:
        """The quote currency of a symbol."""
        if isinstance(self.given, Mapping) and symbol in self.given:
            return self.given[symbol]
        if symbol in self.configured:
            return self.configured[symbol]
        if isinstance(self.given, str) and (
            symbol.endswith(self.given) or symbol[-3:] not in KNOWN_QUOTES
        ):
            return self.given
        return symbol[-3:] or UNKNOWN


def read_trades(table: pa.Table, label: str, zone: str, quotes: Quotes, notes: list[str]) -> Trades:
    """The table's matches in order of match_ts; ConfigError for a column or value that is wrong."""
    require(table, label, "match_ts")
    require(table, label, "net_pnl", "realized_pnl")
    match_ts = columns.times(table["match_ts"], f"{label}: match_ts")
    open_ts = None
    if "open_ts" in table.column_names:
        open_ts = columns.times(table["open_ts"], f"{label}: open_ts")
    realized, fees, net, scale = _amounts(table, label, notes)
    _note_repeats(table, notes)
    names = read_names(table, quotes)
    if not {"currency", "quote"} & set(table.column_names):
        guesses = [symbol for symbol in used(names["symbol"]) if quotes.is_guess(symbol)]
        if guesses and "symbol" in table.column_names:
            notes.append(
                f"currency: {guesses[0][-3:]!r} is taken from the last letters of {guesses[0]!r}; "
                f"currency='USD' or currency={{{guesses[0]!r}: 'USD'}} says otherwise"
            )
    if len(match_ts) and 0 < int(match_ts.max()) < IN_SECONDS:
        notes.append("match_ts: all days are before 1973; expected milliseconds since 1970, UTC")
    trades = Trades(
        names=names,
        match_ts=match_ts,
        open_ts=open_ts,
        day=local_days(match_ts, zone, f"{label}: match_ts"),
        realized=realized,
        fees=fees,
        net=net,
        scale=scale,
        trips=columns.floats(net, scale),
        traded=_traded(table, label),
        other_fees=_other_fees(table, label),
    )
    if np.all(match_ts[1:] >= match_ts[:-1]):
        return trades
    return trades.chosen(np.argsort(match_ts, kind="stable"))


def _amounts(table: pa.Table, label: str, notes: list[str]) -> tuple[Ints, Ints, Ints, int]:
    """realized_pnl, fees and net_pnl, one that lacks from the others, and their decimals."""
    present = [n for n in ("realized_pnl", "fees", "net_pnl") if n in table.column_names]
    given = {name: table[name] for name in present}
    if "fees" in given and given["fees"].null_count:
        notes.append(f"fees: {given['fees'].null_count} matches without a value count as 0")
        given["fees"] = columns.filled(given["fees"])
    found, scale = columns.amounts(given, label)
    realized, fees, net = (found.get(n) for n in ("realized_pnl", "fees", "net_pnl"))
    if fees is None and (realized is None or net is None):
        notes.append("fees: there is no such column, so they count as 0")
        fees = np.zeros_like(found[present[0]])
    if fees is None:
        fees = realized - net
    if realized is None:
        realized = net + fees
    if net is None:
        net = realized - fees
    if len(found) == 3:
        _check_net(realized - fees - net, net, scale, notes)
    return realized, fees, net, scale


def _check_net(off: Ints, net: Ints, scale: int, notes: list[str]) -> None:
    """Says so where net_pnl is not realized_pnl - fees, by more than floats round."""
    if not columns.carried(off).any():
        return
    limit = 1e-9 * np.maximum(np.abs(columns.floats(net, scale)), 1e-3)
    wrong = np.abs(columns.floats(off, scale)) > limit
    if wrong.any():
        notes.append(
            f"net_pnl: {int(wrong.sum())} matches have another than realized_pnl - fees (first in "
            f"row {int(np.argmax(wrong)) + 1}); the figures take net_pnl as it is"
        )


def read_names(table: pa.Table, quotes: Quotes) -> dict[str, Names]:
    """Names by the words of GROUPS, ALL where a column lacks."""
    rows = table.num_rows
    names = {
        word: columns.names(table[column]) if column in table.column_names else _constant(ALL, rows)
        for word, column in COLUMN_OF.items()
    }
    stated = next((name for name in ("currency", "quote") if name in table.column_names), None)
    if stated is not None:
        names["currency"] = _overridden(
            columns.names(table[stated], UNKNOWN), names["symbol"], quotes
        )
    elif "symbol" in table.column_names:
        symbols = names["symbol"]
        found = [quotes.of(symbol) for symbol in symbols.values]
        values = sorted(set(found))
        codes = np.array([values.index(one) for one in found], dtype=np.int64)
        names["currency"] = Names(codes[symbols.codes], values)
    else:
        one = quotes.given if isinstance(quotes.given, str) else UNKNOWN
        names["currency"] = _constant(one, rows)
    return names


def _overridden(stated: Names, symbols: Names, quotes: Quotes) -> Names:
    """The currencies of a column, except of symbols whose quote the caller gave."""
    if not isinstance(quotes.given, Mapping):
        return stated
    values = sorted({*stated.values, *quotes.given.values()})
    codes = np.array([values.index(one) for one in stated.values], dtype=np.int64)[stated.codes]
    for code, symbol in enumerate(symbols.values):
        if symbol in quotes.given:
            codes[symbols.codes == code] = values.index(quotes.given[symbol])
    return Names(codes, values)


def _constant(name: str, rows: int) -> Names:
    return Names(np.zeros(rows, dtype=np.int64), [name] if rows else [])


def _note_repeats(table: pa.Table, notes: list[str]) -> None:
    if "match_id" in table.column_names and table.num_rows:
        repeated = table.num_rows - pc.count_distinct(table["match_id"], mode="all").as_py()
        if repeated:
            notes.append(
                f"match_id: {repeated} matches repeat the id of another, and count all the same"
            )


def _traded(table: pa.Table, label: str) -> Floats | None:
    """float64[n]: (buy_price + sell_price) x matched_qty; None where a column lacks."""
    wanted = ("buy_price", "sell_price", "matched_qty")
    if not all(name in table.column_names for name in wanted):
        return None
    buy, sell, qty = (doubles(table[name]) for name in wanted)
    traded = (buy + sell) * np.abs(qty)
    if not np.isfinite(traded).all():
        row = int(np.argmin(np.isfinite(traded)))
        raise ConfigError(f"{label}: row {row + 1} has no number in one of {', '.join(wanted)}")
    return traded


def _other_fees(table: pa.Table, label: str) -> list[tuple[int, str, Decimal]]:
    """(row, currency, amount) of the few matches that have such fees."""
    if "other_fees" not in table.column_names:
        return []
    column = table["other_fees"]
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
        empty = pc.is_in(column, value_set=pa.array(["", "{}"], column.type))
        rows = np.flatnonzero(~pc.or_kleene(empty, pc.is_null(column)).to_numpy())
    else:
        rows = np.flatnonzero(column.is_valid().to_numpy())
    found = []
    for row in rows.tolist():
        for currency, amount in _pairs(column[row].as_py(), f"{label}: other_fees", row):
            found.append((row, currency, amount))
    return found


def _pairs(value: Any, where: str, row: int) -> list[tuple[str, Decimal]]:
    """A map of currency to amount, as JSON text, a mapping or pairs."""
    try:
        read = json.loads(value, parse_float=Decimal) if isinstance(value, str) else value
        pairs: Sequence[Any] = list(read.items()) if isinstance(read, Mapping) else list(read)
        return [(str(name), finite_decimal(amount)) for name, amount in pairs if amount is not None]
    except (ValueError, TypeError) as error:
        raise ConfigError(
            f"{where}: row {row + 1} holds {value!r}; expected JSON such as "
            f'{{"BNB": "0.01"}}: {error}'
        ) from None


def local_days(ts: Ints, zone: str, where: str) -> Ints:
    """int64[n]: ordinals of local dates, 23- and 25-hour days included."""
    if not len(ts):
        return np.empty(0, dtype=np.int64)
    first, last = local_day(int(ts.min()), zone), local_day(int(ts.max()), zone)
    if last - first > LONGEST_DAYS:
        raise ConfigError(
            f"{where}: from {int(ts.min())} to {int(ts.max())} are {last - first} days; expected "
            "milliseconds since 1970, UTC"
        )
    starts = day_starts(first, last, zone)
    return np.searchsorted(starts, ts, side="right").astype(np.int64) - 1 + first
