"""Files of bars of every kind: how their values are read, what is refused and what is told."""

import copy
import datetime
import decimal
import gzip
import random
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from jobs import sources
from jobs.pipeline import run_local
from jobs.run import RunReport, run_frames
from schemas.config import parse_config
from schemas.resolve import plan_run
from tests import odd_values
from tests.reference import run as reference
from tests.reference.cases import add_budget, random_config, random_rows
from tests.reference.compare import differences
from tests.runs import run
from udfs.errors import ConfigError

MINUTE = 60_000
START = 1_711_756_800_000
SYMBOLS = ["AAAUSD", "BBBUSD"]
COUNTED = (
    "rejected", "price_rejects", "skipped", "late", "duplicates", "over_cap", "unfilled",
)  # fmt: skip


def bars(count: int = 200, start: int = START) -> pa.Table:
    rng = random.Random(5)
    rows, price = [], 100.0
    for number in range(count):
        close = round(price * (1 + rng.gauss(0, 0.004)), 2)
        edges = {"high": max(price, close) + 0.5, "low": min(price, close) - 0.5}
        row = {"symbol": "AAAUSD", "ts": start + number * MINUTE, "open": price, **edges}
        rows.append({**row, "close": close, "volume": 1.0})
        price = close
    return pa.Table.from_pylist(rows)


def text(table: pa.Table) -> str:
    lines = [",".join(map(str, row.values())) for row in table.to_pylist()]
    return "\n".join([",".join(table.column_names), *lines]) + "\n"


def config(files: Path | str, **changes: Any) -> dict[str, Any]:
    return {
        "run.id": "x",
        "prices.files": str(files),
        "symbols": {"AAAUSD": {"price_tick": "0.01"}},
        "strategies": [{"id": "e", "kind": "ema_cross", "params": {"fast": 3, "slow": 8}}],
        "accounts": [{"id": "a", "strategies": ["e"], "sizing": {"fixed_qty": "1"}}],
        **changes,
    }


def put(folder: Path, content: pa.Table | bytes | str, name: str) -> Path:
    path = folder / name
    if isinstance(content, pa.Table):
        pq.write_table(content, path)
    else:
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def replaced(table: pa.Table, name: str, column: Any) -> pa.Table:
    return table.set_column(table.column_names.index(name), name, pa.array(column))


def tables(report: RunReport) -> dict[str, list[dict[str, Any]]]:
    paths = sorted(report.folder.glob("*.parquet"))
    return {path.stem: pq.read_table(path).to_pylist() for path in paths}


# ---- values that are read ---------------------------------------------------------------------


def run_both(tree: dict[str, Any], path: Path, rows: list[dict[str, Any]]) -> list[str]:
    """How a run of the file differs from the reference's of the raw rows."""
    expected = reference.run(copy.deepcopy(tree), rows)
    plan = plan_run(parse_config(tree), trace=True)
    tasks, _ = sources.plan_tasks([str(path)], [symbol.symbol for symbol in plan.symbols])
    got = run_local(plan, tasks, lambda count: None, random.Random(len(rows)).choice([7, 9999]))
    counted = [name for name in COUNTED if got.counts[name] != expected["manifest"][name]]
    return differences(got.tables, expected) + counted


def case(seed: int) -> tuple[random.Random, dict[str, Any], list[dict[str, Any]]]:
    rng = random.Random(seed)
    tree = random_config(rng, SYMBOLS, 300)
    add_budget(rng, tree)
    return rng, tree, random_rows(rng, SYMBOLS, 300, 0.03)


@pytest.mark.parametrize("seed", range(10))
def test_odd_texts_are_read_like_the_reference_reads_them(seed: int, tmp_path: Path) -> None:
    rng, tree, rows = case(seed)
    texts = odd_values.odd_texts(rng, rows, 0.08)
    odd_values.write_csv(rng, texts, tmp_path / "bars.csv")
    assert run_both(tree, tmp_path / "bars.csv", texts) == []


@pytest.mark.parametrize("seed", range(100, 114))
def test_odd_columns_are_read_like_the_reference_reads_them(seed: int, tmp_path: Path) -> None:
    rng, tree, rows = case(seed)
    raw = odd_values.write_parquet(rng, rows, tmp_path / "bars.parquet")
    assert run_both(tree, tmp_path / "bars.parquet", raw) == []


