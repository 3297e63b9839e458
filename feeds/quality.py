"""Measures of the bars of a symbol: gaps, jumps, spikes, wicks, frozen prices.

A move counts where it exceeds both an absolute floor and MOVE_SCALES times the usual move, which
is the median of all moves that are not 0. A spike must also exceed CALM_SCALES times the moves
around it. Measured on a year of bars of seven pairs of a crypto venue: in bars of 1m moves go up to
6 %, those that revert to 3 %, frozen prices to 28 bars; in bars of 5m and 1h moves of 5 to 6 %
revert, amid others of a fifth of them or more.
"""

import math
from typing import NamedTuple

import numpy as np

from udfs.bar_checks import BAR_CODES, BarState, check_bars
from udfs.bars import Bars, Bools, Floats, Ints

MOVE_SCALES = 20
MOVE_FLOOR = 0.05  # of log prices, as all moves here
WICK_FLOOR = 0.10
LEVEL_FLOOR = 0.40  # a split of 2 to 1 is 0.69, of 3 to 2 0.41
REVERTS = 0.5  # a spike leaves less than this share of itself
AROUND, OTHERS = 10, 5  # moves on each side of a spike; as many of them, less one, may be large
CALM_SCALES = 8
MAX_GAP_BARS = 60
MISSING_SHARE = 0.05
FROZEN_BARS = 60
NO_VOLUME_SHARE = 0.5
SHOWN = 3
MOST_MOVE = 700.0  # the largest of which a share fits a double


class Limits(NamedTuple):
    """What a person may set: floors as shares of a price, the longest gap that needs no word."""

    max_gap_ms: int | None = None  # None: MAX_GAP_BARS bars
    max_jump: float = MOVE_FLOOR
    max_spike: float = MOVE_FLOOR

    def gap_ms(self, base_ms: int) -> int:
        """The longest gap that needs no word, between bars of this length."""
        return MAX_GAP_BARS * base_ms if self.max_gap_ms is None else self.max_gap_ms


class Move(NamedTuple):
    """A move of the price: the bar that it ends in, and how much as a share (0.05 is 5 %)."""

    ts: int
    change: float


class Moves(NamedTuple):
    """All moves of a kind that count, and the largest of them."""

    count: int
    worst: tuple[Move, ...]


class Gaps(NamedTuple):
    """Where bars are missing between the first and the last one. `longest_at`: its last bar."""

    count: int
    missing: int
    missing_share: float
    longest_ms: int
    longest_at: int | None
    over_limit: int


class Rejected(NamedTuple):
    """Rows under one code, and where the first of them is: the index among all of the symbol, and
    the file and row (from 1) where these are known."""

    code: str
    rows: int
    first: int
    file: str = ""
    row: int = 0


class Quality(NamedTuple):
    """Bars of one symbol, measured. `rows` are all, `bars` those that a backtest would use."""

    symbol: str
    base_ms: int
    rows: int
    bars: int
    first_ts: int | None
    last_ts: int | None
    rejected: tuple[Rejected, ...]
    gaps: Gaps
    largest: Move | None
    jumps: Moves
    levels: Moves
    spikes: Moves
    wicks: Moves
    no_volume_share: float
    frozen_bars: int
    frozen_at: int | None


def measure(symbol: str, bars: Bars, whole_ts: Bools, base_ms: int, limits: Limits) -> Quality:
    """All measures of a symbol's rows, given in the order in which a backtest reads them."""
    _, checked = check_bars(BarState(), bars, whole_ts, base_ms)
    kept = checked.bars
    steps = np.diff(kept.ts) // base_ms
    moves = np.diff(np.log(kept.close))
    usual = _usual(moves[steps == 1])
    limit = MOVE_SCALES * usual * np.sqrt(steps)
    spike = max(float(np.log1p(limits.max_spike)), MOVE_SCALES * usual)
    spikes = _spikes(kept, moves, spike)
    # The two moves of a spike are told as one, as a spike.
    single = ~(spikes[1:] | spikes[:-1]) if len(moves) else np.empty(0, np.bool_)
    is_level = single & (np.abs(moves) >= np.maximum(LEVEL_FLOOR, limit))
    shares = np.abs(np.expm1(np.minimum(moves, MOST_MOVE)))
    is_large = (np.abs(moves) >= limit) & (shares >= limits.max_jump)
    is_jump = single & ~is_level & is_large
    wicks = _wicks(kept)
    is_wick = np.abs(wicks) >= max(WICK_FLOOR, 2 * MOVE_SCALES * usual)
    largest = int(np.argmax(np.abs(moves) * single)) if single.any() else None
    run, run_at = _frozen(kept)
    return Quality(
        symbol,
        base_ms,
        len(bars.ts),
        len(kept.ts),
        int(kept.ts[0]) if len(kept.ts) else None,
        int(kept.ts[-1]) if len(kept.ts) else None,
        _rejected(bars, checked.code, checked.late, checked.duplicate, kept),
        _gaps(kept.ts, steps, base_ms, limits.gap_ms(base_ms)),
        None if largest is None else Move(int(kept.ts[largest + 1]), _share(moves[largest])),
        _moves(kept.ts[1:], moves, is_jump),
        _moves(kept.ts[1:], moves, is_level),
        _moves(kept.ts, _deviations(kept), spikes),
        _moves(kept.ts, wicks, is_wick & ~spikes),
        float(np.mean(kept.volume == 0)) if len(kept.ts) else 0.0,
        run,
        run_at,
    )


