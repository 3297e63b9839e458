"""Tests of this folder run by `pytest -m live` alone: they need the jars of `make jars`."""

from collections.abc import Callable, Iterator
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
    yield from stack_with("fluss", tmp_path_factory.mktemp("live") / "stack")


@pytest.fixture(scope="session")
def kafka_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The same with Kafka."""
    yield from stack_with("kafka", tmp_path_factory.mktemp("kafka") / "stack")


def stack_with(store: str, folder: Path) -> Iterator[Path]:
    """A stack that runs until the generator is closed."""
    from jobs.stack import control, ending
    from schemas.config import parse_config
    from tests import runs

    live = {"task_manager_memory": "3g", "parallelism": 2}
    tree = runs.config("unused.parquet") | {"store.kind": store, "live": live}
    tree["monitoring.export"] = "both"
    control.up(parse_config(tree), folder, control.Wish(jobs=[]))
    try:
        yield folder
    finally:
        ending.down(folder, savepoint=False)


@pytest.fixture
def stack_of(request: pytest.FixtureRequest) -> Callable[[str], Path]:
    """The stack with that store."""
    names = {"fluss": "stack", "kafka": "kafka_stack"}
    return lambda store: request.getfixturevalue(names[store])  # type: ignore[no-any-return]
