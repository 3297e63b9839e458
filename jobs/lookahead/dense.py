"""Features and signals of one symbol, held against those of the run on cut input."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from jobs.lookahead.compare import Tally, Way, compare
from jobs.lookahead.cuts import Cuts, counts_of, short_starts
from jobs.lookahead.walk import Answer, Reference, Walk, advance, cut_run
from udfs import dense
from udfs.bars import Ints
from udfs.signal_columns import Signals

Report = Callable[[int], None]
KEPT_ALTERED = 3  # cuts with other signals whose trades are looked at, per symbol


class Altered(NamedTuple):
    """A cut whose signals are not those of the run: the first `count` bars of a symbol."""

    symbol: str
    count: int
    start: int
    signals: Signals


class SymbolWork(NamedTuple):
    """Cuts of one symbol as numbers of bars that are left, and its short pieces."""

    long: Ints
    short: Ints
    starts: Ints


def work_of(walk: Walk, cuts: Cuts) -> SymbolWork:
    """What is to be done for a symbol."""
    short = counts_of(walk, np.concatenate([cuts.consecutive, cuts.after_signals]))
    return SymbolWork(counts_of(walk, cuts.random), short, short_starts(walk, cuts))


def bars_of(walk: Walk, work: SymbolWork) -> int:
    """How many bars that takes, for the progress."""
    total = len(walk.bars.ts)
    for counts, starts in ((work.long, walk.pieces.starts), (work.short, work.starts)):
        begun = starts[np.searchsorted(starts, counts, side="left") - 1]
        total += int((counts - begun).sum())
    return total


def check_symbol(walk: Walk, work: SymbolWork, tally: Tally, report: Report) -> list[Altered]:
    """Every cut of a symbol; those whose signals differ, the first of them."""
    reference = Reference(walk)
    altered: list[Altered] = []

    def hold(answer: Answer, way: Way) -> None:
        report(answer.count - answer.start)
        same = compare(walk, reference, answer, way, tally)
        if not same and len(altered) < KEPT_ALTERED:
            altered.append(Altered(walk.symbol, answer.count, answer.start, answer.signals))

    for count in work.long.tolist():
        hold(cut_run(walk, walk.pieces, count), Way.CUT)
    state = dense.initial_state(walk.frames)
    ends = [*work.starts[1:].tolist(), len(walk.bars.ts)]
    for start, end in zip(work.starts.tolist(), ends, strict=True):
        first, stop = np.searchsorted(work.short, (start, end), side="right")
        for count in work.short[first:stop].tolist():
            hold(advance(walk, state, start, count)[1], Way.SHORT)
        state, answer = advance(walk, state, start, end)
        hold(answer, Way.SHORT)
    return altered
