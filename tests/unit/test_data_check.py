"""`data check`: what is wrong with bars is found, told in words, and decides the exit code."""

import functools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from cli.main import app
from udfs.bars import Bars
from udfs.simulate import EXAMPLE_SYMBOLS, simulate

ROOT = Path(__file__).resolve().parents[2]
SAMPLE = ROOT.parent / "shared" / "data" / "sample"
START = 1_711_756_800_000
MINUTE = 60_000
PRICES = ("open", "high", "low", "close")
Columns = dict[str, Any]


@functools.cache
def simulated() -> Bars:
    (bars,) = simulate(5, EXAMPLE_SYMBOLS[:1], START, 2 * 1440).values()
    return bars


def columns() -> Columns:
    """Two days of a symbol with a bar in each minute."""
    found = {name: np.array(column) for name, column in simulated()._asdict().items()}
    found["ts"] = START + MINUTE * np.arange(len(found["ts"]))
    return {"symbol": ["A"] * len(found["ts"]), **found}


def check(*arguments: Any) -> Any:
    done = CliRunner().invoke(app, ["data", "check", *map(str, arguments)])
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done


def nothing(c: Columns) -> None:
    pass


def spike(c: Columns) -> None:
    c["close"][500] *= 1.08
    c["high"][500] = c["close"][500]


def spike_of_the_open(c: Columns) -> None:
    c["open"][500] *= 0.9
    c["low"][500] = c["open"][500]


def split(c: Columns) -> None:
    for name in PRICES:
        c[name][900:] /= 2


def crash(c: Columns) -> None:
    for name in PRICES:
        c[name][900:] *= 0.9
    c["high"][900] = c["open"][900] = c["close"][899]


def wick(c: Columns) -> None:
    c["high"][500] *= 1.3


def late(c: Columns) -> None:
    c["ts"][100:102] = c["ts"][[101, 100]]


def conflict(c: Columns) -> None:
    c["ts"][100] = c["ts"][99]


def twice(c: Columns) -> None:
    for name in ("ts", *PRICES, "volume"):
        c[name][100] = c[name][99]


def frozen(c: Columns) -> None:
    for name in PRICES:
        c[name][500:700] = c["close"][499]


def no_volume(c: Columns) -> None:
    c["volume"][:] = 0


def gap(c: Columns) -> None:
    c["ts"][1000:] += 90 * MINUTE


def illiquid(c: Columns) -> None:
    c["ts"][:] = START + MINUTE * np.cumsum(1 + (np.arange(len(c["ts"])) % 3 == 0))


def invalid(c: Columns) -> None:
    c["low"][5], c["volume"][7], c["high"][9], c["close"][11] = -1, np.nan, 1, np.inf
    c["ts"][13] += 1


BACK = "the price goes away and comes back within one bar"
DROPS = "which a backtest drops"
FAULTS: list[tuple[Callable[[Columns], None], str, list[str]]] = [
    (nothing, "ok", []),
    (spike, "bad", [f"{BACK}: +7.9 % at 2024-03-30 08:2"]),
    (spike_of_the_open, "bad", [f"{BACK}: -10."]),
    (split, "bad", ["the level shifts, as by a split or another unit: -49.9 % at"]),
    (crash, "warn", ["large moves from close to close: -9.9 %"]),
    (wick, "warn", ["a high or low is far off all other prices: +"]),
    (late, "bad", [f"rows after a later one, {DROPS}: 1, the first is a.parquet row 102"]),
    (conflict, "bad", [f"rows that repeat a time with other values, {DROPS}: 1"]),
    (twice, "warn", ["rows that are there twice, which changes nothing: 1, the first"]),
    (frozen, "warn", ["the price stands still for 20"]),
    (no_volume, "warn", ["100 % of the bars have no volume"]),
    (gap, "warn", ["gaps longer than 1h: the longest 90m after 2024-03-30 16:39"]),
    (illiquid, "warn", ["25 % of the bars are missing"]),
    (invalid, "bad", [
        f"rows that are invalid (BAD_TS), {DROPS}: 1, the first is a.parquet row 14",
        "(PRICE_NOT_FINITE)", "(PRICE_NOT_POSITIVE)", "(OHLC_INCONSISTENT)", "(BAD_VOLUME)"]),
]  # fmt: skip


