"""`data import`: each layout gives the same bars; what is merged, left out and refused."""

import datetime
import gzip
import io
import json
import zipfile
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from cli.main import app
from jobs.sources import list_files, plan_tasks

START = 1_735_685_400_000  # 2024-12-31 22:50 UTC: the month ends within
MINUTE = 60_000
COLUMNS = ("symbol", "ts", "open", "high", "low", "close", "volume")
Row = tuple[int, float, float, float, float, float]
ROWS: list[Row] = [
    (START + MINUTE * i, 10 + i, 12.5 + i, 9.25 + i, 11 + i, 0.5 * i)
    for i in range(100)
    if i % 7  # minutes without trades have no bar
]


def run(*arguments: Any) -> Any:
    done = CliRunner().invoke(app, ["data", "import", *map(str, arguments)])
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done


def told(*arguments: Any) -> dict[str, Any]:
    done = run(*arguments, "--json")
    assert done.exit_code == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def stored(out: Path, symbol: str) -> list[Row]:
    """All bars of a symbol, in the order of the files."""
    rows = [
        row for path in sorted(out.glob("*.parquet")) for row in pq.read_table(path).to_pylist()
    ]
    return [tuple(row[name] for name in COLUMNS[1:]) for row in rows if row["symbol"] == symbol]


def lines(rows: list[Row], *names: str, comma: str = ",", end: str = "\n") -> str:
    """Rows as text; a name is a column's letter, `s`, `ms`, `us` or a text as it is."""
    texts = []
    for ts, o, h, low, c, v in rows:
        values = {"s": ts // 1000, "ms": ts, "us": ts * 1000, "o": o, "h": h, "l": low, "c": c,
                  "v": v}  # fmt: skip
        texts.append(comma.join(str(values.get(name, name)) for name in names))
    return "".join(text + end for text in texts)


def zipped(**members: str) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in members.items():
            archive.writestr(name, text)
    return buffer.getvalue()


def dated(form: str, zone: str, *names: str, comma: str = ",") -> str:
    return "".join(
        datetime.datetime.fromtimestamp(row[0] / 1000, ZoneInfo(zone)).strftime(form)
        + comma
        + lines([row], *names, comma=comma)
        for row in ROWS
    )


def parquet(**changes: Any) -> bytes:
    columns = dict(zip(COLUMNS[1:], map(list, zip(*ROWS, strict=True)), strict=True))
    buffer = pa.BufferOutputStream()
    pq.write_table(pa.table({**columns, **changes}), buffer)
    return bytes(buffer.getvalue())


BINANCE = ("o", "h", "l", "c", "v", "0", "1", "2", "3", "4", "0")
HEADER = "open_time,open,high,low,close,volume,close_time,quote_volume,count,a,b,ignore\n"
PLAIN = "ts,open,high,low,close,volume\n"
KLINES = lines(ROWS, "ms", *BINANCE)
NUMBERED = [
    "--map=ts=1", "--map=open=2", "--map=high=3", "--map=low=4", "--map=close=5", "--map=volume=6",
]  # fmt: skip
STAMPS = pa.array([row[0] for row in ROWS], pa.timestamp("ms"))
OSLO = pa.array([row[0] + 3_600_000 for row in ROWS], pa.timestamp("ms"))

