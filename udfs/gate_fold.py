"""The gate over an account's whole history: signals and changes of position in order of events.

The bounded form of what the live gate does with its two streams. Positions do not depend on the
gate, so the changes may be told first.
"""

from collections.abc import Iterable
from typing import NamedTuple

from udfs import engine, tradepicker
from udfs.engine import EngineState, Verdict
from udfs.rows import Decision, Fill, PositionChange, Signal, fill_order, signal_order
from udfs.tradepicker import GateParams, GateState


class Gated(NamedTuple):
    """Decisions in the order of their signals, and how many fills went over the cap."""

    decisions: list[Decision]
    over_cap: int


def position_changes(fills: Iterable[Fill], ttl_ms: int) -> tuple[list[PositionChange], int]:
    """What an account's fills change, in the order of events; how many copies were left out."""
    states: dict[tuple[str, str], EngineState] = {}
    seen: dict[tuple[str, str, str, str], int] = {}
    changes: list[PositionChange] = []
    copies = 0
    for fill in sorted(fills, key=fill_order):
        key = (fill.strategy_id, fill.symbol)
        pair = (*key, fill.order_id, fill.fill_id)
        state = states.get(key, engine.EMPTY)
        if engine.verdict(state, fill, seen.get(pair), ttl_ms) is not Verdict.APPLY:
            copies += 1
            continue
        seen[pair] = fill.ts
        states[key], change = engine.count(state, fill)
        changes.append(change)
    return changes, copies


def fold(signals: Iterable[Signal], changes: Iterable[PositionChange], params: GateParams) -> Gated:
    """The decisions on an account's signals; `changes` in the order of events.

    At equal time changes apply before signals.
    """
    state: GateState = {}
    decisions: list[Decision] = []
    over_cap = 0
    waiting = list(changes)
    waiting.reverse()
    for signal in sorted(signals, key=signal_order):
        while waiting and waiting[-1].ts <= signal.ts:
            state, passed = tradepicker.apply_change(state, waiting.pop(), params)
            over_cap += passed
        state, decision, _ = tradepicker.decide(state, signal, params)
        decisions.append(decision)
    while waiting:
        state, passed = tradepicker.apply_change(state, waiting.pop(), params)
        over_cap += passed
    return Gated(decisions, over_cap)