@pytest.mark.parametrize(
    ("fault", "verdict", "reasons"), FAULTS, ids=lambda v: getattr(v, "__name__", "")
)
def test_a_fault_is_found(
    fault: Callable[[Columns], None],
    verdict: str,
    reasons: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    given = columns()
    fault(given)
    pq.write_table(pa.table(given), "a.parquet")
    done = check("a.parquet", "--json")
    report = json.loads(done.stdout)
    (symbol,) = report["symbols"]
    told = [reason["text"] for reason in symbol["reasons"]]
    assert report["verdict"] == symbol["verdict"] == verdict, told
    for reason in reasons:
        assert [text for text in told if reason in text], told
    assert len([one for one in symbol["reasons"] if one["level"] == verdict]) >= len(reasons)
    assert done.exit_code == (verdict == "bad")
    assert check("a.parquet", "--strict").exit_code == (verdict != "ok")
    assert symbol["rows"] == len(given["ts"])
    assert symbol["rows"] - symbol["bars"] == sum(one["rows"] for one in symbol["rejected"])


def test_limits_that_a_person_sets(tmp_path: Path) -> None:
    given = columns()
    for fault in (spike, crash, gap):
        fault(given)
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table(given), path)
    options = ["--max-gap", "2h", "--max-jump", "20", "--max-spike", "20", "--strict"]
    assert check(path, *options).exit_code == 0
    assert check(path, *options, "--timeframe", "5m").exit_code == 1


def test_what_people_read(tmp_path: Path) -> None:
    given = columns()
    spike(given)
    pq.write_table(pa.table(given), tmp_path / "a.parquet")
    pq.write_table(pa.table({**columns(), "symbol": ["B"] * 2880}), tmp_path / "b.parquet")
    done = check(tmp_path / "*.parquet")
    assert done.exit_code == 1
    rows = [line.split() for line in done.stdout.splitlines() if "2024-03-30 00:00" in line]
    assert [row[:2] for row in rows] == [["A", "bad"], ["B", "ok"]]
    assert "\nA\n  bad  the price goes away and comes back" in done.stdout
    assert "\nB\n" not in done.stdout


def test_symbols_of_one_file_and_rows_without_one(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    rows = [f"{name},{START + i * MINUTE},2,2,1,2,5" for i in range(30) for name in ("B", "A")]
    path.write_text("symbol,ts,open,high,low,close,volume\n" + "\n".join([*rows, ",5,1,1,1,1,1"]))
    report = json.loads(check(path, "--json").stdout)
    found = {one["symbol"]: (one["verdict"], one["rows"]) for one in report["symbols"]}
    assert found == {"": ("bad", 1), "A": ("ok", 30), "B": ("ok", 30)}


def test_bars_of_different_lengths_are_no_input_of_one_run(tmp_path: Path) -> None:
    given = columns()
    pq.write_table(pa.table(given), tmp_path / "a.parquet")
    hours = {**{name: values[:40] for name, values in given.items()}, "symbol": ["B"] * 40}
    hours["ts"] = START + 60 * MINUTE * np.arange(40)
    pq.write_table(pa.table(hours), tmp_path / "b.parquet")
    done = check(tmp_path / "*.parquet")
    assert done.exit_code == 1 and "bars of 1h among others of 1m" in done.stdout
    assert check(tmp_path / "b.parquet").exit_code == 0


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["none.parquet"], "no file matches 'none.parquet'"),
        (["a.txt", "--max-gap", "1 hour"], "--max-gap: '1 hour' is no span of time"),
        (["a.txt", "--timeframe", "7m"], "--timeframe: '7m' is no timeframe"),
        (["a.txt"], "column 'symbol' is missing"),
    ],
)
def test_what_is_refused(
    arguments: list[str], reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("a.txt").write_text("a,b\n1,2\n")
    done = check(*arguments)
    assert done.exit_code == 2 and reason in done.stderr


@pytest.mark.skipif(not SAMPLE.is_dir(), reason="the sample of real bars is not here")
def test_real_bars_with_real_gaps_are_warnings_and_never_bad() -> None:
    done = check(SAMPLE / "*.parquet", "--json")
    report = json.loads(done.stdout)
    assert done.exit_code == 0
    assert {one["verdict"] for one in report["symbols"]} == {"warn"}
    words = {reason["text"].split()[0] for one in report["symbols"] for reason in one["reasons"]}
    assert "gaps" in words
    assert all(one["rows"] == one["bars"] for one in report["symbols"])
