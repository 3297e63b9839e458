"""The feed of a venue against a venue on loopback: ccxt's own classes, real sockets, a fast clock.

A minute lasts a second or less; what the feed gives must be the venue's final bars, each once.
"""

import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from feeds.fetch_venue import Venue
from feeds.live.venue_clock import Clocks, Limits
from feeds.live.venue_feed import Batch, Link, VenueFeed
from feeds.live.venue_rest import markets_of, opened
from feeds.live.venue_socket import closed_of
from jobs.sources import COLUMNS
from schemas.config import parse_config
from schemas.resolve import plan_run
from tests.live_venue import FastClock, LiveVenue, Trouble, living
from tests.venue import MINUTE, Fault
from udfs.errors import ConfigError, Refusal
from udfs.plan import RunPlan

pytestmark = pytest.mark.slow
START = 1_700_000_040_000
BEFORE = 30  # minutes of bars that the venue has at first
MARKETS = {
    "binance": {"BTCUSDT": "BTCUSDT", "ETHUSDT": "ETHUSDT"},
    "kraken": {"BTCUSD": "XXBTZUSD"},
}
PATIENCE_S = 90.0
LIMITS = Limits(first_s=0.05, most_s=0.2, measure_s=0.3, measure_blocked_s=0.1, silence_s=6)
TROUBLES = {"drop": 0.02, "repeat": 0.05, "swap": 0.05, "garbage": 0.03}


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


def plan_of(exchange: str) -> RunPlan:
    return plan_run(
        parse_config(
            {
                "run": {"id": "fed", "start": START},
                "prices.files": "none",
                "symbols": {name: {} for name in MARKETS[exchange]},
                "strategies": [{"id": "s", "kind": "ema_cross", "params": {"fast": 2, "slow": 3}}],
                "accounts": [{"id": "a", "strategies": ["s"], "sizing": {"fixed_qty": "1"}}],
            }
        )
    )


class Follower:
    """Whoever takes what the feed gives, and knows what it should be."""

    def __init__(self, exchange: str, venue: LiveVenue, clock: FastClock, polls: bool) -> None:
        self.exchange, self.venue, self.clock = exchange, venue, clock
        clocks = Clocks(clock.now_ms, clock.steady_ms)
        self.link = Link(exchange, {}, polls, venue.url, False, clocks, LIMITS)
        self.said: list[str] = []
        self.got: dict[str, dict[int, tuple[float, ...]]] = {}
        self.until: int | None = None
        self.late = 0
        self._asked = Venue(exchange, venue.url, False, clocks.steady_ms)
        opened(self._asked, "1m", LIMITS, self.said.append, threading.Event())

    def minutes(self) -> int:
        """How many minutes are all there."""
        return -1 if self.until is None else (self.until - START) // MINUTE

    def follow(self, done: Callable[[], bool], final_after_ms: int = 30_000) -> None:
        """Take what comes until `done`, from where this stands."""
        names = list(MARKETS[self.exchange])
        markets = markets_of(self._asked, names, {})
        ended = threading.Event()
        plan = plan_of(self.exchange)
        feed = VenueFeed(
            self._asked, markets, plan, final_after_ms, self.link, self.said.append, ended
        )
        limit = time.monotonic() + PATIENCE_S
        try:
            for batch in feed.batches(self.until, 10**9, threading.Event()):
                self._take(batch)
                assert time.monotonic() < limit, self.said
                if done():
                    return
        finally:
            ended.set()
            feed.join()

    def _take(self, batch: Batch) -> None:
        for line in batch.lines:
            assert line.values is not None
            symbol, ts = line.values["symbol"], int(line.values["ts"])
            bars = self.got.setdefault(symbol, {})
            assert ts not in bars
            if self.until is not None and ts < self.until:
                self.late += 1
            else:
                assert not bars or ts > max(bars)
            bars[ts] = tuple(float(line.values[name]) for name in COLUMNS[2:])
        if batch.until is not None:
            assert self.until is None or batch.until >= self.until
            self.until = batch.until

    def check(self) -> None:
        """All bars that the venue has, and no others."""
        assert self.until is not None
        for symbol, market in MARKETS[self.exchange].items():
            final = self.venue.final(market, self.until)
            expected = {bar.ts: tuple(map(float, bar[1:])) for bar in final}
            found = {ts: bar for ts, bar in self.got[symbol].items() if ts < self.until}
            assert found == expected
        assert self.late == 0


