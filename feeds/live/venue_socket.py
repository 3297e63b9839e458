"""A venue's bars as they change, by websocket through ccxt, connected again for ever.

Each connection is a new object of ccxt: nothing is left of the one before. A connection on which
nothing arrives, not even answers to pings, is given up.
"""

import asyncio
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from feeds.fetch_patience import pause_s
from feeds.fetch_venue import Market, Venue
from feeds.live.venue_clock import Limits, Outage
from feeds.live.venue_step import Candle

NEWEST = 3  # of the bars that ccxt keeps, how many can still change
PINGS = 3  # pings before a silence is one
GOOD_S = 30.0  # a connection that held so long was no failure
LOOK_S = 0.1


class Changed(NamedTuple):
    """Bars changed, at a time of the steady clock.

    `closed`: open times of those that the venue calls final, None where it never does.
    """

    symbol: str
    candles: tuple[Candle, ...]
    closed: frozenset[int] | None
    at_ms: float


class Alive(NamedTuple):
    """The connection gave a sign of life, at a time of the steady clock."""

    at_ms: float


class Gone(NamedTuple):
    """The connection is gone."""


class Broken(Exception):
    """Why a connection is given up."""


class Noting:
    """Mixed into ccxt's class of a venue, before it: notes which bars are called closed.

    ccxt reads the bar and drops that word of it.
    """

    watched_timeframe: str
    watched_ids: Mapping[str, str]  # symbols by the venue's ids of markets
    noted: dict[str, dict[int, Candle]]
    ohlcvs: dict[str, dict[str, list[list[Any]]]]

    def handle_ohlcv(self, client: object, message: object, *more: object) -> object:
        """Any message about bars."""
        result: object = super().handle_ohlcv(client, message, *more)  # type: ignore[misc]
        found = closed_of(message)
        symbol = None if found is None else self.watched_ids.get(found[0])
        if found is not None and symbol is not None:
            noted = self.noted.setdefault(symbol, {})
            for row in self.ohlcvs[symbol][self.watched_timeframe]:
                if row[0] in found[1]:
                    noted[row[0]] = candle(row)
        return result


def closed_of(message: object) -> tuple[str, frozenset[int]] | None:
    """The venue's id of a market, and the open times that a message calls closed.

    None where this venue says nothing of the kind. Binance: `x` of `k`; Bybit: `confirm`; OKX: the
    ninth value of a row.
    """
    if not isinstance(message, dict):
        return None
    kline, rows, arg = message.get("k"), message.get("data"), message.get("arg")
    topic = str(message.get("topic"))
    if isinstance(kline, dict) and "x" in kline:
        return str(kline.get("s")), frozenset([int(kline["t"])] if kline["x"] is True else [])
    if not isinstance(rows, list) or not rows:
        return None
    if topic.startswith("kline.") and all("confirm" in row for row in rows):
        over = [int(row["start"]) for row in rows if row["confirm"] is True]
        return topic.rpartition(".")[2], frozenset(over)
    is_candle = isinstance(arg, dict) and str(arg.get("channel")).startswith("candle")
    if is_candle and all(len(row) > 8 for row in rows):
        return str(arg["instId"]), frozenset(int(row[0]) for row in rows if row[8] == "1")
    return None


def candle(row: list[Any]) -> Candle:
    """A bar as ccxt has it: open time and five numbers."""
    ts, *values = [*row, *[None] * 6][:6]
    return Candle(None if ts is None else int(ts), tuple(values))


