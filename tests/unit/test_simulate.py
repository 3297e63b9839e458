"""The simulated bars: valid, repeatable, and with the traits that their docstring states."""

from datetime import date
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from cli.simulate import SYMBOLS, write_simulated
from udfs.bars import Bars
from udfs.errors import ConfigError
from udfs.simulate import EXAMPLE_SYMBOLS, MINUTES_PER_DAY, simulate

START = 1_709_251_200_000  # 2024-03-01T00:00:00Z
MINUTES = 31 * MINUTES_PER_DAY
SPECS = {spec.symbol: spec for spec in EXAMPLE_SYMBOLS}


@pytest.fixture(scope="module")
def month() -> dict[str, Bars]:
    return simulate(1, EXAMPLE_SYMBOLS, START, MINUTES)


def _bytes(bars: Bars) -> list[bytes]:
    return [column.tobytes() for column in bars]


def _returns(bars: Bars) -> tuple[np.ndarray, np.ndarray]:
    """(ts, log return) of the bars whose predecessor is the minute before."""
    adjacent = np.diff(bars.ts) == 60_000
    return bars.ts[1:][adjacent], np.diff(np.log(bars.close))[adjacent]


def test_same_seed_same_bytes(month: dict[str, Bars]) -> None:
    again = simulate(1, EXAMPLE_SYMBOLS, START, MINUTES)
    assert list(again) == list(month)
    assert all(_bytes(again[symbol]) == _bytes(month[symbol]) for symbol in month)


def test_another_seed_gives_other_bars(month: dict[str, Bars]) -> None:
    other = simulate(2, EXAMPLE_SYMBOLS, START, MINUTES)
    assert all(_bytes(other[symbol]) != _bytes(month[symbol]) for symbol in month)


def test_a_symbol_does_not_depend_on_the_others(month: dict[str, Bars]) -> None:
    alone = simulate(1, [SPECS["DELTAUSD"]], START, MINUTES)
    assert _bytes(alone["DELTAUSD"]) == _bytes(month["DELTAUSD"])


@pytest.mark.parametrize("symbol", SYMBOLS)
def test_bars_are_valid(month: dict[str, Bars], symbol: str) -> None:
    bars = month[symbol]
    assert all(column.dtype == np.float64 for column in bars[1:])
    assert bars.ts.dtype == np.int64
    assert (np.diff(bars.ts) > 0).all()
    assert (bars.ts % 60_000 == 0).all()
    assert bars.ts[0] >= START and bars.ts[-1] < START + MINUTES * 60_000
    assert (np.array(bars[1:]) > 0).all() and np.isfinite(bars[1:]).all()
    assert (bars.low <= np.minimum(bars.open, bars.close)).all()
    assert (bars.high >= np.maximum(bars.open, bars.close)).all()


@pytest.mark.parametrize("symbol", SYMBOLS)
def test_prices_and_volumes_are_short_decimals(month: dict[str, Bars], symbol: str) -> None:
    bars, spec = month[symbol], SPECS[symbol]
    for column in bars[1:5]:
        assert all(float(f"{x:.{spec.price_decimals}f}") == x for x in column[:2000])
    assert all(float(f"{x:.{spec.quantity_decimals}f}") == x for x in bars.volume[:2000])


@pytest.mark.parametrize("symbol", SYMBOLS)
def test_volatility_clusters(month: dict[str, Bars], symbol: str) -> None:
    _, returns = _returns(month[symbol])
    squares = np.minimum(returns**2, np.quantile(returns**2, 0.999))
    for lag in (1, 10, 60):
        assert np.corrcoef(squares[:-lag], squares[lag:])[0, 1] > 0.03
    assert abs(np.corrcoef(returns[:-1], returns[1:])[0, 1]) < 0.06


@pytest.mark.parametrize("symbol", SYMBOLS)
def test_volatility_is_as_specified_and_tails_are_fat(month: dict[str, Bars], symbol: str) -> None:
    _, returns = _returns(month[symbol])
    daily = returns.std() * np.sqrt(MINUTES_PER_DAY)
    assert 0.6 < daily / SPECS[symbol].daily_volatility < 1.6
    assert ((returns / returns.std()) ** 4).mean() > 4


