"""The services of docker-compose.yml as processes here: a store and a Flink by address."""

import json
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from jobs.live.job_names import JOBS
from jobs.stack.scrape import scrape
from jobs.stack.state import read
from jobs.store import reading
from jobs.store.client import open_client
from schemas.tables import TABLES
from tests import compose, live_equal, runs
from tests.live.live_runs import wait_for, write_bars

MINUTES = 150
STORE = ("zookeeper", "coordinator", "tablet-0", "tablet-1", "tablet-2")
FLINK = ("jobmanager", "taskmanager-0")
FOLDER = "/var/lib/tradeflow"


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[compose.Processes]:
    """The store, Flink and a configuration; no jobs yet."""
    ends = write_bars(tmp_path / "bars", 11, MINUTES)
    tree = runs.config(str(tmp_path / "bars" / "*.parquet")) | {"run.id": "composed"}
    tree["wm"] = {
        stage: {"latenessSec": None}
        for stage in ("indicators", "strategies", "tradepicker", "broker", "engine", "monitor")
    }
    config = runs.write_config(tree, tmp_path / "live.yaml")
    (tmp_path / "ends.json").write_text(json.dumps(ends))
    found = compose.Processes(tmp_path / "compose", config)
    try:
        found.up(*STORE, *FLINK)
        yield found
    finally:
        found.end()


@pytest.mark.soak
def test_the_services_decide_what_a_backtest_decides(
    stack: compose.Processes, tmp_path: Path
) -> None:
    attached = stack.run("jobs")
    assert attached.returncode == 0, attached.stderr + stack.log("jobmanager")
    assert attached.stdout.count("submitted") == len(JOBS)
    stack.start("exporter")
    again = stack.run("jobs")
    assert (again.returncode, again.stdout.count("submitted")) == (0, 0), again.stderr

    words = ("replay", "--dir", FOLDER, "--speed", "max", "--wait")
    fed: list[Any] = []
    feed = threading.Thread(target=lambda: fed.append(stack.run("tools", "tradeflow", *words)))
    feed.start()
    time.sleep(2)
    stack.kill("tablet-1")  # `restart: unless-stopped`
    stack.start("tablet-1")
    feed.join()
    assert fed[0].returncode == 0, fed[0].stdout + fed[0].stderr

    bounded = runs.run(json_tree(stack), tmp_path / "runs").folder
    ends = json.loads((tmp_path / "ends.json").read_text())
    told = read(stack.state)
    assert told is not None
    with open_client(told.store) as client:

        def rows(name: str) -> list[dict[str, Any]]:
            found: list[dict[str, Any]] = reading.read(client, TABLES[name]).to_pylist()
            return found

        wait_for(lambda: not live_equal.differences(bounded, rows, ends), 60)

    stack.wait("exporter")
    address = f"http://{compose.HOST}:{stack.port('exporter', '9125')}/metrics"
    wait_for(lambda: scrape(address).names() >= {"te_realized_pnl_total"}, 30)
    assert dict(scrape(address).by("tradeflow_job_up", "job")) == {(job,): 1.0 for job in JOBS}
    known = json.loads(stack.run("tools", "tradeflow", "status", "--json", "--dir", FOLDER).stdout)
    assert known["problems"] == []
    assert {one["state"] for one in known["jobs"]} == {"RUNNING"}
    with pytest.raises(OSError):
        socket.create_connection(("127.0.0.2", stack.port("jobmanager", "9126")))

    ended = stack.run("tools", "tradeflow", "down", "--dir", FOLDER)
    assert ended.stdout.count("savepoint-") == len(JOBS), ended.stdout + ended.stderr
    resumed = stack.run("jobs")
    assert resumed.stdout.count("goes on from") == len(JOBS), resumed.stdout + resumed.stderr


def json_tree(stack: compose.Processes) -> dict[str, Any]:
    """The configuration as the folder has it, as one of a backtest."""
    found: dict[str, Any] = json.loads((stack.state / "config.json").read_text())
    found["store"] = {"kind": "files"}
    return found
