"""Files of any layout to bars as they were read, with what it takes to show a rejected row."""

import json
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from feeds.columns import Columns, find_columns
from feeds.csv_rows import (
    SHOWN_LENGTH,
    Malformed,
    Rows,
    Shape,
    fields_of,
    first_lines,
    lines_of,
    plain_lines,
    read_rows,
    text_rows,
)
from feeds.layouts import (
    AUTO,
    CSV,
    KRAKEN,
    PARQUET,
    SAMPLE,
    Choice,
    Layout,
    NameParts,
    cells_layout,
    check_times,
    name_parts,
    text_layout,
)
from feeds.packed import Content
from feeds.times import epoch_ms
from jobs.csv_files import check_twice
from jobs.values import doubles, is_number, is_text, is_time, value_text
from udfs.bars import Bars, Bools, Ints
from udfs.errors import ConfigError

MAGIC = b"PAR1"
JSON_START = re.compile(rb"\s*[\[{]")
UTF_16 = (b"\xff\xfe", b"\xfe\xff")
LONGEST_SYMBOL = 60  # bytes: as part of a file's name it may be three times as long
NO_SYMBOL = -1
Values = tuple[str | None, ...]  # symbol, ts, open, high, low, close, volume as they were


class FileBars(NamedTuple):
    """The rows of one file. `symbol` int[n]: index into `symbols`, NO_SYMBOL where it has none.

    `whole_ts` is False where the time is none. `show` gives the values of rows, by position.
    """

    source: str
    layout: str
    told: str
    header_lines: int
    timeframe: str | None
    symbols: tuple[str, ...]
    symbol: Ints
    numbers: Ints
    bars: Bars
    whole_ts: Bools
    malformed: tuple[Malformed, ...]
    show: Callable[[Ints], Iterator[Values]]


def read_bars(content: Content, choice: Choice) -> FileBars:
    """The rows of a file, none left out. ConfigError where its layout can't be told."""
    if not content.data or content.data.isspace():
        raise ConfigError(f"{content.source}: is empty; expected bars")
    if content.data.startswith(UTF_16):
        raise ConfigError(f"{content.source}: is UTF-16 text; save it as UTF-8")
    if content.data.startswith(MAGIC):
        return _parquet(content, choice)
    if choice.format not in (CSV, PARQUET) and JSON_START.match(content.data):
        return _json(content, choice)
    data = plain_lines(content.data)
    lines = first_lines(data, SAMPLE)
    layout = text_layout(content.source, content.name, lines, choice)
    rows = read_rows(data, layout.header_lines, layout.shape)

    def show(at: Ints) -> Iterator[Values]:
        for line in lines_of(data, layout.header_lines, rows.numbers[at]):
            yield _shown(fields_of(line, layout.shape) or (), layout.shape)

    return _file_bars(content, choice, layout, rows, show)


def _shown(values: Sequence[str | None], shape: Shape) -> Values:
    """The values of a row in the order of a bar's columns."""
    ts = " ".join(values[at] or "" for at in shape.ts)
    symbol = None if shape.symbol is None else values[shape.symbol]
    prices = [values[at] for at in shape.prices]
    return (symbol, ts, *prices, *[None] * (5 - len(prices)))


def _json(content: Content, choice: Choice) -> FileBars:
    """A list of lists, as candles come from public interfaces."""
    try:
        tree = json.loads(content.data, parse_float=str, parse_int=str, parse_constant=str)
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{content.source}: is no JSON that can be read: {error}") from None
    if not isinstance(tree, list) or not any(isinstance(row, list) for row in tree):
        raise ConfigError(
            f"{content.source}: is JSON, but no list of candles such as [[time, open, ...], ...]"
        )
    cells = [list(map(_cell, row)) if isinstance(row, list) else [] for row in tree]
    parts = name_parts(content.name)
    sample = [[cell or "" for cell in row] for row in cells[:SAMPLE]]
    layout = cells_layout(content.source, parts, sample, ",", choice)
    shape = layout.shape
    kept = [number for number, row in enumerate(cells, 1) if len(row) == shape.fields]
    rows = text_rows([cells[number - 1] for number in kept], kept, shape)
    malformed = tuple(
        Malformed(number, json.dumps(tree[number - 1])[:SHOWN_LENGTH])
        for number, row in enumerate(cells, 1)
        if len(row) != shape.fields
    )

    def show(at: Ints) -> Iterator[Values]:
        return (_shown(cells[number - 1], shape) for number in rows.numbers[at])

    return _file_bars(content, choice, layout, rows._replace(malformed=malformed), show)


def _cell(value: Any) -> str | None:
    if isinstance(value, str):
        return value.encode(errors="backslashreplace").decode()  # "\ud800" is no letter
    return None if value is None else json.dumps(value)


