"""Bars of a venue into a live store: REST for what is missing, a websocket for what comes.

One thread listens, one asks, and the caller's puts what they hear through the step and writes what
follows. Nothing is told while the venue's time is unknown or this machine's clock is far off it.
"""

import queue
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from feeds.fetch_venue import Market, Venue
from feeds.fetch_walk import SETTLE_MS
from feeds.live import venue_step
from feeds.live.feed import moment
from feeds.live.ingest_bars import BarIntake, Ingested, Show
from feeds.live.lines import Line
from feeds.live.venue_clock import CLOCKS, Clocks, Drift, Limits, VenueClock
from feeds.live.venue_rest import Measured, Rest, markets_of, opened
from feeds.live.venue_socket import Alive, Changed, Gone, Socket
from feeds.live.venue_step import Candle, Event, Filled, Heard, Lost, Rules
from jobs.sources import COLUMNS
from jobs.store.client import Client
from jobs.store.making import make_tables
from schemas.config import Config
from schemas.resolve import plan_run
from udfs.errors import InvariantError, Refusal
from udfs.plan import RunPlan

LOOK_S = 0.1
TAKEN_AT_ONCE = 5_000
HELD = 50_000  # events that wait while the store is away; beyond it the connection is given up
END_S = 5.0
WORTH_TELLING = 10  # minutes without bars that a venue was asked for


class Link(NamedTuple):
    """Which venue, and how. `markets`: ccxt's names by symbol where they differ from the usual.

    `url` and `is_paced`: see Venue. `polls`: no websocket, though there may be one.
    """

    exchange: str
    markets: Mapping[str, str] = {}
    polls: bool = False
    url: str | None = None
    is_paced: bool = True
    clocks: Clocks = CLOCKS
    limits: Limits = Limits()


class Batch(NamedTuple):
    """Lines, and up to which close all bars are there (None: unknown yet); the venue's time."""

    lines: list[Line]
    until: int | None
    now_ms: int


def ingest_venue(
    client: Client,
    config: Config,
    link: Link,
    max_gap_ms: int,
    stop: threading.Event,
    say: Callable[[str], None],
    show: Show,
) -> Ingested:
    """Write a venue's bars from where the store stands until `stop`; what became of them."""
    plan = plan_run(config)
    venue = Venue(link.exchange, link.url, link.is_paced, link.clocks.steady_ms)
    opened(venue, plan.base_timeframe, link.limits, say, stop)
    if stop.is_set():
        return Ingested(stopped=True)
    names = [symbol.symbol for symbol in plan.symbols]
    markets = markets_of(venue, names, link.markets)
    make_tables(client, config.store.retention_days)
    final_after_ms = config.indicators.final_after_ms
    intake = BarIntake(client, plan, final_after_ms, max_gap_ms, is_vouched=True)
    ended = threading.Event()
    feed = VenueFeed(venue, markets, plan, final_after_ms, link, say, ended)
    try:
        for batch in feed.batches(intake.begins, max_gap_ms, stop):
            intake.take(batch.lines, batch.now_ms, batch.until)
            show(intake.done)
    finally:
        ended.set()
        feed.join()
    intake.done.stopped = stop.is_set()
    return intake.done


