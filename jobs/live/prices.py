"""Bars as an input of live stages, and all of them that lie in the log."""

from typing import Any

import numpy as np

from jobs.live.stage import INSTANCE, Input, Journal
from schemas.codec import Values
from schemas.market import PRICE_1M_HISTORY
from udfs.bars import Bars
from udfs.plan import RunPlan

FEED = ("feed", INSTANCE)
COLUMNS = ("symbol", "ts", "open", "high", "low", "close", "volume")


class Log:
    """The bars of the log by symbol, from the first on: read once, when one is asked for.

    For stages whose features are others than those of the state that they have. It is all in memory
    until each symbol has been asked for.
    """

    def __init__(self, plan: RunPlan, journal: Journal) -> None:
        self._plan, self._journal = plan, journal
        self._rows: dict[str, list[tuple[Any, ...]]] | None = None

    def bars(self, symbol: str, tick: int) -> Bars:
        """The symbol's bars that closed before a tick, those that came late left out."""
        if self._rows is None:
            self._rows = {}
            for row in self._journal(PRICE_1M_HISTORY, 0):
                values = tuple(row[name] for name in COLUMNS)
                known = self._rows.setdefault(str(values[0]), [])
                # Bars that are not late ascend; one that does not is a row that was read twice.
                if not row["late"] and (not known or values[1] > known[-1][1]):
                    known.append(values)
        last = tick - 2 * self._plan.base_ms  # opening time of the bar that closes a tick earlier
        return as_bars([one for one in self._rows.pop(symbol, []) if one[1] <= last])


def as_bars(rows: list[Values]) -> Bars:
    """Rows of `bars_input` as columns."""
    columns = list(zip(*rows, strict=True))[1:] if rows else [()] * 6
    return Bars(
        np.array(columns[0], dtype=np.int64),
        *(np.array(column, dtype=np.float64) for column in columns[1:]),
    )


def bars_input(plan: RunPlan) -> Input:
    """Bars of the plan's symbols to their symbol; a bar belongs to the tick at which it closes.

    Bars behind the feed's own progress are marked in the log, and nobody reads them.
    """
    names = {symbol.symbol for symbol in plan.symbols}
    return Input(
        table=PRICE_1M_HISTORY,
        columns=COLUMNS,
        ts="ts",
        lag_ms=plan.base_ms,
        instance=lambda values: FEED,
        keys=lambda values: [str(values[0])] if values[0] in names else [],
        where="NOT `late`",
    )
