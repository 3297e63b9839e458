"""Whether anything in a run reads the future: its input is cut many times, and nothing may change.

For a cut at time k all bars with ts >= k are taken away, of all symbols. What the run on the rest
says of the bars before k (features of all timeframes, signals, decisions and matches) must be, bit
for bit, what the run on all bars said. What that run on the rest says is computed, not guessed:
from the state that the run carries at the start of the piece that holds k, which is the very
computation of the cut run from there on (jobs/lookahead/walk.py). Some of the cuts are also run
from the first bar on by the whole stages (jobs/lookahead/whole.py).

- Cuts at random are made in the run's own pieces, tens of thousands of bars long.
- Cuts in a row, and those right after signals, in pieces of some 2,000 bars. So the run is also
  held against itself in other pieces.

Only bars that count are looked at: one that the run rejects, or that comes late, is in neither.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from jobs.lookahead.compare import Tally
from jobs.lookahead.cuts import Asked, Cuts, choose
from jobs.lookahead.dense import Altered, bars_of, check_symbol, work_of
from jobs.lookahead.explain import explained
from jobs.lookahead.fold import Folded, MatchLeak, check_folds, fold_works
from jobs.lookahead.leaks import Leak
from jobs.lookahead.walk import Walk, walk_symbol
from jobs.lookahead.whole import check_whole
from jobs.sources import UNKNOWN, Task
from schemas.own_code import library
from udfs.errors import ConfigError
from udfs.frames import OHLCV
from udfs.plan import RunPlan

Progress = Callable[[int, int], None]  # bars and signals computed, and in all


class Checked(NamedTuple):
    """What was held against what, and what was found. Counts, except for:

    `cuts` the times of the cuts, `features` (timeframe, name), `strategies` ids, `first_ts` and
    `last_ts` the run's first and last bar (open times), `values` how many numbers were compared.
    """

    symbols: tuple[str, ...]
    bars: int
    first_ts: int
    last_ts: int
    cuts: Cuts
    features: tuple[tuple[str, str], ...]
    strategies: tuple[str, ...]
    signals: int
    silent: tuple[str, ...]
    folded: Folded
    values: int
    leaks: list[Leak]
    match_leaks: list[MatchLeak]

    @property
    def is_fine(self) -> bool:
        """Whether nothing was found."""
        return not self.leaks and not self.match_leaks


def look_ahead(
    plan: RunPlan, tasks: Sequence[Task], rows: int, asked: Asked, progress: Progress
) -> Checked:
    """A traced run of the plan over tasks of `rows` rows, and all its cuts.

    ConfigError where no bar counts, and where there is nothing to compare.
    """
    plan = plan._replace(trace=True)
    meter = Meter(progress, rows)
    own = library(plan.own)
    found = [walk_symbol(plan, task, own, meter.add) for task in tasks if task.symbol != UNKNOWN]
    walks = [walk for walk in found if walk is not None]
    if not walks:
        raise ConfigError("no bar counts, so there is nothing to check; see `tradeflow backtest`")
    return check_walks(plan, walks, asked, meter)


def check_walks(plan: RunPlan, walks: Sequence[Walk], asked: Asked, meter: "Meter") -> Checked:
    """All cuts of runs that were made."""
    cuts = choose(asked, walks)
    works = [work_of(walk, cuts) for walk in walks]
    bars = sum(len(walk.bars.ts) for walk in walks)
    wholes = [int(np.searchsorted(w.bars.ts, k)) for w in walks for k in cuts.whole]
    folds = fold_works(plan, walks, np.unique(np.concatenate(cuts)))
    meter.total = bars + sum(map(bars_of, walks, works)) + sum(wholes) + bars * bool(wholes)
    meter.total += sum(int(work.costs.sum()) for work in folds)
    tally = Tally()
    altered: list[Altered] = []
    for walk, work in zip(walks, works, strict=True):
        altered += check_symbol(walk, work, tally, meter.add)
    match_leaks = check_whole(plan, walks, cuts.whole, tally, meter.add)
    if not tally.values:
        raise ConfigError(f"{bars} bars are too few: no feature and no signal could be compared")
    folded = check_folds(plan, walks, folds, altered, meter.add)
    signalled = {int(one) for walk in walks for one in np.unique(walk.signals.strategy)}
    ids = [strategy.strategy_id for strategy in plan.strategies]
    return Checked(
        symbols=tuple(walk.symbol for walk in walks),
        bars=bars,
        first_ts=min(int(walk.bars.ts[0]) for walk in walks),
        last_ts=max(int(walk.bars.ts[-1]) for walk in walks),
        cuts=cuts,
        features=_features(walks),
        strategies=tuple(ids),
        signals=sum(len(walk.signals.ts) for walk in walks),
        silent=tuple(name for number, name in enumerate(ids) if number not in signalled),
        folded=folded,
        values=tally.values,
        leaks=explained(tally, walks),
        match_leaks=[*folded.leaks, *match_leaks],
    )


def _features(walks: Sequence[Walk]) -> tuple[tuple[str, str], ...]:
    """All (timeframe, feature) of the run, prices apart."""
    found = {
        (frame.length_ms, frame.timeframe, name)
        for walk in walks
        for frame in walk.frames.frames
        for name in frame.features.names
        if name not in OHLCV
    }
    return tuple((timeframe, name) for _, timeframe, name in sorted(found))


class Meter:
    """Bars that were computed, of how many."""

    def __init__(self, progress: Progress, total: int) -> None:
        self.progress, self.total, self.done = progress, total, 0

    def add(self, bars: int) -> None:
        """Some more."""
        self.done += bars
        self.progress(min(self.done, self.total), self.total)