@contextmanager
def following(
    exchange: str, speed: float, trouble: Trouble | None = None, polls: bool = False
) -> Iterator[Follower]:
    """A venue half an hour old, and who follows it; its clock starts once all is loaded."""
    clock = FastClock(START + BEFORE * MINUTE + 20_000, speed)
    with living(LiveVenue(START, clock, trouble)) as venue:
        follower = Follower(exchange, venue, clock, polls)
        assert follower._asked.streams  # the first look loads ccxt's websockets: seconds
        clock.restart()
        yield follower


@pytest.mark.parametrize("exchange", ["binance", "kraken"])
def test_bars_by_websocket(exchange: str) -> None:
    with following(exchange, 60.0) as one:
        one.follow(lambda: one.minutes() >= BEFORE + 6)
        one.check()
        assert one.venue.connections == 1
    assert one.said[0].endswith(", by websocket")


def test_a_venue_that_is_polled() -> None:
    with following("binance", 60.0, polls=True) as one:
        one.follow(lambda: one.minutes() >= BEFORE + 3)
        one.check()
        assert one.venue.connections == 0


@pytest.mark.parametrize(
    ("exchange", "trouble"),
    [
        ("binance", Trouble(**TROUBLES, delay=0.1, seed=1)),
        ("kraken", Trouble(**TROUBLES, seed=2)),  # it calls no bar closed: a late change is none
    ],
)
def test_dropped_repeated_delayed_swapped_and_garbage(exchange: str, trouble: Trouble) -> None:
    with following(exchange, 60.0, trouble) as one:
        wanted = {"drop", "repeat", "swap", "garbage"} | ({"delay"} if trouble.delay else set())
        one.follow(lambda: one.minutes() >= BEFORE + 15 and trouble.seen.keys() >= wanted)
        one.check()
        assert one.venue.connections > 1
    assert "closed by remote" in " ".join(one.said) or "unexpected form" in " ".join(one.said)


def test_a_silent_connection_is_given_up() -> None:
    trouble = Trouble()
    with following("binance", 60.0, trouble) as one:
        one.follow(lambda: one.minutes() >= BEFORE + 2)

        def heard_of() -> bool:
            trouble.silent = not any("again until" in text for text in one.said)
            return any("back after" in text for text in one.said)

        one.follow(heard_of)
        until = one.minutes() + 3
        one.follow(lambda: one.minutes() >= until)
        one.check()
    gone = next(text for text in one.said if "again until" in text)
    assert "nothing came for" in gone or "keepalive" in gone  # ccxt may see it first


def test_bars_that_only_rest_has() -> None:
    trouble = Trouble(left_out={("BTCUSDT", START + n * MINUTE) for n in range(BEFORE + 1, 99, 2)})
    with following("binance", 60.0, trouble) as one:
        one.follow(lambda: one.minutes() >= BEFORE + 8, final_after_ms=1_200_000)
        one.check()


def test_neither_connection_nor_rest_for_a_while() -> None:
    trouble = Trouble(refuses=True)
    with following("binance", 60.0, trouble) as one:
        one.venue.faults.extend([Fault.DROP, Fault.BROKEN, Fault.LIMIT, Fault.GARBAGE])
        one.venue.retry_after = "0.2"

        def told() -> bool:
            trouble.refuses = one.minutes() < BEFORE + 4
            return one.minutes() >= BEFORE + 9 and one.venue.connections > 0

        one.follow(told)
        one.check()
    assert len([text for text in one.said if "by websocket: " in text and "again" in text]) == 1
    assert len([text for text in one.said if "by REST" in text and "again" in text]) == 1


def test_started_again_it_goes_on_where_it_stood() -> None:
    with following("binance", 60.0) as one:
        for turn in range(1, 4):
            one.follow(lambda turn=turn: one.minutes() >= BEFORE + 3 * turn)  # type: ignore[misc]
            for bars in one.got.values():  # what was written of minutes not told is read again
                for ts in [ts for ts in bars if ts >= (one.until or 0)]:
                    del bars[ts]
        one.check()