def _parquet(content: Content, choice: Choice) -> FileBars:
    source = content.source
    if choice.format not in (AUTO, PARQUET):
        raise ConfigError(f"{source}: is Parquet; give --format parquet, or none")
    try:
        file = pq.ParquetFile(pa.BufferReader(content.data))
        names = file.schema_arrow.names
        check_twice(source, names, names)
        columns = find_columns(source, names, choice.mapping)
        if choice.symbol is not None:
            columns = columns._replace(symbol=None)
        _check_types(source, file.schema_arrow, columns)
        symbol = () if columns.symbol is None else (columns.symbol,)
        wanted = sorted({*columns.ts, *columns.prices, *symbol})
        table = file.read(columns=[names[at] for at in wanted])
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{source}: is no Parquet file that can be read: {error}") from None
    shape = Shape(len(names), "", columns.ts, columns.prices, columns.symbol, False)
    ts = table[names[columns.ts[0]]]
    if is_text(ts.type):
        check_times(source, ts.slice(0, SAMPLE).drop_null().to_pylist(), choice.times)
    rows = Rows(
        np.arange(1, table.num_rows + 1),
        ts,
        table[names[symbol[0]]].cast(pa.string()) if symbol else None,
        tuple(doubles(table[names[at]]) for at in columns.prices),
        (),
    )

    def show(at: Ints) -> Iterator[Values]:
        taken = table.take(pa.array(at)).to_pydict()
        texts = {names.index(name): list(map(value_text, taken[name])) for name in taken}
        for row in range(len(at)):
            yield _shown([texts[n][row] if n in texts else None for n in range(len(names))], shape)

    layout = Layout(PARQUET, shape, 0, choice.times, "its content")
    return _file_bars(content, choice, layout, rows, show)


def _check_types(source: str, schema: pa.Schema, columns: Columns) -> None:
    """ConfigError unless the columns can hold bars."""
    for at in columns.prices:
        if not is_number(schema.field(at).type):
            raise _wrong_type(source, schema.field(at), "numbers")
    if len(columns.ts) > 1:
        raise ConfigError(f"{source}: --map ts: columns can be joined in text files only")
    if not is_time(schema.field(columns.ts[0]).type):
        raise _wrong_type(source, schema.field(columns.ts[0]), "times")
    if columns.symbol is not None:
        kind = schema.field(columns.symbol).type
        plain = kind.value_type if pa.types.is_dictionary(kind) else kind
        if not is_text(plain):
            raise _wrong_type(source, schema.field(columns.symbol), "text")


def _wrong_type(source: str, field: pa.Field, expected: str) -> ConfigError:
    return ConfigError(f"{source}: column {field.name!r} holds {field.type}; expected {expected}")


def _file_bars(
    content: Content,
    choice: Choice,
    layout: Layout,
    rows: Rows,
    show: Callable[[Ints], Iterator[Values]],
) -> FileBars:
    parts = name_parts(content.name)
    if parts.layout == KRAKEN != layout.name:
        parts = NameParts(None, None, None)  # any name may end in _1
    ts, whole = epoch_ms(rows.ts, layout.times)
    prices = rows.prices
    if len(prices) == 4:
        prices = (*prices, np.zeros(len(ts)))
    symbols, symbol = _symbols(content, choice.symbol, parts.symbol, rows)
    return FileBars(
        content.source,
        layout.name,
        layout.told,
        layout.header_lines,
        parts.timeframe,
        symbols,
        symbol,
        rows.numbers,
        Bars(np.where(whole, ts, 0), *prices),
        whole,
        rows.malformed,
        show,
    )


def _symbols(
    content: Content, given: str | None, by_name: str | None, rows: Rows
) -> tuple[tuple[str, ...], Ints]:
    """The symbols of a file and which row has which: given, in a column, or by the file's name."""
    count = len(rows.numbers)
    if given is None and rows.symbol is not None:
        column = rows.symbol.combine_chunks().dictionary_encode()
        names = [None if name is None else name.strip() for name in column.dictionary.to_pylist()]
        symbols = tuple(sorted({name for name in names if name is not None and is_symbol(name)}))
        numbers = {name: number for number, name in enumerate(symbols)}
        places = [numbers.get(name or "", NO_SYMBOL) for name in names]
        indices = column.indices.fill_null(len(names)).to_numpy(zero_copy_only=False)
        return symbols, np.array([*places, NO_SYMBOL], dtype=np.int64)[indices]
    name = given or by_name
    if name is None:
        raise ConfigError(
            f"{content.source}: of which symbol its bars are can't be told; give --symbol NAME, or "
            "--map symbol=COLUMN"
        )
    return (name,), np.zeros(count, dtype=np.int64)


def is_symbol(name: str) -> bool:
    """Whether a text can be a symbol: 1 to 60 bytes of letters that can be printed."""
    return name.isprintable() and name == name.strip() and 0 < len(name.encode()) <= LONGEST_SYMBOL
