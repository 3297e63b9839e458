"""The compiled loop of the batch fold: gate, paper broker and engine over columns of one account.

What makes it short: with the paper broker an order fills whole before its key's next signal, so a
key never has two orders out, a closing fill closes every lot of its key, and every lot closes
whole. Amounts are int64 at each symbol's own decimals, products 128 bits (udfs/wide.py). The loop
answers OVERFLOW as soon as a number might not fit; the caller then takes the step form.
"""

import numpy as np

from udfs.account_memory import Books, Days, Decided, Events, Gate, Rules
from udfs.bars import Ints
from udfs.compiled import njit
from udfs.wide import (
    LIMIT,
    add,
    divide_half_even,
    divide_unsigned,
    from_int,
    less,
    multiply,
    negate,
    scale,
)

FITS = 4e18  # an int64 with room for a sum
OVERFLOW = 1
(
    OK,
    NO_OPEN_POSITION,
    QTY_BELOW_STEP,
    ENTRY_LIMIT_EXCEEDED,
    OPEN_LIMIT_EXCEEDED,
    BUDGET_EXCEEDED,
) = range(6)


@njit
def _fee(rules: Rules, symbol: np.int64, price: np.int64, qty: np.int64) -> np.int64:
    """The fee in 1e-12, half-even; the caller checked the magnitude."""
    high, low = multiply(price, qty)
    high, low = scale(high, low, np.uint64(abs(rules.fee_bps) * rules.fee_factor[symbol]))
    if rules.fee_divisor[symbol] > 1:
        high, low = divide_half_even(high, low, np.uint64(rules.fee_divisor[symbol]))
    fee = np.int64(low)
    return np.int64(-fee) if rules.fee_bps < 0 else fee


@njit
def _share(fee: np.int64, part: np.int64, whole: np.int64) -> np.int64:
    """fee x part / whole, half-even."""
    high, low = multiply(fee, part)
    high, low = divide_half_even(high, low, np.uint64(whole))
    return np.int64(low)


@njit
def _size(rules: Rules, key: np.int64, symbol: np.int64, price: np.int64) -> np.int64:
    """The sized quantity, -1 where the close rounds to 0, -2 where it might not fit."""
    if price <= 0:
        return np.int64(-1)
    if rules.fixed[key] >= 0:
        return np.int64(rules.fixed[key])
    high, low, _ = divide_unsigned(
        np.uint64(rules.sized_high[key]), np.uint64(rules.sized_low[key]), np.uint64(price)
    )
    if high != np.uint64(0) or float(low) * float(rules.step[symbol]) > FITS:
        return np.int64(-2)
    return np.int64(np.int64(low) * rules.step[symbol])


@njit
def _notional(qty: np.int64, price: np.int64, lift: np.int64) -> tuple[np.int64, np.uint64]:
    """qty x price in units of 10^-18."""
    high, low = multiply(qty, price)
    return scale(high, low, np.uint64(lift))


@njit
def _count(gate: Gate, ts: np.int64, symbol: np.int64) -> tuple[int, int, int, bool]:
    """Symbols open, reserved, either; and whether `symbol` is either."""
    opened = reserved = taken = 0
    for s in range(len(gate.open_keys)):
        is_open = gate.open_keys[s] > 0
        is_reserved = gate.reserved_symbol[s] > ts
        opened += is_open
        reserved += is_reserved
        taken += is_open or is_reserved
    mine = gate.open_keys[symbol] > 0 or gate.reserved_symbol[symbol] > ts
    return opened, reserved, taken, mine


@njit
def _check(
    rules: Rules, books: Books, gate: Gate, key: np.int64, symbol: np.int64, action: np.int64,
    price: np.int64, taken: int, mine: bool,
) -> tuple[int, np.int64]:  # fmt: skip
    """(code, quantity or -1) of a signal; quantity -2: overflow."""
    net = books.net[key]
    if action > 0:
        if net < 0:
            return OK, -net
        qty = _size(rules, key, symbol, price)
        if qty <= 0:
            return QTY_BELOW_STEP, qty
        if rules.max_entries > 0 and gate.entries[key] >= rules.max_entries:
            return ENTRY_LIMIT_EXCEEDED, qty
        if rules.cap >= 0 and not mine and taken >= rules.cap:
            return OPEN_LIMIT_EXCEEDED, qty
        if rules.limit_high >= 0:
            last = len(gate.held) - 1
            if float(qty) * float(price) * float(rules.lift[symbol]) > LIMIT:
                return BUDGET_EXCEEDED, np.int64(-2)
            high, low = _notional(qty, price, rules.lift[symbol])
            high, low = add(high, low, gate.held[last, 1], np.uint64(gate.held[last, 0]))
            if less(np.int64(rules.limit_high), np.uint64(rules.limit_low), high, low):
                return BUDGET_EXCEEDED, qty
        return OK, qty
    if rules.sell_requires_long:
        if net <= 0:
            return NO_OPEN_POSITION, np.int64(-1)
    elif gate.open_keys[symbol] == 0:
        return NO_OPEN_POSITION, np.int64(-1)
    if net > 0:
        return OK, net
    qty = _size(rules, key, symbol, price)
    if qty <= 0:
        return QTY_BELOW_STEP, qty
    return OK, qty


