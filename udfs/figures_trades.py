"""Figures of round trips: closed segments, first in first out, net of fees.

They go on where udfs/figures.py ends (win_rate and profit_factor stand there). net_pnl float64[m]
is one value per round trip in the order of closing, in one currency. None stands for "not defined".
quantstats has figures of the same names over days instead of trips, so its numbers differ.
"""

import numpy as np

from udfs.bars import Floats, Ints

HOUR_MS = 3_600_000.0


def expectancy(net_pnl: Floats) -> float | None:
    """The mean net profit of a round trip, in the currency; None without round trips.

    Equal to win rate x average win + loss rate x average loss. backtesting.py's Expectancy is the
    mean return of a trade in percent.
    """
    return float(np.mean(net_pnl)) if len(net_pnl) else None


def expectancy_r(net_pnl: Floats) -> float | None:
    """expectancy / |average loss|: profit per unit of risk; None without a losing round trip."""
    mean, loss = expectancy(net_pnl), average_loss(net_pnl)
    return None if mean is None or loss is None else mean / -loss


def average_win(net_pnl: Floats) -> float | None:
    """The mean of net profits above 0, in the currency; None where there is none."""
    won = net_pnl[net_pnl > 0.0]
    return float(np.mean(won)) if len(won) else None


def average_loss(net_pnl: Floats) -> float | None:
    """The mean of net profits below 0, in the currency, negative; None where there is none."""
    lost = net_pnl[net_pnl < 0.0]
    return float(np.mean(lost)) if len(lost) else None


def payoff_ratio(net_pnl: Floats) -> float | None:
    """average win / |average loss|; None where nothing was won or nothing was lost."""
    win, loss = average_win(net_pnl), average_loss(net_pnl)
    return None if win is None or loss is None else win / -loss


def longest_losing_streak(net_pnl: Floats) -> int:
    """The most round trips in a row with a net profit below 0; a trip that nets 0 ends a streak."""
    stops = np.flatnonzero(~(net_pnl < 0.0))
    edges = np.concatenate(([-1], stops, [len(net_pnl)]))
    return int(np.max(np.diff(edges))) - 1


def average_holding_hours(open_ts: Ints, close_ts: Ints) -> float | None:
    """The mean time from opening to closing fill in hours, every round trip counted alike.

    Times in UTC ms. A late fill may close before it opened: that counts as 0.
    """
    if not len(open_ts):
        return None
    return float(np.mean(np.maximum(close_ts - open_ts, 0))) / HOUR_MS


def exposure(open_ts: Ints, close_ts: Ints) -> float | None:
    """The share of time from the first opening to the last closing fill with a trip open.

    The union of all [open, close) intervals / that span; UTC ms. Closed round trips only: what is
    still open at the end does not count, unlike udfs.figures.time_in_market, which knows every fill
    and the run's first and last bar. quantstats.stats.exposure is the share of days with a return
    that is not 0, rounded up to a percent. None for an empty span.
    """
    if not len(open_ts):
        return None
    order = np.argsort(open_ts, kind="stable")
    start, end = open_ts[order], close_ts[order]
    span = int(end.max()) - int(start[0])
    if span <= 0:
        return None
    covered_to = np.concatenate((start[:1], np.maximum.accumulate(end)[:-1]))
    return int(np.sum(np.maximum(end - np.maximum(start, covered_to), 0))) / span


def gross_exposure(
    traded: Floats, open_ts: Ints, close_ts: Ints, start_capital: float
) -> float | None:
    """The average value of open round trips over the span of `exposure` / start capital.

    Sum of value x time / span, where a trip's value is the mean of its bought and sold notional:
    `traded` float64[m] holds both sides together, in the currency. A match does not say which side
    opened, and the two differ by its profit alone. Longs and shorts add up. None for an empty span
    or no start capital.
    """
    if not len(open_ts) or start_capital <= 0.0:
        return None
    span = int(close_ts.max()) - int(open_ts.min())
    if span <= 0:
        return None
    held = np.maximum(close_ts - open_ts, 0)
    return float(np.sum(traded / 2.0 * held)) / span / start_capital


def turnover(traded: float, start_capital: float) -> float | None:
    """Bought and sold notional of round trips / start capital, over the whole time.

    Both sides count, so buying and selling the whole capital once is 2. None without start capital.
    """
    return traded / start_capital if start_capital > 0.0 else None


def turnover_annual(traded: float, start_capital: float, days: int, periods: float) -> float | None:
    """turnover x periods / days: times a year. None without days or start capital."""
    whole = turnover(traded, start_capital)
    return None if whole is None or not days else whole * periods / days


def fee_share(fees: float, gross_pnl: float) -> float | None:
    """fees / |gross_pnl|: the share of the result before fees that fees took, or added to a loss.

    Both in the currency. Above 1 where fees turned a profit into a loss; negative where rebates
    outweigh fees. None where the result before fees is 0.
    """
    return fees / abs(gross_pnl) if gross_pnl else None


def fee_bps(fees: float, traded: float) -> float | None:
    """fees / bought and sold notional x 10,000: what a side cost. None where nothing was traded."""
    return fees / traded * 10_000.0 if traded > 0.0 else None