@pytest.mark.parametrize("symbol", SYMBOLS[1:])
def test_symbols_move_together(month: dict[str, Bars], symbol: str) -> None:
    ts, returns = _returns(month[SYMBOLS[0]])
    other_ts, other = _returns(month[symbol])
    _, left, right = np.intersect1d(ts, other_ts, return_indices=True)
    assert 0.3 < np.corrcoef(returns[left], other[right])[0, 1] < 0.95


@pytest.mark.parametrize("symbol", SYMBOLS)
def test_volume_grows_with_volatility(month: dict[str, Bars], symbol: str) -> None:
    bars = month[symbol]
    spread = (bars.high - bars.low) / bars.close
    ranks = [np.argsort(np.argsort(column)) for column in (spread, bars.volume)]
    assert np.corrcoef(*ranks)[0, 1] > 0.3


def test_gaps_grow_with_illiquidity(month: dict[str, Bars]) -> None:
    missing = [1 - len(month[symbol].ts) / MINUTES for symbol in SYMBOLS]
    assert missing == sorted(missing)
    assert 0.0 < missing[0] < 0.05 < missing[-1] < 0.3


def test_gaps_are_more_at_night(month: dict[str, Bars]) -> None:
    hours = month["ECHOUSD"].ts // 3_600_000 % 24
    assert (hours == 3).sum() < 0.8 * (hours == 15).sum()


def test_outages_take_every_symbol(month: dict[str, Bars]) -> None:
    traded = np.unique(np.concatenate([bars.ts for bars in month.values()]))
    longest = np.diff(traded).max() / 60_000
    assert 60 <= longest <= 3 * 240


@pytest.mark.parametrize("minutes", [1, 2, 90])
def test_short_spans(minutes: int) -> None:
    bars = simulate(3, EXAMPLE_SYMBOLS, START, minutes)
    assert list(bars) == list(SYMBOLS)
    assert all(len(one.ts) <= minutes for one in bars.values())


@pytest.mark.parametrize(
    ("seed", "specs", "start", "minutes", "message"),
    [
        (-1, EXAMPLE_SYMBOLS, START, 5, "seed -1"),
        (1, EXAMPLE_SYMBOLS, START + 1, 5, "whole minute"),
        (1, EXAMPLE_SYMBOLS, START, 0, "minutes 0"),
        (1, EXAMPLE_SYMBOLS * 2, START, 5, "named once"),
    ],
)
def test_refusals(seed: int, specs: tuple, start: int, minutes: int, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        simulate(seed, specs, start, minutes)


def test_files_say_that_they_are_simulated(tmp_path: Path) -> None:
    out = tmp_path / "bars"
    paths = write_simulated(out, seed=7, start=date(2024, 3, 1), days=2, symbols=SYMBOLS[:2])
    assert paths == [out / "ALFAUSD.parquet", out / "BRAVOUSD.parquet"]
    assert sorted(out.iterdir()) == paths
    table = pq.read_table(paths[0])
    assert table.column_names == ["symbol", "ts", "open", "high", "low", "close", "volume"]
    assert table.schema.metadata[b"tradeflow.simulated"] == b"true"
    assert table.schema.metadata[b"tradeflow.seed"] == b"7"
    assert set(table["symbol"].to_pylist()) == {"ALFAUSD"}
    assert table["ts"][0].as_py() == START


def test_files_repeat_byte_for_byte(tmp_path: Path) -> None:
    first = write_simulated(tmp_path / "a", days=1)
    second = write_simulated(tmp_path / "b", days=1)
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in second]


def test_unknown_symbol_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="did you mean 'ECHOUSD'"):
        write_simulated(tmp_path / "bars", symbols=["ALFAUSD", "EKOUSD"])
    assert not (tmp_path / "bars").exists()


def test_a_failed_write_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (path,) = write_simulated(tmp_path, days=1, symbols=SYMBOLS[:1])
    before = path.read_bytes()

    def fail(table: object, where: Path, **_: object) -> None:
        where.write_bytes(b"half")
        raise OSError("disk full")

    monkeypatch.setattr(pq, "write_table", fail)
    with pytest.raises(OSError, match="disk full"):
        write_simulated(tmp_path, days=1, seed=9, symbols=SYMBOLS[:1])
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]
