"""Which bars of a venue are final, and up to when they are all there: `step(state, event)`.

A bar is final once the venue says so, or once a later one has begun where the venue says nothing;
else its REST interface is asked, a moment after the close. Whatever was not heard whole, by a
connection that was there before the bar began to change, is asked for by REST alone.
"""

from collections.abc import Mapping
from typing import NamedTuple

# A venue may correct itself, or send in another order, for a moment after a close.
SETTLE_MS = 3_000
REORDER_MS = 1_000
AHEAD_MS = 5_000  # what opens or has closed later than that from now is garbage


class Candle(NamedTuple):
    """A bar as a venue gives it: open time, None where it is none, and open to volume."""

    ts: int | None
    values: tuple[float | None, ...]

    @property
    def volume(self) -> float:
        """What was traded so far; 0 where that is no number."""
        return self.values[4] or 0.0


class Rules(NamedTuple):
    """`page`: minutes asked for at once. `settle_ms` after a close REST's word is final.

    `final_after_ms` after it, a symbol of which nothing was heard is not waited for.
    """

    base_ms: int
    final_after_ms: int
    page: int
    settle_ms: int = SETTLE_MS


class Heard(NamedTuple):
    """Bars as they change, at a time of the venue's clock.

    `closed`: open times of those that it calls final, None where it never does.
    """

    symbol: str
    candles: tuple[Candle, ...]
    closed: frozenset[int] | None
    at_ms: int


class Filled(NamedTuple):
    """REST's word: these are all final bars that open in [start, done)."""

    symbol: str
    start: int
    done: int
    candles: tuple[Candle, ...]


class Lost(NamedTuple):
    """The connection is gone, and what it had begun to tell."""


class Clock(NamedTuple):
    """The venue's time, and when the connection last gave any sign of life by it (0: never)."""

    now_ms: int
    frame_ms: int


Event = Heard | Filled | Lost | Clock


class Ask(NamedTuple):
    """Bars to ask REST for: those that open in [start, end)."""

    symbol: str
    start: int
    end: int


class Given(NamedTuple):
    """A bar that is final. `is_missed`: it comes behind the time up to which all were there."""

    symbol: str
    candle: Candle
    is_missed: bool = False


class Symbol(NamedTuple):
    """What is known of a symbol: all bars that open before `settled` were given.

    `live_from`: the first bar that this connection heard. `asked`: where the question begins that
    is not answered yet, `given` what was given since.
    """

    settled: int
    live_from: int | None = None
    heard: Mapping[int, Candle] = {}
    closed: frozenset[int] = frozenset()
    tells_closed: bool = False
    asked: int | None = None
    given: frozenset[int] = frozenset()


State = Mapping[str, Symbol]


class Outcome(NamedTuple):
    """What follows from an event."""

    bars: tuple[Given, ...] = ()
    asks: tuple[Ask, ...] = ()


def begun(symbols: tuple[str, ...], settled: int) -> State:
    """The state of a feed that goes on at an open time."""
    return {symbol: Symbol(settled) for symbol in symbols}


def until(state: State) -> int:
    """Up to this close all bars of all symbols were given."""
    return min(symbol.settled for symbol in state.values())


def step(state: State, event: Event, rules: Rules) -> tuple[State, Outcome]:
    """The state after an event, and what follows."""
    if isinstance(event, Heard):
        known = state[event.symbol]
        symbol, bars = _give(event.symbol, _hear(known, event, rules), event.at_ms, rules)
        return {**state, event.symbol: symbol}, Outcome(bars)
    if isinstance(event, Filled):
        symbol, bars = _fill(state[event.symbol], event, rules)
        return {**state, event.symbol: symbol}, Outcome(bars)
    if isinstance(event, Lost):
        return {name: _forget(symbol) for name, symbol in state.items()}, Outcome()
    after: dict[str, Symbol] = {}
    given: list[Given] = []
    asks: list[Ask] = []
    for name, symbol in state.items():
        symbol, bars = _give(name, symbol, event.now_ms, rules)
        given += bars
        after[name], ask = _look(name, symbol, event, rules)
        asks += [] if ask is None else [ask]
    return after, Outcome(tuple(given), tuple(asks))


def _forget(symbol: Symbol) -> Symbol:
    return symbol._replace(live_from=None, heard={}, closed=frozenset(), tells_closed=False)


