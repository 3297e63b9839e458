"""Start capitals: the caller's, the run's, or the configuration's default."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from schemas.config_checks import SHADOW_PREFIX
from schemas.config_models import AccountConfig
from scripts.equity.matches import ALL
from udfs.errors import ConfigError
from udfs.money import UNIT, finite_decimal

DEFAULT_CAPITAL = Decimal(AccountConfig.model_fields["start_capital"].default // UNIT)


@dataclass(frozen=True, slots=True)
class Capital:
    """One amount for whatever is looked at, or one per account (or per currency, if given so)."""

    amount: Decimal | None
    named: Mapping[str, Decimal]
    origin: str  # given, manifest or default

    def of(self, accounts: Iterable[str], currency: str | None) -> Decimal:
        """The start capital of these accounts together; of all where none has a name."""
        if self.amount is not None:
            return self.amount
        if self.origin == "given" and currency in self.named:
            return self.named[currency]
        wanted = [self._base(account) for account in accounts if account != ALL]
        missing = self.missing(accounts)
        if missing and self.origin == "given":
            raise ConfigError(
                f"start_capital: nothing for account {missing[0]!r}; there is "
                f"{', '.join(self.named) or 'none'}"
            )
        amounts = (self.named.get(one, DEFAULT_CAPITAL) for one in wanted or self.named)
        return sum(amounts, Decimal(0))

    def missing(self, accounts: Iterable[str]) -> list[str]:
        """The accounts whose start capital is not known."""
        if self.amount is not None:
            return []
        wanted = {self._base(account) for account in accounts if account != ALL}
        return sorted(wanted - self.named.keys())

    def _base(self, account: str) -> str:
        """The account itself; of a shadow the account that it shadows."""
        return account if account in self.named else account.removeprefix(SHADOW_PREFIX)


def capital_of(given: Any, config: Mapping[str, Any]) -> Capital:
    """What the caller says, else the run's configuration, else its default."""
    if isinstance(given, Mapping):
        return Capital(None, {str(name): _amount(value) for name, value in given.items()}, "given")
    if given is not None:
        return Capital(_amount(given), {}, "given")
    accounts = config.get("accounts") or []
    if not accounts:
        return Capital(DEFAULT_CAPITAL, {}, "default")
    named = {one["id"]: _amount(one.get("start_capital", DEFAULT_CAPITAL)) for one in accounts}
    return Capital(None, named, "manifest")


def _amount(value: Any) -> Decimal:
    try:
        number = finite_decimal(value)
    except ValueError:
        number = Decimal(-1)
    if number < 0:
        raise ConfigError(f"start_capital: {value!r}; expected an amount of 0 or more")
    return number
