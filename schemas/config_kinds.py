"""Which kind each strategy of a configuration is, and the modules that users' kinds are in."""

from schemas import own_code
from schemas.config_models import Config, StrategyConfig
from schemas.own_code import OwnModule
from schemas.problems import Problem, Where, shown
from udfs.errors import ConfigError, nearest
from udfs.plan import OwnSource
from udfs.strategies import KINDS


def with_kinds(config: Config) -> tuple[Config, list[Problem]]:
    """The configuration with a kind for every strategy and the modules that these are in."""
    modules: dict[str, OwnModule] = {}
    problems: list[Problem] = []
    strategies: list[StrategyConfig] = []
    for number, strategy in enumerate(config.strategies):
        where: Where = ("strategies", number)
        try:
            mine = [_module(own_code.read_source(path), modules) for path in strategy.module or ()]
            kind, text = _kind(strategy, mine, modules)
        except ConfigError as error:
            problems.append(Problem((*where, "module" if strategy.module else "kind"), str(error)))
            continue
        if text is not None:
            problems.append(Problem((*where, "kind"), text))
        strategies.append(strategy.model_copy(update={"kind": kind}))
    if problems:
        return config, problems
    own = tuple(module.source for module in modules.values())
    try:
        own_code.library(own)
    except ConfigError as error:
        return config, [Problem(("strategies",), str(error))]
    return config.with_kinds(strategies, own), []


def _module(source: OwnSource, modules: dict[str, OwnModule]) -> OwnModule:
    """The loaded module, each once however many strategies name it."""
    if source.path not in modules:
        modules[source.path] = own_code.own_module(source)
    return modules[source.path]


def _kind(
    strategy: StrategyConfig, mine: list[OwnModule], modules: dict[str, OwnModule]
) -> tuple[str | None, str | None]:
    """(the strategy's kind, what is wrong with it)."""
    names = [kind.name for module in mine for kind in module.kinds]
    kind = strategy.kind
    if kind is None:
        if len(names) == 1:
            return names[0], None
        files = ", ".join(module.source.path for module in mine)
        which = f"name one of {', '.join(names)}" if names else "there is none"
        return None, f"is missing, and {files} has {len(names)} kinds: {which}"
    if kind in names or (not mine and kind in KINDS):
        return kind, None
    known = [*names] if mine else [*KINDS]
    if not mine:
        source = own_code.entry_point_source(kind)
        if source is not None:
            found = _module(source, modules)
            known = [one.name for one in found.kinds]
            if kind in known:
                return kind, None
        else:
            known += own_code.entry_point_names()
    hint = nearest(kind, known)
    listed = ", ".join(known) or "none"
    return kind, f"{shown(kind)} is not a kind of strategy{hint}; the kinds are {listed}"
