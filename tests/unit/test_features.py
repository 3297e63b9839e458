"""Features against TA-Lib and plain formulas; cut anywhere; pure; names."""

import math
import pickle
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import talib
from hypothesis import given, settings
from hypothesis import strategies as st

from udfs.bars import Bars, Floats, cut
from udfs.errors import ConfigError, InvariantError
from udfs.features import (
    CATALOG,
    bb_name,
    compute,
    donchian_name,
    feature_name,
    feature_set,
    initial_state,
    lookback,
    macd_name,
    parse_feature,
    stoch_name,
)

SAMPLE = Path(__file__).resolve().parents[3] / "shared" / "data" / "sample"
MINUTE_MS = 60_000
PERIODS = (2, 3, 14, 20, 50)
NAMES = (
    *("open", "high", "low", "close", "volume", "obv", "vwap_day"),
    *(f"{stem}_{n}" for stem in ("sma", "ema", "rsi", "atr", "adx", "roc") for n in PERIODS),
    *("atr_1", "roc_1"),
    *(macd_name(output, 12, 26, 9) for output in ("line", "signal", "hist")),
    *(macd_name(output, 5, 7, 1) for output in ("line", "signal", "hist")),
    *(bb_name(output, n, 2) for output in ("upper", "middle", "lower") for n in PERIODS),
    *(bb_name(output, 20, 2.5) for output in ("upper", "lower")),
    *(stoch_name(output, n, 3, 3) for output in ("k", "d") for n in PERIODS),
    *(stoch_name(output, 1, 1, 1) for output in ("k", "d")),
    *(stoch_name(output, 14, 1, 5) for output in ("k", "d")),
    *(donchian_name(output, n) for output in ("high", "low") for n in PERIODS),
    *(f"volume_sma_{n}" for n in PERIODS),
)
FEATURES = feature_set(NAMES)


def all_at_once(bars: Bars, names: tuple[str, ...] = NAMES) -> dict[str, Floats]:
    features = feature_set(names)
    return compute(initial_state(features), bars, features)[1]


def bars_of(close: Floats, spread: float = 0.0, seed: int = 0) -> Bars:
    """Bars whose opens are the previous closes, with some minutes missing."""
    random = np.random.default_rng(seed)
    number = len(close)
    close = np.asarray(close, dtype=np.float64)
    opens = np.concatenate((close[:1], close[:-1]))
    high = np.maximum(opens, close) * (1.0 + spread * random.random(number))
    low = np.minimum(opens, close) * (1.0 - spread * random.random(number))
    volume = np.where(random.random(number) < 0.2, 0.0, random.lognormal(2.0, 2.0, number))
    minutes = np.cumsum(np.where(random.random(number) < 0.02, random.integers(2, 900, number), 1))
    return Bars(minutes.astype(np.int64) * MINUTE_MS, opens, high, low, close, volume)


def walk(number: int, step: float = 1e-3, start: float = 100.0, seed: int = 1) -> Floats:
    return start * np.exp(np.cumsum(np.random.default_rng(seed).normal(0.0, step, number)))


def noise(number: int, size: float) -> Floats:
    return np.random.default_rng(2).normal(0.0, size, number)


