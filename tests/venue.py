"""A server of bars on loopback that speaks as Binance (spot klines) and Kraken (OHLC) do.

The answers are written by hand after the documentation of the venues (Binance: `exchangeInfo` and
`klines` of /api/v3; Kraken: `AssetPairs`, `Assets` and `OHLC` of /0/public); they are no recording
of either. ccxt's own classes of the two venues read them. What a venue may do wrong is planned by
`VenueServer.faults`: one is taken by each request for bars.
"""

import json
import threading
import time
from collections import deque
from collections.abc import Container, Iterator
from contextlib import contextmanager
from email.utils import formatdate
from enum import Enum
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple, TypeVar
from urllib.parse import parse_qs, urlsplit

MINUTE = 60_000
DAY = 86_400_000
BINANCE_INTERVALS = {"1m": MINUTE, "1h": 60 * MINUTE, "1d": DAY}
KRAKEN_NEWEST = 720


class Fault(Enum):
    """What goes wrong with one request."""

    LIMIT = "429 with Retry-After"
    BANNED = "418 with a Retry-After of three days"
    FORBIDDEN = "451"
    DROP = "the connection ends without an answer"
    CUT = "the answer ends early"
    HTML = "a page of HTML with status 200"
    BROKEN = "502 with a page of HTML"
    GARBAGE = "JSON of another form"
    EMPTY = "no bars, where there are some"
    SLOW = "a second late"


class Kline(NamedTuple):
    """A bar as the venues write it: numbers as text."""

    ts: int
    open: str
    high: str
    low: str
    close: str
    volume: str


def klines(start: int, count: int, step: int = MINUTE, missing: Container[int] = ()) -> list[Kline]:
    """Bars one after another that all differ; without those whose number is missing."""
    made = []
    for number in range(count):
        low = 1000 + number * 7 % 501
        prices = [f"{(low + more) / 100:.2f}" for more in (3, 9, 0, 5)]
        if number not in missing:
            made.append(Kline(start + number * step, *prices, f"{number % 89}.25"))
    return made


