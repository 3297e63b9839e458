"""The monitor: what open positions are worth at the last closes, and what accounts are worth.

Key: symbol. State: its last close and the positions that are open in it. A new close marks all of
them again, a change of a position that one. Invariant: a mark is close x net_qty - open_cost of the
newest close and the newest change, in whatever order they came.
"""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from udfs.money import UNIT, narrow, round_half_even

STATE_VERSION = 1

Owner = tuple[str, str]  # account and strategy


class Position(NamedTuple):
    """An open position as the rollup has it, in units; `updated_ts` of its newest fill."""

    net_qty: int
    avg_price: int
    open_cost: int
    updated_ts: int


class SymbolState(NamedTuple):
    """A symbol's last close, rounded to its tick (None before the first), and who holds it."""

    close: int | None = None
    close_ts: int = 0
    positions: Mapping[Owner, Position] = {}


class Mark(NamedTuple):
    """A position at a close, in units. `exposure`: close x net_qty, below 0 for a short one.

    `ts` is the close's time, or that of the position's newest fill where that came later.
    """

    owner: Owner
    position: Position
    close: int
    unrealized: int
    exposure: int
    ts: int


EMPTY = SymbolState()


def on_close(state: SymbolState, close: int, close_ts: int) -> tuple[SymbolState, list[Mark]]:
    """The state after a bar's close, and all positions marked; an older bar changes nothing."""
    if state.close is not None and close_ts <= state.close_ts:
        return state, []
    state = state._replace(close=close, close_ts=close_ts)
    return state, marks(state)


def on_position(
    state: SymbolState, owner: Owner, position: Position | None
) -> tuple[SymbolState, Mark | None]:
    """The state after a position has changed or ended (None), and its mark.

    There is no mark of one that has ended, nor before the first close.
    """
    others = {name: held for name, held in state.positions.items() if name != owner}
    if position is None:
        return state._replace(positions=others), None
    state = state._replace(positions={**others, owner: position})
    return state, None if state.close is None else mark(state, owner)


def marks(state: SymbolState) -> list[Mark]:
    """All positions at the last close, by owner."""
    return [] if state.close is None else [mark(state, owner) for owner in sorted(state.positions)]


def mark(state: SymbolState, owner: Owner) -> Mark:
    """A position at the last close, 0 before the first."""
    position, close = state.positions[owner], state.close or 0
    exposure = close * position.net_qty
    return Mark(
        owner=owner,
        position=position,
        close=close,
        unrealized=narrow(exposure - position.open_cost * UNIT),
        exposure=narrow(exposure),
        ts=max(state.close_ts, position.updated_ts),
    )


class Total(NamedTuple):
    """Marks of one owner together, in units: profit and exposure as sums, how many there are."""

    unrealized: int
    exposure: int
    positions: int


class Account(NamedTuple):
    """An account's money in one currency, in units.

    `settled` is its start capital with all that was realized, less every fee paid so far.
    """

    settled: int
    unrealized: int
    gross: int

    @property
    def equity(self) -> int:
        """What it is worth at the last closes."""
        return self.settled + self.unrealized

    @property
    def drawdown(self) -> int:
        """How far its open positions pull it below what is settled; 0 where they don't."""
        return max(0, -self.unrealized)

    @property
    def drawdown_ratio(self) -> int | None:
        """The same as a share of what is settled, in units; None where nothing is."""
        return _share(self.drawdown, self.settled)

    @property
    def exposure_ratio(self) -> int | None:
        """What its positions are worth, long or short, as a share of its equity, in units."""
        return _share(self.gross, self.equity)


def _share(part: int, whole: int) -> int | None:
    return round_half_even(part * UNIT, whole) if whole > 0 else None


def totals(found: Iterable[Mark]) -> dict[Owner, Total]:
    """The marks of each owner together."""
    sums: dict[Owner, Total] = {}
    for one in found:
        before = sums.get(one.owner, Total(0, 0, 0))
        sums[one.owner] = Total(
            before.unrealized + one.unrealized,
            before.exposure + one.exposure,
            before.positions + 1,
        )
    return sums


def largest(unrealized: Mapping[str, int], count: int) -> list[str]:
    """The symbols with the largest profit or loss, the largest first; ties by name."""
    return sorted(unrealized, key=lambda name: (-abs(unrealized[name]), name))[:count]
