"""`tradeflow lookahead`: planted leaks are found and named, honest runs are fine."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from cli.main import app
from jobs import sources
from jobs.lookahead import fold as fold_of_cuts
from jobs.lookahead.check import Asked, Checked, look_ahead
from jobs.lookahead.cuts import choose
from jobs.lookahead.leaks import Fault, Leak, counted, told
from jobs.lookahead.walk import Walk, walk_symbol
from schemas.config import parse_config
from schemas.config_values import time_text
from schemas.own_code import library
from schemas.resolve import plan_run
from tests import runs
from udfs.bars import Bars
from udfs.errors import ConfigError
from udfs.plan import RunPlan
from udfs.simulate import EXAMPLE_SYMBOLS, simulate

OWN = Path(__file__).resolve().parents[1] / "own"
FEW = Asked(consecutive=80, random=12, after_signals=24, whole=1)
BARS = simulate(3, EXAMPLE_SYMBOLS, runs.START, 1_440)


def planned(strategies: list[dict[str, Any]], symbols: Iterable[str], **more: Any) -> RunPlan:
    ids = [strategy["id"] for strategy in strategies]
    account = {"id": "main", "strategies": ids, "sizing": {"notional": "1000"}, "fee_bps": "10"}
    tree = {"symbols": dict.fromkeys(symbols), "strategies": strategies, **more}
    return plan_run(parse_config({**tree, "accounts": [account]}), trace=True)


def own(name: str, file: str, **more: Any) -> dict[str, Any]:
    return {"id": name, "module": str(OWN / file), "params": {}, **more}


def checked(plan: RunPlan, bars: dict[str, Bars], asked: Asked = FEW) -> Checked:
    tables = [runs.bars_table(name, one) for name, one in bars.items()]
    tasks = sources.memory_tasks(tables, [symbol.symbol for symbol in plan.symbols])
    return look_ahead(plan, tasks, sum(map(len, tables)), asked, lambda done, total: None)


def some(*names: str) -> dict[str, Bars]:
    return {name: BARS[name] for name in names}


# ---- honest ----------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_run_of_all_kinds_reads_no_future() -> None:
    """Several symbols with gaps, four timeframes, an own kind, accounts that fold together."""
    tree = runs.config("none")
    plan = plan_run(parse_config(tree), trace=True)
    bars = {name: Bars._make(column[:800] for column in one) for name, one in BARS.items()}
    found = checked(plan, bars, Asked(consecutive=40, random=8, after_signals=16, whole=1))
    assert found.is_fine, [told(leak) for leak in found.leaks] + found.match_leaks
    assert [len(times) > 3 for times in found.cuts] == [True, True, True, False]
    assert {timeframe for timeframe, _ in found.features} == {"1m", "5m", "15m"}
    assert ("5m", "efficiency_10") in found.features
    assert found.values > 300_000
    assert found.folded.folded == found.folded.different > 50
    assert found.folded.matches > 50


def test_bars_that_do_not_count_are_in_neither_run() -> None:
    """Late, repeated and rejected rows, and a base timeframe of an hour."""
    bars = BARS["ALFAUSD"]
    hourly = Bars(runs.START + 3_600_000 * np.arange(1_440), *bars[1:])
    order = [*range(700), 650, 651, 699, *range(700, 1_440)]
    odd = Bars._make(column[order] for column in hourly)
    odd.close[710] = -1.0
    kind = {"id": "s", "kind": "ema_cross", "params": {"fast": 3, "slow": 9}}
    plan = planned([kind], ["ALFAUSD"], **{"prices.timeframe": "1h"})
    found = checked(plan, {"ALFAUSD": odd})
    assert found.is_fine
    assert found.bars == 1_439
    assert found.signals > 20


# ---- planted ---------------------------------------------------------------------------------


def only(leaks: list[Leak], name: str) -> Leak:
    return next(leak for leak in leaks if leak.name == name)


def test_a_feature_that_reads_the_next_bar() -> None:
    strategy = own("peeking", "future_feature.py", timeframe="15m", params={"least": 0.1})
    found = checked(planned([strategy], ["ALFAUSD"]), some("ALFAUSD"))
    leak = only(found.leaks, "peek_3")
    assert (leak.fault, leak.timeframe, leak.ahead, leak.behind) == (Fault.FUTURE, "15m", 1, 0)
    closes = BARS["ALFAUSD"].close[14::15]  # a day of 15m bars without a gap
    at = (leak.close_ts - runs.START) // 900_000 - 1
    assert leak.whole == repr(float((closes[at + 1] - closes[at]) / 3))
    assert leak.without != leak.whole
    assert leak.cut_ts == leak.close_ts
    assert told(leak) == (
        f"feature peek_3 (15m) of ALFAUSD at {time_text(leak.close_ts)} is {leak.without} with "
        f"the bars up to its close and {leak.whole} with the next 1 bar: it reads the future"
    )
    assert counted(leak).endswith(" values of ALFAUSD differ, all cuts together")
    assert "the leak is in peek_3" in told(only(found.leaks, "peeking"))


def test_a_vectorised_strategy_that_is_shifted_by_a_bar() -> None:
    strategies = [
        own("shifted", "future_strategy.py", params={"period": 20}),
        {"id": "honest", "kind": "ema_cross", "params": {"fast": 5, "slow": 20}},
    ]
    found = checked(planned(strategies, ["ALFAUSD", "ECHOUSD"]), some("ALFAUSD", "ECHOUSD"))
    (leak,) = found.leaks
    assert (leak.name, leak.fault, leak.ahead) == ("shifted", Fault.FUTURE, 1)
    bars = BARS[leak.symbol]
    at = int(np.searchsorted(bars.ts + 60_000, leak.close_ts))
    rises = bars.close[at + 1] > bars.close[at]
    assert {leak.whole, leak.without} == {"nothing", "BUY" if rises else "SELL"}
    assert {one.name: one.whole for one in leak.features}["close"] == bars.close[at]
    assert "its features are the same in both" in told(leak)


def test_an_intrabar_strategy_that_reads_on_is_found() -> None:
    more = {"timeframe": "15m", "intrabar": True, "params": {"period": 5}}
    strategies = [
        own("shifted", "future_strategy.py", **more),
        {"id": "honest", "kind": "bollinger_breakout", **more, "params": {"period": 5, "k": 1}},
    ]
    found = checked(planned(strategies, ["ECHOUSD"]), some("ECHOUSD"))
    (leak,) = found.leaks
    assert (leak.name, leak.fault, leak.ahead, leak.behind) == ("shifted", Fault.FUTURE, 1, 0)
    assert told(leak).endswith("with the next 1 bar: it reads the future")
    assert not found.silent


@pytest.mark.parametrize(
    ("file", "kind", "name", "fault"),
    [
        ("faulty_strategies.py", "two_back", "mine", Fault.PIECES),
        ("faulty_strategies.py", "remembers", "mine", Fault.OUTSIDE),
        ("faulty_strategies.py", "counts", "mine", Fault.OUTSIDE),
    ],
)
def test_other_faults_are_told_apart(file: str, kind: str, name: str, fault: Fault) -> None:
    found = checked(planned([own("mine", file, kind=kind)], ["ECHOUSD"]), some("ECHOUSD"))
    assert only(found.leaks, name).fault is fault


READER = """
from udfs.strategies import Kind
import numpy as np
STRATEGIES = Kind("reader", "Reads.", "1", (), lambda params: None, lambda params: ("{name}",),
                  lambda columns, params: np.zeros(len(columns["{name}"]), dtype=np.int8),
                  lambda params: ("", ""))
