"""The configuration: what is read, and what is refused in which words."""

import copy
from pathlib import Path
from typing import Any

import pytest
import yaml

from schemas.config import Config, config_as_dict, load_config, parse_config
from schemas.resolve import plan_run
from udfs.errors import ConfigError
from udfs.money import UNIT

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
BOTH = {"fixed_qty": 1, "notional": 1}


def config(overrides: dict[str, Any] | None = None, **sections: Any) -> Config:
    """BASE with sections replaced, then overrides set."""
    return parse_config({**copy.deepcopy(BASE), **sections}, overrides=overrides or {})


def refusal(overrides: dict[str, Any] | None = None, **sections: Any) -> str:
    with pytest.raises(ConfigError) as caught:
        config(overrides, **sections)
    return str(caught.value)


# One line per refused value: its dotted key, the value, a part of the message.
REFUSED = [
    # wrong types, each with what would be right
    ("accounts.0.fee_bps", "ten", """fee_bps: 'ten' is not a decimal number; write one such as"""),
    ("accounts.0.fee_bps", True, "true is not a decimal number"),
    ("accounts.0.fee_bps", float("nan"), "nan is not a decimal number"),
    ("accounts.0.fee_bps", [1], "[1] is not a decimal number"),
    ("accounts.0.fee_bps", "1e20", "'1e20' does not fit DECIMAL(38,18)"),
    ("accounts.0.fee_bps", "1e-19", "'1e-19' does not fit DECIMAL(38,18)"),
    ("accounts.0.shadow", "yes", "accounts[0].shadow: 'yes' is not true or false"),
    ("accounts.0.broker", "papr", "'papr' is not one of 'paper' or 'external' (did you mean"),
    ("accounts.0.id", 7, 'accounts[0].id: 7 is not text; write it in quotes, such as "7"'),
    ("accounts.0.strategies", "trend", "strategies: 'trend' is not a list; write one such as"),
    ("accounts.0.limits", 5, "limits: 5 is not a group of keys"),
    ("accounts.0.limits.maxOpenPositions", "3", "'3' is not a whole number; write one such as 5"),
    ("accounts.0.limits.maxOpenPositions", -1, "-1 is out of range; write a whole number of 0"),
    ("tradepicker.maxOpenPositions", 2.5, "tradepicker.maxOpenPositions: 2.5 is not a whole"),
    ("tradepicker.maxEntries", None, "tradepicker.maxEntries: null is not a whole number"),
    ("tradepicker.sellRequiresLong", 1, "1 is not true or false"),
    ("tradepicker.reservationTtlMs", True, "true is not a whole number"),
    ("tradepicker", 3, "tradepicker: 3 is not a group of keys"),
    ("dedupe.ttlDays", 0, "dedupe.ttlDays: 0 is out of range"),
    ("wm.engine.latenessSec", "5s", "wm.engine.latenessSec: '5s' is not a number of seconds"),
    ("wm.monitor.latenessSec", -1, "-1 is out of range"),
    ("monitoring.export", "grafana", "'grafana' is not one of 'metrics', 'fluss' or 'both'"),
    ("store.kind", "kafak", "(did you mean 'kafka'?)"),
    ("store.addresses", [9123], "is not an address; write one such as localhost:9123"),
    ("fluss.freshness.price", 0, "0 is not above 0; write one such as 5s"),
    ("engine.outputs", "all", "'all' is not one of 'matches-only' or 'full'"),
    ("report.zone", "Europe/Osло", "is not a known time zone (did you mean 'Europe/Oslo'?)"),
    ("report.zone", "Europe", "'Europe' is not a known time zone"),
    ("report.periods", 0, "report.periods: 0 is out of range"),
    ("prices.files", [], "prices.files: [] names no files"),
    ("prices.files", [3], "3 is not a path"),
    ("prices.timeframe", "7m", "'7m' is not a timeframe; write one such as 1m"),
    ("prices.timeframe", 60, "60 is not a timeframe"),
    # the run
    ("run.id", "", "run.id: '' is empty"),
    ("run.id", "a/b", "leave out / and \\"),
    ("run.id", "..", "leave out / and \\"),
    ("run.id", "a\x1fb", "holds a control character"),
    ("run.start", "yesterday", "run.start: 'yesterday' is not a time; write one such as 2019-06"),
    ("run.start", 1.5, "1.5 is not a time"),
    ("run.start", 10**18, "is not a time"),
    ("run.start", "2019-06-01T00:00:00.0001", "finer than a millisecond"),
    ("run", {"start": 60_000, "end": 60_000}, "run: start is not before end"),
    ("run.warmup", "90", "run.warmup: '90' is not a span of time; write one such as 90m"),
    # names
    ("accounts.0.strategies", ["trendy"], "'trendy' is not a strategy (did you mean 'trend'?)"),
    ("accounts.0.strategies", ["sweep/fast=5,slow=21"], "did you mean 'sweep/fast=5,slow=20'?"),
    ("accounts.0.strategies", ["sweep/fast=20,slow=20"], "left out of its grid: fast (20) must"),
    ("accounts.0.strategies", [], "accounts[0].strategies: is empty"),
    ("accounts.0.weights", {"swep": 1}, "weights: 'swep' is not a strategy (did you mean 'sweep'"),
    ("accounts.0.weights", {"sweep": -1}, "accounts[0].weights.sweep: -1 is below 0"),
    ("accounts.0.id", "a\tb", "control character"),
    ("strategies.0.id", "a\x1fb", "control character"),
    ("strategies.0.id", "sweep", "strategies[1].id: 'sweep' is the id of strategies[0] already"),
    ("strategies.0.id", "sweep/fast=5,slow=20", "stands for 'sweep/fast=5,slow=20', which is"),
    ("strategies.0.symbols", ["BTCUSDT"], "is not a symbol (did you mean 'BTCUSD'?)"),
    ("strategies.0.symbols", [], "strategies[0].symbols: is empty"),
    ("strategies.0.kind", "ema_crss", "is not a kind of strategy (did you mean 'ema_cross'?)"),
    ("accounts", [*BASE["accounts"], *BASE["accounts"]], "'acct-1' is the id of accounts[0]"),
    ("symbols", {"A\x1fB": {}}, "control character"),
    ("symbols", {}, "symbols: is empty"),
    ("symbols", None, "symbols: is missing; write one such as"),
    ("strategies", [], "strategies: is empty"),
    ("accounts", [], "accounts: is empty"),
    # money
    ("symbols.BTCUSD.price_tick", "0", "symbols.BTCUSD.price_tick: '0' is not above 0"),
    ("symbols.BTCUSD.qty_step", 1e-17, "0.00000000000000001 have 19 decimals together; at most"),
    ("symbols.BTCUSD.price_tick", "1e-15", "have 19 decimals together"),
    ("accounts.0.slippage_bps", 10000, "slippage_bps 10000 leaves no price"),
    ("accounts.0.slippage_bps", "-10000", "leaves no price"),
    ("accounts.0.start_capital", -1, "-1 is below 0"),
    ("accounts.0.sizing.notional", 0, "0 is not above 0"),
    ("accounts.0.sizing", {}, "exactly one of fixed_qty and notional"),
    ("accounts.0.sizing", BOTH, "exactly one of fixed_qty and notional"),
    ("accounts.0.limits.maxNotional", 1000, "one quote currency, but its strategies trade in EUR"),
    # parameters
    ("strategies.0.params", None, "strategies[0]: give exactly one of params, grid and sets"),
    ("strategies.0.grid", {}, "found params and grid"),
    ("strategies.0.params.fast", 50, "params: fast (50) must be below slow (50)"),
    ("strategies.0.params.fast", 2.5, "fast: 2.5 is no period; write a whole number"),
    ("strategies.0.params.fats", 5, "has no parameter 'fats' (did you mean 'fast'?)"),
    ("strategies.0.params", {"fast": 5}, "strategies[0].params: ema_cross lacks its parameter"),
    (
        "strategies.1.grid",
        {"fast": [5]},
        "strategies[1].grid: ema_cross lacks its parameter 'slow'",
    ),
    ("strategies.1.grid.fats", [5], "has no parameter 'fats' (did you mean 'fast'?)"),
    ("strategies.1.grid.fast", [5, "6"], "strategies[1].grid.fast[1]: '6' is not a number"),
    ("strategies.1.grid.fast", [], "strategies[1].grid.fast: is empty"),
    ("strategies.1.grid.fast", 5, "strategies[1].grid.fast: 5 is not a list"),
    ("strategies.1.grid.fast", [5, 5], "stands for 'sweep/fast=5,slow=20', which is there"),
    ("strategies.1.grid.fast", [90, 99], "no combination makes sense; the first one: fast (90)"),
    ("strategies.1.grid.fast", list(range(90_000)), "spans 180000 combinations"),
    ("strategies.1", {"id": "s", "kind": "ema_cross", "sets": []}, "strategies[1].sets: is empty"),
    # timeframes
    ("strategies.0.timeframe", "7m", "strategies[0].timeframe: '7m' is not a timeframe"),
    ("prices.timeframe", "15m", "strategies[1].timeframe: 5m is not a multiple of the base 15m"),
    ("strategies.0", PULLBACK | {"timeframe": "1m", "params": {}}, "lacks its parameter"),
    ("strategies.0", PULLBACK | {"params": {**PULLBACK["params"], "trend_tf": "7m"}}, "'7m' is no"),
]