class VenueFeed:
    """The state of the feed of a venue: its clock, its connection, and the step's."""

    def __init__(
        self,
        venue: Venue,
        markets: Mapping[str, Market],
        plan: RunPlan,
        final_after_ms: int,
        link: Link,
        say: Callable[[str], None],
        stop: threading.Event,
    ) -> None:
        self._plan, self._say = plan, say
        self._events: queue.Queue[Any] = queue.Queue()
        self._clock = VenueClock(link.clocks)
        self._drift = Drift(0.0, 0.0)
        self._frame_ms = 0
        self._state: venue_step.State = {}
        polls = link.polls or not venue.streams
        settle_ms = SETTLE_MS if polls else venue_step.SETTLE_MS
        page = min(market.limit for market in markets.values())
        self._rules = Rules(plan.base_ms, final_after_ms, page, settle_ms)
        timeframe, put = plan.base_timeframe, self._put
        self._rest = Rest(
            venue, markets, timeframe, self._rules, link.limits, self._clock.now_ms, put, say, stop
        )
        self._socket: Socket | None = None
        if not polls:
            steady_ms = link.clocks.steady_ms
            self._socket = Socket(venue, markets, timeframe, link.limits, steady_ms, put, say, stop)
        how = "asked for once a minute" if polls else "by websocket"
        say(f"{venue.name}: {', '.join(market.symbol for market in markets.values())}, {how}")

    def batches(
        self, begins: int | None, max_gap_ms: int, stop: threading.Event
    ) -> Iterator[Batch]:
        """What is to be written, as it comes; `begins`: the open time where the store stands."""
        self._rest.start()
        if self._socket is not None:
            self._socket.start()
        while not stop.is_set():
            bars = self._handle(self._next())
            if not self._clock.is_known:
                continue
            if not self._state and not self._drift.is_blocked:
                self._begin(begins, max_gap_ms)
            if not self._state:
                continue
            if self._drift.is_blocked:
                yield Batch(bars, None, self._clock.now_ms())
                continue
            bars += self._step(venue_step.Clock(self._clock.now_ms(), self._frame_ms))
            until = venue_step.until(self._state)
            yield Batch(bars, until, self._clock.now_ms())
            if self._plan.end_ts is not None and until >= self._plan.end_ts:
                return

    def join(self) -> None:
        """Wait for the connection's end."""
        if self._socket is not None:
            self._socket.join(END_S)

    def _begin(self, begins: int | None, max_gap_ms: int) -> None:
        """Start where the store stands, else where the run does, else with the newest minute."""
        base_ms, now_ms = self._plan.base_ms, self._clock.now_ms()
        first = venue_step.floor(now_ms, base_ms) - base_ms
        if self._plan.first_ts is not None:
            first = -(-self._plan.first_ts // base_ms) * base_ms
        if begins is not None and now_ms - begins > max_gap_ms:
            days = (now_ms - begins) / 86_400_000
            raise Refusal(
                f"the feed stands at {moment(begins)} UTC, {days:,.1f} days ago; --max-gap allows "
                "more, another run.id begins anew"
            )
        settled = first if begins is None else begins
        self._state = venue_step.begun(
            tuple(symbol.symbol for symbol in self._plan.symbols), settled
        )
        minutes = (now_ms - settled) // base_ms
        self._say(f"from {moment(settled)} UTC on: {max(0, minutes):,} bars a symbol to ask for")
        if self._socket is not None:
            self._socket.hold(False)

    def _put(self, event: Any) -> None:
        """What a thread has to say; what a connection brings has its bounds."""
        is_bounded = isinstance(event, Changed | Alive)
        if self._socket is not None and is_bounded and self._events.qsize() > HELD:
            self._socket.again("more came than could be written")
        else:
            self._events.put(event)

    def _next(self) -> list[Any]:
        """Events that came, waited for a moment. InvariantError where a thread has ended."""
        for thread in (self._rest, self._socket):
            if thread is not None and not thread.thread.is_alive():
                raise InvariantError(f"{thread.thread.name}: it ended by the error above")
        events: list[Any] = []
        try:
            events.append(self._events.get(timeout=LOOK_S))
            while len(events) < TAKEN_AT_ONCE:
                events.append(self._events.get_nowait())
        except queue.Empty:
            pass
        return events

    def _handle(self, events: Sequence[Any]) -> list[Line]:
        """Take events in; the bars to write."""
        lines: list[Line] = []
        for event in events:
            if isinstance(event, Measured):
                self._measure(event)
            elif isinstance(event, Alive):
                self._frame_ms = self._clock.at(event.at_ms)
            elif isinstance(event, Changed):
                at_ms = self._clock.at(event.at_ms)
                if not self._drift.is_blocked:
                    lines += self._step(Heard(event.symbol, event.candles, event.closed, at_ms))
            elif isinstance(event, Gone):
                lines += self._step(Lost())
            elif self._drift.is_blocked:  # it is asked for anew
                lines += self._step(event._replace(done=event.start, candles=()))
            else:
                self._tell_hole(event)
                lines += self._step(event)
        return lines

    def _step(self, event: Event) -> list[Line]:
        self._state, outcome = venue_step.step(self._state, event, self._rules)
        for ask in outcome.asks:
            self._rest.ask(ask)
        missed = [bar for bar in outcome.bars if bar.is_missed]
        if missed:
            name, at = missed[0].symbol, moment(missed[0].candle.ts or 0)
            self._say(f"{name}: {len(missed)} bars from {at} on were not sent; written as late")
            if self._socket is not None:
                self._socket.again("it leaves out bars")
        return [line(bar.symbol, bar.candle) for bar in outcome.bars]

    def _measure(self, measured: Measured) -> None:
        """Set the venue's time; say where the machine's is off, and let nothing on where far."""
        before, self._drift = self._drift, self._clock.set(measured.reading)
        drift = self._drift
        if drift.is_blocked:
            if not before.is_blocked:
                self._say(f"BLOCKED: {drift}: no bars are told until it is set right")
                self._rest.hurry(True)
                if self._socket is not None:
                    self._socket.hold(True)
        elif before.is_blocked:
            self._say(f"{drift}: going on")
            self._rest.hurry(False)
            if self._socket is not None and self._state:
                self._socket.hold(False)
        if drift.is_warned and not before.is_warned and not drift.is_blocked:
            self._say(f"warning: {drift}; above 5 s no bars are told")

    def _tell_hole(self, filled: Filled) -> None:
        minutes = (filled.done - filled.start) // self._plan.base_ms
        if not filled.candles and minutes >= WORTH_TELLING:
            span = f"{moment(filled.start)} to {moment(filled.done)}"
            self._say(f"{filled.symbol}: the venue has no bars from {span} UTC; they stay away")


def line(symbol: str, candle: Candle) -> Line:
    """A bar as a line of a feed."""
    texts = [
        symbol,
        *("" if value is None else repr(value) for value in (candle.ts, *candle.values)),
    ]
    return Line(dict(zip(COLUMNS, texts, strict=True)))
