"""What a caller asked for, read, checked and chosen."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from schemas import config_values
from schemas.config_models import ReportConfig
from scripts.equity import sources
from scripts.equity.capital import Capital, capital_of
from scripts.equity.columns import Names, used
from scripts.equity.columns import names as names_of
from scripts.equity.levels import EquityLines, Opened, read_equity, read_opened
from scripts.equity.matches import ALL, COLUMN_OF, UNKNOWN, Quotes, Trades, read_trades
from scripts.equity.sources import Source
from udfs.bars import Ints
from udfs.errors import ConfigError, nearest
from udfs.money import finite_decimal

DEFAULTS = ReportConfig()


@dataclass(frozen=True, slots=True)
class Ask:
    """The options of a call, as scripts/equity_metrics.py explains them."""

    equity_daily: Any = None
    unrealized: Any = None
    start_capital: Any = None
    zone: str | None = None
    periods: Any = None
    currency: str | Mapping[str, str] | None = None
    account: str | Sequence[str] | None = None
    strategy: str | Sequence[str] | None = None
    symbol: str | Sequence[str] | None = None


class Book(NamedTuple):
    """All that figures are made of; `notes` tell what had to be assumed.

    `equity` is None where figures can only be realized-only. `days` are the first and last ordinal
    that equity_daily tells, None where there is no such table. `currency` is the one asked for.
    """

    currency: str | None
    trades: Trades
    equity: EquityLines | None
    opened: Opened | None
    capital: Capital
    zone: str
    periods: float
    days: tuple[int, int] | None
    notes: list[str]


def load(given: Any, ask: Ask) -> Book:
    """Read, check and choose; ConfigError for what can't be used."""
    source = _with_given(sources.find(given), ask)
    config = source.config or {}
    report = config.get("report") or {}
    zone = _zone(str(ask.zone or report.get("zone") or DEFAULTS.zone))
    notes: list[str] = []
    symbols = config.get("symbols") or {}
    configured = {name: (one or {}).get("quote") or name[-3:] for name, one in symbols.items()}
    quotes = Quotes(_currency(ask.currency) or _currency_of(source.equity), configured)
    trades = read_trades(source.matches, source.label, zone, quotes, notes)
    only = _only_currency(trades, quotes)
    equity, days = None, None
    if source.equity is not None and ask.equity_daily is None and report.get("zone", zone) != zone:
        notes.append(
            f"equity_daily has the days of {report['zone']}, so the figures for {zone} are "
            "realized-only"
        )
    elif source.equity is not None:
        equity = read_equity(source.equity, only)
        days = None if equity is None else equity.days
    if equity is not None and ask.symbol is not None:
        notes.append("equity_daily knows no symbols, so the figures of some are realized-only")
        equity = None
    opened = None if source.snapshot is None else read_opened(source.snapshot, quotes, only, zone)
    return Book(
        ask.currency if isinstance(ask.currency, str) else None,
        *_choose(trades, equity, opened, ask, config, notes),
        capital_of(ask.start_capital, config),
        zone,
        _periods(report.get("periods", DEFAULTS.periods) if ask.periods is None else ask.periods),
        days,
        notes,
    )


def _with_given(source: Source, ask: Ask) -> Source:
    """The source, with the tables that the caller gave in the place of its own."""
    if ask.equity_daily is not None:
        table = sources.read(ask.equity_daily, sources.EQUITY, sources.EQUITY_COLUMNS)
        source = source._replace(equity=table)
    if ask.unrealized is not None:
        table = sources.read(ask.unrealized, sources.SNAPSHOT, sources.SNAPSHOT_COLUMNS)
        source = source._replace(snapshot=table)
    return source


def _zone(name: str) -> str:
    try:
        return config_values.zone(name)
    except ValueError as error:
        raise ConfigError(f"zone: {error}") from None


def _periods(value: Any) -> float:
    try:
        number = finite_decimal(value)
    except ValueError:
        number = Decimal(0)
    if number <= 0:
        raise ConfigError(f"periods: {value!r}; expected the days of a year, such as 365 or 252")
    return int(number) if number == int(number) else float(number)


