"""Kinds in which one line crosses another: ema_cross, macd_trend."""

import numpy as np

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

MACD_NOISE = 1e-12  # of the bar's close


def _fast_below_slow(params: Params) -> str | None:
    if params["fast"] >= params["slow"]:
        return f"fast ({params['fast']}) must be below slow ({params['slow']})"
    return None


def _ema_features(params: Params) -> tuple[str, ...]:
    return (f"ema_{params['fast']}", f"ema_{params['slow']}")


def _ema_signals(columns: Columns, params: Params) -> Actions:
    fast, slow = (columns[name] for name in _ema_features(params))
    present = known(fast, slow)
    return actions(turns_true(above(fast, slow), present), turns_true(below(fast, slow), present))


def _ema_reasons(params: Params) -> tuple[str, str]:
    fast, slow = _ema_features(params)
    return (f"{fast} crosses above {slow}", f"{fast} crosses below {slow}")


EMA_CROSS = Kind(
    name="ema_cross",
    doc="The fast EMA of closes crosses the slow one: up buys, down sells.",
    version="1",
    params=(
        Param("fast", "period", "bars of the fast EMA", 12),
        Param("slow", "period", "bars of the slow EMA, above fast", 26),
    ),
    problem=_fast_below_slow,
    features=_ema_features,
    signals=_ema_signals,
    reasons=_ema_reasons,
)


def _macd_features(params: Params) -> tuple[str, ...]:
    suffix = f"{params['fast']}_{params['slow']}_{params['signal']}"
    return (f"macd_{suffix}", f"macd_signal_{suffix}", "close")


def _macd_signals(columns: Columns, params: Params) -> Actions:
    macd, signal, close = (columns[name] for name in _macd_features(params))
    present = known(macd, signal, close)
    noise = MACD_NOISE * np.abs(close)
    return actions(
        turns_true(macd - signal > noise, present), turns_true(signal - macd > noise, present)
    )


def _macd_reasons(params: Params) -> tuple[str, str]:
    macd, signal, _ = _macd_features(params)
    return (f"{macd} crosses above {signal}", f"{macd} crosses below {signal}")


MACD_TREND = Kind(
    name="macd_trend",
    doc="The MACD line crosses its signal line: up buys, down sells.",
    version="1",
    params=(
        Param("fast", "period", "bars of the fast EMA", 12),
        Param("slow", "period", "bars of the slow EMA, above fast", 26),
        Param("signal", "period", "bars of the signal line's EMA", 9),
    ),
    problem=_fast_below_slow,
    features=_macd_features,
    signals=_macd_signals,
    reasons=_macd_reasons,
)
