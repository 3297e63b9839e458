"""Files of bars read as a backtest reads them, and put in the order of time over all symbols.

The same rows pass the same checks in the same order (jobs/symbol_stage.py), so that counts are
equal. Late bars are kept here: the log has them, marked.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from jobs.sources import PIECE_ROWS, PRICES, UNKNOWN, RawBars, Task, read_task, value_text
from jobs.symbol_stage import InputCounts, Reject, count_unknown
from udfs.bar_checks import VALID, BarState, check_bars
from udfs.bars import Bars, Bools, Floats, Ints
from udfs.plan import RunPlan

Report = Callable[[int], None]


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

    def __init__(self, plan: RunPlan, task: Task, report: Report) -> None:
        self.plan, self.task, self.report = plan, task, report
        self.counts = InputCounts()
        self.rejects: list[Reject] = []
        names = [symbol.symbol for symbol in plan.symbols]
        self._symbol = names.index(task.symbol) if task.symbol != UNKNOWN else -1

    def pieces(self) -> Iterator[Piece]:
        """The bars, piece by piece."""
        if self.task.symbol == UNKNOWN:
            self.counts = count_unknown(self.plan, self.task, self.report).counts
            return
        state = BarState()
        for raw in read_task(self.task, (), PIECE_ROWS):
            self.report(len(raw.rows))
            inside = self._inside(raw)
            count = self.counts
            self.counts = count._replace(
                rows=count.rows + len(raw.rows),
                out_of_range=count.out_of_range + int((~inside).sum()),
            )
            before = state.last_ts
            raw = raw if inside.all() else _filtered(raw, inside)
            state, checked = check_bars(state, raw.bars, raw.whole_ts, self.plan.base_ms)
            valid = checked.code == VALID
            self._count(raw, checked.late, checked.duplicate)
            self.rejects += rejects_of(raw, checked.code)
            written = valid & ~checked.duplicate
            newest = np.maximum.accumulate(np.where(valid, raw.bars.ts, before))
            newest = np.maximum(newest, before)
            yield self._piece(raw.bars, newest, checked.late, written)

    def _inside(self, raw: RawBars) -> Bools:
        """Rows within the run's range; a ts that is no whole number always is."""
        ts, plan = raw.bars.ts, self.plan
        inside = np.ones(len(ts), dtype=np.bool_)
        if plan.first_ts is not None:
            inside &= ts >= plan.first_ts
        if plan.end_ts is not None:
            inside &= ts < plan.end_ts
        return inside | ~raw.whole_ts

    def _count(self, raw: RawBars, late: Bools, duplicate: Bools) -> None:
        count = self.counts
        first = count.first_late
        if first is None and late.any():
            at = int(np.flatnonzero(late)[0])
            first = (raw.file, int(raw.rows[at]), self.task.symbol, int(raw.bars.ts[at]))
        self.counts = count._replace(
            late=count.late + int(late.sum()),
            duplicates=count.duplicates + int(duplicate.sum()),
            first_late=first,
        )

    def _piece(self, bars: Bars, newest: Ints, late: Bools, written: Bools) -> Piece:
        columns = (column[written] for column in bars)
        tick = newest[written] + self.plan.base_ms
        symbol = np.full(len(tick), self._symbol, dtype=np.int32)
        return Piece(tick, symbol, *columns, late[written])


def rejects_of(raw: RawBars, code: np.ndarray) -> list[Reject]:
    """The rows that failed a check, their values as text."""
    at = np.flatnonzero(code != VALID)
    rows = raw.table.take(pa.array(at)).to_pylist() if len(at) else []
    return [
        Reject(
            raw.file,
            int(raw.rows[i]),
            tuple(value_text(row[name]) for name in ("symbol", "ts", *PRICES)),
            int(code[i]),
        )
        for i, row in zip(at, rows, strict=True)
    ]


def _filtered(raw: RawBars, mask: Bools) -> RawBars:
    bars = Bars._make(column[mask] for column in raw.bars)
    table = raw.table.filter(pa.array(mask))
    return RawBars(bars, raw.whole_ts[mask], raw.file, raw.rows[mask], table)


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
