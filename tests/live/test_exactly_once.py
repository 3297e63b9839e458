"""Processes are killed at random while bars and fills flow; afterwards every row is there once."""

import random
import threading
import time
from collections.abc import Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from jobs import engine_files
from jobs.live.replay_gate import replay as replay_gate
from jobs.store.client import Writing
from schemas.resolve import plan_run
from schemas.table import Kind
from schemas.tables import TABLES
from schemas.trading import EXEC_REPORT_HISTORY
from tests import live_equal, runs
from tests.live.live_runs import FOR_EVER, LiveRun, kills, live_run, wait_for, write_bars
from udfs.reports import REPORT_COLUMNS
from udfs.timeframes import DAY_MS

VICTIMS = ("taskmanager-0", "jobmanager", "coordinator")
KAFKA_VICTIMS = ("taskmanager-0", "broker", "jobmanager")
COMMITTED_S = 60.0  # rows are committed by checkpoints, each 10 s
OUTSIDE = "outside"
REPORTS = 8_000
BATCH = 100


def tape(pick: random.Random, count: int) -> list[dict[str, Any]]:
    """Fills of an outside broker in the order of their ts, as rows of the table."""
    rows = []
    for number in range(count):
        row = dict.fromkeys(column.name for column in EXEC_REPORT_HISTORY.columns)
        rows.append(
            row
            | {
                "account_id": OUTSIDE,
                "strategy_id": pick.choice(("cross", "sweep")),
                "order_id": f"o{number}",
                "fill_id": f"f{number}",
                "symbol": pick.choice(("ALFAUSD", "BRAVOUSD", "ECHOUSD")),
                "side": pick.choice(("BUY", "SELL")),
                "fill_qty": Decimal(pick.randint(1, 900)) / 100,
                "fill_price": Decimal(pick.randint(9_000, 11_000)) / 100,
                "ts": runs.START + 250 * number,
                "fee": Decimal(pick.randint(-5, 20)) / 1000,
                "run_id": "kill",
            }
        )
    return rows


def write_tape(run: LiveRun, rows: list[dict[str, Any]], seconds: float) -> None:
    """Write the tape over so many seconds; the writer waits for the store while it is away."""
    names = [column.name for column in EXEC_REPORT_HISTORY.stored]
    with run.client() as client:
        for at in range(0, len(rows), BATCH):
            batch = [tuple(row[name] for name in names) for row in rows[at : at + BATCH]]
            client.write(Writing(EXEC_REPORT_HISTORY, batch))
            time.sleep(seconds * BATCH / len(rows))


def newest_tick(run: LiveRun) -> int:
    """How far the engine is."""
    told = [row["ts"] for row in run.rows("progress") if row["stage"] == "engine"]
    return max(told, default=0)


def disturbed_replay(
    stack: Path,
    run: LiveRun,
    seed: int,
    speed: float,
    victims: Sequence[str] = (*VICTIMS, *VICTIMS),
) -> list[float]:
    """Replay at this speed while processes are killed; how long each recovery took."""
    pick = random.Random(seed)
    names = list(victims)
    pick.shuffle(names)
    feeding = threading.Thread(target=run.replay, args=(speed,))
    feeding.start()
    reached = [0]

    def goes_on() -> bool:
        reached.append(newest_tick(run))
        return reached[-1] > reached[-2] > 0 or not feeding.is_alive()

    found = kills(stack, names, pick, goes_on)
    feeding.join(600)
    assert not feeding.is_alive()
    for name, seconds in found:
        print(f"{name} killed: the engine told a new tick after {seconds:.1f} s")
    return sorted(seconds for _, seconds in found)


def test_with_patience_for_ever_every_table_equals_the_bounded_run(
    stack: Path, tmp_path: Path
) -> None:
    ends = write_bars(tmp_path / "bars", 8, 360)
    tree = runs.config(str(tmp_path / "bars" / "*.parquet")) | {"run.id": "kill"}
    bounded = runs.run(tree, tmp_path / "runs").folder
    outside = {"id": OUTSIDE, "strategies": ["cross", "sweep"], "sizing": {"fixed_qty": "1"}}
    live = tree | {"accounts": [*tree["accounts"], outside | {"broker": "external"}]}
    fills = tape(random.Random(8), REPORTS)
    with live_run(stack, live | FOR_EVER, bounded, 1) as run:
        writing = threading.Thread(target=write_tape, args=(run, fills, 150.0))
        writing.start()
        recoveries = disturbed_replay(stack, run, 8, speed=120)
        writing.join(300)
        time.sleep(8)  # the outside account's patience
        print(
            f"recovery: median {recoveries[len(recoveries) // 2]:.1f}, worst {recoveries[-1]:.1f}"
        )
        assert run.differences(ends, but=OUTSIDE) == []
        assert run.rows("progress_gaps") == []
        check_outside(run, fills)


