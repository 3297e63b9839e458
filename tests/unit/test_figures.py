"""Figures against values worked out by hand, and where they are not defined."""

import json
import math
import statistics

import numpy as np
import pytest

from udfs.figures import (
    FigureInput,
    daily_returns,
    max_drawdown,
    peak_capital,
    profit_factor,
    sharpe,
    summary_row,
    time_in_market,
    win_rate,
)
from udfs.money import units


def floats(*values):
    return np.array(values, dtype=np.float64)


def ints(*values):
    return np.array(values, dtype=np.int64)


def given(**changes):
    """Three round trips (+30, -10, +5 net) over four days of an account with 1,000."""
    one = FigureInput(
        account_id="main",
        strategy_id="ema",
        currency="USD",
        signals=8,
        accepted=6,
        rejected={"OPEN_LIMIT_EXCEEDED": 1, "NO_OPEN_POSITION": 1},
        gross=units("28.5"),
        fees=units("3.5"),
        net_pnl=floats(30.0, -10.0, 5.0),
        equity=floats(30.0, 20.0, 20.0, 25.0),
        start_capital=1000.0,
        periods=365,
        usage_ts=ints(100, 200, 300, 400, 500, 600),
        usage_cost=floats(250.0, 0.0, 300.0, 0.0, 200.0, 0.0),
        first_ts=0,
        last_ts=1000,
    )
    return one._replace(**changes)


def test_a_whole_row():
    row = summary_row(given())
    returns = [30 / 1000, -10 / 1030, 0.0, 5 / 1020]
    expected_sharpe = statistics.fmean(returns) / statistics.stdev(returns) * math.sqrt(365)
    assert row.pop("sharpe") == pytest.approx(expected_sharpe, rel=1e-12)
    assert row == {
        "account_id": "main",
        "strategy_id": "ema",
        "currency": "USD",
        "signals": 8,
        "accepted": 6,
        "rejected": {"NO_OPEN_POSITION": 1, "OPEN_LIMIT_EXCEEDED": 1},
        "round_trips": 3,
        "gross_pnl": "28.5",
        "fees": "3.5",
        "net_pnl": "25",
        "win_rate": pytest.approx(2 / 3),
        "profit_factor": pytest.approx(3.5),
        "max_drawdown_amount": pytest.approx(-10.0),
        "max_drawdown": pytest.approx(-10 / 1030),
        "time_in_market": pytest.approx(0.3),
        "peak_capital": 300.0,
        "start_capital": 1000.0,
    }


def test_no_trades_defines_no_ratio():
    row = summary_row(
        given(
            accepted=0,
            gross=0,
            fees=0,
            net_pnl=floats(),
            equity=floats(0.0, 0.0, 0.0),
            usage_ts=ints(),
            usage_cost=floats(),
        )
    )
    assert row["round_trips"] == 0
    assert (row["gross_pnl"], row["net_pnl"], row["fees"]) == ("0", "0", "0")
    assert (row["win_rate"], row["profit_factor"], row["sharpe"]) == (None, None, None)
    assert (row["max_drawdown"], row["max_drawdown_amount"]) == (0.0, 0.0)
    assert (row["time_in_market"], row["peak_capital"]) == (0.0, 0.0)


def test_rows_are_what_json_knows():
    text = json.dumps(summary_row(given()), allow_nan=False)
    assert json.loads(text)["net_pnl"] == "25"


@pytest.mark.parametrize(
    ("trips", "rate", "factor"),
    [
        ((), None, None),
        ((7.0,), 1.0, None),
        ((-7.0,), 0.0, 0.0),
        ((0.0,), 0.0, None),
        ((1.0, 2.0), 1.0, None),
        ((-1.0, -2.0), 0.0, 0.0),
        ((4.0, -1.0, 0.0, -1.0), 0.25, 2.0),
    ],
)
def test_win_rate_and_profit_factor(trips, rate, factor):
    assert win_rate(floats(*trips)) == rate
    assert profit_factor(floats(*trips)) == factor


@pytest.mark.parametrize(
    ("equity", "capital", "amount", "share"),
    [
        ((), 100.0, None, None),
        ((10.0, 20.0), 100.0, 0.0, 0.0),
        ((-25.0,), 100.0, 25.0, 0.25),  # start capital is the first peak
        ((100.0, 50.0, 300.0, 240.0), 100.0, 60.0, 0.25),  # amount and share on different days
        ((-50.0, -150.0), 100.0, 150.0, 1.5),  # more than everything
        ((10.0, 5.0), 0.0, 5.0, None),  # a share of nothing
    ],
)
def test_max_drawdown(equity, capital, amount, share):
    assert max_drawdown(floats(*equity), capital) == (share and -share, amount and -amount)


def test_returns_start_from_the_capital():
    assert daily_returns(floats(10.0, -1.0), 100.0).tolist() == pytest.approx([0.1, -0.1])


@pytest.mark.parametrize(("equity", "capital"), [((1.0, 2.0), 0.0), ((-100.0, 5.0), 100.0)])
def test_no_returns_of_no_balance(equity, capital):
    assert daily_returns(floats(*equity), capital) is None


def test_sharpe_by_hand():
    # mean 0.01, deviations +-0.01, variance 0.0002 / 1: 0.01 / 0.0141421 * sqrt(252)
    assert sharpe(floats(0.02, 0.0), 252) == pytest.approx(math.sqrt(0.5) * math.sqrt(252))
    assert sharpe(floats(0.0, -0.02), 365) == pytest.approx(-math.sqrt(0.5 * 365))


@pytest.mark.parametrize("returns", [None, floats(), floats(0.5), floats(0.0, 0.0), floats(1, 1)])
def test_sharpe_is_not_defined(returns):
    assert sharpe(returns, 365) is None


@pytest.mark.parametrize(
    ("times", "costs", "share"),
    [
        ((), (), 0.0),
        ((0,), (5.0,), 1.0),  # still open at the end
        ((250,), (5.0,), 0.75),
        ((100, 400), (5.0, 0.0), 0.3),
        ((100, 100, 400), (5.0, 8.0, 0.0), 0.3),  # two fills at once
        ((100, 200, 300), (5.0, 1e-12, 7.0), 0.8),  # dust of sums is no position
        ((1000,), (5.0,), 0.0),  # filled at the very end
    ],
)
def test_time_in_market(times, costs, share):
    assert time_in_market(ints(*times), floats(*costs), 0, 1000) == pytest.approx(share)


def test_time_in_market_of_no_time():
    assert time_in_market(ints(5), floats(1.0), 5, 5) is None


def test_peak_capital():
    assert peak_capital(floats()) == 0.0
    assert peak_capital(floats(1.0, 9.0, 3.0)) == 9.0


def test_one_day():
    row = summary_row(given(equity=floats(25.0)))
    assert row["sharpe"] is None
    assert row["max_drawdown"] == 0.0
