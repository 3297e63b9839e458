"""FIFO lots as tables: lots before, fills, then the matches, lots and position they must give."""

import re
from pathlib import Path

import pytest

from tests.scenarios.tables import Case, read_cases, wide_text
from udfs import engine
from udfs.engine import EngineState
from udfs.ids import hash_id
from udfs.lots import Lot, lot_id
from udfs.money import UNIT, plain_text, units
from udfs.rows import BUY, POSITION_TEXT, SELL, Fill, Match

TABLES = Path(__file__).with_name("lots.txt")
QUOTE = "USD"
KEY = ("acct-1", "s", "BTCUSD")
SIDES = {"BUY": BUY, "SELL": SELL, "LONG": BUY, "SHORT": SELL}
LOT = re.compile(
    r"(?P<side>LONG|SHORT) (?P<rem>\S+?)/(?P<open>[^/ ]+)(/(?P<whole>\S+))? @ (?P<price>\S+)"
    r" fee (?P<left>\S+?)/(?P<fee>\S+)( (?P<currency>[A-Z]+))? (?P<order>\S+)"
)
FILL = re.compile(
    r"(?P<order>\S+) (?P<side>BUY|SELL) (?P<qty>\S+) @ (?P<price>\S+)"
    r"( fee (?P<fee>\S+)( (?P<currency>[A-Z]+))?)?"
)


def names(order: str) -> tuple[str, str]:
    """(order_id, fill_id): `b1:2` is the second fill of b1, `b1` the first."""
    order_id, _, number = order.partition(":")
    return order_id, f"{order_id}:{number or 1}"


def read_lot(line: str) -> Lot:
    found = LOT.fullmatch(line)
    assert found, line
    order_id, fill_id = names(found["order"])
    return Lot(
        order_id=order_id,
        fill_id=fill_id,
        side=SIDES[found["side"]],
        price=units(found["price"]),
        fill_qty=units(found["whole"] or found["open"]),
        fill_fee=units(found["fee"]),
        qty_open=units(found["open"]),
        qty_rem=units(found["rem"]),
        fee_left=units(found["left"]),
        fee_currency=found["currency"] or QUOTE,
        open_ts=0,
        updated_ts=0,
    )


def read_fill(line: str, ts: int) -> Fill:
    found = FILL.fullmatch(line)
    assert found, line
    order_id, fill_id = names(found["order"])
    return Fill(
        account_id=KEY[0],
        strategy_id=KEY[1],
        order_id=order_id,
        fill_id=fill_id,
        symbol=KEY[2],
        side=SIDES[found["side"]],
        qty=units(found["qty"]),
        price=units(found["price"]),
        ts=ts,
        fee=units(found["fee"] or "0"),
        fee_currency=found["currency"] or QUOTE,
        venue="TEST",
    )


def short_name(order_id: str, fill_id: str) -> str:
    return order_id if fill_id == f"{order_id}:1" else fill_id


def others_text(others: tuple[tuple[str, int], ...]) -> str:
    shown = " ".join(f"{currency} {plain_text(amount)}" for currency, amount in others)
    return f" other {shown}" if others else ""


def show_lot(lot: Lot) -> str:
    quantities = [lot.qty_rem, lot.qty_open]
    if lot.fill_qty != lot.qty_open:
        quantities.append(lot.fill_qty)
    currency = "" if lot.fee_currency == QUOTE else f" {lot.fee_currency}"
    return (
        f"{POSITION_TEXT[lot.side]} {'/'.join(map(plain_text, quantities))}"
        f" @ {plain_text(lot.price)}"
        f" fee {plain_text(lot.fee_left)}/{plain_text(lot.fill_fee)}{currency}"
        f" {short_name(lot.order_id, lot.fill_id)}"
    )


def show_match(match: Match, opening: str, closing: str, index: int) -> str:
    return (
        f"{opening} {closing} {index}: {plain_text(match.qty)}"
        f" @ {plain_text(match.buy_price)} -> {plain_text(match.sell_price)}"
        f" pnl {wide_text(match.realized_pnl)} fees {plain_text(match.fees)}"
        f"{others_text(match.other_fees)}"
    )


