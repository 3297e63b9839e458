"""The gate live: signals, position changes and ends of orders → accepted and rejected rows.

Reads strategy_signal_history, position_change_history, order_status_history (orders that ended
without a fill) and progress of every strategy, the engine and the broker. Key: account. State: the
gate's (udfs/state.py), the number of its last decision, and how many changes it has applied. At one
tick changes come before signals.

Where a stage went on without another, or an outside broker's fills come when they come, a restart
would not decide the same again. So decisions that the log has already are taken from it.
"""

import json
from collections.abc import Mapping
from functools import partial
from typing import NamedTuple

from jobs.live.stage import (
    INSTANCE,
    Arrived,
    Bundle,
    Input,
    Journal,
    Memory,
    Row,
    Stage,
    Upstream,
    Value,
    Worked,
    no_journal,
    state_head,
)
from schemas.codec import Values, amount, encode
from schemas.signals import (
    ACCEPTED_TRADE_SIGNAL_HISTORY,
    REJECTED_TRADE_SIGNAL_HISTORY,
    STRATEGY_SIGNAL_HISTORY,
)
from schemas.trading import ORDER_STATUS_HISTORY, POSITION_CHANGE_HISTORY
from udfs import ids, tradepicker
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
STATE_VERSION = 2
SIGNALS, CHANGES, ENDS = range(3)
ACCEPTED, REJECTED = range(2)
ENGINE = ("engine", INSTANCE)
BROKER_ENDS = ("broker", "ends")
UNFILLED = ("CANCELLED", "REJECTED", "EXPIRED")


class Held(NamedTuple):
    """An account's state: what the gate knows, how many decisions it made, changes it applied.

    `parked` are changes that came after decisions which are still to be taken from the log, `late`
    signals that the log does not have among these: their turn is after it.
    """

    gate: GateState
    seq: int
    changes: int
    parked: tuple[PositionChange, ...]
    late: tuple[Signal, ...] = ()


class Logged(NamedTuple):
    """A decision that is in the log. `qty` is None where it was refused."""

    signal_id: str
    qty: int | None
    seq: int
    changes: int


class Accounts:
    """What the gate must know of each account, and what the log says that it decided."""

    def __init__(self, run_id: str, params: Mapping[str, GateParams], journal: Journal) -> None:
        self.run_id, self.params, self._journal = run_id, params, journal
        self._rows: list[tuple[str, Logged]] | None = None
        self._logged: dict[str, dict[str, Logged]] = {}

    def logged(self, account_id: str, seq: int, since_ms: int) -> dict[str, Logged]:
        """Decisions above `seq` that are still to be taken from the log, by signal."""
        if self._rows is None:
            self._rows = [
                (str(row["account_id"]), logged_of(row))
                for table in (ACCEPTED_TRADE_SIGNAL_HISTORY, REJECTED_TRADE_SIGNAL_HISTORY)
                for row in self._journal(table, since_ms)
            ]
        if account_id not in self._logged:
            self._logged[account_id] = {
                one.signal_id: one
                for name, one in reversed(self._rows)  # the first row of a signal counts
                if name == account_id and one.seq > seq
            }
        return self._logged[account_id]


def logged_of(row: Mapping[str, Value]) -> Logged:
    """A row of one of the two tables; only that of the rejected ones has a code."""
    qty = None if "code" in row else amount(row["qty"])
    return Logged(str(row["signal_id"]), qty, int(row["seq"] or 0), int(row["changes"] or 0))


def stage(plan: RunPlan, patience_ms: int | None, journal: Journal = no_journal) -> Stage:
    """The stage of the plan's accounts."""
    accounts = {account.account_id: account for account in plan.accounts}
    families = {one.strategy_id: one.family_id for one in plan.strategies}
    symbols = {symbol.symbol: symbol for symbol in plan.symbols}
    params = {name: GateParams(one, plan.gate, symbols) for name, one in accounts.items()}
    begins = {one.family_id: one.from_ts for one in plan.strategies}
    waited = [Upstream("strategies", one, from_ts=ts) for one, ts in sorted(begins.items())]
    if plan.has_paper:
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
        work=partial(work, Accounts(plan.run_id, params, journal)),
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
            prompt=True,  # so that those known before a decision are the first ones of the log
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
    accounts: Accounts, account_id: str, state: bytes | None, memory: Memory, bundle: Bundle
) -> Worked:
    """What one account makes of a tick, or of a change that came by itself."""
    held = load(state)
    logged = accounts.logged(account_id, held.seq, bundle.since_ms)
    params = accounts.params[account_id]
    held = held._replace(parked=(*held.parked, *new_changes(held, bundle.rows)))
    held = catch_up(held, logged, bundle.tick, params)
    for end in ends(bundle.rows, held.gate):
        held = held._replace(gate=tradepicker.apply_end(held.gate, end))
    found = in_order([*held.late, *signals(bundle.rows)], logged, held.seq)
    late: list[Signal] = []
    out: list[Row] = []
    for signal in found:
        if signal.signal_id not in logged and not is_free(held.seq + 1, logged):
            late.append(signal)
            continue
        before = logged.pop(signal.signal_id, None)
        if before is None:
            held = catch_up(held, logged, bundle.tick, params)
            seq, applied = held.seq + 1, held.changes
            gate, decision, _ = tradepicker.decide(held.gate, signal, params)
        else:
            seq, applied = before.seq, before.changes
            held = apply_changes(held, applied, params)
            gate, decision = taken(held.gate, signal, before, params)
        held = held._replace(gate=gate, seq=seq)
        out.append(decision_row(decision, seq, applied, accounts.run_id, bundle.tick))
    held = catch_up(held._replace(late=tuple(late)), logged, bundle.tick, params)
    return Worked(save(held), out)


