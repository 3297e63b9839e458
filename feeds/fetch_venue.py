"""A venue's public bars through ccxt, one request at a time, with what ccxt itself leaves out.

ccxt knows each venue's addresses, names and formats. Three things it keeps to itself are needed
here and are taken at its own hooks: rows that it drops as it sorts and cuts a page, answers that
are no JSON (it hands on an HTML page as if the page were empty), and the headers Date and
Retry-After. No API key is read or sent.
"""

import json
import math
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC
from decimal import Decimal
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar
from urllib.parse import urlsplit

from udfs.errors import ConfigError, nearest
from udfs.timeframes import DAY_MS, timeframe_ms

if TYPE_CHECKING:
    import ccxt

Value = TypeVar("Value")

TIMEOUT_MS = 30_000  # a list of all markets may be 10 MB
DAY = "1d"
UNKNOWN_LIMIT = 100  # bars of a page where ccxt knows no limit: no venue gives fewer
# Statuses that another try may mend although they blame the request: slow down, too early.
WAITABLE = (408, 418, 425, 429)
# What ccxt's parsers raise where an answer is JSON of another form than they expect.
UNEXPECTED = (AttributeError, IndexError, KeyError, TypeError, ValueError)
SHOWN_LETTERS = 200
WHOLE_SECOND_MS = 1000  # clocks of some venues, and the header Date, show no less


class Fault(Exception):
    """A request that failed. `again` says whether asking again may help.

    `wait_s` is how long the venue asks to wait; 0 where it says nothing.
    """

    def __init__(self, message: str, again: bool, wait_s: float = 0.0) -> None:
        super().__init__(message)
        self.again = again
        self.wait_s = wait_s


class Market(NamedTuple):
    """A market of a venue: `limit` bars a page; tick and step as text where ccxt knows them."""

    symbol: str
    name: str  # what it is called in files
    quote: str
    limit: int
    price_tick: str | None
    qty_step: str | None


class Row(NamedTuple):
    """A bar as a venue gave it: values as read, None where there was none, and before reading."""

    ts: int | None
    values: tuple[float | None, ...]  # open, high, low, close, volume
    raw: object

    @property
    def text(self) -> str:
        """The row as the venue wrote it."""
        return json.dumps(self.raw, separators=(",", ":"), default=str)


class Answer(NamedTuple):
    """The rows of a page in the order of arrival, and the venue's clock (None where it is silent).

    The clock has whole seconds and was read before the page was sent.
    """

    rows: tuple[Row, ...]
    clock_ms: int | None


class Reading(NamedTuple):
    """A venue's clock: `venue_ms` when one's own steady clock stood at `at_ms`.

    `within_ms`: how far off it may be, by the way there and back, and by what the venue leaves out.
    """

    venue_ms: float
    at_ms: float
    within_ms: float


@dataclass
class Heard:
    """What the last request brought, and when it was sent and answered by a steady clock, ms."""

    steady_ms: Callable[[], float]
    sent_ms: float = 0.0
    got_ms: float = 0.0
    status: int = 0
    reason: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    rows: list[tuple[list[Any], object]] | None = None


class Listening:
    """Mixed into ccxt's class of a venue, before it."""

    heard: Heard
    parse_ohlcv: Callable[..., list[Any]]

    def fetch(self, *request: Any, **named: Any) -> Any:
        """Any request; until it is answered nothing was heard."""
        self.heard.status, self.heard.headers = 0, {}
        self.heard.sent_ms = self.heard.steady_ms()
        return super().fetch(*request, **named)  # type: ignore[misc]

    def on_rest_response(
        self, code: int, reason: str, url: str, method: str, headers: Any, body: str, *sent: object
    ) -> str:
        """Note status and headers."""
        self.heard.got_ms = self.heard.steady_ms()
        self.heard.status, self.heard.reason, self.heard.headers = code, reason, headers or {}
        text: str = super().on_rest_response(  # type: ignore[misc]
            code, reason, url, method, headers, body, *sent
        )
        return text

    def parse_json(self, http_response: str) -> object:
        """Refuse what is no JSON; of an error the status tells more, and ccxt reads that next."""
        parsed: object = super().parse_json(http_response)  # type: ignore[misc]
        if parsed is None and self.heard.status < 400:
            raise Fault(f"an answer that is no JSON: {_shortened(http_response)!r}", again=True)
        return parsed

    def parse_ohlcvs(self, ohlcvs: object, market: object = None, *rest: Any, **named: Any) -> Any:
        """Keep every row as it came; ccxt would sort, drop and cut here."""
        if isinstance(ohlcvs, list):
            self.heard.rows = [(self.parse_ohlcv(row, market), row) for row in ohlcvs]
            return []
        return super().parse_ohlcvs(ohlcvs, market, *rest, **named)  # type: ignore[misc]