N = 3000
PRICES = {
    "walk": bars_of(walk(N), 1e-3),
    "walk without wicks": bars_of(walk(N)),
    "coarse ticks": bars_of(np.round(walk(N), 1)),
    "flat": bars_of(np.full(N, 100.0)),
    "flat at a price that is no binary fraction": bars_of(np.full(N, 0.1)),
    "move, then flat": bars_of(np.concatenate((walk(300), np.full(700, 77.7)))),
    "mostly flat": bars_of(100.0 + (np.random.default_rng(3).random(N) < 0.01)),
    "60000 with tiny movements": bars_of(60_000.0 + np.round(noise(N, 1e-4), 4)),
    "60000 with cents": bars_of(60_000.0 + np.round(noise(N, 0.02), 2)),
    "price of 1e-5": bars_of(1e-5 + np.round(noise(N, 1e-7), 8)),
    "price of 1e-5 on a coarse tick": bars_of(np.round(walk(N, start=1e-5), 8)),
    "huge": bars_of(walk(N, start=1e12), 1e-3),
    "jumps": bars_of(walk(N) * np.where(np.random.default_rng(4).random(N) < 0.01, 10.0, 1.0)),
    "spikes": bars_of(walk(N) * np.where(np.random.default_rng(5).random(N) < 3e-3, 1e6, 1.0)),
    "up": bars_of(100.0 + 0.01 * np.arange(N)),
    "down": bars_of(1000.0 - 0.01 * np.arange(N)),
    "to and fro": bars_of(100.0 + np.arange(N) % 2),
    "shorter than most periods": bars_of(walk(17), 1e-3),
    "one bar": bars_of(walk(1), 1e-3),
}


def from_talib(name: str, bars: Bars) -> Floats | None:
    """TA-Lib's column of that name; None where TA-Lib has no such function."""
    feature = parse_feature(name)
    _, _, high, low, close, volume = bars
    periods = feature.periods
    match feature.family:
        case "sma" | "ema" | "rsi" | "roc":
            return getattr(talib, feature.family.upper())(close, *periods)
        case "atr" | "adx":
            return getattr(talib, feature.family.upper())(high, low, close, *periods)
        case "obv":
            return talib.OBV(close, volume)
        case "macd":
            outputs = talib.MACD(close, *periods)
            return outputs[("line", "signal", "hist").index(feature.output)]
        case "bb":
            width = float(periods[1])
            outputs = talib.BBANDS(close, periods[0], width, width)
            return outputs[("upper", "middle", "lower").index(feature.output)]
        case "stoch":
            outputs = talib.STOCH(high, low, close, periods[0], periods[1], 0, periods[2], 0)
            return outputs[("k", "d").index(feature.output)]
    return None


def assert_agrees(name: str, column: Floats, expected: Floats, close: Floats) -> None:
    """Null where TA-Lib is null, else within 1e-9 relative (macd also 1e-12 x close)."""
    assert np.array_equal(np.isnan(column), np.isnan(expected)), f"{name}: nulls differ"
    allowed = 1e-9 * np.abs(expected)
    if name.startswith("macd"):
        allowed = np.maximum(allowed, 1e-12 * close)
    wrong = np.flatnonzero(np.abs(column - expected) > allowed)
    assert not len(wrong), f"{name}[{wrong[0]}]: {column[wrong[0]]!r}, not {expected[wrong[0]]!r}"


@pytest.mark.parametrize("kind", PRICES)
def test_values_and_first_index_are_talibs(kind: str) -> None:
    bars = PRICES[kind]
    for name, column in all_at_once(bars).items():
        expected = from_talib(name, bars)
        if expected is not None:
            assert_agrees(name, column, expected, bars.close)


@pytest.mark.parametrize("symbol", ["BTCUSD", "XRPUSD"])
def test_values_on_real_bars_are_talibs(symbol: str) -> None:
    path = SAMPLE / f"{symbol}.parquet"
    if not path.exists():
        pytest.skip(f"no sample bars at {path}")
    table = pq.read_table(path, columns=list(Bars._fields))
    bars = Bars(*(column.to_numpy() for column in table.columns))
    for name, column in all_at_once(bars).items():
        expected = from_talib(name, bars)
        if expected is not None:
            assert_agrees(name, column, expected, bars.close)


