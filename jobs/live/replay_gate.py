"""The gate's decisions made again from the log, in the order of their seq.

Each decision says how many of the account's position changes were known before it, so what was
decided while a stage went on without another is decided again just so.
"""

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from udfs import tradepicker
from udfs.money import units
from udfs.plan import RunPlan
from udfs.rows import SIDE_OF_TEXT, Code, Decision, PositionChange, Signal
from udfs.tradepicker import GateParams, GateState

Row = Mapping[str, Any]


class Differs(NamedTuple):
    """A decision of the log that is not made again."""

    row: Row
    decision: Decision


def replay(
    plan: RunPlan, signals: Iterable[Row], decisions: Iterable[Row], changes: Iterable[Row]
) -> list[Differs]:
    """Decisions that differ. `decisions` are accepted and rejected rows, `changes` in log order."""
    symbols = {symbol.symbol: symbol for symbol in plan.symbols}
    by_id = {row["signal_id"]: row for row in signals}
    found: list[Differs] = []
    for account in plan.accounts:
        params = GateParams(account, plan.gate, symbols)
        name = account.account_id
        own = [change_of(row) for row in changes if row["account_id"] == name]
        rows = [row for row in decisions if row["account_id"] == name]
        gate: GateState = {}
        known = 0
        for row in sorted(rows, key=lambda one: one["seq"]):
            for change in own[known : row["changes"]]:
                gate, _ = tradepicker.apply_change(gate, change, params)
            known = max(known, row["changes"])
            gate, decision, _ = tradepicker.decide(gate, signal_of(by_id[row["signal_id"]]), params)
            if differs(row, decision):
                found.append(Differs(row, decision))
    return found


def differs(row: Row, decision: Decision) -> bool:
    """Whether a row says something else."""
    code = row.get("code") or Code.OK.value
    qty = None if row["qty"] is None else units(str(row["qty"]))
    counts = (row["open_symbols"], row["reserved_symbols"])
    mine = (decision.code.value, decision.qty, decision.open_symbols, decision.reserved_symbols)
    return (code, qty, *counts) != mine


def change_of(row: Row) -> PositionChange:
    """A row of position_change_history."""
    amounts = (units(str(row[n])) for n in ("fill_qty", "net_qty_before", "net_qty_after"))
    names = ("account_id", "strategy_id", "symbol", "seq", "order_id", "fill_id")
    side = SIDE_OF_TEXT[row["side"]]
    return PositionChange(*(row[name] for name in names), side, *amounts, row["ts"])


def signal_of(row: Row) -> Signal:
    """A row of strategy_signal_history."""
    return Signal(
        row["signal_id"],
        row["strategy_id"],
        row["symbol"],
        row["signal_ts"],
        SIDE_OF_TEXT[row["action"]],
        row["close"],
        row["size_hint"],
    )
