"""Bars of exchanges: ccxt's own classes ask a server on loopback, and every bar arrives once.

The server's answers are written by hand after the documentation of Binance and Kraken; they are no
recording (tests/venue.py).
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from feeds.fetch import Fetched, FetchRequest, Gaps, Wanted, fetch
from feeds.fetch_patience import Patience
from feeds.fetch_record import opened
from tests.venue import MINUTE, Fault, Kline, VenueServer, klines, serving
from udfs.errors import ConfigError, Refusal

START = 1_706_659_200_000  # 2024-01-31, so that the bars lie in two months
COUNT = 2_500  # two and a half pages of Binance
BARS = klines(START, COUNT, missing=range(1_700, 1_750))
END = START + COUNT * MINUTE
LONG_AGO = END - 400 * 86_400_000
SYMBOLS = {"binance": Wanted("BTC/USDT", "BTCUSDT"), "kraken": Wanted("BTC/USD", "BTCUSD")}


@pytest.fixture
def venue() -> Iterator[VenueServer]:
    with serving(BARS) as server:
        yield server


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


class Person:
    """Who runs the command: reads what is told, has a clock, and may lose patience at a page."""

    def __init__(self, now_ms: int = END + 3_600_000, stops_at: int = 10**9) -> None:
        self.now_ms = now_ms
        self.stops_at = stops_at
        self.pages = 0
        self.notes: list[str] = []
        self.waited: list[float] = []

    def report(self, done: int, total: int) -> None:
        self.pages += 1
        if self.pages == self.stops_at:
            raise KeyboardInterrupt

    def fetch(
        self,
        venue: VenueServer,
        out: Path,
        start: int = START,
        end: int = END,
        exchange: str = "binance",
        timeframe: str = "1m",
    ) -> Fetched:
        venue.now_ms = self.now_ms if venue.now_ms is None else venue.now_ms
        patience = Patience(3, 0.5, sleep=self.waited.append, clock=lambda: self.now_ms / 1000)
        wanted = SYMBOLS.get(exchange, SYMBOLS["binance"])
        request = FetchRequest(exchange, (wanted,), timeframe, start, end, out, venue.url, False)
        (fetched,) = fetch(request, self.report, self.notes.append, patience)
        return fetched


def rows(out: Path, name: str = "BTCUSDT") -> list[tuple[object, ...]]:
    tables = [pq.read_table(path) for path in sorted(out.glob(f"{name}-*.parquet"))]
    return [tuple(row.values()) for table in tables for row in table.to_pylist()]


def expected(bars: list[Kline], name: str = "BTCUSDT") -> list[tuple[object, ...]]:
    return [(name, bar.ts, *map(float, bar[1:])) for bar in bars]


def contents(out: Path) -> dict[str, bytes]:
    return {
        path.relative_to(out).as_posix(): path.read_bytes()
        for path in out.rglob("*")
        if path.is_file()
    }


# ---- what arrives ----------------------------------------------------------------------------


@pytest.mark.parametrize(("window", "overlap"), [(False, 0), (True, 0), (False, 3)])
def test_the_bars_of_a_venue_arrive(
    tmp_path: Path, venue: VenueServer, window: bool, overlap: int
) -> None:
    venue.window, venue.overlap = window, overlap
    fetched = Person().fetch(venue, tmp_path)
    assert rows(tmp_path) == expected(BARS)
    assert (fetched.received, fetched.new, fetched.stored) == (2_450, 2_450, 2_450)
    assert fetched.gaps == Gaps(1, 50, 50, START + 1_700 * MINUTE)
    assert (fetched.market.price_tick, fetched.market.qty_step) == ("0.01", "0.00001")  # type: ignore[union-attr]
    assert sorted(contents(tmp_path)) == [
        ".fetch/BTCUSDT.json", "BTCUSDT-2024-01.parquet", "BTCUSDT-2024-02.parquet",
    ]  # fmt: skip


def test_a_venue_with_another_format_that_gives_its_newest_bars_only(
    tmp_path: Path, venue: VenueServer
) -> None:
    assert Person().fetch(venue, tmp_path, end=START + 60_000, exchange="kraken").stored == 0
    assert len(venue.asked) == 1  # what it gave was all later
    Person().fetch(venue, tmp_path, exchange="kraken")
    assert rows(tmp_path, "BTCUSD") == expected(BARS[-720:], "BTCUSD")


@pytest.mark.parametrize("exchange", ["binance", "kraken"])
@pytest.mark.parametrize("clock_ahead_ms", [0, 180_000])
def test_a_bar_that_is_not_over_is_left_for_later(
    tmp_path: Path, venue: VenueServer, exchange: str, clock_ahead_ms: int
) -> None:
    """By the venue's clock where the one of this machine is ahead of it."""
    venue.now_ms = END - 30_000  # half of the last bar
    start, name = END - 100 * MINUTE, SYMBOLS[exchange].name
    early = Person(venue.now_ms + clock_ahead_ms)
    early.fetch(venue, tmp_path, start=start, end=END + MINUTE, exchange=exchange)
    assert rows(tmp_path, name) == expected(BARS[-100:-1], name)
    for seconds, new in ((5, 0), (20, 1)):  # after its close a bar may still be corrected
        venue.now_ms = END + seconds * 1000
        later = Person(venue.now_ms)
        assert later.fetch(venue, tmp_path, start=start, exchange=exchange).new == new
    assert rows(tmp_path, name) == expected(BARS[-100:], name)


