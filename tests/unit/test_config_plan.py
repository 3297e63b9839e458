"""The plan that a configuration becomes: grids, weights, caps, times, shadows."""

import copy
import json
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import yaml

from schemas.config import Config, config_as_dict, load_config, parse_config
from schemas.resolve import plan_run
from udfs.errors import ConfigError
from udfs.money import UNIT
from udfs.plan import NO_CAP, AccountPlan, RunPlan

EXAMPLE = Path(__file__).parents[2] / "conf" / "backtest.yaml"

BASE: dict[str, Any] = yaml.safe_load(
    """
symbols:
  BTCUSD: {price_tick: "0.01", qty_step: "0.0001"}
  ETHEUR: {}
strategies:
  - {id: trend, kind: ema_cross, params: {fast: 20, slow: 50}}
  - {id: sweep, kind: ema_cross, timeframe: 5m, grid: {slow: [20, 30], fast: [5, 20]}}
accounts:
  - {id: acct-1, strategies: [trend, sweep], sizing: {notional: "10000"}}
"""
)
PULLBACK: dict[str, Any] = {
    "id": "dip",
    "kind": "trend_pullback",
    "params": {"trend_tf": "1h", "trend_ema": 50, "rsi_period": 14, "low": 40, "high": 60},
}


def config(overrides: dict[str, Any] | None = None, **sections: Any) -> Config:
    """BASE with sections replaced, then overrides set."""
    return parse_config({**copy.deepcopy(BASE), **sections}, overrides=overrides or {})


def plan(overrides: dict[str, Any] | None = None, **sections: Any) -> RunPlan:
    return plan_run(config(overrides, **sections))


def account(account_id: str, found: RunPlan) -> AccountPlan:
    return next(one for one in found.accounts if one.account_id == account_id)


def refusal(overrides: dict[str, Any] | None = None, **sections: Any) -> str:
    with pytest.raises(ConfigError) as caught:
        config(overrides, **sections)
    return str(caught.value)


@pytest.mark.parametrize(
    "value",
    [
        datetime(2019, 6, 1),
        datetime(2019, 6, 1, tzinfo=UTC),
        datetime.fromisoformat("2019-06-01T02:00:00+02:00"),
        date(2019, 6, 1),
        "2019-06-01",
        "2019-06-01T00:00:00Z",
        "2019-06-01 02:00+02:00",
        1_559_347_200_000,
    ],
)
def test_times(value: object) -> None:
    found = plan({"run.start": value, "run.end": "2019-07-01", "run.warmup": "6h"})
    assert found.start_ts == 1_559_347_200_000
    assert found.end_ts == 1_561_939_200_000
    assert found.first_ts == 1_559_347_200_000 - 6 * 3_600_000


@pytest.mark.parametrize("value", ["0.1", 0.1, Decimal("0.10"), "1e-1", " 0.1 "])
def test_decimals(value: object) -> None:
    assert plan({"accounts.0.fee_bps": value}).accounts[0].fee_bps == UNIT // 10


def test_tick_and_step_count_the_decimals_that_show() -> None:
    assert plan({"symbols.BTCUSD.price_tick": "1.50e-16", "symbols.BTCUSD.qty_step": 100})
    assert plan({"symbols.BTCUSD.price_tick": "0.0100", "symbols.BTCUSD.qty_step": "1e-16"})


def test_plan_values() -> None:
    found = plan()
    assert [one.symbol for one in found.symbols] == ["BTCUSD", "ETHEUR"]
    assert found.symbol("ETHEUR").quote == "EUR"
    assert (found.run_id, found.run_tag, found.base_ms) == ("demo", "BACKTEST", 60_000)
    assert (found.start_ts, found.end_ts, found.first_ts) == (None, None, None)
    assert plan({"run.warmup": "2d"}).first_ts is None
    assert (found.dedupe_ttl_ms, found.full_output, found.trace) == (7 * 86_400_000, False, False)
    assert found.gate == (0, True, True, 300_000)
    trend = found.strategy("trend")
    assert (trend.family_id, trend.timeframe, trend.timeframe_ms) == ("trend", "1m", 60_000)
    assert trend.symbols == ("BTCUSD", "ETHEUR")
    # sha256 of {"fast":20,"slow":50}
    assert trend.params_hash == "51d34977e7e6"
    only = found.accounts[0]
    assert (only.notional, only.fixed_qty) == (10_000 * UNIT, None)
    assert (only.max_open_positions, only.max_notional) == (3, None)
    assert only.start_capital == 100_000 * UNIT
    full = plan_run(config({"engine.outputs": "full"}), trace=True, run_tag="LIVE")
    assert (full.full_output, full.trace, full.run_tag) == (True, True, "LIVE")


def test_a_grid_stands_for_its_sensible_combinations() -> None:
    found = plan()
    assert [one.strategy_id for one in found.strategies] == [
        "sweep/fast=20,slow=30",
        "sweep/fast=5,slow=20",
        "sweep/fast=5,slow=30",
        "trend",
    ]
    assert found.grid_left_out == 1
    assert {one.family_id for one in found.strategies} == {"sweep", "trend"}
    assert found.accounts[0].strategies == tuple(one.strategy_id for one in found.strategies)
    odd = plan({"strategies.1.grid.fast": [5, 1, 2.5, -3], "strategies.1.grid.slow": [20]})
    assert odd.grid_left_out == 3