def _hear(symbol: Symbol, event: Heard, rules: Rules) -> Symbol:
    """Take in what changed; an older state of a bar is told by its smaller volume."""
    new: dict[int, Candle] = {}
    for candle in event.candles:
        ts = candle.ts
        if ts is not None and ts % rules.base_ms == 0 and ts <= event.at_ms + AHEAD_MS:
            new[ts] = candle
    if not new:
        return symbol
    live_from = symbol.live_from
    if live_from is None:
        live_from = max(new)
        if live_from + rules.base_ms <= event.at_ms:
            return symbol  # it is over: what followed may have been sent before this connection
    over = frozenset(
        ts for ts in event.closed or () if ts + rules.base_ms <= event.at_ms + AHEAD_MS
    )
    heard = dict(symbol.heard)
    for ts, candle in new.items():
        if ts < max(live_from, symbol.settled) or ts in symbol.closed:
            continue
        before = heard.get(ts)
        if before is None or ts in over or not candle.volume < before.volume:
            heard[ts] = candle
    return symbol._replace(
        live_from=live_from,
        heard=heard,
        closed=symbol.closed | (over & heard.keys()),
        tells_closed=symbol.tells_closed or event.closed is not None,
    )


def _give(name: str, symbol: Symbol, now_ms: int, rules: Rules) -> tuple[Symbol, tuple[Given, ...]]:
    """Give the bars that are final, unless earlier ones are still to be asked for."""
    if symbol.live_from is None or symbol.settled < symbol.live_from or not symbol.heard:
        return symbol, ()
    final = _closed(symbol) if symbol.tells_closed else _followed(symbol, now_ms, rules)
    if not final:
        return symbol, ()
    bars = tuple(Given(name, symbol.heard[ts]) for ts in final)
    return _settle(symbol, final[-1] + rules.base_ms, final), bars


def _closed(symbol: Symbol) -> list[int]:
    """What the venue calls closed, before the first bar that it does not: that is asked for."""
    first_open = min(symbol.heard.keys() - symbol.closed, default=None)
    return [ts for ts in sorted(symbol.closed) if first_open is None or ts < first_open]


def _followed(symbol: Symbol, now_ms: int, rules: Rules) -> list[int]:
    """What a later bar has followed, once what came in another order is there, too."""
    newest = max(symbol.heard)
    over = now_ms - REORDER_MS - rules.base_ms
    return [ts for ts in sorted(symbol.heard) if ts < newest and ts <= over]


def _fill(symbol: Symbol, event: Filled, rules: Rules) -> tuple[Symbol, tuple[Given, ...]]:
    """Give what REST has and was not given yet."""
    bars: list[Given] = []
    new: list[int] = []
    for candle in event.candles:
        ts = candle.ts
        if ts is None or ts >= symbol.settled:
            bars.append(Given(event.symbol, candle))
        elif ts not in symbol.given:
            bars.append(Given(event.symbol, candle, is_missed=True))
        if ts is not None:
            new.append(ts)
    symbol = symbol._replace(asked=None, given=frozenset())
    return _settle(symbol, max(symbol.settled, event.done), new), tuple(bars)


def _settle(symbol: Symbol, settled: int, given: list[int]) -> Symbol:
    """All before `settled` is given; remembered where a question is open that may repeat it."""
    remembered = symbol.given
    if symbol.asked is not None:
        remembered |= frozenset(given)
    return symbol._replace(
        settled=settled,
        heard={ts: candle for ts, candle in symbol.heard.items() if ts >= settled},
        closed=frozenset(ts for ts in symbol.closed if ts >= settled),
        given=remembered,
    )


def _look(name: str, symbol: Symbol, clock: Clock, rules: Rules) -> tuple[Symbol, Ask | None]:
    """Ask for what should be there by the clock; pass by what is quiet on a connection that lives.

    A sign of life after the close proves that nothing that was sent before it is still under way.
    """
    base_ms = rules.base_ms
    ask = None
    due = floor(clock.now_ms - rules.settle_ms, base_ms)
    if symbol.settled < due and symbol.asked is None:
        ask = Ask(name, symbol.settled, min(due, symbol.settled + rules.page * base_ms))
        symbol = symbol._replace(asked=ask.start)
    quiet = floor(clock.now_ms - rules.final_after_ms, base_ms)
    if symbol.live_from is None or not symbol.live_from <= symbol.settled < quiet:
        return symbol, ask
    if clock.frame_ms >= quiet + rules.settle_ms:
        first = min(symbol.heard, default=quiet)
        symbol = _settle(symbol, max(symbol.settled, min(first, quiet)), [])
    return symbol, ask


def floor(ts: int, base_ms: int) -> int:
    """The open time of the bar at a time."""
    return ts // base_ms * base_ms