def _currency(value: Any) -> str | Mapping[str, str] | None:
    texts = list(value.values()) if isinstance(value, Mapping) else [value]
    if value is None or all(isinstance(text, str) and text for text in texts):
        return value
    raise ConfigError(
        f"currency: {value!r}; expected a currency such as 'USD', or a mapping of symbol to quote"
    )


def _currency_of(equity: pa.Table | None) -> str | None:
    """The currency of equity_daily where it is the only one: it tells that of odd symbols."""
    if equity is None or "currency" not in equity.column_names:
        return None
    values = used(names_of(equity["currency"]))
    return values[0] if len(values) == 1 and values[0] else None


def _only_currency(trades: Trades, quotes: Quotes) -> str | None:
    """The currency of an equity_daily that does not tell one."""
    values = used(trades.names["currency"])
    if len(values) == 1:
        return values[0]
    return quotes.given if isinstance(quotes.given, str) else None if values else UNKNOWN


def _choose(
    trades: Trades,
    equity: EquityLines | None,
    opened: Opened | None,
    ask: Ask,
    config: Mapping[str, Any],
    notes: list[str],
) -> tuple[Trades, EquityLines | None, Opened | None]:
    """The rows of the accounts, strategies, symbols and the currency that were asked for."""
    configured = {
        "account": [one["id"] for one in config.get("accounts") or []],
        "strategy": [one["id"] for one in config.get("strategies") or []],
        "symbol": list(config.get("symbols") or {}),
    }
    wanted = {word: _listed(getattr(ask, word)) for word in COLUMN_OF}
    wanted["currency"] = [ask.currency] if isinstance(ask.currency, str) else None
    for word, values in wanted.items():
        if values is None:
            continue
        tables = [one.names[word] for one in (trades, equity, opened) if one and word in one.names]
        known = {name for names in tables for name in used(names)} | set(configured.get(word, []))
        _check_known(word, values, known)
        trades = trades.chosen(_rows(trades.names[word], values, word))
        if equity is not None and word in equity.names:
            equity = _chosen_or_none(equity, word, values, notes)
        if opened is not None:
            opened = _chosen_or_none(opened, word, values, notes)
    return trades, equity, opened


def _check_known(word: str, values: Sequence[str], known: set[str]) -> None:
    if known == {ALL} and word in COLUMN_OF:
        raise ConfigError(f"{word}: column {COLUMN_OF[word]!r} is missing, so none can be chosen")
    for value in values:
        if known and not any(_is(name, value, word) for name in known):
            raise ConfigError(
                f"{word}: {value!r} is not there{nearest(value, known)}; there is "
                f"{', '.join(sorted(known))}"
            )


def _chosen_or_none(
    table: EquityLines | Opened, word: str, values: Sequence[str], notes: list[str]
) -> Any:
    """The chosen rows of a table; None, and a note, where it does not tell which are meant."""
    if used(table.names[word]) == [ALL]:
        notes.append(f"{table.label}: column {COLUMN_OF[word]!r} is missing, so it is left out")
        return None
    return table.chosen(_rows(table.names[word], values, word))


def _listed(value: str | Sequence[str] | None) -> list[str] | None:
    if value is None:
        return None
    many = isinstance(value, Sequence | set | frozenset) and not isinstance(value, str)
    return [str(one) for one in value] if many else [str(value)]


def _is(name: str, wanted: str, word: str) -> bool:
    """Whether a name is meant; a grid's id stands for all its combinations."""
    return name == wanted or (word == "strategy" and name.startswith(f"{wanted}/"))


def _rows(names: Names, wanted: Sequence[str], word: str) -> Ints:
    """The rows whose name is meant, ascending."""
    meant = [any(_is(name, one, word) for one in wanted) for name in names.values]
    return np.flatnonzero(np.array(meant, dtype=np.bool_)[names.codes])
