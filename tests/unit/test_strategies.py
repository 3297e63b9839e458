"""The six kinds of strategies on small columns: when they answer, and when they must not."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from udfs.strategies import KINDS, params_problem
from udfs.strategies.kind import NOISE, above, below, number_text

NULL = math.nan
PARAMS: dict[str, dict[str, Any]] = {
    "ema_cross": {"fast": 5, "slow": 20},
    "rsi_reversion": {"period": 14, "low": 30, "high": 70},
    "macd_trend": {"fast": 12, "slow": 26, "signal": 9},
    "bollinger_breakout": {"period": 20, "k": 2},
    "donchian_breakout": {"entry": 20, "exit": 10},
    "trend_pullback": {
        "trend_tf": "15m",
        "trend_ema": 50,
        "rsi_period": 14,
        "low": 40,
        "high": 60,
    },
}
FEATURES = {
    "ema_cross": ("ema_5", "ema_20"),
    "rsi_reversion": ("rsi_14",),
    "macd_trend": ("macd_12_26_9", "macd_signal_12_26_9", "close"),
    "bollinger_breakout": ("close", "bb_upper_20_2", "bb_middle_20_2"),
    "donchian_breakout": ("close", "donchian_high_20", "donchian_low_10"),
    "trend_pullback": ("rsi_14", "close", "15m:ema_50"),
}


def answers(kind: str, *columns: list[float]) -> str:
    """One letter per bar, of columns in the order of FEATURES: B, S or a dot."""
    named = {
        name: np.array(column, dtype=np.float64)
        for name, column in zip(FEATURES[kind], columns, strict=True)
    }
    found = KINDS[kind].signals(named, PARAMS[kind])
    assert found.dtype == np.int8
    return "".join({1: "B", -1: "S", 0: "."}[int(answer)] for answer in found)


@pytest.mark.parametrize("kind", KINDS)
def test_features_that_a_kind_names(kind: str) -> None:
    assert KINDS[kind].features(PARAMS[kind]) == FEATURES[kind]
    assert params_problem(KINDS[kind], PARAMS[kind]) is None
    assert [param.name for param in KINDS[kind].params] == list(PARAMS[kind])


def test_ema_cross() -> None:
    fast = [1.0, 3.0, 3.0, 1.0, 1.0, 2.0, 3.0, 2.0, 1.0]
    slow = [2.0] * 9
    assert answers("ema_cross", fast, slow) == ".B.S..B.S"
    assert answers("ema_cross", slow, fast) == ".S.B..S.B"


def test_equal_lines_are_neither_above_nor_below() -> None:
    """From equal to above is a cross; from above to equal is none, nor back to above from it."""
    slow = [2.0] * 5
    assert answers("ema_cross", [2.0, 3.0, 2.0, 3.0, 2.0], slow) == ".B.B."
    assert answers("ema_cross", [2.0, 1.0, 2.0, 1.0, 2.0], slow) == ".S.S."


def test_rsi_reversion() -> None:
    rsi = [50.0, 29.0, 31.0, 71.0, 69.0, 30.0, 31.0, 70.0, 69.0, 25.0, 75.0, 20.0]
    assert answers("rsi_reversion", rsi) == "..B.S.B.S.BS"


def test_an_rsi_that_falls_through_both_levels_sells_once() -> None:
    assert answers("rsi_reversion", [80.0, 20.0, 80.0]) == ".SB"


def test_macd_trend() -> None:
    macd = [-1.0, 1.0, 2.0, -1.0, -1.0]
    assert answers("macd_trend", macd, [0.0] * 5, [100.0] * 5) == ".B.S."


def test_bollinger_breakout() -> None:
    close = [10.0, 13.0, 14.0, 11.0, 9.0, 8.0, 13.0, 9.0]
    assert answers("bollinger_breakout", close, [12.0] * 8, [10.0] * 8) == ".B..S.BS"


def test_donchian_breakout_answers_on_the_first_bar_of_a_break() -> None:
    close = [10.0, 13.0, 13.5, 11.0, 13.0, 7.0, 6.0, 9.0, 7.0]
    assert answers("donchian_breakout", close, [12.0] * 9, [8.0] * 9) == ".B..BS..S"


def test_donchian_breakout_is_silent_on_the_first_bar_of_its_channel() -> None:
    """Its condition must have been false and known one bar earlier: null is not false."""
    high, low = [NULL, 12.0, 12.0, 12.0, 12.0], [8.0] * 5
    assert answers("donchian_breakout", [13.0, 13.0, 13.0, 11.0, 13.0], high, low) == "....B"
    assert answers("donchian_breakout", [7.0, 7.0, 7.0], [12.0] * 3, [NULL, 8.0, 8.0]) == "..."
    assert answers("donchian_breakout", [9.0, 9.0, 7.0], [12.0] * 3, [NULL, 8.0, 8.0]) == "..S"


def test_donchian_breakout_needs_every_feature_now_but_only_its_own_before() -> None:
    """The entry channel is longer: while it is null at t nothing is answered, no SELL either."""
    close, low = [9.0, 7.0, 9.0, 7.0], [8.0] * 4
    assert answers("donchian_breakout", close, [NULL, NULL, NULL, 12.0], low) == "...S"
    assert answers("donchian_breakout", close, [NULL] * 4, low) == "...."


def test_trend_pullback_buys_above_the_trend_only_and_sells_anywhere() -> None:
    rsi = [50.0, 39.0, 41.0, 39.0, 41.0, 61.0, 59.0]
    close = [10.0, 10.0, 10.0, 10.0, 12.0, 10.0, 10.0]
    assert answers("trend_pullback", rsi, close, [11.0] * 7) == "....B.S"


def test_trend_pullback_looks_at_the_trend_of_this_bar_alone() -> None:
    rsi = [39.0, 41.0, 61.0, 59.0]
    assert answers("trend_pullback", rsi, [12.0] * 4, [NULL, 11.0, NULL, 11.0]) == ".B.S"
    assert answers("trend_pullback", rsi, [12.0] * 4, [11.0, NULL, 11.0, NULL]) == "...."
    assert answers("trend_pullback", rsi, [NULL, 12.0, 12.0, NULL], [11.0] * 4) == ".B.."


# A bar's values before and after a cross upwards, per kind: with them the kind buys at row 1.
BUYS: dict[str, tuple[list[float], ...]] = {
    "ema_cross": ([1.0, 3.0], [2.0, 2.0]),
    "rsi_reversion": ([20.0, 40.0],),
    "macd_trend": ([-1.0, 1.0], [0.0, 0.0], [100.0, 100.0]),
    "bollinger_breakout": ([10.0, 13.0], [12.0, 12.0], [11.0, 11.0]),
    "donchian_breakout": ([10.0, 13.0], [12.0, 12.0], [8.0, 8.0]),
    "trend_pullback": ([20.0, 50.0], [12.0, 12.0], [11.0, 11.0]),
}
# What a BUY looks at one bar earlier: the columns that cross, not the ones that only filter (a
# middle band is null where its upper one is, a MACD's close never).
CROSSING = {
    "ema_cross": {0, 1},
    "rsi_reversion": {0},
    "macd_trend": {0, 1, 2},
    "bollinger_breakout": {0, 1, 2},
    "donchian_breakout": {0, 1},
    "trend_pullback": {0},
}


@pytest.mark.parametrize("kind", KINDS)
def test_the_first_row_is_never_answered(kind: str) -> None:
    assert answers(kind, *BUYS[kind]) == ".B"
    assert answers(kind, *([column[1]] for column in BUYS[kind])) == "."
    assert answers(kind, *([] for _ in BUYS[kind])) == ""


@pytest.mark.parametrize("kind", KINDS)
def test_a_null_at_t_is_no_answer(kind: str) -> None:
    for at in range(len(BUYS[kind])):
        columns = [list(column) for column in BUYS[kind]]
        columns[at][1] = NULL
        assert answers(kind, *columns) == "..", FEATURES[kind][at]


@pytest.mark.parametrize("kind", KINDS)
def test_a_null_at_the_bar_before_counts_where_a_crossing_needs_it(kind: str) -> None:
    for at in range(len(BUYS[kind])):
        columns = [list(column) for column in BUYS[kind]]
        columns[at][0] = NULL
        expected = ".." if at in CROSSING[kind] else ".B"
        assert answers(kind, *columns) == expected, FEATURES[kind][at]


@pytest.mark.parametrize("kind", KINDS)
def test_answers_depend_on_two_bars_only(kind: str) -> None:
    """The answer at a row is the same whatever stands before the bar before it."""
    rng = np.random.default_rng(7)
    columns = [rng.choice([8.0, 20.0, 39.0, 41.0, 50.0, 75.0], size=200) for _ in BUYS[kind]]
    for column in columns:
        column[rng.random(200) < 0.1] = NULL
    whole = answers(kind, *(list(column) for column in columns))
    pairs = [answers(kind, *(list(c[at - 1 : at + 1]) for c in columns))[1] for at in range(1, 200)]
    assert whole == "." + "".join(pairs)
    assert {"B", "S"} <= set(whole)


# ---- noise ------------------------------------------------------------------------------------


@pytest.mark.parametrize("compare", [above, below])
@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e9])
def test_noise_is_relative_to_the_larger_value(compare: Callable[..., Any], scale: float) -> None:
    sign = 1 if compare is above else -1
    base = np.array([scale, -scale])
    within = base + sign * scale * NOISE * 0.9
    beyond = base + sign * scale * NOISE * 1.1
    assert compare(within, base).tolist() == [False, False]
    assert compare(beyond, base).tolist() == [True, True]
    assert compare(base, beyond).tolist() == [False, False]


def test_comparisons_with_null_and_zero() -> None:
    values = np.array([NULL, 0.0, 1e-300])
    assert above(values, 0.0).tolist() == [False, False, True]
    assert below(values, 0.0).tolist() == [False, False, False]
    assert below(0 * values, values).tolist() == [False, False, True]


def test_a_cross_within_noise_is_none() -> None:
    slow = [100.0] * 4
    assert answers("ema_cross", [99.0, 100.0 + 0.9e-7, 100.0 + 1.1e-7, 100.0], slow) == "..B."
    assert answers("ema_cross", [101.0, 100.0 - 0.9e-7, 100.0 - 1.1e-7, 100.0], slow) == "..S."
    assert answers("rsi_reversion", [20.0, 30.0 + 1e-8, 31.0]) == "..B"


def test_macds_noise_is_of_that_bars_close_not_of_its_tiny_lines() -> None:
    close = [1000.0, 1000.0, 1000.0, 10.0, 1000.0]
    assert answers("macd_trend", [0.0, 0.9e-9, 1.1e-9, 0.0, 0.0], [0.0] * 5, close) == "..B.."
    assert answers("macd_trend", [0.0, 0.0, -1.1e-9, 0.0, 0.0], [0.0] * 5, close) == "..S.."
    # A smaller close makes the same difference a cross.
    assert answers("macd_trend", [0.0, 0.9e-9], [0.0] * 2, [1000.0, 100.0]) == ".B"
    # At the bar before, that bar's close counts: the difference stood above it already.
    assert answers("macd_trend", [0.9e-9, 0.9e-9], [0.0] * 2, [100.0, 100.0]) == ".."
    assert answers("macd_trend", [0.9e-9, 0.9e-9], [0.0] * 2, [1000.0, 100.0]) == ".B"


# ---- reasons and parameters -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "buy", "sell"),
    [
        ("ema_cross", "ema_5 crosses above ema_20", "ema_5 crosses below ema_20"),
        ("rsi_reversion", "rsi_14 crosses above 30", "rsi_14 crosses below 70"),
        (
            "macd_trend",
            "macd_12_26_9 crosses above macd_signal_12_26_9",
            "macd_12_26_9 crosses below macd_signal_12_26_9",
        ),
        (
            "bollinger_breakout",
            "close crosses above bb_upper_20_2",
            "close crosses below bb_middle_20_2",
        ),
        (
            "donchian_breakout",
            "close breaks above donchian_high_20",
            "close breaks below donchian_low_10",
        ),
        (
            "trend_pullback",
            "rsi_14 crosses above 40 while close > 15m:ema_50",
            "rsi_14 crosses below 60",
        ),
    ],
)
def test_reasons_name_the_rule(kind: str, buy: str, sell: str) -> None:
    assert KINDS[kind].reasons(PARAMS[kind]) == (buy, sell)


@pytest.mark.parametrize(
    ("kind", "changes", "problem"),
    [
        ("ema_cross", {"fast": 20}, "fast (20) must be below slow (20)"),
        ("ema_cross", {"fast": 21}, "fast (21) must be below slow (20)"),
        ("ema_cross", {"fast": 1}, "fast: 1 is no period"),
        ("ema_cross", {"fast": 2}, None),
        ("ema_cross", {"fast": 2.5}, "fast: 2.5 is no period"),
        ("ema_cross", {"fast": "5"}, "fast: '5' is not a number"),
        ("ema_cross", {"fast": True}, "fast: True is not a number"),
        ("ema_cross", {"fast": None}, "fast: None is not a number"),
        ("ema_cross", {"slow": ...}, "ema_cross lacks its parameter 'slow'"),
        ("ema_cross", {"fats": 5}, "ema_cross has no parameter 'fats' (did you mean 'fast'?)"),
        ("macd_trend", {"fast": 26}, "fast (26) must be below slow (26)"),
        ("macd_trend", {"signal": 0}, "signal: 0 is no period"),
        ("macd_trend", {"signal": -9}, "signal: -9 is no period"),
        ("rsi_reversion", {"low": 70}, "low (70) must be below high (70)"),
        ("rsi_reversion", {"low": 70.5}, "low (70.5) must be below high (70)"),
        ("rsi_reversion", {"low": 69.5}, None),
        ("rsi_reversion", {"low": float("nan")}, "low: nan is not a finite number"),
        ("rsi_reversion", {"high": float("inf")}, "high: inf is not a finite number"),
        ("bollinger_breakout", {"k": 0}, "k (0) must be above 0"),
        ("bollinger_breakout", {"k": -0.5}, "k (-0.5) must be above 0"),
        ("bollinger_breakout", {"k": 2.5}, None),
        ("donchian_breakout", {"entry": 10, "exit": 20}, None),
        ("donchian_breakout", {"exit": 1}, "exit: 1 is no period"),
        ("trend_pullback", {"low": 60}, "low (60) must be below high (60)"),
        ("trend_pullback", {"trend_tf": "15"}, "trend_tf: "),
        ("trend_pullback", {"trend_tf": "7m"}, "trend_tf: "),
        ("trend_pullback", {"trend_tf": 15}, "trend_tf: "),
        ("trend_pullback", {"trend_tf": "1d"}, None),
    ],
)
def test_params_problem(kind: str, changes: dict[str, Any], problem: str | None) -> None:
    changed = PARAMS.get(kind, {}) | changes
    params = {name: value for name, value in changed.items() if value is not ...}
    found = params_problem(KINDS[kind], params)
    if problem is None:
        assert found is None
    else:
        assert found is not None and found.startswith(problem)


@pytest.mark.parametrize(
    ("number", "text"), [(2, "2"), (2.0, "2"), (2.5, "2.5"), (0.1, "0.1"), (30, "30")]
)
def test_numbers_in_names(number: float, text: str) -> None:
    assert number_text(number) == text
