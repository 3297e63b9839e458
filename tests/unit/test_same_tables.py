"""However bars are cut, split or merged, a run's tables are the same, and match the golden."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest

from jobs import sources
from jobs.columns import plain
from jobs.pipeline import run_local
from schemas.config import parse_config
from schemas.resolve import plan_run
from tests.golden.lines import GOLDEN, golden_lines
from tests.runs import assert_same_folders, config, run, write_bars


@pytest.fixture(scope="module")
def bars(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bars")
    write_bars(folder)
    return folder


@pytest.fixture(scope="module")
def whole(bars: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return run(config(str(bars / "*.parquet")), tmp_path_factory.mktemp("whole")).folder


def test_two_runs_are_equal(bars: Path, whole: Path, tmp_path: Path) -> None:
    again = run(config(str(bars / "*.parquet")), tmp_path).folder
    assert_same_folders(whole, again)
    for path in whole.glob("*.parquet"):
        assert _columns(path) == _columns(again / path.name), path.name
        assert path.read_bytes() == (again / path.name).read_bytes(), path.name


def _columns(path: Path) -> list[dict[str, Any]]:
    """What the file tells of each column of each row group: encodings, sizes, statistics."""
    groups = pq.ParquetFile(path).metadata.to_dict()["row_groups"]
    return [column for group in groups for column in group["columns"]]


@pytest.mark.parametrize("piece_rows", [1, 61, 4_999])
def test_pieces_of_any_size(bars: Path, piece_rows: int) -> None:
    plan = plan_run(parse_config(config("unused")), trace=True)
    tables = [pq.read_table(path) for path in sorted(bars.glob("*.parquet"))]
    if piece_rows == 1:  # a piece per row is slow
        tables = [table.slice(0, 200) for table in tables]
    tasks = sources.memory_tasks(tables, [symbol.symbol for symbol in plan.symbols])
    got = run_local(plan, tasks, lambda rows: None, piece_rows).tables
    expected = run_local(plan, tasks, lambda rows: None).tables
    for name, table in expected.items():
        assert plain(got[name]).equals(plain(table)) or _equal_but_nan(got[name], table), name


def _equal_but_nan(mine: pa.Table, theirs: pa.Table) -> bool:
    return plain(mine).to_pylist() == plain(theirs).to_pylist()


def test_one_merged_file_by_time(bars: Path, whole: Path, tmp_path: Path) -> None:
    merged = pa.concat_tables([pq.read_table(path) for path in sorted(bars.glob("*.parquet"))])
    merged = merged.sort_by([("ts", "ascending"), ("symbol", "descending")])
    path = tmp_path / "merged.parquet"
    pq.write_table(merged, path, row_group_size=777)
    assert_same_folders(whole, run(config(str(path)), tmp_path / "out").folder)


def test_many_files_and_csv(bars: Path, whole: Path, tmp_path: Path) -> None:
    for path in sorted(bars.glob("*.parquet")):
        table = pq.read_table(path)
        third = table.num_rows // 3
        pq.write_table(table.slice(0, third), tmp_path / f"{path.stem}-0.parquet")
        pyarrow.csv.write_csv(table.slice(third, third), tmp_path / f"{path.stem}-1.csv")
        pq.write_table(table.slice(2 * third), tmp_path / f"{path.stem}-2.parquet")
    assert_same_folders(whole, run(config(str(tmp_path / "*-*")), tmp_path / "out").folder)


def test_golden(whole: Path) -> None:
    """A digest and the first rows of every table; `make golden` writes them anew."""
    assert golden_lines(whole) == GOLDEN.read_text(encoding="utf-8")
