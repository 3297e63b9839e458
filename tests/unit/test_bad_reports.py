"""Files of exec reports: what is read, what is refused."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from jobs.engine_files import EngineReport, run_engine
from udfs.errors import ConfigError

TEXT = """\
account_id,strategy_id,order_id,fill_id,symbol,side,fill_qty,fill_price,ts,fee,fee_currency,venue
a,s,o1,f1,AAAUSD,BUY,1,100,60000,0.1,USD,x
a,s,o2,f2,AAAUSD,SELL,1,101,120000,,,x
"""
HEADER, *LINES = TEXT.splitlines()
NAMES = HEADER.split(",")
TABLE = pa.Table.from_pylist([dict(zip(NAMES, line.split(","), strict=True)) for line in LINES])


def put(folder: Path, content: Any, name: str) -> Path:
    path = folder / name
    if isinstance(content, pa.Table):
        pq.write_table(content, path)
    else:
        path.write_text(content)
    return path


def book(path: Path, run_id: str | None = "x") -> EngineReport:
    return run_engine(path, path.parent / "runs", "LIVE", None, False, run_id)


def replaced(name: str, column: Any) -> pa.Table:
    return TABLE.set_column(NAMES.index(name), name, pa.array(column))


READABLE = {
    "plain.csv": TEXT,
    "crlf.csv": "\ufeff" + TEXT.replace("\n", "\r\n"),
    "extra.csv": "\n".join([f"{line},{i}" for i, line in enumerate(TEXT.splitlines())]),
    "text.parquet": TABLE,
    "numbers.parquet": replaced("fill_price", [100.0, 101.0]),
    "times.parquet": replaced("ts", pa.array([60000, 120000], pa.timestamp("ms"))),
    "dictionary.parquet": replaced("symbol", TABLE["symbol"].combine_chunks().dictionary_encode()),
}


@pytest.mark.parametrize("name", READABLE)
def test_every_spelling_of_the_same_reports(name: str, tmp_path: Path) -> None:
    report = book(put(tmp_path, READABLE[name], name))
    assert report.manifest["rejected"] == {}
    (match,) = pq.read_table(report.folder / "trade_match_history.parquet").to_pylist()
    assert (match["open_ts"], match["match_ts"]) == (60000, 120000)
    assert str(match["net_pnl"]) == "0.900000000000000000"
    assert len(report.manifest["inputs"][0]["sha256"]) == 64


REFUSED = {
    "header.csv": (HEADER, "no rows; expected exec reports"),
    "none.csv": ("", "is empty"),
    "none.parquet": (TABLE.slice(0, 0), "no rows; expected exec reports"),
    "garbage.parquet": ("none", "not a Parquet file that can be read"),
    "ragged.csv": (TEXT + "a,b\n", "row 3 has 2 values, not 12: 'a,b'"),
    "price.csv": (TEXT.replace("fill_price", "prise"), "'fill_price' is missing (did you mean"),
    "fees.csv": (TEXT.replace("fee,", "fees,"), "'fees' is not known (did you mean 'fee'?)"),
    "twice.csv": (TEXT.replace("venue", "fee"), "column 'fee' is there 2 times"),
    "list.parquet": (replaced("ts", [[1], [2]]), "column 'ts' holds list"),
    "bytes.parquet": (replaced("fill_price", [b"1", b"2"]), "expected text or numbers"),
    "sums.csv": (
        HEADER + "\n" + "".join(f"a,s,o{i},f,X,BUY,1,{'9' * 20},0,,,\n" for i in range(2)),
        "does not fit DECIMAL(38,18)",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_file_that_is_refused_is_named_with_the_reason(name: str, tmp_path: Path) -> None:
    content, reason = REFUSED[name]
    with pytest.raises(ConfigError) as caught:
        book(put(tmp_path, content, name))
    assert reason in str(caught.value)
    assert [path.name for path in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize("run_id", ["..", "a/b", "", "../elsewhere"])
def test_a_run_id_stays_below_the_out_folder(run_id: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="--run-id: "):
        book(put(tmp_path, TEXT, "a.csv"), run_id)
    assert [path.name for path in tmp_path.iterdir()] == ["a.csv"]


def test_a_file_that_is_not_there_and_a_folder(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"none.csv does not exist"):
        book(tmp_path / "none.csv")
    with pytest.raises(ConfigError, match="is a folder"):
        book(tmp_path)