def test_ids_show_values_as_yaml_prints_them() -> None:
    entry = {"id": "b", "kind": "bollinger_breakout", "sets": [
        {"period": 20, "k": 2}, {"period": 20, "k": 2.0}, {"k": 2.5, "period": 20},
        {"period": 20, "k": 0.00001}]}  # fmt: skip
    dips = PULLBACK | {"params": None, "grid": {k: [v] for k, v in PULLBACK["params"].items()}}
    found = plan({"accounts.0.strategies": ["b", "dip"]}, strategies=[entry, dips])
    assert [one.strategy_id for one in found.strategies] == [
        "b/k=1.0e-05,period=20",
        "b/k=2,period=20",
        "b/k=2.0,period=20",
        "b/k=2.5,period=20",
        "dip/high=60,low=40,rsi_period=14,trend_ema=50,trend_tf=1h",
    ]


def test_sets_are_taken_as_they_are_and_senseless_ones_refused() -> None:
    good = {"id": "sweep", "kind": "ema_cross", "sets": [{"slow": 13, "fast": 5}]}
    found = plan({"strategies.1": good})
    assert found.strategies[0].strategy_id == "sweep/fast=5,slow=13"
    assert found.grid_left_out == 0
    bad = good | {"sets": [{"fast": 5, "slow": 13}, {"fast": 9, "slow": 9}]}
    assert "strategies[1].sets[1]: fast (9) must be below slow (9)" in refusal(
        {"strategies.1": bad}
    )
    twice = good | {"sets": [{"fast": 5, "slow": 13}, {"slow": 13, "fast": 5}]}
    assert "stands for 'sweep/fast=5,slow=13', which is" in refusal({"strategies.1": twice})


def test_weights_of_a_combination_come_before_its_grids() -> None:
    weights = {"sweep/fast=5,slow=20": "2", "sweep": "0.5"}
    assert plan({"accounts.0.weights": weights}).accounts[0].weights == {
        "sweep/fast=20,slow=30": UNIT // 2,
        "sweep/fast=5,slow=20": 2 * UNIT,
        "sweep/fast=5,slow=30": UNIT // 2,
        "trend": UNIT,
    }


@pytest.mark.parametrize(
    ("overrides", "cap"),
    [
        ({}, 3),
        ({"tradepicker.maxOpenPositions": 0}, 0),
        ({"tradepicker.maxOpenPositions": None}, NO_CAP),
        ({"accounts.0.limits.maxOpenPositions": 5}, 5),
        ({"accounts.0.limits.maxOpenPositions": None}, NO_CAP),
        ({"accounts.0.id": "paper:x"}, NO_CAP),
        ({"accounts.0.id": "paper:x", "accounts.0.limits.maxOpenPositions": 4}, 4),
    ],
)
def test_caps(overrides: dict[str, Any], cap: int) -> None:
    found = config(overrides)
    assert plan_run(found).accounts[0].max_open_positions == cap
    assert plan_run(parse_config(config_as_dict(found))) == plan_run(found)


def test_a_shadow_account_is_the_same_without_limits() -> None:
    rules = {
        "accounts.0.shadow": True,
        "accounts.0.broker": "external",
        "accounts.0.limits": {"maxOpenPositions": 1, "maxNotional": 5},
        "accounts.0.fee_bps": 7,
        "strategies.0.symbols": ["BTCUSD"],
        "strategies.1.symbols": ["BTCUSD"],
    }
    found = plan(rules)
    real, shadow = account("acct-1", found), account("paper:acct-1", found)
    assert (real.max_open_positions, real.max_notional, real.is_shadow) == (1, 5 * UNIT, False)
    assert shadow == real._replace(
        account_id="paper:acct-1",
        max_open_positions=NO_CAP,
        max_notional=None,
        broker="paper",
        is_shadow=True,
    )
    clash = [*BASE["accounts"], BASE["accounts"][0] | {"id": "paper:acct-1"}]
    message = refusal({"accounts.0.shadow": True}, accounts=clash)
    assert "accounts[0].shadow: the shadow account 'paper:acct-1' is an account already" in message


def test_only_some_strategies() -> None:
    second = {"id": "b", "strategies": ["trend"], "sizing": {"fixed_qty": 1}}
    found = config(accounts=[*BASE["accounts"], second])
    grid = plan_run(found, only_strategies=["sweep"])
    assert [one.family_id for one in grid.strategies] == ["sweep"] * 3
    assert [one.account_id for one in grid.accounts] == ["acct-1"]
    assert grid.grid_left_out == 1
    one = plan_run(found, only_strategies=["sweep/fast=5,slow=20", "trend"])
    assert [plan.strategy_id for plan in one.strategies] == ["sweep/fast=5,slow=20", "trend"]
    assert account("acct-1", one).strategies == ("sweep/fast=5,slow=20", "trend")
    assert account("b", one).strategies == ("trend",)
    assert one.grid_left_out == 0
    with pytest.raises(
        ConfigError, match=r"'tend' is not a strategy .* \(did you mean 'trend'\?\)"
    ):
        plan_run(found, only_strategies=["tend"])
    alone = config({"accounts.0.strategies": ["trend"]})
    with pytest.raises(ConfigError, match="no account follows sweep"):
        plan_run(alone, only_strategies=["sweep"])


def test_the_resolved_configuration_is_json_and_gives_the_same_run() -> None:
    times = {"run.start": 1, "run.end": "2019-07-01", "run.warmup": "90m", "prices.files": ["a"]}
    for found in (config(times), load_config(EXAMPLE)):
        resolved = config_as_dict(found)
        again = parse_config(json.loads(json.dumps(resolved)))
        assert plan_run(again) == plan_run(found)
        assert config_as_dict(again) == resolved


def test_the_shipped_example() -> None:
    found = plan_run(load_config(EXAMPLE, {"accounts.main.fee_bps": 20}))
    assert len({one.kind for one in found.strategies}) == 6
    assert found.grid_left_out == 1
    assert [one.account_id for one in found.accounts] == ["main", "research"]
    assert account("main", found).fee_bps == 20 * UNIT
