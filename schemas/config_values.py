"""The kinds of single values that a configuration holds: how each is read, checked and shown."""

import math
import re
import unicodedata
import zoneinfo
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from typing import Annotated

from pydantic import PlainSerializer, PlainValidator

from schemas.problems import shown
from udfs.errors import nearest
from udfs.money import finite_decimal, plain_text, units
from udfs.timeframes import span_ms, timeframe_ms

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MAX_WHOLE = 10**15  # far beyond any setting, and safe in 64 bits after a sum
MAX_DAYS = 100_000
LEAST_MEMORY_MB = 1024  # below, a TaskManager with Python and RocksDB in it does not start


def amount(value: object) -> int:
    """A decimal (text, int, or float by its repr) in units of 10^-18; ValueError if it is none."""
    try:
        finite_decimal(value)
    except ValueError:
        raise ValueError(
            f'{shown(value)} is not a decimal number; write one such as "10"'
        ) from None
    try:
        return units(value)
    except ValueError:
        raise ValueError(
            f"{shown(value)} does not fit DECIMAL(38,18); at most 20 digits before the point "
            "and 18 after it"
        ) from None


def positive_amount(value: object) -> int:
    """As `amount`, above 0."""
    found = amount(value)
    if found <= 0:
        raise ValueError(f"{shown(value)} is not above 0")
    return found


def amount_from_zero(value: object) -> int:
    """As `amount`, 0 or above."""
    found = amount(value)
    if found < 0:
        raise ValueError(f"{shown(value)} is below 0")
    return found


def whole(least: int, most: int = MAX_WHOLE) -> Callable[[object], int]:
    """A reader of whole numbers of `least` to `most`."""

    def read(value: object) -> int:
        if isinstance(value, bool) or not isinstance(value, int):
            raise ValueError(f"{shown(value)} is not a whole number; write one such as 5")
        if not least <= value <= most:
            raise ValueError(f"{value} is out of range; write a whole number of {least} to {most}")
        return value

    return read


def seconds(value: object) -> float:
    """A number of seconds, whole or not, 0 or above."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError(f"{shown(value)} is not a number of seconds; write one such as 5")
    if not 0 <= value <= MAX_WHOLE:
        raise ValueError(f"{value} is out of range; write a number of seconds, 0 or more")
    return value


def memory(value: object) -> str:
    """An amount of memory as Java writes it: `1500m` or `2g`, of LEAST_MEMORY_MB or more."""
    found = re.fullmatch(r"([1-9]\d{0,6})([mg])", value) if isinstance(value, str) else None
    if found is None:
        raise ValueError(
            f"{shown(value)} is not an amount of memory; write one such as 2g or 1500m"
        )
    if memory_mb(found[0]) < LEAST_MEMORY_MB:
        raise ValueError(f"{shown(value)} is too little; write {LEAST_MEMORY_MB}m or more")
    return found[0]


def memory_mb(text: str) -> int:
    """The MiB of what `memory` has let pass."""
    return int(text[:-1]) * (1024 if text[-1] == "g" else 1)


def text(value: object) -> str:
    """Text that is not empty and holds no control characters (one of them separates hash parts)."""
    if value is not None and not isinstance(value, str):
        raise ValueError(f'{shown(value)} is not text; write it in quotes, such as "{value}"')
    if value is None or not value.strip():
        raise ValueError(f"{shown(value)} is empty; write a name")
    if any(unicodedata.category(character) in ("Cc", "Cs") for character in value):
        raise ValueError(f"{shown(value)} holds a control character; leave it out")
    return value


def folder_name(value: object) -> str:
    """Text that can name a run's folder."""
    name = text(value)
    if name in (".", "..") or "/" in name or "\\" in name or len(name.encode()) > 200:
        raise ValueError(
            f"{shown(value)} names the run's folder: leave out / and \\, and stay below 200 bytes"
        )
    return name


def paths(value: object) -> tuple[str, ...]:
    """One path or pattern, or a list of them."""
    listed = [value] if isinstance(value, str) else value
    if not isinstance(listed, list | tuple) or not listed:
        raise ValueError(
            f"{shown(value)} names no files; write a path such as data/sample/*.parquet, or a list"
        )
    for item in listed:
        if not isinstance(item, str) or not item.strip() or "\0" in item:
            raise ValueError(f"{shown(item)} is not a path; write one such as data/BTCUSD.parquet")
    return tuple(listed)


