"""What each strategy of an account realized and was worth, day by day: the batch form's part."""

import numpy as np

from udfs.account import (
    FEES,
    OPEN_FEES,
    REALIZED,
    UNREALIZED,
    AccountInput,
    day_groups,
)
from udfs.account_memory import Days
from udfs.bars import Ints
from udfs.compiled import njit
from udfs.plan import RunPlan
from udfs.prices import price_integers
from udfs.wide import LIMIT, add, from_int, multiply, negate, scale


def daily_rows(plan: RunPlan, given: AccountInput, days: Days, lifts: Ints) -> Ints | None:
    """int64[groups, days, 4, 2]: what each (strategy, quote) realized and was worth, day by day."""
    groups, group_of = day_groups(plan, given)
    out = np.zeros((len(groups), given.days.days, 4, 2), dtype=np.int64)
    for number, symbol in enumerate(given.symbols):
        known = ~np.isnan(given.days.closes[number])
        closes = np.zeros(given.days.days, dtype=np.int64)
        rounded = price_integers(given.days.closes[number][known], symbol.price_tick)
        if rounded is None:
            return None
        closes[known] = rounded
        largest = float(np.abs(days.net[number :: len(given.symbols)]).max(initial=0))
        if largest * float(closes.max(initial=0)) * float(lifts[number]) > LIMIT:
            return None
        for strategy in range(len(plan.strategies)):
            key = strategy * len(given.symbols) + number
            if group_of[strategy, number] >= 0 and days.touched[key].any():
                _mark(days, key, closes, int(lifts[number]), out[group_of[strategy, number]])
    return out


@njit
def _mark(days: Days, key: int, closes: Ints, lift: int, out: Ints) -> None:
    """Add one key's days to its group's rows, at 18 decimals."""
    fee_lift = np.uint64(1_000_000)
    net = np.int64(0)
    open_fees = np.int64(0)
    cost_high, cost_low = from_int(np.int64(0))
    for day in range(len(closes)):
        if days.touched[key, day]:
            net = days.net[key, day]
            open_fees = days.open_fees[key, day]
            cost_high, cost_low = days.cost[key, day, 1], np.uint64(days.cost[key, day, 0])
        high, low = multiply(net, closes[day])
        minus_high, minus_low = negate(cost_high, cost_low)
        high, low = add(high, low, minus_high, minus_low)
        high, low = scale(high, low, np.uint64(lift))
        _add_to(out[day, UNREALIZED], high, low)
        high, low = from_int(open_fees)
        high, low = scale(high, low, fee_lift)
        _add_to(out[day, OPEN_FEES], high, low)
        high, low = scale(days.pnl[key, day, 1], np.uint64(days.pnl[key, day, 0]), np.uint64(lift))
        _add_to(out[day, REALIZED], high, low)
        high, low = scale(days.fees[key, day, 1], np.uint64(days.fees[key, day, 0]), fee_lift)
        _add_to(out[day, FEES], high, low)


@njit
def _add_to(cell: Ints, high: np.int64, low: np.uint64) -> None:
    """cell (low bits, high) += (high, low)."""
    new_high, new_low = add(high, low, cell[1], np.uint64(cell[0]))
    cell[0] = np.int64(new_low)
    cell[1] = new_high
