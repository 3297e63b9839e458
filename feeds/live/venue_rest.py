"""A venue's REST interface for a feed: markets, bars that are missing, and its clock.

Questions are asked one after another by a thread; what fails is asked again, with pauses.
"""

import queue
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

from feeds.fetch import plain_name
from feeds.fetch_patience import pause_s
from feeds.fetch_venue import Answer, Fault, Market, Reading, Venue
from feeds.fetch_walk import newest_end, sifted
from feeds.live.venue_clock import Limits, Outage
from feeds.live.venue_step import Ask, Candle, Filled, Rules
from udfs.errors import ConfigError, Refusal, nearest

Value = TypeVar("Value")

LOOK_S = 0.1
DATE_MS = 999  # the header Date leaves out what lies between two whole seconds


class Measured(NamedTuple):
    """The venue's clock was read."""

    reading: Reading


def opened(
    venue: Venue, timeframe: str, limits: Limits, say: Callable[[str], None], stop: threading.Event
) -> None:
    """Load a venue's markets, however long it takes; Refusal where it says no for good."""
    venue.check_timeframe(timeframe, "prices.timeframe")
    outage = Outage(f"{venue.name}: its markets", say)
    while not stop.is_set():
        try:
            venue.load_markets()
            outage.mended()
            return
        except Fault as fault:
            if not fault.again:
                raise Refusal(f"{venue.name}: its markets: {fault}") from fault
            number = outage.failed(str(fault))
            stop.wait(pause_s(number, limits.first_s, limits.most_s, fault.wait_s))


def markets_of(venue: Venue, names: Sequence[str], given: Mapping[str, str]) -> dict[str, Market]:
    """The market of each symbol: as given, else the spot market BTC/USDT of BTCUSDT, or its id."""
    for name in given:
        if name not in names:
            raise ConfigError(
                f"--market {name}={given[name]}: {name!r} is not a symbol of the configuration"
                f"{nearest(name, names)}"
            )
    by_name: dict[str, list[str]] = {}
    for symbol, market in venue.markets.items():
        if market.get("spot"):
            for name in {plain_name(symbol), str(market.get("id"))}:
                by_name.setdefault(name, []).append(symbol)
    found = {}
    for name in names:
        symbols = [given[name]] if name in given else by_name.get(name, [])
        if len(symbols) != 1:
            several = f"several markets, {', '.join(symbols)}" if symbols else "no market"
            raise ConfigError(
                f"symbols: {name}: {venue.name} has {several} of that name"
                f"{'' if symbols else nearest(name, by_name)}; say which, as in --market "
                f"{name}=BTC/USDT"
            )
        found[name] = venue.market(symbols[0], name, "--market")
    return found


def filled(
    venue: Venue, market: Market, timeframe: str, ask: Ask, rules: Rules, now_ms: int
) -> Filled:
    """The bars that a venue has for a question, as far as one page goes. Fault where it fails.

    An empty page is asked for twice: some of them are mistakes.
    """
    limit = min(market.limit, (ask.end - ask.start) // rules.base_ms + 1)
    for _ in range(2):
        answer = venue.page(market.symbol, timeframe, ask.start, limit)
        if answer.clock_ms is not None:
            answer = Answer(answer.rows, answer.clock_ms + DATE_MS)
        step = sifted(answer, ask.start, ask.end, rules.base_ms, now_ms, rules.settle_ms)
        if step.done > ask.start:
            break
    rows = [*step.rows, *(reject.row for reject in step.rejects)]
    done = step.done
    if done <= ask.start:
        clock = now_ms if answer.clock_ms is None else min(now_ms, answer.clock_ms)
        done = max(ask.start, min(ask.end, newest_end(clock, rules.base_ms, rules.settle_ms)))
    return Filled(ask.symbol, ask.start, done, tuple(Candle(row.ts, row.values) for row in rows))


class Rest:
    """The thread that asks. `put` hears Filled and Measured."""

    def __init__(
        self,
        venue: Venue,
        markets: Mapping[str, Market],
        timeframe: str,
        rules: Rules,
        limits: Limits,
        now_ms: Callable[[], int],
        put: Callable[[Any], None],
        say: Callable[[str], None],
        stop: threading.Event,
    ) -> None:
        self._venue, self._markets, self._timeframe = venue, markets, timeframe
        self._rules, self._limits, self._now_ms = rules, limits, now_ms
        self._put, self._stop = put, stop
        self._outage = Outage(f"{venue.name} by REST,", say)
        self._asks: queue.SimpleQueue[Ask] = queue.SimpleQueue()
        self._measure_s = limits.measure_s
        self._next = 0.0
        self.thread = threading.Thread(target=self._run, name="venue-rest", daemon=True)

    def start(self) -> None:
        """Begin, with the venue's clock."""
        self.thread.start()

    def ask(self, ask: Ask) -> None:
        """Ask for bars; the answer is an event."""
        self._asks.put(ask)

    def hurry(self, is_blocked: bool) -> None:
        """Look at the venue's clock more often, or as usual."""
        limits = self._limits
        self._measure_s = limits.measure_blocked_s if is_blocked else limits.measure_s
        self._next = min(self._next, time.monotonic() + self._measure_s)

    def _run(self) -> None:
        while not self._stop.is_set():
            self._once()

    def _once(self) -> None:
        if time.monotonic() >= self._next:
            name = next(iter(self._markets.values())).symbol
            reading = self._answer(lambda: self._venue.clock(name, self._timeframe), " its clock")
            if reading is not None:
                self._put(Measured(reading))
                self._next = time.monotonic() + self._measure_s
        try:
            ask = self._asks.get(timeout=LOOK_S)
        except queue.Empty:
            return
        market = self._markets[ask.symbol]
        found = self._answer(lambda: self._filled(market, ask), f" {market.symbol}")
        if found is None:
            self._asks.put(ask)  # behind those of other symbols
        else:
            self._put(found)

    def _filled(self, market: Market, ask: Ask) -> Filled:
        now_ms = self._now_ms()
        found = filled(self._venue, market, self._timeframe, ask, self._rules, now_ms)
        if found.done == ask.start:
            self._stop.wait(LOOK_S)  # the venue's clock is a little behind
        return found

    def _answer(self, call: Callable[[], Value], what: str) -> Value | None:
        """The answer; None where there is none, after a pause."""
        try:
            found = call()
        except Fault as fault:
            number = self._outage.failed(str(fault), what)
            limits = self._limits
            self._stop.wait(pause_s(number, limits.first_s, limits.most_s, fault.wait_s))
            return None
        self._outage.mended(what)
        return found