class Venue:
    """An exchange of ccxt. Every method raises Fault where a request fails.

    `url` puts a server of one's own in the place of the venue's, under the same paths. `is_paced`
    False leaves out ccxt's pauses between requests.
    """

    def __init__(
        self,
        name: str,
        url: str | None,
        is_paced: bool,
        steady_ms: Callable[[], float] = lambda: time.monotonic() * 1000,
    ) -> None:
        import ccxt

        self.name, self._url = name, url
        self._errors: tuple[type[Exception], ...] = (ccxt.BaseError,)
        self._passing: tuple[type[Exception], ...] = (ccxt.OperationFailed,)
        self._exchange = _exchange(name, is_paced, Heard(steady_ms))
        if url is not None:
            self._exchange.urls["api"] = under(url, self._exchange.urls["api"])

    def check_timeframe(self, timeframe: str, asked_by: str = "--timeframe") -> None:
        """ConfigError unless the venue gives bars of that length."""
        given = [name for name in self._exchange.timeframes or {} if _fits(name)]
        if timeframe not in given:
            raise ConfigError(
                f"{asked_by} {timeframe}: {self.name} gives no such bars"
                f"{nearest(timeframe, given)}; it gives {', '.join(given) or 'none that fit'}"
            )

    def load_markets(self) -> None:
        """Ask for the list of markets."""
        self._ask(self._exchange.load_markets)
        if not self._exchange.markets:
            raise Fault("a list of markets that is empty", again=True)

    def market(self, symbol: str, name: str, asked_by: str = "--symbol") -> Market:
        """A market by ccxt's symbol, such as BTC/USDT. ConfigError where there is none."""
        exchange = self._exchange
        if symbol not in exchange.markets:
            same_id = [one["symbol"] for one in (exchange.markets_by_id or {}).get(symbol, [])]
            hint = f" (did you mean {same_id[0]!r}?)" if same_id else ""
            raise ConfigError(
                f"{asked_by} {symbol}: {self.name} has no such market"
                f"{hint or nearest(symbol, exchange.markets)}; it has {len(exchange.markets):,}, "
                "written as BTC/USDT"
            )
        found = exchange.markets[symbol]
        try:
            limit = exchange.feature_value(symbol, "fetchOHLCV", "limit")
        except UNEXPECTED:  # ccxt's table of features has holes
            limit = None
        tick, step = (self._precision(found, key) for key in ("price", "amount"))
        return Market(symbol, name, found["quote"] or "", limit or UNKNOWN_LIMIT, tick, step)

    def has_days(self) -> bool:
        """Whether the venue gives bars of a day."""
        return DAY in (self._exchange.timeframes or {})

    def page(self, symbol: str, timeframe: str, since: int, limit: int) -> Answer:
        """Up to `limit` bars that open at `since` (ms) or later."""
        heard = self._exchange.heard
        heard.rows = None
        listed = self._ask(lambda: self._exchange.fetch_ohlcv(symbol, timeframe, since, limit))
        rows = heard.rows
        if rows is None:  # two venues of ccxt have parsers of their own, which keep every row
            rows = [(row, row) for row in listed]
        found = tuple(_row(*row) for row in rows)
        if found and all(row.ts is None for row in found):
            raise self._unexpected()
        return Answer(found, _clock_ms(heard.headers))

    def clock(self, symbol: str, timeframe: str) -> Reading:
        """What the venue's clock shows: of its own request for that, else of the header Date."""
        heard = self._exchange.heard
        if self._exchange.has.get("fetchTime"):
            shown = self._ask(self._exchange.fetch_time)
        else:
            shown = self.page(symbol, timeframe, int(time.time() * 1000) - DAY_MS, 1).clock_ms
        if not isinstance(shown, int):
            raise Fault("an answer without its time", again=True)
        left_out = WHOLE_SECOND_MS if shown % WHOLE_SECOND_MS == 0 else 0
        way = heard.got_ms - heard.sent_ms
        return Reading(shown + left_out / 2, heard.sent_ms + way / 2, (way + left_out) / 2)

    @property
    def streams(self) -> bool:
        """Whether ccxt has bars of this venue as they change, by websocket."""
        import ccxt.pro

        found = getattr(ccxt.pro, self.name, None)
        return found is not None and bool(found({}).has.get("watchOHLCV"))

    def streaming(self, mixed: type, ping_ms: int) -> Any:
        """ccxt's object for that, with the markets that are known here; not connected."""
        import ccxt.pro

        made = type(self.name, (mixed, getattr(ccxt.pro, self.name)), {})
        exchange = made({"aiohttp_trust_env": True, "newUpdates": False})
        exchange.streaming = {**exchange.streaming, "keepAlive": ping_ms}
        if self._url is not None:
            exchange.urls["api"] = under(self._url, exchange.urls["api"])
        exchange.set_markets_from_exchange(self._exchange)
        return exchange

    @property
    def markets(self) -> Mapping[str, Any]:
        """ccxt's markets by their symbols."""
        return self._exchange.markets

    def _ask(self, call: Callable[[], Value]) -> Value:
        try:
            return call()
        except self._errors as error:
            raise self._fault(error) from error
        except UNEXPECTED as error:
            raise self._unexpected() from error

    def _unexpected(self) -> Fault:
        shown = _shortened(self._exchange.last_http_response or "")
        return Fault(f"an answer of an unexpected form: {shown!r}", again=True)

    def _fault(self, error: Exception) -> Fault:
        heard = self._exchange.heard
        blamed = 400 <= heard.status < 500 and heard.status not in WAITABLE
        wait_s = _retry_after(heard.headers) if heard.status in (*WAITABLE, 503) else 0.0
        again = isinstance(error, self._passing) and not blamed
        if heard.status >= 400:
            body = re.sub(r"<[^>]*>", " ", self._exchange.last_http_response or "")
            return Fault(_shortened(f"{heard.status} {heard.reason}: {body}"), again, wait_s)
        return Fault(_shortened(str(error) if heard.status else _cause(error)), again, wait_s)

    def _precision(self, market: Mapping[str, Any], key: str) -> str | None:
        """The smallest step of a price or quantity as plain text; None where there is no one."""
        from ccxt import DECIMAL_PLACES, TICK_SIZE

        value = market["precision"][key]
        if value is None or self._exchange.precisionMode not in (DECIMAL_PLACES, TICK_SIZE):
            return None  # significant digits: the step depends on the price
        step = Decimal(repr(value))
        if self._exchange.precisionMode == DECIMAL_PLACES:
            step = Decimal(1).scaleb(-int(value))
        return f"{step.normalize():f}"


