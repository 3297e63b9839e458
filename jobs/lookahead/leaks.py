"""What was found, in words: which value, at which bar, with and without the bars behind it."""

import math
from enum import StrEnum
from typing import NamedTuple

from schemas.config_values import time_text


class Fault(StrEnum):
    """Why a value is another one on cut input."""

    FUTURE = "reads the future"
    PIECES = "depends on how bars are cut into pieces"
    OUTSIDE = "keeps something outside of its state"


class Difference(NamedTuple):
    """A feature with and without the later bars, at the bar of a strategy's answer."""

    name: str
    whole: float | None
    without: float | None

    def as_dict(self) -> dict[str, str]:
        """Values as text, in full."""
        return {
            "name": self.name,
            "whole": value_text(self.whole),
            "without": value_text(self.without),
        }


class Leak(NamedTuple):
    """A feature's value or a strategy's answer that is not the run's, the first of its name.

    `close_ts` is the bar's close. `whole` and `without` are texts: with all bars of the run, and
    without those from `cut_ts` on; `behind` how many bars of the timeframe lay between, and `ahead`
    how many it takes for the run's value. `features` are a strategy's at that bar. `values` and
    `cuts` count all differences of the name, `symbols` where.
    """

    fault: Fault
    is_strategy: bool
    name: str
    timeframe: str
    symbol: str
    close_ts: int
    cut_ts: int | None
    whole: str
    without: str
    behind: int
    ahead: int
    features: tuple[Difference, ...]
    values: int
    cuts: int
    symbols: tuple[str, ...]


def told(leak: Leak) -> str:
    """The leak as a sentence or two."""
    kind = "strategy" if leak.is_strategy else "feature"
    verb = "answers" if leak.is_strategy else "is"
    who = f"{kind} {leak.name} ({leak.timeframe}) of {leak.symbol} at {time_text(leak.close_ts)}"
    if leak.fault is Fault.FUTURE:
        up_to = (
            "the bars up to its close" if not leak.behind else f"the next {_bars(leak.behind)} only"
        )
        text = (
            f"{who} {verb} {leak.without} with {up_to} and {leak.whole} with the next "
            f"{_bars(leak.ahead)}: it reads the future"
        )
    elif leak.fault is Fault.PIECES:
        text = (
            f"{who} {verb} {leak.whole} in the run and {leak.without} where the same bars are cut "
            f"into other pieces: {_pieces_advice(leak)}"
        )
    else:
        text = (
            f"{who} {verb} {leak.whole}, and {leak.without} when the same bars are computed once "
            f"more: {_outside_advice(leak)}"
        )
    return text + _blame(leak)


def counted(leak: Leak) -> str:
    """How often that was found."""
    things = "answers" if leak.is_strategy else "values"
    where = ", ".join(leak.symbols[:5]) + (", ..." if len(leak.symbols) > 5 else "")
    return f"{leak.values:,} {things} of {where} differ, all cuts together"


def _bars(number: int) -> str:
    return "1 bar" if number == 1 else f"{number} bars"


def _pieces_advice(leak: Leak) -> str:
    if leak.is_strategy:
        return (
            "a strategy may look back one bar and no further; make what it needs of the past a "
            "feature"
        )
    return "what it needs of earlier bars belongs into its state, and sums into one fixed order"


def _outside_advice(leak: Leak) -> str:
    if leak.is_strategy:
        return "it keeps something from call to call (a global?); make that a feature"
    return "it keeps something outside of its state (a global?); put that into the state"


def _blame(leak: Leak) -> str:
    """For a strategy, whether its features are the cause."""
    if not leak.features:
        return ""
    other = [one.name for one in leak.features if not same(one.whole, one.without)]
    if other:
        return f"; the leak is in {', '.join(other)}, which it reads"
    shown = ", ".join(f"{one.name} {value_text(one.whole)}" for one in leak.features)
    return f"; its features are the same in both ({shown}), so the strategy itself does"


def same(one: float | None, other: float | None) -> bool:
    """Equal, NaN being equal to NaN."""
    if one is None or other is None:
        return one is other
    return one == other or (math.isnan(one) and math.isnan(other))


def answer_text(answer: object) -> str:
    """A strategy's (action, size hint, confidence), or None."""
    if not isinstance(answer, tuple):
        return "nothing"
    action, size, confidence = answer
    text = "BUY" if action > 0 else "SELL"
    return text if size == confidence == 1 else f"{text} (size {size!r}, confidence {confidence!r})"


def value_text(value: float | None) -> str:
    """A value in full; NaN is null."""
    return "null" if value is None or math.isnan(value) else repr(float(value))
