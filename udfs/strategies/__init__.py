"""The kinds of strategies. A new one is a file, a line here and a block of configuration."""

from udfs.errors import nearest
from udfs.features.catalog import LONGEST_PERIOD
from udfs.plan import Params
from udfs.strategies.breakouts import BOLLINGER_BREAKOUT, DONCHIAN_BREAKOUT
from udfs.strategies.crosses import EMA_CROSS, MACD_TREND
from udfs.strategies.kind import BUY, SELL, Kind, Param
from udfs.strategies.reversion import RSI_REVERSION, TREND_PULLBACK
from udfs.timeframes import timeframe_ms

__all__ = [
    "BUY",
    "KINDS",
    "SELL",
    "Kind",
    "Param",
    "example_params",
    "names_problem",
    "params_problem",
]

KINDS: dict[str, Kind] = {
    kind.name: kind
    for kind in (
        EMA_CROSS,
        RSI_REVERSION,
        MACD_TREND,
        BOLLINGER_BREAKOUT,
        DONCHIAN_BREAKOUT,
        TREND_PULLBACK,
    )
}


def names_problem(kind: Kind, params: Params) -> str | None:
    """Why the parameters' names are wrong, or None: missing and unknown ones."""
    names = [param.name for param in kind.params]
    for name in params:
        if name not in names:
            expected = ", ".join(names) or "none"
            return f"{kind.name} has no parameter {name!r}{nearest(name, names)}; it has {expected}"
    for name in names:
        if name not in params:
            return f"{kind.name} lacks its parameter {name!r}"
    return None


def params_problem(kind: Kind, params: Params) -> str | None:
    """Why this set of parameters is refused, or None where it is fine."""
    problem = names_problem(kind, params)
    if problem:
        return problem
    for param in kind.params:
        problem = _value_problem(param, params[param.name])
        if problem:
            return problem
    return kind.problem(params)


def example_params(kind: Kind) -> dict[str, int | float | str]:
    """Parameters that make sense, to show or to try a kind with."""
    return {param.name: param.example for param in kind.params}


def _value_problem(param: Param, value: object) -> str | None:
    """Why a parameter's value is of the wrong type or range, or None."""
    if param.type == "timeframe":
        try:
            timeframe_ms(value)
        except ValueError as error:
            return f"{param.name}: {error}"
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        return f"{param.name}: {value!r} is not a number"
    if value != value or value in (float("inf"), float("-inf")):
        return f"{param.name}: {value!r} is not a finite number"
    if param.type == "period" and not (isinstance(value, int) and 2 <= value <= LONGEST_PERIOD):
        return (
            f"{param.name}: {value!r} is no period; write a whole number of 2 or more, up to "
            f"{LONGEST_PERIOD}"
        )
    return None
