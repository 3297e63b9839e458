"""A venue on loopback whose bars change as its clock runs: REST of tests/venue.py and a websocket.

It speaks as Binance (kline streams, with `x` for closed) and Kraken (ohlc of its v2, without) do,
after their documentation; ccxt's own classes read it. `Trouble` says what goes wrong.
"""

import json
import random
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, NamedTuple

from websockets.frames import Opcode
from websockets.http11 import Request
from websockets.server import ServerProtocol

from tests.venue import MINUTE, Handler, Kline, VenueServer, running

CHANGES = 5  # how often a bar changes in its minute, the last time at its close
LOOK_S = 0.002
PAIRS = {"BTCUSDT": "BTCUSDT", "ETHUSDT": "ETHUSDT", "XBT/USD": "XXBTZUSD", "BTC/USD": "XXBTZUSD"}


class FastClock:
    """A clock that stood at `start_ms` when it was made, and runs `speed` times as fast.

    `made`: when that was, by time.monotonic(), which all processes of a machine share.
    """

    def __init__(self, start_ms: int, speed: float, made: float | None = None) -> None:
        self.start_ms, self.speed, self.ahead_ms = start_ms, speed, 0
        self.made = time.monotonic() if made is None else made

    def restart(self) -> None:
        """Begin again with where it began."""
        self.made = time.monotonic()

    def steady_ms(self) -> float:
        return (time.monotonic() - self.made) * 1000 * self.speed

    def now_ms(self) -> float:
        """The time; of a machine whose clock is off by `ahead_ms`."""
        return self.start_ms + self.steady_ms() + self.ahead_ms


@dataclass
class Trouble:
    """How likely each message meets each fault, and what is wrong for as long as it is set."""

    drop: float = 0.0  # the connection ends
    repeat: float = 0.0  # it comes again, up to 10 messages later
    delay: float = 0.0  # it comes up to 2 s late, by the venue's clock
    swap: float = 0.0  # it comes after the next one
    garbage: float = 0.0  # something else comes before it
    seed: int = 0
    silent: bool = False  # the connection stays and says nothing, not even to a ping
    refuses: bool = False  # no connection is taken
    left_out: set[tuple[str, int]] = field(default_factory=set)  # bars of which nothing is sent
    seen: dict[str, int] = field(default_factory=dict)  # how often each was met


GARBAGE = (
    "",
    "nonsense{",
    "[]",
    "{}",
    "null",
    '{"e": "kline"}',
    '{"e":"kline","s":"BTCUSDT","k":{"t":"x","s":"BTCUSDT","i":"1m","x":true}}',
    '{"channel":"ohlc","type":"update","data":[]}',
    '{"channel":"ohlc","type":"update","data":[7]}',
)


class Change(NamedTuple):
    """A bar as it stands at a time; `over`: for good."""

    market: str
    at_ms: int
    bar: Kline
    over: bool


def state_of(market: str, ts: int, number: int) -> Kline | None:
    """A bar after so many of its changes; None where nothing was traded in that minute."""
    pick = random.Random(f"{market} {ts}")
    if pick.random() < 0.15:
        return None
    prices = [pick.randint(1_000, 9_000) for _ in range(CHANGES)][:number]
    volume = sum(pick.randint(0, 9) for _ in range(number)) + 1
    shown = (prices[0], max(prices), min(prices), prices[-1])
    return Kline(ts, *(f"{price / 100:.2f}" for price in shown), f"{volume}.5")


