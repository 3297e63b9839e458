"""Files of bars into a folder of bars: read, checked, merged, with what was left out kept.

Each row that is read is kept or rejected under one code. What is rejected goes, with file, row and
values as text, to `<out>/rejects/<file>-<digest>.parquet`. The digest is of the file's bytes and of
how they were read, so the same import again writes the same.
"""

import hashlib
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from feeds.layouts import Choice
from feeds.packed import contents
from feeds.reading import NO_SYMBOL, FileBars, read_bars
from feeds.store import (
    CONFLICT,
    DUPLICATE,
    LONGEST_NAME,
    NEW,
    SAME,
    Fates,
    Store,
    open_store,
    safe_name,
)
from feeds.times import bars_length, length_text
from jobs.sources import list_files
from udfs.bar_checks import BAR_CODES, VALID, bar_codes
from udfs.bars import Bars, Bools, Ints
from udfs.errors import ConfigError
from udfs.timeframes import MINUTE_MS, timeframe_ms

# The codes of a row, in the order of the checks; the numbers of the first are those of BAR_CODES.
CODES = (*(code.value for code in BAR_CODES), "DUPLICATE", "CONFLICT", "MALFORMED")
REJECTED_AS = {DUPLICATE: CODES.index("DUPLICATE"), CONFLICT: CODES.index("CONFLICT")}
MALFORMED = CODES.index("MALFORMED")
REJECTS = "rejects"
SHOWN_PROBLEMS = 10


class Request(NamedTuple):
    """An import: `timeframe` None where names and times of the files tell the length of bars."""

    files: tuple[str, ...]
    out: Path
    choice: Choice = Choice()
    member: str | None = None
    timeframe: str | None = None


class Reject(NamedTuple):
    """A rejected row: its values as text, or its whole text where it is malformed."""

    file: str
    row: int
    code: str
    symbol: str | None = None
    ts: str | None = None
    open: str | None = None
    high: str | None = None
    low: str | None = None
    close: str | None = None
    volume: str | None = None
    text: str | None = None


class CodeCount(NamedTuple):
    """How many rows were rejected under a code."""

    code: str
    rows: int


class FileReport(NamedTuple):
    """What became of the rows of one file: `rows` = `new` + `unchanged` + all rejected."""

    source: str
    layout: str
    told: str
    header_lines: int
    symbols: tuple[str, ...]
    rows: int
    new: int
    unchanged: int
    rejected: tuple[CodeCount, ...]
    out_of_order: int
    first_ts: int | None
    last_ts: int | None
    rejects: Path | None


class ImportReport(NamedTuple):
    """A whole import: its files in order of reading, and the files of bars that it changed."""

    out: Path
    base_ms: int
    files: tuple[FileReport, ...]
    written: tuple[Path, ...]


class Checked(NamedTuple):
    """A file with the code of each row (VALID where it is none) and what became of valid ones."""

    bars: FileBars
    digest: str
    code: Fates
    fate: Fates


def import_files(request: Request) -> ImportReport:
    """Read all files, then write all that they give, or nothing.

    ConfigError where a file can't be read or what it holds can't be told; all of them at once.
    """
    read = _read(request)
    base_ms = _length([bars for bars, _ in read], request.timeframe)
    checked = [_check(bars, digest, base_ms) for bars, digest in read]
    with open_store(request.out) as store:
        _add(store, checked, base_ms)
        places = [_put_rejects(store, one, number) for number, one in enumerate(checked)]
        written = store.finish()
    reports = [
        _report(one, None if place is None else request.out / place)
        for one, place in zip(checked, places, strict=True)
    ]
    bars = tuple(path for path in written if path.parent == request.out)
    return ImportReport(request.out, base_ms, tuple(reports), bars)


def _read(request: Request) -> list[tuple[FileBars, str]]:
    """All files with their digests."""
    read: list[tuple[FileBars, str]] = []
    problems: list[str] = []
    for path in list_files(request.files, "FILE"):
        try:
            for content in contents(path, request.member):
                digest = hashlib.sha256(repr((request.choice, request.timeframe)).encode())
                digest.update(content.data)
                read.append((read_bars(content, request.choice), digest.hexdigest()))
        except ConfigError as error:
            problems.append(str(error))
    if problems:
        more = len(problems) - SHOWN_PROBLEMS
        shown = problems[:SHOWN_PROBLEMS] + ([f"... and {more} more files"] if more > 0 else [])
        raise ConfigError("\n".join(shown))
    return read


