"""Where the input is cut: many times in a row, at random, and right after signals."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from jobs.lookahead.walk import Walk
from schemas.config_values import time_text
from udfs.bars import Ints
from udfs.errors import ConfigError

SHORT_ROWS = 2_048  # bars of a short piece: above the usual number of cuts in a row


class Asked(NamedTuple):
    """How many cuts, and where those in a row begin (`from_ts`; None: in the middle of the run).

    `after_signals` cuts lie right behind bars with a signal, as many for each strategy; `whole`
    of the cuts are run from the first bar on.
    """

    consecutive: int = 2_000
    random: int = 200
    seed: int = 1
    from_ts: int | None = None
    after_signals: int = 500
    whole: int = 5


class Cuts(NamedTuple):
    """Times (open times of bars): all bars from there on are taken away, of all symbols."""

    consecutive: Ints
    random: Ints
    after_signals: Ints
    whole: Ints


def choose(asked: Asked, walks: Sequence[Walk]) -> Cuts:
    """The cuts of a run. ConfigError where `from_ts` is behind its last bar."""
    # A cut at the first bar would leave nothing.
    times = np.unique(np.concatenate([walk.bars.ts for walk in walks]))[1:]
    generator = np.random.default_rng(asked.seed)
    consecutive = _consecutive(asked, walks, times)
    random = generator.choice(times, min(asked.random, len(times)), replace=False)
    after = _after_signals(asked.after_signals, walks, generator)
    whole = generator.choice(times, min(asked.whole, len(times)), replace=False)
    return Cuts(consecutive, np.sort(random), np.setdiff1d(after, consecutive), np.sort(whole))


def _consecutive(asked: Asked, walks: Sequence[Walk], times: Ints) -> Ints:
    """Times in a row: from where the user says, else around the middle, where signals are."""
    wanted = min(asked.consecutive, len(times))
    if asked.from_ts is not None:
        first = int(np.searchsorted(times, asked.from_ts))
        if first == len(times):
            last = f"; the run's last bar opens at {time_text(int(times[-1]))}" if first else ""
            raise ConfigError(f"--from: no bar to cut at from {time_text(asked.from_ts)} on{last}")
        return times[first : first + wanted]
    taken = _around(times, len(times) // 2, wanted)
    signals = np.sort(np.concatenate([walk.signals.ts for walk in walks]))
    if len(taken) and len(signals):
        inside = np.searchsorted(signals, (taken[0], taken[-1]))
        if inside[0] == inside[1]:
            middle = np.searchsorted(times, signals[len(signals) // 2])
            return _around(times, int(middle), wanted)
    return taken


def _around(times: Ints, middle: int, wanted: int) -> Ints:
    first = min(max(0, middle - wanted // 2), len(times) - wanted)
    return times[first : first + wanted]


def _after_signals(wanted: int, walks: Sequence[Walk], generator: np.random.Generator) -> Ints:
    """Cuts that leave a signal's bar as the last one, spread over the strategies."""
    times: dict[int, list[Ints]] = {}
    for walk in walks:
        # The bar that makes the signal's own final: the first that closes then or later.
        last = np.searchsorted(walk.closes, walk.signals.ts, side="left")
        known = last + 1 < len(walk.bars.ts)
        cuts = walk.bars.ts[last[known] + 1]
        strategies = walk.signals.strategy[known]
        for strategy in np.unique(strategies).tolist():
            times.setdefault(strategy, []).append(cuts[strategies == strategy])
    if not times or not wanted:
        return np.empty(0, dtype=np.int64)
    each = max(1, wanted // len(times))
    taken = []
    for _, parts in sorted(times.items()):
        found = np.unique(np.concatenate(parts))
        taken.append(generator.choice(found, min(each, len(found)), replace=False))
    found = np.unique(np.concatenate(taken))
    return np.sort(generator.choice(found, min(wanted, len(found)), replace=False))


def counts_of(walk: Walk, times: Ints) -> Ints:
    """How many bars of a symbol each cut leaves; each number once, ascending, without 0."""
    counts = np.unique(np.searchsorted(walk.bars.ts, times, side="left"))
    return counts[counts > 0]


def short_starts(walk: Walk, cuts: Cuts) -> Ints:
    """Where the short pieces start, one of them with the last bar before the cuts in a row."""
    origin = 0
    if len(cuts.consecutive):
        origin = int(np.searchsorted(walk.bars.ts, cuts.consecutive[0], side="left")) - 1
    starts = np.arange(max(origin, 0) % SHORT_ROWS, len(walk.bars.ts), SHORT_ROWS)
    return np.unique(np.concatenate(([0], starts)))
