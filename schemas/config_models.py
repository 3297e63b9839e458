"""The configuration as a value: one model per group of keys, every default in its place.

Decimals are held in units of 10^-18 (udfs/money.py) and times in epoch milliseconds; both are
written as text again. What one model alone can't see is checked in schemas/config_checks.py.
"""

from typing import Any, Literal, Self

from pydantic import Field, PrivateAttr, model_validator

from schemas.config_group import Group
from schemas.config_security import SecurityConfig
from schemas.config_values import (
    Addresses,
    Amount,
    AmountFromZero,
    Count,
    Days,
    FolderName,
    Memory,
    Paths,
    Positive,
    PositiveAmount,
    PositiveSpan,
    Seconds,
    Span,
    Text,
    Time,
    Timeframe,
    Zone,
)
from udfs.errors import InvariantError
from udfs.money import DECIMALS, UNIT, plain_text
from udfs.plan import OwnSource

BPS_OF_ONE = 10_000 * UNIT


class RunConfig(Group):
    """The run's name and the span of its bars' open times: start inclusive, end exclusive."""

    id: FolderName = "demo"
    start: Time | None = None
    end: Time | None = None
    warmup: Span = "0"

    @model_validator(mode="after")
    def _start_before_end(self) -> Self:
        if self.start is not None and self.end is not None and self.start >= self.end:
            raise ValueError("start is not before end; end is exclusive and must lie after start")
        return self


class PricesConfig(Group):
    """Where bars come from, and the length of a base bar."""

    files: Paths = ("data/sample/*.parquet",)
    timeframe: Timeframe = "1m"


class SymbolConfig(Group):
    """A symbol's venue rules; `quote` None: the last three letters of the symbol.

    `stale_after` is how long it may be without a bar before monitoring says so; None: 120 s where
    it is `liquid`, else for ever.
    """

    price_tick: PositiveAmount = UNIT // 10**8
    qty_step: PositiveAmount = UNIT // 10**8
    quote: Text | None = None
    liquid: bool = False
    stale_after: PositiveSpan | None = None

    @model_validator(mode="after")
    def _products_stay_exact(self) -> Self:
        together = _decimals(self.price_tick) + _decimals(self.qty_step)
        if together > DECIMALS:
            raise ValueError(
                f"price_tick {plain_text(self.price_tick)} and qty_step "
                f"{plain_text(self.qty_step)} have {together} decimals together; at most "
                f"{DECIMALS} keep money exact"
            )
        return self


class StrategyConfig(Group):
    """One strategy, or a family of them by `grid` or `sets`. Exactly one of the three is given.

    `kind` is a built-in one, one of the file or files that `module` names, or one that an installed
    package offers; without it the module's only one. `timeframe` None: the base's. `intrabar`: it
    looks at its bar before that is finished, too. `symbols` None: all of them. `from_ts`: it gives
    no signal at or before that time.
    """

    id: Text
    kind: Text | None = None
    module: Paths | None = None
    timeframe: Timeframe | None = None
    intrabar: bool = False
    symbols: list[Text] | None = None
    from_ts: Time | None = Field(default=None, alias="from")
    params: dict[str, Any] | None = None
    grid: dict[str, list[Any]] | None = None
    sets: list[dict[str, Any]] | None = None

    @property
    def kind_name(self) -> str:
        """The kind; a configuration that was checked has one for every strategy."""
        if self.kind is None:
            raise InvariantError(f"strategy {self.id!r} was not given its kind")
        return self.kind

    @model_validator(mode="after")
    def _some_kind(self) -> Self:
        if self.kind is None and self.module is None:
            raise ValueError("kind is missing; write one such as kind: ema_cross")
        return self

    @model_validator(mode="after")
    def _one_source_of_parameters(self) -> Self:
        given = [name for name in ("params", "grid", "sets") if getattr(self, name) is not None]
        if len(given) != 1:
            found = " and ".join(given) or "none of them"
            raise ValueError(f"give exactly one of params, grid and sets; found {found}")
        return self


class SizingConfig(Group):
    """How large a BUY is: a fixed quantity, or an amount of the quote currency."""

    fixed_qty: PositiveAmount | None = None
    notional: PositiveAmount | None = None

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if (self.fixed_qty is None) == (self.notional is None):
            raise ValueError(
                'give exactly one of fixed_qty and notional, such as {notional: "10000"}'
            )
        return self


class LimitsConfig(Group):
    """An account's own limits. A cap that is given as null means no cap."""

    max_open_positions: Count | None = Field(default=None, alias="maxOpenPositions")
    max_notional: AmountFromZero | None = Field(default=None, alias="maxNotional")

    @property
    def has_own_cap(self) -> bool:
        """Whether the account says anything about its cap, null included."""
        return "max_open_positions" in self.model_fields_set


class AccountConfig(Group):
    """An account: what it follows, how it sizes, its limits, and the costs of its paper broker."""

    id: Text
    start_capital: AmountFromZero = 100_000 * UNIT
    strategies: list[Text]
    sizing: SizingConfig
    weights: dict[str, AmountFromZero] = Field(default={})
    limits: LimitsConfig = LimitsConfig()
    fee_bps: Amount = 0
    slippage_bps: Amount = 0
    broker: Literal["paper", "external"] = "paper"
    shadow: bool = False

    @model_validator(mode="after")
    def _slippage_leaves_a_price(self) -> Self:
        if not -BPS_OF_ONE < self.slippage_bps < BPS_OF_ONE:
            raise ValueError(
                f"slippage_bps {plain_text(self.slippage_bps)} leaves no price; it must lie "
                "between -10000 and 10000"
            )
        return self


