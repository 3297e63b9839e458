"""Open times: units, formats and zones agree with Python's own, row by row."""

import random
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
import pytest

from feeds.times import Times, bars_length, epoch_ms, length_text

HOUR, MINUTE = 3_600_000, 60_000
AUTUMN = int(datetime(2024, 10, 26, 20, tzinfo=UTC).timestamp()) * 1000


def read(values: list[object], **times: str) -> list[int | None]:
    ms, known = epoch_ms(pa.chunked_array([pa.array(values)]), Times(**times))
    return [int(one) if ok else None for one, ok in zip(ms, known, strict=True)]


@pytest.mark.parametrize("zone", ["Europe/Oslo", "America/New_York", "Australia/Lord_Howe", "UTC"])
@pytest.mark.parametrize("step", [MINUTE, 30 * MINUTE, HOUR])
@pytest.mark.parametrize("ascends", [True, False])
def test_a_night_in_which_clocks_go_back(zone: str, step: int, ascends: bool) -> None:
    days = {"America/New_York": 7, "Australia/Lord_Howe": 161}.get(zone, 0)
    start = AUTUMN + days * 24 * HOUR
    ms = [start + i * step for i in range(16 * HOUR // step)][:: 1 if ascends else -1]
    local = [datetime.fromtimestamp(one / 1000, ZoneInfo(zone)) for one in ms]
    texts = [f"{one:%d/%m/%Y %H:%M}" for one in local]
    assert read(texts, format="%d/%m/%Y %H:%M", zone=zone) == ms
    stamps = [one.replace(tzinfo=None) for one in local]
    assert read(stamps, zone=zone) == ms
    assert read([one.isoformat() for one in local], zone="Asia/Tokyo") == ms


def test_a_time_that_clocks_skip_is_none() -> None:
    texts = ["2024-03-31 01:59", "2024-03-31 02:30", "2024-03-31 03:00"]
    assert [one is None for one in read(texts, zone="Europe/Oslo")] == [False, True, False]


@pytest.mark.parametrize("form", ["%d.%m.%Y %H:%M", "%m/%d/%y %H%M%S", "%Y%m%d %H:%M:%S.%f", "%c"])
def test_formats_are_those_of_python(form: str) -> None:
    rng = random.Random(form)
    texts = []
    for _ in range(300):
        text = f"{datetime(2000, 1, 1) + timedelta(minutes=rng.randrange(10**7)):{form}}"
        if rng.random() < 0.3:
            at = rng.randrange(len(text))
            text = text[:at] + rng.choice("0129 x") + text[at + rng.randrange(2) :]
        texts.append(text)

    def expected(text: str) -> int | None:
        try:
            when = datetime.strptime(text.strip(), form).replace(tzinfo=UTC)
        except ValueError:
            return None
        micros = (when - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)
        return micros // 1000 if micros % 1000 == 0 else None

    assert read(texts, format=form) == [expected(text) for text in texts]


def test_units_of_numbers() -> None:
    s = 1_717_200_000
    for factor in (1, 10**3, 10**6, 10**9):
        assert read([s * factor, (s + 60) * factor]) == [s * 1000, (s + 60) * 1000]
        assert read([str(s * factor), "x", None]) == [None] * 3 or factor  # few numbers are text
        assert read([str(s * factor), f"{(s + 60) * factor}"]) == [s * 1000, (s + 60) * 1000]
    assert read([s, s, s * 1000]) == [s * 1000, s * 1000, None]
    assert read([s, s * 1000], unit="each") == [s * 1000] * 2
    assert read([s], unit="ms") == [s]
    assert read([s * 10**6 + 1, s * 10**6]) == [None, s * 1000]
    assert read([20240102, 20240132], format="%Y%m%d") == [1_704_153_600_000, None]


@pytest.mark.parametrize("minutes", [1, 5, 60, 1440])
def test_the_length_of_bars(minutes: int) -> None:
    rng = random.Random(minutes)
    ts = np.array([i * minutes * MINUTE for i in range(400) if rng.random() < 0.3])
    assert bars_length(ts) == minutes * MINUTE
    assert bars_length(ts[:19]) is None
    assert bars_length(np.append(ts, [7, 60_000])) == minutes * MINUTE


def test_lengths_as_text() -> None:
    lengths = (MINUTE, 90 * MINUTE, 5 * HOUR, 72 * HOUR)
    assert [length_text(one) for one in lengths] == ["1m", "90m", "5h", "3d"]