@njit
def _hold(gate: Gate, key: np.int64, high: np.int64, low: np.uint64) -> None:
    """Add to what a key has committed, and to the account's sum."""
    for row in (key, np.int64(len(gate.held) - 1)):
        new_high, new_low = add(high, low, gate.held[row, 1], np.uint64(gate.held[row, 0]))
        gate.held[row, 0] = np.int64(new_low)
        gate.held[row, 1] = new_high


@njit
def _accept(
    rules: Rules, books: Books, gate: Gate, key: np.int64, symbol: np.int64, qty: np.int64,
    price: np.int64, ts: np.int64,
) -> None:  # fmt: skip
    """A BUY was accepted: it reserves, and an opening one is an entry and commits its notional."""
    if rules.reserve_on_open:
        until = ts + rules.ttl_ms
        gate.reserved_until[key] = until
        gate.reserved_symbol[symbol] = max(gate.reserved_symbol[symbol], until)
    if books.net[key] >= 0:
        gate.entries[key] += 1
        if rules.limit_high >= 0:
            high, low = _notional(qty, price, rules.lift[symbol])
            _hold(gate, key, high, low)


@njit
def _release(gate: Gate, key: np.int64, symbol: np.int64, symbols: int) -> None:
    """A key's reservation ends: the symbol's is the latest of what is left."""
    until = gate.reserved_until[key]
    gate.reserved_until[key] = 0
    if until < gate.reserved_symbol[symbol] or until == 0:
        return
    latest = np.int64(0)
    for other in range(symbol, len(gate.reserved_until), symbols):
        latest = max(latest, gate.reserved_until[other])
    gate.reserved_symbol[symbol] = latest


@njit
def _open_lot(
    books: Books, decided: Decided, key: np.int64, at: np.int64, side: np.int64,
    qty: np.int64, price: np.int64,
) -> None:  # fmt: skip
    """Append the fill of signal `at` as a lot."""
    decided.next_lot[at] = -1
    if books.head[key] < 0:
        books.head[key] = at
    else:
        decided.next_lot[books.tail[key]] = at
    books.tail[key] = at
    high, low = multiply(side * qty, price)
    high, low = add(high, low, books.cost[key, 1], np.uint64(books.cost[key, 0]))
    books.cost[key, 0] = np.int64(low)
    books.cost[key, 1] = high
    books.net[key] += side * qty
    books.open_fees[key] += decided.fee[at]


@njit
def _accumulate(rows: Ints, row: np.int64, high: np.int64, low: np.uint64) -> None:
    """rows[row] += (high, low)."""
    new_high, new_low = add(high, low, rows[row, 1], np.uint64(rows[row, 0]))
    rows[row, 0] = np.int64(new_low)
    rows[row, 1] = new_high


@njit
def _close_lots(
    events: Events, books: Books, decided: Decided, days: Days, key: np.int64, at: np.int64,
    day: np.int64, count: int,
) -> int:  # fmt: skip
    """Close every lot of the key by the fill of signal `at`; the new number of matches."""
    side = np.int64(events.action[at])
    whole = decided.qty[at]
    fee_left = decided.fee[at]
    remaining = whole
    index = 0
    lot = books.head[key]
    while lot >= 0:
        qty = decided.qty[lot]
        share = fee_left if qty == remaining else _share(decided.fee[at], qty, whole)
        gain = -side * (events.fill_price[at] - events.fill_price[lot])
        high, low = multiply(gain, qty)
        fees = decided.fee[lot] + share
        decided.match_open[count] = lot
        decided.match_close[count] = at
        decided.match_index[count] = index
        decided.match_pnl[count, 0] = np.int64(low)
        decided.match_pnl[count, 1] = high
        decided.match_fees[count] = fees
        _accumulate(books.pnl, key, high, low)
        _accumulate(days.pnl[key], day, high, low)
        fee_high, fee_low = from_int(fees)
        _accumulate(books.fees, key, fee_high, fee_low)
        _accumulate(days.fees[key], day, fee_high, fee_low)
        remaining -= qty
        fee_left -= share
        count += 1
        index += 1
        lot = decided.next_lot[lot]
    books.matches[key] += index
    books.matched_ts[key] = events.fill_ts[at]
    books.head[key] = books.tail[key] = -1
    books.net[key] = 0
    books.cost[key, 0] = books.cost[key, 1] = 0
    books.open_fees[key] = 0
    return count


