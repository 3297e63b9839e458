"""Rows of CSV files of any quality, read in columns: a row is a line that is not empty.

A line that has another number of values than its layout says is malformed, and so is one that is
no UTF-8 text or leaves quotes open. Such lines are given back as they are. Blocks of
plain lines are read by Arrow at once; a block with anything odd in it is looked at line by line,
and its plain lines are still read at once.
"""

import csv
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv

from jobs.values import doubles, is_text, whole_numbers
from udfs.bars import Bools, Floats, Ints
from udfs.errors import InvariantError

BLOCK = 4 * 2**20
BOM = b"\xef\xbb\xbf"
LONGEST_SAMPLE = 65_536  # characters of a line that tell its layout
SHOWN_LENGTH = 1_000  # characters of a malformed line that are kept
LF, CR, QUOTE, NUL = 10, 13, 34, 0


class Shape(NamedTuple):
    """How lines are cut: the values in a row, and which of them are which of a bar's.

    Open times are numbers unless `is_text_ts`; several columns of them are joined by a space.
    """

    fields: int
    delimiter: str
    ts: tuple[int, ...]
    prices: tuple[int, ...]
    symbol: int | None
    is_text_ts: bool

    @property
    def wanted(self) -> list[int]:
        """The columns that are read, each once."""
        symbol = () if self.symbol is None else (self.symbol,)
        return sorted({*self.ts, *self.prices, *symbol})


class Malformed(NamedTuple):
    """A line that is no row, with its number and its text."""

    row: int
    text: str


class Rows(NamedTuple):
    """Rows as read: their numbers, open times and symbols as they are, and float64 columns.

    `ts` is int64 (null where it is no whole number) or text; `symbol` None where no column has it.
    """

    numbers: Ints
    ts: pa.ChunkedArray
    symbol: pa.ChunkedArray | None
    prices: tuple[Floats, ...]
    malformed: tuple[Malformed, ...]


def plain_lines(data: bytes) -> bytes:
    """The same text with LF at the ends of lines and no mark at its start."""
    data = data.removeprefix(BOM)
    if b"\r\n" in data:
        data = data.replace(b"\r\n", b"\n")
    return data if b"\n" in data else data.replace(b"\r", b"\n")


def first_lines(data: bytes, most: int) -> list[str]:
    """The first lines that are not empty, as text, cut where they are overlong."""
    lines: list[str] = []
    start = 0
    while start < len(data) and len(lines) < most:
        end = data.find(b"\n", start)
        end = len(data) if end < 0 else end
        if end > start:
            lines.append(data[start : min(end, start + LONGEST_SAMPLE)].decode(errors="replace"))
        start = end + 1
    return lines


def read_rows(data: bytes, header_lines: int, shape: Shape) -> Rows:
    """All rows after the header lines, in order, numbered from 1. `data` is of `plain_lines`."""
    parts: list[Rows] = []
    number = 1
    for block in _blocks(data, _after(data, header_lines)):
        part = _fast(block, number, shape) or _careful(block, number, shape)
        number += len(part.numbers) + len(part.malformed)
        parts.append(part)
    return joined(parts, shape)


def joined(parts: Sequence[Rows], shape: Shape) -> Rows:
    """Parts in order as one."""
    parts = parts or [text_rows([], [], shape)]
    symbols = [part.symbol for part in parts if part.symbol is not None]
    return Rows(
        np.concatenate([part.numbers for part in parts]),
        pa.chunked_array([chunk for part in parts for chunk in part.ts.chunks], parts[0].ts.type),
        pa.chunked_array([c for one in symbols for c in one.chunks], pa.string())
        if symbols
        else None,
        tuple(np.concatenate(columns) for columns in zip(*(p.prices for p in parts), strict=True)),
        tuple(one for part in parts for one in part.malformed),
    )


def lines_of(data: bytes, header_lines: int, numbers: Ints) -> Iterator[str]:
    """The lines of these rows (ascending) again, as text."""
    at = 0
    number = 0
    for block in _blocks(data, _after(data, header_lines)):
        starts, ends = _cut(np.frombuffer(block, np.uint8))
        while at < len(numbers) and numbers[at] <= number + len(starts):
            line = numbers[at] - number - 1
            yield bytes(block[starts[line] : ends[line]]).decode(errors="backslashreplace")
            at += 1
        number += len(starts)


def fields_of(line: str, shape: Shape) -> list[str] | None:
    """The values of a line; None where it is malformed."""
    try:
        values = next(csv.reader([line], delimiter=shape.delimiter, strict=True))
    except (csv.Error, StopIteration):
        return None
    return values if len(values) == shape.fields else None


def _after(data: bytes, lines: int) -> int:
    """Where the rows begin."""
    start = 0
    while lines and start < len(data):
        end = data.find(b"\n", start)
        end = len(data) if end < 0 else end
        lines -= end > start
        start = end + 1
    return start


def _blocks(data: bytes, start: int) -> Iterator[memoryview]:
    """Pieces of whole lines."""
    view = memoryview(data)
    while start < len(data):
        stop = data.find(b"\n", start + BLOCK)
        stop = len(data) if stop < 0 else stop + 1
        yield view[start:stop]
        start = stop


def _fast(block: memoryview, number: int, shape: Shape) -> Rows | None:
    """A block of which every line is plain; None where one is not."""
    data = bytes(block)
    if not data.isascii() or any(odd in data for odd in (b'"', b"\r", b"\0", b"\n\n")):
        return None
    lines = data.count(b"\n") + (not data.endswith(b"\n"))
    table = _parsed(data, shape, is_strict=True)
    if table is None or table.num_rows != lines:
        return None
    numbers = np.arange(number, number + lines, dtype=np.int64)
    return _rows(table, numbers, shape)


