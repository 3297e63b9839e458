"""Laws of daily sums and curves on random matches, and of exact sums on any decimals."""

import datetime
from decimal import Decimal, localcontext
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scripts.equity import columns
from scripts.equity.matches import local_days
from scripts.equity_metrics import daily_pnl, equity_curve, summary, summary_by
from udfs import figures_trades

OSLO = ZoneInfo("Europe/Oslo")
# A week around each change of the clocks in Oslo, 31 March and 27 October 2024.
TIMES = st.one_of(
    st.integers(1_711_584_000_000, 1_712_188_800_000),
    st.integers(1_729_728_000_000, 1_730_332_800_000),
)
AMOUNTS = st.decimals(-10_000, 10_000, places=12, allow_nan=False)
TEXTS = st.tuples(
    st.sampled_from(["a", "b", "paper:a"]),
    st.sampled_from(["x", "y/fast=1", "y/fast=2"]),
    st.sampled_from(["BTCUSD", "ETHUSD", "ETHEUR"]),
)
ROWS = st.lists(st.tuples(TEXTS, TIMES, AMOUNTS, AMOUNTS), max_size=30)
GROUPS = ("account", "strategy", "symbol")


def frame_of(rows):
    """Matches with exact net_pnl."""
    found = pd.DataFrame(
        [(*texts, ts, realized, fees, realized - fees) for texts, ts, realized, fees in rows],
        columns=["account_id", "strategy_id", "symbol", "match_ts", "realized_pnl", "fees",
                 "net_pnl"],
    )  # fmt: skip
    return found.astype({"match_ts": "int64"})


def sums(frame):
    """The exact sums of money columns by currency."""
    with localcontext(prec=60):
        return {
            currency: [sum(rows[name], Decimal(0)) for name in ("realized", "fees", "net_pnl")]
            for currency, rows in frame.groupby("currency")
        }


@settings(max_examples=25, deadline=None)
@given(ROWS, st.lists(st.sampled_from(GROUPS), unique=True))
def test_daily_sums_are_the_matches_sums_by_any_grouping(rows, by):
    frame = frame_of(rows)
    daily = daily_pnl(frame, by=by)
    plain = frame.assign(
        realized=frame["realized_pnl"],
        currency=frame["symbol"].str[-3:],
    )
    assert sums(daily) == sums(plain)
    assert daily["trades"].sum() == len(frame)
    if rows:
        groups = daily.groupby([*by, "currency"])
        assert set(groups.size()) == {(daily.index.max() - daily.index.min()).days + 1}


@settings(max_examples=40, deadline=None)
@given(st.lists(TIMES, max_size=20))
def test_days_are_oslos(moments):
    ts = np.array(moments, dtype=np.int64)
    expected = [datetime.datetime.fromtimestamp(one / 1000, OSLO).toordinal() for one in moments]
    assert local_days(ts, "Europe/Oslo", "ts").tolist() == expected


@settings(max_examples=15, deadline=None)
@given(ROWS, AMOUNTS, st.integers(1, 10**6))
def test_the_last_day_is_start_capital_and_everything_earned(rows, opened, capital):
    frame = frame_of(rows)
    frame = frame[frame["symbol"] != "ETHEUR"]
    snapshot = pd.DataFrame({"symbol": ["ETHUSD"], "unrealized": [opened]})
    options = {"start_capital": capital, "unrealized": snapshot}
    found, curve = summary(frame, **options), equity_curve(frame, **options)
    assert found["net_pnl"] == sum(frame["net_pnl"], Decimal(0))
    if len(frame):
        end = float(capital + found["net_pnl"] + opened)
        assert curve["equity"].iloc[-1] == pytest.approx(end, rel=1e-15, abs=1e-11)
        assert found["end_equity"] == curve["equity"].iloc[-1]


@settings(max_examples=10, deadline=None)
@given(ROWS)
def test_a_part_is_what_its_rows_alone_would_be(rows):
    frame = frame_of(rows)
    for part in summary_by(frame, "strategy_id").to_dict("records"):
        mine = frame["strategy_id"] == part["strategy_id"]
        alone = summary(frame[mine], currency=part["currency"])
        chosen = summary(frame, strategy=part["strategy_id"], currency=part["currency"])
        del alone["by_currency"], chosen["by_currency"]
        assert alone == chosen
        assert part["net_pnl"] == alone["net_pnl"]
        assert part["days"] == alone["days"]
        assert alone["sharpe"] in (None, part["sharpe"])  # a data frame has NaN for None


DECIMALS = st.one_of(
    st.decimals(-(10**19), 10**19, places=18),
    st.decimals(-1, 1, places=38),
    st.decimals(-(10**37), 10**37, places=0),
)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(DECIMALS, st.integers(0, 3)), max_size=20))
def test_group_sums_are_exact(rows):
    amounts = pa.chunked_array([pa.array([f"{amount:f}" for amount, _ in rows], pa.string())])
    found, scale = columns.amounts({"x": amounts}, "t")
    groups = np.array([group for _, group in rows], dtype=np.int64)
    with localcontext(prec=100):
        expected = [sum((a for a, g in rows if g == one), Decimal(0)) for one in range(4)]
    got = [columns.exact(one, scale) for one in columns.group_sums(found["x"], groups, 4)]
    assert got == expected
    doubles = columns.floats(found["x"], scale).tolist()
    assert doubles == pytest.approx([float(amount) for amount, _ in rows], rel=1e-14, abs=0.0)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 60), st.integers(0, 20)), min_size=1, max_size=12))
def test_exposure_is_the_share_of_moments_with_a_trip_open(spans):
    opened = np.array([start for start, _ in spans], dtype=np.int64)
    closed = opened + np.array([length for _, length in spans], dtype=np.int64)
    covered = {moment for start, length in spans for moment in range(start, start + length)}
    whole = int(closed.max() - opened.min())
    expected = len(covered) / whole if whole else None
    assert figures_trades.exposure(opened, closed) == pytest.approx(expected)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.sampled_from([-1.0, 0.0, 1.0]), max_size=15))
def test_the_longest_losing_streak(trips):
    longest = max(len(run) for run in "".join("l" if t < 0 else " " for t in trips).split(" "))
    assert figures_trades.longest_losing_streak(np.array(trips)) == longest


AMOUNTS = ("340282366920938463804", "-3.5e20", "1e30", "99999999999999999999")


@pytest.mark.parametrize("text", AMOUNTS)
def test_amounts_that_arrow_would_wrap(text):
    """2^128 + 1 tick of 10^-18 would come out as something else."""
    row = {"net_pnl": text, "realized_pnl": text, "match_ts": 1_711_756_800_000, "symbol": "XUSD"}
    assert daily_pnl(pd.DataFrame([row]))["net_pnl"].iloc[0] == Decimal(text)
