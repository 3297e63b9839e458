"""What no sequence of fills may break: quantities, cash, fees; and an independent book agrees."""

from decimal import Decimal, localcontext
from fractions import Fraction

from hypothesis import given, settings

from tests.properties.fill_cases import QUOTE, book, fills, half_even
from tests.reference.engine import Book
from tests.reference.engine import Fill as PlainFill
from tests.reference.exact import CONTEXT
from udfs import engine
from udfs.engine import EngineState
from udfs.money import FEE_STEP, to_decimal
from udfs.rows import SIDE_TEXT, Fill

FAST = settings(max_examples=80, deadline=None, derandomize=True, database=None)


def amounts(currency: str, amount: int, others: tuple[tuple[str, int], ...]) -> dict[str, int]:
    """An amount in the quote and those beside it as one map, without zeros."""
    return {name: fee for name, fee in ((currency, amount), *others) if fee}


def fees_of(state: EngineState) -> dict[str, int]:
    """Fees given to matches and those still with open lots, by currency."""
    position = engine.rollup(state, QUOTE)
    open_fees = engine.EMPTY.other_fees
    if position is not None:
        open_fees = engine.add_amounts(position.other_fees, ((QUOTE, position.open_fees),))
    given_fees = engine.add_amounts(state.other_fees, ((QUOTE, state.fees),))
    return dict(engine.add_amounts(open_fees, given_fees))


@FAST
@given(fills())
def test_lots_add_up_to_the_signed_fills(history: list[Fill]) -> None:
    state, booked = book(history)
    net = sum(fill.side * fill.qty for fill in history)
    assert state.net_qty == net
    assert sum(lot.side * lot.qty_rem for lot in state.lots) == net
    # Never a long and a short at once, no empty lot, and the oldest first.
    assert {lot.side for lot in state.lots} <= ({1} if net > 0 else {-1} if net < 0 else set())
    assert all(0 < lot.qty_rem <= lot.qty_open <= lot.fill_qty for lot in state.lots)
    order = {(fill.order_id, fill.fill_id): at for at, fill in enumerate(history)}
    ages = [order[lot.order_id, lot.fill_id] for lot in state.lots]
    assert ages == sorted(ages)
    changes = [one.change for one in booked]
    assert [change.seq for change in changes] == list(range(1, len(history) + 1))
    nets = [0, *(change.net_after for change in changes)]
    assert [change.net_before for change in changes] == nets[:-1]


@FAST
@given(fills())
def test_every_fill_is_matched_or_open_to_its_last_unit(history: list[Fill]) -> None:
    state, booked = book(history)
    used = {(fill.order_id, fill.fill_id): 0 for fill in history}
    for fill, one in zip(history, booked, strict=True):
        closed = sum(match.qty for match in one.matches)
        used[fill.order_id, fill.fill_id] += closed
        assert abs(one.change.net_before) - abs(one.change.net_after) <= closed <= fill.qty
        assert all(match.match_ts == fill.ts for match in one.matches)
    matched = sum(match.qty for one in booked for match in one.matches)
    assert sum(used.values()) == matched
    traded = sum(fill.qty for fill in history)
    assert traded == 2 * matched + sum(lot.qty_rem for lot in state.lots)


@FAST
@given(fills())
def test_cash_spent_and_received_is_in_matches_and_lots(history: list[Fill]) -> None:
    state, booked = book(history)
    cash = sum(-fill.side * fill.qty * fill.price for fill in history)
    position = engine.rollup(state, QUOTE)
    open_cost = position.open_cost if position else 0
    realized = sum(match.realized_pnl for one in booked for match in one.matches)
    assert cash == realized - open_cost
    assert state.realized_pnl == realized


@FAST
@given(fills())
def test_fees_are_given_to_matches_or_wait_with_lots(history: list[Fill]) -> None:
    state, booked = book(history)
    paid: engine.Amounts = ()
    for fill in history:
        paid = engine.add_amounts(paid, ((fill.fee_currency, fill.fee),))
    assert fees_of(state) == dict(paid)
    given_fees: engine.Amounts = ()
    for one in booked:
        for match in one.matches:
            assert all(fee and name != QUOTE for name, fee in match.other_fees)
            given_fees = engine.add_amounts(given_fees, (*match.other_fees, (QUOTE, match.fees)))
    assert dict(given_fees) == amounts(QUOTE, state.fees, state.other_fees)


