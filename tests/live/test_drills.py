"""docs/drills.md as it stands: its commands are run one after another, on one stack.

They run from a copy of the project, as one of them brings new code: in place of a repository, `git`
changes the version of the features there.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import yaml

from feeds.live.tables import read_table
from jobs.stack import processes
from jobs.stack.state import read
from jobs.store import reading
from jobs.store.client import open_client
from schemas.market import INDICATOR_HISTORY
from schemas.table import Kind
from schemas.tables import TABLES
from tests import live_equal, runs
from tests.live.drill_page import PAGE, Drill, drills, missing
from tests.live.test_making import made_tables
from udfs.features import FEATURE_VERSION

ROOT = Path(__file__).resolve().parents[2]
DRILLS = drills(PAGE.read_text(encoding="utf-8"))
LIMIT_S = 420
EVER = {"ALFAUSD": 1 << 62, "BRAVOUSD": 1 << 62}
EQUAL = {
    name: live_equal.COMPARED[name][1]
    for name in ("accepted_trade_signal_history", "trade_match_history", "open_positions_lots")
}
NEW_VERSION = "as of the drill"
UPGRADED_AT = 1_709_305_200_000  # 15:00
GIT = f"""#!/bin/sh
[ "$3" = pull ] || exit 1
sed -i 's/^FEATURE_VERSION = .*/FEATURE_VERSION = "{NEW_VERSION}"/' "$2/udfs/features/catalog.py"
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The empty folder where a person begins; whatever happens, nothing runs on after it."""
    base = tmp_path_factory.mktemp("drills")
    project, folder = base / "project", base / "mine"
    for name in ("cli", "conf", "feeds", "jobs", "schemas", "scripts", "udfs"):
        shutil.copytree(ROOT / name, project / name)  # with times, by which kernels stay compiled
    (project / ".run").symlink_to(ROOT / ".run")
    folder.mkdir()
    git = base / "bin" / "git"
    git.parent.mkdir()
    git.write_text(GIT)
    git.chmod(0o755)
    yield folder
    for stack in sorted((folder / ".run" / "live").glob("drill*")):
        supervisor = processes.supervisor_of(stack)
        processes.end([] if supervisor is None else [supervisor], 60)
        processes.end_servers(stack, 20)


def environment(place: Path) -> dict[str, str]:
    """`tradeflow`, its Python and our `git` in the path, the project's copy, no screen's width."""
    own = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES")}
    project = str(place.parent / "project")
    paths = (str(place.parent / "bin"), str(Path(sys.executable).parent), own["PATH"])
    return own | {"PATH": os.pathsep.join(paths), "PYTHONPATH": project, "TRADEFLOW": project}


@pytest.mark.soak
@pytest.mark.parametrize("drill", DRILLS, ids=[one.title for one in DRILLS])
def test_drill(place: Path, drill: Drill) -> None:
    for block in drill.blocks:
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", block.commands],
            cwd=place, env=environment(place), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True, timeout=LIMIT_S, check=False,
        )  # fmt: skip
        print(done.stdout)
        assert done.returncode == 0, block.commands
        assert missing(block.expected, done.stdout) is None
    if drill.title == "Upgrade":
        check_upgraded(place)
    if drill.title == "Restore":
        check_equal(place)
    if drill.title == "Retention":
        check_retention(place)


def check_upgraded(place: Path) -> None:
    """Each row was written by the code of its time, without a hole between."""
    stack = read(place / ".run" / "live" / "drill")
    assert stack is not None
    with open_client(stack.store) as client:
        rows = reading.read(client, INDICATOR_HISTORY).to_pylist()
    ts: dict[str, list[int]] = {}
    for row in rows:
        ts.setdefault(row["indicator_version"], []).append(row["ts"])
    assert set(ts) == {FEATURE_VERSION, NEW_VERSION}
    assert max(ts[FEATURE_VERSION]) <= UPGRADED_AT < min(ts[NEW_VERSION])


def check_retention(place: Path) -> None:
    """What was kept has rows, and the store itself says how long it keeps the new run's."""
    for name in ("matches", "reports"):
        assert pq.read_metadata(place / f"{name}.parquet").num_rows > 0, name
    stack = read(place / ".run" / "live" / "drill-2")
    assert stack is not None
    with open_client(stack.store) as client:
        made = client.call(made_tables)
    for name, info in made.items():
        kept = "30 d" if TABLES[name].kind is Kind.HISTORY else "7 d"
        assert info.get_properties().get("table.log.ttl") == kept, name


def check_equal(place: Path) -> None:
    """After all drills the paper account's rows are those of one backtest of the same hours."""
    tree = yaml.safe_load((place / "drill.yaml").read_text(encoding="utf-8"))
    tree |= {"prices.files": str(place / "bars" / "*.parquet"), "store.kind": "files"}
    tree |= {"run": {"id": "drill", "end": "2024-03-01T17:00:00Z"}}
    folder = runs.run(tree, place / "whole").folder
    stack = str(place / ".run" / "live" / "drill")
    for name, live in EQUAL.items():
        mine = pq.read_table(folder / f"{name}.parquet").to_pylist()
        theirs = read_table(live, stack=stack).to_pylist()
        ts = live_equal.COMPARED[name][0]
        found = [
            live_equal.keyed(name, ts, [row for row in rows if row["account_id"] == "paper"], EVER)
            for rows in (mine, theirs)
        ]
        assert live_equal.difference(name, *found) == []
        assert len(found[0]) > 0
