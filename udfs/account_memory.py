"""What the compiled account fold reads and fills: columns of whole numbers by name."""

from typing import NamedTuple

from udfs.bars import Bools, Floats, Ints
from udfs.signal_columns import Actions, Indices


class Events(NamedTuple):
    """Signals in order (n) and their fills' order: see AccountInput. `key` int64[n]."""

    key: Ints
    symbol: Indices
    action: Actions
    ts: Ints
    price: Ints
    fill_price: Ints
    fill_ts: Ints
    fill_at: Ints


class Rules(NamedTuple):
    """Per account and per key k / symbol s.

    `fixed` int64[k] the sized quantity, or -1: then `sized_high/low` int64[k] / the price gives
    whole steps of `step` int64[s]. A fee in 1e-12 is price x qty x `fee_bps` x `fee_factor`
    int64[s] / `fee_divisor` int64[s]. `lift` int64[s] takes a product to 18 decimals. cap -1:
    none. `limit_high/low` the budget in units, limit_high -1: none.
    """

    fixed: Ints
    sized_high: Ints
    sized_low: Ints
    step: Ints
    fee_bps: int
    fee_factor: Ints
    fee_divisor: Ints
    lift: Ints
    cap: int
    limit_high: int
    limit_low: int
    max_entries: int
    sell_requires_long: bool
    reserve_on_open: bool
    ttl_ms: int


class Books(NamedTuple):
    """Per key k, filled by the loop; lots are a linked list of signals from `head` to `tail`.

    cost, pnl and fees are int64[k, 2] (low bits, high); fees and open_fees in 1e-12.
    """

    net: Ints
    cost: Ints
    open_fees: Ints
    head: Ints
    tail: Ints
    pnl: Ints
    fees: Ints
    matches: Ints
    seq: Ints
    updated_ts: Ints
    matched_ts: Ints


class Decided(NamedTuple):
    """Per signal n, filled by the loop. qty -1: not computed. `next_lot` links open lots."""

    code: Actions
    qty: Ints
    open_symbols: Indices
    reserved_symbols: Indices
    fee: Ints
    next_lot: Ints
    fill_signal: Ints
    fill_cost: Floats
    match_open: Ints
    match_close: Ints
    match_index: Indices
    match_pnl: Ints
    match_fees: Ints


class Days(NamedTuple):
    """`starts` int64[days + 1]; per key and day: what the day realized, and the state at its end.

    pnl, fees, cost int64[k, days, 2] (low bits, high); net, open_fees int64[k, days]; `touched`.
    """

    starts: Ints
    pnl: Ints
    fees: Ints
    net: Ints
    cost: Ints
    open_fees: Ints
    touched: Bools


class Gate(NamedTuple):
    """The gate's memory: per key k and symbol s. `held` int64[k + 1, 2] in units, last the sum."""

    reserved_until: Ints
    entries: Ints
    held: Ints
    open_keys: Ints
    reserved_symbol: Ints
