"""The gate live: signals, position changes and ends of orders → accepted and rejected rows.

Reads strategy_signal_history, position_change_history, order_status_history (orders that ended
without a fill) and progress of every strategy, the engine and the broker. Key: account. State: the
gate's (udfs/state.py) and the number of its last decision. At one tick changes come before signals.
"""

import json
from collections.abc import Mapping
from functools import partial
from typing import NamedTuple

from jobs.live.stage import INSTANCE, Arrived, Bundle, Input, Memory, Row, Stage, Upstream, Worked
from schemas.codec import Values, amount, encode
from schemas.signals import (
    ACCEPTED_TRADE_SIGNAL_HISTORY,
    REJECTED_TRADE_SIGNAL_HISTORY,
    STRATEGY_SIGNAL_HISTORY,
)
from schemas.trading import ORDER_STATUS_HISTORY, POSITION_CHANGE_HISTORY
from udfs import tradepicker
from udfs.errors import InvariantError
from udfs.plan import AccountPlan, RunPlan
from udfs.rows import (
    SIDE_OF_TEXT,
    SIDE_TEXT,
    Code,
    Decision,
    OrderEnd,
    PositionChange,
    Signal,
    signal_order,
)
from udfs.state import dump, load_gate
from udfs.tradepicker import GateParams, GateState

NAME = "tradepicker"
STATE_VERSION = 1
SIGNALS, CHANGES, ENDS = range(3)
ACCEPTED, REJECTED = range(2)
ENGINE = ("engine", INSTANCE)
BROKER_ENDS = ("broker", "ends")
UNFILLED = ("CANCELLED", "REJECTED", "EXPIRED")


class Held(NamedTuple):
    """An account's state: what the gate knows, and how many decisions it made."""

    gate: GateState
    seq: int


def stage(plan: RunPlan, patience_ms: int | None) -> Stage:
    """The stage of the plan's accounts."""
    accounts = {account.account_id: account for account in plan.accounts}
    families = {one.strategy_id: one.family_id for one in plan.strategies}
    symbols = {symbol.symbol: symbol for symbol in plan.symbols}
    params = {name: GateParams(one, plan.gate, symbols) for name, one in accounts.items()}
    waited = [Upstream("strategies", family) for family in sorted(set(families.values()))]
    if any(account.broker == "paper" for account in plan.accounts):
        waited += [Upstream(*ENGINE), Upstream(*BROKER_ENDS)]
    return Stage(
        name=NAME,
        inputs=inputs(accounts, families),
        upstreams=tuple(waited),
        outputs=(ACCEPTED_TRADE_SIGNAL_HISTORY, REJECTED_TRADE_SIGNAL_HISTORY),
        instances=(INSTANCE,),
        base_ms=plan.base_ms,
        patience_ms=patience_ms,
        wake=lambda tick: [],
        work=partial(work, plan.run_id, params),
    )


def inputs(
    accounts: Mapping[str, AccountPlan], families: Mapping[str, str]
) -> tuple[Input, Input, Input]:
    """Signals to every account that follows; what became of orders to their own account."""

    def counted(values: Values, name: tuple[str, str]) -> tuple[str, str] | None:
        account = accounts.get(str(values[0]))
        return name if account is None or account.broker == "paper" else None

    def own(values: Values) -> list[str]:
        return [str(values[0])] if values[0] in accounts else []

    return (
        Input(
            table=STRATEGY_SIGNAL_HISTORY,
            columns=(
                *("signal_id", "strategy_id", "symbol", "signal_ts"),
                *("action", "close", "size_hint"),
            ),
            ts="signal_ts",
            lag_ms=0,
            instance=lambda values: ("strategies", families.get(str(values[1]), "")),
            keys=lambda values: [
                name for name, one in accounts.items() if values[1] in one.strategies
            ],
        ),
        Input(
            table=POSITION_CHANGE_HISTORY,
            columns=(
                *("account_id", "strategy_id", "symbol", "seq", "order_id", "fill_id", "side"),
                *("fill_qty", "net_qty_before", "net_qty_after", "ts"),
            ),
            ts="ts",
            lag_ms=0,
            instance=partial(counted, name=ENGINE),
            keys=own,
        ),
        Input(
            table=ORDER_STATUS_HISTORY,
            columns=("account_id", "order_id", "status", "ts"),
            ts="ts",
            lag_ms=0,
            instance=partial(counted, name=BROKER_ENDS),
            keys=own,
            where=f"`status` IN ({', '.join(map(repr, UNFILLED))})",
        ),
    )


