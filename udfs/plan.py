"""A run as values: what the configuration resolves to, and all that the stages ever see of it.

Decimals stand here as integers in units of 10^-18 ("units", see udfs/money.py), so that a plan is
plain data: hashable where it matters, picklable, and the same in every process.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

NO_CAP: int = -1  # an account whose number of open symbols is not limited

Params = Mapping[str, Any]


class SymbolPlan(NamedTuple):
    """A symbol's venue rules. `price_tick` and `qty_step` in units of 10^-18."""

    symbol: str
    price_tick: int
    qty_step: int
    quote: str


class StrategyPlan(NamedTuple):
    """One strategy with one set of parameters; a grid has become one of these per combination.

    `family_id` is the id that the configuration gives (a grid's own id, else the strategy's id).
    `timeframe_ms` is the anchor's; `symbols` are those it runs on, ascending. `intrabar`: it looks
    at the anchor's bar at every base close, which is more than its end. It gives no signal at or
    before `from_ts`; None: from the start of the run.
    """

    strategy_id: str
    family_id: str
    kind: str
    timeframe: str
    timeframe_ms: int
    params: Params
    params_hash: str
    version: str
    symbols: tuple[str, ...]
    intrabar: bool = False
    from_ts: int | None = None


class AccountPlan(NamedTuple):
    """An account as the gate, the paper broker and the engine see it.

    Exactly one of `fixed_qty` and `notional` is not None. `weights` has one entry per followed
    strategy id. `max_open_positions` is NO_CAP where nothing limits. `max_notional` None: no
    budget. `fee_bps` and `slippage_bps` in units of 10^-18 basis points.
    """

    account_id: str
    strategies: tuple[str, ...]
    fixed_qty: int | None
    notional: int | None
    weights: Mapping[str, int]
    max_open_positions: int
    max_notional: int | None
    fee_bps: int
    slippage_bps: int
    start_capital: int
    broker: str
    is_shadow: bool


class GatePlan(NamedTuple):
    """Settings of the gate that all accounts share."""

    max_entries: int
    sell_requires_long: bool
    reserve_on_open: bool
    reservation_ttl_ms: int


class OwnSource(NamedTuple):
    """A module of strategies and features that a user adds.

    `path` is the file as the configuration names it and `text` its content, so that every process
    of a run has the same code; of an entry point, `path` is the module's name and `text` None.
    """

    path: str
    sha256: str
    text: str | None


class RunPlan(NamedTuple):
    """A whole run. `start_ts`, `end_ts`: None where the run is not limited on that side.

    `first_ts` is start_ts - warmup: bars before it are out of range. Strategies ascend by id,
    symbols by name, accounts by id.
    """

    run_id: str
    run_tag: str
    start_ts: int | None
    end_ts: int | None
    first_ts: int | None
    base_timeframe: str
    base_ms: int
    symbols: tuple[SymbolPlan, ...]
    strategies: tuple[StrategyPlan, ...]
    accounts: tuple[AccountPlan, ...]
    gate: GatePlan
    dedupe_ttl_ms: int
    zone: str
    periods: int
    full_output: bool
    trace: bool
    grid_left_out: int
    own: tuple[OwnSource, ...] = ()

    @property
    def has_paper(self) -> bool:
        """Whether the paper broker fills any account's orders."""
        return any(account.broker == "paper" for account in self.accounts)

    def symbol(self, name: str) -> SymbolPlan:
        """The symbol of that name; KeyError where there is none."""
        for symbol in self.symbols:
            if symbol.symbol == name:
                return symbol
        raise KeyError(name)

    def strategy(self, strategy_id: str) -> StrategyPlan:
        """The strategy of that id; KeyError where there is none."""
        for strategy in self.strategies:
            if strategy.strategy_id == strategy_id:
                return strategy
        raise KeyError(strategy_id)
