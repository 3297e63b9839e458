"""Bars as files may hold them, with odd texts and types of columns, and what these stand for."""

import csv
import decimal
import io
import math
import random
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

COLUMNS = ("symbol", "ts", "open", "high", "low", "close", "volume")
PRICES = COLUMNS[2:]
NUMBERS = (
    "", "nan", "inf", "-Infinity", "1e400", "1e-400", "-0", "0", "1_0", "１２", "٣.٥", "0x10",
    "+5", "5.", ".5", " 5", "5\t", "\u00a05", "1E+2", "--5", "5,0", "1 000", "$5", "None", "true",
    "5d", "1e", "9223372036854775808", "1e308", "4.9e-324", "\x1f5", "5\n", "5e0000000001",
)  # fmt: skip
TIMES = (
    "", "1553990400000.0", "1.5539904e12", "1553990400000.5", " 1553990460000 ", "+1553990520000",
    "9223372036854775807", "9223372036854775808", "-9223372036854775809", "9" * 23, "1e400",
    "0x16A", "nan", "1_553_990_400_000", "253370764800000", "-62104060860000", "15539904e5", "٠",
    "1553990580000e0", "155399064.0000e4", "1553990700000." + "0" * 22 + "1", "9007199254740993",
)  # fmt: skip
SYMBOLS = ("", "aaausd", " AAAUSD", "AAAUSD ", "ÄÖ€", "None", '"AAAUSD"', "AAA,USD", "AAA\nUSD")
Rows = list[dict[str, Any]]


def odd_texts(rng: random.Random, rows: Rows, share: float) -> Rows:
    """The rows as text, a share of them with one odd value."""
    texts = []
    for row in rows:
        text = {name: row[name] if name == "symbol" else repr(row[name]) for name in COLUMNS}
        if rng.random() < share:
            name = rng.choice(COLUMNS)
            text[name] = rng.choice({"symbol": SYMBOLS, "ts": TIMES}.get(name, NUMBERS))
        texts.append(text)
    return texts


def write_csv(rng: random.Random, rows: Rows, path: Path) -> None:
    """The rows in one of the dialects of CSV."""
    text = io.StringIO()
    writer = csv.writer(
        text,
        lineterminator=rng.choice(["\n", "\r\n"]),
        quoting=rng.choice([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
    )
    writer.writerows([COLUMNS, *([row[name] for name in COLUMNS] for row in rows)])
    path.write_text(text.getvalue(), encoding=rng.choice(["utf-8", "utf-8-sig"]), newline="")


def write_parquet(rng: random.Random, rows: Rows, path: Path) -> Rows:
    """The rows with columns of random types and order; the values that they then hold."""
    columns = {name: odd_price(rng, [row[name] for row in rows]) for name in PRICES}
    columns["ts"] = odd_ts(rng, [row["ts"] for row in rows])
    columns["symbol"] = odd_symbol(rng, [row["symbol"] for row in rows])
    names = rng.sample(COLUMNS, len(COLUMNS))
    table = pa.table({name: columns[name] for name in names})
    if rng.random() < 0.5:  # two leaves before all others
        table = table.add_column(0, "note", pa.array([{"a": 1, "b": "x"}] * len(rows)))
    pq.write_table(
        table, path, row_group_size=rng.choice([50, 1000]), write_statistics=rng.random() < 0.7
    )
    return table.select(COLUMNS).to_pylist()


def odd_price(rng: random.Random, values: list[float]) -> pa.Array:
    """Numbers in some type that holds them, some of them null."""
    finite = [value if math.isfinite(value) else None for value in values]
    match rng.randrange(8):
        case 0:
            return pa.array([None if rng.random() < 0.03 else value for value in values])
        case 1:
            return pa.array(np.array(values, dtype=np.float32))
        case 2:
            return pa.array([_decimal(value, 18) for value in finite], pa.decimal128(38, 18))
        case 3:
            return pa.array([_decimal(value, 5) for value in finite], pa.decimal128(38, 5))
        case 4:
            texts = [rng.choice(NUMBERS) if rng.random() < 0.02 else repr(v) for v in values]
            return pa.array(texts, rng.choice([pa.string(), pa.large_string()]))
        case 5:
            return pa.array([repr(value) for value in values]).dictionary_encode()
        case 6:
            return pa.array([None if value is None else int(value) for value in finite])
    return pa.array(values, pa.float64())


def _decimal(value: float | None, scale: int) -> decimal.Decimal | None:
    if value is None:
        return None
    step = decimal.Decimal(1).scaleb(-scale)
    return decimal.Decimal(repr(value)).quantize(step, context=decimal.Context(prec=60))


def odd_ts(rng: random.Random, values: list[int]) -> pa.Array:
    """Times in some type that holds them, some of them null or no whole number."""
    kind = rng.choice(["float", "text", "uint64", "decimal", "null", "int64"])
    odd: dict[str, Any] = {
        "float": lambda: rng.choice([math.nan, None, 0.5, 1e300, -1e300, math.inf]),
        "text": lambda: rng.choice(TIMES),
        "uint64": lambda: 2**64 - 1,
        "decimal": lambda: decimal.Decimal("1553990400000.5"),
        "null": lambda: None,
    }
    fine: dict[str, Any] = {"float": float, "text": str, "decimal": decimal.Decimal}
    types = {"float": pa.float64(), "text": pa.string(), "decimal": pa.decimal128(38, 3)}
    return pa.array(
        [
            odd[kind]() if kind in odd and rng.random() < 0.03 else fine.get(kind, int)(value)
            for value in values
        ],
        types.get(kind, pa.uint64() if kind == "uint64" else pa.int64()),
    )


def odd_symbol(rng: random.Random, values: list[str]) -> pa.Array:
    """Symbols in some type that holds text, some of them null."""
    match rng.randrange(4):
        case 0:
            return pa.array(values, pa.large_string())
        case 1:
            return pa.array(values).dictionary_encode()
        case 2:
            return pa.array([None if rng.random() < 0.03 else value for value in values])
    return pa.array(values)
