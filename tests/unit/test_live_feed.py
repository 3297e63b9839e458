"""Feeds of a live store without the store: reading as a backtest, ticks without holes, lines."""

import itertools
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cli.replay import factor
from feeds.live import lines as live_lines
from feeds.live import place
from feeds.live.bars import SymbolReader, merged
from feeds.live.books import Change, booking_order
from feeds.live.feed import Stood, Tick, Timeline
from feeds.live.lines import Chunks, Columns, Line, batches
from feeds.live.waiting import instances
from jobs.sources import COLUMNS, memory_tasks
from jobs.store.place import StorePlace
from jobs.symbol_stage import Intake, count_unknown
from schemas.config import parse_config
from schemas.resolve import plan_run
from udfs.bar_checks import BAR_CODES
from udfs.errors import ConfigError, Refusal
from udfs.plan import RunPlan
from udfs.rows import Fill

BASE_MS = 60_000
DAY_MS = 86_400_000
SYMBOLS = ("AAAUSD", "BBBUSD", "CCCUSD")
CONFIG: dict[str, Any] = {
    "run": {"id": "test", "start": "1970-01-01T00:01:00Z", "end": "1970-01-01T00:20:00Z"},
    "symbols": {name: {} for name in SYMBOLS},
    "strategies": [
        {"id": "b", "kind": "ema_cross", "params": {"fast": 2, "slow": 3}},
        {"id": "a", "kind": "ema_cross", "grid": {"fast": [2, 4], "slow": [5]}},
    ],
    "accounts": [{"id": "main", "strategies": ["a", "b"], "sizing": {"fixed_qty": "1"}}],
}
TIMES = st.sampled_from(
    [str(n * BASE_MS) for n in range(24)] + ["", "x", "60001", "1.2e5", "-60000"]
)
PRICES = st.sampled_from(["1", "1", "1", "1", "1", "1", "2", "0", "-1", "nan", "", "inf", "one"])
ROW = st.tuples(st.sampled_from([*SYMBOLS, "ZZZUSD", ""]), TIMES, *[PRICES] * 5)


def plan(config: dict[str, Any] = CONFIG) -> RunPlan:
    return plan_run(parse_config(config))


def tasks_of(rows: list[tuple[str, ...]], run: RunPlan) -> list[Any]:
    columns = zip(*rows, strict=True)
    table = pa.table(dict(zip(COLUMNS, (pa.array(list(c)) for c in columns), strict=True)))
    return memory_tasks([table], [symbol.symbol for symbol in run.symbols])


@given(st.lists(ROW, min_size=1, max_size=60), st.integers(1, 9))
@settings(max_examples=20, deadline=None)
def test_bars_are_read_as_a_backtest_reads_them(
    rows: list[tuple[str, ...]], piece_rows: int
) -> None:
    run = plan()
    rows = [*rows, ("AAAUSD", "600000", "1", "1", "1", "1", "1")]
    tasks = tasks_of(rows, run)
    readers = [SymbolReader(run, task, lambda count: None, piece_rows) for task in tasks]
    pieces = list(merged(readers))
    kept: list[tuple[Any, ...]] = []
    for reader, task in zip(readers, tasks, strict=True):
        if not task.symbol:
            assert reader.counts == count_unknown(run, task, lambda count: None).counts
            continue
        intake = Intake(run, task)
        for bars in intake.read(lambda count: None):
            kept += [(ts, task.symbol) for ts in bars.ts.tolist()]
        assert reader.counts == intake.counts
        assert reader.rejects == intake.rejects
    written = [
        (tick, SYMBOLS[symbol], ts, late)
        for piece in pieces
        for tick, symbol, ts, late in zip(
            *(piece.tick, piece.symbol, piece.ts, piece.late), strict=True
        )
    ]
    assert [(ts, symbol) for _, symbol, ts, late in written if not late] == sorted(kept)
    assert sum(late for *_, late in written) == sum(reader.counts.late for reader in readers)
    assert all(
        tick == ts + BASE_MS if not late else tick > ts + BASE_MS for tick, _, ts, late in written
    )
    ticks = [tick for tick, *_ in written]
    assert ticks == sorted(ticks)
    ends = [(int(piece.tick[0]), int(piece.tick[-1])) for piece in pieces]
    assert all(first > last for (_, last), (first, _) in itertools.pairwise(ends))


