"""The dashboards are those of the code, of Grafana's schema, and ask for metrics that we have."""

import json
import re
import subprocess
import threading
import urllib.parse
from collections import Counter
from collections.abc import Iterator
from fnmatch import fnmatchcase
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.cog.plugins import register_default_plugins
from grafana_foundation_sdk.models import dashboard as schema
from grafana_foundation_sdk.models import units

from scripts.dashboards import queries as asking
from scripts.dashboards.frame import COLUMNS
from scripts.dashboards.queries import EVERYTHING, MAY_BE_EMPTY, queries
from scripts.render_dashboards import DASHBOARDS, render
from tests.dashboards import empty_answers

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "conf" / "grafana" / "dashboards"
TREES = {
    file.stem: json.loads(file.read_text(encoding="utf-8"))
    for file in sorted(FOLDER.glob("*.json"))
}
NAMES = sorted(TREES)

# What the exporter, Flink's reporter and Prometheus itself tell.
EXPORTER = {
    "te_unrealized_pnl_total", "te_realized_pnl_total", "te_net_pnl_total", "te_net_exposure",
    "te_open_positions_count", "te_unrealized_pnl_topk", "te_equity", "te_unrealized_drawdown",
    "te_unrealized_drawdown_ratio", "te_exposure_ratio", "tp_signals_accepted_total",
    "tp_signals_rejected_total", "engine_matches_emitted_total", "engine_duplicates_total",
    "progress_gaps_total", "rows_rejected_total", "strategy_signals_total", "tp_open_symbols",
    "tp_reserved_symbols", "te_rollup_staleness_seconds", "prices_bar_delay_seconds",
    "prices_stale_after_seconds", "prices_feed_age_seconds", "stage_lag_seconds",
    "stage_latency_seconds_bucket", "risk_alert_active", "risk_threshold", "tradeflow_store_up",
    "tradeflow_job_up", "tradeflow_process_up", "tradeflow_process_starts_total",
    "tradeflow_disk_free_bytes", "tradeflow_disk_size_bytes", "tradeflow_exporter_ready",
}  # fmt: skip
FLINK = {
    "flink_jobmanager_job_numRestarts", "flink_jobmanager_job_lastCheckpointDuration",
    "flink_jobmanager_job_numberOfFailedCheckpoints",
    "flink_jobmanager_job_numberOfCompletedCheckpoints",
    "flink_jobmanager_job_lastCheckpointSize", "flink_jobmanager_job_uptime",
    "flink_taskmanager_job_task_busyTimeMsPerSecond",
    "flink_taskmanager_job_task_backPressuredTimeMsPerSecond",
    "flink_taskmanager_job_task_numRecordsInPerSecond",
    "flink_taskmanager_Status_JVM_Memory_Heap_Used",
    "flink_taskmanager_Status_JVM_Memory_Heap_Max",
    "flink_jobmanager_Status_JVM_Memory_Heap_Used",
}  # fmt: skip
PROMETHEUS = {"ALERTS", "ALERTS_FOR_STATE"}
# What the SDK's schema has no field for, though Grafana's Prometheus reads it.
BEYOND_THE_SCHEMA = tuple(
    f"/annotations/list/{field}"
    for field in ("step", "tagKeys", "target", "textFormat", "titleFormat")
)


def panels_of(name: str, rows: bool = False) -> list[dict[str, Any]]:
    """The panels of a dashboard, with or without the headings between them."""
    return [panel for panel in TREES[name]["panels"] if rows or panel["type"] != "row"]


def selectors(expression: str) -> list[tuple[str, str]]:
    """(metric, labels) of every selector that names labels."""
    return re.findall(r"([a-zA-Z_:][\w:]*)?\{([^{}]*)\}", expression)


# ---- the files -------------------------------------------------------------------------------


def test_the_committed_files_are_those_of_the_code() -> None:
    """`make dashboards` writes them anew."""
    different = [
        name
        for name, text in render().items()
        if not (ROOT / name).is_file() or (ROOT / name).read_text(encoding="utf-8") != text
    ]
    assert not different
    assert set(TREES) == set(DASHBOARDS)


def test_the_provisioning_fits_the_dashboards() -> None:
    folder = ROOT / "conf" / "grafana" / "provisioning"
    sources = yaml.safe_load((folder / "datasources" / "prometheus.yaml").read_text())
    providers = yaml.safe_load((folder / "dashboards" / "tradeflow.yaml").read_text())
    assert [source["uid"] for source in sources["datasources"]] == ["prometheus"]
    assert providers["providers"][0]["options"]["path"] == "$TRADEFLOW_DASHBOARDS"
    for tree in TREES.values():
        (source,) = (one for one in tree["templating"]["list"] if one["type"] == "datasource")
        assert source["current"]["value"] == "prometheus"


# ---- the schema ------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_the_sdk_reads_a_dashboard_without_loss(name: str) -> None:
    """A field that Grafana's schema does not know would be gone."""
    register_default_plugins()
    read = schema.Dashboard.from_json(TREES[name])
    lost = set(missing(TREES[name], json.loads(json.dumps(read, cls=JSONEncoder))))
    assert {place for place in lost if not place.startswith(BEYOND_THE_SCHEMA)} == set()