@pytest.mark.parametrize(("window", "most"), [(False, 12), (True, 18)])
def test_years_without_a_bar_are_leapt_over(
    tmp_path: Path, venue: VenueServer, window: bool, most: int
) -> None:
    venue.window = window
    Person().fetch(venue, tmp_path, start=LONG_AGO)
    assert rows(tmp_path) == expected(BARS)
    assert len(venue.asked) <= most


def test_bad_rows_are_kept_apart_once(tmp_path: Path, venue: VenueServer) -> None:
    venue.bars = list(BARS)
    venue.bars[10] = venue.bars[10]._replace(high="1.00")
    venue.bars[20] = venue.bars[20]._replace(close="none")
    venue.bars[998] = venue.bars[998]._replace(ts=venue.bars[998].ts + 1)  # ends a page
    venue.bars.insert(40, venue.bars[40])
    for _ in range(2):
        fetched = Person().fetch(venue, tmp_path)
        again = Person()
        assert (again.fetch(venue, tmp_path).received, again.notes) == (0, [])
        (tmp_path / ".fetch/BTCUSDT.json").unlink()
        assert dict(fetched.rejected) == {
            "BAD_TS": 1, "PRICE_NOT_FINITE": 1, "OHLC_INCONSISTENT": 1, "DUPLICATE": 1,
        }  # fmt: skip
        assert (fetched.received, fetched.stored) == (2_451, 2_447)
        assert fetched.rejects is not None
        table = pq.read_table(fetched.rejects).to_pylist()
        assert [row["code"] for row in table] == [
            "OHLC_INCONSISTENT", "PRICE_NOT_FINITE", "BAD_TS", "DUPLICATE",
        ]  # fmt: skip
        assert (table[1]["close"], '"none"' in table[1]["text"]) == (None, True)


def test_a_bar_that_is_there_stays(tmp_path: Path, venue: VenueServer) -> None:
    Person().fetch(venue, tmp_path)
    before = rows(tmp_path)
    (tmp_path / ".fetch/BTCUSDT.json").unlink()
    venue.bars = [BARS[0]._replace(volume="7"), *BARS[1:]]
    fetched = Person().fetch(venue, tmp_path)
    assert rows(tmp_path) == before
    assert (fetched.received, fetched.new, fetched.rejected) == (2_450, 0, (("CONFLICT", 1),))


# ---- stopped, and gone on with ---------------------------------------------------------------


