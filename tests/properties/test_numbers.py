"""Exact numbers against Python's fractions and decimals: sizing, rounding, columns, 128 bits."""

import math
from decimal import ROUND_HALF_EVEN, Context, Decimal
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from udfs import paper_broker, wide
from udfs.money import (
    FEE_STEP,
    MAX_UNITS,
    UNIT,
    narrow,
    plain_text,
    plain_units,
    price_units,
    round_half_even,
    to_decimal,
    units,
)
from udfs.plan import AccountPlan, SymbolPlan
from udfs.prices import decimals_of, price_integers
from udfs.rows import BUY, SELL, Signal
from udfs.sizing import order_qty, rounded_close

FAST = settings(max_examples=150, deadline=None, derandomize=True, database=None)
EXACT = Context(prec=400)
NANO = 10**9

ticks = st.one_of(
    st.integers(0, 18).map(lambda decimals: 10 ** (18 - decimals)),
    st.sampled_from([units(text) for text in ("0.5", "0.25", "0.0025", "0.3", "5", "100", "0.05")]),
    st.integers(1, 10**20),
)
prices = st.one_of(
    st.floats(1e-9, 1e12),
    st.decimals("0.01", "99999", places=2).map(float),
    st.integers(1, 10**6).map(float),
    st.floats(5e-324, 1e-9),
)
amounts = st.integers(-MAX_UNITS + 1, MAX_UNITS - 1)


def account(fixed: int | None, notional: int | None, weight: int, bps: int = 0) -> AccountPlan:
    return AccountPlan(
        account_id="acct-1",
        strategies=("s",),
        fixed_qty=fixed,
        notional=notional,
        weights={"s": weight},
        max_open_positions=1,
        max_notional=None,
        fee_bps=bps,
        slippage_bps=bps,
        start_capital=0,
        broker="paper",
        is_shadow=False,
    )