def ticks_of(at: Stood, rows: list[tuple[str, ...]], max_gap_ms: int = DAY_MS) -> list[Tick]:
    run = plan()
    readers = [SymbolReader(run, task, lambda count: None) for task in tasks_of(rows, run)]
    return list(Timeline(at, SYMBOLS, BASE_MS, max_gap_ms).ticks(merged(readers)))


def bar(symbol: str, minute: int) -> tuple[str, ...]:
    return (symbol, str(minute * BASE_MS), "1", "1", "1", "1", "1")


NOWHERE = Stood(None, {}, frozenset())


@given(
    st.sets(st.tuples(st.sampled_from(SYMBOLS), st.integers(1, 19)), min_size=1),
    st.integers(0, 18),
    st.integers(0, 3),
)
@settings(max_examples=20, deadline=None)
def test_a_killed_feed_goes_on_as_if_it_had_not_been(
    keys: set[tuple[str, int]], killed_at: int, written_ahead: int
) -> None:
    rows = [bar(*key) for key in sorted(keys, key=lambda key: key[1])]
    whole = ticks_of(NOWHERE, rows)
    assert [tick.tick for tick in whole] == list(
        range(whole[0].tick, whole[-1].tick + BASE_MS, BASE_MS)
    )
    assert sum(tick.counted for tick in whole) == len(keys)
    told = whole[: killed_at + 1]
    ahead = [row[:2] for tick in whole[len(told) :] for row in tick.rows][:written_ahead]
    at = Stood(
        told[-1].tick,
        {tick.tick: tick.counted for tick in told[-5:]},
        frozenset((str(symbol), int(ts)) for symbol, ts in ahead),
    )
    assert ticks_of(at, rows) == whole[len(told) :]


def test_bars_that_another_feed_left_are_counted() -> None:
    at = Stood(2 * BASE_MS, {2 * BASE_MS: 1}, frozenset({("BBBUSD", 2 * BASE_MS)}))
    rows = [bar("AAAUSD", 1), bar("AAAUSD", 2), bar("AAAUSD", 3)]
    assert [tick.counted for tick in ticks_of(at, rows)] == [2, 1]
    assert [tick.counted for tick in ticks_of(at, [bar("AAAUSD", 4)])] == [1, 0, 1]


def test_other_bars_than_the_store_was_fed_are_refused() -> None:
    at = Stood(3 * BASE_MS, {2 * BASE_MS: 2, 3 * BASE_MS: 1}, frozenset())
    with pytest.raises(Refusal, match="fed other bars: 2 of 1970-01-01 00:02, and these files"):
        ticks_of(at, [bar("AAAUSD", 1), bar("AAAUSD", 2), bar("AAAUSD", 3)])
    assert len(ticks_of(at, [bar("AAAUSD", 5)])) == 3  # nothing is said of what came before


def test_a_long_time_without_bars_is_refused() -> None:
    with pytest.raises(Refusal, match=r"no bars for 0\.0 days, from 1970-01-01 00:02 to"):
        ticks_of(NOWHERE, [bar("AAAUSD", 1), bar("AAAUSD", 9)], 6 * BASE_MS)
    assert len(ticks_of(NOWHERE, [bar("AAAUSD", 1), bar("AAAUSD", 9)], 7 * BASE_MS)) == 9


class Given(Chunks):
    """Bytes of a test; None between them is a while without any."""

    def __init__(self, *given: bytes | None) -> None:
        self._given = iter([*given, b""])

    def get(self, wait_s: float) -> bytes | None:
        return next(self._given)


def read(*given: bytes | None) -> Iterator[Line]:
    columns = Columns("test", ("a", "b"), ("a", "b"))
    for some in batches(Given(*given), threading.Event(), columns):
        yield from some