class EngineConfig(Group):
    """What the trading engine writes."""

    outputs: Literal["matches-only", "full"] = "matches-only"


class TradePickerConfig(Group):
    """The gate's settings. `maxOpenPositions` null: no cap; `maxEntries` 0: no limit."""

    max_open_positions: Count | None = Field(default=3, alias="maxOpenPositions")
    max_entries: Count = Field(default=0, alias="maxEntries")
    sell_requires_long: bool = Field(default=True, alias="sellRequiresLong")
    reserve_on_open: bool = Field(default=True, alias="reserveOnOpen")
    reservation_ttl_ms: Count = Field(default=300_000, alias="reservationTtlMs")


class DedupeConfig(Group):
    """For how many days of event time the engine knows a fill again."""

    ttl_days: Days = Field(default=7, alias="ttlDays")


class PatienceConfig(Group):
    """How long a stage waits for one that is late, in seconds of wall clock; None: for ever."""

    lateness_sec: Seconds | None = Field(default=5, alias="latenessSec")


class MonitorPatienceConfig(PatienceConfig):
    """The monitor's patience: shorter, since it only watches."""

    lateness_sec: Seconds | None = Field(default=2, alias="latenessSec")


class WatermarksConfig(Group):
    """The patience of every stage."""

    indicators: PatienceConfig = PatienceConfig()
    strategies: PatienceConfig = PatienceConfig()
    tradepicker: PatienceConfig = PatienceConfig()
    broker: PatienceConfig = PatienceConfig()
    engine: PatienceConfig = PatienceConfig()
    monitor: MonitorPatienceConfig = MonitorPatienceConfig()


class IndicatorsConfig(Group):
    """When a live window counts as final, in ms of wall clock after its close."""

    final_after_ms: Count = Field(default=5_000, alias="finalAfterMs")


class AlertsConfig(Group):
    """When risk is told of. Ratios are of equity; None: never. `stale` None: 120 s or two bars.

    An alert that was raised is cleared once its value is below `clear_at` times the limit.
    """

    drawdown_ratio: PositiveAmount | None = UNIT // 20
    drawdown: PositiveAmount | None = None
    exposure_ratio: PositiveAmount | None = 2 * UNIT
    stale: PositiveSpan | None = None
    clear_at: PositiveAmount = UNIT * 8 // 10

    @model_validator(mode="after")
    def _cleared_below_the_limit(self) -> Self:
        if self.clear_at > UNIT:
            raise ValueError(
                f"clear_at {plain_text(self.clear_at)} is above 1, so an alert would be cleared "
                'while its limit is passed; write a share such as clear_at: "0.8"'
            )
        return self


class MonitoringConfig(Group):
    """Where figures of operation go. `topK`: how many symbols of an account have their own."""

    export: Literal["metrics", "fluss", "both"] = "metrics"
    top_k: Positive = Field(default=10, alias="topK")
    alerts: AlertsConfig = AlertsConfig()


class StoreConfig(Group):
    """Where tables live. `retentionDays` None: history is kept for good.

    `security` None: a store that asks nobody who they are.
    """

    kind: Literal["files", "fluss", "kafka"] = "files"
    addresses: Addresses | None = None
    database: Text | None = None
    retention_days: Days | None = Field(default=None, alias="retentionDays")
    security: SecurityConfig | None = None


class LiveConfig(Group):
    """The processes of a live stack on this machine; `slots` None: as many as its jobs need."""

    parallelism: Positive = 1
    task_managers: Positive = 1
    task_manager_memory: Memory = "2g"
    slots: Positive | None = None


class FreshnessConfig(Group):
    """How often a feed commits its position; bars older than this are warned of."""

    price: PositiveSpan = "5s"


class FlussConfig(Group):
    """What only the Fluss store reads. `fetchWaitMs`: how long a job's request waits for rows."""

    freshness: FreshnessConfig = FreshnessConfig()
    fetch_wait_ms: Positive = Field(default=500, alias="fetchWaitMs")


class ReportConfig(Group):
    """The zone whose local dates are days, and the days of a year that Sharpe counts."""

    zone: Zone = "Europe/Oslo"
    periods: Positive = 365


class Config(Group):
    """A whole configuration. Build it with schemas.config, which also checks it as a whole."""

    run: RunConfig = RunConfig()
    prices: PricesConfig = PricesConfig()
    symbols: dict[Text, SymbolConfig]
    strategies: list[StrategyConfig]
    accounts: list[AccountConfig]
    engine: EngineConfig = EngineConfig()
    tradepicker: TradePickerConfig = TradePickerConfig()
    dedupe: DedupeConfig = DedupeConfig()
    wm: WatermarksConfig = WatermarksConfig()
    indicators: IndicatorsConfig = IndicatorsConfig()
    monitoring: MonitoringConfig = MonitoringConfig()
    store: StoreConfig = StoreConfig()
    live: LiveConfig = LiveConfig()
    fluss: FlussConfig = FlussConfig()
    report: ReportConfig = ReportConfig()
    # The modules that its strategies name, as they were when the configuration was read.
    _own: tuple[OwnSource, ...] = PrivateAttr(default=())

    @property
    def own(self) -> tuple[OwnSource, ...]:
        """The modules of users' strategies and features."""
        return self._own

    def with_kinds(self, strategies: list[StrategyConfig], own: tuple[OwnSource, ...]) -> Self:
        """The same with these strategies, whose kinds are in these modules or built in."""
        found = self.model_copy(update={"strategies": strategies})
        found._own = own
        return found


def _decimals(amount: int) -> int:
    """How many decimals an amount in units shows: 0.01 has two, 100 has none."""
    return len(plain_text(amount).partition(".")[2])