def check_outside(run: LiveRun, rows: list[dict[str, Any]]) -> None:
    """The outside account's tables are those of the bounded engine on the same fills."""
    reports = [
        {name: None if row[name] is None else str(row[name]) for name in REPORT_COLUMNS}
        for row in rows
    ]
    quotes = {symbol.symbol: symbol.quote for symbol in plan_run(run.config).symbols}
    fills, _, _ = engine_files.sort_out(reports, quotes.__getitem__, "kill")
    booked = engine_files.book_fills(fills, quotes.__getitem__, 7 * DAY_MS)
    expected = engine_files.engine_tables(booked, [], quotes.__getitem__, "kill", "LIVE")
    for name in ("trade_match_history", "open_positions_lots", "open_positions_rollup"):
        ts = live_equal.COMPARED[name][0]
        ever = dict.fromkeys(quotes, 1 << 62)
        mine = live_equal.keyed(name, ts, expected[name].to_pylist(), ever)
        live = [row for row in run.rows(name) if row["account_id"] == OUTSIDE]
        assert live_equal.difference(name, mine, live_equal.keyed(name, ts, live, ever)) == []
    changes = [row for row in run.rows("position_change_history") if row["account_id"] == OUTSIDE]
    assert len(changes) == len(rows)


def test_with_patience_of_5_s_what_was_decided_is_decided_once(stack: Path, tmp_path: Path) -> None:
    write_bars(tmp_path / "bars", 9, 360)
    tree = runs.config(str(tmp_path / "bars" / "*.parquet")) | {"run.id": "patient"}
    bounded = runs.run(tree, tmp_path / "runs").folder
    with live_run(stack, tree, bounded, 1) as run:
        disturbed_replay(stack, run, 9, speed=90)
        tables: Mapping[str, list[dict[str, Any]]] = {
            name: run.rows(name)
            for name in (
                "accepted_trade_signal_history",
                "rejected_trade_signal_history",
                "strategy_signal_history",
                "position_change_history",
                "progress_gaps",
            )
        }
        print(f"{len(tables['progress_gaps'])} ticks went on without another stage")
        decisions = [
            *tables["accepted_trade_signal_history"],
            *tables["rejected_trade_signal_history"],
        ]
        ids = [(row["account_id"], row["signal_id"]) for row in decisions]
        assert len(ids) == len(set(ids))
        filled = [row["order_id"] for row in tables["position_change_history"]]
        assert len(filled) == len(set(filled)) > 100
        plan = plan_run(run.config, trace=True)
        signals = tables["strategy_signal_history"]
        changes = tables["position_change_history"]
        assert replay_gate(plan, signals, decisions, changes) == []


@pytest.mark.soak
def test_on_kafka_every_table_equals_the_bounded_run_and_is_committed_once(
    kafka_stack: Path, tmp_path: Path
) -> None:
    ends = write_bars(tmp_path / "bars", 10, 300)
    tree = runs.config(str(tmp_path / "bars" / "*.parquet")) | {"run.id": "kill-kafka"}
    bounded = runs.run(tree, tmp_path / "runs").folder
    with live_run(kafka_stack, tree | FOR_EVER, bounded, 1) as run:
        disturbed_replay(kafka_stack, run, 10, 90, KAFKA_VICTIMS)
        assert run.differences(ends) == []
        assert run.rows("progress_gaps") == []
        written = [name for name, table in TABLES.items() if table.kind is Kind.HISTORY]
        keys = {name: {key_of(name, row) for row in run.rows(name)} for name in written}
        wait_for(lambda: all(set(run.committed(n)) == keys[n] for n in written), COMMITTED_S)
        assert sum(len(found) for found in keys.values()) > 1_000
        for name in written:  # no row of a transaction that was undone, none twice
            assert len(run.committed(name)) == len(keys[name]), name


def key_of(name: str, row: Mapping[str, Any]) -> tuple[Any, ...]:
    """The key of a row of a table."""
    return tuple(row[key] for key in TABLES[name].key)