class Socket:
    """The thread that listens. `put` hears Changed, Alive and Gone."""

    def __init__(
        self,
        venue: Venue,
        markets: Mapping[str, Market],
        timeframe: str,
        limits: Limits,
        steady_ms: Callable[[], float],
        put: Callable[[Any], None],
        say: Callable[[str], None],
        stop: threading.Event,
    ) -> None:
        self._venue, self._timeframe, self._limits = venue, timeframe, limits
        self._names = {market.symbol: name for name, market in markets.items()}
        self._steady_ms, self._put, self._say, self._stop = steady_ms, put, say, stop
        self._outage = Outage(f"{venue.name} by websocket", say)
        self._allowed = threading.Event()
        self._ended: str | None = None
        self.thread = threading.Thread(target=self._run, name="venue-socket", daemon=True)

    def start(self) -> None:
        """Begin, held back at first."""
        self.thread.start()

    def hold(self, is_held: bool) -> None:
        """Let go of the connection and make none, or make one."""
        (self._allowed.clear if is_held else self._allowed.set)()

    def again(self, why: str) -> None:
        """Give this connection up for a new one."""
        self._ended = why

    def join(self, wait_s: float) -> None:
        """Wait for the connection's end, once `stop` is set."""
        if self.thread.is_alive():
            self.thread.join(wait_s)

    def _run(self) -> None:
        number = 0
        while not self._stop.is_set():
            if not self._allowed.wait(LOOK_S):
                continue
            began, self._ended = time.monotonic(), None
            why = asyncio.run(self._connected())
            self._put(Gone())
            if why is None:
                continue
            number = 1 if time.monotonic() - began > GOOD_S else number + 1
            self._outage.failed(why)
            self._stop.wait(pause_s(number, self._limits.first_s, self._limits.most_s))

    async def _connected(self) -> str | None:
        """Listen until the connection ends; why it did, None where it was let go."""
        broken: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        def fault(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
            # A message that ccxt can't read ends its reading without a word.
            if "handle" in context and not broken.done():
                broken.set_exception(Broken(f"a message of an unexpected form: {_cause(context)}"))

        asyncio.get_running_loop().set_exception_handler(fault)
        exchange = self._venue.streaming(Noting, int(self._limits.silence_s * 1000 / PINGS))
        exchange.watched_timeframe, exchange.noted = self._timeframe, {}
        exchange.watched_ids = {exchange.market(symbol)["id"]: symbol for symbol in self._names}
        watching = [asyncio.ensure_future(self._watch(exchange, name)) for name in self._names]
        tasks = [asyncio.ensure_future(self._guard(exchange)), broken, *watching]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            error = next((task.exception() for task in done if task.exception()), None)
            return None if error is None else " ".join(str(error).split())[:200] or repr(error)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await exchange.close()

    async def _watch(self, exchange: Any, symbol: str) -> None:
        """Tell of each change of a symbol's bars."""
        while True:
            await exchange.watch_ohlcv(symbol, self._timeframe)
            self._outage.mended()
            rows = sorted(exchange.ohlcvs[symbol][self._timeframe], key=lambda row: row[0] or 0)
            candles = {row[0]: candle(row) for row in rows[-NEWEST:]}
            noted = exchange.noted.get(symbol)
            closed = None
            if noted is not None:
                exchange.noted[symbol] = {}
                candles, closed = candles | noted, frozenset(noted)
            name = self._names[symbol]
            self._put(Changed(name, tuple(candles.values()), closed, self._steady_ms()))

    async def _guard(self, exchange: Any) -> None:
        """Return when told to; Broken where nothing arrives any more."""
        last, at = 0, time.monotonic()
        while self._allowed.is_set() and not self._stop.is_set():
            await asyncio.sleep(LOOK_S)
            if self._ended is not None:
                raise Broken(self._ended)
            frames = [client.last_message_at or 0 for client in exchange.clients.values()]
            newest = max(frames, default=0)
            if newest != last:
                last, at = newest, time.monotonic()
                self._put(Alive(self._steady_ms()))
            elif time.monotonic() - at > self._limits.silence_s:
                raise Broken(f"nothing came for {self._limits.silence_s:g} s")


def _cause(context: dict[str, Any]) -> str:
    error = context.get("exception")
    return repr(error) if error is not None else str(context.get("message"))