@pytest.mark.parametrize(("key", "value", "part"), REFUSED)
def test_refused_with_key_value_and_what_would_be_right(key: str, value: Any, part: str) -> None:
    assert part in refusal({key: value})


# One line per configuration with an unknown or doubled key: what is added to BASE, the message.
REFUSED_KEYS = [
    ({"tradpicker.maxEntries": 1}, "tradpicker: is not a known key (did you mean 'tradepicker'?)"),
    ({"tradepicker.maxOpenPosition": 1}, "maxOpenPosition: is not a known key (did you mean 'max"),
    ({"tradepicker": {"max_entries": 1}}, "tradepicker.max_entries: is not a known key (did you"),
    ({"maxEntries": 1}, "maxEntries: is not a known key (did you mean 'tradepicker.maxEntries'?)"),
    ({"wm.gate.latenessSec": 1}, "wm.gate: is not a known key; the known ones are indicators,"),
    ({"wm": {"engine.lateness": 1}}, "wm.engine.lateness: is not a known key (did you mean 'late"),
    ({"symbols.BTCUSD.price_tik": "1"}, "symbols.BTCUSD.price_tik: is not a known key (did you"),
    ({"accounts.0.fee_bps": 1}, "accounts.0.fee_bps: is not a known key"),
    ({"prices.files": "x", "prices": {"files": "y"}}, "prices.files: is given twice"),
    ({"prices": {"files": "y"}, "prices.files": "y"}, "prices.files: is given twice"),
    ({"prices": "x", "prices.files": "y"}, "prices: is given twice"),
    ({"symbols.BTCUSD.price_tick": 1}, "symbols.BTCUSD.price_tick: is given twice"),
    ({"wm": {"engine.latenessSec": 1, "engine": {"latenessSec": 1}}}, "latenessSec: is given twic"),
    ({False: 1}, 'the key false is not text; write it in quotes, such as "False"'),
]


