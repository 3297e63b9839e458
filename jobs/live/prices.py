"""Bars as an input of live stages."""

import numpy as np

from jobs.live.stage import INSTANCE, Input, Values
from schemas.market import PRICE_1M_HISTORY
from udfs.bars import Bars
from udfs.plan import RunPlan

FEED = ("feed", INSTANCE)


def bars_input(plan: RunPlan) -> Input:
    """Bars of the plan's symbols to their symbol; a bar belongs to the tick at which it closes.

    Bars behind the feed's own progress are marked in the log, and nobody reads them.
    """
    names = {symbol.symbol for symbol in plan.symbols}
    return Input(
        table=PRICE_1M_HISTORY,
        columns=("symbol", "ts", "open", "high", "low", "close", "volume"),
        ts="ts",
        lag_ms=plan.base_ms,
        instance=lambda values: FEED,
        keys=lambda values: [str(values[0])] if values[0] in names else [],
        where="NOT `late`",
    )


def as_bars(rows: list[Values]) -> Bars:
    """Rows of `bars_input` as columns."""
    columns = list(zip(*rows, strict=True))[1:] if rows else [()] * 6
    return Bars(
        np.array(columns[0], dtype=np.int64),
        *(np.array(column, dtype=np.float64) for column in columns[1:]),
    )