@pytest.mark.parametrize("kind", ["walk", "coarse ticks", "spikes", "one bar"])
def test_channels_volume_mean_and_prices(kind: str) -> None:
    bars = PRICES[kind]
    columns = all_at_once(bars)
    for name in ("open", "high", "low", "close", "volume"):
        assert columns[name] is getattr(bars, name)
    for n in PERIODS:
        for i in range(min(len(bars.ts), 400)):
            high, low = columns[f"donchian_high_{n}"][i], columns[f"donchian_low_{n}"][i]
            volume = columns[f"volume_sma_{n}"][i]
            assert math.isnan(high) == math.isnan(low) == (i < n)
            assert math.isnan(volume) == (i < n - 1)
            if i >= n:
                assert high == max(bars.high[i - n : i])
                assert low == min(bars.low[i - n : i])
            if i >= n - 1:
                exact = math.fsum(bars.volume[i - n + 1 : i + 1]) / n
                assert math.isclose(volume, exact, rel_tol=1e-13)


def test_volume_mean_forgets_what_has_left_the_window() -> None:
    bars = PRICES["walk"]
    volume = np.full(N, 0.1)
    volume[:50] = 1e15
    volume[100:200] = 0.0
    column = all_at_once(bars._replace(volume=volume), ("volume_sma_20",))["volume_sma_20"]
    assert column[80] == pytest.approx(0.1, rel=1e-14)
    assert np.all(column[119:200] == 0.0)


def test_vwap_starts_anew_at_midnight_utc_and_is_null_without_volume() -> None:
    day = 86_400_000
    ts = np.array([day - 2, day - 1, day, day + 1, 3 * day])
    price = np.array([1.0, 4.0, 10.0, 20.0, 5.0])
    volume = np.array([1.0, 2.0, 0.0, 3.0, 0.0])
    bars = Bars(ts.astype(np.int64), price, price, price, price, volume)
    column = all_at_once(bars, ("vwap_day",))["vwap_day"]
    assert np.array_equal(column, [1.0, 3.0, math.nan, 20.0, math.nan], equal_nan=True)


def test_vwap_weighs_the_typical_price() -> None:
    bars = PRICES["walk"]
    column = all_at_once(bars, ("vwap_day",))["vwap_day"]
    days = bars.ts // 86_400_000
    for i in range(0, N, 37):
        today = slice(int(np.searchsorted(days, days[i])), i + 1)
        typical = (bars.high[today] + bars.low[today] + bars.close[today]) / 3.0
        traded = math.fsum(bars.volume[today])
        if traded > 0.0:
            exact = math.fsum(typical * bars.volume[today]) / traded
            assert math.isclose(column[i], exact, rel_tol=1e-12)
        else:
            assert math.isnan(column[i])


@pytest.mark.parametrize("kind", PRICES)
def test_bands_are_exact_whatever_came_before(kind: str) -> None:
    close = PRICES[kind].close
    columns = all_at_once(PRICES[kind])
    for i in range(19, len(close), 41):
        window = close[i - 19 : i + 1]
        mean = math.fsum(window) / 20
        deviation = math.sqrt(math.fsum((window - mean) ** 2) / 20)
        # sma is TA-Lib's running total, which keeps 1e-16 of the greatest price so far
        noise_left = 1e-12 * close[: i + 1].max()
        width = columns["bb_upper_20_2"][i] - columns["bb_middle_20_2"][i]
        assert math.isclose(columns["bb_middle_20_2"][i], mean, rel_tol=1e-9, abs_tol=noise_left)
        assert math.isclose(width, 2 * deviation, rel_tol=1e-9, abs_tol=noise_left)


def test_bands_of_a_flat_price_have_no_width() -> None:
    bars = bars_of(np.concatenate((walk(300, start=60_000.0), np.full(300, 60_000.1))))
    columns = all_at_once(bars)
    for n in (2, 14, 20, 50):
        flat = slice(300 + n - 1, None)
        upper, middle = columns[f"bb_upper_{n}_2"][flat], columns[f"bb_middle_{n}_2"][flat]
        assert np.array_equal(upper, middle)