def daily(bars: list[Kline]) -> list[Kline]:
    """Bars of a day; of their values only the time is ever used."""
    return [
        Kline(day, "1", "1", "1", "1", "1") for day in sorted({b.ts // DAY * DAY for b in bars})
    ]


Server = TypeVar("Server", bound=ThreadingHTTPServer)


class VenueServer(ThreadingHTTPServer):
    """Serves `bars` (of a minute, as they are) as BTC/USDT of Binance and BTC/USD of Kraken.

    `now_ms` is its clock: None the real one. `overlap` gives so many bars before the ones asked
    for; with `window` a page covers as many minutes as bars may be on it, and no more.
    """

    daemon_threads = True
    handler: "type[BaseHTTPRequestHandler]"

    def __init__(self, bars: list[Kline]) -> None:
        super().__init__(("127.0.0.1", 0), self.handler)
        self.bars = bars
        self.now_ms: int | None = None
        self.overlap = 0
        self.window = False
        self.retry_after = "7"
        self.faults: deque[Fault | None] = deque()  # None: that request is answered
        self.asked: list[dict[str, str]] = []  # the requests for bars
        self.requests = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def bars_of(self, market: str) -> list[Kline]:
        """The bars of a market, by the venue's name of it."""
        return self.bars

    def since(self, bars: list[Kline], since: int, limit: int, step: int) -> list[Kline]:
        """A page of bars."""
        first = next((n for n, bar in enumerate(bars) if bar.ts >= since), len(bars))
        page = bars[max(0, first - self.overlap) : first + limit]
        return [bar for bar in page if not self.window or bar.ts < since + limit * step]

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away is none of its business."""


class Handler(BaseHTTPRequestHandler):
    server: VenueServer
    protocol_version = "HTTP/1.1"
    wbufsize = 65_536  # an answer in one piece: in two it would wait 40 ms for an acknowledgement

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""

    def date_time_string(self, timestamp: float | None = None) -> str:
        """The header Date."""
        now_ms = self.server.now_ms
        return formatdate(time.time() if now_ms is None else now_ms / 1000, usegmt=True)

    def do_GET(self) -> None:
        """Any request."""
        self.server.requests += 1
        address = urlsplit(self.path)
        query = {name: values[0] for name, values in parse_qs(address.query).items()}
        if address.path.endswith(("/time", "/Time")):
            self._send(200, json.dumps(self._time(address.path)))
            return
        if not address.path.endswith(("/klines", "/OHLC")):
            self._send(200, json.dumps(LISTS.get(address.path, {})))
            return
        self.server.asked.append(query)
        fault = self.server.faults.popleft() if self.server.faults else None
        if fault is Fault.SLOW:
            time.sleep(1)
        answer = self._klines(query) if address.path.endswith("/klines") else self._ohlc(query)
        if fault in (None, Fault.SLOW):
            self._send(200, json.dumps(answer))
        else:
            self._fail(fault, json.dumps(answer))

    def _fail(self, fault: Fault | None, answer: str) -> None:
        html = "<html><head><title>Just a moment</title></head><body>checking</body></html>"
        if fault is Fault.LIMIT:
            text = '{"code":-1003,"msg":"Too much request weight used."}'
            self._send(429, text, {"Retry-After": self.server.retry_after})
        elif fault is Fault.BANNED:
            self._send(418, '{"code":-1003,"msg":"IP banned."}', {"Retry-After": "259200"})
        elif fault is Fault.FORBIDDEN:
            self._send(451, '{"code":0,"msg":"Service unavailable from a restricted location."}')
        elif fault is Fault.HTML:
            self._send(200, html, {"Content-Type": "text/html"})
        elif fault is Fault.BROKEN:
            self._send(502, html, {"Content-Type": "text/html"})
        elif fault is Fault.GARBAGE:
            self._send(200, '{"bars": 7}')
        elif fault is Fault.EMPTY:
            self._send(200, "[]")
        elif fault is Fault.CUT:
            self._send(200, answer, cut=len(answer) // 2)
        else:
            self.close_connection = True

    def _send(
        self, status: int, text: str, headers: dict[str, str] | None = None, cut: int | None = None
    ) -> None:
        body = text.encode()
        self.send_response(status)
        given = {"Content-Type": "application/json", "Content-Length": str(len(body))}
        for name, value in (given | (headers or {})).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body[:cut])
        if cut is not None:
            self.close_connection = True

    def _time(self, path: str) -> dict[str, Any]:
        """Binance: ms; Kraken: whole seconds."""
        now_ms = self.server.now_ms
        now_ms = int(time.time() * 1000) if now_ms is None else now_ms
        if path.endswith("/time"):
            return {"serverTime": now_ms}
        return {"error": [], "result": {"unixtime": now_ms // 1000, "rfc1123": ""}}

    def _klines(self, query: dict[str, str]) -> list[list[Any]]:
        """Binance: the first `limit` bars from startTime on."""
        step = BINANCE_INTERVALS[query["interval"]]
        bars = self.server.bars_of(query["symbol"])
        bars = daily(bars) if step == DAY else bars
        page = self.server.since(bars, int(query["startTime"]), int(query["limit"]), step)
        return [
            [bar.ts, *bar[1:], bar.ts + step - 1, "10.5", 12, "0.5", "5.25", "0"] for bar in page
        ]

    def _ohlc(self, query: dict[str, str]) -> dict[str, Any]:
        """Kraken: the newest 720 bars after `since` (s), whatever it is; the last is not over."""
        step = int(query["interval"]) * MINUTE
        bars = self.server.bars_of(query["pair"])
        bars = daily(bars) if step == DAY else bars
        page = [bar for bar in bars[-KRAKEN_NEWEST:] if bar.ts > int(query["since"]) * 1000]
        rows = [
            [bar.ts // 1000, bar.open, bar.high, bar.low, bar.close, "10.02", bar.volume, 12]
            for bar in page
        ]
        last = page[-1].ts // 1000 if page else 0
        return {"error": [], "result": {"XXBTZUSD": rows, "last": last}}


VenueServer.handler = Handler


@contextmanager
def serving(bars: list[Kline]) -> Iterator[VenueServer]:
    """A server in a thread, for as long as the block lasts."""
    with running(VenueServer(bars)) as server:
        yield server


@contextmanager
def running(server: Server) -> Iterator[Server]:
    """The same of a server that was made."""
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _binance_symbol(base: str, quote: str) -> dict[str, Any]:
    return {
        "symbol": base + quote,
        "status": "TRADING",
        "baseAsset": base,
        "baseAssetPrecision": 8,
        "quoteAsset": quote,
        "quotePrecision": 8,
        "quoteAssetPrecision": 8,
        "orderTypes": ["LIMIT", "MARKET"],
        "isSpotTradingAllowed": True,
        "isMarginTradingAllowed": False,
        "filters": [
            {"filterType": "PRICE_FILTER", "minPrice": "0.01", "maxPrice": "1000000.00",
             "tickSize": "0.01000000"},
            {"filterType": "LOT_SIZE", "minQty": "0.00001", "maxQty": "9000.0",
             "stepSize": "0.00001000"},
        ],
        "permissions": ["SPOT"],
    }  # fmt: skip


LISTS: dict[str, Any] = {
    "/api/v3/exchangeInfo": {
        "timezone": "UTC",
        "serverTime": 1_700_000_000_000,
        "rateLimits": [],
        "exchangeFilters": [],
        "symbols": [_binance_symbol("BTC", "USDT"), _binance_symbol("ETH", "USDT")],
    },
    "/fapi/v1/exchangeInfo": {"symbols": []},
    "/dapi/v1/exchangeInfo": {"symbols": []},
    "/0/public/Assets": {
        "error": [],
        "result": {
            "XXBT": {"aclass": "currency", "altname": "XBT", "decimals": 10, "display_decimals": 5,
                     "status": "enabled"},
            "ZUSD": {"aclass": "currency", "altname": "USD", "decimals": 4, "display_decimals": 2,
                     "status": "enabled"},
        },
    },
    "/0/public/AssetPairs": {
        "error": [],
        "result": {
            "XXBTZUSD": {
                "altname": "XBTUSD",
                "wsname": "XBT/USD",
                "aclass_base": "currency",
                "base": "XXBT",
                "aclass_quote": "currency",
                "quote": "ZUSD",
                "lot": "unit",
                "pair_decimals": 1,
                "lot_decimals": 8,
                "lot_multiplier": 1,
                "leverage_buy": [],
                "leverage_sell": [],
                "fees": [[0, 0.26]],
                "fees_maker": [[0, 0.16]],
                "fee_volume_currency": "ZUSD",
                "ordermin": "0.0001",
                "tick_size": "0.1",
                "status": "online",
            }
        },
    },
}  # fmt: skip