def test_lines_are_read_however_they_come(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live_lines, "MAX_LINE_BYTES", 40)
    text = b'\xef\xbb\xbfa, b,c\r\n1,2,3\n\n"x,y",\xc3\xa9,\n1,2\n\xff,1,2\n'
    text += b'"open,1,2\n' + b"z" * 100 + b"\n4,5,6"
    whole = list(read(text))
    assert whole[0].values == {"a": "1", "b": "2", "c": "3"}
    assert whole[1].values == {"a": "x,y", "b": "é", "c": ""}
    assert whole[-1].values == {"a": "4", "b": "5", "c": "6"}
    problems = [line.problem for line in whole if line.values is None]
    assert problems[:3] == ["2 values, not 3", "not UTF-8 text", "not CSV"]
    for size in (1, 2, 3, 7, 50):
        cut = [text[start : start + size] for start in range(0, len(text), size)]
        good = [line.values for line in read(None, *cut, None) if line.values is not None]
        assert good == [line.values for line in whole if line.values is not None], size
    assert next(read(b"a,b\n" + b"z" * 100)).problem == "no end of line"


def test_a_header_that_lacks_a_column_is_told() -> None:
    with pytest.raises(ConfigError, match=r"lacks 'a' \(did you mean 'A'\?\); it has A, b;"):
        list(read(b"A,b\n"))
    with pytest.raises(ConfigError, match="'a' is there 2 times"):
        list(read(b"a,b,a\n"))
    with pytest.raises(ConfigError, match="the header is not UTF-8 text"):
        list(read(b"\xff\n"))


def fill(ts: int) -> Fill:
    return Fill("a", "s", f"o{ts}", "1", "AAAUSD", 1, 1, 1, ts, 0, "USD", "")


def test_late_fills_are_booked_when_they_came() -> None:
    told = [(5, False), (3, False), (9, False), (4, True), (8, False), (12, False)]
    changes = [Change(seq, fill(ts), late) for seq, (ts, late) in enumerate(told, 1)]
    # 9 was not booked when 4 came, since 8, which came after that, was in time.
    assert [one.ts for one in booking_order(changes, False)] == [3, 5, 4, 8, 9, 12]
    assert [one.ts for one in booking_order(reversed(changes), True)] == [5, 3, 9, 4, 8, 12]


def test_who_tells_progress() -> None:
    every = instances(plan())
    assert [name for stage, name in every if stage == "strategies"] == ["a", "b"]
    assert ("broker", "ends") in every and len(every) == 7
    assert [*every, ("monitor", "main")] == instances(plan(), "both")
    outside = {**CONFIG, "accounts": [{**CONFIG["accounts"][0], "broker": "external"}]}
    assert {stage for stage, _ in instances(plan(outside))} == {
        "indicators", "strategies", "tradepicker",
    }  # fmt: skip


def test_speeds() -> None:
    assert [factor(text) for text in ("max", "60x", "1.5", "0.5x")] == [None, 60.0, 1.5, 0.5]
    for text in ("", "0x", "fast", "-1x", "1e3x"):
        with pytest.raises(ConfigError, match="--speed"):
            factor(text)


def test_places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    config = parse_config({**CONFIG, "run": {"id": "a-b"}})
    assert place.place(config, None, "h:1", None) == StorePlace("fluss", "h:1", "a_b")
    addresses = {"kind": "fluss", "addresses": {"fluss": "h:2"}, "database": "d"}
    other = parse_config({**CONFIG, "store": addresses})
    assert place.place(other, None, None, None) == StorePlace("fluss", "h:2", "d")
    kafka = {"kind": "kafka", "addresses": {"fluss": "h:2", "kafka": "h:3"}, "database": "d"}
    other = parse_config({**CONFIG, "store": kafka})
    assert place.place(other, None, None, None) == StorePlace("kafka", "h:3", "d")
    assert place.place(None, None, "kafka://h:1", "d") == StorePlace("kafka", "h:1", "d")
    with pytest.raises(ConfigError, match="kafak is no kind of store"):
        place.place(None, None, "kafak://h:1", "d")
    for folder, text in ((None, "no stack in .run/live/a-b"), (Path("x"), "no stack in x")):
        with pytest.raises(ConfigError, match=text):
            place.place(config, folder, None, None)
    with pytest.raises(ConfigError, match="there is no stack in"):
        place.place(None, None, None, None)
    with pytest.raises(ConfigError, match="by --database"):
        place.place(None, None, "h:1", None)
    at = StorePlace("fluss", "h:1", "d")
    with (
        place.only_feed(at),
        pytest.raises(ConfigError, match="another feed writes to d"),
        place.only_feed(at),
    ):
        pass


def test_codes_have_words() -> None:
    from feeds.live.feed import DETAILS

    assert set(DETAILS) == set(BAR_CODES)
