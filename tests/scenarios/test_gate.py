"""The gate as tables: signals, fills and ends of orders, and what the gate must make of them."""

import re
from pathlib import Path

import pytest

from tests.scenarios.tables import Case, read_cases, wide_text
from udfs import tradepicker
from udfs.money import UNIT, plain_text, units
from udfs.plan import NO_CAP, AccountPlan, GatePlan, SymbolPlan
from udfs.rows import BUY, DETAILS, SELL, Code, Decision, OrderEnd, PositionChange, Signal
from udfs.tradepicker import GateParams, GateState, OpenOrder

TABLES = sorted(Path(__file__).parent.glob("gate_*.txt"))
SIDES = {"BUY": BUY, "SELL": SELL}
ACCOUNT = AccountPlan(
    account_id="acct-1",
    strategies=("a", "b", "c"),
    fixed_qty=10 * UNIT,
    notional=None,
    weights={"a": UNIT, "b": UNIT, "c": UNIT},
    max_open_positions=2,
    max_notional=None,
    fee_bps=0,
    slippage_bps=0,
    start_capital=0,
    broker="external",
    is_shadow=False,
)
GATE = GatePlan(
    max_entries=0, sell_requires_long=True, reserve_on_open=True, reservation_ttl_ms=100
)
SIGNAL = re.compile(
    r"(?P<ts>\d+) (?P<side>BUY|SELL) (?P<strategy>\w+) (?P<symbol>\w+)( @ (?P<close>\S+))?"
    r"( as (?P<order>\w+))? -> (?P<answer>.+)"
)
FILL = re.compile(r"fill (?P<order>\w+)( (?P<qty>[\d.]+))?( withheld (?P<change>\w+))?")
TRADE = re.compile(
    r"trade (?P<strategy>\w+) (?P<symbol>\w+) (?P<side>BUY|SELL) (?P<qty>\S+)"
    r"( withheld (?P<change>\w+))?"
)
MEMORY = re.compile(r"(?P<strategy>\w+) (?P<symbol>\w+): (?P<shown>.+)")


def read_rules(text: str) -> GateParams:
    """The settings of a case: what the `rules` line says, the defaults for the rest."""
    account, gate = ACCOUNT, GATE
    symbol = SymbolPlan("", units("0.01"), units("0.01"), "USD")
    for rule in filter(None, text.split(", ")):
        match rule.split():
            case ["cap", cap]:
                number = NO_CAP if cap == "none" else int(cap)
                account = account._replace(max_open_positions=number)
            case ["ttl", ttl]:
                gate = gate._replace(reservation_ttl_ms=int(ttl))
            case ["entries", entries]:
                gate = gate._replace(max_entries=int(entries))
            case ["budget", budget]:
                account = account._replace(max_notional=units(budget))
            case ["qty", qty]:
                account = account._replace(fixed_qty=units(qty))
            case ["notional", notional]:
                account = account._replace(fixed_qty=None, notional=units(notional))
            case ["step", step]:
                symbol = symbol._replace(qty_step=units(step))
            case ["tick", tick]:
                symbol = symbol._replace(price_tick=units(tick))
            case ["weight", strategy, weight]:
                account = account._replace(weights={**account.weights, strategy: units(weight)})
            case ["shorts"]:
                gate = gate._replace(sell_requires_long=False)
            case ["unreserved"]:
                gate = gate._replace(reserve_on_open=False)
            case _:
                raise ValueError(f"{rule!r} is no rule")
    return GateParams(account, gate, {name: symbol._replace(symbol=name) for name in "XYZ"})