def _careful(block: memoryview, number: int, shape: Shape) -> Rows:
    """A block with anything odd in it: odd lines one by one, all others at once."""
    codes = np.frombuffer(block, np.uint8)
    starts, ends = _cut(codes)
    marks = np.flatnonzero(codes == ord(shape.delimiter))
    values = np.searchsorted(marks, ends) - np.searchsorted(marks, starts) + 1
    is_odd = _odd(codes, starts)
    plain = np.flatnonzero(~is_odd & (values == shape.fields))
    wrong: list[int] = np.flatnonzero(~is_odd & (values != shape.fields)).tolist()
    fixed: dict[int, list[str]] = {}
    for line in np.flatnonzero(is_odd).tolist():
        found = _odd_line(bytes(block[starts[line] : ends[line]]), shape)
        if found is None:
            wrong.append(line)
        else:
            fixed[line] = found
    parts = []
    if len(plain):
        data = b"\n".join(block[starts[line] : ends[line]] for line in plain)
        table = _parsed(data, shape, is_strict=False)
        if table is None or table.num_rows != len(plain):
            raise InvariantError("Arrow does not cut plain lines as they are cut here")
        parts.append(_rows(table, number + plain, shape))
    if fixed:
        parts.append(text_rows(list(fixed.values()), [number + line for line in fixed], shape))
    malformed = tuple(
        Malformed(number + line, _shown(bytes(block[starts[line] : ends[line]])))
        for line in sorted(wrong)
    )
    rows = joined(parts, shape)._replace(malformed=malformed)
    return _in_order(rows) if fixed else rows


def text_rows(values: Sequence[Sequence[str | None]], numbers: Sequence[int], shape: Shape) -> Rows:
    """Rows of texts, `shape.fields` of each, as read by others."""
    columns = {str(at): pa.array([row[at] for row in values], pa.string()) for at in shape.wanted}
    return _rows(pa.table(columns), np.array(numbers, dtype=np.int64), shape)


def _in_order(rows: Rows) -> Rows:
    order = np.argsort(rows.numbers)
    return rows._replace(
        numbers=rows.numbers[order],
        ts=rows.ts.take(pa.array(order)),
        symbol=None if rows.symbol is None else rows.symbol.take(pa.array(order)),
        prices=tuple(column[order] for column in rows.prices),
    )


def _cut(codes: np.ndarray) -> tuple[Ints, Ints]:
    """Where the lines that are not empty begin and end."""
    ends = np.flatnonzero(codes == LF)
    if not len(codes) or codes[-1] != LF:
        ends = np.append(ends, len(codes))
    starts = np.concatenate([[0], ends[:-1] + 1])
    filled = ends > starts
    return starts[filled], ends[filled]


def _odd(codes: np.ndarray, starts: Ints) -> Bools:
    """Which lines have something that only a look at the line by itself can tell."""
    places = np.flatnonzero((codes >= 128) | (codes == QUOTE) | (codes == NUL) | (codes == CR))
    odd = np.zeros(len(starts), dtype=np.bool_)
    lines = np.searchsorted(starts, places, side="right") - 1
    odd[lines[lines >= 0]] = True
    return odd


def _odd_line(line: bytes, shape: Shape) -> list[str] | None:
    """The values of a line; None where it is malformed."""
    try:
        return fields_of(line.decode(), shape)
    except UnicodeDecodeError:
        return None


def _shown(line: bytes) -> str:
    return line[: 4 * SHOWN_LENGTH].decode(errors="backslashreplace")[:SHOWN_LENGTH]


def _parsed(data: bytes, shape: Shape, is_strict: bool) -> pa.Table | None:
    """The wanted columns, numbers as numbers; where one is none, as text.

    `is_strict` gives None in that case, and where a line has another number of values.
    """
    names = [str(number) for number in range(shape.fields)]
    wanted = [str(number) for number in shape.wanted]
    kinds = {name: pa.string() for name in wanted}
    doubled = kinds | {str(at): pa.float64() for at in shape.prices}
    numbers = dict(doubled)
    if not (shape.is_text_ts or b"x" in data or b"X" in data):  # Arrow reads 0x10 as 16
        numbers |= {str(at): pa.int64() for at in shape.ts}
    for types in (numbers, doubled, kinds):
        try:
            return pyarrow.csv.read_csv(
                pa.BufferReader(data),
                pyarrow.csv.ReadOptions(
                    use_threads=False, column_names=names, block_size=len(data) + 1
                ),
                pyarrow.csv.ParseOptions(delimiter=shape.delimiter, quote_char=False),
                pyarrow.csv.ConvertOptions(
                    include_columns=wanted,
                    column_types=types,
                    null_values=[],
                    strings_can_be_null=False,
                ),
            )
        except pa.ArrowInvalid as error:
            if is_strict and "columns, got" in str(error):
                return None
    return None


def _rows(table: pa.Table, numbers: Ints, shape: Shape) -> Rows:
    ts = table[str(shape.ts[0])]
    if len(shape.ts) > 1:
        ts = pc.binary_join_element_wise(*[table[str(at)] for at in shape.ts], " ")
    if not shape.is_text_ts and is_text(ts.type):
        values, whole = whole_numbers(ts)
        ts = pa.chunked_array([pa.array(values, mask=~whole)])
    symbol = None if shape.symbol is None else table[str(shape.symbol)]
    prices = tuple(doubles(table[str(at)]) for at in shape.prices)
    return Rows(numbers, ts, symbol, prices, ())
