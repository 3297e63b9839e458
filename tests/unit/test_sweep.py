"""Runs of many sets: cut into chunks, stopped and gone on with, they equal a run in one piece."""

import random
import re
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from jobs.run import RunReport, RunRequest, execute
from jobs.sweep import chunks, merge
from jobs.sweep.kept import Kept
from jobs.sweep.run import SweepStopped
from schemas.config import parse_config
from schemas.resolve import plan_run
from tests.runs import START, bars_table
from udfs.account import is_independent
from udfs.errors import ConfigError, Refusal
from udfs.simulate import EXAMPLE_SYMBOLS, simulate

SYMBOLS = EXAMPLE_SYMBOLS[:3]
# The command with small chunks; from the fourth on each takes two seconds.
PROGRAM = """
import sys, time, jobs.sweep.chunks, jobs.sweep.kept
jobs.sweep.chunks.CHUNK_BARS, read = 4_000, jobs.sweep.kept.read_chunk
waits = iter([0.1] * 3 + [2.0] * 99)
jobs.sweep.kept.read_chunk = lambda folder: time.sleep(next(waits)) or read(folder)
from cli.main import main
sys.exit(main())
"""


@pytest.fixture(scope="module")
def prices(tmp_path_factory: pytest.TempPathFactory) -> str:
    return write_prices(tmp_path_factory.mktemp("many") / "bars")


def write_prices(folder: Path) -> str:
    """Bars of three symbols with some bad rows; the pattern that names the files."""
    folder.mkdir()
    for symbol, bars in simulate(5, SYMBOLS, START, 600).items():
        pq.write_table(bars_table(symbol, bars), folder / f"{symbol}.parquet")
    rows = bars_table(symbol, bars).slice(0, 99).to_pylist()  # late and repeated ones
    rows[3]["close"], rows[4]["ts"], rows[5]["symbol"] = -1.0, 7, "OTHERUSD"
    pq.write_table(pa.Table.from_pylist(rows), folder / "Z.parquet")
    return str(folder / "*.parquet")


def config(prices: str, **changes: Any) -> dict[str, Any]:
    """Two families and a strategy alone, in accounts where sets are free, shared and shadowed."""
    names = [symbol.symbol for symbol in SYMBOLS]
    grid = {"fast": [3, 5, 8], "slow": [13, 21]}
    dips = [{"period": 7, "low": low, "high": 65.5} for low in (30, 35)]
    free = {"limits": {"maxOpenPositions": None}, "sizing": {"notional": "1000"}, "fee_bps": "5"}
    return {
        "run.id": "many",
        "prices.files": prices,
        "symbols": {
            names[0]: {"price_tick": "0.01"},
            names[1]: {"qty_step": "0.001", "quote": "EUR"},
            names[2]: {},
        },
        "strategies": [
            {"id": "cross", "kind": "ema_cross", "grid": grid},
            {"id": "dip", "kind": "rsi_reversion", "timeframe": "5m", "sets": dips},
            {"id": "alone", "kind": "donchian_breakout", "params": {"entry": 20, "exit": 10}},
        ],
        "accounts": [
            {"id": "free", "strategies": ["cross", "alone"], "slippage_bps": "2", **free},
            {"id": "both", "strategies": ["cross", "dip"], "weights": {"dip": "0.3"}, **free},
            {"id": "capped", "strategies": ["dip"], "sizing": {"fixed_qty": "2"}, "shadow": True,
             "limits": {"maxOpenPositions": 1}},
        ],
        "engine.outputs": "full",
        **changes,
    }  # fmt: skip


def run(tree: dict[str, Any], out: Path, **changes: Any) -> RunReport:
    progress = changes.pop("progress", lambda done, total: None)
    given = RunRequest(parse_config(tree), (), out, False, False, "local", 1)
    return execute(given._replace(**changes), progress)


@pytest.fixture(scope="module")
def whole(prices: str, tmp_path_factory: pytest.TempPathFactory) -> RunReport:
    return run(config(prices), tmp_path_factory.mktemp("whole"))


def cut_into(monkeypatch: pytest.MonkeyPatch, sets: float, rows: int = 1_800) -> None:
    """Chunks of so many sets of a minute's bars in one account."""
    monkeypatch.setattr(chunks, "CHUNK_BARS", sets * rows * 1.003)


def assert_same(one: RunReport, other: RunReport) -> None:
    """Every table, every count, every figure, floats to the last bit."""
    names = sorted(path.name for path in one.folder.iterdir())
    assert names == sorted(path.name for path in other.folder.iterdir())
    for name in names:
        if name.endswith(".parquet"):
            mine, theirs = pq.read_table(one.folder / name), pq.read_table(other.folder / name)
            assert mine.schema.equals(theirs.schema), name
            assert mine.equals(theirs), name
    assert {**one.manifest, "timings": 0} == {**other.manifest, "timings": 0}


