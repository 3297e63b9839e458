"""Open times of bars as files write them: numbers since 1970, or text in some zone; to epoch ms.

What is no time is marked, never raised: it is for the checks of the rows to reject.
"""

import zoneinfo
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from jobs.values import BLANKS, is_text, whole_numbers
from udfs.bars import Bools, Ints
from udfs.errors import ConfigError, nearest
from udfs.timeframes import DAY_MS, MINUTE_MS

AUTO, EACH = "auto", "each"
UNITS = ("s", "ms", "us", "ns")
# |time| below these is taken as s, ms, us; s and ms overlap before March 1973 alone.
LIMITS = np.array([10**11, 10**14, 10**17])
PER_MS = {"ms": 1, "us": 1_000, "ns": 1_000_000}
EPOCH = datetime(1970, 1, 1)
MICROSECOND = timedelta(microseconds=1)
DAY_MINUTES = 1440
FEWEST_ROWS = 20  # that tell the length of bars
MOST_SHARE = 0.95
FOLD_US = 6 * 3_600_000_000  # repeated hours further apart than this are of different nights
PYTHON_ONLY = ("%z", "%Z", "%f")  # which Arrow reads differently or not at all
Micros = tuple[Ints, Bools, Bools]  # us since 1970; is a time; is UTC already


class Times(NamedTuple):
    """How times are written: the unit of numbers (one of UNITS, AUTO, EACH), or text.

    EACH: every number by its own size, AUTO: all as the middle one. `format` is strptime's,
    ISO 8601 where None. `zone` is that of texts which name none.
    """

    unit: str = AUTO
    format: str | None = None
    zone: str = "UTC"


def check_zone(zone: str) -> None:
    """ConfigError where there is no such time zone."""
    try:
        zoneinfo.ZoneInfo(zone)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        hint = nearest(zone, sorted(zoneinfo.available_timezones()))
        raise ConfigError(
            f"--time-zone: {zone!r} is no time zone{hint}; write one such as UTC, Europe/Oslo, "
            "America/New_York or Etc/GMT+5 (5 hours behind UTC)"
        ) from None


def epoch_ms(column: pa.ChunkedArray, times: Times) -> tuple[Ints, Bools]:
    """A column of any type as ms, and where it held a time in whole ms."""
    kind = column.type
    is_stamp = pa.types.is_timestamp(kind) or pa.types.is_date(kind)
    if times.format is not None and not is_stamp:
        return text_ms(column.cast(pa.string()), times)
    if is_text(kind) and not mostly_numbers(column):
        return text_ms(column, times)
    values, whole = whole_numbers(column)
    if not is_stamp:
        if times.zone != "UTC":
            raise ConfigError("--time-zone is for times as text; numbers since 1970 are UTC")
        return numbers_ms(values, whole, times.unit)
    if times.zone == "UTC" or getattr(kind, "tz", None):
        return values, whole
    utc, exists = zoned(values * 1000, times.zone)
    return utc // 1000, whole & exists


def mostly_numbers(column: pa.ChunkedArray) -> bool:
    """Whether at least half of a column of text is whole numbers."""
    _, whole = whole_numbers(column)
    return bool(2 * np.count_nonzero(whole) >= len(whole))


def numbers_ms(values: Ints, known: Bools, unit: str) -> tuple[Ints, Bools]:
    """Numbers of a unit as ms, and where they are whole ms."""
    if unit in UNITS:
        return _scaled(values, known, unit)
    sizes = np.searchsorted(LIMITS, np.abs(values), side="right")
    if unit == AUTO:
        if not known.any():
            return values, known
        middle = int(np.median(sizes[known]))
        return _scaled(values, known & (sizes == middle), UNITS[middle])
    ms, whole = values.copy(), known.copy()
    for size, name in enumerate(UNITS):
        mine = sizes == size
        ms[mine], whole[mine] = _scaled(values[mine], known[mine], name)
    return ms, whole


