"""What a caller asked for, read, checked and chosen."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, NamedTuple

import numpy as np

from schemas import config_values
from scripts.equity import sources
from scripts.equity.columns import Names
from scripts.equity.levels import EquityLines, Opened, read_equity, read_opened
from scripts.equity.matches import ALL, COLUMN_OF, Quotes, Trades, read_trades
from scripts.equity.sources import Source
from udfs.bars import Ints
from udfs.errors import ConfigError, nearest
from udfs.money import finite_decimal

DEFAULT_ZONE, DEFAULT_PERIODS, DEFAULT_CAPITAL = "Europe/Oslo", 365, Decimal(100_000)
SHADOW_PREFIX = "paper:"


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


@dataclass(frozen=True, slots=True)
class Capital:
    """Start capitals: one amount for whatever is looked at, or one per account."""

    amount: Decimal | None
    accounts: Mapping[str, Decimal]
    origin: str  # given, manifest or default

    def of(self, accounts: Iterable[str]) -> Decimal:
        """The start capital of these accounts together."""
        if self.amount is not None:
            return self.amount
        wanted = set(accounts)
        if wanted <= {ALL}:
            return sum(self.accounts.values(), Decimal(0))
        missing = sorted(one for one in wanted if _base(one, self.accounts) not in self.accounts)
        if missing:
            raise ConfigError(
                f"start_capital: nothing for account {missing[0]!r}; there is "
                f"{', '.join(self.accounts) or 'none'}"
            )
        return sum((self.accounts[_base(one, self.accounts)] for one in wanted), Decimal(0))


class Book(NamedTuple):
    """All that figures are made of; `notes` tell what had to be assumed.

    `equity` is None where figures can only be realized-only. `days` are the first and last ordinal
    that equity_daily tells, None where there is no such table.
    """

    label: str
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
    zone = _zone(ask.zone or report.get("zone") or DEFAULT_ZONE)
    notes: list[str] = []
    symbols = config.get("symbols") or {}
    configured = {name: (one or {}).get("quote") or name[-3:] for name, one in symbols.items()}
    quotes = Quotes(_currency(ask.currency), configured)
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
    chosen = _choose(trades, equity, opened, ask, config)
    return Book(
        source.label,
        *chosen,
        capital_of(ask.start_capital, config),
        zone,
        _periods(report.get("periods", DEFAULT_PERIODS) if ask.periods is None else ask.periods),
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
    if value is None or isinstance(value, Mapping) or (isinstance(value, str) and value):
        return value
    raise ConfigError(
        f"currency: {value!r}; expected a currency such as 'USD', or a mapping of symbol to quote"
    )


def _only_currency(trades: Trades, quotes: Quotes) -> str | None:
    """The currency of an equity_daily that does not tell one."""
    values = used(trades.names["currency"])
    if len(values) == 1:
        return values[0]
    return quotes.given if isinstance(quotes.given, str) else None if values else ALL


def used(names: Names) -> list[str]:
    """The names that occur, sorted."""
    return sorted(names.values[code] for code in np.unique(names.codes))


def capital_of(given: Any, config: Mapping[str, Any]) -> Capital:
    """The caller's, else the manifest's per account, else the configuration's default."""
    if isinstance(given, Mapping):
        amounts = {str(name): _amount(value) for name, value in given.items()}
        return Capital(None, amounts, "given")
    if given is not None:
        return Capital(_amount(given), {}, "given")
    accounts = config.get("accounts") or []
    if accounts:
        amounts = {
            one["id"]: _amount(one.get("start_capital", DEFAULT_CAPITAL)) for one in accounts
        }
        return Capital(None, amounts, "manifest")
    return Capital(DEFAULT_CAPITAL, {}, "default")


def _amount(value: Any) -> Decimal:
    try:
        number = finite_decimal(value)
    except ValueError:
        number = Decimal(-1)
    if number < 0:
        raise ConfigError(f"start_capital: {value!r}; expected an amount of 0 or more")
    return number


def _base(account: str, known: Mapping[str, Decimal]) -> str:
    """The account itself; of a shadow the account that it shadows."""
    return account if account in known else account.removeprefix(SHADOW_PREFIX)


def _choose(
    trades: Trades,
    equity: EquityLines | None,
    opened: Opened | None,
    ask: Ask,
    config: Mapping[str, Any],
) -> tuple[Trades, EquityLines | None, Opened | None]:
    """The rows of the accounts, strategies, symbols and the currency that were asked for."""
    configured = {
        "account": [one["id"] for one in config.get("accounts") or []],
        "strategy": [one["id"] for one in config.get("strategies") or []],
        "symbol": list(config.get("symbols") or {}),
    }
    wanted = {word: _listed(getattr(ask, word)) for word in COLUMN_OF}
    if isinstance(ask.currency, str):
        wanted["currency"] = [ask.currency]
    for word, values in wanted.items():
        if values is None:
            continue
        tables = [one for one in (trades, equity, opened) if one is not None and word in one.names]
        there = {name for one in tables for name in used(one.names[word])}
        known = there | set(configured.get(word, []))
        for value in values:
            if not any(_is(name, value, word) for name in known) and known:
                raise ConfigError(
                    f"{word}: {value!r} is not there{nearest(value, known)}; there is "
                    f"{', '.join(sorted(known))}"
                )
        trades = trades.chosen(_rows(trades.names[word], values, word))
        if equity is not None and word in equity.names:
            equity = equity.chosen(_rows(equity.names[word], values, word))
        if opened is not None:
            opened = opened.chosen(_rows(opened.names[word], values, word))
    return trades, equity, opened


def _listed(value: str | Sequence[str] | None) -> list[str] | None:
    if value is None:
        return None
    return [value] if isinstance(value, str) else [str(one) for one in value]


def _is(name: str, wanted: str, word: str) -> bool:
    """Whether a name is meant; a grid's id stands for all its combinations."""
    return name == wanted or (word == "strategy" and name.startswith(f"{wanted}/"))


def _rows(names: Names, wanted: Sequence[str], word: str) -> Ints:
    """The rows whose name is meant, ascending."""
    meant = [any(_is(name, one, word) for one in wanted) for name in names.values]
    return np.flatnonzero(np.array(meant, dtype=np.bool_)[names.codes])