# name of the file, its content, options, the symbol, the layout that is told
LAYOUTS: dict[str, tuple[str, str | bytes, list[str], str, str]] = {
    "binance": (
        "ABUSDT-1m-2024-12.zip", zipped(**{"ABUSDT-1m-2024-12.csv": KLINES}), [], "ABUSDT",
        "binance"),
    "binance, header and us": (
        "ABUSDT-1m-2025-01-01.csv", HEADER + lines(ROWS, "us", *BINANCE), [], "ABUSDT", "binance"),
    "binance, another name": ("x.csv", KLINES, ["--symbol", "A"], "A", "binance"),
    "kraken": ("ABUSD_1.csv", lines(ROWS, "s", *"ohlcv", "7"), [], "ABUSD", "kraken"),
    "bitfinex": ("ABUSD.csv", lines(ROWS, "ms", "o", "c", "h", "l", "v"), [], "ABUSD", "bitfinex"),
    "bitfinex, newest first": (
        "ABUSD.csv", lines(ROWS[::-1], "ms", "o", "c", "h", "l", "v"), [], "ABUSD", "bitfinex"),
    "bitfinex, JSON": (
        "c.json", json.dumps([(t, o, c, h, low, v) for t, o, h, low, c, v in ROWS]),
        ["--symbol", "tABUSD"], "tABUSD", "bitfinex"),
    "cryptodatadownload": (
        "Binance_ABUSD_minute.csv",
        "https://www.example.com\nunix,date,symbol,open,high,low,close,Volume AB,Volume USD\n"
        + lines(ROWS[:50], "s", "-", "AB/USD", "o", "h", "l", "c", "v", "9")
        + lines(ROWS[50:], "ms", "-", "AB/USD", "o", "h", "l", "c", "v", "9"),
        [], "AB/USD", "cryptodatadownload"),
    "a table's own header": (
        "a.csv", PLAIN + lines(ROWS, "ms", "o", "h", "l", "c", "v"), ["--symbol", "A"], "A", "csv"),
    "odd names, a symbol column": (
        "a.txt",
        '"Open_Time";Pair;"OPEN";" High ";<LOW>;Close;Vol\r\n'
        + lines(ROWS, "ms", "A", "o", "h", "l", "c", "v", comma=";", end="\r\n"), [], "A", "csv"),
    "quotes and empty lines": (
        "a.csv",
        "\ufeff" + PLAIN
        + "".join(f'{t},{o},"{h}",{low},{c},{v}\n\n' for t, o, h, low, c, v in ROWS),
        ["--symbol", "A"], "A", "csv"),
    "a name that is no venue's": (
        "ab_60.csv", PLAIN + lines(ROWS, "ms", *"ohlcv"), ["--symbol", "A"], "A", "csv"),
    "no header, in order": (
        "a.csv", lines(ROWS, "ms", "o", "h", "l", "c", "v"), ["--symbol", "A"], "A", "csv"),
    "numbers of columns": (
        "a.csv", lines(ROWS, "ms", "o", "h", "l", "c", "v", "x"), ["--symbol", "A", *NUMBERED], "A",
        "csv"),
    "numbers of columns, gzip": (
        "a.csv.gz", gzip.compress(lines(ROWS, "s", "o", "h", "l", "c", "v", "x").encode()),
        ["--symbol", "A", *NUMBERED], "A", "csv"),
    "names of columns": (
        "a.csv",
        "Date,Time,O,H,L,C,Adj Close,V\n" + dated("%Y.%m.%d,%H:%M", "UTC", "o", "h", "l", "c", "1",
                                                  "v"),
        ["--symbol", "A", "--map=ts=Date+Time", "--time-format", "%Y.%m.%d %H:%M"], "A", "csv"),
    "text in a zone": (
        "a.csv",
        "Time\tOpen\tHigh\tLow\tClose\tVolume\n"
        + dated("%d.%m.%Y %H:%M:%S.%f", "Europe/Oslo", "o", "h", "l", "c", "v", comma="\t"),
        ["--symbol", "A", "--time-format", "%d.%m.%Y %H:%M:%S.%f", "--time-zone", "Europe/Oslo"],
        "A", "csv"),
    "ISO text": (
        "a.csv", "time,o,h,l,c,v\n" + dated("%Y-%m-%dT%H:%M:%S%z", "Asia/Tokyo", *"ohlcv"),
        ["--symbol", "A"], "A", "csv"),
    "a member of a zip": (
        "a.whl", zipped(**{"a/b.csv": KLINES, "a/c.csv": "x"}),
        ["--symbol", "A", "--member", "*/b.csv"], "A", "binance"),
    "parquet": ("a.parquet", parquet(), ["--symbol", "A"], "A", "parquet"),
    "parquet, its own names": (
        "a.parquet", parquet(ts=[0] * len(ROWS), When=OSLO, Who=["A"] * len(ROWS)),
        ["--map=ts=When", "--map=symbol=Who", "--time-zone", "Europe/Oslo"], "A", "parquet"),
    "parquet, timestamps": ("A.parquet", parquet(ts=STAMPS), ["--symbol", "A"], "A", "parquet"),
}  # fmt: skip