def addresses(value: object) -> object:
    """Addresses of a store: one text, a list of them, or one by name."""
    items = [value]
    if isinstance(value, dict):
        items = [*value, *value.values()]
    elif isinstance(value, list):
        items = value
    if not items or any(not isinstance(item, str) or not item.strip() for item in items):
        raise ValueError(
            f"{shown(value)} is not an address; write one such as localhost:9123, a list, or "
            "{fluss: localhost:9123}"
        )
    return value


def span(value: object) -> str:
    """A span of time as text: `90m`, `6h`, `2d`, or 0."""
    try:
        length = span_ms(value)
    except ValueError:
        raise ValueError(
            f"{shown(value)} is not a span of time; write one such as 90m, 6h or 2d"
        ) from None
    if length > MAX_WHOLE:
        raise ValueError(f"{shown(value)} is too long a span")
    return str(value)


def positive_span(value: object) -> str:
    """As `span`, above 0."""
    found = span(value)
    if span_ms(found) == 0:
        raise ValueError(f"{shown(value)} is not above 0; write one such as 5s")
    return found


def timeframe(value: object) -> str:
    """A bar's length as text: whole minutes that divide a day."""
    try:
        timeframe_ms(value)
    except ValueError:
        raise ValueError(
            f"{shown(value)} is not a timeframe; write one such as 1m, 5m, 15m, 1h or 1d"
        ) from None
    return str(value)


def epoch_ms(value: object) -> int:
    """A time as UTC epoch milliseconds.

    Reads what YAML makes of a time: a datetime (naive means UTC), a date (its midnight), ISO
    text, or a whole number of milliseconds.
    """
    moment = value
    try:
        if isinstance(moment, str):
            moment = datetime.fromisoformat(moment.strip())
        if isinstance(moment, int) and not isinstance(moment, bool):
            moment = EPOCH + timedelta(milliseconds=moment)
    except (ValueError, OverflowError):
        moment = None
    if isinstance(moment, date) and not isinstance(moment, datetime):
        moment = datetime(moment.year, moment.month, moment.day)
    if not isinstance(moment, datetime):
        raise ValueError(
            f"{shown(value)} is not a time; write one such as 2019-06-01T00:00:00Z, a date, or "
            "epoch milliseconds"
        )
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    milliseconds, rest = divmod(moment - EPOCH, timedelta(milliseconds=1))
    if rest:
        raise ValueError(f"{shown(value)} is finer than a millisecond")
    return milliseconds


def time_text(ts: int) -> str:
    """Epoch milliseconds as ISO text in UTC: `2019-06-01T00:00:00Z`."""
    moment = EPOCH + timedelta(milliseconds=ts)
    precision = "milliseconds" if ts % 1000 else "seconds"
    return moment.isoformat(timespec=precision).replace("+00:00", "Z")


def zone(value: object) -> str:
    """The name of a time zone that this machine knows."""
    name = text(value)
    try:
        zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        hint = nearest(name, zoneinfo.available_timezones()) or "; write one such as Europe/Oslo"
        raise ValueError(f"{shown(value)} is not a known time zone{hint}") from None
    return name


Amount = Annotated[int, PlainValidator(amount), PlainSerializer(plain_text)]
PositiveAmount = Annotated[int, PlainValidator(positive_amount), PlainSerializer(plain_text)]
AmountFromZero = Annotated[int, PlainValidator(amount_from_zero), PlainSerializer(plain_text)]
Count = Annotated[int, PlainValidator(whole(0))]
Positive = Annotated[int, PlainValidator(whole(1))]
Days = Annotated[int, PlainValidator(whole(1, MAX_DAYS))]
Seconds = Annotated[float, PlainValidator(seconds)]
Memory = Annotated[str, PlainValidator(memory)]
Text = Annotated[str, PlainValidator(text)]
FolderName = Annotated[str, PlainValidator(folder_name)]
Paths = Annotated[tuple[str, ...], PlainValidator(paths), PlainSerializer(list)]
Addresses = Annotated[object, PlainValidator(addresses)]
Span = Annotated[str, PlainValidator(span)]
PositiveSpan = Annotated[str, PlainValidator(positive_span)]
Timeframe = Annotated[str, PlainValidator(timeframe)]
Time = Annotated[int, PlainValidator(epoch_ms), PlainSerializer(time_text)]
Zone = Annotated[str, PlainValidator(zone)]
