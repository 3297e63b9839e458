"""A feature and a strategy of one's own, in one file. Copy it and change it.

    tradeflow strategies --check examples/my_strategy.py
    tradeflow backtest --config examples/my_strategy.yaml

The feature is Kaufman's efficiency ratio: how far the close came in N bars, divided by the way it
went. 1 is a straight line, near 0 is noise. The strategy buys breakouts while the way is straight,
and sells when the close falls below its mean.
"""

import math

import numpy as np

from udfs.bars import Bars, Floats
from udfs.compiled import njit
from udfs.features import FeatureKind, Periods
from udfs.plan import Params
from udfs.strategies import Kind, Param
from udfs.strategies.kind import Actions, Columns, above, actions, below, known, turns_true

# ---- a feature: a kernel with carried state ----


def efficiency_state(periods: Periods) -> Floats:
    """float64[n + 3]: bars seen, where the ring's oldest close is, the ring of n + 1 closes."""
    return np.zeros(periods[0] + 3)


def efficiency(state: Floats, bars: Bars, periods: Periods) -> tuple[Floats, Floats]:
    """(the state after these bars, the ratio at each of them), NaN before the first n."""
    column = np.empty(len(bars.close))
    _efficiency(state, bars.close, periods[0], column)
    return state, column


@njit
def _efficiency(state: Floats, close: Floats, n: int, column: Floats) -> None:
    seen, oldest = int(state[0]), int(state[1])
    ring = state[2:]  # a view: what is written there is carried on
    for i in range(close.shape[0]):
        ring[oldest] = close[i]
        oldest = (oldest + 1) % (n + 1)
        seen += 1
        if seen <= n:
            column[i] = math.nan
            continue
        # Summed anew at each bar and in one order, so that no cut can change a bit.
        way = 0.0
        for k in range(n):
            way += abs(ring[(oldest + k + 1) % (n + 1)] - ring[(oldest + k) % (n + 1)])
        column[i] = abs(close[i] - ring[oldest]) / way if way > 0.0 else 0.0
    state[0], state[1] = min(seen, n + 1), oldest


EFFICIENCY = FeatureKind(
    stem="efficiency",
    doc="Net move of the close over N bars divided by the sum of its moves, 0 to 1.",
    version="1",
    parameters=(("n", 2),),
    example=(10,),
    initial=efficiency_state,
    kernel=efficiency,
)

# ---- a strategy: a pure function of columns ----


def _features(params: Params) -> tuple[str, ...]:
    entry, mean = params["entry"], params["mean"]
    return ("close", f"donchian_high_{entry}", f"sma_{mean}", f"efficiency_{params['straight']}")


def _signals(columns: Columns, params: Params) -> Actions:
    close, channel, mean, straight = (columns[name] for name in _features(params))
    breaks_out = turns_true(above(close, channel), known(close, channel))
    falls_back = turns_true(below(close, mean), known(close, mean))
    return actions(breaks_out & above(straight, float(params["least"])), falls_back)


def _reasons(params: Params) -> tuple[str, str]:
    _, channel, mean, straight = _features(params)
    return (
        f"close breaks {channel} while {straight} > {params['least']}",
        f"close crosses below {mean}",
    )


def _problem(params: Params) -> str | None:
    if not 0 <= params["least"] < 1:
        return f"least ({params['least']}) must be from 0 to below 1"
    return None


STRAIGHT_BREAKOUT = Kind(
    name="straight_breakout",
    doc="Buys a breakout of the channel while the way there was straight, sells below the mean.",
    version="1",
    params=(
        Param("entry", "period", "bars of the channel that is broken", 20),
        Param("mean", "period", "bars of the mean that ends the trade", 30),
        Param("straight", "period", "bars of the efficiency ratio", 10),
        Param("least", "number", "the least efficiency ratio, 0 to below 1", 0.3),
    ),
    problem=_problem,
    features=_features,
    signals=_signals,
    reasons=_reasons,
)

FEATURES = (EFFICIENCY,)
STRATEGIES = (STRAIGHT_BREAKOUT,)
