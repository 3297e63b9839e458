"""Planted: a feature that looks back within its piece only, and so forgets at each cut."""

import numpy as np

from udfs.bars import Bars, Floats
from udfs.features import FeatureKind, Periods


def change(state: Floats, bars: Bars, periods: Periods) -> tuple[Floats, Floats]:
    """The change over n bars, null in the first n of each piece."""
    n = periods[0]
    column = np.full(len(bars.close), np.nan)
    column[n:] = bars.close[n:] - bars.close[: max(len(bars.close) - n, 0)]
    return state, column


FEATURES = FeatureKind(
    "change", "Change over N bars.", "1", (("n", 1),), (5,), lambda periods: np.zeros(1), change
)
