"""The configuration of a run: read from YAML or a dict, checked, and shown as resolved.

    config = load_config(Path("conf/backtest.yaml"), {"accounts.0.fee_bps": 5})

Every problem that is found goes into one ConfigError, a line each. Keys are checked one by one
first, and against each other once they are fine.
"""

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from pydantic import ValidationError

from schemas.config_checks import config_problems, quote_of
from schemas.config_kinds import with_kinds
from schemas.config_models import Config
from schemas.config_source import apply_overrides, nested, read_yaml
from schemas.problems import problems_of, refuse

__all__ = ["Config", "config_as_dict", "load_config", "parse_config"]

NO_OVERRIDES: Mapping[str, object] = MappingProxyType({})


def load_config(path: Path, overrides: Mapping[str, object] = NO_OVERRIDES) -> Config:
    """The configuration of a YAML file; `overrides` are dotted keys with values as YAML reads them.

    Raises ConfigError with every problem, each with file, key, value and what would be right.
    """
    return parse_config(read_yaml(Path(path)), str(path), overrides)


def parse_config(
    data: Mapping[Any, Any],
    source: str = "configuration",
    overrides: Mapping[str, object] = NO_OVERRIDES,
) -> Config:
    """As `load_config`, from a dict, which is left alone; `source` begins the lines of problems."""
    tree, problems = nested(data)
    paths, failed = apply_overrides(tree, overrides)
    refuse(source, problems + failed, paths)
    try:
        config = Config.model_validate(_with_defaults_for_empty(tree))
    except ValidationError as error:
        refuse(source, problems_of(error, Config), paths)
        raise
    config, problems = with_kinds(config)
    refuse(source, problems, paths)
    refuse(source, config_problems(config), paths)
    return config


def _with_defaults_for_empty(tree: Mapping[str, Any]) -> dict[str, Any]:
    """What has nothing below it (`wm:`, or `BTCUSD:` as a symbol) says nothing: defaults hold."""
    given = {name: section for name, section in tree.items() if section is not None}
    symbols = given.get("symbols")
    if isinstance(symbols, dict):
        given["symbols"] = {name: {} if one is None else one for name, one in symbols.items()}
    return given


def config_as_dict(config: Config) -> dict[str, Any]:
    """The configuration as resolved: nested, with all defaults, decimals and times as text.

    Only plain values that JSON knows; parse_config of it gives an equal run.
    """
    tree = config.model_dump(by_alias=True)
    for name, symbol in tree["symbols"].items():
        symbol["quote"] = quote_of(name, config)
    for strategy in tree["strategies"]:
        strategy["timeframe"] = strategy["timeframe"] or config.prices.timeframe
        strategy["symbols"] = strategy["symbols"] or list(config.symbols)
        for name in ("module", "from", "params", "grid", "sets"):
            if strategy[name] is None:
                del strategy[name]
    for account, dumped in zip(config.accounts, tree["accounts"], strict=True):
        dumped["sizing"] = {key: text for key, text in dumped["sizing"].items() if text is not None}
        if not account.limits.has_own_cap:
            del dumped["limits"]["maxOpenPositions"]
    return tree