"""


@pytest.mark.parametrize(
    ("file", "name", "fault"),
    [
        ("piece_feature.py", "scaled", Fault.FUTURE),
        ("stateless_feature.py", "change_5", Fault.PIECES),
        ("counting_feature.py", "drift", Fault.OUTSIDE),
        ("remembering_feature.py", "gap", Fault.OUTSIDE),
    ],
)
def test_features_of_every_fault(file: str, name: str, fault: Fault, tmp_path: Path) -> None:
    reader = tmp_path / "reader.py"
    reader.write_text(READER.format(name=name))
    strategy = {"id": "r", "module": [str(OWN / file), str(reader)], "params": {}}
    found = checked(planned([strategy], ["ECHOUSD"]), some("ECHOUSD"))
    leak = only(found.leaks, name)
    assert leak.fault is fault
    if file == "piece_feature.py":
        assert leak.ahead > 1


def test_a_fold_that_knows_what_comes_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first quantity hangs on how many signals there are in all."""
    honest = fold_of_cuts.account_batch.fold

    def fold(plan: RunPlan, given: Any) -> Any:
        outcome = honest(plan, given)
        assert outcome is not None
        qty = outcome.qty.copy()
        qty[outcome.code == 0, 0] += len(given.signals.ts)
        return outcome._replace(qty=qty)

    monkeypatch.setattr(fold_of_cuts.account_batch, "fold", fold)
    kind = {"id": "s", "kind": "ema_cross", "params": {"fast": 5, "slow": 20}}
    found = checked(planned([kind], ["ALFAUSD"]), some("ALFAUSD"))
    assert not found.leaks
    first = found.match_leaks[0]
    assert (first.what, first.strategy, first.symbol) == ("decision", "s", "ALFAUSD")


