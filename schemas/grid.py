"""Families of strategies: what a grid or a list of sets stands for."""

import itertools
import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import yaml

from schemas.config_models import StrategyConfig
from udfs.strategies import Kind, params_problem

MAX_COMBINATIONS = 100_000  # beyond it a grid is a slip of the pen, and would only eat memory


class Combination(NamedTuple):
    """One strategy: its id and its parameters."""

    strategy_id: str
    params: Mapping[str, Any]


class Family(NamedTuple):
    """What one entry of the configuration stands for; `left_out` maps senseless ids to why."""

    combinations: tuple[Combination, ...]
    left_out: Mapping[str, str]

    @property
    def ids(self) -> tuple[str, ...]:
        """The ids of its strategies."""
        return tuple(combination.strategy_id for combination in self.combinations)


class Standing(NamedTuple):
    """What a name stands for: the ids of strategies, and the entry that they come from."""

    ids: tuple[str, ...]
    family_id: str


Names = Mapping[str, Standing]


def names_of(families: Mapping[str, Family]) -> Names:
    """Every name that an account may follow: of whole families, and of single combinations."""
    names = {
        strategy_id: Standing((strategy_id,), family_id)
        for family_id, family in families.items()
        for strategy_id in family.ids
    }
    wholes = {family_id: Standing(family.ids, family_id) for family_id, family in families.items()}
    return {**names, **wholes}


def expand(strategy: StrategyConfig, kind: Kind) -> Family:
    """All strategies of an entry of this kind, by its keys sorted and its values as listed.

    Senseless combinations of a grid are left out; params and sets are taken as they are.
    """
    if strategy.params is not None:
        return Family((Combination(strategy.id, strategy.params),), {})
    if strategy.sets is not None:
        named = [Combination(combination_id(strategy.id, one), one) for one in strategy.sets]
        return Family(tuple(named), {})
    grid = strategy.grid or {}
    names = sorted(grid)
    texts = [[f"{name}={value_text(value)}" for value in grid[name]] for name in names]
    kept = []
    left_out = {}
    for values, parts in zip(
        itertools.product(*(grid[name] for name in names)), itertools.product(*texts), strict=True
    ):
        params = dict(zip(names, values, strict=True))
        strategy_id = f"{strategy.id}/{','.join(parts)}"
        problem = params_problem(kind, params)
        if problem is None:
            kept.append(Combination(strategy_id, params))
        else:
            left_out[strategy_id] = problem
    return Family(tuple(kept), left_out)


def grid_size(strategy: StrategyConfig) -> int:
    """How many combinations a grid spans, senseless ones counted."""
    return math.prod(len(values) for values in (strategy.grid or {}).values())


def combination_id(family_id: str, params: Mapping[str, Any]) -> str:
    """`sweep/fast=5,slow=20`: keys sorted, values as YAML prints them."""
    parts = [f"{name}={value_text(params[name])}" for name in sorted(params)]
    return f"{family_id}/{','.join(parts)}"


def value_text(value: object) -> str:
    """A value as YAML prints it: `5`, `2.5`, `15m`, `1.0e-05`."""
    printed: str = yaml.safe_dump(value, default_flow_style=True, width=math.inf)
    return printed.removesuffix("\n").removesuffix("\n...")
