"""Files of bars, read as a backtest reads them, measured and judged per symbol."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from feeds.quality import Limits, Quality, Rejected, measure
from feeds.times import bars_length
from feeds.verdict import Verdict, judge
from jobs.sources import COLUMNS, is_csv, list_files, open_parquet, raw_bars, read_csv, read_group
from udfs.bars import Bars, Bools, Ints
from udfs.errors import ConfigError
from udfs.timeframes import MINUTE_MS

NO_SYMBOL = ""


class Checkup(NamedTuple):
    """One symbol: its measures, and what to think of them."""

    quality: Quality
    verdict: Verdict


class _Part(NamedTuple):
    """Rows of a symbol in one piece of a file, with their numbers in it from 0."""

    path: str
    rows: Ints
    bars: Bars
    whole_ts: Bools


def check_files(
    patterns: Sequence[str], limits: Limits, base_ms: int | None = None
) -> tuple[Checkup, ...]:
    """All symbols of the files, by name. `base_ms` None: the times tell each symbol's length.

    ConfigError where a file can't be read, or holds no rows of bars.
    """
    parts: dict[str, list[_Part]] = {}
    files = list_files(patterns, "FILE")
    for path in files:
        first = 0
        for table in _tables(path):
            for symbol, part in _by_symbol(path, table, first):
                parts.setdefault(symbol, []).append(part)
            first += table.num_rows
    if not parts:
        raise ConfigError(f"{', '.join(files[:5])}: no rows of bars")
    measured = [
        _measured(symbol, found, limits, base_ms) for symbol, found in sorted(parts.items())
    ]
    shortest = min(quality.base_ms for quality in measured)
    return tuple(Checkup(quality, judge(quality, limits, shortest)) for quality in measured)


def _tables(path: str) -> Iterator[pa.Table]:
    if is_csv(path):
        yield read_csv(path)
        return
    file = open_parquet(path)
    for group in range(file.num_row_groups):
        yield read_group(file, path, group, COLUMNS)


def _by_symbol(path: str, table: pa.Table, first: int) -> Iterator[tuple[str, _Part]]:
    """The rows of each symbol, in order."""
    names = pc.fill_null(table["symbol"].cast(pa.string()), NO_SYMBOL)
    distinct = pc.unique(names).to_pylist()
    for name in distinct:
        rows = np.arange(table.num_rows)
        found = table
        if len(distinct) > 1:
            rows = np.flatnonzero(pc.equal(names, name).to_numpy())
            found = table.take(pa.array(rows))
        raw = raw_bars(found, 0, rows)
        yield name, _Part(path, rows + first, raw.bars, raw.whole_ts)


def _measured(symbol: str, parts: Sequence[_Part], limits: Limits, base_ms: int | None) -> Quality:
    columns = zip(*(part.bars for part in parts), strict=True)
    bars = Bars._make(np.concatenate(column) for column in columns)
    whole_ts = np.concatenate([part.whole_ts for part in parts])
    length = base_ms or bars_length(bars.ts[whole_ts]) or MINUTE_MS
    quality = measure(symbol, bars, whole_ts, length, limits)
    return quality._replace(rejected=tuple(_placed(one, parts) for one in quality.rejected))


def _placed(one: Rejected, parts: Sequence[_Part]) -> Rejected:
    """With the file and the row of the first."""
    left = one.first
    for part in parts:
        if left < len(part.rows):
            return one._replace(file=part.path, row=int(part.rows[left]) + 1)
        left -= len(part.rows)
    return one