def missing(tree: Any, read: Any, place: str = "") -> Iterator[str]:
    """Places of what the second lacks or has otherwise; what it adds are defaults."""
    if isinstance(tree, dict) and isinstance(read, dict):
        for key, value in tree.items():
            yield from missing(value, read.get(key), f"{place}/{key}")
    elif isinstance(tree, list) and isinstance(read, list) and len(tree) == len(read):
        for one, other in zip(tree, read, strict=True):
            yield from missing(one, other, place)
    elif tree != read:
        yield place


@pytest.mark.parametrize("name", NAMES)
def test_a_dashboard_says_what_it_is(name: str) -> None:
    tree = TREES[name]
    assert tree["uid"] == f"tradeflow-{name}"
    assert tree["title"] and tree["description"] and tree["links"] and tree["annotations"]["list"]
    ids = Counter(panel["id"] for panel in panels_of(name, rows=True))
    assert ids == Counter(range(1, len(tree["panels"]) + 1))
    titles = Counter(panel["title"] for panel in panels_of(name))
    assert max(titles.values()) == 1
    assert all(panel["description"].endswith(".") for panel in panels_of(name))


@pytest.mark.parametrize("name", NAMES)
def test_panels_fill_the_grid_once(name: str) -> None:
    cells: Counter[tuple[int, int]] = Counter()
    for panel in panels_of(name, rows=True):
        at = panel["gridPos"]
        cells.update(
            (x, y)
            for x in range(at["x"], at["x"] + at["w"])
            for y in range(at["y"], at["y"] + at["h"])
        )
    depth = max(y for _, y in cells) + 1
    assert cells == Counter((x, y) for x in range(COLUMNS) for y in range(depth))


@pytest.mark.parametrize("name", NAMES)
def test_numbers_have_units_that_grafana_knows(name: str) -> None:
    known = {value for key, value in vars(units).items() if isinstance(value, str)}
    for panel in panels_of(name):
        assert set(units_of(panel)) <= known, panel["title"]


def units_of(panel: dict[str, Any]) -> Iterator[str]:
    """The units of a panel's numbers; KeyError where some numbers have none."""
    if panel["type"] == "heatmap":
        yield from (panel["options"][part]["unit"] for part in ("yAxis", "cellValues"))
        return
    fields = panel["fieldConfig"]
    if panel["type"] == "state-timeline":
        assert fields["defaults"]["mappings"], "states have words"
        return
    yield fields["defaults"]["unit"]
    if panel["type"] == "table":
        assert len(fields["overrides"]) == len(panel["targets"]), "a unit for each column"
        for override in fields["overrides"]:
            yield {one["id"]: one["value"] for one in override["properties"]}["unit"]


# ---- variables -------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_variables_are_those_that_are_used(name: str) -> None:
    variables = [one["name"] for one in TREES[name]["templating"]["list"]]
    assert variables[:2] == ["datasource", "run"]
    text = json.dumps([panels_of(name), TREES[name]["annotations"]])
    used = set(re.findall(r"\$\{?(\w+)", text)) - set(asking.FILLED_IN)
    assert used == set(variables)


# ---- expressions -----------------------------------------------------------------------------


def test_expressions_ask_for_metrics_that_there_are() -> None:
    named = {metric for query in queries() for metric, _ in selectors(query.text) if metric}
    assert named <= EXPORTER | FLINK | PROMETHEUS
    assert not (EXPORTER | FLINK) - named, "told and shown nowhere"


def test_every_selector_is_of_the_chosen_run() -> None:
    for query in queries():
        for _, labels in selectors(query.text):
            assert f'run=~"{EVERYTHING}' in labels, query
        assert "$" not in query.text


def test_expressions_that_may_be_empty_are_some_that_there_are() -> None:
    places = [query.place for query in queries()]
    stale = [
        pattern
        for pattern in MAY_BE_EMPTY
        if not any(fnmatchcase(place, pattern) for place in places)
    ]
    assert not stale
    assert all(MAY_BE_EMPTY.values())
    assert len(set(places)) == len(places)


def test_expressions_parse(tmp_path: Path) -> None:
    rules = [
        {"record": f"dashboards:{number}", "expr": query.text}
        for number, query in enumerate(queries())
    ]
    file = tmp_path / "rules.yml"
    file.write_text(json.dumps({"groups": [{"name": "dashboards", "rules": rules}]}))
    done = subprocess.run(
        ["promtool", "check", "rules", file], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{len(rules)} rules found" in done.stdout


class Answers(BaseHTTPRequestHandler):
    """A Prometheus that knows only equity, and takes no exposure."""

    def do_GET(self) -> None:
        asked = urllib.parse.parse_qs(urllib.parse.urlsplit(self.path).query)["query"][0]
        refused = "te_exposure_ratio" in asked
        result = [{"metric": {}, "value": [0, "NaN"]}] if "te_equity" in asked else []
        told = {"error": "no exposure here"} if refused else {"data": {"result": result}}
        self.send_response(400 if refused else 200)
        self.end_headers()
        self.wfile.write(json.dumps(told).encode())

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


def test_empty_answers_are_told_with_their_places() -> None:
    with HTTPServer(("127.0.0.1", 0), Answers) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            found = empty_answers(f"http://127.0.0.1:{server.server_port}")
        finally:
            server.shutdown()
            thread.join()
    places = {line.rsplit(": ", 2)[0] for line in found}
    assert "jobs: Store: A" in places
    assert "trading: Equity: A" not in places
    assert "risk: Firing now: A" not in places, "it may be empty"
    assert any(line.startswith("risk: Largest exposure: A: no exposure here:") for line in found)
