"""Random fills of one or several keys, and the engine run over them with its memory of copies."""

from collections.abc import Callable
from fractions import Fraction

from hypothesis import strategies as st

from udfs import engine
from udfs.engine import Booked, EngineState, Verdict
from udfs.money import UNIT
from udfs.rows import BUY, SELL, Fill

QUOTE = "USD"
DAY_MS = 86_400_000
TTL_MS = 7 * DAY_MS
CURRENCIES = (QUOTE, QUOTE, "BNB", "ADA")
Key = tuple[str, str, str]


def fills(
    min_size: int = 0, max_size: int = 25, account: str = "acct-1", symbol: str = "BTCUSD"
) -> st.SearchStrategy[list[Fill]]:
    """Fills of one key in order of time; quantities from a few steps, so that lots match whole."""
    parts = st.tuples(
        st.sampled_from((BUY, SELL)),
        st.one_of(st.integers(1, 6).map(lambda n: n * UNIT // 2), st.integers(1, 10**22)),
        st.integers(1, 10**23),
        st.one_of(st.integers(-(10**7), 10**7), st.integers(-(10**19), 10**19)),
        st.sampled_from(CURRENCIES),
        st.integers(0, DAY_MS),
    )
    rows = st.integers(min_size, max_size).flatmap(
        lambda n: st.lists(parts, min_size=n, max_size=n)
    )

    def numbered(found: list[tuple[int, int, int, int, str, int]]) -> list[Fill]:
        ts, made = 0, []
        for number, (side, qty, price, fee, currency, gap) in enumerate(found):
            ts += gap
            order = f"o{number // 2}"  # an order is filled in two parts
            names = (account, "s", order, f"{order}:{number}", symbol)
            made.append(Fill(*names, side, qty, price, ts, fee, currency, "TEST"))
        return made

    return rows.map(numbered)


def book(history: list[Fill]) -> tuple[EngineState, list[Booked]]:
    """All fills applied, whatever their times."""
    state, booked = engine.EMPTY, []
    for fill in history:
        state, one = engine.apply(state, fill, QUOTE)
        booked.append(one)
    return state, booked


def same(state: EngineState) -> EngineState:
    return state


class Engine:
    """The engine as a job runs it: a state and a memory per key.

    forget: pairs older than twice the ttl are forgotten, as the docstring of `verdict` allows.
    """

    def __init__(
        self, forget: bool = False, carry: Callable[[EngineState], EngineState] = same
    ) -> None:
        self.states: dict[Key, EngineState] = {}
        self.seen: dict[Key, dict[tuple[str, str], int]] = {}
        self.outputs: dict[Key, list[Booked]] = {}
        self.verdicts: list[Verdict] = []
        self.forget, self.carry = forget, carry

    def run(self, history: list[Fill]) -> "Engine":
        for fill in history:
            self.take(fill)
        return self

    def take(self, fill: Fill) -> None:
        key = (fill.account_id, fill.strategy_id, fill.symbol)
        state = self.states.get(key, engine.EMPTY)
        seen = self.seen.setdefault(key, {})
        pair = (fill.order_id, fill.fill_id)
        verdict = engine.verdict(state, fill, seen.get(pair), TTL_MS)
        self.verdicts.append(verdict)
        if verdict is not Verdict.APPLY:
            return
        seen[pair] = fill.ts
        state, booked = engine.apply(state, fill, QUOTE)
        self.outputs.setdefault(key, []).append(booked)
        self.states[key] = self.carry(state)
        if self.forget:
            oldest = (state.newest_ts or 0) - 2 * TTL_MS
            self.seen[key] = {pair: ts for pair, ts in seen.items() if ts >= oldest}


def half_even(value: Fraction, unit: int) -> int:
    """The multiple of `unit` nearest to the value, by Python's own rounding."""
    return round(value / unit) * unit
