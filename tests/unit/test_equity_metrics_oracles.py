"""Figures equal quantstats and empyrical where they mean the same; elsewhere how they differ."""

import math
import warnings

import numpy as np
import pandas as pd
import pytest

from udfs import figures, figures_returns, figures_trades


@pytest.fixture(scope="module", autouse=True)
def oracles():
    """They take a second to load, which is not spent by every process that collects tests."""
    global empyrical, quantstats
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import empyrical
        import quantstats.stats as quantstats


CAPITAL = 100_000.0
PERIODS = (365, 252)


def curves():
    """Equity without start capital: random ones, gains alone, losses alone, a drop to the end."""
    for seed in range(6):
        random = np.random.default_rng(seed)
        steps = random.normal(20.0, 900.0, 40 + 60 * seed)
        steps[random.random(len(steps)) < 0.3] = 0.0  # days without trades
        yield np.cumsum(steps)
    yield np.array([-1000.0, -4000.0, -4000.0, 2000.0, 1000.0])
    yield np.cumsum(np.full(30, -250.0) + np.arange(30.0))


CURVES = list(curves())
LOSSES = len(CURVES) - 1


def same(ours, theirs):
    assert ours == pytest.approx(theirs, rel=1e-9, abs=1e-9)


@pytest.mark.parametrize("periods", PERIODS)
@pytest.mark.parametrize("number", range(len(CURVES)))
def test_figures_of_returns(number, periods):
    equity = CURVES[number]
    returns = figures.daily_returns(equity, CAPITAL)
    dated = pd.Series(returns, pd.date_range("2024-01-01", periods=len(returns), freq="D"))
    share, _ = figures.max_drawdown(equity, CAPITAL)
    yearly = figures_returns.cagr(equity, CAPITAL, periods)

    same(figures.sharpe(returns, periods), quantstats.sharpe(dated, periods=periods))
    same(figures.sharpe(returns, periods), empyrical.sharpe_ratio(dated, annualization=periods))
    same(figures_returns.sortino(returns, periods), quantstats.sortino(dated, periods=periods))
    same(
        figures_returns.sortino(returns, periods),
        empyrical.sortino_ratio(dated, annualization=periods),
    )
    same(figures_returns.volatility(returns, periods), quantstats.volatility(dated, periods))
    same(
        figures_returns.volatility(returns, periods),
        empyrical.annual_volatility(dated, annualization=periods),
    )
    same(yearly, quantstats.cagr(dated, periods=periods))
    same(yearly, empyrical.annual_return(dated, annualization=periods))
    same(share, quantstats.max_drawdown(dated))
    same(share, empyrical.max_drawdown(dated))
    same(figures_returns.calmar(yearly, share), quantstats.calmar(dated, periods=periods))
    same(
        figures_returns.calmar(yearly, share), empyrical.calmar_ratio(dated, annualization=periods)
    )
    whole = figures_returns.total_return(equity, CAPITAL)
    same(whole, quantstats.comp(dated))
    same(whole, empyrical.cum_returns_final(dated))


def test_their_default_year_differs_by_a_constant_factor():
    returns = figures.daily_returns(CURVES[0], CAPITAL)
    dated = pd.Series(returns, pd.date_range("2024-01-01", periods=len(returns), freq="D"))
    factor = math.sqrt(365 / 252)
    same(figures.sharpe(returns, 365), factor * quantstats.sharpe(dated))
    same(figures_returns.sortino(returns, 365), factor * empyrical.sortino_ratio(dated))
    same(figures_returns.volatility(returns, 365), factor * quantstats.volatility(dated))


@pytest.mark.parametrize("number", range(len(CURVES)))
def test_the_deepest_drawdown(number):
    equity = CURVES[number]
    returns = figures.daily_returns(equity, CAPITAL)
    dated = pd.Series(returns, pd.date_range("2024-01-01", periods=len(returns), freq="D"))
    fall = figures_returns.deepest_drawdown(equity, CAPITAL)
    day = [None, *dated.index]  # 0 is the start capital, before the first day
    details = quantstats.drawdown_details(quantstats.to_drawdown_series(dated))
    if number == LOSSES:  # a fall from the first day on that never ends is none to it
        assert details.empty
        assert (fall.peak, fall.trough, fall.recovery, fall.days) == (0, 30, None, 30)
        return
    theirs = details.loc[details["max drawdown"].idxmin()]

    assert day[fall.trough] == pd.Timestamp(theirs["valley"])
    # Theirs starts a day later, at the first day below the peak, and ends at the last one below.
    assert day[fall.peak + 1] == pd.Timestamp(theirs["start"])
    last = len(dated) if fall.recovery is None else fall.recovery - 1
    assert day[last] == pd.Timestamp(theirs["end"])
    assert fall.days == theirs["days"] + (0 if fall.recovery is None else 1)
    unfinished = details["end"] == str(dated.index[-1].date())
    assert fall.longest == (details["days"] + ~unfinished).max()


def test_figures_of_trips_take_trips_where_quantstats_takes_days():
    """On a series of trips the formulas agree, except for what quantstats leaves out or adds."""
    net = np.random.default_rng(5).normal(2.0, 40.0, 200)
    trips = pd.Series(net / CAPITAL)
    same(figures.win_rate(net), quantstats.win_rate(trips))
    same(figures.profit_factor(net), quantstats.profit_factor(trips))
    same(figures_trades.payoff_ratio(net), quantstats.payoff_ratio(trips))
    same(figures_trades.average_win(net), CAPITAL * quantstats.avg_win(trips))
    same(figures_trades.average_loss(net), CAPITAL * quantstats.avg_loss(trips))
    assert figures_trades.longest_losing_streak(net) == quantstats.consecutive_losses(trips)
    with_zeros = np.concatenate((net, np.zeros(50)))
    shown = quantstats.win_rate(pd.Series(with_zeros / CAPITAL))
    same(figures.win_rate(with_zeros), shown * len(net) / len(with_zeros))