def is_free(seq: int, logged: Mapping[str, Logged]) -> bool:
    """Whether a decision that the log lacks may be made now: before all that is to be taken."""
    return all(seq < one.seq for one in logged.values())


def in_order(found: list[Signal], logged: Mapping[str, Logged], seq: int) -> list[Signal]:
    """Signals in the order in which they were decided: the log's, as far as it has them.

    It may lack some although it has later ones, as its two tables have writers of their own: those
    go where a number is missing. `seq` is that of the decision before them.
    """
    known = sorted(
        (one for one in found if one.signal_id in logged), key=lambda one: logged[one.signal_id].seq
    )
    others = sorted((one for one in found if one.signal_id not in logged), key=signal_order)
    order: list[Signal] = []
    for one in known:
        while others and seq + 1 < logged[one.signal_id].seq:
            if signal_order(others[0]) > signal_order(one):
                break
            order.append(others.pop(0))
            seq += 1
        order.append(one)
        seq = logged[one.signal_id].seq
    return [*order, *others]


def catch_up(
    held: Held, logged: Mapping[str, Logged], tick: int | None, params: GateParams
) -> Held:
    """Apply parked changes: of a paper account those of the tick and older ones, else all.

    A change of a later tick is there where decisions of this one are made again, after a restart.
    While some are to be taken from the log, no more are applied than were before the next of them.
    """
    until = min((one.changes for one in logged.values()), default=None)
    if until is not None or params.account.broker == "paper":
        old = 0
        while tick is not None and old < len(held.parked) and held.parked[old].ts <= tick:
            old += 1
        known = held.changes + old
        until = known if until is None else min(until, known)
    return apply_changes(held, until, params)


def new_changes(held: Held, rows: tuple[Arrived, ...]) -> list[PositionChange]:
    """Changes that the account does not know: one that nobody counts may be read once more."""
    known = {(one.strategy_id, one.symbol, one.seq) for one in held.parked}
    found: list[PositionChange] = []
    for one in changes(rows):
        name = (one.strategy_id, one.symbol, one.seq)
        if name not in known and not tradepicker.knows_change(held.gate, one):
            known.add(name)
            found.append(one)
    return found


def apply_changes(held: Held, until: int | None, params: GateParams) -> Held:
    """Apply parked changes in the order of their log, until so many are applied; None: all."""
    gate, applied, parked = held.gate, held.changes, list(held.parked)
    while parked and (until is None or applied < until):
        gate, _ = tradepicker.apply_change(gate, parked.pop(0), params)
        applied += 1
    return held._replace(gate=gate, changes=applied, parked=tuple(parked))


def taken(
    gate: GateState, signal: Signal, before: Logged, params: GateParams
) -> tuple[GateState, Decision]:
    """What the log says of a signal, and the state that it makes."""
    after, decision, _ = tradepicker.decide(gate, signal, params)
    if before.qty == (decision.qty if decision.code is Code.OK else None):
        return after, decision
    if before.qty is None:  # the row of the log stands; of this one only the table counts
        return gate, decision._replace(code=Code.NO_OPEN_POSITION, order_id=None)
    order_id = ids.order_id(params.account.account_id, signal.signal_id)
    after = tradepicker.adopt(gate, signal, before.qty, params)
    return after, decision._replace(code=Code.OK, qty=before.qty, order_id=order_id)


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


def decision_row(decision: Decision, seq: int, applied: int, run_id: str, tick: int | None) -> Row:
    """A decision as a row of one of the two tables; one on a late signal nobody waits for."""
    row = {
        **decision._asdict(),
        "action": SIDE_TEXT[decision.action],
        "reason": decision.code.value,
        "code": decision.code.value,
        "seq": seq,
        "changes": applied,
        "run_id": run_id,
    }
    if decision.code is Code.OK:
        counted = INSTANCE if decision.ts == tick else None
        return Row(ACCEPTED, encode(ACCEPTED_TRADE_SIGNAL_HISTORY, row), counted)
    return Row(REJECTED, encode(REJECTED_TRADE_SIGNAL_HISTORY, row))


def save(held: Held) -> bytes:
    """The state as bytes: a line of JSON, then the gate's own."""
    head = {
        "kind": NAME,
        "version": STATE_VERSION,
        "seq": held.seq,
        "changes": held.changes,
        "parked": held.parked,
        "late": held.late,
    }
    return json.dumps(head).encode() + b"\n" + dump(held.gate)


def load(data: bytes | None) -> Held:
    """What `save` wrote; InvariantError where it was something else."""
    if data is None:
        return Held({}, 0, 0, ())
    line, _, gate = data.partition(b"\n")
    head = state_head(line, NAME, STATE_VERSION)
    parked = tuple(PositionChange(*row) for row in head["parked"])
    late = tuple(Signal(*row) for row in head["late"])
    return Held(load_gate(gate), head["seq"], head["changes"], parked, late)
