"""What a strategy answers at rows of its columns, as signals."""

from collections.abc import Callable

import numpy as np

from udfs.bars import Floats, Ints
from udfs.frames import Anchored
from udfs.plan import Params
from udfs.signal_columns import NO_NEXT, Actions, Signals
from udfs.strategies.kind import Columns


def answered(strategy: Anchored, columns: Columns, rows: slice) -> tuple[Actions, Ints]:
    """(the answers in these rows, the numbers of those that count: no feature is null there).

    `columns` are of all rows, each but the first with the one before it.
    """
    declared = {name: columns[name] for name in strategy.features}
    answers = strategy.kind.signals(declared, strategy.plan.params)[rows]
    at = answers.nonzero()[0]
    for name in strategy.features if len(at) else ():
        missing = np.isnan(columns[name][rows][at])
        if missing.any():
            at = at[~missing]
    return answers, at


def as_signals(
    strategy: Anchored, columns: Columns, rows: slice, at: Ints, ts: Ints, answers: Actions
) -> Signals:
    """The answers numbered `at` as signals, their next bar still unknown; `ts` is of `rows`."""
    declared = {name: columns[name] for name in strategy.features}
    return Signals(
        strategy=np.full(len(at), strategy.number, dtype=np.int32),
        ts=ts[at],
        action=answers[at],
        close=columns["close"][rows][at],
        size_hint=_factors(strategy.kind.sizes, declared, strategy.plan.params, rows, at),
        confidence=_factors(strategy.kind.confidences, declared, strategy.plan.params, rows, at),
        next_ts=np.full(len(at), NO_NEXT, dtype=np.int64),
        next_close=np.full(len(at), np.nan),
    )


def _factors(
    given: Callable[[Columns, Params], Floats] | None,
    columns: Columns,
    params: Params,
    rows: slice,
    at: Ints,
) -> Floats:
    """What a kind says of its answers in these rows, 1.0 where it says nothing."""
    return np.ones(len(at)) if given is None else given(columns, params)[rows][at]