@njit
def _apply_fill(
    events: Events, rules: Rules, books: Books, gate: Gate, decided: Decided, days: Days,
    at: np.int64, day: np.int64, fills: int, matches: int,
) -> tuple[int, int]:  # fmt: skip
    """Book the fill of signal `at`: (matches so far or -1 for overflow, times over the cap)."""
    key, symbol = events.key[at], np.int64(events.symbol[at])
    action = np.int64(events.action[at])
    qty, price = decided.qty[at], events.fill_price[at]
    size = float(qty) * float(price)
    charged = size * abs(float(rules.fee_bps)) * float(rules.fee_factor[symbol])
    fee_size = charged / float(rules.fee_divisor[symbol])
    if max(charged, size * float(rules.lift[symbol])) > LIMIT or fee_size > FITS:
        return -1, 0
    decided.fee[at] = _fee(rules, symbol, price, qty)
    net = books.net[key]
    if net != 0 and (net > 0) != (action > 0):
        matches = _close_lots(events, books, decided, days, key, at, day, matches)
        gate.entries[key] = 0
        if rules.limit_high >= 0:
            high, low = negate(gate.held[key, 1], np.uint64(gate.held[key, 0]))
            _hold(gate, key, high, low)
    else:
        _open_lot(books, decided, key, at, action, qty, price)
        if abs(float(books.net[key])) > FITS or abs(float(books.open_fees[key])) > FITS:
            return -1, 0
    books.seq[key] += 1
    books.updated_ts[key] = events.fill_ts[at]
    over = 0
    if (net != 0) != (books.net[key] != 0):
        gate.open_keys[symbol] += 1 if books.net[key] != 0 else -1
        if rules.cap >= 0 and books.net[key] != 0 and gate.open_keys[symbol] == 1:
            opened = 0
            for s in range(len(gate.open_keys)):
                opened += gate.open_keys[s] > 0
            over = 1 if opened > rules.cap else 0
    if action > 0:
        _release(gate, key, symbol, len(gate.open_keys))
    days.touched[key, day] = True
    days.net[key, day] = books.net[key]
    days.cost[key, day] = books.cost[key]
    days.open_fees[key, day] = books.open_fees[key]
    decided.fill_signal[fills] = at
    high, low = books.cost[key, 1], np.uint64(books.cost[key, 0])
    if high < 0:
        high, low = negate(high, low)
    decided.fill_cost[fills] = float(high) * 2.0**64 + float(low)
    return matches, over


@njit
def run(
    events: Events, rules: Rules, books: Books, gate: Gate, decided: Decided, days: Days
) -> tuple[int, int, int, int]:
    """All events in order: (OVERFLOW or 0, fills, matches, times over the cap)."""
    position = fills = matches = over_cap = 0
    day = np.int64(0)
    signals, potential = len(events.ts), len(events.fill_at)
    for i in range(signals + 1):
        while position < potential:
            at = events.fill_at[position]
            if i < signals and events.fill_ts[at] > events.ts[i]:
                break
            position += 1
            if decided.code[at] != OK:
                continue
            while events.fill_ts[at] >= days.starts[day + 1]:
                day += 1
            matches, over = _apply_fill(
                events, rules, books, gate, decided, days, at, day, fills, matches
            )
            if matches < 0:
                return OVERFLOW, 0, 0, 0
            over_cap += over
            fills += 1
        if i == signals:
            break
        key, symbol = events.key[i], np.int64(events.symbol[i])
        opened, reserved, taken, mine = -1, -1, 0, False
        if rules.cap >= 0:
            opened, reserved, taken, mine = _count(gate, events.ts[i], symbol)
        action = np.int64(events.action[i])
        code, qty = _check(rules, books, gate, key, symbol, action, events.price[i], taken, mine)
        if qty == -2:
            return OVERFLOW, 0, 0, 0
        decided.code[i], decided.qty[i] = code, qty
        decided.open_symbols[i], decided.reserved_symbols[i] = opened, reserved
        if code == OK and action > 0:
            _accept(rules, books, gate, key, symbol, qty, events.price[i], events.ts[i])
    return 0, fills, matches, over_cap
