"""From one end of a span to the other, page by page: what is kept, and where to ask next.

An empty answer is no end: some venues look at one page's length of time and no further. So it is
asked for once more, then days are asked for to see where bars go on. What is younger than LATE_MS
is never done by an empty answer, as a venue may publish late.
"""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np

from feeds.fetch_patience import Patience, ask
from feeds.fetch_venue import DAY, Answer, Market, Row, Venue
from udfs.bar_checks import BAR_CODES, VALID, bar_codes
from udfs.bars import Bars, Ints
from udfs.timeframes import DAY_MS, timeframe_ms

SETTLE_MS = 10_000  # a venue may correct a bar for some seconds after its close
LATE_MS = 3_600_000
DAYS_ASKED = 200  # what every venue gives on one page

Tell = Callable[[str], None]


class Reject(NamedTuple):
    """A row that is not kept, and why."""

    code: str
    row: Row


class Step(NamedTuple):
    """What one page gave: bars that pass the checks, by time, with their rows, and the others.

    Everything before `done` is settled, `reached` is where to ask next.
    """

    bars: Bars
    rows: tuple[Row, ...]
    rejects: tuple[Reject, ...]
    reached: int
    done: int


class Walk(NamedTuple):
    """Whom to ask for what."""

    venue: Venue
    market: Market
    timeframe: str
    patience: Patience
    tell: Tell

    @property
    def base_ms(self) -> int:
        return timeframe_ms(self.timeframe)

    @property
    def who(self) -> str:
        return f"{self.venue.name} {self.market.symbol} {self.timeframe}"


def newest_end(now_ms: int, base_ms: int, settle_ms: int = SETTLE_MS) -> int:
    """The end of the bars that are final at that time: the open time of the one that is not."""
    return (now_ms - settle_ms) // base_ms * base_ms


def steps(walk: Walk, start: int, end: int) -> Iterator[Step]:
    """Ask for the bars that open in [start, end); Refusal where the venue gives no answer."""
    reached, done = start, start
    while reached < end:
        step = _asked(walk, reached, end)
        if step.reached == reached:  # is it a gap, or did something go wrong at the venue?
            step = _asked(walk, reached, end)
        if step.reached == reached:
            after = min(_after_nothing(walk, reached), end)
            late = (_now(walk) - LATE_MS) // walk.base_ms * walk.base_ms
            step = step._replace(reached=after, done=max(done, min(after, late)))
        reached, done = step.reached, step.done
        yield step


def _asked(walk: Walk, start: int, end: int) -> Step:
    limit = min(walk.market.limit, -(-(end - start) // walk.base_ms))
    answer = _page(walk, walk.timeframe, start, limit)
    return sifted(answer, start, end, walk.base_ms, _now(walk))


def sifted(
    answer: Answer, start: int, end: int, base_ms: int, now_ms: int, settle_ms: int = SETTLE_MS
) -> Step:
    """The rows of a page asked for from `start` on: those that open in [start, end) and are final.

    `reached` is `start` where none of them says where to go on, and `end` where the page goes
    beyond it, or as far as there are final bars.
    """
    clock = now_ms if answer.clock_ms is None else min(now_ms, answer.clock_ms)
    final_end = newest_end(clock, base_ms, settle_ms)
    known_end = min(end, final_end)
    bars_at = [row.ts for row in answer.rows if row.ts is not None and row.ts % base_ms == 0]
    is_beyond = any(known_end <= ts <= clock for ts in bars_at)
    last = max((ts + base_ms for ts in bars_at if start <= ts < known_end), default=start)
    reached, settled = (end, known_end) if is_beyond else (last, last)
    # A time that is off comes again with the next page, where that begins before it.
    stop = known_end if reached in (start, end) else reached
    inside = [row for row in answer.rows if row.ts is None or start <= row.ts < stop]
    inside.sort(key=lambda row: start if row.ts is None else row.ts)
    bars, whole = _columns(inside)
    code = bar_codes(bars, whole, base_ms)
    valid = code == VALID
    kept = Bars._make(column[valid] for column in bars)
    rows = tuple(row for row, good in zip(inside, valid.tolist(), strict=True) if good)
    rejects = tuple(
        Reject(BAR_CODES[one].value, row)
        for row, one in zip(inside, code.tolist(), strict=True)
        if one != VALID
    )
    return Step(kept, rows, rejects, reached, max(start, settled))


def _columns(rows: list[Row]) -> tuple[Bars, np.ndarray[tuple[int], np.dtype[np.bool_]]]:
    """Rows as columns, and which of them have a whole ts; numbers that are missing are NaN."""
    whole = np.array([row.ts is not None and abs(row.ts) < 2**62 for row in rows], dtype=np.bool_)
    ts: Ints = np.array(
        [row.ts if ok else 0 for row, ok in zip(rows, whole, strict=True)], dtype=np.int64
    )
    values = np.array([row.values for row in rows], dtype=np.float64).reshape(len(rows), 5)
    return Bars(ts, *values.T), whole


def _page(walk: Walk, timeframe: str, since: int, limit: int) -> Answer:
    return ask(
        lambda: walk.venue.page(walk.market.symbol, timeframe, since, limit),
        walk.who,
        walk.patience,
        walk.tell,
    )


def _after_nothing(walk: Walk, reached: int) -> int:
    """Where to ask next after a page without bars: at the next day that has some."""
    page_end = reached + walk.market.limit * walk.base_ms
    if page_end - reached >= DAYS_ASKED * DAY_MS or not walk.venue.has_days():
        return page_end
    # Days need not begin at midnight in UTC, so the one around the page's end is asked for too.
    answer = _page(walk, DAY, page_end - DAY_MS, DAYS_ASKED)
    days = [row.ts for row in answer.rows if row.ts is not None and row.ts + DAY_MS > page_end]
    if days:
        return max(page_end, min(days) // walk.base_ms * walk.base_ms)
    return page_end if answer.rows else page_end + (DAYS_ASKED - 1) * DAY_MS


def _now(walk: Walk) -> int:
    return int(walk.patience.clock() * 1000)