@pytest.mark.parametrize(("added", "part"), REFUSED_KEYS)
def test_refused_keys(added: dict[Any, Any], part: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_config({**BASE, **added})
    assert part in str(caught.value)


# One line per override that reaches nothing.
REFUSED_OVERRIDES = [
    ("accounts.acct-2.fee_bps", "--set: accounts.acct-2.fee_bps: accounts has no item 'acct-2'"),
    ("accounts.1.fee_bps", "accounts has no item '1'; the ids are acct-1"),
    ("strategies.swep.timeframe", "(did you mean 'sweep'?)"),
    ("symbols.BTCUS.price_tick", "there is no symbol 'BTCUS' (did you mean 'BTCUSD'?)"),
    ("accounts.0.id.x", "accounts[0].id is 'acct-1', which has no keys below it"),
    ("accounts.0.feebps", "--set: accounts[0].feebps: is not a known key (did you mean 'fee_bps'"),
    ("run..id", "run.: is not a known key"),
]


@pytest.mark.parametrize(("key", "part"), REFUSED_OVERRIDES)
def test_refused_overrides(key: str, part: str) -> None:
    assert part in refusal({key: "5"})


# One line per file that is refused before its keys are looked at.
REFUSED_FILES = [
    ("a: 1\nb: 2\na: 3\n", " line 3: the key 'a' is given twice"),
    ("run: {id: a, id: b}\n", " line 1: the key 'id' is given twice"),
    ("a: [1\n", " line 2: "),
    ("a: b: c\n", " line 1: mapping values are not allowed here"),
    ("x: !!python/object:os.system {}\n", " line 1: could not determine a constructor"),
    ("", ": holds null; a configuration is a group of keys"),
    ("- a\n", ": holds ['a']; a configuration"),
    ("run.start: 2019-13-01\n", ": run.start: '2019-13-01' is not a time"),
]


@pytest.mark.parametrize(("content", "part"), REFUSED_FILES)
def test_refused_files(content: str, part: str, tmp_path: Path) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        load_config(path)
    assert f"{path}{part}" in str(caught.value)


def test_missing_and_unreadable_files_are_named(tmp_path: Path) -> None:
    (tmp_path / "latin").write_bytes(b"a: \xff")
    for name, part in (("none.yaml", "no such file"), ("", "can't be read"), ("latin", "UTF-8")):
        with pytest.raises(ConfigError, match=part):
            load_config(tmp_path / name)


def test_all_problems_in_one_message_ten_at_most() -> None:
    message = refusal({"accounts.0.fee_bps": "x", "strategies.0.id": 1}, zzz=1, run={"start": "x"})
    assert message.splitlines() == [
        "configuration: run.start: 'x' is not a time; write one such as 2019-06-01T00:00:00Z, "
        "a date, or epoch milliseconds",
        '--set: strategies[0].id: 1 is not text; write it in quotes, such as "1"',
        "--set: accounts[0].fee_bps: 'x' is not a decimal number; write one such as \"10\"",
        "configuration: zzz: is not a known key; the known ones are run, prices, symbols, "
        "strategies, accounts, engine, tradepicker, dedupe, wm, indicators, monitoring, store, "
        "live, fluss, report",
    ]
    lines = refusal(symbols={f"S{index:02}": {"price_tick": 0} for index in range(15)}).splitlines()
    assert len(lines) == 11
    assert lines[-1] == "... and 5 more"
    assert len(refusal({"accounts.0.fee_bps": "x" * 10_000})) < 200


def test_a_broken_strategy_does_not_make_its_followers_look_wrong() -> None:
    message = refusal(
        {"strategies.1.grid.fast": ["x"], "accounts.0.strategies": ["sweep/fast=5,slow=20"]}
    )
    assert message == "--set: strategies[1].grid.fast[0]: 'x' is not a number"


def test_defaults_are_the_documented_ones() -> None:
    resolved = config_as_dict(config())
    assert resolved["accounts"][0] == {
        "id": "acct-1",
        "start_capital": "100000",
        "strategies": ["trend", "sweep"],
        "sizing": {"notional": "10000"},
        "weights": {},
        "limits": {"maxNotional": None},
        "fee_bps": "0",
        "slippage_bps": "0",
        "broker": "paper",
        "shadow": False,
    }
    unwatched = {"liquid": False, "stale_after": None}
    tick = "0.00000001"
    assert resolved["symbols"] == {
        "BTCUSD": {"price_tick": "0.01", "qty_step": "0.0001", "quote": "USD"} | unwatched,
        "ETHEUR": {"price_tick": tick, "qty_step": tick, "quote": "EUR"} | unwatched,
    }
    for name in ("symbols", "strategies", "accounts"):
        del resolved[name]
    stages = ("indicators", "strategies", "tradepicker", "broker", "engine")
    assert resolved == {
        "run": {"id": "demo", "start": None, "end": None, "warmup": "0"},
        "prices": {"files": ["data/sample/*.parquet"], "timeframe": "1m"},
        "engine": {"outputs": "matches-only"},
        "tradepicker": {
            "maxOpenPositions": 3,
            "maxEntries": 0,
            "sellRequiresLong": True,
            "reserveOnOpen": True,
            "reservationTtlMs": 300_000,
        },
        "dedupe": {"ttlDays": 7},
        "wm": {stage: {"latenessSec": 5} for stage in stages} | {"monitor": {"latenessSec": 2}},
        "indicators": {"finalAfterMs": 5000},
        "monitoring": {
            "export": "metrics",
            "topK": 10,
            "alerts": {
                "drawdown_ratio": "0.05",
                "drawdown": None,
                "exposure_ratio": "2",
                "stale": None,
                "clear_at": "0.8",
            },
        },
        "store": {
            "kind": "files",
            "addresses": None,
            "database": None,
            "retentionDays": None,
            "security": None,
        },
        "live": {
            "parallelism": 1,
            "task_managers": 1,
            "task_manager_memory": "2g",
            "slots": None,
        },
        "fluss": {"freshness": {"price": "5s"}, "fetchWaitMs": 500},
        "report": {"zone": "Europe/Oslo", "periods": 365},
    }


def test_dotted_and_nested_mean_the_same() -> None:
    spellings: list[dict[str, Any]] = [
        {"prices": {"files": "x", "timeframe": "5m"}, "wm": {"engine": {"latenessSec": 9}}},
        {"prices.files": "x", "prices.timeframe": "5m", "wm.engine.latenessSec": 9},
        {"prices.files": "x", "prices": {"timeframe": "5m"}, "wm": {"engine.latenessSec": 9}},
        {"prices": None, "prices.files": "x", "prices.timeframe": "5m", "wm.engine": {
            "latenessSec": 9}, "wm.monitor": {}, "store": None},
    ]  # fmt: skip
    first = config(**spellings[0])
    assert first.wm.engine.lateness_sec == 9
    for spelling in spellings[1:]:
        assert config(**spelling) == first
    rules = {"symbols": {"BTCUSD": None, "A.B": {"quote": "USD"}}}
    dotted: dict[str, Any] = {"symbols": None, "symbols.BTCUSD": None, "symbols.A.B.quote": "USD"}
    assert config(**rules) == config(**dotted)


def test_overrides_reach_everything_and_leave_the_input_alone() -> None:
    data = copy.deepcopy(BASE)
    found = parse_config(
        data,
        overrides={
            "run.id": "other",
            "prices": {"timeframe": "5m"},
            "symbols.BTCUSD.price_tick": 0.5,
            "symbols.XRPUSD": None,
            "strategies.sweep.grid.fast": [4],
            "strategies.0.params.fast": 10,
            "accounts.0.fee_bps": 5,
            "accounts.acct-1.weights.sweep": "0.5",
            "accounts.acct-1.limits.maxOpenPositions": 9,
        },
    )
    assert data == BASE
    assert (found.run.id, found.prices.timeframe) == ("other", "5m")
    assert found.symbols["BTCUSD"].price_tick == UNIT // 2
    assert found.symbols["XRPUSD"].price_tick == UNIT // 10**8
    assert found.strategies[1].grid == {"slow": [20, 30], "fast": [4]}
    assert found.strategies[0].params == {"fast": 10, "slow": 50}
    assert found.accounts[0].fee_bps == 5 * UNIT
    assert found.accounts[0].weights == {"sweep": UNIT // 2}
    assert found.accounts[0].limits.max_open_positions == 9


def test_yaml_merge_keys_and_anchors_are_read(tmp_path: Path) -> None:
    path = tmp_path / "merged.yaml"
    text = yaml.safe_dump({**BASE, "accounts": []})
    text = text.replace("accounts: []\n", "") + (
        "accounts:\n"
        "- &first {id: a, strategies: [trend], sizing: {notional: 1}, fee_bps: 3}\n"
        "- {<<: *first, id: b}\n"
    )
    path.write_text(text, encoding="utf-8")
    assert [one.fee_bps for one in plan_run(load_config(path)).accounts] == [3 * UNIT] * 2
