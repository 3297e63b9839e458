"""What no single key can tell: names that must exist or be unique, parameters, timeframes."""

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from schemas.config_models import AccountConfig, Config, StrategyConfig
from schemas.config_security import security_problems
from schemas.grid import MAX_COMBINATIONS, Family, Names, expand, grid_size, names_of
from schemas.own_code import library
from schemas.problems import Problem, Where, shown
from udfs.errors import ConfigError, nearest
from udfs.features import parse_feature
from udfs.strategies import KINDS, Kind, Param, names_problem, params_problem
from udfs.timeframes import timeframe_ms

SHADOW_PREFIX = "paper:"


class _Strategies(NamedTuple):
    """All strategies by the names that people may use for them."""

    families: Mapping[str, Family]
    names: Names
    broken: frozenset[str]  # entries that are refused already: what they stand for is unknown

    def problem(self, name: str) -> str | None:
        """Why `name` is no strategy, or None."""
        if name in self.names or any(f"{name}/".startswith(f"{one}/") for one in self.broken):
            return None
        for family in self.families.values():
            if name in family.left_out:
                return f"{shown(name)} was left out of its grid: {family.left_out[name]}"
        return f"{shown(name)} is not a strategy{nearest(name, [*self.names, *self.broken])}"


def config_problems(config: Config) -> list[Problem]:
    """All that is wrong with a configuration whose keys are each fine by themselves."""
    problems = [
        Problem((name,), "is empty; write at least one")
        for name in ("symbols", "strategies", "accounts")
        if not getattr(config, name)
    ]
    broken = []
    kinds = library(config.own).kinds
    families: dict[str, Family] = {}
    for index, strategy in enumerate(config.strategies):
        kind = kinds[strategy.kind_name]
        found = _strategy_problems(strategy, kind, ("strategies", index), config)
        problems += found
        if found:
            broken.append(strategy.id)
        else:
            families.setdefault(strategy.id, expand(strategy, kind))
    problems += _duplicates(config, families)
    problems += security_problems(config.store.kind, config.store.security)
    known = _Strategies(families, names_of(families), frozenset(broken))
    for index, account in enumerate(config.accounts):
        problems += _account_problems(account, ("accounts", index), known)
        if not broken:
            problems += _budget_problems(account, ("accounts", index), config, families)
    return problems


def _strategy_problems(
    strategy: StrategyConfig, kind: Kind, where: Where, config: Config
) -> list[Problem]:
    """What is wrong with one entry of strategies."""
    base_ms = timeframe_ms(config.prices.timeframe)
    problems = []
    if strategy.timeframe is not None and timeframe_ms(strategy.timeframe) % base_ms:
        text = f"{strategy.timeframe} is not a multiple of the base {config.prices.timeframe}"
        problems.append(Problem((*where, "timeframe"), text))
    if strategy.symbols is not None and not strategy.symbols:
        text = "is empty; name some, or leave it out to run on all"
        problems.append(Problem((*where, "symbols"), text))
    for name in strategy.symbols or ():
        if name not in config.symbols:
            text = f"{shown(name)} is not a symbol{nearest(name, config.symbols)}"
            problems.append(Problem((*where, "symbols"), text))
    return problems + _parameter_problems(strategy, kind, where, config)


def _parameter_problems(
    strategy: StrategyConfig, kind: Kind, where: Where, config: Config
) -> list[Problem]:
    """What is wrong with the parameters of an entry, whichever way they are given."""
    if strategy.params is not None:
        return _set_problems(kind, strategy.params, (*where, "params"), config)
    if strategy.sets is not None:
        if not strategy.sets:
            return [Problem((*where, "sets"), "is empty; write at least one")]
        return [
            problem
            for index, one in enumerate(strategy.sets)
            for problem in _set_problems(kind, one, (*where, "sets", index), config)
        ]
    return _grid_problems(strategy, kind, (*where, "grid"), config)


def _set_problems(
    kind: Kind, params: Mapping[str, Any], where: Where, config: Config
) -> list[Problem]:
    """What is wrong with one set of parameters."""
    text = _first_problem(kind, params, config)
    if text is not None:
        return [Problem(where, text)]
    return [
        problem
        for param in kind.params
        for problem in _value_problems(param, params[param.name], (*where, param.name), config)
    ]


def _first_problem(kind: Kind, params: Mapping[str, Any], config: Config) -> str | None:
    """Why a set is refused, or None; a user's kind may fail, or name features that are none."""
    try:
        text = params_problem(kind, params)
        if text is None and kind.name not in KINDS:
            text = _feature_problem(kind, params, config)
    except ConfigError as error:
        return str(error)
    return text


def _feature_problem(kind: Kind, params: Mapping[str, Any], config: Config) -> str | None:
    """Why a name that a user's kind gives is no feature of this run, or None."""
    base = config.prices.timeframe
    for name in kind.features(params):
        timeframe, _, feature = name.rpartition(":")
        try:
            parse_feature(feature, library(config.own).features)
            length = timeframe_ms(timeframe or base)
        except (ConfigError, ValueError) as error:
            return f"{kind.name} needs {name!r}: {error}"
        if length % timeframe_ms(base):
            return f"{kind.name} needs {name!r}: {timeframe} is not a multiple of the base {base}"
    return None


