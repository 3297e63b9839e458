"""A run in chunks is one job after another on Flink, and equals the local runner."""

from pathlib import Path

import pytest

from jobs.sweep.run import SweepStopped
from tests.unit.test_sweep import assert_same, config, cut_into, run, stop_after, write_prices

pytestmark = pytest.mark.flink


def test_chunks_on_flink_equal_a_local_run_and_go_on_from_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tree = config(write_prices(tmp_path / "bars"))
    whole = run(tree, tmp_path / "local")
    cut_into(monkeypatch, 3)
    with pytest.raises(SweepStopped):
        run(tree, tmp_path / "flink", **stop_after(2, KeyboardInterrupt()))
    told: list[tuple[int, int]] = []
    report = run(
        tree,
        tmp_path / "flink",
        runner="flink",
        parallelism=2,
        sets_done=lambda *counts: told.append(counts),
    )
    assert 0 < told[0][0] < told[-1][0] == 9
    manifest = {**report.manifest, "runner": "local"}
    assert_same(whole, report._replace(manifest=manifest))