@pytest.mark.parametrize("seed", range(200, 204))
def test_times_before_1970_are_times(seed: int, tmp_path: Path) -> None:
    _, tree, rows = case(seed)
    shift = -1_553_990_400_000 - random.Random(seed).choice([150, 20_000_000]) * MINUTE
    for name in ("start", "end"):
        if name in tree["run"]:
            tree["run"][name] += shift
    moved = [{**row, "ts": row["ts"] + shift} for row in rows]
    path = put(tmp_path, pa.Table.from_pylist(moved), "bars.parquet")
    assert run_both(tree, path, moved) == []


def test_the_nearest_double_of_a_decimal() -> None:
    rng = random.Random(1)
    values = [decimal.Decimal(rng.randrange(10**20)).scaleb(-rng.randrange(18)) for _ in range(999)]
    column = pa.chunked_array([pa.array(values, pa.decimal128(38, 18))])
    assert sources.doubles(column).tolist() == [float(value) for value in values]


BARS = bars()
TEXT = text(BARS)
PADDED = TEXT.replace("ts,", " ts ,").replace(",1.0\n", ", 1.0\t\n")
QUOTED = "".join('"' + line.replace(",", '","') + '"\r\n' for line in TEXT.splitlines())
EXTRA = "".join(f"{line},{i}é\n" for i, line in enumerate(TEXT.splitlines()))
READABLE = {
    "crlf.csv": TEXT.replace("\n", "\r\n"),
    "bom.csv": "\ufeff" + TEXT,
    "quotes.csv": QUOTED,
    "spaces.csv": PADDED,
    "extra.csv": EXTRA,
    "empty lines.csv": "\n\n" + TEXT.replace("\n", "\n\n"),
    "no last newline.csv": TEXT.rstrip(),
    "packed.csv.gz": gzip.compress(TEXT.encode()),
    "PACKED.CSV.GZ": gzip.compress(TEXT.encode()),
    "a[1]*b.csv": TEXT,
    "seconds.parquet": replaced(BARS, "ts", [t // 1000 for t in BARS["ts"].to_pylist()]).cast(
        BARS.schema.set(1, pa.field("ts", pa.timestamp("s")))
    ),
    "microseconds.parquet": replaced(
        BARS, "ts", pa.array([t * 1000 for t in BARS["ts"].to_pylist()], pa.timestamp("us", "UTC"))
    ),
    "dictionary.parquet": replaced(
        BARS, "symbol", BARS["symbol"].combine_chunks().dictionary_encode()
    ),
}


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[dict[str, Any]]]:
    folder = tmp_path_factory.mktemp("plain")
    return tables(run(config(put(folder, BARS, "bars.parquet")), folder / "runs"))


@pytest.mark.parametrize("name", READABLE)
def test_every_spelling_of_the_same_bars(name: str, plain: dict[str, Any], tmp_path: Path) -> None:
    report = run(config(put(tmp_path, READABLE[name], name)), tmp_path / "runs")
    assert report.warnings == []
    assert tables(report) == plain


# ---- files that are refused -------------------------------------------------------------------

