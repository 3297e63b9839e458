"""Figures of daily returns and of the curve of equity: what a year of them would be, and how bad.

They go on where udfs/figures.py ends (sharpe, max_drawdown, daily_returns stand there) and read the
same things: equity float64[days] without start capital, the value at the end of each local day, and
simple daily returns of start capital + equity, the first day counted, days without trades as 0.
`periods` is the number of such days in a year: 365 where markets have no weekends, 252 where other
tools assume trading days. None stands for "not defined".
"""

import math
from typing import NamedTuple

import numpy as np

from udfs.bars import Floats


class Drawdown(NamedTuple):
    """The deepest fall of a curve: positions in it, 0 being the start capital before the first day.

    `peak` is the last day at the highest value before the fall, `trough` its deepest day,
    `recovery` the first day back at that value (None while there is none). `days` from the peak to
    the recovery, or to the last day. `longest` is the same for the longest of all falls.
    """

    peak: int
    trough: int
    recovery: int | None
    days: int
    longest: int


def total_return(equity: Floats, start_capital: float) -> float | None:
    """Last equity / start capital, a share of 1: (end - start) / start. Not annualised.

    None without days or where the start capital is not above 0. The same as the compounded return
    of quantstats.stats.comp and empyrical.cum_returns_final over the daily returns.
    """
    if not len(equity) or start_capital <= 0.0:
        return None
    return float(equity[-1]) / start_capital


def cagr(equity: Floats, start_capital: float, periods: float) -> float | None:
    """Growth per year: (end / start) ^ (periods / days) - 1, a share of 1.

    `days` counts the daily returns, first day included, so a year is `periods` of them. The same
    as quantstats.stats.cagr and empyrical.annual_return at equal periods (both default to 252).
    backtesting.py counts a year by the calendar of its index. None without days or start capital,
    where the end is below 0, or where the power is too large for a double.
    """
    if not len(equity) or start_capital <= 0.0:
        return None
    growth = (start_capital + float(equity[-1])) / start_capital
    if growth < 0.0:
        return None
    try:
        yearly = growth ** (periods / len(equity)) - 1.0
    except OverflowError:
        return None
    return yearly if math.isfinite(yearly) else None


def volatility(returns: Floats | None, periods: float) -> float | None:
    """Standard deviation of daily returns (ddof 1) x sqrt(periods), a share of 1 per year.

    The same as quantstats.stats.volatility and empyrical.annual_volatility at equal periods. None
    with fewer than two returns.
    """
    if returns is None or len(returns) < 2:
        return None
    return float(np.std(returns, ddof=1)) * math.sqrt(periods)


def sortino(returns: Floats | None, periods: float) -> float | None:
    """mean / downside deviation of daily returns x sqrt(periods); the target is 0.

    Downside deviation: sqrt(sum of squares of the negative returns / number of all returns). The
    same as quantstats.stats.sortino and empyrical.sortino_ratio at equal periods; tools that divide
    by the number of negative returns alone, or take their deviation from their own mean, differ.
    None with fewer than two returns or where no day lost.
    """
    if returns is None or len(returns) < 2:
        return None
    downside = math.sqrt(float(np.mean(np.square(np.minimum(returns, 0.0)))))
    if downside == 0.0:
        return None
    return float(np.mean(returns)) / downside * math.sqrt(periods)


def calmar(yearly: float | None, drawdown: float | None) -> float | None:
    """cagr / the size of the deepest drawdown, a share of the highest value before it.

    The same as quantstats.stats.calmar and empyrical.calmar_ratio at equal periods, which take the
    whole history as here; the original ratio takes 36 months. None where either is not defined or
    there was no drawdown.
    """
    if yearly is None or not drawdown:
        return None
    return yearly / abs(drawdown)


def deepest_drawdown(equity: Floats, start_capital: float) -> Drawdown | None:
    """When the deepest share was lost (udfs.figures.max_drawdown says how much); None without fall.

    Where shares mean nothing (a highest value not above 0) the deepest amount decides. Days count
    from the peak to the recovery, both at their end. quantstats.stats.drawdown_details starts at
    the first day below the peak and counts both ends: the trough and the share are the same, its
    start is a day later.
    """
    balance = start_capital + np.concatenate(([0.0], equity))
    peak = np.maximum.accumulate(balance)
    fall = peak - balance
    if not np.any(fall > 0.0):
        return None
    trough = int(np.argmax(fall / peak if peak[0] > 0.0 else fall))
    top = np.flatnonzero(fall == 0.0)
    before = int(top[top < trough][-1])
    after = top[top > trough]
    recovery = int(after[0]) if len(after) else None
    last = len(balance) - 1
    recovered = np.diff(top)
    longest = max(int(np.max(recovered[recovered > 1], initial=0)), last - int(top[-1]))
    return Drawdown(
        peak=before,
        trough=trough,
        recovery=recovery,
        days=(last if recovery is None else recovery) - before,
        longest=longest,
    )
