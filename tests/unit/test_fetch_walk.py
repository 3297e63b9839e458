"""Laws of a fetch: spans, and pages of any cut."""

import itertools

from hypothesis import given, settings
from hypothesis import strategies as st

from feeds.fetch_patience import Patience
from feeds.fetch_record import Span, missing, with_span, without_span
from feeds.fetch_venue import Answer, Market, Row
from feeds.fetch_walk import Walk, steps
from tests.venue import DAY, MINUTE

SPANS = st.builds(lambda start, length: Span(start, start + length), *[st.integers(0, 30)] * 2)


def members(spans: tuple[Span, ...]) -> set[int]:
    return {number for span in spans for number in range(span.start, span.end)}


@settings(max_examples=50)
@given(st.lists(SPANS, max_size=6), SPANS)
def test_spans_are_sets(many: list[Span], one: Span) -> None:
    done: tuple[Span, ...] = ()
    for span in many:
        done = with_span(done, span)
    assert members(done) == members(tuple(many))
    assert all(left.end < right.start for left, right in itertools.pairwise(done))
    assert members(missing(done, one)) == members((one,)) - members(done)
    assert members(without_span(done, one)) == members(done) - members((one,))


class Pages:
    """A venue in memory: `minutes` have a bar, a page is a window or goes on to the next bars."""

    name = "memory"

    def __init__(
        self, minutes: list[int], is_window: bool, before: int, has_days: bool, midnight: int
    ) -> None:
        self.minutes = minutes
        self.midnight = midnight  # the minute at which its days begin
        self.is_window = is_window
        self.before = before
        self._has_days = has_days

    def has_days(self) -> bool:
        return self._has_days

    def page(self, symbol: str, timeframe: str, since: int, limit: int) -> Answer:
        step, first_open = MINUTE, 0
        if timeframe == "1d":
            step, first_open = DAY, self.midnight * MINUTE
        opens = sorted(
            {(minute * MINUTE - first_open) // step * step + first_open for minute in self.minutes}
        )
        first = next((n for n, ts in enumerate(opens) if ts >= since), len(opens))
        page = opens[max(0, first - self.before) : first + limit]
        taken = [ts for ts in page if not self.is_window or ts < since + limit * step]
        return Answer(tuple(Row(ts, (1.0, 1.0, 1.0, 1.0, 0.0), "") for ts in taken), None)


@settings(max_examples=60)
@given(
    minutes=st.lists(st.integers(0, 6_000), max_size=12, unique=True).map(sorted),
    start=st.integers(0, 6_000),
    length=st.integers(1, 6_000),
    limit=st.sampled_from([200, 300, 1_000]),
    is_window=st.booleans(),
    before=st.integers(0, 3),
    has_days=st.booleans(),
    midnight=st.sampled_from([0, 960]),
)
def test_any_pages_give_every_bar_once(
    minutes: list[int],
    start: int,
    length: int,
    limit: int,
    is_window: bool,
    before: int,
    has_days: bool,
    midnight: int,
) -> None:
    pages = Pages(minutes, is_window, before, has_days, midnight)
    market = Market("A/B", "AB", "B", limit, None, None)
    patience = Patience(1, clock=lambda: 50_000 * 60)
    walk = Walk(pages, market, "1m", patience, print)  # type: ignore[arg-type]
    span = Span(start * MINUTE, (start + length) * MINUTE)
    taken = list(steps(walk, *span))
    found = [ts // MINUTE for step in taken for ts in step.bars.ts.tolist()]
    assert found == [minute for minute in minutes if start <= minute < start + length]
    assert taken[-1].done == span.end
    assert [step.done for step in taken] == sorted(step.done for step in taken)