# Amounts as people write them: drawn as plain units, most would be too small to buy anything.
sizes = st.integers(1, 10**9).map(lambda thousandths: thousandths * UNIT // 1000)
weights = st.integers(0, 3000).map(lambda thousandths: thousandths * UNIT // 1000)
hints = st.one_of(st.floats(-0.5, 3), st.integers(1, 10**16).map(lambda n: n / 10**16))
steps_of_qty = st.sampled_from((NANO, 1, UNIT // 10_000, UNIT // 10, 3 * UNIT // 10, UNIT))
usual_ticks = st.sampled_from((UNIT // 100, NANO, UNIT // 2, UNIT // 400))


@FAST
@given(
    sizes,
    st.booleans(),
    weights,
    hints,
    st.one_of(st.floats(0.001, 1e5), prices),
    usual_ticks,
    steps_of_qty,
)
@example(7 * UNIT, True, UNIT, 0.1, 1.0, UNIT, UNIT // 10)
@example(3 * UNIT, False, UNIT // 10, 0.3, 0.09, UNIT // 100, UNIT // 10)
def test_sizing_is_exact_until_its_one_floor(
    size: int, fixed: bool, weight: int, hint: float, close: float, tick: int, step: int
) -> None:
    symbol = SymbolPlan("X", tick, step, "USD")
    price = rounded_close(close, symbol)
    plan = account(size if fixed else None, None if fixed else size, weight)
    got = order_qty(Signal("i", "s", "X", 0, BUY, close, hint), price, plan, symbol)
    if price == 0:
        assert got is None
        return
    wanted = Fraction(size, UNIT) * Fraction(weight, UNIT) * Fraction(Decimal(repr(hint)))
    if not fixed:
        wanted /= Fraction(price, UNIT)
    assert got == max(0, math.floor(wanted / Fraction(step, UNIT))) * step


@FAST
@given(prices, st.integers(-2, 18))
@example(0.125, 2)
@example(0.375, 2)
@example(2.675, 2)  # its shortest repr is a tie; its binary value is not
@example(5e-324, 18)
@example(1e22, 0)
def test_prices_round_as_decimals_do(price: float, decimals: int) -> None:
    rounded = Decimal(repr(price)).quantize(Decimal(1).scaleb(-decimals), ROUND_HALF_EVEN, EXACT)
    assert price_units(price, 10 ** (18 - decimals)) == int(rounded.scaleb(18, EXACT))


@FAST
@given(prices, ticks)
def test_prices_round_to_the_nearest_multiple_of_any_tick(price: float, tick: int) -> None:
    exact = Fraction(Decimal(repr(price))) * UNIT / tick
    assert price_units(price, tick) == round(exact) * tick


@FAST
@given(st.integers(0, 10**6), ticks)
def test_a_price_halfway_goes_to_the_even_multiple(multiple: int, tick: int) -> None:
    halfway = Fraction((2 * multiple + 1) * tick, 2 * UNIT)
    price = float(halfway)
    assume(Fraction(Decimal(repr(price))) == halfway)
    assert price_units(price, tick) == (multiple + multiple % 2) * tick


@FAST
@given(st.integers(-(10**40), 10**40), st.integers(1, 10**20))
def test_half_even_is_pythons_own(numerator: int, denominator: int) -> None:
    assert round_half_even(numerator, denominator) == round(Fraction(numerator, denominator))
    assert narrow(numerator) == round(Fraction(numerator, UNIT))


@FAST
@given(st.lists(prices, max_size=30), ticks)
@example([0.125, 0.375, 1e-12, 3.0], 10**16)
@example([2.0**62], UNIT)
@example([123456.123456789, 0.1 + 0.2], 10**10)
@example([4.5e18, 1.0], 9 * 10**36)
def test_prices_in_columns_equal_prices_one_by_one(column: list[float], tick: int) -> None:
    got = price_integers(np.array(column, dtype=np.float64), tick)
    scale = 10 ** (18 - decimals_of(tick))
    if got is None:
        assert max(column) * 10.0 ** decimals_of(tick) >= 2.0**62
        return
    assert [int(value) * scale for value in got] == [price_units(p, tick) for p in column]


@pytest.mark.parametrize("bad", [math.inf, -math.inf, math.nan])
def test_columns_with_a_price_that_is_no_number_are_left_to_the_caller(bad: float) -> None:
    assert price_integers(np.array([1.0, bad]), UNIT) is None


@FAST
@given(amounts)
def test_amounts_and_their_text(amount: int) -> None:
    assert units(plain_text(amount)) == amount
    assert plain_units(plain_text(amount)) == plain_units(f"{to_decimal(amount):f}") == amount
    assert units(to_decimal(amount)) == amount
    assert to_decimal(amount) == Decimal(plain_text(amount))
    text = plain_text(amount)
    assert "." not in text or not text.endswith("0")


@FAST
@given(st.text("-+0123456789.eE_ \u0663", max_size=12))
def test_the_quick_reading_of_a_number_reads_what_the_other_does(text: str) -> None:
    found = plain_units(text)
    if found is not None:
        assert found == units(text)


@pytest.mark.parametrize(
    ("text", "amount"),
    [
        ("1", UNIT),
        ("-0", 0),
        ("0E-30", 0),
        (" 1.5 ", 3 * UNIT // 2),
        ("1e-18", 1),
        ("1.0000000000000000000000", UNIT),
        (0.1, UNIT // 10),
        (np.float64(0.1), UNIT // 10),
        (7, 7 * UNIT),
        ("99999999999999999999.999999999999999999", MAX_UNITS - 1),
    ],
)
def test_numbers_that_are_read(text: object, amount: int) -> None:
    assert units(text) == amount


@pytest.mark.parametrize(
    "text",
    [
        *("", "x", "nan", "inf", "-Infinity", "sNaN", "1_000", "1,5", "0x10", "١", "1e-19"),
        *("0.0000000000000000001", "100000000000000000000", "1e999999999999999999999"),
        *("1e-999999", None, True, float("nan"), float("inf"), Decimal("nan")),
    ],
)
def test_numbers_that_are_refused(text: object) -> None:
    with pytest.raises(ValueError):
        units(text)


# ---- the paper broker -------------------------------------------------------------------------


@FAST
@given(
    prices, ticks, st.integers(0, 9999 * UNIT), st.sampled_from((BUY, SELL)), st.integers(1, 10**24)
)
def test_paper_fills_round_price_twice_and_fee_once(
    close: float, tick: int, bps: int, side: int, qty: int
) -> None:
    symbol, plan = SymbolPlan("X", tick, 1, "USD"), account(UNIT, None, UNIT, bps)
    factor = 1 + side * Fraction(bps, UNIT * 10_000)
    price = round(price_units(close, tick) * factor / tick) * tick
    assert paper_broker.fill_price(close, side, plan, symbol) == price
    fee = Fraction(price * qty, UNIT) * Fraction(bps, UNIT * 10_000)
    assert paper_broker.fill_fee(price, qty, plan) == round(fee / FEE_STEP) * FEE_STEP
    order = paper_broker.PaperOrder("s", "X", "o", side, qty)
    fill = paper_broker.fill(order, 60_000, close, plan, symbol)
    if price <= 0:
        assert fill is None
    else:
        assert fill is not None
        assert fill == (
            *("acct-1", "s", "o", "o:1", "X", side, qty, price, 60_000),
            *(paper_broker.fill_fee(price, qty, plan), "USD", paper_broker.VENUE),
        )


# ---- 128 bits ---------------------------------------------------------------------------------

int64s = st.integers(-(2**63) + 1, 2**63 - 1)
wides = st.integers(-(10**36), 10**36)


def pair(value: int) -> tuple[np.int64, np.uint64]:
    """(high, low) of a Python integer."""
    low, high = wide.from_ints([value])[0]
    return high, low.view(np.uint64)


def whole(high: int, low: int) -> int:
    return (int(high) << 64) | int(low)


@FAST
@given(int64s, int64s)
@example(-(2**63) + 1, 2**63 - 1)
@example(-1, -1)
@example(2**32, 2**32)
def test_products_of_64_bits(a: int, b: int) -> None:
    assert whole(*wide.multiply(np.int64(a), np.int64(b))) == a * b
    assert whole(*wide.from_int(np.int64(a))) == a
    column = wide.scaled(np.array([a, b]), np.array([b, b]))
    assert [wide.to_int(row) for row in column] == [a * b, b * b]


@FAST
@given(wides, wides)
@example(2**64 - 1, 1)
@example(-1, 1)
@example(-(2**64), 2**64)
@example(-(2**64), -(2**64) - 1)
def test_sums_and_order_of_128_bits(a: int, b: int) -> None:
    assert wide.to_int(wide.from_ints([a])[0]) == a
    assert whole(*wide.add(*pair(a), *pair(b))) == a + b
    assert whole(*wide.negate(*pair(a))) == -a
    assert bool(wide.less(*pair(a), *pair(b))) == (a < b)


@FAST
@given(st.integers(-(10**27), 10**27), st.integers(1, 10**9))
@example(-(2**64), 2)
@example(-1, 1)
def test_a_product_of_128_and_64_bits(value: int, factor: int) -> None:
    assert whole(*wide.scale(*pair(value), np.uint64(factor))) == value * factor
    high, low = (np.array([part]) for part in pair(value))
    got = wide.scaled_wide(high, low.view(np.int64), np.array([factor]))
    assert wide.to_int(got[0]) == value * factor


@FAST
@given(wides, st.one_of(st.integers(1, 2**62 - 1), st.integers(0, 61).map(lambda n: 2**n)))
@example(3 * 2**64, 2**61)
@example(2**65 - 1, 2)
@example(-(2**65) + 1, 2)
@example(10**36, 1)
@example(5, 2)
@example(7, 2)
@example(-5, 2)
def test_quotients_round_half_even(value: int, divisor: int) -> None:
    got = whole(*wide.divide_half_even(*pair(value), np.uint64(divisor)))
    assert got == round(Fraction(value, divisor))


@FAST
@given(st.lists(st.integers(-(10**34), 10**34), min_size=1, max_size=20))
def test_columns_of_128_bits(values: list[int]) -> None:
    rows = wide.from_ints(values)
    assert [wide.to_int(row) for row in wide.negated(rows)] == [-value for value in values]
    total = rows.copy()
    wide.add_rows(total, wide.from_ints(values[::-1]))
    sums = [a + b for a, b in zip(values, values[::-1], strict=True)]
    assert [wide.to_int(row) for row in total] == sums
    wide.cumulate(rows)
    cumulated = [sum(values[: at + 1]) for at in range(len(values))]
    assert [wide.to_int(row) for row in rows] == cumulated
    floats = wide.to_floats(wide.from_ints(values), 1e18)
    np.testing.assert_allclose(floats, [value / 10**18 for value in values], rtol=1e-15)
