"""Live stages in one process give a backtest's tables, whatever the order and the crashes."""

import itertools
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from jobs.live.replay_gate import replay
from jobs.live.stages import JOBS, LiveJob, build
from schemas.config import parse_config
from schemas.resolve import plan_run
from tests import live_equal, live_loop, runs
from udfs.bars import Bars
from udfs.plan import RunPlan
from udfs.simulate import EXAMPLE_SYMBOLS, simulate

pytestmark = pytest.mark.slow
MINUTES = 150


def write_gappy_bars(folder: Path, seed: int) -> list[pa.Table]:
    """A file per symbol, with single and long gaps; the last bar of all is at the same minute."""
    pick = np.random.default_rng(seed)
    folder.mkdir()
    tables = []
    for symbol, bars in simulate(seed, EXAMPLE_SYMBOLS, runs.START, MINUTES).items():
        kept = pick.random(len(bars.ts)) > 0.15
        start = pick.integers(0, MINUTES)
        kept[start : start + 40] = False
        kept[-1] = True
        tables.append(runs.bars_table(symbol, Bars(*(column[kept] for column in bars))))
        pq.write_table(tables[-1], folder / f"{symbol}.parquet")
    return tables


def node(
    name: str, plan: RunPlan, patience_ms: int | None, tables: live_loop.Tables
) -> live_loop.Node:
    """A stage that can be started again."""
    job = LiveJob(name, plan, patience_ms)
    return live_loop.Node(partial(build, job, int, tables.journal), tables)


@pytest.mark.parametrize(
    ("seed", "crash_every", "long_only", "repeats"),
    [(1, 0, True, False), (2, 61, False, False), (3, 61, True, True)],
)
def test_live_equals_bounded(
    tmp_path: Path, seed: int, crash_every: int, long_only: bool, repeats: bool
) -> None:
    bars = write_gappy_bars(tmp_path / "bars", seed)
    tree = runs.config(str(tmp_path / "bars" / "*.parquet"))
    tree["tradepicker.sellRequiresLong"] = long_only
    folder = runs.run(tree, tmp_path / "runs").folder
    plan = plan_run(parse_config(tree), trace=True, run_tag="PAPER_LIVE")
    tables = live_loop.Tables(repeats)
    feeding = live_loop.feed(tables, pa.concat_tables(bars), plan.base_ms)
    nodes = [node(name, plan, None, tables) for name in JOBS]
    live_loop.run(nodes, feeding, seed, live_loop.Disturbed(crash_every))
    ends = {t["symbol"][0].as_py(): t["ts"].to_numpy().max() + plan.base_ms for t in bars}
    live = {name: list(rows.values()) for name, rows in tables.rows.items()}
    assert live_equal.differences(folder, lambda name: live.get(name, []), ends) == []
    assert len(live["paper_trade_match_history"]) > 30
    assert len(live["rejected_trade_signal_history"]) > 30
    assert live.get("progress_gaps", []) == []
    last = {(r["stage"], r["instance"]): r["ts"] for r in live["progress"]}
    assert set(last.values()) == {max(ends.values())}


@pytest.mark.parametrize("repeats", [False, True])
def test_what_was_decided_without_another_stage_stays_decided(
    tmp_path: Path, repeats: bool
) -> None:
    bars = write_gappy_bars(tmp_path / "bars", 11)
    plan = plan_run(parse_config(runs.config(str(tmp_path / "bars" / "*.parquet"))), trace=True)
    tables = live_loop.Tables(repeats)
    feeding = live_loop.feed(tables, pa.concat_tables(bars), plan.base_ms)
    patience = {"tradepicker": 60, "paper-broker": 60}
    nodes = [node(name, plan, patience.get(name), tables) for name in JOBS]
    live_loop.run(nodes, feeding, 11, live_loop.Disturbed(211, 600, pace=80))
    live = {name: list(rows.values()) for name, rows in tables.rows.items()}
    assert len(live["progress_gaps"]) > 20
    accepted, rejected = (live[f"{n}_trade_signal_history"] for n in ("accepted", "rejected"))
    ids = [(row["account_id"], row["signal_id"]) for row in (*accepted, *rejected)]
    assert len(ids) == len(set(ids))
    followers = {a.account_id: a.strategies for a in plan.accounts}
    signals = live["strategy_signal_history"]
    last = max(row["ts"] for row in live["progress"])
    wanted = sum(s["strategy_id"] in own for s in signals for own in followers.values())
    assert wanted - 10 <= len(ids) <= wanted  # those late at the last tick wait for the next
    changes = list(tables.rows["position_change_history"].values())  # in the order of their log
    assert replay(plan, signals, [*accepted, *rejected], changes) == []
    filled = [row["order_id"] for row in changes]
    assert len(filled) == len(set(filled)) > 50
    reported = {row["order_id"]: row["ts"] for row in live["exec_report_history"]}
    assert len(reported) == len(live["exec_report_history"])
    left = {order for order, ts in reported.items() if order not in filled}
    assert {reported[order] for order in left} <= {last}