def _grid_problems(
    strategy: StrategyConfig, kind: Kind, where: Where, config: Config
) -> list[Problem]:
    """What is wrong with a grid: names, types, its size, or that no combination makes sense."""
    grid = strategy.grid or {}
    text = names_problem(kind, grid)
    if text is not None:
        return [Problem(where, text)]
    problems = []
    for param in kind.params:
        here = (*where, param.name)
        if not grid[param.name]:
            problems.append(Problem(here, "is empty; write at least one value"))
        for index, value in enumerate(grid[param.name]):
            problems += _value_problems(param, value, (*here, index), config)
    if problems:
        return problems
    size = grid_size(strategy)
    if size > MAX_COMBINATIONS:
        return [Problem(where, f"spans {size} combinations; at most {MAX_COMBINATIONS}")]
    try:
        family = expand(strategy, kind)
    except ConfigError as error:  # a user's kind
        return [Problem(where, str(error))]
    if not family.combinations:
        reason = next(iter(family.left_out.values()))
        return [Problem(where, f"no combination makes sense; the first one: {reason}")]
    return _first_feature_problem(kind, family, where, config)


def _first_feature_problem(
    kind: Kind, family: Family, where: Where, config: Config
) -> list[Problem]:
    """The first combination of a user's kind that names what is no feature."""
    for combination in family.combinations:
        text = _first_problem(kind, combination.params, config)
        if text is not None:
            return [Problem(where, f"{combination.strategy_id}: {text}")]
    return []


def _value_problems(param: Param, value: object, where: Where, config: Config) -> list[Problem]:
    """What is wrong with the type of one parameter's value, its range apart."""
    if param.type != "timeframe":
        if isinstance(value, bool) or not isinstance(value, int | float):
            return [Problem(where, f"{shown(value)} is not a number")]
        return []
    try:
        length = timeframe_ms(value)
    except ValueError as error:
        return [Problem(where, str(error))]
    if length % timeframe_ms(config.prices.timeframe):
        return [Problem(where, f"{value} is not a multiple of the base {config.prices.timeframe}")]
    return []


def _duplicates(config: Config, families: Mapping[str, Family]) -> list[Problem]:
    """Ids that are given twice: of strategies, their combinations, accounts and shadows."""
    problems = _twice("strategies", (strategy.id for strategy in config.strategies))
    owners = {strategy.id: strategy.id for strategy in config.strategies}
    for index, strategy in enumerate(config.strategies):
        family = families.get(strategy.id)
        if family is None or strategy.params is not None:
            continue
        for name in family.ids:
            if name in owners:
                text = f"stands for {shown(name)}, which is there already, from {owners[name]!r}"
                problems.append(Problem(("strategies", index), text))
            owners.setdefault(name, strategy.id)
    problems += _twice("accounts", (account.id for account in config.accounts))
    taken = {account.id for account in config.accounts}
    for index, account in enumerate(config.accounts):
        shadow_id = SHADOW_PREFIX + account.id
        if account.shadow and shadow_id in taken:
            text = f"the shadow account {shown(shadow_id)} is an account already"
            problems.append(Problem(("accounts", index, "shadow"), text))
    return problems


def _twice(group: str, ids: Iterable[str]) -> list[Problem]:
    """A problem for each id that came before."""
    first: dict[str, int] = {}
    problems = []
    for index, name in enumerate(ids):
        if name in first:
            text = f"{shown(name)} is the id of {group}[{first[name]}] already"
            problems.append(Problem((group, index, "id"), text))
        first.setdefault(name, index)
    return problems


def _account_problems(account: AccountConfig, where: Where, known: _Strategies) -> list[Problem]:
    """Names of strategies that an account uses and that are none."""
    problems = []
    if not account.strategies:
        problems.append(Problem((*where, "strategies"), "is empty; name at least one"))
    for key, names in (("strategies", account.strategies), ("weights", account.weights)):
        for name in names:
            text = known.problem(name)
            if text is not None:
                problems.append(Problem((*where, key), text))
    return problems


def _budget_problems(
    account: AccountConfig, where: Where, config: Config, families: Mapping[str, Family]
) -> list[Problem]:
    """A budget adds notionals up, so its account must stay within one quote currency."""
    if account.limits.max_notional is None:
        return []
    followed = set(account.strategies)
    quotes: dict[str, str] = {}
    for strategy in config.strategies:
        if followed.isdisjoint((strategy.id, *families[strategy.id].ids)):
            continue
        for name in strategy.symbols or config.symbols:
            if name in config.symbols:
                quotes.setdefault(quote_of(name, config), name)
    if len(quotes) < 2:
        return []
    found = ", ".join(f"{quote} ({name})" for quote, name in sorted(quotes.items()))
    text = f"a budget needs one quote currency, but its strategies trade in {found}"
    return [Problem((*where, "limits", "maxNotional"), text)]


def quote_of(symbol: str, config: Config) -> str:
    """The currency in which a symbol is priced: as configured, else its last three letters."""
    return config.symbols[symbol].quote or symbol[-3:]
