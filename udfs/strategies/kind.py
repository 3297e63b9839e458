"""What a kind of strategy is, and the comparisons that all kinds share."""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from udfs.bars import Bools, Floats
from udfs.plan import Params

Actions = npt.NDArray[np.int8]
Columns = Mapping[str, Floats]

BUY = 1
SELL = -1
NOISE = 1e-9  # two values closer than this, relative, count as equal


class Param(NamedTuple):
    """A parameter: `type` is 'period' (whole, >= 2), 'number' or 'timeframe'.

    `example` is a value that makes sense; the examples of a kind's parameters make sense together.
    """

    name: str
    type: str
    doc: str
    example: int | float | str


class Kind(NamedTuple):
    """A kind of strategy: a pure function of the columns of its features.

    `features(params)` names the columns that it reads, those of other timeframes as `15m:ema_50`.
    `signals(columns, params)` gets these, float64[n] each, row by row the final bars of the anchor
    timeframe, NaN where a feature is null, and answers int8[n]: BUY, SELL or 0. Row 0 is the bar
    before the first that is asked for: its answer is thrown away. So a kind may look back one bar
    and no further; what needs more of the past is a feature. An answer where one of its features
    is null counts as 0. `reasons` names the rule behind a BUY and behind a SELL. `problem` says
    why parameters make no sense together, or None. `sizes` gives each answer's size_hint, a factor
    of 0 or more on the account's size, and `confidences` how sure it is, 0 to 1: float64[n] from
    the same columns, 1.0 where they are None.
    """

    name: str
    doc: str
    version: str
    params: tuple[Param, ...]
    problem: Callable[[Params], str | None]
    features: Callable[[Params], tuple[str, ...]]
    signals: Callable[[Columns, Params], Actions]
    reasons: Callable[[Params], tuple[str, str]]
    sizes: Callable[[Columns, Params], Floats] | None = None
    confidences: Callable[[Columns, Params], Floats] | None = None


def above(a: Floats, b: Floats | float) -> Bools:
    """a > b by more than noise; False where either is null."""
    return a - b > NOISE * np.maximum(np.abs(a), np.abs(b))


def below(a: Floats, b: Floats | float) -> Bools:
    """a < b by more than noise; False where either is null."""
    return b - a > NOISE * np.maximum(np.abs(a), np.abs(b))


def turns_true(condition: Bools, known: Bools) -> Bools:
    """True where `condition` holds at t and did not at t-1, both bars being `known`."""
    turned = np.zeros(len(condition), dtype=np.bool_)
    turned[1:] = (condition[1:] > condition[:-1]) & known[1:] & known[:-1]
    return turned


def known(*columns: Floats) -> Bools:
    """Where none of the columns is null."""
    present: Bools = columns[0] == columns[0]  # NaN equals nothing
    for column in columns[1:]:
        present &= column == column
    return present


def actions(buy: Bools, sell: Bools) -> Actions:
    """BUY where `buy`, else SELL where `sell`, else 0."""
    answer = np.zeros(len(buy), dtype=np.int8)
    answer[sell] = SELL
    answer[buy] = BUY
    return answer


def number_text(number: float) -> str:
    """A parameter in a feature's name: 2 and 2.0 are `2`, 2.5 is `2.5`."""
    return str(int(number)) if float(number).is_integer() else repr(float(number))
