"""A verdict on the bars of a symbol, with its reasons in words.

`bad` is what a backtest would silently suffer from: rows that it drops (invalid, late, of another
value than the first of their time), prices that go away and come back within one bar, levels that
shift as by a split. `warn` is what a person should know: gaps, illiquid symbols, large moves.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from enum import IntEnum
from typing import NamedTuple

from feeds.quality import (
    FROZEN_BARS,
    MISSING_SHARE,
    NO_VOLUME_SHARE,
    Limits,
    Move,
    Moves,
    Quality,
)
from feeds.times import length_text

ENOUGH_BARS = 3


class Level(IntEnum):
    """How bad a symbol's bars are; the worst reason decides."""

    OK = 0
    WARN = 1
    BAD = 2


class Reason(NamedTuple):
    """One finding, in words."""

    level: Level
    text: str


class Verdict(NamedTuple):
    """The worst level of all reasons, and the reasons, worst first."""

    level: Level
    reasons: tuple[Reason, ...]


def judge(quality: Quality, limits: Limits, shortest_ms: int) -> Verdict:
    """The verdict; `shortest_ms` is the length of the shortest bars among all symbols."""
    reasons = [*_dropped(quality), *_prices(quality), *_gaps(quality, limits), *_trading(quality)]
    if quality.base_ms != shortest_ms:
        reasons.append(
            Reason(
                Level.BAD,
                f"bars of {length_text(quality.base_ms)} among others of "
                f"{length_text(shortest_ms)}: one run reads bars of one length",
            )
        )
    reasons.sort(key=lambda reason: -reason.level)
    level = max((reason.level for reason in reasons), default=Level.OK)
    return Verdict(level, tuple(reasons))


def _dropped(quality: Quality) -> list[Reason]:
    reasons = []
    if quality.bars < ENOUGH_BARS:
        reasons.append(Reason(Level.BAD, f"only {quality.bars} of {quality.rows} rows are bars"))
    for one in quality.rejected:
        level = Level.WARN if one.code == "DUPLICATE" else Level.BAD
        what = {
            "LATE": "rows after a later one, which a backtest drops",
            "CONFLICT": "rows that repeat a time with other values, which a backtest drops",
            "DUPLICATE": "rows that are there twice, which changes nothing",
        }.get(one.code, f"rows that are invalid ({one.code}), which a backtest drops")
        place = f"{one.file} row {one.row:,}" if one.file else f"row {one.first + 1:,}"
        reasons.append(Reason(level, f"{what}: {one.rows:,}, the first is {place}"))
    return reasons


def _prices(quality: Quality) -> list[Reason]:
    reasons = []
    if quality.spikes.count:
        text = f"the price goes away and comes back within one bar{_several(quality.spikes.count)}"
        reasons.append(Reason(Level.BAD, f"{text}: {_worst(quality.spikes)}"))
    if quality.levels.count:
        text = f"the level shifts{_several(quality.levels.count)}, as by a split or another unit"
        reasons.append(Reason(Level.BAD, f"{text}: {_worst(quality.levels)}"))
    if quality.wicks.count:
        text = f"a high or low is far off all other prices{_several(quality.wicks.count)}"
        reasons.append(Reason(Level.WARN, f"{text}: {_worst(quality.wicks)}"))
    if quality.jumps.count:
        text = f"large moves from close to close{_several(quality.jumps.count)}"
        reasons.append(Reason(Level.WARN, f"{text}: {_worst(quality.jumps)}"))
    return reasons


def _gaps(quality: Quality, limits: Limits) -> list[Reason]:
    gaps = quality.gaps
    reasons = []
    if gaps.over_limit:
        longest = f"{length_text(gaps.longest_ms)} after {at(gaps.longest_at)}"
        reasons.append(
            Reason(
                Level.WARN,
                f"gaps longer than {length_text(limits.gap_ms(quality.base_ms))}"
                f"{_several(gaps.over_limit)}: the longest {longest}",
            )
        )
    if gaps.missing_share > MISSING_SHARE:
        reasons.append(
            Reason(Level.WARN, f"{100 * gaps.missing_share:.0f} % of the bars are missing")
        )
    return reasons


def _trading(quality: Quality) -> list[Reason]:
    reasons = []
    if quality.bars and quality.no_volume_share > NO_VOLUME_SHARE:
        share = f"{100 * quality.no_volume_share:.0f} % of the bars"
        reasons.append(Reason(Level.WARN, f"{share} have no volume"))
    if quality.frozen_bars >= FROZEN_BARS:
        reasons.append(
            Reason(
                Level.WARN,
                f"the price stands still for {quality.frozen_bars:,} bars from "
                f"{at(quality.frozen_at)}",
            )
        )
    return reasons


def _several(count: int) -> str:
    return f" ({count:,} times)" if count > 1 else ""


def _worst(moves: Moves) -> str:
    return ", ".join(map(move_text, moves.worst))


def move_text(move: Move) -> str:
    """A move as people read it."""
    return f"{100 * move.change:+.1f} % at {at(move.ts)}"


def at(ts: int | None) -> str:
    """An open time, UTC."""
    return "" if ts is None else datetime.fromtimestamp(ts / 1000, UTC).strftime("%Y-%m-%d %H:%M")


def worst(verdicts: Sequence[Verdict]) -> Level:
    """The worst of several."""
    return max((verdict.level for verdict in verdicts), default=Level.OK)
