"""What was asked of a venue already, beside the bars: `<out>/.fetch/<symbol>.json`.

A minute without a bar may be one without trades, or one never asked for; only this record tells
them apart. It names the spans that are done and how many bars each month got from them. It holds
for one exchange, market and timeframe. A month whose file is gone, or has fewer bars than it got,
is no longer done. Where the record itself is gone all is asked for again.

The bars are written first, then the record: what ends a fetch between the two makes some pages be
asked for again, and never leaves any out.
"""

import fcntl
import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from feeds.store import month_files, safe_name
from jobs.run_folder import unwritable
from schemas.config_values import epoch_ms, time_text
from udfs.bars import Ints
from udfs.errors import Refusal

FOLDER = ".fetch"
VERSION = 1


class Span(NamedTuple):
    """Open times in [start, end), ms."""

    start: int
    end: int


class Source(NamedTuple):
    """Where the bars of a symbol come from."""

    exchange: str
    symbol: str
    timeframe: str

    def __str__(self) -> str:
        return f"{self.exchange} {self.symbol} {self.timeframe}"


class Record(NamedTuple):
    """Spans that are done, ascending and apart, and (month, bars that they gave it)."""

    source: Source
    done: tuple[Span, ...] = ()
    months: tuple[tuple[str, int], ...] = ()


def with_span(done: Sequence[Span], added: Span) -> tuple[Span, ...]:
    """The spans with one more, put together where they touch."""
    if added.start >= added.end:
        return tuple(done)
    apart = [span for span in done if span.end < added.start or added.end < span.start]
    touching = [span for span in done if span not in apart]
    start = min([added.start, *(span.start for span in touching)])
    end = max([added.end, *(span.end for span in touching)])
    return tuple(sorted([*apart, Span(start, end)]))


def without_span(done: Sequence[Span], taken: Span) -> tuple[Span, ...]:
    """The spans without what lies in one of them."""
    parts = [
        part
        for span in done
        for part in (
            Span(span.start, min(span.end, taken.start)),
            Span(max(span.start, taken.end), span.end),
        )
        if part.start < part.end
    ]
    return tuple(sorted(set(parts)))


def missing(done: Sequence[Span], wanted: Span) -> tuple[Span, ...]:
    """What of a span is not done."""
    left: tuple[Span, ...] = (wanted,) if wanted.start < wanted.end else ()
    for span in done:
        left = without_span(left, span)
    return left


def months_of(ts: Ints) -> tuple[tuple[str, int], ...]:
    """(month, bars that open in it) of open times."""
    months, counts = np.unique(
        ts.astype("datetime64[ms]").astype("datetime64[M]"), return_counts=True
    )
    return tuple((str(month), int(count)) for month, count in zip(months, counts, strict=True))


def with_bars(record: Record, ts: Ints, span: Span) -> Record:
    """The record after the bars of these times were stored, and a span is done."""
    counts = dict(record.months)
    for month, count in months_of(ts):
        counts[month] = counts.get(month, 0) + count
    return record._replace(done=with_span(record.done, span), months=tuple(sorted(counts.items())))


class Records:
    """The records of a folder, for one fetch alone (`with opened(out)`)."""

    def __init__(self, out: Path) -> None:
        self.out = out

    def path(self, name: str) -> Path:
        """Where the record of a symbol is."""
        return self.out / FOLDER / f"{safe_name(name)}.json"

    def read(self, name: str, source: Source) -> tuple[Record, tuple[str, ...]]:
        """The record of a symbol, and what a person should hear of it.

        Refusal where its bars are of another source: two venues do not mix in one file.
        """
        path = self.path(name)
        if not path.exists():
            return Record(source), ()
        try:
            record = _parsed(json.loads(path.read_text(encoding="utf-8")))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            note = f"{path}: no record of a fetch ({error}); everything is asked for again"
            return Record(source), (note,)
        if record.source != source:
            raise Refusal(
                f"{self.out}: the bars of {name} there are of {record.source}, these would be of "
                f"{source}; give another --out, or another name by --as"
            )
        return self._without_lost(name, record)

    def _without_lost(self, name: str, record: Record) -> tuple[Record, tuple[str, ...]]:
        """The record without months whose bars are no longer there."""
        rows = {path.stem[-7:]: _rows(path) for path in month_files(self.out, name)}
        lost = [month for month, count in record.months if rows.get(month, 0) < count]
        for month in lost:
            record = record._replace(done=without_span(record.done, _month_span(month)))
        kept = tuple((month, count) for month, count in record.months if month not in lost)
        notes = tuple(
            f"{name} {month}: bars that were fetched are gone; they are asked for again"
            for month in lost
        )
        return record._replace(months=kept), notes

    def write(self, name: str, record: Record) -> None:
        """Replace the record of a symbol, whole or not at all."""
        content = {
            "version": VERSION,
            **record.source._asdict(),
            "done": [[time_text(span.start), time_text(span.end)] for span in record.done],
            "months": dict(record.months),
        }
        path = self.path(name)
        part = path.with_suffix(".part")
        try:
            part.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
            part.replace(path)
        except OSError as error:
            raise unwritable(path, error) from error
        finally:
            part.unlink(missing_ok=True)


@contextmanager
def opened(out: Path) -> Iterator[Records]:
    """The records of a folder; Refusal while another fetch has them.

    Folders that were made for it and stayed empty are removed at the end.
    """
    folder = out / FOLDER
    made = [one for one in (folder, out, *out.parents) if not one.exists()]
    lock = None
    try:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            lock = os.open(folder, os.O_RDONLY)
        except OSError as error:
            raise unwritable(Path(error.filename or folder), error) from error
        _lock(lock, out)
        yield Records(out)
    finally:
        if lock is not None:
            os.close(lock)
        with suppress(OSError):  # what is not empty stays
            for one in made:
                one.rmdir()


def _lock(handle: int, out: Path) -> None:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise Refusal(f"{out}: another fetch into it is under way; wait for its end") from None
    except OSError:
        return  # a file system that knows no locks of folders


def _parsed(content: Any) -> Record:
    if content["version"] != VERSION:
        raise ValueError(f"its version is {content['version']!r}, not {VERSION}")
    source = Source(*(str(content[field]) for field in Source._fields))
    done = tuple(sorted(Span(epoch_ms(start), epoch_ms(end)) for start, end in content["done"]))
    months = tuple((str(month), int(count)) for month, count in content["months"].items())
    for month, _ in months:
        _month_span(month)
    return Record(source, done, months)


def _month_span(month: str) -> Span:
    first = np.datetime64(month, "M")
    start, end = (int(one.astype("datetime64[ms]").astype(np.int64)) for one in (first, first + 1))
    return Span(start, end)


def _rows(path: Path) -> int:
    """Rows of a Parquet file; 0 where it is none, which the next write then tells."""
    try:
        return pq.read_metadata(path).num_rows
    except (pa.ArrowException, OSError):
        return 0