@FAST
@given(fills(min_size=1))
def test_the_shares_of_each_fill_add_up_to_its_fee(history: list[Fill]) -> None:
    """Each fill is an order of its own and pays in a currency of its own, to tell shares apart."""
    own = [
        fill._replace(order_id=f"o{at}", fee_currency=f"C{at}") for at, fill in enumerate(history)
    ]
    net = sum(fill.side * fill.qty for fill in own)
    if net:
        side = -1 if net > 0 else 1
        last = own[-1]._replace(order_id="z", side=side, qty=abs(net), fee=0, fee_currency="CZ")
        own.append(last)
    state, booked = book(own)
    assert state.other_fees == tuple(
        sorted((fill.fee_currency, fill.fee) for fill in own if fill.fee)
    )
    # Any share but a fill's last is the exact one, rounded half-even to 1e-12.
    left = {fill.order_id: (fill, fill.qty, fill.fee) for fill in own}
    for match in (match for one in booked for match in one.matches):
        shares = dict(match.other_fees)
        for order_id in (match.buy_order_id, match.sell_order_id):
            fill, qty_left, fee_left = left[order_id]
            exact = half_even(Fraction(fill.fee * match.qty, fill.qty), FEE_STEP)
            share = fee_left if match.qty == qty_left else exact
            assert shares.get(fill.fee_currency, 0) == share
            left[order_id] = (fill, qty_left - match.qty, fee_left - share)
    assert {(qty, fee) for _, qty, fee in left.values()} == {(0, 0)}


def decimals(others: tuple[tuple[str, int], ...]) -> dict[str, Decimal]:
    return {name: to_decimal(amount) for name, amount in others}


def plain_fill(fill: Fill) -> PlainFill:
    qty, price, fee = map(to_decimal, (fill.qty, fill.price, fill.fee))
    names = (fill.account_id, fill.strategy_id, fill.order_id, fill.fill_id, fill.symbol)
    return PlainFill(*names, SIDE_TEXT[fill.side], qty, price, fill.ts, fee, fill.fee_currency)


@FAST
@given(fills())
def test_an_independent_book_gives_the_same_rows(history: list[Fill]) -> None:
    with localcontext(CONTEXT):
        plain = Book(("acct-1", "s", "BTCUSD"), QUOTE, "r", "TEST")
        for fill in history:
            plain.apply(plain_fill(fill))
        state, booked = book(history)
        matches = [match for one in booked for match in one.matches]
        assert len(matches) == len(plain.matches)
        for match, row in zip(matches, plain.matches, strict=True):
            assert match.match_id == row["match_id"]
            orders = (row["buy_order_id"], row["sell_order_id"])
            assert (match.buy_order_id, match.sell_order_id) == orders
            assert (match.open_ts, match.match_ts) == (row["open_ts"], row["match_ts"])
            assert to_decimal(match.qty) == row["matched_qty"]
            assert Decimal(match.realized_pnl).scaleb(-36) == row["realized_pnl"]
            assert to_decimal(match.fees) == row["fees"]
            assert decimals(match.other_fees) == row["other_fees"]
        assert [(to_decimal(lot.qty_rem), lot.updated_ts) for lot in state.lots] == [
            (lot.qty_rem, lot.updated_ts) for lot in plain.lots
        ]
        position = engine.rollup(state, QUOTE)
        assert (position is None) == (not plain.lots)
        if position is not None:
            row = plain.rollup_row()
            assert to_decimal(position.avg_price) == row["avg_price"]
            assert Decimal(position.open_cost).scaleb(-36) == row["open_cost"]
            assert to_decimal(position.open_fees) == row["open_fees"]
            assert decimals(position.other_fees) == row["other_fees"]
