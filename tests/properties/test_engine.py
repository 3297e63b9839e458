"""The engine over streams: copies, old fills, keys in between, and state that is saved."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.properties.fill_cases import DAY_MS, TTL_MS, Engine, book, fills
from udfs.engine import Verdict
from udfs.rows import Fill
from udfs.state import dump, load_engine

FAST = settings(max_examples=80, deadline=None, derandomize=True, database=None)
randoms = st.randoms(use_true_random=False)


def with_copies(history: list[Fill], rng: random.Random) -> list[Fill]:
    """Every fill once, and copies of some that follow their first at any distance.

    Times are squeezed into the ttl, so that nothing is stale. Some copies differ in their ts.
    """
    squeezed = [fill._replace(ts=fill.ts * 7 // 30) for fill in history]
    stream = list(squeezed)
    for fill in rng.choices(squeezed, k=len(squeezed)) if squeezed else []:
        at = rng.randint(stream.index(fill) + 1, len(stream))
        stream.insert(at, fill._replace(ts=min(fill.ts + rng.choice((0, 0, 5)), TTL_MS)))
    return stream


@FAST
@given(fills(), randoms)
def test_a_repeated_fill_changes_nothing(history: list[Fill], rng: random.Random) -> None:
    stream = with_copies(history, rng)
    once = Engine().run([fill._replace(ts=fill.ts * 7 // 30) for fill in history])
    again = Engine().run(stream)
    assert (again.states, again.outputs) == (once.states, once.outputs)
    assert again.verdicts.count(Verdict.DUPLICATE) == len(stream) - len(history)


@FAST
@given(fills(), randoms)
def test_a_restart_that_reads_everything_again_changes_nothing(
    history: list[Fill], rng: random.Random
) -> None:
    squeezed = [fill._replace(ts=fill.ts * 7 // 30) for fill in history]
    engine = Engine().run(squeezed[: rng.randint(0, len(squeezed))]).run(squeezed)
    assert engine.outputs == Engine().run(squeezed).outputs


@FAST
@given(fills(), randoms, st.integers(1, 20))
def test_when_memory_is_cleaned_changes_no_verdict(
    history: list[Fill], rng: random.Random, stretch: int
) -> None:
    """Fills and copies at any times, in any order: stale, duplicate or new either way."""
    stream = [fill._replace(ts=fill.ts * stretch) for fill in history]
    stream += [
        fill._replace(ts=fill.ts + rng.choice((0, 0, -1, 1)) * rng.randint(0, 3 * TTL_MS))
        for fill in stream
    ]
    rng.shuffle(stream)
    kept, cleaned = Engine().run(stream), Engine(forget=True).run(stream)
    assert cleaned.verdicts == kept.verdicts
    assert cleaned.outputs == kept.outputs


KEYS = [("acct-1", "X"), ("acct-1", "Y"), ("acct-2", "X")]
histories_of_keys = st.tuples(*(fills(max_size=10, account=a, symbol=s) for a, s in KEYS))


@FAST
@given(histories_of_keys, randoms)
def test_any_interleaving_of_keys_gives_each_the_same(
    histories: tuple[list[Fill], ...], rng: random.Random
) -> None:
    waiting = [list(history) for history in histories]
    mixed = []
    while any(waiting):
        mixed.append(rng.choice([history for history in waiting if history]).pop(0))
    apart = Engine()
    for history in histories:
        apart.run(history)
    together = Engine().run(mixed)
    assert (together.outputs, together.states) == (apart.outputs, apart.states)


@FAST
@given(fills())
def test_saving_and_loading_after_every_fill_changes_nothing(history: list[Fill]) -> None:
    kept = Engine().run(history)
    loaded = Engine(carry=lambda state: load_engine(dump(state))).run(history)
    assert (loaded.outputs, loaded.states) == (kept.outputs, kept.states)
    assert [dump(s) for s in loaded.states.values()] == [dump(s) for s in kept.states.values()]


@FAST
@given(fills(), fills(max_size=3))
def test_booking_never_touches_what_it_was_given(history: list[Fill], more: list[Fill]) -> None:
    state, _ = book(history)
    before = dump(state)
    Engine().run(history + more)
    assert dump(state) == before


@pytest.mark.parametrize(
    ("later", "copy", "expected"),
    [
        (0, 0, Verdict.DUPLICATE),
        (TTL_MS, 0, Verdict.DUPLICATE),
        (TTL_MS + 1, 0, Verdict.STALE),
        (0, TTL_MS, Verdict.DUPLICATE),
        (0, TTL_MS + 1, Verdict.APPLY),
        (0, -TTL_MS, Verdict.DUPLICATE),
        (0, -TTL_MS - 1, Verdict.STALE),
        (TTL_MS + 5, 5, Verdict.DUPLICATE),
        (9 * DAY_MS, 4 * DAY_MS, Verdict.DUPLICATE),
    ],
)
def test_verdict_on_a_copy(later: int, copy: int, expected: Verdict) -> None:
    """A fill at 0, another `later`, then a copy of the first that says it is of `copy`."""
    first = Fill("a", "s", "o", "o:1", "X", 1, 1, 1, 0, 0, "USD", "TEST")
    stream = [first, first._replace(order_id="p", ts=later), first._replace(ts=copy)]
    assert Engine().run(stream).verdicts[-1] is expected


@pytest.mark.parametrize(
    ("behind", "expected"), [(TTL_MS, Verdict.APPLY), (TTL_MS + 1, Verdict.STALE)]
)
def test_verdict_on_a_late_fill(behind: int, expected: Verdict) -> None:
    newest = Fill("a", "s", "o", "o:1", "X", 1, 1, 1, 9 * DAY_MS, 0, "USD", "TEST")
    late = newest._replace(order_id="p", ts=newest.ts - behind)
    assert Engine().run([newest, late]).verdicts[-1] is expected


def test_copies_do_not_renew_the_memory() -> None:
    first = Fill("a", "s", "o", "o:1", "X", 1, 1, 1, 0, 0, "USD", "TEST")
    copies = [first._replace(ts=days * DAY_MS) for days in (5, 7, 8, 14, 16)]
    wanted = ["APPLY", "DUPLICATE", "DUPLICATE", "APPLY", "DUPLICATE", "APPLY"]
    assert [verdict.value for verdict in Engine().run([first, *copies]).verdicts] == wanted