@pytest.mark.parametrize("lost", [0.0, 0.3, 0.8])
def test_a_gate_whose_log_lacks_some_decisions_makes_them_again(
    tmp_path: Path, lost: float
) -> None:
    bars = write_gappy_bars(tmp_path / "bars", 4)
    plan = plan_run(parse_config(runs.config(str(tmp_path / "bars" / "*.parquet"))), trace=True)
    tables = live_loop.Tables()
    feeding = live_loop.feed(tables, pa.concat_tables(bars), plan.base_ms)
    live_loop.run([node(n, plan, None, tables) for n in JOBS], feeding, 4, live_loop.Disturbed())
    decided = ("accepted_trade_signal_history", "rejected_trade_signal_history")
    pick = np.random.default_rng(4)
    log = live_loop.Tables()
    last = max(row["ts"] for row in tables.logs[decided[0]])
    log.logs = {
        name: [row for row in rows if pick.random() >= lost and row["ts"] < last - 3_600_000]
        if name in decided
        else rows
        for name, rows in tables.logs.items()
    }
    assert all(len(log.logs[name]) > 3 for name in decided)
    again = live_loop.Tables()
    again.logs = {name: rows for name, rows in tables.logs.items() if name not in decided}
    job = LiveJob("tradepicker", plan, None)
    gate = live_loop.Node(partial(build, job, int, log.journal), again)
    live_loop.run([gate], iter(()), 4, live_loop.Disturbed())
    for name in decided:
        assert again.rows[name] == tables.rows[name]


def test_a_strategy_that_joins_decides_as_if_it_had_been_there(tmp_path: Path) -> None:
    seed, disturbed = 6, live_loop.Disturbed(67)
    bars = write_gappy_bars(tmp_path / "bars", seed)
    before = runs.config(str(tmp_path / "bars" / "*.parquet"))
    base_ms = plan_run(parse_config(before)).base_ms
    first = min(table["ts"].to_numpy().min() for table in bars) + base_ms
    switched, joins = int(first) + 59 * base_ms, int(first) + 70 * base_ms
    after = joined(before, joins)
    folder = runs.run(after, tmp_path / "runs").folder
    tables = live_loop.Tables()
    feeding = live_loop.feed(tables, pa.concat_tables(bars), base_ms)
    plans = [
        plan_run(parse_config(tree), trace=True, run_tag="PAPER_LIVE") for tree in (before, after)
    ]
    nodes = [node(name, plans[0], None, tables) for name in JOBS]
    live_loop.run(nodes, itertools.islice(feeding, 60), seed, disturbed)
    for one, name in zip(nodes, JOBS, strict=True):
        one.make = partial(build, LiveJob(name, plans[1], None), int, tables.journal)
        one.start()
    live_loop.run(nodes, feeding, seed, disturbed)
    ends = {t["symbol"][0].as_py(): t["ts"].to_numpy().max() + base_ms for t in bars}
    live = {name: list(rows.values()) for name, rows in tables.rows.items()}
    live["indicator_history"] = [r for r in live["indicator_history"] if r["ts"] > switched]
    found = live_equal.differences(folder, lambda name: live.get(name, []), ends)
    there = pq.read_table(folder / "indicator_history.parquet")["ts"].to_pylist()
    early = sum(ts <= switched for ts in there)
    assert [line.partition(" of ")[0] for line in found] == [f"indicator_history: {early}"]
    for name in ("late", "late-early"):
        signals = [row for row in live["strategy_signal_history"] if row["strategy_id"] == name]
        assert signals
        assert min(row["signal_ts"] for row in signals) > joins


def joined(tree: dict[str, Any], joins: int) -> dict[str, Any]:
    """The same with more strategies, on a timeframe and with features that none has."""
    params = {"fast": 3, "slow": 7}
    late = {"id": "late", "kind": "ema_cross", "timeframe": "3m", "params": params, "from": joins}
    early = late | {"id": "late-early", "intrabar": True}
    ids = ["late", "late-early"]
    followed = [one | {"strategies": [*one["strategies"], *ids]} for one in tree["accounts"]]
    return tree | {"strategies": [*tree["strategies"], late, early], "accounts": followed}