# ---- cut -------------------------------------------------------------------------------------


def test_chunks_have_every_set_once_and_those_that_depend_together(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rng = random.Random(7)
    for _ in range(100):
        sets = [{"fast": fast, "slow": 200} for fast in range(2, 3 + rng.randrange(20))]
        ids = [f"cross/fast={one['fast']},slow=200" for one in sets]
        accounts = [
            {"id": f"a{number}", "strategies": rng.sample(ids, rng.randint(1, len(ids))),
             "sizing": {"fixed_qty": 1},
             "limits": {"maxOpenPositions": rng.choice((None, None, 2))}}
            for number in range(rng.randint(1, 4))
        ]  # fmt: skip
        strategies = [{"id": "cross", "kind": "ema_cross", "timeframe": "5m", "sets": sets}]
        tree = {"symbols": {"AUSD": {}}, "strategies": strategies, "accounts": accounts}
        plan = plan_run(parse_config({"prices.files": "x", **tree}))
        cut_into(monkeypatch, rng.uniform(0.1, 5))
        found = chunks.cut(plan, 1_800)
        names = [name for chunk in found for name in chunk.strategies]
        assert sorted(names) == sorted(chunks.followed(plan))
        for account in plan.accounts:
            if not is_independent(plan, account):
                assert any(set(account.strategies) <= set(one.strategies) for one in found)
        rest = chunks.cut(plan, 1_800, found[0].strategies)
        assert sorted(n for one in rest for n in one.strategies) == sorted(
            set(names) - set(found[0].strategies)
        )


def test_a_traced_run_and_a_small_one_are_not_cut(
    prices: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = plan_run(parse_config(config(prices)))
    assert len(chunks.cut(plan, 2_565_405)) > 1
    assert len(chunks.cut(plan, 100_000)) == 1
    assert len(chunks.cut(plan._replace(trace=True), 2_565_405)) == 1


def test_sets_that_cannot_be_cut_apart_tell_what_memory_they_take(prices: str) -> None:
    plan = plan_run(parse_config(config(prices)))
    assert chunks.memory_notes(plan, 2_565_405) == []
    (note,) = chunks.memory_notes(plan, 1_000_000_000)
    assert note.startswith("2 sets of capped share a cap") and "may take 10 GB" in note


# ---- equal -----------------------------------------------------------------------------------


@pytest.mark.parametrize(("sets", "rows"), [(1, 100), (2, 1_000_000), (3, 333), (7, 40)])
def test_a_run_in_chunks_equals_one_in_one_piece(
    prices: str, whole: RunReport, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    sets: int, rows: int,
) -> None:  # fmt: skip
    cut_into(monkeypatch, sets)
    monkeypatch.setattr(merge, "MERGE_ROWS", rows)
    told: list[tuple[int, int]] = []
    report = run(config(prices), tmp_path, sets_done=lambda *counts: told.append(counts))
    assert_same(whole, report)
    assert told[0] == (0, 9) and told[-1] == (9, 9) and len(told) > 2
    assert [path.name for path in tmp_path.iterdir()] == ["many"]


@pytest.mark.parametrize(
    "changes",
    [
        {
            "run": {"start": "2024-03-30T09:00:00Z", "warmup": "2h"}
        },  # few matches: some sets have none
        {"tradepicker": {"sellRequiresLong": False, "maxEntries": 2}},  # nothing is independent
        {"run": {"start": "2025-01-01"}},  # no bars
    ],
)
def test_other_runs_in_chunks_equal_too(
    prices: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any]
) -> None:
    one = run(config(prices, **changes), tmp_path / "one")
    cut_into(monkeypatch, 0.1)
    monkeypatch.setattr(merge, "MERGE_ROWS", 10)
    assert_same(one, run(config(prices, **changes), tmp_path / "cut"))


# ---- stopped ---------------------------------------------------------------------------------


def stop_after(sets: int, error: BaseException) -> dict[str, Any]:
    def sets_done(done: int, total: int) -> None:
        if done >= sets:
            raise error

    return {"sets_done": sets_done}


@pytest.mark.parametrize(("error", "code"), [(KeyboardInterrupt(), 130), (SystemExit(143), 143)])
def test_what_is_done_is_kept_and_taken_over(
    prices: str, whole: RunReport, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    error: BaseException, code: int,
) -> None:  # fmt: skip
    cut_into(monkeypatch, 2)
    with pytest.raises(SweepStopped) as stopped:
        run(config(prices), tmp_path, **stop_after(3, error))
    (kept,) = tmp_path.iterdir()
    assert (stopped.value.code, stopped.value.folder) == (code, kept)
    done = int(re.search(r"(\d) of 9 sets are done", str(stopped.value))[1])  # type: ignore[index]
    rows = pq.read_table(kept / "sweep.parquet").to_pylist()
    assert {row["strategy_id"] for row in rows} <= {row["strategy_id"] for row in whole.summary}
    assert 3 <= done < 9 and re.fullmatch(r"\.many\.[0-9a-f]{12}\.kept", kept.name)
    told: list[tuple[int, int]] = []
    report = run(config(prices), tmp_path, sets_done=lambda *counts: told.append(counts))
    assert told[0] == (done, 9)
    assert_same(whole, report)
    assert [path.name for path in tmp_path.iterdir()] == ["many"]


def test_parts_of_a_killed_run_are_done_again(
    prices: str, whole: RunReport, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cut_into(monkeypatch, 1)
    with pytest.raises(SweepStopped):
        run(config(prices), tmp_path, **stop_after(5, KeyboardInterrupt()))
    (kept,) = tmp_path.iterdir()
    first, second, *_ = sorted(path for path in kept.iterdir() if path.is_dir())
    first.rename(first.with_suffix(".partial"))
    (second / "equity.bin").write_bytes(b"cut")
    assert_same(whole, run(config(prices), tmp_path))
    assert [path.name for path in tmp_path.iterdir()] == ["many"]


def test_another_configuration_leaves_what_is_kept_and_tells(
    prices: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cut_into(monkeypatch, 2)
    with pytest.raises(SweepStopped):
        run(config(prices), tmp_path, **stop_after(3, KeyboardInterrupt()))
    (kept,) = tmp_path.iterdir()
    report = run(config(prices, **{"report.zone": "UTC"}), tmp_path)
    (told,) = [text for text in report.warnings if "keeps sets of an unfinished run" in text]
    assert told.startswith(str(kept)) and kept.exists()
    assert run(config(prices), tmp_path, overwrite=True).folder.exists()
    assert not kept.exists()


def test_nothing_is_kept_where_nothing_is_done(
    prices: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cut_into(monkeypatch, 2)
    with pytest.raises(KeyboardInterrupt) as stopped:
        run(config(prices), tmp_path / "out", **stop_after(0, KeyboardInterrupt()))
    assert not isinstance(stopped.value, SweepStopped)
    assert list(tmp_path.iterdir()) == []


def test_an_error_tells_what_is_kept(
    prices: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cut_into(monkeypatch, 2)
    full = OSError(28, "No space left on device", "/somewhere")
    with pytest.raises(ConfigError, match=r"(?s)No space left.*sets are done and kept in"):
        run(config(prices), tmp_path, **stop_after(3, full))


def test_two_processes_do_not_work_on_one_run(tmp_path: Path) -> None:
    with Kept(tmp_path, "x", "0" * 12) as kept:
        with pytest.raises(Refusal, match="another process works on this very run"):
            Kept(tmp_path, "x", "0" * 12).__enter__()
        with Kept(tmp_path, "x", "1" * 12):
            pass
        assert [path.name for path in tmp_path.iterdir()] == [kept.path.name]


@pytest.mark.slow
def test_ctrl_c_in_a_terminal(prices: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "many.yaml").write_text(yaml.safe_dump(config(prices)))
    arguments = ["backtest", "--config", "many.yaml", "--runner", "local", "--top", "2"]
    command = [sys.executable, "-c", PROGRAM, *arguments]
    # Whoever runs these tests in the background may ignore the signal, which is inherited.
    listens = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
    started = subprocess.Popen(
        command, cwd=tmp_path, stdout=-1, stderr=-1, text=True, preexec_fn=listens
    )
    done = "runs/.*.kept/" + "?" * 16 + "/chunk.pickle"
    while len(list(tmp_path.glob(done))) < 3 and started.poll() is None:
        time.sleep(0.002)
    started.send_signal(signal.SIGINT)
    output, told = started.communicate(timeout=30)
    assert started.returncode == 130, told
    assert "best net PnL first" in output
    assert "the same command goes on from there" in told
    cut_into(monkeypatch, 1)
    sets: list[tuple[int, int]] = []
    run(config(prices), tmp_path / "runs", sets_done=lambda *counts: sets.append(counts))
    assert sets[0][0] >= 3
    assert [path.name for path in (tmp_path / "runs").iterdir()] == ["many"]