SHORT = TEXT + "AAAUSD,1,2\n"
LATIN = TEXT.encode() + "AAAUSD,1,2,3,ä,5,6\n".encode("latin-1")
PARQUET = pa.BufferOutputStream()
pq.write_table(BARS, PARQUET)
WHOLE = PARQUET.getvalue().to_pybytes()
DAMAGED = bytes(byte ^ 0x5A if 200 < at < 900 else byte for at, byte in enumerate(WHOLE))
REFUSED = {
    "ragged.csv": (SHORT, "row 201 has 3 values, not 7: 'AAAUSD,1,2'"),
    "latin.csv": (LATIN, "row 201, column 'low' is not UTF-8 text: b'\\xe4'"),
    "utf16.csv": (TEXT.encode("utf-16"), "the header is not UTF-8 text"),
    "twice.csv": (TEXT.replace("volume", "close", 1), "'close' is there 2 times"),
    "header.csv": (TEXT.splitlines()[0], "no rows; expected bars"),
    "none.csv": ("", "is empty; expected a header line"),
    "blank.csv": ("\n\n", "is empty"),
    "semicolons.csv": (TEXT.replace(",", ";"), "column 'symbol' is missing"),
    "other case.csv": (TEXT.replace("AAAUSD", "aaausd"), "(did you mean 'aaausd'?)"),
    "not packed.csv.gz": (TEXT, "Not a gzipped file"),
    "cut.csv.gz": (gzip.compress(TEXT.encode())[:-100], "not a CSV file that can be read"),
    "none.parquet": (b"", "not a Parquet file"),
    "csv in truth.parquet": (TEXT, "a file is read as CSV where its name ends in .csv"),
    "cut.parquet": (WHOLE[: len(WHOLE) // 2], "not a Parquet file"),
    "damaged.parquet": (DAMAGED, "row group 1 of 1 can't be read, the file is damaged"),
    "no rows.parquet": (BARS.slice(0, 0), "no rows; expected bars"),
    "names.parquet": (
        BARS.rename_columns([*BARS.column_names[:5], "Close", "volume"]),
        "column 'close' is missing (did you mean 'Close'?)",
    ),
    "twice.parquet": (BARS.append_column("symbol", BARS["symbol"]), "'symbol' is there 2 times"),
    "bool.parquet": (replaced(BARS, "close", [True] * 200), "column 'close' holds bool; expected"),
    "list.parquet": (replaced(BARS, "ts", [[1]] * 200), "expected whole numbers: milliseconds"),
    "bytes.parquet": (replaced(BARS, "low", [b"1"] * 200), "column 'low' holds binary"),
    "number.parquet": (replaced(BARS, "symbol", [7] * 200), "column 'symbol' holds int64"),
    "empty.parquet": (
        replaced(BARS, "symbol", pa.nulls(200, pa.string())),
        "none of the 200 rows is of a symbol of the configuration (AAAUSD)",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_file_that_is_refused_is_named_with_the_reason(name: str, tmp_path: Path) -> None:
    content, reason = REFUSED[name]
    with pytest.raises(ConfigError) as caught:
        run(config(put(tmp_path, content, name)), tmp_path / "a" / "b")
    assert name in str(caught.value) and reason in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"is a folder; write a pattern such as '.*\*.parquet'"):
        run(config(tmp_path), tmp_path / "runs")


# ---- runs of bars that are not what they should be --------------------------------------------


def test_a_run_whose_rows_do_not_count_is_whole_and_says_so(tmp_path: Path) -> None:
    path = put(tmp_path, replaced(BARS, "close", [-1.0] * 200), "bars.parquet")
    report = run(config(path, **{"engine.outputs": "full"}), tmp_path / "runs")
    assert report.warnings[0] == "NO BARS: none of the 200 rows counts, so nothing was traded"
    assert "PRICE_NOT_POSITIVE 200" in report.warnings[1]
    assert f"{path} row 1: PRICE_NOT_POSITIVE: symbol AAAUSD, ts {START}" in report.warnings[1]
    read = tables(report)
    assert {name: len(rows) for name, rows in read.items()} == report.manifest["rows"]
    assert [name for name, rows in read.items() if rows] == ["price_rejects"]


def test_a_span_without_bars(tmp_path: Path) -> None:
    tree = config(put(tmp_path, BARS, "bars.parquet"), **{"run.start": "2030-01-01"})
    report = run(tree, tmp_path / "runs")
    assert report.warnings[0].startswith("NO BARS")
    assert "200 out_of_range (the run's bars are from 2030-01-01T00:00:00Z)" in report.warnings[1]
    assert report.manifest["rows"]["trade_match_history"] == 0


def test_one_bar(tmp_path: Path) -> None:
    report = run(config(put(tmp_path, BARS.slice(0, 1), "bars.parquet")), tmp_path / "runs")
    assert (report.manifest["bars"], report.warnings) == (1, [])
    assert report.manifest["rows"]["equity_daily"] == 1


def test_the_first_late_bar_is_named_in_its_file(tmp_path: Path) -> None:
    put(tmp_path, BARS.slice(0, 100), "a.parquet")
    late = put(tmp_path, BARS.take([100, 101, 100, 99, *range(102, 200)]), "b.csv")
    late.write_text(text(BARS.take([100, 101, 100, 99, *range(102, 200)])))
    report = run(config(tmp_path / "?.*"), tmp_path / "runs")
    (warning,) = report.warnings
    assert warning.startswith("LATE BARS: 2 of 202 bars came late")
    assert warning.endswith(f"{late} row 3, AAAUSD ts {START + 100 * MINUTE}")
    assert report.manifest["first_late"]["file"] == 1


def test_symbols_without_rows_and_of_another_case(tmp_path: Path) -> None:
    names = ["aaausd" if number % 2 else "AAAUSD" for number in range(200)]
    path = put(tmp_path, replaced(BARS, "symbol", names), "bars.parquet")
    report = run(config(path, symbols={"AAAUSD": {}, "AaaUSD": {}, "Ä/€ x": {}}), tmp_path / "r")
    assert "rows skipped: 100 unknown_symbol" in report.warnings
    assert "no rows of 2 symbols: AaaUSD, Ä/€ x" in report.warnings
    assert report.manifest["symbols_without_rows"] == ["AaaUSD", "Ä/€ x"]


def test_times_beyond_the_calendar_are_rejected(tmp_path: Path) -> None:
    times = [*BARS["ts"].to_pylist()[:-2], START * 1000, -START * 1000]  # one in microseconds
    report = run(
        config(put(tmp_path, replaced(BARS, "ts", times), "bars.parquet")), tmp_path / "runs"
    )
    assert report.manifest["price_rejects"] == {"BAD_TS": 2}


def test_a_span_of_thousands_of_years_does_not_eat_the_memory(tmp_path: Path) -> None:
    first = int(datetime.datetime(3, 1, 1, tzinfo=datetime.UTC).timestamp()) * 1000
    path = put(tmp_path, replaced(BARS, "ts", [first, *BARS["ts"].to_pylist()[1:]]), "b.parquet")
    grid = {"id": "e", "kind": "ema_cross", "grid": {"fast": [2, 3, 4], "slow": list(range(5, 20))}}
    with pytest.raises(ConfigError, match=r"from 0003-01-01 \(AAAUSD\) to 2024-03-30"):
        run(config(path, strategies=[grid]), tmp_path / "runs")
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("factor", [1e20, 1e290])
def test_prices_beyond_every_table(factor: float, tmp_path: Path) -> None:
    table = BARS
    for name in ("open", "high", "low", "close"):
        table = replaced(table, name, [value * factor for value in BARS[name].to_pylist()])
    with pytest.raises(ConfigError, match=r"does not fit DECIMAL\(38,18\)"):
        run(config(put(tmp_path, table, "bars.parquet")), tmp_path / "runs")
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(("factor", "tick"), [(1e13, "0.01"), (1e-14, "1e-18"), (1, "1000")])
def test_prices_that_are_only_strange(factor: float, tick: str, tmp_path: Path) -> None:
    rows = BARS.to_pylist()
    for row in rows:
        row.update({name: row[name] * factor for name in ("open", "high", "low", "close")})
    path = put(tmp_path, pa.Table.from_pylist(rows), "bars.parquet")
    tree = config(path, symbols={"AAAUSD": {"price_tick": tick, "qty_step": "1"}})
    assert run_both(tree, path, rows) == []


# ---- data frames ------------------------------------------------------------------------------

FRAME = BARS.to_pandas()
MIXED = [f" {v!r} " if i % 2 else v for i, v in enumerate(FRAME["close"])]


@pytest.mark.parametrize(
    "frame",
    [
        FRAME.assign(ts=pd.to_datetime(FRAME["ts"], unit="ms", utc=True)),
        FRAME.assign(close=MIXED),
        FRAME.assign(symbol=FRAME["symbol"].astype("category")),
        [FRAME[:77], FRAME[77:]],
        pa.RecordBatch.from_pandas(FRAME),
    ],
)
def test_frames_of_odd_types(frame: Any, plain: dict[str, Any]) -> None:
    got = run_frames(config("unused"), frame)["trade_match_history"]
    assert got["match_id"].tolist() == [row["match_id"] for row in plain["trade_match_history"]]


@pytest.mark.parametrize(
    ("frame", "reason"),
    [
        (FRAME.to_dict("records"), r"prices\[0\] is a dict; give a pandas data frame"),
        (FRAME[:0], "prices: no rows"),
        ([], "prices: no rows"),
        (FRAME.set_index("ts"), r"prices\[0\]: column 'ts' is missing"),
        (pd.concat([FRAME, FRAME[["close"]]], axis=1), "'close' is there 2 times"),
        (FRAME.assign(close=True), "column 'close' holds bool"),
    ],
)
def test_frames_that_are_refused(frame: Any, reason: str) -> None:
    with pytest.raises(ConfigError, match=reason):
        run_frames(config("unused"), frame)


def test_frames_tell_what_did_not_count() -> None:
    with pytest.warns(UserWarning, match=r"LATE BARS: 1 of 201.*prices\[0\] row 201, AAAUSD"):
        run_frames(config("unused"), pd.concat([FRAME, FRAME[:1]]))
