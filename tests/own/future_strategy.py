"""Planted: a vectorised strategy that shifts the close by one bar the wrong way."""

import numpy as np

from udfs.plan import Params
from udfs.strategies import Kind, Param
from udfs.strategies.kind import Actions, Columns, above, actions, below


def _signals(columns: Columns, params: Params) -> Actions:
    close, mean = columns["close"], columns[f"sma_{params['period']}"]
    later = np.append(close[1:], np.nan)  # shift(-1)
    return actions(above(close, mean) & (later > close), below(close, mean) & (later < close))


SHIFTED = Kind(
    name="shifted",
    doc="Buys above the mean where the next bar closes higher.",
    version="1",
    params=(Param("period", "period", "bars of the mean", 20),),
    problem=lambda params: None,
    features=lambda params: ("close", f"sma_{params['period']}"),
    signals=_signals,
    reasons=lambda params: ("rises", "falls"),
)

STRATEGIES = (SHIFTED,)
