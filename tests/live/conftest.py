"""Tests of this folder run by `pytest -m live` alone: they need the jars of `make jars`."""

from collections.abc import Iterator
from pathlib import Path

import pytest

HERE = Path(__file__).parent


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    live = [item for item in items if HERE in item.path.parents]
    for item in live:
        item.add_marker("live")
    if "live" not in str(config.getoption("markexpr")):
        config.hook.pytest_deselected(items=live)
        items[:] = [item for item in items if item not in live]


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The folder of the one live stack of all tests: store and Flink, no jobs."""
    from jobs.stack import control, ending
    from schemas.config import parse_config
    from tests import runs

    folder = tmp_path_factory.mktemp("live") / "stack"
    live = {"task_manager_memory": "3g", "parallelism": 2}
    tree = runs.config("unused.parquet") | {"store.kind": "fluss", "live": live}
    tree["monitoring.export"] = "both"
    control.up(parse_config(tree), folder, control.Wish(jobs=[]))
    try:
        yield folder
    finally:
        ending.down(folder, savepoint=False)
