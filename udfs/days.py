"""Local days of a time zone, 23- and 25-hour ones included."""

import datetime
from zoneinfo import ZoneInfo

import numpy as np

from udfs.bars import Ints

UTC = datetime.UTC


def local_day(ts: int, zone: str) -> int:
    """The ordinal of the local date of a time (UTC ms)."""
    moment = datetime.datetime.fromtimestamp(ts // 1000, UTC)
    return moment.astimezone(ZoneInfo(zone)).toordinal()


def day_start(day: int, zone: str) -> int:
    """The first instant (UTC ms) of a local date."""
    date = datetime.date.fromordinal(day)
    midnight = datetime.datetime(date.year, date.month, date.day, tzinfo=ZoneInfo(zone))
    return int(midnight.astimezone(UTC).timestamp()) * 1000


def day_starts(first_day: int, last_day: int, zone: str) -> Ints:
    """First instants of the days first_day .. last_day + 1: int64[last - first + 2]."""
    days = range(first_day, last_day + 2)
    return np.array([day_start(day, zone) for day in days], dtype=np.int64)


def day_text(day: int) -> str:
    """An ordinal as YYYY-MM-DD."""
    return datetime.date.fromordinal(day).isoformat()
