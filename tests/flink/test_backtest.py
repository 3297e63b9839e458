"""The backtest on Flink gives the local runner's tables, in this process and by `flink run`."""

import subprocess
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from jobs import code, jvm
from jobs.cluster import Cluster, local_cluster
from tests.flink.test_runtime import variables
from tests.runs import assert_same_folders, config, run, write_bars, write_config

pytestmark = pytest.mark.flink


@pytest.fixture(scope="module")
def prices(tmp_path_factory: pytest.TempPathFactory) -> str:
    return write_bars(tmp_path_factory.mktemp("bars"))


@pytest.fixture(scope="module")
def local(prices: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return run(config(prices), tmp_path_factory.mktemp("local")).folder


@pytest.mark.parametrize("parallelism", [1, 2, 4])
def test_flink_equals_local_at_any_parallelism(
    prices: str, local: Path, tmp_path: Path, parallelism: int
) -> None:
    report = run(config(prices), tmp_path, "flink", parallelism)
    assert_same_folders(local, report.folder)
    assert report.manifest["rows"]["trade_match_history"] > 1000
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


def test_shorts_equal_too(prices: str, tmp_path: Path) -> None:
    tree = config(prices, **{"tradepicker.sellRequiresLong": False})
    flink = run(tree, tmp_path / "flink", "flink", 2).folder
    assert_same_folders(run(tree, tmp_path / "local").folder, flink)


def test_flink_run_from_another_directory(prices: str, local: Path, tmp_path: Path) -> None:
    path = write_config(config(prices), tmp_path / "run.yaml")
    archive = code.write_archive(tmp_path / "code.zip")
    # No path to this folder: its Python sees only the code that is submitted.
    with local_cluster(tmp_path / "cluster", paths=()) as cluster:
        for parallelism in (1, 2):
            out = tmp_path / f"out-{parallelism}"
            arguments = ["--config", str(path), "--out", str(out), "--trace"]
            submit(cluster, "backtest.py", arguments, parallelism, archive)
            assert_same_folders(local, out / "small")
        # A later job finds its modules, although the first one's folder is gone.
        rows = local / "indicator_history.parquet"
        arguments = ["--config", str(path), "--out", str(tmp_path), "--indicators", str(rows)]
        submit(cluster, "strategies.py", arguments, 2, archive)
        name = "strategy_signal_history.parquet"
        assert pq.read_table(tmp_path / "small" / name).equals(pq.read_table(local / name))


def submit(
    cluster: Cluster, script: str, arguments: list[str], parallelism: int, archive: Path
) -> None:
    done = subprocess.run(
        cluster.run(jvm.REPO / "jobs" / script, arguments, parallelism, archive),
        cwd=archive.parent,
        env=variables(**cluster.variables()),
        capture_output=True,
        text=True,
        timeout=180,
    )
    assert done.returncode == 0, done.stdout + done.stderr
