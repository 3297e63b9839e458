"""Messages of a topic as lines, and partitions in the order of time."""

from pathlib import Path

import pytest

from feeds.live.kafka_lines import STUCK_S, Merge, Message, lines_of, settings_of
from feeds.live.lines import MAX_LINE_BYTES, Columns, Line
from jobs.sources import COLUMNS
from udfs.errors import ConfigError
from udfs.reports import REPORT_COLUMNS, REQUIRED_COLUMNS

BAR = {"symbol": "A", "ts": "60000", "open": "1.10", "high": "2", "low": "1", "close": "1e0",
       "volume": "7"}  # fmt: skip


def columns_of(required: tuple[str, ...], used: tuple[str, ...]) -> Columns:
    columns = Columns("rows", required, used)
    columns.line(",".join(used).encode())
    return columns


BARS = columns_of(COLUMNS, COLUMNS)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (b"A,60000,1.10,2,1,1e0,7", [BAR]),
        (b"A,60000,1.10,2,1,1e0,7\r\nA,60000,1.10,2,1,1e0,7\n", [BAR, BAR]),
        (b"symbol,ts,open,high,low,close,volume\nA,60000,1.10,2,1,1e0,7", [BAR]),
        (b'{"symbol":"A","ts":60000,"open":1.10,"high":"2","low":1,"close":1e0,"volume":7}', [BAR]),
        (b' {"symbol":"A","ts":60000,"open":1.10,"high":2,"low":1,"close":1e0,"volume":7,"x":[1]}',
         [BAR]),
        (b'{"symbol":"A","ts":null,"open":NaN,"high":true,"low":[1],"close":1e0,"volume":7}',
         [{**BAR, "ts": "", "open": "NaN", "high": "true", "low": '["1"]'} | {"high": "true"}]),
        (b"", []),
        (None, []),
    ],
)  # fmt: skip
def test_a_message_is_lines(value: bytes | None, expected: list[dict[str, str]]) -> None:
    lines = lines_of(value, BARS)
    assert [line.values for line in lines] == expected


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        (b"A,60000", "2 values, not 7"),
        (b'{"symbol":', "not JSON"),
        (b'{"a":' * 9000, "not JSON"),
        (b'{"symbol":"A","time":60000}', "no 'ts'"),
        (b"\xff\xfe", "not UTF-8 text"),
        (b"x" * (MAX_LINE_BYTES + 1), "no end of line"),
    ],
)
def test_what_is_no_row_is_kept_as_one(value: bytes, problem: str) -> None:
    (line,) = lines_of(value, BARS)
    assert line == Line(None, problem, line.text) and 0 < len(line.text) <= 500


def test_a_report_needs_some_columns_only() -> None:
    columns = columns_of(REQUIRED_COLUMNS, REPORT_COLUMNS)
    given = ",".join(f'"{name}":"{number}"' for number, name in enumerate(REQUIRED_COLUMNS))
    (line,) = lines_of(f"{{{given}}}".encode(), columns)
    assert line.values is not None
    assert set(line.values) == set(REPORT_COLUMNS)
    assert line.values["venue"] == ""


def messages(*times: int) -> list[Message]:
    return [Message(ts, b"") for ts in times]


def times(found: list[Message]) -> list[int]:
    return [message.ts for message in found]


def test_partitions_come_in_the_order_of_time() -> None:
    merge = Merge()
    merge.add(0, messages(1, 4, 5), 0.0)
    merge.add(1, (), 0.0)
    assert merge.take(set(), 0.1) == []  # the other has some that are not here yet
    merge.add(1, messages(2, 3), 0.2)
    assert times(merge.take(set(), 0.2)) == [1, 2, 3]
    assert times(merge.take({1}, 0.3)) == [4, 5]  # it has none: nothing to wait for
    merge.add(1, messages(6), 0.4)
    assert times(merge.take({0, 1}, 0.4)) == [6]


def test_a_partition_that_is_stuck_is_passed_by() -> None:
    merge = Merge()
    merge.add(0, messages(1), 0.0)
    merge.add(1, (), 0.0)
    assert merge.take(set(), STUCK_S - 0.1) == []
    assert times(merge.take(set(), STUCK_S + 0.1)) == [1]


def test_settings_are_a_file_of_its_owner(tmp_path: Path) -> None:
    file = tmp_path / "kafka"
    file.write_text(
        "# reach it\nsecurity_protocol = SASL_SSL\nsasl_plain_password=a=b\n\n"
        "ssl_check_hostname=False\n"
    )
    file.chmod(0o644)
    with pytest.raises(ConfigError, match="may be read by others; chmod 600"):
        settings_of(file)
    file.chmod(0o600)
    assert settings_of(file) == {
        "security_protocol": "SASL_SSL",
        "sasl_plain_password": "a=b",
        "ssl_check_hostname": False,
    }
    file.write_text("sasl_plain_pasword=secret")
    with pytest.raises(
        ConfigError, match=r"line 1 of .*\(did you mean 'sasl_plain_password'\?\)"
    ) as told:
        settings_of(file)
    assert "=secret" not in str(told.value)
    assert settings_of(None) == {}
    with pytest.raises(ConfigError, match="cannot be read"):
        settings_of(tmp_path / "none")
