"""Files of bars read as a backtest reads them, and put in the order of time over all symbols.

The same rows pass the same checks in the same order (jobs/symbol_stage.py), so that counts are
equal. Late bars are kept here: the log has them, marked.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from jobs.sources import PIECE_ROWS, UNKNOWN, Task
from jobs.symbol_stage import InputCounts, Intake, Reject, Report, count_unknown
from udfs.bar_checks import VALID
from udfs.bars import Bools, Floats, Ints
from udfs.plan import RunPlan


class Piece(NamedTuple):
    """Bars in the order in which they are written.

    `tick` int64[n], not descending: the close of the bar, of a late one that of the newest bar
    before it. `symbol` int32[n] its number in the plan.
    """

    tick: Ints
    symbol: np.ndarray
    ts: Ints
    open: Floats
    high: Floats
    low: Floats
    close: Floats
    volume: Floats
    late: Bools


class SymbolReader:
    """The rows of a task: bars, rejects since they were last taken, and counts."""

    def __init__(
        self, plan: RunPlan, task: Task, report: Report, piece_rows: int = PIECE_ROWS
    ) -> None:
        self._plan, self._task, self._report, self._piece_rows = plan, task, report, piece_rows
        self._intake = Intake(plan, task)

    @property
    def rejects(self) -> list[Reject]:
        """Rows that failed a check; whoever takes them empties the list."""
        return self._intake.rejects

    @property
    def counts(self) -> InputCounts:
        """What was read so far."""
        return self._intake.counts

    def pieces(self) -> Iterator[Piece]:
        """The bars, piece by piece."""
        if self._task.symbol == UNKNOWN:
            self._intake.counts = count_unknown(self._plan, self._task, self._report).counts
            return
        number = [symbol.symbol for symbol in self._plan.symbols].index(self._task.symbol)
        for before, raw, checked in self._intake.check(self._report, self._piece_rows):
            valid = checked.code == VALID
            newest = np.maximum.accumulate(np.where(valid, raw.bars.ts, before.last_ts))
            written = valid & ~checked.duplicate
            tick = np.maximum(newest, before.last_ts)[written] + self._plan.base_ms
            columns = (column[written] for column in raw.bars)
            symbol = np.full(len(tick), number, dtype=np.int32)
            yield Piece(tick, symbol, *columns, checked.late[written])


def merged(readers: Sequence[SymbolReader]) -> Iterator[Piece]:
    """The bars of all readers in the order of (tick, late ones last, symbol).

    No tick is divided between two pieces.
    """
    sources = [reader.pieces() for reader in readers]
    held: list[list[Piece]] = [[] for _ in sources]
    open_ones = set(range(len(sources)))
    while open_ones:
        for number in sorted(open_ones):
            if not held[number]:
                _load(sources, held, open_ones, number)
        ends = {number: int(held[number][-1].tick[-1]) for number in open_ones}
        if not ends:
            break
        # Late bars of a source's last tick may come with its next piece.
        bound = min(ends.values())
        if any(pieces and pieces[0].tick[0] < bound for pieces in held):
            yield _take(held, bound)
        else:
            for number in [number for number, last in ends.items() if last == bound]:
                _load(sources, held, open_ones, number)
    if any(held):
        yield _take(held, None)


def _load(
    sources: Sequence[Iterator[Piece]], held: list[list[Piece]], open_ones: set[int], number: int
) -> None:
    """Add the source's next piece that is not empty; a source that has ended is open no more."""
    for piece in sources[number]:
        if len(piece.tick):
            held[number].append(piece)
            return
    open_ones.discard(number)


def _take(held: list[list[Piece]], bound: int | None) -> Piece:
    """All rows of ticks before the bound, in order; they are held no more."""
    taken: list[Piece] = []
    for number, pieces in enumerate(held):
        left: list[Piece] = []
        for piece in pieces:
            cut = len(piece.tick) if bound is None else int(np.searchsorted(piece.tick, bound))
            taken.append(Piece._make(column[:cut] for column in piece))
            if cut < len(piece.tick):
                left.append(Piece._make(column[cut:] for column in piece))
        held[number] = left
    together = Piece._make(np.concatenate(columns) for columns in zip(*taken, strict=True))
    order = np.lexsort((together.symbol, together.late, together.tick))
    return Piece._make(column[order] for column in together)
