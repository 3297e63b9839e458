"""The gate of one account: which signals become orders, and of what quantity."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from typing import NamedTuple

from .exact import floor_to, hash_of, rounded_price
from .settings import Account, Settings
from .signals import Signal

Key = tuple[str, str]  # strategy_id, symbol
ZERO = Decimal(0)


class Order(NamedTuple):
    """An accepted signal. `closes`: it reduces a position; `entry`: it counts as an entry."""

    order_id: str
    key: Key
    action: str
    qty: Decimal
    closes: bool
    entry: bool
    notional: Fraction


class Decision(NamedTuple):
    """`order` is None for a rejected signal; the counts are None for an account without a cap."""

    code: str
    qty: Decimal | None
    order: Order | None
    open_symbols: int | None
    reserved_symbols: int | None


class Gate:
    """State of one account, changed by `decide`, `filled` and `ended` in order of events."""

    def __init__(self, account: Account, settings: Settings) -> None:
        self.account = account
        self.settings = settings
        self.net: dict[Key, Decimal] = {}
        self.reserved_until: dict[Key, int] = {}
        self.pending: dict[Key, Decimal] = {}
        self.entries: dict[Key, int] = {}
        self.committed: dict[Key, Fraction] = {}
        self.over_cap = 0

    def open_symbols(self) -> set[str]:
        return {symbol for (_, symbol), net in self.net.items() if net != 0}

    def reserved_symbols(self, now: int) -> set[str]:
        return {symbol for (_, symbol), until in self.reserved_until.items() if now < until}

    def close_of(self, signal: Signal) -> Decimal:
        return rounded_price(signal.close, self.settings.symbols[signal.symbol].tick)

    def sized(self, signal: Signal) -> Decimal | None:
        """The quantity of an opening order; 0 where nothing is left, None for a close of 0."""
        close = self.close_of(signal)
        if close == 0:
            return None
        scale = Fraction(signal.size_hint) * self.account.weights[signal.strategy_id]
        if self.account.fixed_qty is not None:
            wanted = self.account.fixed_qty * scale
        else:
            assert self.account.notional is not None
            wanted = self.account.notional * scale / Fraction(close)
        return max(ZERO, floor_to(wanted, self.settings.symbols[signal.symbol].step))

    def decide(self, signal: Signal) -> Decision:
        """Accept or reject a signal, at its own event time, and keep what was accepted."""
        open_, reserved = self.open_symbols(), self.reserved_symbols(signal.signal_ts)
        capped = self.account.cap is not None
        if signal.action == "BUY":
            code, qty, closes = self.decide_buy(signal, open_ | reserved)
        else:
            code, qty, closes = self.decide_sell(signal, open_)
        order = None
        if code == "OK":
            assert qty is not None
            order = self.accept(signal, qty, closes)
        return Decision(
            code, qty, order, len(open_) if capped else None, len(reserved) if capped else None
        )

    def decide_buy(self, signal: Signal, taken: set[str]) -> tuple[str, Decimal | None, bool]:
        key = (signal.strategy_id, signal.symbol)
        net = self.net.get(key, ZERO)
        if net < 0 and not self.settings.sell_requires_long:
            qty = -net - self.pending.get(key, ZERO)
            return ("OK", qty, True) if qty > 0 else ("BUY_ALREADY_PENDING", ZERO, True)
        sized = self.sized(signal)
        if sized is None or sized == 0:
            return "QTY_BELOW_STEP", sized, False
        if 0 < self.settings.max_entries <= self.entries.get(key, 0):
            return "ENTRY_LIMIT_EXCEEDED", sized, False
        cap = self.account.cap
        if cap is not None and signal.symbol not in taken and len(taken) >= cap:
            return "OPEN_LIMIT_EXCEEDED", sized, False
        budget = self.account.budget
        notional = Fraction(sized) * Fraction(self.close_of(signal))
        if budget is not None and sum(self.committed.values()) + notional > budget:
            return "BUDGET_EXCEEDED", sized, False
        return "OK", sized, False

    def decide_sell(self, signal: Signal, open_: set[str]) -> tuple[str, Decimal | None, bool]:
        key = (signal.strategy_id, signal.symbol)
        net = self.net.get(key, ZERO)
        if net > 0:
            qty = net - self.pending.get(key, ZERO)
            return ("OK", qty, True) if qty > 0 else ("SELL_ALREADY_PENDING", ZERO, True)
        if self.settings.sell_requires_long or signal.symbol not in open_:
            return "NO_OPEN_POSITION", None, False
        sized = self.sized(signal)
        if sized is None or sized == 0:
            return "QTY_BELOW_STEP", sized, False
        return "OK", sized, False

    def accept(self, signal: Signal, qty: Decimal, closes: bool) -> Order:
        key = (signal.strategy_id, signal.symbol)
        entry = signal.action == "BUY" and not closes
        notional = Fraction(qty) * Fraction(self.close_of(signal)) if entry else Fraction(0)
        if entry:
            self.entries[key] = self.entries.get(key, 0) + 1
            self.committed[key] = self.committed.get(key, Fraction(0)) + notional
        if closes:
            self.pending[key] = self.pending.get(key, ZERO) + qty
        if signal.action == "BUY" and self.settings.reserve_on_open:
            self.reserved_until[key] = signal.signal_ts + self.settings.reservation_ttl_ms
        order_id = hash_of(self.account.id, signal.signal_id)
        return Order(order_id, key, signal.action, qty, closes, entry, notional)

    def filled(self, order: Order) -> None:
        """The order was filled whole: its position changed, and it has ended."""
        key = order.key
        before = self.net.get(key, ZERO)
        after = before + (order.qty if order.action == "BUY" else -order.qty)
        was_open = key[1] in self.open_symbols()
        self.net[key] = after
        if order.closes:
            self.pending[key] -= order.qty
        if after > before:
            self.reserved_until.pop(key, None)
        if before > 0 and after < before:
            left = Fraction(max(after, ZERO)) / Fraction(before)
            self.committed[key] = self.committed.get(key, Fraction(0)) * left
        if after == 0:
            self.entries[key] = 0
        open_ = self.open_symbols()
        cap = self.account.cap
        if cap is not None and not was_open and key[1] in open_ and len(open_) > cap:
            self.over_cap += 1

    def ended(self, order: Order) -> None:
        """The order ended without any fill."""
        key = order.key
        if order.action == "BUY":
            self.reserved_until.pop(key, None)
        if order.closes:
            self.pending[key] -= order.qty
        if order.entry:
            self.committed[key] -= order.notional
            self.entries[key] -= 1