# ---- where the input is cut ------------------------------------------------------------------


def walks(plan: RunPlan) -> list[Walk]:
    tasks = sources.memory_tasks(
        [runs.bars_table(symbol.symbol, BARS[symbol.symbol]) for symbol in plan.symbols],
        [symbol.symbol for symbol in plan.symbols],
    )
    found = [walk_symbol(plan, task, library(()), lambda rows: None) for task in tasks]
    return [walk for walk in found if walk is not None]


def test_cuts_are_where_they_are_asked_for() -> None:
    kind = {"id": "s", "kind": "ema_cross", "params": {"fast": 5, "slow": 20}}
    given = walks(planned([kind], ["ALFAUSD", "ECHOUSD"]))
    times = np.unique(np.concatenate([walk.bars.ts for walk in given]))
    cuts = choose(Asked(50, 20, 7, runs.START + 3_600_000, 30), given)
    assert list(cuts.consecutive) == list(times[60:110])
    assert len(set(cuts.random.tolist()) & set(times.tolist())) == 20
    bars_with_signals = {int(ts) for walk in given for ts in walk.signals.ts}
    for ts in cuts.after_signals.tolist():
        last = [int(walk.closes[walk.bars.ts < ts][-1]) for walk in given]
        assert bars_with_signals & set(last)
    assert len(cuts.after_signals) > 20
    again = choose(Asked(50, 20, 7, runs.START + 3_600_000, 30), given)
    assert all(np.array_equal(one, other) for one, other in zip(cuts, again, strict=True))
    with pytest.raises(ConfigError, match="--from: no bar to cut at"):
        choose(Asked(from_ts=runs.START + 86_400_000), given)


def test_bars_too_few_to_compare_are_no_proof() -> None:
    kind = {"id": "s", "kind": "ema_cross", "timeframe": "1h", "params": {"fast": 5, "slow": 20}}
    few = {"ALFAUSD": Bars._make(column[:3] for column in BARS["ALFAUSD"])}
    with pytest.raises(ConfigError, match="3 bars are too few"):
        checked(planned([kind], ["ALFAUSD"]), few)


# ---- the command -----------------------------------------------------------------------------


def test_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    table = runs.bars_table("ALFAUSD", BARS["ALFAUSD"]).slice(0, 300)
    pq.write_table(table, "bars.parquet")
    honest = {"id": "honest", "kind": "ema_cross", "params": {"fast": 5, "slow": 20}}
    leaky = own("leaky", "future_strategy.py", params={"period": 20})
    account = {"id": "a", "strategies": ["honest", "leaky"], "sizing": {"notional": "1000"}}
    tree = {"symbols": {"ALFAUSD": None}, "strategies": [honest, leaky], "accounts": [account]}
    runs.write_config({"prices.files": "bars.parquet", **tree}, Path("mine.yaml"))
    options = ["lookahead", "--config", "mine.yaml", "--consecutive", "20", "--random", "5"]
    fine = CliRunner().invoke(app, [*options, "--strategy", "honest"])
    assert fine.exit_code == 0, fine.output
    assert fine.stdout.endswith("\nno look-ahead found\n")
    assert "\ncuts        20 in a row (2024-03-30T" in fine.stdout
    found = CliRunner().invoke(app, options)
    assert found.exit_code == 1
    assert "\nLEAK: strategy leaky (1m) of ALFAUSD at 2024-03-30T" in found.stdout
    told_of = json.loads(CliRunner().invoke(app, [*options, "--json"]).stdout)
    assert (told_of["fine"], told_of["leaks"][0]["fault"]) == (False, Fault.FUTURE.value)
    wrong = CliRunner().invoke(app, [*options, "--from", "soon"])
    assert (wrong.exit_code, wrong.stderr[:27]) == (2, "error: --from: 'soon' is no")