def _log(prices: Floats, others: Floats) -> Floats:
    """The moves to prices from others; of any size, where a ratio of the two may not fit."""
    return np.log(prices) - np.log(others)


def _share(move: float) -> float:
    return math.expm1(min(move, MOST_MOVE))


def _usual(moves: Floats) -> float:
    sizes = np.abs(moves[moves != 0])
    return float(np.median(sizes)) if len(sizes) else 0.0


def _moves(ts: Ints, moves: Floats, which: Bools) -> Moves:
    at = np.flatnonzero(which)
    worst = at[np.argsort(-np.abs(moves[at]), kind="stable")[:SHOWN]]
    return Moves(len(at), tuple(Move(int(ts[i]), _share(moves[i])) for i in worst))


def _rejected(
    bars: Bars, code: np.ndarray, late: Bools, duplicate: Bools, kept: Bars
) -> tuple[Rejected, ...]:
    """Rows that a backtest leaves out, by code; equal ones of one time apart from others."""
    same = duplicate.copy()
    at = np.searchsorted(kept.ts, bars.ts[duplicate])
    for mine, theirs in zip(bars[1:], kept[1:], strict=True):
        same[duplicate] &= mine[duplicate] == theirs[at]
    groups = [(one.value, code == number) for number, one in enumerate(BAR_CODES)]
    groups += [("LATE", late), ("CONFLICT", duplicate & ~same), ("DUPLICATE", same)]
    return tuple(
        Rejected(name, int(np.count_nonzero(rows)), int(np.argmax(rows)))
        for name, rows in groups
        if rows.any()
    )


def _gaps(ts: Ints, steps: Ints, base_ms: int, max_gap_ms: int) -> Gaps:
    if not len(steps):
        return Gaps(0, 0, 0.0, 0, None, 0)
    missing = int(np.sum(steps - 1))
    longest = int(np.argmax(steps))
    return Gaps(
        int(np.count_nonzero(steps > 1)),
        missing,
        missing / (len(ts) + missing),
        int(steps[longest] - 1) * base_ms,
        int(ts[longest]) if steps[longest] > 1 else None,
        int(np.count_nonzero((steps - 1) * base_ms > max_gap_ms)),
    )


def _deviations(bars: Bars) -> Floats:
    """How far each bar's close, or its open, is off the close before it."""
    deviations = np.zeros(len(bars.ts))
    if len(deviations) > 1:
        closes = _log(bars.close[1:], bars.close[:-1])
        opens = _log(bars.open[1:], bars.close[:-1])
        deviations[1:] = np.where(np.abs(closes) >= np.abs(opens), closes, opens)
    return deviations


def _spikes(bars: Bars, moves: Floats, limit: float) -> Bools:
    """Bars whose close goes away from the one before and comes back, or whose open does.

    Real prices do that too where all is in motion; so the moves around must be small beside it.
    """
    spikes = np.zeros(len(bars.ts), dtype=np.bool_)
    if not len(moves):
        return spikes
    opens = _log(bars.open[1:], bars.close[:-1])
    size = np.zeros(len(bars.ts))
    size[1:] = _reverting(opens, moves - opens)
    size[1:-1] = np.maximum(size[1:-1], _reverting(moves[:-1], moves[1:]))
    sizes = np.abs(moves)
    for bar in np.flatnonzero(size >= limit).tolist():
        before, after = sizes[max(0, bar - 1 - AROUND) : max(0, bar - 1)], sizes[bar + 1 :]
        around = np.sort(np.concatenate([before, after[:AROUND]]))
        calm = float(around[-min(len(around), OTHERS)]) if len(around) else 0.0
        spikes[bar] = size[bar] >= CALM_SCALES * calm
    return spikes


def _reverting(away: Floats, back: Floats) -> Floats:
    """The size of moves that are taken back by the next, 0 where they are not."""
    smaller = np.minimum(np.abs(away), np.abs(back))
    is_back = (away * back < 0) & (np.abs(away + back) < REVERTS * smaller)
    return np.where(is_back, smaller, 0.0)


def _wicks(bars: Bars) -> Floats:
    """How far a high is above, or a low below, all other prices of the bar and its neighbours."""
    wicks = np.zeros(len(bars.ts))
    if len(wicks) < 3:
        return wicks
    inner = [column[1:-1] for column in (bars.open, bars.close)]
    tops = np.maximum.reduce([*inner, bars.high[:-2], bars.high[2:]])
    bottoms = np.minimum.reduce([*inner, bars.low[:-2], bars.low[2:]])
    up, down = _log(bars.high[1:-1], tops), _log(bars.low[1:-1], bottoms)
    wicks[1:-1] = np.where(up >= -down, np.maximum(up, 0), np.minimum(down, 0))
    return wicks


def _frozen(bars: Bars) -> tuple[int, int | None]:
    """The most bars in a row at one and the same price, and the first of them."""
    if not len(bars.ts):
        return 0, None
    is_flat = (bars.high == bars.low) & (bars.open == bars.close)
    goes_on = np.zeros(len(bars.ts), dtype=np.bool_)
    goes_on[1:] = is_flat[1:] & is_flat[:-1] & (bars.close[1:] == bars.close[:-1])
    starts = np.flatnonzero(~goes_on)
    lengths = np.diff(np.append(starts, len(goes_on)))
    longest = int(np.argmax(lengths))
    if lengths[longest] == 1:
        return 0, None
    return int(lengths[longest]), int(bars.ts[starts[longest]])
