"""Each stage alone as a Flink job, on the files of a traced run, writes that run's tables."""

import subprocess
import sys
from pathlib import Path

import pytest

from jobs import jvm
from jobs.run import RunReport
from jobs.stage_job import Stage
from schemas.config import Config, parse_config
from tests.flink.test_runtime import variables
from tests.runs import config, run, write_bars, write_config
from tests.stages import STAGES, assert_same, run_alone

pytestmark = pytest.mark.flink


@pytest.fixture(scope="module")
def prices(tmp_path_factory: pytest.TempPathFactory) -> str:
    return write_bars(tmp_path_factory.mktemp("bars"))


@pytest.fixture(scope="module", params=[True, False], ids=["longs", "shorts"])
def traced(
    request: pytest.FixtureRequest, prices: str, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Config, RunReport]:
    tree = config(prices, **{"tradepicker.sellRequiresLong": request.param})
    return parse_config(tree), run(tree, tmp_path_factory.mktemp("traced"))


@pytest.mark.parametrize("parallelism", [1, 2])
@pytest.mark.parametrize("stage", STAGES, ids=[stage.name for stage in STAGES])
def test_a_stage_alone_equals_the_run(
    traced: tuple[Config, RunReport], tmp_path: Path, stage: Stage, parallelism: int
) -> None:
    given, report = traced
    alone = run_alone(stage, given, report.folder, tmp_path, "flink", parallelism)
    assert_same(stage, alone, report)
    assert sum(alone.manifest["rows"].values()) > 1000
    assert not [path for path in alone.folder.parent.iterdir() if path.name.startswith(".")]


def test_a_stage_as_a_command_in_another_directory(prices: str, tmp_path: Path) -> None:
    path = write_config(config(prices), tmp_path / "run.yaml")
    done = subprocess.run(
        [sys.executable, "-m", "jobs.indicators", "--config", str(path), "--out", "alone"],
        cwd=tmp_path,
        env=variables(PYTHONPATH=str(jvm.REPO)),
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert sorted(file.name for file in (tmp_path / "alone" / "small").iterdir()) == [
        "indicator_history.parquet",
        "manifest.json",
        "price_rejects.parquet",
    ]