class LiveVenue(VenueServer):
    """The venue; `first` is the open time of its first bar."""

    def __init__(self, first: int, clock: FastClock, trouble: Trouble | None = None) -> None:
        self.first, self.clock = first, clock
        self.trouble = trouble or Trouble()
        self.connections = 0
        super().__init__([])

    @property
    def now_ms(self) -> int:  # type: ignore[override]
        return int(self.clock.start_ms + self.clock.steady_ms())

    @now_ms.setter
    def now_ms(self, value: int | None) -> None:
        """It is the clock's."""

    def bars_of(self, market: str) -> list[Kline]:
        """All bars, the last of them as it stands."""
        now_ms = self.now_ms
        found = []
        for ts in range(self.first, now_ms, MINUTE):
            number = min(CHANGES, (now_ms - ts) * CHANGES // MINUTE)
            bar = state_of(market, ts, number) if number else None
            found += [] if bar is None else [bar]
        return found

    def final(self, market: str, until: int) -> list[Kline]:
        """All bars that close by then."""
        every = (state_of(market, ts, CHANGES) for ts in range(self.first, until, MINUTE))
        return [bar for bar in every if bar is not None]

    def changes(self, market: str, since: int, until: int) -> Iterator[Change]:
        """How a market's bars change after `since` and up to `until`."""
        for ts in range(since // MINUTE * MINUTE - MINUTE, until, MINUTE):
            for number in range(1, CHANGES + 1):
                at_ms = ts + number * MINUTE // CHANGES
                bar = state_of(market, ts, number) if since < at_ms <= until else None
                if bar is not None and (market, ts) not in self.trouble.left_out:
                    yield Change(market, at_ms, bar, number == CHANGES)


class LiveHandler(Handler):
    """REST as before; a request to upgrade becomes a connection."""

    server: LiveVenue

    def do_GET(self) -> None:  # noqa: N802
        if self.headers.get("Upgrade", "").lower() != "websocket":
            super().do_GET()
            return
        self.close_connection = True
        if self.server.trouble.refuses:
            self._send(503, "no")
            return
        self.server.connections += 1
        Connection(self.server, self.connection).serve(
            f"{self.requestline}\n{self.headers}".replace("\n", "\r\n").encode()
        )


LiveVenue.handler = LiveHandler


class Connection:
    """One websocket: what is subscribed to is sent as the clock runs."""

    def __init__(self, venue: LiveVenue, sock: socket.socket) -> None:
        self.venue, self.sock = venue, sock
        self.protocol = ServerProtocol()
        self.pick = random.Random(f"{venue.trouble.seed} {venue.connections}")
        self.since: dict[str, int] = {}  # by market: up to when its changes were sent
        self.form = ""
        self.waiting: list[tuple[float, str]] = []  # late ones: when, and what

    def serve(self, head: bytes) -> None:
        self.sock.settimeout(LOOK_S)
        try:
            goes_on = self._take_in(head)
            while goes_on and self._read():
                if not self.venue.trouble.silent:
                    self._flush()
                if not self._tell():
                    break
        except OSError:
            pass  # the other side has gone
        self.sock.close()

    def _flush(self) -> None:
        data = b"".join(self.protocol.data_to_send())
        if data:
            self.sock.settimeout(5)
            self.sock.sendall(data)
            self.sock.settimeout(LOOK_S)

    def _read(self) -> bool:
        """What came; whether the connection goes on."""
        try:
            data = self.sock.recv(65_536)
        except TimeoutError:
            return True
        return self._take_in(data) if data else False

    def _take_in(self, data: bytes) -> bool:
        """The same of bytes that are there."""
        self.protocol.receive_data(data)
        for event in self.protocol.events_received():
            if isinstance(event, Request):
                self.protocol.send_response(self.protocol.accept(event))
            elif event.opcode is Opcode.TEXT:
                self._take(json.loads(bytes(event.data)))
            elif event.opcode is Opcode.CLOSE:
                self._flush()
                return False
        return True

    def _take(self, message: dict[str, Any]) -> None:
        """A request of the other side."""
        since = self.venue.now_ms
        if message.get("method") == "SUBSCRIBE":
            self.form = "binance"
            for name in message["params"]:
                self.since[name.partition("@")[0].upper()] = since
            self._send(json.dumps({"result": None, "id": message["id"]}))
        elif message.get("method") == "subscribe":
            self.form = "kraken"
            for name in message["params"]["symbol"]:
                self.since[name] = since // MINUTE * MINUTE  # a snapshot of the bar first
        elif message.get("method") == "ping":
            self._send(json.dumps({"method": "pong"}))

    def _send(self, text: str) -> None:
        self.protocol.send_text(text.encode())

    def _tell(self) -> bool:
        """Send what has changed; whether the connection goes on."""
        now_ms = self.venue.now_ms
        due = [text for at, text in self.waiting if at <= now_ms]
        self.waiting = [one for one in self.waiting if one[0] > now_ms]
        found: list[Change] = []
        for market, since in self.since.items():
            found += self.venue.changes(PAIRS.get(market, market), since, now_ms)
            self.since[market] = now_ms
        found.sort(key=lambda change: change.at_ms)
        texts = due + [self._text(change) for change in found]
        return self.venue.trouble.silent or all(self._troubled(text, now_ms) for text in texts)

    def _troubled(self, text: str, now_ms: int) -> bool:
        pick = self.pick
        if self._meets("drop"):
            return False
        if self._meets("garbage"):
            self._send(pick.choice(GARBAGE))
        if self._meets("repeat"):
            self.waiting.append((now_ms + pick.randint(1, 60_000), text))
        if self._meets("delay"):
            self.waiting.append((now_ms + pick.randint(1, 2_000), text))
            return True
        if self._meets("swap"):
            self.waiting.append((now_ms + 1, text))
            return True
        self._send(text)
        return True

    def _meets(self, name: str) -> bool:
        trouble = self.venue.trouble
        chance: float = getattr(trouble, name)
        if not chance or self.pick.random() >= chance:
            return False
        trouble.seen[name] = trouble.seen.get(name, 0) + 1
        return True

    def _text(self, change: Change) -> str:
        bar = change.bar
        if self.form == "binance":
            kline = {"t": bar.ts, "T": bar.ts + MINUTE - 1, "s": change.market, "i": "1m",
                     "o": bar.open, "c": bar.close, "h": bar.high, "l": bar.low, "v": bar.volume,
                     "n": 7, "x": change.over}  # fmt: skip
            return json.dumps({"e": "kline", "E": change.at_ms, "s": change.market, "k": kline})
        row = {"symbol": "BTC/USD", "open": float(bar.open), "high": float(bar.high),
               "low": float(bar.low), "close": float(bar.close), "volume": float(bar.volume),
               "trades": 7, "vwap": float(bar.close), "interval_begin": _iso(bar.ts),
               "interval": 1, "timestamp": _iso(bar.ts + MINUTE)}  # fmt: skip
        return json.dumps({"channel": "ohlc", "type": "update", "timestamp": _iso(change.at_ms),
                           "data": [row]})  # fmt: skip


def _iso(ms: int) -> str:
    return datetime.fromtimestamp(ms / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%S.%f000Z")


@contextmanager
def living(venue: LiveVenue) -> Iterator[LiveVenue]:
    """It serves for as long as the block lasts."""
    with running(venue) as server:
        yield server
