"""From a checked configuration to the plan of a run: grids spread out, caps settled."""

import hashlib
import json
from collections.abc import Mapping, Sequence

from schemas.config_checks import SHADOW_PREFIX, quote_of
from schemas.config_models import AccountConfig, Config, StrategyConfig
from schemas.grid import Combination, Family, Names, expand, names_of
from schemas.own_code import library
from udfs.errors import ConfigError, nearest
from udfs.money import UNIT
from udfs.plan import (
    NO_CAP,
    AccountPlan,
    GatePlan,
    Params,
    RunPlan,
    StrategyPlan,
    SymbolPlan,
)
from udfs.timeframes import DAY_MS, span_ms, timeframe_ms

INTRABAR_VERSION = (
    "+intrabar"  # tells the signals of such a strategy from those of the same without
)


def plan_run(
    config: Config,
    trace: bool = False,
    run_tag: str = "BACKTEST",
    only_strategies: Sequence[str] = (),
) -> RunPlan:
    """The plan of a run of `config`, which parse_config or load_config has checked.

    `only_strategies` limits the run to these (a grid's id, or a combination's own): accounts then
    follow what is left of theirs, and one with nothing left is left out. ConfigError where one of
    them is no strategy, or where no account follows any of them.
    """
    kinds = library(config.own).kinds
    families = {
        strategy.id: expand(strategy, kinds[strategy.kind_name]) for strategy in config.strategies
    }
    names = names_of(families)
    chosen = _chosen(names, only_strategies)
    run = config.run
    return RunPlan(
        run_id=run.id,
        run_tag=run_tag,
        start_ts=run.start,
        end_ts=run.end,
        first_ts=None if run.start is None else run.start - span_ms(run.warmup),
        base_timeframe=config.prices.timeframe,
        base_ms=timeframe_ms(config.prices.timeframe),
        symbols=_symbols(config),
        strategies=_strategies(config, families, chosen),
        accounts=_accounts(config, names, chosen, only_strategies),
        gate=GatePlan(
            max_entries=config.tradepicker.max_entries,
            sell_requires_long=config.tradepicker.sell_requires_long,
            reserve_on_open=config.tradepicker.reserve_on_open,
            reservation_ttl_ms=config.tradepicker.reservation_ttl_ms,
        ),
        dedupe_ttl_ms=config.dedupe.ttl_days * DAY_MS,
        zone=config.report.zone,
        periods=config.report.periods,
        full_output=config.engine.outputs == "full",
        trace=trace,
        grid_left_out=sum(
            len(family.left_out)
            for family_id, family in families.items()
            if not only_strategies or family_id in only_strategies
        ),
        own=config.own,
    )


def params_hash(params: Params) -> str:
    """The first 12 hex digits of SHA-256 of the parameters as JSON, sorted keys, no spaces."""
    text = json.dumps(params, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def _chosen(names: Names, wanted: Sequence[str]) -> frozenset[str]:
    """The ids of the strategies that run: all of them, or those that `wanted` stand for."""
    for name in wanted:
        if name not in names:
            hint = nearest(name, names)
            raise ConfigError(f"{name!r} is not a strategy of the configuration{hint}")
    return frozenset(strategy_id for name in wanted or names for strategy_id in names[name].ids)


def _symbols(config: Config) -> tuple[SymbolPlan, ...]:
    return tuple(
        SymbolPlan(name, symbol.price_tick, symbol.qty_step, quote_of(name, config))
        for name, symbol in sorted(config.symbols.items())
    )


def _strategies(
    config: Config, families: Mapping[str, Family], chosen: frozenset[str]
) -> tuple[StrategyPlan, ...]:
    plans = [
        _strategy(strategy, combination, config)
        for strategy in config.strategies
        for combination in families[strategy.id].combinations
        if combination.strategy_id in chosen
    ]
    return tuple(sorted(plans, key=lambda plan: plan.strategy_id))


def _strategy(strategy: StrategyConfig, combination: Combination, config: Config) -> StrategyPlan:
    timeframe = strategy.timeframe or config.prices.timeframe
    length_ms = timeframe_ms(timeframe)
    # A base bar is finished at its close, so there is nothing else to look at.
    intrabar = strategy.intrabar and length_ms > timeframe_ms(config.prices.timeframe)
    kind = library(config.own).kinds[strategy.kind_name]
    return StrategyPlan(
        strategy_id=combination.strategy_id,
        family_id=strategy.id,
        kind=kind.name,
        timeframe=timeframe,
        timeframe_ms=length_ms,
        params=dict(combination.params),
        params_hash=params_hash(combination.params),
        version=kind.version + INTRABAR_VERSION if intrabar else kind.version,
        symbols=tuple(sorted(set(strategy.symbols or config.symbols))),
        intrabar=intrabar,
        from_ts=strategy.from_ts,
    )


def _accounts(
    config: Config, names: Names, chosen: frozenset[str], only_strategies: Sequence[str]
) -> tuple[AccountPlan, ...]:
    """The plans of all accounts and shadows that follow any of the chosen strategies."""
    plans = []
    for account in config.accounts:
        plan = _account(account, config, names, chosen)
        if not plan.strategies:
            continue
        plans.append(plan)
        if account.shadow:
            plans.append(_shadow(plan))
    if not plans:
        wanted = ", ".join(only_strategies)
        raise ConfigError(f"no account follows {wanted}; add it to the strategies of an account")
    return tuple(sorted(plans, key=lambda plan: plan.account_id))


def _account(
    account: AccountConfig, config: Config, names: Names, chosen: frozenset[str]
) -> AccountPlan:
    followed = {strategy_id for name in account.strategies for strategy_id in names[name].ids}
    strategies = tuple(sorted(followed & chosen))
    return AccountPlan(
        account_id=account.id,
        strategies=strategies,
        fixed_qty=account.sizing.fixed_qty,
        notional=account.sizing.notional,
        weights=_weights(account, strategies, names),
        max_open_positions=_cap(account, config),
        max_notional=account.limits.max_notional,
        fee_bps=account.fee_bps,
        slippage_bps=account.slippage_bps,
        start_capital=account.start_capital,
        broker=account.broker,
        is_shadow=False,
    )


def _weights(account: AccountConfig, strategies: Sequence[str], names: Names) -> dict[str, int]:
    """A weight per strategy: its own comes first, then its grid's, then 1."""
    weights = account.weights
    return {
        name: weights.get(name, weights.get(names[name].family_id, UNIT)) for name in strategies
    }


def _cap(account: AccountConfig, config: Config) -> int:
    """How many symbols the account may hold open: its own word, none for paper:, the common one."""
    cap = config.tradepicker.max_open_positions
    if account.id.startswith(SHADOW_PREFIX):
        cap = None
    if account.limits.has_own_cap:
        cap = account.limits.max_open_positions
    return NO_CAP if cap is None else cap


def _shadow(plan: AccountPlan) -> AccountPlan:
    """The paper account beside an account: the same, without limits."""
    return plan._replace(
        account_id=SHADOW_PREFIX + plan.account_id,
        max_open_positions=NO_CAP,
        max_notional=None,
        broker="paper",
        is_shadow=True,
    )
