"""Live on the real store and the real Flink decides what a backtest of the same bars decides."""

from collections.abc import Callable
from pathlib import Path

import pytest

from jobs.stack.names import JobName
from tests import runs
from tests.live.live_runs import FOR_EVER, live_run, write_bars


@pytest.mark.parametrize(
    ("store", "parallelism", "long_only", "minutes"),
    [
        ("fluss", 1, True, 400),
        ("fluss", 2, False, 400),
        pytest.param("kafka", 2, False, 400, marks=pytest.mark.soak),
    ],
)
def test_a_replay_at_full_speed_equals_the_backtest(
    stack_of: Callable[[str], Path],
    tmp_path: Path,
    store: str,
    parallelism: int,
    long_only: bool,
    minutes: int,
) -> None:
    ends = write_bars(tmp_path / "bars", parallelism, minutes)
    tree = runs.config(str(tmp_path / "bars" / "*.parquet"))
    tree |= {"run.id": f"equal-{parallelism}", "tradepicker.sellRequiresLong": long_only}
    bounded = runs.run(tree, tmp_path / "runs").folder
    # The first ticks of jobs that have just begun take longer than monitoring's usual 2 s.
    tree |= FOR_EVER if store == "kafka" else {"wm.monitor.latenessSec": None}
    with live_run(stack_of(store), tree, bounded, parallelism) as run:
        assert run.replay(speed=None).ticks == minutes
        assert run.differences(ends) == []
        assert run.rows("progress_gaps") == []
        assert run.rows("rejects") == []
        assert len(run.rows("paper_trade_match_history")) > 100
        codes = {row["code"] for row in run.rows("rejected_trade_signal_history")}
        assert {"OPEN_LIMIT_EXCEEDED", "NO_OPEN_POSITION"} <= codes


@pytest.mark.soak
def test_a_replay_at_60x_through_divided_strategies_equals_the_backtest(
    stack: Path, tmp_path: Path
) -> None:
    ends = write_bars(tmp_path / "bars", 5, 75)
    tree = runs.config(str(tmp_path / "bars" / "*.parquet")) | {"run.id": "equal-60x"}
    bounded = runs.run(tree, tmp_path / "runs").folder
    first, *rest = (str(one["id"]) for one in tree["strategies"])
    by_hand = (
        JobName("trading-engine"),
        JobName("strategies", (first,)),
        JobName("strategies", tuple(sorted(rest))),
    )
    with live_run(stack, tree, bounded, 1, by_hand) as run:
        run.replay(speed=60)
        assert run.differences(ends) == []
        assert run.rows("progress_gaps") == []
