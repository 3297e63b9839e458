"""Kinds that buy an oscillator's turn: rsi_reversion, trend_pullback."""

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
    number_text,
    turns_true,
)


def _low_below_high(params: Params) -> str | None:
    if params["low"] >= params["high"]:
        return f"low ({params['low']}) must be below high ({params['high']})"
    return None


def _rsi_features(params: Params) -> tuple[str, ...]:
    return (f"rsi_{params['period']}",)


def _rsi_signals(columns: Columns, params: Params) -> Actions:
    rsi = columns[f"rsi_{params['period']}"]
    present = known(rsi)
    return actions(
        turns_true(above(rsi, float(params["low"])), present),
        turns_true(below(rsi, float(params["high"])), present),
    )


def _rsi_reasons(params: Params) -> tuple[str, str]:
    rsi = f"rsi_{params['period']}"
    low, high = number_text(params["low"]), number_text(params["high"])
    return (f"{rsi} crosses above {low}", f"{rsi} crosses below {high}")


RSI_REVERSION = Kind(
    name="rsi_reversion",
    doc="RSI comes back from oversold: buys when it crosses above low, sells when below high.",
    version="1",
    params=(
        Param("period", "period", "bars of the RSI", 14),
        Param("low", "number", "level that RSI crosses upwards to buy, below high", 30),
        Param("high", "number", "level that RSI crosses downwards to sell", 70),
    ),
    problem=_low_below_high,
    features=_rsi_features,
    signals=_rsi_signals,
    reasons=_rsi_reasons,
)


def _pullback_features(params: Params) -> tuple[str, ...]:
    trend = f"{params['trend_tf']}:ema_{params['trend_ema']}"
    return (f"rsi_{params['rsi_period']}", "close", trend)


def _pullback_signals(columns: Columns, params: Params) -> Actions:
    rsi, close, trend = (columns[name] for name in _pullback_features(params))
    present = known(rsi)
    named = known(close, trend)
    buy = turns_true(above(rsi, float(params["low"])), present) & above(close, trend)
    sell = turns_true(below(rsi, float(params["high"])), present)
    return actions(buy & named, sell & named)


def _pullback_reasons(params: Params) -> tuple[str, str]:
    rsi, _, trend = _pullback_features(params)
    low, high = number_text(params["low"]), number_text(params["high"])
    return (f"{rsi} crosses above {low} while close > {trend}", f"{rsi} crosses below {high}")


TREND_PULLBACK = Kind(
    name="trend_pullback",
    doc="Buys RSI's turn from a dip while the close is above a higher timeframe's EMA.",
    version="1",
    params=(
        Param("trend_tf", "timeframe", "timeframe of the trend's EMA, such as 15m", "1h"),
        Param("trend_ema", "period", "bars of the trend's EMA", 50),
        Param("rsi_period", "period", "bars of the RSI", 14),
        Param("low", "number", "level that RSI crosses upwards to buy, below high", 30),
        Param("high", "number", "level that RSI crosses downwards to sell", 70),
    ),
    problem=_low_below_high,
    features=_pullback_features,
    signals=_pullback_signals,
    reasons=_pullback_reasons,
)