def test_mean_of_a_long_run_does_not_drift() -> None:
    close = walk(1_000_000, step=1e-4, start=60_000.0)
    bars = bars_of(close)
    columns = all_at_once(bars, ("sma_20", "sma_5000"))
    for n in (20, 5000):
        for i in (n - 1, 500_000, 999_999):
            exact = math.fsum(close[i - n + 1 : i + 1]) / n
            assert math.isclose(columns[f"sma_{n}"][i], exact, rel_tol=1e-11)


def test_lookback_is_the_first_index() -> None:
    bars = PRICES["walk"]
    for name, column in all_at_once(bars).items():
        first = int(np.argmax(~np.isnan(column)))
        assert lookback(name) == (None if name == "vwap_day" else first)


def pieces_of(bars: Bars, cuts: list[int]) -> dict[str, Floats]:
    """All features, computed piece by piece, the state pickled in between."""
    edges = [0, *sorted(cuts), len(bars.ts)]
    state = initial_state(FEATURES)
    parts = []
    for start, stop in pairwise(edges):
        state, columns = compute(
            pickle.loads(pickle.dumps(state)), cut(bars, start, stop), FEATURES
        )
        parts.append(columns)
    return {name: np.concatenate([part[name] for part in parts]) for name in NAMES}


def assert_same_bits(actual: dict[str, Floats], expected: dict[str, Floats]) -> None:
    for name, column in expected.items():
        assert actual[name].tobytes() == column.tobytes(), name


SHORT = {kind: cut(bars, 0, 260) for kind, bars in PRICES.items()}


@settings(max_examples=25, deadline=None, derandomize=True)
@given(
    kind=st.sampled_from(sorted(SHORT)),
    cuts=st.lists(st.integers(min_value=0, max_value=260), max_size=12),
)
def test_pieces_cut_anywhere_give_the_same_bits(kind: str, cuts: list[int]) -> None:
    bars = SHORT[kind]
    inside = [min(edge, len(bars.ts)) for edge in cuts]
    assert_same_bits(pieces_of(bars, inside), all_at_once(bars))


@pytest.mark.parametrize("kind", ["walk", "coarse ticks"])
@pytest.mark.parametrize("length", [1, 2, 7, 64])
def test_pieces_of_one_length_give_the_same_bits(kind: str, length: int) -> None:
    bars = SHORT[kind]
    cuts = list(range(length, len(bars.ts), length))
    assert_same_bits(pieces_of(bars, cuts), all_at_once(bars))


def test_no_bars_change_nothing() -> None:
    before = compute(initial_state(FEATURES), SHORT["walk"], FEATURES)[0]
    after, columns = compute(before, cut(SHORT["walk"], 0, 0), FEATURES)
    assert [a.tobytes() for a in after] == [b.tobytes() for b in before]
    assert all(len(column) == 0 for column in columns.values())


def test_what_is_given_stays_as_it_was() -> None:
    bars = SHORT["walk"]
    for state in (initial_state(FEATURES), compute(initial_state(FEATURES), bars, FEATURES)[0]):
        given_state = [vector.tobytes() for vector in state]
        given_bars = [column.tobytes() for column in bars]
        first = compute(state, bars, FEATURES)[1]
        assert [vector.tobytes() for vector in state] == given_state
        assert [column.tobytes() for column in bars] == given_bars
        assert_same_bits(compute(state, bars, FEATURES)[1], first)


def test_columns_may_be_read_only_or_strided() -> None:
    bars = SHORT["walk"]
    frozen = Bars(*(column.copy() for column in bars))
    for column in frozen:
        column.flags.writeable = False
    strided = Bars(*(np.repeat(column, 2)[::2] for column in bars))
    assert_same_bits(all_at_once(frozen), all_at_once(bars))
    assert_same_bits(all_at_once(strided), all_at_once(bars))


