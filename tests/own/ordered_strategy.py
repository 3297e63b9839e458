"""Planted: a strategy that hangs on the order of a set, which each process has its own."""

import numpy as np

from udfs.plan import Params
from udfs.strategies import Kind
from udfs.strategies.kind import Actions, Columns

WORDS = ("momentum", "reversal", "breakout", "carry", "value", "trend", "season", "range")


def _signals(columns: Columns, params: Params) -> Actions:
    cents = np.nan_to_num(columns["close"] * 100).astype(np.int64)
    return np.where(cents % len(WORDS) == list({*WORDS}).index("trend"), 1, 0)


STRATEGIES = Kind(
    name="ordered",
    doc="Buys by a place in a set.",
    version="1",
    params=(),
    problem=lambda params: None,
    features=lambda params: ("close",),
    signals=_signals,
    reasons=lambda params: ("chance", "chance"),
)
