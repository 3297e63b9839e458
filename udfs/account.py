"""The bounded fold of one account: what goes in, in which order, and what comes out.

Two forms make the same `Outcome` of the same `AccountInput`: `account_fold.fold` calls gate, paper
broker and engine step by step on exact integers; `account_batch.fold` does it in compiled columns
and gives up (None) where a number does not fit. A property test holds them equal.
"""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from udfs.bars import Bools, Floats, Ints
from udfs.engine import EngineState
from udfs.plan import AccountPlan, RunPlan, SymbolPlan
from udfs.signal_columns import NO_NEXT, Actions, Indices, Signals, concat_signals, no_signals

Pairs = Ints  # int64[n, 2]: 128-bit little-endian (low bits, high), in units of 10^-18
NULL = -1


class DayGrid(NamedTuple):
    """The local days of a run: `starts` int64[days + 1] (UTC ms), and each symbol's last close.

    `closes` float64[symbols, days]: the last close at or before the end of each day, NaN before
    the symbol's first bar.
    """

    first_day: int
    starts: Ints
    closes: Floats

    @property
    def days(self) -> int:
        """How many days there are."""
        return len(self.starts) - 1


class AccountInput(NamedTuple):
    """One fold group: an account and the symbols whose signals it takes together.

    Signals are columns in the order in which they apply: event time, SELL first, strategy,
    symbol. `symbol` indexes `symbols`, `strategy` the plan's strategies. `fill_at` lists the
    signals that have a next bar in the order in which their fills would apply.
    """

    account: AccountPlan
    symbols: tuple[SymbolPlan, ...]
    symbol: Indices
    signals: Signals
    fill_ts: Ints
    fill_at: Ints
    days: DayGrid


class Outcome(NamedTuple):
    """What the fold decided. Arrays of length n are per signal, f per fill, m per match.

    code int8[n] (index into CODES), qty int64[n, 2] with qty_known, open_symbols and
    reserved_symbols int32[n] (-1 where the account has no cap), price and fee int64[n, 2] of the
    signal's fill; fill_signal int64[f] in order of application, fill_cost float64[f] the key's
    absolute open cost after it; match_open and match_close int64[m] (signals), match_index
    int32[m], match_qty, match_pnl, match_fees int64[m, 2]; states by (strategy, symbol) index;
    daily int64[groups, days, 4, 2]: realized, fees, unrealized, open fees per (strategy, quote).
    """

    code: Actions
    qty: Pairs
    qty_known: Bools
    open_symbols: Indices
    reserved_symbols: Indices
    price: Pairs
    fee: Pairs
    fill_signal: Ints
    fill_cost: Floats
    match_open: Ints
    match_close: Ints
    match_index: Indices
    match_qty: Pairs
    match_pnl: Pairs
    match_fees: Pairs
    states: Mapping[tuple[int, int], EngineState]
    daily: npt.NDArray[np.int64]
    over_cap: int


REALIZED, FEES, UNREALIZED, OPEN_FEES = range(4)


def day_groups(plan: RunPlan, given: AccountInput) -> tuple[list[tuple[int, str]], Ints]:
    """The (strategy, quote) pairs of the daily table, and int64[strategies, symbols] into them.

    -1 where the account does not trade that strategy on that symbol.
    """
    followed = set(given.account.strategies)
    groups: dict[tuple[int, str], int] = {}
    index = np.full((len(plan.strategies), len(given.symbols)), NULL, dtype=np.int64)
    for i, strategy in enumerate(plan.strategies):
        if strategy.strategy_id not in followed:
            continue
        for j, symbol in enumerate(given.symbols):
            if symbol.symbol in strategy.symbols:
                index[i, j] = groups.setdefault((i, symbol.quote), len(groups))
    return list(groups), index


def is_independent(plan: RunPlan, account: AccountPlan) -> bool:
    """Whether nothing that the gate decides on one symbol depends on another.

    Then the account's fold may be split by symbol: no cap, no budget, no shorts.
    """
    return (
        account.max_open_positions == NULL
        and account.max_notional is None
        and plan.gate.sell_requires_long
    )


def account_input(
    plan: RunPlan,
    account: AccountPlan,
    symbols: tuple[SymbolPlan, ...],
    pieces: Mapping[str, Signals],
    days: DayGrid,
) -> AccountInput:
    """The account's signals of these symbols, put in the order in which they apply."""
    followed = set(account.strategies)
    wanted = np.array([s.strategy_id in followed for s in plan.strategies], dtype=np.bool_)
    taken: list[Signals] = []
    numbers: list[Indices] = []
    for number, symbol in enumerate(symbols):
        signals = pieces.get(symbol.symbol)
        if signals is None:
            continue
        if not wanted.all():
            mask = wanted[signals.strategy]
            signals = Signals._make(column[mask] for column in signals)
        taken.append(signals)
        numbers.append(np.full(len(signals.ts), number, dtype=np.int32))
    signals, symbol_at = _join(taken, numbers)
    width = len(symbols) * len(plan.strategies)
    rank = signals.strategy.astype(np.int64) * len(symbols) + symbol_at
    order = np.argsort(_sort_key(signals.ts, plan.base_ms, (signals.action > 0) * width + rank))
    signals = Signals._make(column[order] for column in signals)
    symbol_at, rank = symbol_at[order], rank[order]
    fill_ts = np.where(signals.next_ts != NO_NEXT, signals.next_ts + plan.base_ms, NULL)
    fills = np.flatnonzero(signals.next_ts != NO_NEXT)
    fill_at = fills[np.argsort(_sort_key(fill_ts[fills], plan.base_ms, rank[fills]))]
    return AccountInput(account, symbols, symbol_at, signals, fill_ts, fill_at, days)


def _join(taken: list[Signals], numbers: list[Indices]) -> tuple[Signals, Indices]:
    """The symbols' columns one after another."""
    if not taken:
        return no_signals(), np.empty(0, dtype=np.int32)
    return concat_signals(taken), np.concatenate(numbers)


def _sort_key(ts: Ints, base_ms: int, rank: Ints) -> Ints:
    """One integer per row that sorts by ts, then rank (>= 0)."""
    if not len(ts):
        return np.empty(0, dtype=np.int64)
    span = int(rank.max()) + 1
    return np.asarray((ts - ts.min()) // base_ms * span + rank, dtype=np.int64)