def _length(files: Sequence[FileBars], given: str | None) -> int:
    """The length of all bars, in ms. ConfigError where files differ, or from what is given."""
    found: dict[int, str] = {}
    for bars in files:
        length = _told_length(bars)
        if length is not None:
            found.setdefault(length, bars.source)
    if given is None and len(found) > 1:
        shown = "; ".join(f"{source}: {length_text(one)}" for one, source in found.items())
        raise ConfigError(
            f"the files hold bars of different lengths ({shown}); import each length into a "
            "folder of its own"
        )
    if given is None:
        return next(iter(found), MINUTE_MS)
    try:
        length = timeframe_ms(given)
    except ValueError as error:
        raise ConfigError(f"--timeframe: {error}") from None
    for bars in files:
        if bars.timeframe is not None and _told_length(bars) != length:
            raise ConfigError(
                f"{bars.source}: holds bars of {bars.timeframe} by its name, not of {given}; give "
                f"--timeframe {bars.timeframe}, or none"
            )
    return length


def _told_length(bars: FileBars) -> int | None:
    """By the name of the file, else by the times in it."""
    if bars.timeframe is None:
        return bars_length(bars.bars.ts[bars.whole_ts])
    try:
        return timeframe_ms(bars.timeframe)
    except ValueError as error:
        raise ConfigError(f"{bars.source}: holds bars of {bars.timeframe}: {error}") from None


def _check(bars: FileBars, digest: str, base_ms: int) -> Checked:
    code = bar_codes(bars.bars, bars.whole_ts, base_ms)
    code[bars.symbol == NO_SYMBOL] = MALFORMED
    return Checked(bars, digest, code, np.full(len(code), NEW, dtype=np.int8))


def _add(store: Store, checked: Sequence[Checked], base_ms: int) -> None:
    """Merge all valid rows, symbol by symbol, in the order of the files."""
    places: dict[str, list[tuple[Checked, Ints]]] = {}
    for one in checked:
        valid = np.flatnonzero(one.code == VALID)
        order = valid[np.argsort(one.bars.symbol[valid], kind="stable")]
        cuts = np.searchsorted(one.bars.symbol[order], np.arange(len(one.bars.symbols) + 1))
        for number, symbol in enumerate(one.bars.symbols):
            rows = order[cuts[number] : cuts[number + 1]]
            if len(rows):
                places.setdefault(symbol, []).append((one, rows))
    for symbol, parts in sorted(places.items()):
        columns = [
            np.concatenate([one.bars.bars[column][rows] for one, rows in parts])
            for column in range(len(Bars._fields))
        ]
        fates = store.add(symbol, Bars._make(columns), base_ms)
        start = 0
        for one, rows in parts:
            one.fate[rows] = fates[start : start + len(rows)]
            start += len(rows)
            for fate, code in REJECTED_AS.items():
                one.code[rows[one.fate[rows] == fate]] = code


def _put_rejects(store: Store, checked: Checked, number: int) -> str | None:
    """The rejected rows of a file to their place; what an earlier import left there goes."""
    bars = checked.bars
    stem = safe_name(Path(bars.source).name[-LONGEST_NAME // 4 :])
    place = f"{REJECTS}/{stem}-{checked.digest[:12]}.parquet"
    at = np.flatnonzero(checked.code != VALID)
    if not len(at) and not bars.malformed:
        store.remove(place)
        return None
    if place in store.filled:  # the same file under two paths
        place = f"{REJECTS}/{stem}-{checked.digest[:12]}-{number}.parquet"
    rejects = [
        Reject(bars.source, int(bars.numbers[row]), CODES[checked.code[row]], *values)
        for row, values in zip(at, bars.show(at), strict=True)
    ]
    rejects += [
        Reject(bars.source, line.row, CODES[MALFORMED], text=line.text) for line in bars.malformed
    ]
    rejects.sort(key=lambda reject: reject.row)
    schema = pa.schema(
        [(name, pa.int64() if name == "row" else pa.string()) for name in Reject._fields]
    )
    columns = [list(column) for column in zip(*rejects, strict=True)]
    store.put(place, pa.table(columns, schema=schema))
    return place


def _report(checked: Checked, rejects: Path | None) -> FileReport:
    bars, code = checked.bars, checked.code
    counts = Counter(CODES[one] for one in code[code != VALID].tolist())
    counts["MALFORMED"] += len(bars.malformed)
    kept = code == VALID
    ts = bars.bars.ts[kept]
    return FileReport(
        bars.source,
        bars.layout,
        bars.told,
        bars.header_lines,
        bars.symbols,
        len(code) + len(bars.malformed),
        int(np.count_nonzero(kept & (checked.fate == NEW))),
        int(np.count_nonzero(kept & (checked.fate == SAME))),
        tuple(CodeCount(name, counts[name]) for name in CODES if counts[name]),
        _out_of_order(bars, kept),
        int(ts.min()) if len(ts) else None,
        int(ts.max()) if len(ts) else None,
        rejects,
    )


def _out_of_order(bars: FileBars, kept: Bools) -> int:
    """Kept rows that come after a later one of their symbol."""
    symbol, ts = bars.symbol[kept], bars.bars.ts[kept]
    order = np.argsort(symbol, kind="stable")
    cuts = np.flatnonzero(np.diff(symbol[order])) + 1
    return sum(
        int(np.count_nonzero(part < np.maximum.accumulate(part)))
        for part in np.split(ts[order], cuts)
    )
