"""How files of bars are laid out: those of venues as they document them, and tables in general.

| layout | what |
|---|---|
| binance | klines of data.binance.vision: 12 columns, with or without a header; ms, later us |
| kraken | downloadable OHLCVT: s, open, high, low, close, volume, trades; no header |
| bitfinex | candles as the public interface answers them: ms, open, CLOSE, HIGH, LOW, volume |
| cryptodatadownload | a line with its address, then unix, date, symbol, open, ... |
| csv, parquet | columns by their names, or by a mapping |

`auto` tells the layout by the first rows, and by the file's name where they don't tell.
"""

import re
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from feeds.columns import NONE, PRICES, Columns, Mapping, find_columns
from feeds.csv_rows import Shape
from feeds.times import AUTO, EACH, Times, epoch_ms, length_text, mostly_numbers
from jobs.values import NUMBER
from udfs.errors import ConfigError
from udfs.timeframes import MINUTE_MS

BINANCE, KRAKEN, BITFINEX, CDD = "binance", "kraken", "bitfinex", "cryptodatadownload"
CSV, PARQUET = "csv", "parquet"
FORMATS = (AUTO, BINANCE, KRAKEN, BITFINEX, CDD, CSV, PARQUET)
BINANCE_NAME = re.compile(r"([A-Z0-9_]+)-(\d+(?:s|m|h|d|w|mo|M))-\d{4}-\d{2}(?:-\d{2})?\.\w+")
KRAKEN_NAME = re.compile(r"([A-Z0-9.]+)_(1|5|15|30|60|240|720|1440)\.csv")
SYMBOL_NAME = re.compile(r"([A-Z0-9]*[A-Z][A-Z0-9]*)\.\w+")
IN_ORDER = Columns((0,), 1, 2, 3, 4, 5, None)
COLUMNS = {
    BINANCE: (12, IN_ORDER),
    KRAKEN: (7, IN_ORDER),
    BITFINEX: (6, IN_ORDER._replace(close=2, high=3, low=4)),
}
UNITS = {BINANCE: AUTO, KRAKEN: "s", BITFINEX: "ms", CDD: EACH}
DELIMITERS = ",;\t|"
HEADERS = {"open_time", "open time", "opentime", "mts", "time", "timestamp", "ts", "date"}
SAMPLE = 200
Cells = list[list[str]]


class Choice(NamedTuple):
    """What the options of an import say of how its files are laid out."""

    format: str = AUTO
    mapping: tuple[Mapping, ...] = ()
    times: Times = Times()
    symbol: str | None = None


class Layout(NamedTuple):
    """How a file is read; `told` says by what that was told."""

    name: str
    shape: Shape
    header_lines: int
    times: Times
    told: str


class NameParts(NamedTuple):
    """What a file's name tells by the patterns of venues."""

    layout: str | None
    symbol: str | None
    timeframe: str | None


def name_parts(name: str) -> NameParts:
    """Layout, symbol and length of bars by a file's name."""
    if found := BINANCE_NAME.fullmatch(name):
        return NameParts(BINANCE, found[1], found[2])
    if found := KRAKEN_NAME.fullmatch(name):
        return NameParts(KRAKEN, found[1], length_text(int(found[2]) * MINUTE_MS))
    found = SYMBOL_NAME.fullmatch(name)
    return NameParts(None, found[1] if found else None, None)


def text_layout(source: str, name: str, lines: Sequence[str], choice: Choice) -> Layout:
    """The layout of a text file by its first lines. ConfigError where it can't be told."""
    delimiter, cells = _cut(lines)
    return cells_layout(source, name_parts(name), cells, delimiter, choice)


def cells_layout(
    source: str, parts: NameParts, cells: Cells, delimiter: str, choice: Choice
) -> Layout:
    """The layout of rows of values; ConfigError where it can't be told, with what to give."""
    if choice.format == PARQUET:
        raise ConfigError(f"{source}: is no Parquet file; give another --format, or none")
    layout, told = choice.format, "--format"
    if choice.mapping and layout in COLUMNS:
        raise ConfigError(f"--map is for --format csv or parquet; {layout} has its own columns")
    if layout == AUTO:
        layout, told = (CSV, "--map") if choice.mapping else _told(source, parts, cells)
    if layout in COLUMNS:
        width, columns = COLUMNS[layout]
        first = cells[0][0].strip(' "').lower() if cells and cells[0] else ""
        header_lines = int(first in HEADERS)
        delimiter = ","
    elif layout == CDD:
        header_lines, width, columns = _cdd(source, cells)
        delimiter = ","
    else:
        header_lines, width, columns = _by_names(source, cells, choice.mapping)
    times = choice.times
    if times.unit == AUTO and times.format is None:
        times = times._replace(unit=UNITS.get(layout, AUTO))
    if choice.symbol is not None:
        columns = columns._replace(symbol=None)
    body = [row for row in cells[header_lines:] if len(row) == width]
    is_text = times.format is not None
    if is_text or layout == CSV:  # those of venues are numbers, whatever a damaged file has there
        is_text = check_times(source, _joined(body, columns.ts), times)
    shape = Shape(width, delimiter, columns.ts, columns.prices, columns.symbol, is_text)
    return Layout(layout, shape, header_lines, times, told)


def check_times(source: str, texts: Sequence[str], times: Times) -> bool:
    """Whether open times are text, by a sample; ConfigError where most of it can't be read."""
    column = pa.chunked_array([pa.array(texts, pa.string())])
    is_text = times.format is not None or (len(texts) > 0 and not mostly_numbers(column))
    if is_text:
        _, known = epoch_ms(column, times)
        if 2 * np.count_nonzero(known) < len(texts):
            wrong = texts[int(np.argmin(known))]
            given = "" if times.format is None else f" by {times.format!r}"
            raise ConfigError(
                f"{source}: the time {wrong[:40]!r} cannot be read{given}; give --time-format, "
                "such as '%d.%m.%Y %H:%M:%S.%f' for 31.12.2024 23:59:00.000 (ISO 8601 and numbers "
                "of s, ms, us or ns since 1970 need none)"
            )
    return is_text


