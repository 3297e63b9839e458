"""Planted: a feature with a hidden counter, so that no two calls give the same."""

import numpy as np

from udfs.bars import Bars, Floats
from udfs.features import FeatureKind, Periods

CALLS = [0]


def drift(state: Floats, bars: Bars, periods: Periods) -> tuple[Floats, Floats]:
    """The close, and a little more at each call."""
    CALLS[0] += 1
    return state, bars.close + CALLS[0] * 1e-9


FEATURES = FeatureKind(
    "drift", "The close and a drift.", "1", (), (), lambda periods: np.zeros(1), drift
)