class Run:
    """One case while it runs: the gate, and the positions that its orders lead to."""

    def __init__(self, params: GateParams) -> None:
        self.params = params
        self.state: GateState = {}
        self.orders: dict[str, tuple[str, str, OpenOrder]] = {}
        self.unfilled: dict[str, int] = {}
        self.positions: dict[tuple[str, str], tuple[int, int]] = {}
        self.withheld: dict[str, PositionChange] = {}
        self.decisions: list[Decision] = []
        self.over_cap = 0

    def line(self, line: str) -> str:
        """Does what the line says; the line as it should have read."""
        if found := SIGNAL.fullmatch(line):
            return line.removesuffix(found["answer"]) + self.signal(found)
        if found := MEMORY.fullmatch(line):
            shown = self.memory(found["strategy"], found["symbol"])
            return line.removesuffix(found["shown"]) + shown
        if found := FILL.fullmatch(line):
            strategy, symbol, order = self.orders[found["order"]]
            qty = units(found["qty"]) if found["qty"] else self.unfilled[found["order"]]
            assert 0 < qty <= self.unfilled[found["order"]], line
            self.unfilled[found["order"]] -= qty
            self.trade(strategy, symbol, order.action, qty, order.order_id, found["change"])
        elif found := TRADE.fullmatch(line):
            side, qty = SIDES[found["side"]], units(found["qty"])
            self.trade(found["strategy"], found["symbol"], side, qty, "unseen", found["change"])
        elif line.startswith("deliver "):
            self.deliver(self.withheld[line.removeprefix("deliver ")])
        elif line.startswith("end "):
            name = line.removeprefix("end ")
            strategy, symbol, known = self.orders.get(name, ("a", "X", None))
            end = OrderEnd(strategy, symbol, known.order_id if known else name, 0)
            self.state = tradepicker.apply_end(self.state, end)
        elif line.startswith("over cap "):
            return f"over cap {self.over_cap}"
        else:
            raise ValueError(f"{line!r} is no event")
        return line

    def signal(self, found: re.Match[str]) -> str:
        """Decides a signal; the decision as the table shows it."""
        signal = Signal(
            signal_id=f"{found['strategy']}/{found['symbol']}/{found['ts']}",
            strategy_id=found["strategy"],
            symbol=found["symbol"],
            ts=int(found["ts"]),
            action=SIDES[found["side"]],
            close=float(found["close"] or 1),
            size_hint=1.0,
        )
        self.state, decision, order = tradepicker.decide(self.state, signal, self.params)
        self.decisions.append(decision)
        assert (order is not None) == (decision.code is Code.OK)
        assert decision.order_id == (order.order_id if order else None)
        assert decision.detail == DETAILS[decision.code]
        assert decision[1:5] == (signal.signal_id, *signal[1:3], signal.action)
        if order and found["order"]:
            self.orders[found["order"]] = (signal.strategy_id, signal.symbol, order)
            self.unfilled[found["order"]] = order.qty
        qty = "-" if decision.qty is None else plain_text(decision.qty)
        counts = (decision.open_symbols, decision.reserved_symbols)
        counted = "/".join("-" if count is None else str(count) for count in counts)
        return f"{decision.code.value} {qty} {counted}"

    def trade(
        self, strategy: str, symbol: str, side: int, qty: int, order_id: str, withheld: str | None
    ) -> None:
        """The next position change of a key, told to the gate unless it is withheld."""
        net, seq = self.positions.get((strategy, symbol), (0, 0))
        after = net + side * qty
        self.positions[strategy, symbol] = (after, seq + 1)
        change = PositionChange(
            account_id="acct-1",
            strategy_id=strategy,
            symbol=symbol,
            seq=seq + 1,
            order_id=order_id,
            fill_id=f"{order_id}:{seq + 1}",
            side=side,
            qty=qty,
            net_before=net,
            net_after=after,
            ts=0,
        )
        if withheld:
            self.withheld[withheld] = change
        else:
            self.deliver(change)

    def deliver(self, change: PositionChange) -> None:
        self.state, over_cap = tradepicker.apply_change(self.state, change, self.params)
        self.over_cap += over_cap

    def memory(self, strategy: str, symbol: str) -> str:
        """What the gate remembers of a key, as the table shows it."""
        key = self.state.get((strategy, symbol), tradepicker.EMPTY)
        until = "-" if key.reserved_until is None else key.reserved_until
        return (
            f"net {plain_text(key.net_qty)} pending {plain_text(tradepicker.pending(key))}"
            f" until {until} entries {key.entries}"
            f" committed {wide_text(tradepicker.committed(key))} orders {len(key.orders)}"
        )


CASES = [case for path in TABLES for case in read_cases(path.read_text(encoding="utf-8"))]


def run_case(case: Case) -> tuple[list[str], list[Decision]]:
    """The events as they should have read, and the decisions on the way."""
    run = Run(read_rules(" ".join(case.sections.get("rules", []))))
    return [run.line(line) for line in case.sections["events"]], run.decisions


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_gate(case: Case) -> None:
    events, _ = run_case(case)
    assert events == case.sections["events"]


def test_every_code_that_the_gate_gives_stands_in_a_table() -> None:
    given = {decision.code for case in CASES for decision in run_case(case)[1]}
    # Nothing halts an account or pauses a symbol yet.
    assert set(Code) - given == {Code.ACCOUNT_HALTED, Code.SYMBOL_PAUSED}