def test_a_set_computes_each_feature_once_in_the_order_asked_for() -> None:
    names = ("ema_20", "bb_lower_20_2", "close", "ema_14", "bb_upper_20_2.5", "ema_20")
    features = feature_set(names)
    assert features.names == names[:5]
    assert [group.members[0].family for group in features.groups] == ["ema", "bb"]
    columns = compute(initial_state(features), SHORT["walk"], features)[1]
    assert tuple(columns) == names[:5]
    assert_same_bits(
        columns, {name: all_at_once(SHORT["walk"])[name] for name in ("ema_20", "ema_14")}
    )


def test_the_same_value_whatever_else_is_asked_for() -> None:
    together = all_at_once(PRICES["walk"])
    for name in NAMES:
        assert_same_bits(all_at_once(PRICES["walk"], (name,)), {name: together[name]})


def test_a_state_is_small_and_a_foreign_one_is_refused() -> None:
    sizes = {group.members[0].name: group.state_size for group in FEATURES.groups}
    assert sizes["rsi_50"] == 4
    assert max(sizes.values()) <= 5 * 50
    state = initial_state(feature_set(["sma_20"]))
    with pytest.raises(InvariantError):
        compute(state, SHORT["walk"], feature_set(["sma_21"]))
    with pytest.raises(InvariantError):
        compute(state, SHORT["walk"], feature_set(["sma_20", "rsi_14"]))


@pytest.mark.parametrize("entry", CATALOG, ids=lambda entry: entry.stem)
def test_every_catalogue_example_can_be_computed(entry) -> None:
    feature = parse_feature(entry.example)
    assert (feature.family, feature.output) == (entry.family, entry.output)
    assert feature_name(entry.stem, *feature.periods) == entry.example
    assert len(all_at_once(SHORT["walk"], (entry.example,))[entry.example]) == 260


def test_names_are_canonical() -> None:
    assert bb_name("upper", 20, 2.0) == "bb_upper_20_2"
    assert bb_name("lower", 20, 2.5) == "bb_lower_20_2.5"
    assert bb_name("lower", 20, 1e-5) == "bb_lower_20_0.00001"
    assert parse_feature("bb_upper_20_2.5").periods == (20, 2.5)
    assert parse_feature("macd_hist_12_26_9") == ("macd_hist_12_26_9", "macd", (12, 26, 9), "hist")


@pytest.mark.parametrize(
    ("name", "part"),
    [
        ("emma_20", "did you mean 'ema_20'?"),
        ("EMA_20", "did you mean 'ema_20'?"),
        ("rsi14", "did you mean 'rsi_14'?"),
        ("vwap", "did you mean 'vwap_day'?"),
        ("mcad_12_26_9", "did you mean 'macd_12_26_9'?"),
        ("bb_20_2", "did you mean 'bb_upper_20_2'?"),
        ("", "unknown feature"),
        ("ema", "ema_N"),
        ("ema_20_3", "ema_N"),
        ("obv_3", "'obv'"),
        ("macd_signal_12_26", "macd_signal_F_S_G"),
        ("ema_1", "whole number from 2"),
        ("ema_0", "whole number from 2"),
        ("ema_-5", "whole number from 2"),
        ("ema_2.5", "whole number from 2"),
        ("ema_020", "whole number from 2"),
        ("ema_" + "9" * 5000, "whole number from 2"),
        ("adx_1", "whole number from 2"),
        ("macd_1_26_9", "F is '1'"),
        ("roc_0", "whole number from 1"),
        ("bb_upper_20_0", "K is '0'"),
        ("bb_upper_20_-1", "K is '-1'"),
        ("bb_upper_20_2.0", "K is '2.0'"),
        ("bb_upper_20_nan", "K is 'nan'"),
        ("bb_upper_20_1e400", "K is '1e400'"),
    ],
)
def test_a_wrong_name_says_what_would_be_right(name: str, part: str) -> None:
    with pytest.raises(ConfigError) as raised:
        parse_feature(name)
    assert part in str(raised.value)