def test_a_stopped_fetch_goes_on_and_gives_the_same_files(
    tmp_path: Path, venue: VenueServer
) -> None:
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    Person().fetch(venue, whole)
    at_once = [query["startTime"] for query in venue.asked]
    venue.asked.clear()
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            Person(stops_at=1).fetch(venue, parts)
    Person().fetch(venue, parts)
    assert [query["startTime"] for query in venue.asked] == at_once
    assert contents(parts) == contents(whole)


def test_what_is_complete_needs_no_request(tmp_path: Path, venue: VenueServer) -> None:
    Person().fetch(venue, tmp_path, start=START + 500 * MINUTE, end=START + 900 * MINUTE)
    venue.asked.clear()
    Person().fetch(venue, tmp_path)  # what is before it and what is behind it
    assert [int(query["limit"]) for query in venue.asked] == [500, 1_000, 550]
    before = venue.requests
    assert Person().fetch(venue, tmp_path).stored == 2_450
    assert venue.requests == before


@pytest.mark.slow
def test_a_killed_fetch_goes_on(tmp_path: Path) -> None:
    with serving(klines(START, 13_000)) as venue:
        venue.faults.extend([None] * 11 + [Fault.SLOW])
        command = [sys.executable, "-m", "cli.main", "data", "fetch", "--exchange", "binance"]
        command += ["--symbol", "BTC/USDT", "--from", str(START), "--out", str(tmp_path / "bars")]
        end = START + 13_000 * MINUTE
        command[-2:-2] = ["--to", str(end)]
        environment = os.environ | {"TRADEFLOW_EXCHANGE_URL": venue.url}
        process = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)
        while len(venue.asked) < 12 and process.poll() is None:
            time.sleep(0.01)
        process.kill()
        _, told = process.communicate()
        assert len(venue.asked) == 12, told
        venue.asked.clear()
        venue.faults.clear()
        fetched = Person(end + 3_600_000).fetch(venue, tmp_path / "bars", end=end)
        assert int(venue.asked[0]["startTime"]) == START + 10_000 * MINUTE
        assert fetched.stored == 13_000


def test_bars_that_are_gone_are_asked_for_again(tmp_path: Path, venue: VenueServer) -> None:
    Person().fetch(venue, tmp_path)
    before = contents(tmp_path)
    (tmp_path / "BTCUSDT-2024-02.parquet").unlink()
    venue.asked.clear()
    person = Person()
    person.fetch(venue, tmp_path)
    assert person.notes == [
        "BTCUSDT 2024-02: bars that were fetched are gone; they are asked for again"
    ]
    assert int(venue.asked[0]["startTime"]) == START + 1_440 * MINUTE
    assert contents(tmp_path) == before


# ---- venues in trouble -----------------------------------------------------------------------

TROUBLES = [
    (Fault.LIMIT, "429"),
    (Fault.DROP, "closed connection without response"),
    (Fault.CUT, "IncompleteRead"),
    (Fault.HTML, "an answer that is no JSON: '<html>"),
    (Fault.BROKEN, "502"),
    (Fault.GARBAGE, 'an answer of an unexpected form: \'{"bars"'),
]


@pytest.mark.parametrize(("fault", "told"), TROUBLES, ids=[one.name for one, _ in TROUBLES])
def test_trouble_is_waited_out_or_told_once(
    tmp_path: Path, venue: VenueServer, fault: Fault, told: str
) -> None:
    end = START + 1_100 * MINUTE
    venue.faults.extend([fault, fault])
    patient = Person()
    patient.fetch(venue, tmp_path, end=end)
    assert rows(tmp_path) == expected(BARS[:1_100])
    first, second = patient.waited
    least = (7, 7) if fault is Fault.LIMIT else (0.5, 1)
    assert (first >= least[0], second >= least[1]) == (True, True)

    venue.faults.extend([None, fault, fault, fault])
    out = tmp_path / "stuck"
    with pytest.raises(Refusal) as error:
        Person().fetch(venue, out, end=end)
    message = str(error.value)
    assert message.startswith("binance BTC/USDT 1m: no good answer in 3 tries, at last: ")
    assert told in message
    assert "\n" not in message
    assert message.endswith(
        "What came before 2024-01-31T16:40:00Z is kept; the same command goes on there"
    )
    assert rows(out) == expected(BARS[:1_000])