def _scaled(values: Ints, known: Bools, unit: str) -> tuple[Ints, Bools]:
    if unit == "s":
        fits = known & (np.abs(values) < 2**63 // 1000)
        return np.where(fits, values, 0) * 1000, fits
    return values // PER_MS[unit], known & (values % PER_MS[unit] == 0)


def text_ms(column: pa.ChunkedArray, times: Times) -> tuple[Ints, Bools]:
    """Texts as ms, and where they are a time in whole ms that exists in the zone."""
    text = pc.utf8_trim(pc.fill_null(column, "").combine_chunks(), BLANKS)
    local, known, is_utc = _iso(text) if times.format is None else _formatted(text, times.format)
    if times.zone != "UTC" and not is_utc.all():
        utc, exists = zoned(local, times.zone)
        local = np.where(is_utc, local, utc)
        known = known & (is_utc | exists)
    return local // 1000, known & (local % 1000 == 0)


def _iso(text: pa.Array) -> Micros:
    """ISO 8601; whole columns at once where all of them have a zone, or none."""
    for is_utc, kind in enumerate((pa.timestamp("us"), pa.timestamp("us", "UTC"))):
        try:
            values = pc.cast(text, kind)
        except pa.ArrowInvalid:
            continue
        micros = np.asarray(pc.cast(values, pa.int64()), dtype=np.int64)
        return micros, np.ones(len(text), np.bool_), np.full(len(text), bool(is_utc))
    return _one_by_one(text.to_pylist(), datetime.fromisoformat)


def _formatted(text: pa.Array, form: str) -> Micros:
    """By a format. Arrow takes a 31 February for a day of March: what it reads must read back."""
    if any(part in form for part in PYTHON_ONLY):
        return _one_by_one(text.to_pylist(), lambda one: datetime.strptime(one, form))
    try:
        read = pc.strptime(text, format=form, unit="s", error_is_null=True)
        back = pc.fill_null(pc.equal(pc.strftime(read, format=form), text), False)
    except pa.ArrowInvalid:
        read, back = pa.nulls(len(text), pa.int64()), pa.array([False] * len(text))
    micros = np.asarray(pc.fill_null(pc.cast(read, pa.int64()), 0), dtype=np.int64) * 1_000_000
    exact = np.asarray(back.to_numpy(zero_copy_only=False), dtype=np.bool_)
    others = np.flatnonzero(~exact)
    texts = text.take(pa.array(others)).to_pylist()
    more = _one_by_one(texts, lambda one: datetime.strptime(one, form))
    known, is_utc = exact.copy(), np.zeros(len(text), dtype=np.bool_)
    micros[others], known[others], is_utc[others] = more
    return micros, known, is_utc


def _one_by_one(texts: list[str], read: Callable[[str], datetime]) -> Micros:
    micros = np.zeros(len(texts), dtype=np.int64)
    known, is_utc = np.zeros((2, len(texts)), dtype=np.bool_)
    for number, text in enumerate(texts):
        try:
            when = read(text)
            if when.tzinfo is not None:
                is_utc[number] = True
                when = when.astimezone(UTC).replace(tzinfo=None)
        except (ValueError, OverflowError):
            continue
        micros[number] = (when - EPOCH) // MICROSECOND
        known[number] = True
    return micros, known, is_utc


def zoned(local: Ints, zone: str) -> tuple[Ints, Bools]:
    """Local us as UTC, and where that local time exists.

    An hour that comes twice (clocks go back) is told apart by the order of the rows: where their
    times step back within it, the second one begins.
    """
    stamps = pa.array(local, pa.timestamp("us"))
    early, late = (
        pc.assume_timezone(stamps, zone, ambiguous=which, nonexistent=which)
        for which in ("earliest", "latest")
    )
    exists = np.asarray(pc.equal(pc.local_timestamp(early), stamps).to_numpy(zero_copy_only=False))
    first, second = (np.asarray(pc.cast(one, pa.int64()), dtype=np.int64) for one in (early, late))
    repeated = np.flatnonzero(exists & (first != second))
    utc = first.copy()
    if len(repeated):
        descends = len(local) > 1 and np.median(np.diff(local)) < 0
        order = repeated[::-1] if descends else repeated
        again = order[_second_time(local[order])]
        utc[again] = second[again]
    return utc, exists.astype(np.bool_)


def _second_time(local: Ints) -> Bools:
    """Which of these rows, all of repeated hours and in order of time, are of the second one."""
    steps = np.diff(local)
    nights = np.concatenate([[0], np.cumsum(np.abs(steps) > FOLD_US)])
    second = np.zeros(len(local), dtype=np.bool_)
    for night in range(nights[-1] + 1):
        rows = np.flatnonzero(nights == night)
        step = np.diff(local[rows])
        back = step <= 0 if not step.any() else step < 0  # bars of an hour: twice the same time
        second[rows[1:]] = np.cumsum(back) > 0
    return second


def bars_length(ts: Ints) -> int | None:
    """The length of bars, in ms, that open at these times: the widest grid that nearly all are on.

    None where they are too few to tell.
    """
    minutes = ts[ts % MINUTE_MS == 0] // MINUTE_MS
    if len(minutes) < FEWEST_ROWS:
        return None
    for length in range(DAY_MINUTES, 1, -1):
        if DAY_MINUTES % length == 0 and np.mean(minutes % length == 0) >= MOST_SHARE:
            return length * MINUTE_MS
    return MINUTE_MS


def length_text(length_ms: int) -> str:
    """A length of time in the largest unit that it is whole of: 90m, 5h, 3d."""
    minutes = length_ms // MINUTE_MS
    if length_ms % DAY_MS == 0 and length_ms:
        return f"{length_ms // DAY_MS}d"
    return f"{minutes // 60}h" if minutes % 60 == 0 and minutes else f"{minutes}m"
