"""Planted: a feature that keeps the last close in a global instead of in its state."""

import numpy as np

from udfs.bars import Bars, Floats
from udfs.features import FeatureKind, Periods

LAST = [np.nan]


def gap(state: Floats, bars: Bars, periods: Periods) -> tuple[Floats, Floats]:
    """Each close less the one before it, whoever's that was."""
    before = np.concatenate((LAST, bars.close))[:-1]
    if len(bars.close):
        LAST[0] = float(bars.close[-1])
    return state, bars.close - before


FEATURES = FeatureKind("gap", "The last move.", "1", (), (), lambda periods: np.zeros(1), gap)