@pytest.mark.parametrize(
    ("fault", "told"),
    [(Fault.BANNED, "it asks to wait 259,200 s: "), (Fault.FORBIDDEN, "restricted location")],
)
def test_what_waiting_does_not_mend_ends_at_once(
    tmp_path: Path, venue: VenueServer, fault: Fault, told: str
) -> None:
    venue.faults.append(fault)
    person = Person()
    with pytest.raises(Refusal, match=told):
        person.fetch(venue, tmp_path)
    assert (len(venue.asked), person.waited) == (1, [])


def test_one_empty_answer_is_no_gap(tmp_path: Path, venue: VenueServer) -> None:
    venue.faults.extend([None, Fault.EMPTY])
    Person().fetch(venue, tmp_path)
    assert rows(tmp_path) == expected(BARS)


def test_an_hour_without_bars_is_asked_for_again(tmp_path: Path, venue: VenueServer) -> None:
    """A venue may publish late; an hour later the silence counts."""
    venue.bars = BARS[:-10]
    Person(END + 20_000).fetch(venue, tmp_path)
    venue.bars, venue.now_ms = BARS, END + 40_000
    assert Person(END + 40_000).fetch(venue, tmp_path).new == 10


# ---- refused ---------------------------------------------------------------------------------


def test_unknown_names_are_refused_with_the_nearest(tmp_path: Path, venue: VenueServer) -> None:
    def refusal(exchange: str, symbol: str, timeframe: str) -> str:
        wanted = (Wanted(symbol, "BTCUSDT"),)
        request = FetchRequest(exchange, wanted, timeframe, START, END, tmp_path, venue.url, False)
        with pytest.raises(ConfigError) as error:
            fetch(request, lambda done, total: None, print, Patience(1))
        return str(error.value)

    assert "no such exchange (did you mean 'binance'?)" in refusal("binanse", "BTC/USDT", "1m")
    assert "no such market (did you mean 'BTC/USDT'?)" in refusal("binance", "BTC/USD", "1m")
    assert "no such market (did you mean 'BTC/USDT'?)" in refusal("binance", "BTCUSDT", "1m")
    assert "gives no such bars (did you mean '5m'?)" in refusal("binance", "BTC/USDT", "45m")
    assert "'1w' is no timeframe" in refusal("binance", "BTC/USDT", "1w")
    assert "it gives no bars" in refusal("zaif", "BTC/USDT", "1m")
    assert list(tmp_path.iterdir()) == []


def test_two_sources_do_not_mix(tmp_path: Path, venue: VenueServer) -> None:
    Person().fetch(venue, tmp_path, end=START + 60 * MINUTE)
    with pytest.raises(Refusal, match="are of binance BTC/USDT 1m, these would be of binance BTC"):
        Person().fetch(venue, tmp_path, timeframe="1h")
    with pytest.raises(ConfigError, match="did you mean 'binance'"):
        Person().fetch(venue, tmp_path, exchange="binanse")


def test_one_fetch_at_a_time_has_a_folder(tmp_path: Path, venue: VenueServer) -> None:
    out = tmp_path / "bars"
    with opened(out), pytest.raises(Refusal, match="another fetch into it is under way"):
        Person().fetch(venue, out)
    assert not out.exists()


@pytest.mark.parametrize("text", ["", "[]", '{"version": 9}', '{"version": 1, "done": 5}'])
def test_a_record_that_is_none_is_told(tmp_path: Path, venue: VenueServer, text: str) -> None:
    path = tmp_path / ".fetch/BTCUSDT.json"
    path.parent.mkdir()
    path.write_text(text)
    person = Person()
    person.fetch(venue, tmp_path, end=START + 60 * MINUTE)
    (note,) = person.notes
    assert note.startswith(f"{path}: no record of a fetch (")
    assert json.loads(path.read_text())["months"] == {"2024-01": 60}