def work(
    run_id: str,
    params: Mapping[str, GateParams],
    account_id: str,
    state: bytes | None,
    memory: Memory,
    bundle: Bundle,
) -> Worked:
    """What one account makes of a tick, or of a change that came by itself."""
    held = load(state)
    gate, seq = held.gate, held.seq
    for change in sorted(
        changes(bundle.rows), key=lambda c: (c.ts, c.strategy_id, c.symbol, c.seq)
    ):
        gate, _ = tradepicker.apply_change(gate, change, params[account_id])
    for end in ends(bundle.rows, gate):
        gate = tradepicker.apply_end(gate, end)
    out: list[Row] = []
    for signal in sorted(signals(bundle.rows), key=signal_order):
        gate, decision, _ = tradepicker.decide(gate, signal, params[account_id])
        seq += 1
        out.append(decision_row(decision, seq, run_id))
    return Worked(save(Held(gate, seq)), out)


def change_order(change: PositionChange) -> tuple[int, str, str, int]:
    """The order in which changes apply."""
    return (change.ts, change.strategy_id, change.symbol, change.seq)


def changes(rows: tuple[Arrived, ...]) -> list[PositionChange]:
    """Rows of position_change_history as values."""
    return [
        PositionChange(
            account, strategy, symbol, seq, order, fill, SIDE_OF_TEXT[side],
            amount(qty), amount(before), amount(after), ts,
        )
        for account, strategy, symbol, seq, order, fill, side, qty, before, after, ts in (
            row.values for row in rows if row.input == CHANGES
        )
    ]  # fmt: skip


def ends(rows: tuple[Arrived, ...], gate: GateState) -> list[OrderEnd]:
    """Rows of order_status_history as ends of orders that the gate knows."""
    wanted = {row.values[1]: row.values[3] for row in rows if row.input == ENDS}
    return [
        OrderEnd(strategy, symbol, order.order_id, int(wanted[order.order_id] or 0))
        for (strategy, symbol), key in sorted(gate.items())
        for order in key.orders
        if order.order_id in wanted
    ]


def signals(rows: tuple[Arrived, ...]) -> list[Signal]:
    """Rows of strategy_signal_history as values."""
    return [
        Signal(name, strategy, symbol, ts, SIDE_OF_TEXT[action], close, hint)
        for name, strategy, symbol, ts, action, close, hint in (
            row.values for row in rows if row.input == SIGNALS
        )
    ]


def decision_row(decision: Decision, seq: int, run_id: str) -> Row:
    """A decision as a row of one of the two tables."""
    row = {
        **decision._asdict(),
        "action": SIDE_TEXT[decision.action],
        "reason": decision.code.value,
        "code": decision.code.value,
        "seq": seq,
        "run_id": run_id,
    }
    if decision.code is Code.OK:
        return Row(ACCEPTED, encode(ACCEPTED_TRADE_SIGNAL_HISTORY, row), INSTANCE)
    return Row(REJECTED, encode(REJECTED_TRADE_SIGNAL_HISTORY, row))


def save(held: Held) -> bytes:
    """The state as bytes: a line of JSON, then the gate's own."""
    head = {"kind": NAME, "version": STATE_VERSION, "seq": held.seq}
    return json.dumps(head).encode() + b"\n" + dump(held.gate)


def load(data: bytes | None) -> Held:
    """What `save` wrote; InvariantError where it was something else."""
    if data is None:
        return Held({}, 0)
    line, _, gate = data.partition(b"\n")
    head = json.loads(line)
    if (head.get("kind"), head.get("version")) != (NAME, STATE_VERSION):
        raise InvariantError(f"no state of the {NAME}, version {STATE_VERSION}: {line[:80]!r}")
    return Held(load_gate(gate), head["seq"])
