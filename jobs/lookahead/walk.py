"""A symbol's run as the product makes it, and the same run on input that ends early.

The product reads bars in pieces and carries a state from each to the next. The run on cut input
makes the very same calls up to the piece that holds the cut, so it is computed from the state at
that piece's start: what comes out is what the cut run would have said, not an estimate of it.
"""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np

from jobs.sources import Task
from jobs.symbol_stage import Intake
from udfs import dense
from udfs.bars import Bars, Ints, cut
from udfs.dense import DenseState
from udfs.frames import IndicatorRows, SymbolFrames, symbol_frames
from udfs.library import Library
from udfs.plan import RunPlan
from udfs.signal_columns import NO_NEXT, Signals, concat_signals, no_signals

KEPT_PIECES = 3  # rows of the run that are held at a time, besides its bars and states


class Pieces(NamedTuple):
    """Where pieces of a symbol's bars start, int64[p] from 0, and the state before each."""

    starts: Ints
    states: tuple[DenseState, ...]

    def number_of(self, count: int) -> int:
        """The piece with the last of the first `count` bars (1 or more)."""
        return int(np.searchsorted(self.starts, count, side="left")) - 1


class Walk(NamedTuple):
    """One symbol's run: the bars that count, its pieces, its signals by (ts, strategy)."""

    symbol: str
    frames: SymbolFrames
    bars: Bars
    pieces: Pieces
    signals: Signals

    @property
    def closes(self) -> Ints:
        """Each bar's close time."""
        return self.bars.ts + self.frames.base_ms

    def end_of(self, piece: int) -> int:
        """The number of the first bar behind a piece."""
        starts = self.pieces.starts
        return int(starts[piece + 1]) if piece + 1 < len(starts) else len(self.bars.ts)


class Answer(NamedTuple):
    """What the run says at the end of bars [start, count), given the state before `start`."""

    start: int
    count: int
    rows: list[IndicatorRows]
    signals: Signals


def walk_symbol(
    plan: RunPlan, task: Task, library: Library, report: Callable[[int], None]
) -> Walk | None:
    """The run of one symbol in the product's own pieces; None where no bar counts."""
    return walk_bars(plan, task.symbol, library, Intake(plan, task).read(report))


def walk_bars(plan: RunPlan, symbol: str, library: Library, pieces: Iterator[Bars]) -> Walk | None:
    """As `walk_symbol`, of bars that were read and checked."""
    frames = symbol_frames(plan, symbol, library)
    state = dense.initial_state(frames)
    kept: list[Bars] = []
    states: list[DenseState] = []
    signals = [no_signals()]
    for bars in pieces:
        if not len(bars.ts):
            continue
        kept.append(bars)
        states.append(state)
        state, ready, _ = dense.advance(state, bars, frames)
        signals.append(ready)
    if not kept:
        return None
    signals.append(dense.finish(state))
    lengths = [len(bars.ts) for bars in kept]
    return Walk(
        symbol=symbol,
        frames=frames,
        bars=Bars._make(np.concatenate(columns) for columns in zip(*kept, strict=True)),
        pieces=Pieces(np.cumsum([0, *lengths[:-1]]), tuple(states)),
        signals=in_order(concat_signals(signals)),
    )


def in_order(signals: Signals) -> Signals:
    """Signals of one symbol by (ts, strategy): of each there is one."""
    order = np.lexsort((signals.strategy, signals.ts))
    return Signals._make(column[order] for column in signals)


def advance(walk: Walk, state: DenseState, start: int, count: int) -> tuple[DenseState, Answer]:
    """Bars [start, count) as one piece: the state after them, and what a run ending there says."""
    state, ready, rows = dense.advance(state, cut(walk.bars, start, count), walk.frames)
    signals = in_order(concat_signals([ready, dense.finish(state)]))
    return state, Answer(start, count, rows, signals)


def cut_run(walk: Walk, pieces: Pieces, count: int) -> Answer:
    """The run on the first `count` bars (1 or more), from its last piece on."""
    piece = pieces.number_of(count)
    return advance(walk, pieces.states[piece], int(pieces.starts[piece]), count)[1]


def expected_signals(walk: Walk, start: int, count: int) -> Signals:
    """The run's signals that bars [start, count) decide, or that wait for their next bar there.

    Those whose next bar lies behind the cut have none.
    """
    ts = walk.signals.ts
    first = 0 if start == 0 else int(np.searchsorted(ts, walk.bars.ts[start - 1], side="right"))
    last_ts = walk.bars.ts[count - 1]
    stop = int(np.searchsorted(ts, last_ts + walk.frames.base_ms, side="right"))
    taken = Signals._make(column[first:stop] for column in walk.signals)
    behind = taken.next_ts > last_ts
    if not behind.any():
        return taken
    return taken._replace(
        next_ts=np.where(behind, NO_NEXT, taken.next_ts),
        next_close=np.where(behind, np.nan, taken.next_close),
    )


class Reference:
    """The rows of a walk, computed again piece by piece as they are asked for."""

    def __init__(self, walk: Walk) -> None:
        self.walk = walk
        self._kept: dict[int, list[IndicatorRows]] = {}

    def piece(self, number: int) -> list[IndicatorRows]:
        """All rows that a piece of the run made final, per timeframe."""
        if number not in self._kept:
            while len(self._kept) >= KEPT_PIECES:
                del self._kept[min(self._kept)]
            self._kept[number] = self.computed(number)
        return self._kept[number]

    def computed(self, number: int) -> list[IndicatorRows]:
        """The same, computed once more."""
        walk = self.walk
        start = int(walk.pieces.starts[number])
        return advance(walk, walk.pieces.states[number], start, walk.end_of(number))[1].rows

    def rows(self, start: int, count: int) -> list[IndicatorRows]:
        """The rows that bars [start, count) made final, per timeframe."""
        walk = self.walk
        first_piece = walk.pieces.number_of(start + 1)
        parts = [self.piece(n) for n in range(first_piece, walk.pieces.number_of(count) + 1)]
        closes = walk.closes
        after = None if start == 0 else closes[start - 1]
        return [
            _between([part[frame] for part in parts], after, closes[count - 1])
            for frame in range(len(walk.frames.frames))
        ]


def _between(parts: list[IndicatorRows], after: int | None, until: int) -> IndicatorRows:
    """Rows of consecutive pieces with after < ts <= until; a window is final with its close."""
    taken = []
    for part in parts:
        first = 0 if after is None else int(np.searchsorted(part.ts, after, side="right"))
        stop = int(np.searchsorted(part.ts, until, side="right"))
        columns = {name: column[first:stop] for name, column in part.columns.items()}
        taken.append(IndicatorRows(part.timeframe, part.ts[first:stop], columns))
    if len(taken) == 1:
        return taken[0]
    return IndicatorRows(
        taken[0].timeframe,
        np.concatenate([part.ts for part in taken]),
        {name: np.concatenate([part.columns[name] for part in taken]) for name in taken[0].columns},
    )
