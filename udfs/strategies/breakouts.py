"""Kinds that follow the close out of a band: bollinger_breakout, donchian_breakout."""

from udfs.features import bb_name
from udfs.features.catalog import WIDEST_BAND
from udfs.plan import Params
from udfs.strategies.kind import (
    Actions,
    Columns,
    Kind,
    Param,
    above,
    actions,
    below,
    known,
    turns_true,
)


def _k_problem(params: Params) -> str | None:
    if params["k"] <= 0:
        return f"k ({params['k']}) must be above 0"
    return None if params["k"] <= WIDEST_BAND else f"k must be {WIDEST_BAND} or less"


def _bollinger_features(params: Params) -> tuple[str, ...]:
    period, k = params["period"], params["k"]
    return ("close", bb_name("upper", period, k), bb_name("middle", period, k))


def _bollinger_signals(columns: Columns, params: Params) -> Actions:
    close, upper, middle = (columns[name] for name in _bollinger_features(params))
    present = known(close, upper, middle)
    return actions(
        turns_true(above(close, upper), present), turns_true(below(close, middle), present)
    )


def _bollinger_reasons(params: Params) -> tuple[str, str]:
    _, upper, middle = _bollinger_features(params)
    return (f"close crosses above {upper}", f"close crosses below {middle}")


BOLLINGER_BREAKOUT = Kind(
    name="bollinger_breakout",
    doc="Buys when the close crosses above the upper band, sells when below the middle.",
    version="1",
    params=(
        Param("period", "period", "bars of the bands", 14),
        Param("k", "number", "population deviations between middle and upper band, above 0", 2),
    ),
    problem=_k_problem,
    features=_bollinger_features,
    signals=_bollinger_signals,
    reasons=_bollinger_reasons,
)


def _no_problem(params: Params) -> str | None:
    return None


def _donchian_features(params: Params) -> tuple[str, ...]:
    return ("close", f"donchian_high_{params['entry']}", f"donchian_low_{params['exit']}")


def _donchian_signals(columns: Columns, params: Params) -> Actions:
    close, high, low = (columns[name] for name in _donchian_features(params))
    named = known(close, high, low)
    buy = turns_true(above(close, high), known(close, high))
    sell = turns_true(below(close, low), known(close, low))
    return actions(buy & named, sell & named)


def _donchian_reasons(params: Params) -> tuple[str, str]:
    _, high, low = _donchian_features(params)
    return (f"close breaks above {high}", f"close breaks below {low}")


DONCHIAN_BREAKOUT = Kind(
    name="donchian_breakout",
    doc="Buys the first close above the highest high of `entry` bars, sells below a low of `exit`.",
    version="1",
    params=(
        Param("entry", "period", "bars of the channel that is broken upwards to buy", 20),
        Param("exit", "period", "bars of the channel that is broken downwards to sell", 10),
    ),
    problem=_no_problem,
    features=_donchian_features,
    signals=_donchian_signals,
    reasons=_donchian_reasons,
)
