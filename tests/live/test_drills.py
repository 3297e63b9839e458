"""docs/drills.md as it stands: its commands are run one after another, on one stack."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from jobs.stack import processes
from tests.live.drill_page import PAGE, Drill, drills, missing

ROOT = Path(__file__).resolve().parents[2]
DRILLS = drills(PAGE.read_text(encoding="utf-8"))
LIMIT_S = 420


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The empty folder where a person begins; whatever happens, nothing runs on after it."""
    folder = tmp_path_factory.mktemp("drills")
    yield folder
    stack = folder / ".run" / "live" / "drill"
    supervisor = processes.supervisor_of(stack)
    processes.end([] if supervisor is None else [supervisor], 60)
    processes.end_servers(stack, 20)


def environment() -> dict[str, str]:
    """`tradeflow` and its Python in the path, and no screen's width."""
    own = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES")}
    paths = f"{Path(sys.executable).parent}{os.pathsep}{own['PATH']}"
    return own | {"PATH": paths, "PYTHONPATH": str(ROOT)}


@pytest.mark.parametrize("drill", DRILLS, ids=[one.title for one in DRILLS])
def test_drill(place: Path, drill: Drill) -> None:
    for block in drill.blocks:
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", block.commands],
            cwd=place, env=environment(), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True, timeout=LIMIT_S, check=False,
        )  # fmt: skip
        print(done.stdout)
        assert done.returncode == 0, block.commands
        assert missing(block.expected, done.stdout) is None
