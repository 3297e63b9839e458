"""Planted: a strategy that hangs on the order of a set, which each process has its own."""

import numpy as np

from udfs.plan import Params
from udfs.strategies import Kind
from udfs.strategies.kind import Actions, Columns

WORDS = ("momentum", "reversal", "breakout", "carry", "value", "trend", "season", "range")


def _signals(columns: Columns, params: Params) -> Actions:
    order = list({*WORDS})
    # All pairs: the place of one word would be the same in one process of eight by chance.
    before = np.array([one < other for one in order for other in order])
    cents = np.nan_to_num(columns["close"] * 100).astype(np.int64)
    return np.where(before[cents % len(before)], 1, 0)


STRATEGIES = Kind(
    name="ordered",
    doc="Buys by the order of a set.",
    version="1",
    params=(),
    problem=lambda params: None,
    features=lambda params: ("close",),
    signals=_signals,
    reasons=lambda params: ("chance", "chance"),
)
