"""A process that stood still notices it, before and after its own next beat."""

import pytest

from jobs.live.pulse import LIMIT_S, Pulse
from udfs.errors import InvariantError


def test_standing_still_is_counted_once() -> None:
    now = [0.0]
    one = Pulse(lambda: now[0])
    before = one.stops()
    for _ in range(20):
        now[0] += 0.5
        one.beat()
        one.check(before)
    now[0] += LIMIT_S + 1
    with pytest.raises(InvariantError, match="stood still"):
        one.check(before)
    one.beat()
    with pytest.raises(InvariantError, match="stood still"):
        one.check(before)
    now[0] += 0.5
    one.check(one.stops())
    assert one.stops() == before + 1


def test_a_short_stop_is_none() -> None:
    now = [0.0]
    one = Pulse(lambda: now[0])
    now[0] += LIMIT_S - 1
    one.check(0)
    one.beat()
    assert one.stops() == 0