def _cut(lines: Sequence[str]) -> tuple[str, Cells]:
    """The delimiter that cuts most lines into the most values, and the values."""
    best: tuple[int, str] = (0, ",")
    for delimiter in DELIMITERS:
        width = _width([line.split(delimiter) for line in lines])
        if width > best[0]:
            best = (width, delimiter)
    delimiter = best[1]
    cells = [[cell.strip('"') for cell in line.split(delimiter)] for line in lines]
    return delimiter, cells


def _width(cells: Cells) -> int:
    return Counter(len(row) for row in cells).most_common(1)[0][0] if cells else 0


def _joined(cells: Cells, columns: Sequence[int]) -> list[str]:
    return [" ".join(row[at] for at in columns) for row in cells]


def _has_header(cells: Cells, width: int) -> bool:
    return bool(cells) and len(cells[0]) == width and not any(map(_is_number, cells[0]))


def _is_number(text: str) -> bool:
    return NUMBER.fullmatch(text.strip()) is not None


def _told(source: str, parts: NameParts, cells: Cells) -> tuple[str, str]:
    """The layout by the first rows, else by the name."""
    if any(_is_cdd(row) for row in cells[:3]):
        return CDD, "its header"
    width = _width(cells)
    body = [row for row in cells if len(row) == width]
    numbers = [row for row in body if all(map(_is_number, row))]
    is_plain = 2 * len(numbers) > len(body)
    has_header = _has_header(cells, width)
    if width == 12 and is_plain:
        return BINANCE, "its 12 columns"
    if width == 7 and is_plain and not has_header:
        if _in_seconds(numbers):
            return KRAKEN, "its 7 columns, times in s"
        raise ConfigError(
            f"{source}: 7 columns without a header, times not in s as Kraken has them; give "
            "--map ts=1 --map open=2 ... as they are"
        )
    if width == 6 and is_plain and not has_header:
        return _by_order(source, numbers)
    if has_header:
        return CSV, "its header"
    if parts.layout:
        return parts.layout, "its name"
    first = " | ".join(cells[0])[:120] if cells else ""
    raise ConfigError(
        f"{source}: what its columns are can't be told (first line: {first!r}); give --format "
        f"({', '.join(FORMATS[1:])}), or --map ts=1 --map open=2 ..."
    )


def _in_seconds(rows: Cells) -> bool:
    return bool(np.median([abs(float(row[0])) for row in rows]) < 10**11)


def _by_order(source: str, rows: Cells) -> tuple[str, str]:
    """Open, high, low, close or Bitfinex's open, close, high, low: by which is the highest."""
    values = np.array([[float(cell) for cell in row[1:5]] for row in rows])
    highest, lowest = values.max(axis=1), values.min(axis=1)
    usual = (values[:, 1] == highest) & (values[:, 2] == lowest)
    theirs = (values[:, 2] == highest) & (values[:, 3] == lowest)
    only_usual, only_theirs = np.count_nonzero(usual & ~theirs), np.count_nonzero(theirs & ~usual)
    if only_usual > 20 * only_theirs:
        return CSV, "6 columns, the third the highest and the fourth the lowest"
    if only_theirs > 20 * only_usual:
        return BITFINEX, "6 columns, the fourth the highest and the fifth the lowest"
    raise ConfigError(
        f"{source}: 6 columns without a header, in which high and low can't be told; give "
        "--format bitfinex (open, close, high, low) or --map ts=1 --map open=2 --map high=3 "
        "--map low=4 --map close=5 --map volume=6"
    )


def _is_cdd(row: Sequence[str]) -> bool:
    names = [cell.strip().lower() for cell in row[:7]]
    return names == ["unix", "date", "symbol", "open", "high", "low", "close"]


def _cdd(source: str, cells: Cells) -> tuple[int, int, Columns]:
    """Its volume is the first one of two: that in the base currency."""
    for number, row in enumerate(cells[:3]):
        if _is_cdd(row) and len(row) > 7:
            return number + 1, len(row), Columns((0,), 3, 4, 5, 6, 7, 2)
    raise ConfigError(
        f"{source}: has no header unix,date,symbol,open,high,low,close,... as cryptodatadownload "
        "writes it; give --format csv with --map"
    )


def _by_names(source: str, cells: Cells, mapping: Sequence[Mapping]) -> tuple[int, int, Columns]:
    """Header lines, width and columns of a general table."""
    if not cells:
        return 0, 6, IN_ORDER
    width = _width(cells)
    first = cells[0]
    numbers = [row for row in cells if len(row) == width and all(map(_is_number, row))]
    if not mapping and width == 6 and numbers and not _has_header(cells, width):
        layout, _ = _by_order(source, numbers)
        return 0, width, COLUMNS.get(layout, (6, IN_ORDER))[1]
    given = {one.field for one in mapping}
    by_number = given >= {"ts", *PRICES[:4]} and all(
        one.column == NONE or one.column.replace("+", "").isdigit() for one in mapping
    )
    if by_number:
        columns = find_columns(source, [""] * width, mapping)
        prices = [first[at].strip() for at in columns.prices] if len(first) == width else [""]
        is_header = all(price and not _is_number(price) for price in prices)
        return int(is_header), width, columns
    return 1, len(first), find_columns(source, first, mapping)
