"""Planted: a feature that reads the next bar, for all bars at once."""

import numpy as np

from udfs.bars import Bars, Floats
from udfs.features import FeatureKind, Periods
from udfs.plan import Params
from udfs.strategies import Kind, Param
from udfs.strategies.kind import Actions, Columns, above, actions, below, known, turns_true


def peek(state: Floats, bars: Bars, periods: Periods) -> tuple[Floats, Floats]:
    """The next close less this one: np.roll brings it one bar too early."""
    return state, (np.roll(bars.close, -1) - bars.close) / periods[0]


PEEK = FeatureKind(
    "peek", "The move to the next bar.", "1", (("n", 1),), (3,), lambda periods: np.zeros(1), peek
)


def _signals(columns: Columns, params: Params) -> Actions:
    move = columns["peek_3"]
    given = known(move)
    return actions(
        turns_true(above(move, params["least"]), given),
        turns_true(below(move, -params["least"]), given),
    )


FORESIGHT = Kind(
    name="foresight",
    doc="Buys where the feature says that the price will rise.",
    version="1",
    params=(Param("least", "number", "the least move", 0.1),),
    problem=lambda params: None,
    features=lambda params: ("peek_3",),
    signals=_signals,
    reasons=lambda params: ("rises", "falls"),
)

FEATURES = (PEEK,)
STRATEGIES = (FORESIGHT,)