def test_a_clock_that_is_off_is_warned_of_then_nothing_is_told() -> None:
    with following("binance", 10.0) as one:
        stood: list[int] = []

        def told() -> bool:
            said = " ".join(one.said)
            if one.minutes() >= BEFORE and "warning" not in said:
                one.clock.ahead_ms = 3_000
            elif "warning" in said and "BLOCKED" not in said:
                one.clock.ahead_ms = -60_000
            elif "BLOCKED" in said and "going on" not in said:
                stood.append(one.minutes())
                if len(stood) > 20:
                    one.clock.ahead_ms = 0
            return "going on" in said and one.minutes() > stood[0] + 1

        one.follow(told)
        one.check()
        assert len(set(stood[1:])) == 1
    warned = next(text for text in one.said if text.startswith("warning"))
    assert re.search(r"this machine's clock is [23]\.\d s ahead of the venue's", warned)
    blocked = next(text for text in one.said if text.startswith("BLOCKED"))
    assert re.search(r"this machine's clock is (59|60)\.\d s behind the venue's", blocked)


def test_markets_are_found_by_their_names() -> None:
    with following("kraken", 1.0) as one:
        asked = one._asked
        assert markets_of(asked, ["BTCUSD"], {})["BTCUSD"].symbol == "BTC/USD"
        assert markets_of(asked, ["XBT"], {"XBT": "BTC/USD"})["XBT"].symbol == "BTC/USD"
        for names, given, problem in (
            (["BTCUS"], {}, "BTCUS: kraken has no market of that name (did you mean 'BTCUSD'?)"),
            (["BTCUSD"], {"X": "BTC/USD"}, "--market X=BTC/USD: 'X' is not a symbol"),
            (["BTCUSD"], {"BTCUSD": "BTC/EUR"}, "--market BTC/EUR: kraken has no such market"),
        ):
            with pytest.raises(ConfigError) as told:
                markets_of(asked, names, given)
            assert problem in str(told.value)


def test_too_long_away() -> None:
    with following("binance", 1.0) as one:
        ended = threading.Event()
        markets = markets_of(one._asked, list(MARKETS["binance"]), {})
        feed = VenueFeed(
            one._asked, markets, plan_of("binance"), 5_000, one.link, one.said.append, ended
        )
        with pytest.raises(Refusal) as told:
            next(feed.batches(START - 86_400_000, 3_600_000, threading.Event()))
        ended.set()
        feed.join()
    assert "the feed stands at 2023-11-13 22:14 UTC, 1.0 days ago; --max-gap" in str(told.value)


KLINE: dict[str, Any] = {"t": 60_000, "s": "BTCUSDT", "i": "1m", "x": True}
BYBIT: dict[str, Any] = {"start": 60_000, "end": 119_999, "interval": "1", "confirm": True}
OKX = ["60000", "1", "2", "1", "2", "7", "7", "7", "1"]


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ({"e": "kline", "k": KLINE}, ("BTCUSDT", {60_000})),
        ({"e": "kline", "k": {**KLINE, "x": False}}, ("BTCUSDT", set())),
        ({"topic": "kline.1.BTCUSDT", "data": [BYBIT]}, ("BTCUSDT", {60_000})),
        ({"topic": "kline.1.BTCUSDT", "data": [{**BYBIT, "confirm": False}]}, ("BTCUSDT", set())),
        ({"arg": {"channel": "candle1m", "instId": "BTC-USDT"}, "data": [OKX]},
         ("BTC-USDT", {60_000})),
        ({"arg": {"channel": "candle1m", "instId": "BTC-USDT"}, "data": [[*OKX[:8], "0"]]},
         ("BTC-USDT", set())),
        ({"channel": "ohlc", "data": [{"symbol": "BTC/USD"}]}, None),
        ({"channel": "ohlc", "data": []}, None),
        ([1, 2], None),
    ],
)  # fmt: skip
def test_which_bars_a_message_calls_closed(message: object, expected: object) -> None:
    assert closed_of(message) == expected
