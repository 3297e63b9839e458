"""Tests of this folder run by `pytest -m live` alone: they need the jars of `make jars`."""

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
