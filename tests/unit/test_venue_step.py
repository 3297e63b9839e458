"""Which bars of a venue are final, told as tables: what is heard and asked, and what is given."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from feeds.live.venue_step import (
    Candle,
    Clock,
    Event,
    Filled,
    Heard,
    Lost,
    Outcome,
    Rules,
    State,
    begun,
    step,
    until,
)

MINUTE = 60_000
RULES = Rules(MINUTE, final_after_ms=5_000, page=3)


def candle(minute: int, volume: float) -> Candle:
    return Candle(minute * MINUTE, (1.0, 1.0, 1.0, 1.0, volume))


def heard(at_s: float, *bars: tuple[int, float], closed: set[int] | None = None) -> Heard:
    """Bars (minute, volume) of A at a time."""
    over = None if closed is None else frozenset(minute * MINUTE for minute in closed)
    return Heard("A", tuple(candle(*bar) for bar in bars), over, int(at_s * 1000))


def filled(start: int, done: int, *bars: tuple[int, float]) -> Filled:
    return Filled("A", start * MINUTE, done * MINUTE, tuple(candle(*bar) for bar in bars))


def clock(now_s: float, frame_s: float | None = None) -> Clock:
    frame = now_s if frame_s is None else frame_s
    return Clock(int(now_s * 1000), int(frame * 1000))


class Feed:
    """A feed of A that stands at a minute; the results of each event as text."""

    def __init__(self, at: int = 10, symbols: tuple[str, ...] = ("A",)) -> None:
        self.state: State = begun(symbols, at * MINUTE)

    def take(self, event: Event) -> Outcome:
        self.state, outcome = step(self.state, event, RULES)
        return outcome

    def says(self, event: Event) -> str:
        """Such as `10=5 12=7late ? 11-13 | 13`: bars, questions, and up to where all is there."""
        found = self.take(event)
        words = []
        for bar in found.bars:
            minute = (bar.candle.ts or 0) // MINUTE
            words.append(f"{minute}={bar.candle.volume:g}{'late' if bar.is_missed else ''}")
        words += [f"?{ask.start // MINUTE}-{ask.end // MINUTE}" for ask in found.asks]
        return " ".join([*words, "|", str(until(self.state) // MINUTE)])


CASES: dict[str, list[tuple[Event, str]]] = {
    "what is missing is asked for page by page, then the socket goes on": [
        (clock(14 * 60 + 3), "?10-13 | 10"),
        (clock(14 * 60 + 4), "| 10"),
        (heard(14 * 60 + 5, (14, 2), closed=set()), "| 10"),
        (filled(10, 13, (10, 1), (12, 3)), "10=1 12=3 | 13"),
        (clock(14 * 60 + 5), "?13-14 | 13"),
        (heard(15 * 60, (14, 9), closed={14}), "| 13"),
        (filled(13, 14, (13, 4)), "13=4 | 14"),
        (clock(15 * 60 + 0.1), "14=9 | 15"),
    ],
    "a bar that the venue calls closed is final at once": [
        (heard(10 * 60 + 1, (10, 1), closed=set()), "| 10"),
        (heard(11 * 60, (10, 5), closed={10}), "10=5 | 11"),
        (heard(11 * 60 + 1, (10, 4), closed=set()), "| 11"),
        (heard(11 * 60 + 2, (10, 5), (11, 1), closed=set()), "| 11"),
    ],
    "without that word the next bar tells it, a moment later": [
        (heard(10 * 60 + 1, (10, 1)), "| 10"),
        (heard(11 * 60 + 0.1, (11, 1)), "| 10"),
        (heard(11 * 60 + 0.2, (10, 7)), "| 10"),
        (heard(11 * 60 + 0.3, (10, 5)), "| 10"),  # an older state, by its volume
        (clock(11 * 60 + 1), "10=7 | 11"),
    ],
    "an unfinished bar is never final by the clock: it is asked for": [
        (heard(10 * 60 + 1, (10, 1), closed=set()), "| 10"),
        (heard(11 * 60 + 1, (11, 1), closed=set()), "| 10"),
        (clock(11 * 60 + 2), "| 10"),
        (clock(11 * 60 + 3), "?10-11 | 10"),
        (clock(11 * 60 + 30), "| 10"),
        (filled(10, 11, (10, 6)), "10=6 | 11"),
    ],
    "a quiet symbol is passed by where the connection lives": [
        (heard(10 * 60 + 1, (10, 1), closed=set()), "| 10"),
        (heard(11 * 60, (10, 5), closed={10}), "10=5 | 11"),
        (clock(12 * 60 + 5, frame_s=12 * 60 + 2), "?11-12 | 11"),
        (clock(12 * 60 + 6), "| 12"),
        (filled(11, 12), "| 12"),
    ],
    "and what it had to say after all comes late": [
        (heard(10 * 60 + 1, (10, 1), closed=set()), "| 10"),
        (heard(11 * 60, (10, 5), closed={10}), "10=5 | 11"),
        (clock(12 * 60 + 5), "?11-12 | 12"),
        (heard(12 * 60 + 7, (12, 1), closed=set()), "| 12"),
        (filled(11, 12, (11, 3)), "11=3late | 12"),
    ],
    "what was given meanwhile is not given again": [
        (heard(10 * 60 + 1, (10, 1), closed=set()), "| 10"),
        (clock(11 * 60 + 3), "?10-11 | 10"),
        (heard(11 * 60 + 3.5, (10, 5), closed={10}), "10=5 | 11"),
        (filled(10, 11, (10, 5)), "| 11"),
    ],
    "a lost connection leaves nothing behind": [
        (heard(10 * 60 + 1, (10, 1), closed=set()), "| 10"),
        (Lost(), "| 10"),
        (clock(11 * 60 + 30), "?10-11 | 10"),
        (heard(12 * 60 + 1, (12, 1), closed=set()), "| 10"),
        (heard(13 * 60, (12, 4), closed={12}), "| 10"),
        (filled(10, 11, (10, 6)), "10=6 | 11"),
        (clock(13 * 60 + 1), "?11-12 | 11"),
        (filled(11, 12), "| 12"),
        (clock(13 * 60 + 1), "12=4 | 13"),
    ],
    "a new connection that begins with an old bar has not begun": [
        (heard(11 * 60 + 1, (10, 1)), "| 10"),
        (clock(11 * 60 + 3), "?10-11 | 10"),
        (filled(10, 11, (10, 6)), "10=6 | 11"),
    ],
    "garbage from the time to come ends no bar": [
        (heard(10 * 60 + 1, (10, 1), closed=set()), "| 10"),
        (heard(10 * 60 + 2, (99, 1), (10, 2), closed={10, 99}), "| 10"),
        (heard(11 * 60 + 2, (10, 3), closed={10}), "10=3 | 11"),
    ],
    "a venue that is polled": [
        (clock(12 * 60 + 2), "?10-11 | 10"),
        (filled(10, 11, (10, 1)), "10=1 | 11"),
        (clock(12 * 60 + 3), "?11-12 | 11"),
        (filled(11, 11), "| 11"),
        (clock(12 * 60 + 4), "?11-12 | 11"),
        (filled(11, 12), "| 12"),
    ],
}


@pytest.mark.parametrize("name", CASES)
def test_what_follows(name: str) -> None:
    feed = Feed()
    for event, expected in CASES[name]:
        assert feed.says(event) == expected, event


def test_all_symbols_are_waited_for() -> None:
    feed = Feed(symbols=("A", "B"))
    feed.take(heard(10 * 60 + 1, (10, 1), closed=set()))
    assert feed.says(heard(11 * 60, (10, 5), closed={10})) == "10=5 | 10"
    feed.take(Filled("B", 10 * MINUTE, 11 * MINUTE, ()))
    assert until(feed.state) == 11 * MINUTE


VOLUMES = {minute: minute * 10.0 for minute in range(10, 22) if minute % 5}  # bars, final
MOVES = st.lists(
    st.sampled_from(["change", "close", "again", "lose", "look", "answer", "answer"]),
    min_size=5,
    max_size=120,
)


@settings(max_examples=200, deadline=None)
@given(MOVES, st.booleans(), st.integers(0, 5))
def test_whatever_happens_each_bar_is_given_once_and_as_it_ended(
    moves: list[str], tells_closed: bool, skip: int
) -> None:
    """Changes come in order but for repetitions; some closes are never sent; REST is right."""
    feed = Feed()
    now_ms, asks, given_bars, told = 10 * MINUTE + skip * 1_000, [], [], 10 * MINUTE
    for move in moves:
        now_ms += 7_000
        minute = now_ms // MINUTE
        event: Event = Clock(now_ms, now_ms)
        known = frozenset[int]() if tells_closed else None
        if move == "lose":
            event = Lost()
        elif move == "change" and minute in VOLUMES:
            share = (now_ms % MINUTE) / MINUTE
            event = Heard("A", (candle(minute, VOLUMES[minute] * share),), known, now_ms)
        elif move == "again" and minute in VOLUMES:
            event = Heard("A", (candle(minute, 0.0),), known, now_ms)
        elif move == "close" and minute - 1 in VOLUMES and tells_closed:
            over = frozenset([(minute - 1) * MINUTE])
            event = Heard("A", (candle(minute - 1, VOLUMES[minute - 1]),), over, now_ms)
        elif move == "answer" and asks:
            ask = asks.pop(0)
            span = range(ask.start // MINUTE, ask.end // MINUTE)
            bars = tuple(candle(n, VOLUMES[n]) for n in span if n in VOLUMES)
            event = Filled("A", ask.start, ask.end, bars)
        found = feed.take(event)
        asks += found.asks
        given_bars += [bar.candle for bar in found.bars]
        told = max(told, until(feed.state))
        assert until(feed.state) >= told
    minutes = [(bar.ts or 0) // MINUTE for bar in given_bars]
    assert len(minutes) == len(set(minutes))
    if tells_closed:
        assert all(bar.volume == VOLUMES[(bar.ts or 0) // MINUTE] for bar in given_bars)
