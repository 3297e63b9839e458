"""Each stage alone, on the files of a traced run, writes that run's tables: random runs."""

import random
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from jobs.run import RunRequest, execute
from schemas.config import parse_config
from tests.reference.cases import add_budget, random_config, random_rows
from tests.stages import STAGES, assert_same, run_alone


@pytest.mark.parametrize("seed", range(20))
def test_random_runs(seed: int, tmp_path: Path) -> None:
    rng = random.Random(seed)
    symbols = ["AAAUSD", "BBBUSD", "CCCUSD", "DDDUSD"][: rng.randint(1, 4)]
    minutes = rng.choice([120, 600, 1500])
    tree = random_config(rng, symbols, minutes)
    add_budget(rng, tree)
    rows = random_rows(rng, symbols, minutes, bad=rng.choice([0.0, 0.05]))
    tree["prices"] = {"files": str(tmp_path / "bars-*.parquet")}
    half = len(rows) // 2
    for number, piece in enumerate((rows[:half], rows[half:])):
        table = pa.Table.from_pylist(piece)
        pq.write_table(table, tmp_path / f"bars-{number}.parquet", row_group_size=300)
    config = parse_config(tree)
    request = RunRequest(config, (), tmp_path / "traced", False, True, "local", 1)
    traced = execute(request, lambda done, total: None)
    for stage in STAGES:
        alone = run_alone(stage, config, traced.folder, tmp_path, "local")
        assert_same(stage, alone, traced)