@pytest.mark.parametrize("name", LAYOUTS)
def test_the_same_bars_in_every_layout(name: str, tmp_path: Path) -> None:
    file, content, options, symbol, layout = LAYOUTS[name]
    path = tmp_path / file
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    out = tmp_path / "bars"
    first = told(path, "--out", out, *options)
    assert first["files"][0]["layout"] == layout and first["timeframe"] == "1m"
    assert first["total"]["kept"] == first["total"]["new"] == len(ROWS)
    assert stored(out, symbol) == ROWS
    assert [Path(written).name[-16:] for written in first["written"]] == [
        "-2024-12.parquet", "-2025-01.parquet"]  # fmt: skip
    plan_tasks(list_files([str(out / "*.parquet")]), [symbol])  # as a backtest reads them
    before = {path: path.stat().st_mtime_ns for path in out.iterdir()}
    again = told(path, "--out", out, *options)
    assert again["written"] == [] and again["total"]["unchanged"] == len(ROWS)
    assert before == {path: path.stat().st_mtime_ns for path in out.iterdir()}


BOMB = zipped(a="0" * 999)
at = BOMB.index(b"PK\1\2") + 24  # where the archive's list has the size of the member
BOMB = BOMB[:at] + (2**31).to_bytes(4, "little") + BOMB[at + 4 :]
FLAT = lines([(row[0], 5, 5, 5, 5, 1) for row in ROWS], "ms", "o", "h", "l", "c", "v")
REFUSED: dict[str, tuple[str, str | bytes, list[str], str]] = {
    "which is high": ("ABUSD.csv", FLAT, [], "give --format bitfinex (open, close, high, low) or"),
    "which is the time": (
        "ABUSD.csv", "Date,unix,open,high,low,close,volume\n2024-01-01,1,1,1,1,1,1\n", [],
        "ts may be column 'Date' or 'unix'; give --map ts=..."),
    "no volume": (
        "ABUSD.csv", "Date,open,high,low,close\n2024-01-01,1,1,1,1\n", [],
        "no column is named like volume; give --map volume=none"),
    "of which symbol": ("my bars.csv", KLINES, [], "give --symbol NAME"),
    "no layout": ("ABUSD.csv", "1,2\n3,4\n", [], "what its columns are can't be told"),
    "seven in ms": ("A.csv", lines(ROWS, "ms", *"ohlcv", "7"), [], "times not in s as Kraken"),
    "day first": (
        "ABUSD.csv", PLAIN + "31.12.2024,1,1,1,1,1\n", [], "'31.12.2024' cannot be read; give"),
    "no such column": ("A.csv", PLAIN + FLAT, ["--map=ts=tz"], "no such column (did you mean 'ts'"),
    "no such member": ("a.zip", zipped(a="1"), ["--member", "b"], "has no member 'b'"),
    "which member": ("a.zip", zipped(a="1", b="2"), [], "holds a, b; give --member NAME"),
    "no zip": ("A.csv", FLAT, ["--member", "b"], "is no zip"),
    "another length by name": (
        "ABUSDT-1h-2024-12.csv", KLINES, ["--timeframe", "1m"], "holds bars of 1h by its name"),
    "a length that is none": ("ABUSDT-1mo-2024-12.csv", KLINES, [], "'1mo' is no timeframe"),
    "UTF-16": ("A.csv", (PLAIN + FLAT).encode("utf-16"), [], "is UTF-16 text"),
    "empty": ("A.csv", b"", [], "is empty; expected bars"),
    "only a header": ("A.csv", PLAIN, ["--symbol", "A"], "has a header and no rows"),
    "a bomb": ("A.zip", BOMB, [], "hardly bars"),
    "a map to a layout": (
        "A.csv", KLINES, ["--format", "kraken", "--map=ts=1"], "kraken has its own columns"),
    "a zone for numbers": (
        "A.csv", KLINES, ["--symbol", "A", "--time-zone", "Asia/Tokyo"], "since 1970 are UTC"),
    "no zone": ("A.csv", FLAT, ["--time-zone", "Oslo"], "did you mean"),
    "no symbol": ("A.csv", FLAT, ["--symbol", " "], "write a name such as BTCUSD"),
    "bools": (
        "A.parquet", parquet(high=[True] * len(ROWS)), ["--symbol", "A"], "'high' holds bool"),
    "nothing that is bars": (
        "A.csv", lines(ROWS, "ms", "o", "l", "h", "c", "v"), ["--symbol", "A", *NUMBERED],
        "none of the 85 rows can be kept: OHLC_INCONSISTENT 85. Read as csv (told by --map)"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_a_file_that_is_refused(name: str, tmp_path: Path) -> None:
    file, content, options, reason = REFUSED[name]
    path = tmp_path / file
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    done = run(path, "--out", tmp_path / "bars", *options)
    assert done.exit_code == 2
    assert done.stderr.startswith("error: ") and reason in done.stderr, done.stderr
    assert not list(tmp_path.glob("bars/*.parquet"))


def test_all_files_that_are_wrong_are_named_at_once(tmp_path: Path) -> None:
    (tmp_path / "ABUSDT-1m-2024-12.csv").write_text(KLINES)
    for name in "cd":
        (tmp_path / f"{name}.csv").write_text("1,2\n")
    done = run(tmp_path / "*.csv", "--out", tmp_path / "bars")
    assert done.exit_code == 2 and "c.csv" in done.stderr and "d.csv" in done.stderr
    assert not (tmp_path / "bars").exists()


def test_the_first_row_of_a_time_stays_and_the_others_are_kept_as_rejects(tmp_path: Path) -> None:
    out = tmp_path / "bars"
    one, two = ROWS[:30], [(ts, o, h, low, c, v + 1) for ts, o, h, low, c, v in ROWS[25:60]]
    (tmp_path / "ABUSD_1.csv").write_text(lines(one, "s", *"ohlcv", "7"))
    told(tmp_path / "ABUSD_1.csv", "--out", out)
    text = lines([*two, two[-1]], "s", *"ohlcv", "7") + "1,2\n5,1,1,1,1,1,7\n"
    (tmp_path / "ABUSD_1.csv").write_text(text + lines(one[:3], "s", *"ohlcv", "7"))
    report = told(tmp_path / "ABUSD_1.csv", "--out", out)
    (file,) = report["files"]
    assert file["rejected"] == {"BAD_TS": 1, "DUPLICATE": 1, "CONFLICT": 5, "MALFORMED": 1}
    assert (file["rows"], file["new"], file["unchanged"], file["out_of_order"]) == (41, 30, 3, 3)
    assert stored(out, "ABUSD") == [*one, *two[5:]]
    rejects = pq.read_table(file["rejects"]).to_pylist()
    assert [(row["row"], row["code"]) for row in rejects] == [
        *[(row, "CONFLICT") for row in range(1, 6)],
        (36, "DUPLICATE"), (37, "MALFORMED"), (38, "BAD_TS"),
    ]  # fmt: skip
    assert [rejects[0][name] for name in COLUMNS] == [
        None, str(two[0][0] // 1000), *map(str, two[0][1:])]  # fmt: skip
    assert rejects[6]["text"] == "1,2" and rejects[7]["ts"] == "5"


def test_bars_of_one_length_in_a_folder(tmp_path: Path) -> None:
    out = tmp_path / "bars"
    (tmp_path / "ABUSDT-1m-2024-12.csv").write_text(KLINES)
    hours = [
        (row[0] // 3_600_000 * 3_600_000 + 3_600_000 * i, *row[1:]) for i, row in enumerate(ROWS)
    ]
    (tmp_path / "h.csv").write_text(PLAIN + lines(hours, "ms", *"ohlcv"))
    both = run(tmp_path / "*.csv", "--out", out, "--symbol", "A")
    assert both.exit_code == 2 and "bars of different lengths" in both.stderr
    told(tmp_path / "ABUSDT-1m-2024-12.csv", "--out", out)
    other = run(tmp_path / "h.csv", "--out", out, "--symbol", "A")
    assert other.exit_code == 2 and "has bars of 1m, the new ones are of 1h" in other.stderr
    assert told(tmp_path / "h.csv", "--out", tmp_path / "h", "--symbol", "A")["timeframe"] == "1h"


def test_what_people_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("ABUSDT-1m-2024-12.csv").write_text(KLINES.replace("\n", "\nx,y\n", 1))
    shown = run("ABUSDT-1m-2024-12.csv").stdout
    assert "binance: told by its 12 columns" in shown
    assert "rows left out: 1 (MALFORMED 1)" in shown
    assert "data/bars: rows read 86, kept 85 (new 85, unchanged 0), left out 1; files wr" in shown
    assert shown.endswith("prices.files: data/bars/*.parquet   prices.timeframe: 1m\n")