def check_exchange(name: str) -> None:
    """ConfigError unless ccxt knows an exchange of that name."""
    import ccxt

    if name not in ccxt.exchanges:
        raise ConfigError(
            f"--exchange {name}: ccxt {ccxt.__version__} knows no such exchange"
            f"{nearest(name, ccxt.exchanges)}; it knows {len(ccxt.exchanges)}, such as binance, "
            "bitfinex, bitstamp, coinbase, kraken, okx"
        )


def _exchange(name: str, is_paced: bool, heard: Heard) -> "ccxt.Exchange":
    import ccxt

    check_exchange(name)
    listening = type(name, (Listening, getattr(ccxt, name)), {"heard": heard})
    exchange: ccxt.Exchange = listening({"enableRateLimit": is_paced, "timeout": TIMEOUT_MS})
    if not exchange.has.get("fetchOHLCV"):
        raise ConfigError(f"--exchange {name}: it gives no bars; take another one")
    # The usual HTTPS_PROXY and REQUESTS_CA_BUNDLE hold; the passwords of ~/.netrc are not read.
    exchange.session.trust_env = True
    exchange.session.auth = _unsigned
    return exchange


def _fits(timeframe: str) -> bool:
    try:
        return timeframe_ms(timeframe) > 0
    except ValueError:
        return False


def _unsigned(request: Any) -> Any:
    """A request as it is."""
    return request


def under(url: str, addresses: Any) -> Any:
    """Addresses, alone or nested, with their paths put below `url`."""
    if isinstance(addresses, dict):
        return {key: under(url, value) for key, value in addresses.items()}
    if isinstance(addresses, str):
        given = urlsplit(addresses)
        base = url.replace("http", "ws", 1) if given.scheme in ("ws", "wss") else url
        return base.rstrip("/") + given.path
    return addresses


def _row(parsed: list[Any], raw: object) -> Row:
    """Values of a row as ccxt parsed them: open time and five numbers."""
    ts, *numbers = [*parsed, *[None] * 6][:6]
    is_whole = isinstance(ts, int) or (isinstance(ts, float) and ts.is_integer())
    return Row(int(ts) if is_whole else None, tuple(_number(one) for one in numbers), raw)


def _number(value: object) -> float | None:
    try:
        return float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return None


def _clock_ms(headers: Mapping[str, str]) -> int | None:
    """The time of the header Date."""
    try:
        return int(parsedate_to_datetime(headers["Date"]).timestamp()) * 1000
    except (KeyError, TypeError, ValueError):
        return None


def _retry_after(headers: Mapping[str, str]) -> float:
    """Seconds that the header Retry-After asks for: a number, or a time beside that of Date."""
    text = str(headers.get("Retry-After") or "")
    if re.fullmatch(r"\d+(\.\d+)?", text):
        return float(text)
    try:
        until = parsedate_to_datetime(text).astimezone(UTC)
        asked = parsedate_to_datetime(headers["Date"]).astimezone(UTC)
    except (KeyError, TypeError, ValueError):
        return 0.0
    return max(0.0, math.ceil((until - asked).total_seconds()))


def _cause(error: BaseException) -> str:
    """Why there was no answer: what the system said, at the end of the chain of errors."""
    root = error
    while root.__cause__ or root.__context__:
        root = root.__cause__ or root.__context__ or root
    return getattr(root, "strerror", None) or str(root) or type(root).__name__


def _shortened(text: str) -> str:
    line = " ".join(str(text).split())
    return line if len(line) <= SHOWN_LETTERS else line[:SHOWN_LETTERS] + "..."
