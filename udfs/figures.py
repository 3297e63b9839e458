"""Figures of a run per strategy and account: what the summary shows.

Money counts in one quote currency. Profit and fees are exact sums (units of 10^-18); figures that
are ratios or read the marked equity are floats. None stands for "not defined": no round trips, no
losses, too few days, no capital.

Equity is marked to market, a value per local day without start capital (table equity_daily).
Drawdown and Sharpe put the account's whole start capital before the first day, for a strategy as
for the account: figures of two strategies of one account compare, and a strategy that uses a
tenth of the capital shows a tenth of the drawdown.

Where this differs from other tools, which matters when numbers are held side by side:
- Sharpe is arithmetic: mean / std of simple daily returns x sqrt(periods), no risk-free rate, std
  with ddof 1, days without trades counted as 0. quantstats.stats.sharpe gives the same on the same
  returns at the same periods (its default is 252, ours 365: these markets have no weekends).
  backtesting.py annualises geometrically and divides the compounded return by its volatility, so
  its Sharpe differs even on the same equity.
- The first day counts, from start capital to its end. `pandas.pct_change` of equity drops it.
- Drawdown is of daily closes: a dip within a day that recovers by its end is not seen.
  backtesting.py looks at every bar and tells more.
- Win rate and profit factor count round trips (closed FIFO segments, net of fees), not days
  (quantstats) and not orders; a trip that nets exactly 0 is no win.
- Time in market is a share of time, gaps in the bars included, not of bars (backtesting.py's
  Exposure Time).
"""

import math
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from udfs.bars import Floats, Ints
from udfs.money import plain_text

# Below this share of the largest cost a position counts as closed: sums of floats leave dust.
FLAT = 1e-9


class FigureInput(NamedTuple):
    """What the figures of one (account, strategy, quote currency) are made of.

    A line that sums up an account's strategies has the same, merged, with strategy_id "".
    `gross` and `fees` in units of 10^-18. net_pnl float64[m] per round trip. equity float64[days]
    without start capital. usage_ts int64[f] (ascending) and usage_cost float64[f]: times of fills
    and the total absolute open cost after each. `first_ts` and `last_ts` are the close times of
    the run's first and last bar (UTC ms). `rejected` counts by code.
    """

    account_id: str
    strategy_id: str
    currency: str
    signals: int
    accepted: int
    rejected: Mapping[str, int]
    gross: int
    fees: int
    net_pnl: Floats
    equity: Floats
    start_capital: float
    periods: int
    usage_ts: Ints
    usage_cost: Floats
    first_ts: int
    last_ts: int


def summary_row(given: FigureInput) -> dict[str, object]:
    """A line of the summary: plain values that JSON knows, None where not defined.

    gross_pnl, fees, net_pnl are exact decimal text, start_capital, max_drawdown_amount and
    peak_capital floats in the currency; win_rate, max_drawdown (of the peak before it, 0 or below)
    and time_in_market shares of 1; sharpe per year of `periods` days.
    """
    drawdown, drawdown_amount = max_drawdown(given.equity, given.start_capital)
    return {
        "account_id": given.account_id,
        "strategy_id": given.strategy_id,
        "currency": given.currency,
        "signals": given.signals,
        "accepted": given.accepted,
        "rejected": dict(sorted(given.rejected.items())),
        "round_trips": len(given.net_pnl),
        "gross_pnl": plain_text(given.gross),
        "fees": plain_text(given.fees),
        "net_pnl": plain_text(given.gross - given.fees),
        "win_rate": win_rate(given.net_pnl),
        "profit_factor": profit_factor(given.net_pnl),
        "max_drawdown": drawdown,
        "max_drawdown_amount": drawdown_amount,
        "sharpe": sharpe(daily_returns(given.equity, given.start_capital), given.periods),
        "time_in_market": time_in_market(
            given.usage_ts, given.usage_cost, given.first_ts, given.last_ts
        ),
        "peak_capital": peak_capital(given.usage_cost),
        "start_capital": given.start_capital,
    }


def win_rate(net_pnl: Floats) -> float | None:
    """The share of round trips with a net profit above 0; None without round trips.

    quantstats.stats.win_rate takes days, and leaves those of 0 out.
    """
    return float(np.mean(net_pnl > 0.0)) if len(net_pnl) else None


def profit_factor(net_pnl: Floats) -> float | None:
    """Sum of net profits / sum of net losses of round trips; None where nothing was lost.

    quantstats.stats.profit_factor takes days, and gives infinity or 0 without losses.
    """
    won = float(np.sum(net_pnl[net_pnl > 0.0]))
    lost = -float(np.sum(net_pnl[net_pnl < 0.0]))
    return won / lost if lost > 0.0 else None


def max_drawdown(equity: Floats, start_capital: float) -> tuple[float | None, float | None]:
    """The deepest fall of start capital + equity below its highest value so far.

    (share of the highest value so far, amount in the currency), both 0 or below; the deepest share
    and the deepest amount may fall on different days. (None, None) without days; the share is None
    where the highest value so far is not above 0. The share is that of
    quantstats.stats.max_drawdown and empyrical.max_drawdown.
    """
    if not len(equity):
        return None, None
    balance = start_capital + np.concatenate(([0.0], equity))
    peak = np.maximum.accumulate(balance)
    fall = balance - peak
    if peak[0] <= 0.0:
        return None, float(fall.min())
    return float((fall / peak).min()), float(fall.min())


def daily_returns(equity: Floats, start_capital: float) -> Floats | None:
    """float64[days]: each day's change of start capital + equity / its value the day before.

    None where that value is not above 0 on some day: then a return has no meaning.
    """
    balance = start_capital + np.concatenate(([0.0], equity))
    before = balance[:-1]
    if not np.all(before > 0.0):
        return None
    returns: Floats = np.diff(balance) / before
    return returns


def sharpe(returns: Floats | None, periods: int) -> float | None:
    """mean / std (ddof 1) of daily returns x sqrt(periods); no risk-free rate.

    None without returns, with fewer than two of them, or where they do not vary. The same as
    quantstats.stats.sharpe and empyrical.sharpe_ratio at equal periods (both default to 252).
    """
    if returns is None or len(returns) < 2 or np.all(returns == returns[0]):
        return None
    spread = float(np.std(returns, ddof=1))
    if spread == 0.0:
        return None
    return float(np.mean(returns)) / spread * math.sqrt(periods)


def time_in_market(usage_ts: Ints, usage_cost: Floats, first_ts: int, last_ts: int) -> float | None:
    """The share of [first_ts, last_ts] in which any position was open; None for an empty span."""
    if last_ts <= first_ts:
        return None
    if not len(usage_ts):
        return 0.0
    edges = np.clip(np.append(usage_ts, last_ts), first_ts, last_ts)
    is_open = usage_cost > FLAT * float(np.max(usage_cost))
    return float(np.sum(np.diff(edges)[is_open])) / (last_ts - first_ts)


def peak_capital(usage_cost: Floats) -> float:
    """The most that open positions cost at any time, shorts by their proceeds; 0 without fills."""
    return float(np.max(usage_cost)) if len(usage_cost) else 0.0