def show_position(state: EngineState) -> str:
    position = engine.rollup(state, QUOTE)
    if position is None:
        return "flat"
    return (
        f"{POSITION_TEXT[position.side]} {plain_text(position.net_qty)}"
        f" avg {plain_text(position.avg_price)} cost {wide_text(position.open_cost)}"
        f" fees {plain_text(position.open_fees)}{others_text(position.other_fees)}"
    )


def show_booked(before: EngineState, fill: Fill, matches: tuple[Match, ...]) -> list[str]:
    """The matches as lines, once what the tables leave out was checked: ids and times."""
    lines = []
    for index, match in enumerate(matches):
        lot = before.lots[index]
        ids = (lot.order_id, lot.fill_id, fill.order_id, fill.fill_id)
        assert match.match_id == hash_id(*KEY, *ids, index)
        assert match[1:4] == KEY
        orders = (lot.order_id, fill.order_id)
        assert (match.buy_order_id, match.sell_order_id) == orders[:: lot.side]
        assert (match.open_ts, match.match_ts) == (lot.open_ts, fill.ts)
        opening = short_name(lot.order_id, lot.fill_id)
        lines.append(show_match(match, opening, short_name(fill.order_id, fill.fill_id), index))
    return lines


CASES = read_cases(TABLES.read_text(encoding="utf-8"))


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_lots(case: Case) -> None:
    lots = tuple(read_lot(line) for line in case.sections["before"])
    state = EngineState(lots=lots, net_qty=sum(lot.side * lot.qty_rem for lot in lots))
    matches: list[str] = []
    for number, line in enumerate(case.sections["apply"], 1):
        before, fill = state, read_fill(line, number * 1000)
        state, booked = engine.apply(before, fill, QUOTE)
        matches += show_booked(before, fill, booked.matches)
        left = {lot.fill_id for lot in state.lots}
        ended = [lot.fill_id for lot in before.lots if lot.fill_id not in left]
        assert [lot.fill_id for lot in booked.ended] == ended
        assert all(lot.qty_rem == lot.fee_left == 0 for lot in booked.ended)
        assert booked.change[3:] == (
            *(number, fill.order_id, fill.fill_id, fill.side, fill.qty),
            *(before.net_qty, state.net_qty, fill.ts),
        )
    assert matches == case.sections["matches"]
    assert [show_lot(lot) for lot in state.lots] == case.sections["after"]
    assert [show_position(state)] == case.sections["position"]


def test_totals_add_up_over_fills() -> None:
    lines = ("b1 BUY 2 @ 100 fee 0.2", "s1 SELL 1 @ 110 fee 1 BNB", "s2 SELL 1 @ 90 fee -0.3")
    state = engine.EMPTY
    for number, line in enumerate(lines, 1):
        state, _ = engine.apply(state, read_fill(line, number), QUOTE)
    assert (state.realized_pnl, state.fees) == (0, units("-0.1"))
    assert state.other_fees == (("BNB", UNIT),)
    assert (state.matches, state.matched_ts, state.seq, state.newest_ts) == (2, 3, 3, 3)


def test_a_late_fill_is_booked_and_does_not_turn_the_newest_time_back() -> None:
    state, _ = engine.apply(engine.EMPTY, read_fill("b1 BUY 2 @ 100", 500), QUOTE)
    state, booked = engine.apply(state, read_fill("s1 SELL 1 @ 110", 200), QUOTE)
    assert (booked.change.ts, booked.change.seq) == (200, 2)
    assert (booked.matches[0].open_ts, booked.matches[0].match_ts) == (500, 200)
    assert state.newest_ts == 500


def test_a_lot_is_named_by_its_key_and_its_fill() -> None:
    lot = read_lot("LONG 1/1 @ 1 fee 0/0 b1")
    assert lot_id(*KEY, lot) == hash_id(*KEY, "b1", "b1:1")


def test_unrealized_is_exact() -> None:
    state, _ = engine.apply(engine.EMPTY, read_fill("s1 SELL 3 @ 100.01", 1), QUOTE)
    position = engine.rollup(state, QUOTE)
    assert position is not None
    assert engine.unrealized(units("99.5"), position) == units("1.53") * UNIT
