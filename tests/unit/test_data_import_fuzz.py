"""Garbage through `data import`: it never crashes, and each row is kept or counted under its code.

The expectation is a plain loop over lines with csv and float, which shares no code with the
product.
"""

import csv
import json
import random
import re
import zipfile
from collections import Counter
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from cli.main import app
from feeds.layouts import Choice
from feeds.packed import contents
from feeds.reading import read_bars
from tests.odd_values import NUMBERS, TIMES
from udfs.errors import ConfigError

START = 1_717_200_000_000
EARLIEST = -62_104_060_800_000  # the year 2
NUMBER = re.compile(r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?")
Key = tuple[int, tuple[float, ...]]


def good_line(rng: random.Random, minute: int) -> bytes:
    price = round(100 * (1 + 0.01 * rng.random()), 2)
    low, high = round(price - 0.5, 2), round(price + 0.5, 2)
    ts = START + 60_000 * minute
    head = f"{ts},{price},{high},{low},{round(price + 0.1, 2)},{round(rng.random(), 4)}"
    return f"{head},{ts + 59_999},1,2,0.5,0.5,0".encode()


def broken(rng: random.Random, line: bytes) -> bytes:
    """The line with one thing wrong, or several."""
    for _ in range(rng.choice((1, 1, 1, 3))):
        values = line.split(b",")
        at = rng.randrange(min(len(values), 6))
        kind = rng.randrange(12)
        if kind == 0:
            values[at] = rng.choice(NUMBERS).encode()
        elif kind == 1:
            values[0] = rng.choice(TIMES).encode()
        elif kind == 2:
            values[at] = rng.randbytes(rng.randrange(9))
        elif kind == 3:
            values = values[: rng.randrange(12)]
        elif kind == 4:
            values += [b"7"] * rng.randrange(1, 4)
        elif kind == 5:
            values[at] = b'"' + values[at] + rng.choice((b'"', b"", b'""', b'"x'))
        elif kind == 6:
            values[at] = str(rng.choice((0, -1, 10**30, 10**400, 1e-320))).encode()[:400]
        elif kind == 7:
            values[at] += rng.choice((b"\0", b"\xff", b"\r", "é".encode(), b" ", b"\t"))
        elif kind == 8:
            values[1:4] = values[3:0:-1]
        elif kind == 9:
            values[0] = str(START + rng.randrange(10**9)).encode()
        elif kind == 10:
            return rng.randbytes(rng.randrange(1, 80)).replace(b"\n", b",")
        else:
            return b"9" * rng.choice((10, 70_000)) + line
        line = b",".join(values)
    return line.replace(b"\n", b" ")


def garbage(rng: random.Random, rows: int, share: float) -> bytes:
    """Lines of klines in some order, some broken, some repeated with the same or other values."""
    lines: list[bytes] = []
    for minute in range(rows):
        line = good_line(rng, minute)
        if rng.random() < share:
            line = broken(rng, line)
        elif lines and rng.random() < share / 3:
            line = rng.choice(lines[-50:])
        lines.append(line)
        if rng.random() < share / 10:
            lines.append(b"")
    for _ in range(int(rows * share / 20)):
        here, there = rng.randrange(len(lines)), rng.randrange(len(lines))
        lines[here], lines[there] = lines[there], lines[here]
    ending = rng.choice((b"\n", b"\r\n"))
    start = rng.choice((b"", b"\xef\xbb\xbf"))
    return start + ending.join(lines) + rng.choice((b"", ending, ending * 3))


def number(text: str) -> float:
    text = text.strip(" \t")
    return float(text) if NUMBER.fullmatch(text) else float("nan")


def ms(text: str) -> int | None:
    """A whole number of milliseconds of these times: 12 to 14 digits."""
    text = text.strip(" \t")
    value = Decimal(text) if NUMBER.fullmatch(text) else Decimal(0)
    if not 10**11 <= abs(value) < 10**14 or value < EARLIEST or value != value.to_integral_value():
        return None
    return int(value)


def code_of(line: bytes) -> tuple[str | None, Key | None]:
    """The code that a line is rejected under, or its time and values."""
    try:
        (values,) = csv.reader([line.decode()], strict=True)
    except (csv.Error, UnicodeDecodeError, ValueError):
        return "MALFORMED", None
    if len(values) != 12:
        return "MALFORMED", None
    ts, (o, h, low, c, v) = ms(values[0]), map(number, values[1:6])
    if ts is None or ts % 60_000:
        return "BAD_TS", None
    prices = (o, h, low, c)
    if any(p != p or abs(p) == float("inf") for p in prices):
        return "PRICE_NOT_FINITE", None
    if min(prices) <= 0:
        return "PRICE_NOT_POSITIVE", None
    if low > min(o, c) or h < max(o, c):
        return "OHLC_INCONSISTENT", None
    if v != v or v == float("inf") or v < 0:
        return "BAD_VOLUME", None
    return None, (ts, (*prices, v))


def expected(data: bytes) -> tuple[int, Counter[str], dict[int, tuple[float, ...]]]:
    """Rows, how many are rejected by code, and the bars that stay."""
    counts: Counter[str] = Counter()
    bars: dict[int, tuple[float, ...]] = {}
    lines = data.removeprefix(b"\xef\xbb\xbf").split(b"\n")
    lines = [one.removesuffix(b"\r") for one in lines]
    lines = [one for one in lines if one]
    for line in lines:
        code, key = code_of(line)
        if key is not None:
            first = bars.setdefault(key[0], key[1])
            if first is not key[1]:
                code = "DUPLICATE" if first == key[1] else "CONFLICT"
        if code is not None:
            counts[code] += 1
    return len(lines), counts, bars


def run(*arguments: Any) -> Any:
    done = CliRunner().invoke(app, ["data", "import", *map(str, arguments)])
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done


def assert_as_expected(data: bytes, folder: Path) -> dict[str, Any]:
    """Import the bytes; every count, kept bar and reject is as the plain loop has it."""
    path = folder / "ABCUSD-1m-2024-06.csv"
    path.write_bytes(data)
    out = folder / "bars"
    done = run(path, "--out", out, "--format", "binance", "--timeframe", "1m", "--json")
    told: dict[str, Any] = json.loads(done.stdout)
    rows, counts, bars = expected(data)
    (one,) = told["files"]
    assert one["rows"] == rows == one["kept"] + sum(one["rejected"].values())
    assert one["rejected"] == counts
    stored = [
        row for file in sorted(out.glob("*.parquet")) for row in pq.read_table(file).to_pylist()
    ]
    names = ("open", "high", "low", "close", "volume")
    assert [(row["ts"], tuple(row[name] for name in names)) for row in stored] == sorted(
        bars.items()
    )
    rejects = pq.read_table(one["rejects"]).to_pylist() if one["rejects"] else []
    assert Counter(row["code"] for row in rejects) == counts
    assert [row["row"] for row in rejects] == sorted(row["row"] for row in rejects)
    return told


@pytest.mark.parametrize("seed", range(8))
def test_no_row_is_lost(seed: int, tmp_path: Path) -> None:
    rng = random.Random(seed)
    data = garbage(rng, 200, rng.choice((0.01, 0.2, 0.9)))
    first = assert_as_expected(data, tmp_path)
    again = assert_as_expected(data, tmp_path)
    assert again["written"] == [] and again["total"]["unchanged"] == first["total"]["kept"]
    assert again["total"]["rejected"] == first["total"]["rejected"]


@pytest.mark.parametrize("seed", range(4))
def test_bytes_of_any_kind_are_imported_or_refused(seed: int, tmp_path: Path) -> None:
    rng = random.Random(seed)
    for number in range(6):
        path = tmp_path / f"{number}.{rng.choice(('csv', 'zip', 'parquet', 'json', 'gz'))}"
        start = rng.choice((b"", b"PK\x03\x04", b"\x1f\x8b\x08", b"PAR1", b"[[", b"{", b"a,b\n"))
        path.write_bytes(start + rng.randbytes(rng.randrange(2000)))
        done = run(path, "--out", tmp_path / "bars", "--symbol", "X")
        assert done.exit_code == 2 and done.stderr.startswith("error: "), done.stdout
    assert not list(tmp_path.glob("bars/*.parquet"))


def test_a_packed_file_that_is_cut_anywhere(tmp_path: Path) -> None:
    packed = tmp_path / "ABCUSD-1m-2024-06.zip"
    lines = b"\n".join(good_line(random.Random(1), minute) for minute in range(50))
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("ABCUSD-1m-2024-06.csv", lines)
    whole = packed.read_bytes()
    assert run(packed, "--out", tmp_path / "whole").exit_code == 0
    for stop in range(0, len(whole) - 1, len(whole) // 6):
        packed.write_bytes(whole[:stop])
        assert run(packed, "--out", tmp_path / "bars").exit_code == 2
    assert not (tmp_path / "bars").exists()


@pytest.mark.parametrize("method", [0, 8, 12, 14, -1])
def test_damaged_files_are_read_or_refused(method: int, tmp_path: Path) -> None:
    """Stored, deflate, bzip2 and lzma; and Parquet. Anything but ConfigError would fail."""
    rng = random.Random(method)
    lines = b"\n".join(good_line(rng, minute) for minute in range(50))
    path = tmp_path / "ABCUSD-1m-2024-06.zip"
    if method >= 0:
        with zipfile.ZipFile(path, "w", method) as archive:
            archive.writestr("ABCUSD-1m-2024-06.csv", lines)
    else:
        names = ("ts", "open", "high", "low", "close", "volume")
        pq.write_table(pa.table({name: [1.0] * 50 for name in names}), path)
    whole = path.read_bytes()
    outcomes = Counter[str]()
    for _ in range(50):
        damaged = bytearray(whole)
        for _ in range(rng.choice((1, 2, 8))):
            at = min(rng.choice((rng.randrange(60), rng.randrange(len(whole)))), len(damaged) - 1)
            damaged[at : at + rng.randrange(2)] = rng.randbytes(rng.randrange(3))
        path.write_bytes(damaged)
        try:
            for content in contents(str(path), None):
                read = read_bars(content, Choice(symbol="A"))
                list(read.show(np.arange(len(read.numbers))))
            outcomes["read"] += 1
        except ConfigError as error:
            assert str(path) in str(error)
            outcomes["refused"] += 1
    assert outcomes["refused"] > 10
