"""Alerts: rules that fire and don't, who is told and who is not, and a runbook for each."""

import json
import re
import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import pytest
import yaml

from jobs.stack.state import Ports
from tests.monitoring import (
    CONF,
    HOST,
    ROOT,
    answers,
    checked,
    environment,
    free_port,
    notifier,
    post_json,
    request,
    running,
    tool,
    until,
)
from tests.unit.test_docs import blocks, command_problem, slugs

CASES = sorted((ROOT / "tests" / "alerts").glob("*.yml"))
RUNBOOKS = "docs/runbooks.md"
CRITICAL = {
    "UnrealizedDrawdown", "FeedStopped", "RollupStale", "CheckpointFailing", "JobNotRunning",
    "DiskFull", "StoreAway", "ExporterDown",
}  # fmt: skip
WARNING = {
    "ExposureHigh", "SymbolStale", "FrequentRejects", "CheckpointSlow", "RestartsInARow",
    "GateWithoutUpstream", "RowsRejected", "DiskFilling", "FlinkMetricsDown",
}  # fmt: skip
# Alert to those that it keeps back, in the same run.
INHIBITED = {
    "StoreAway": {
        "FeedStopped", "SymbolStale", "RollupStale", "JobNotRunning", "CheckpointSlow",
        "CheckpointFailing", "RestartsInARow", "FrequentRejects",
    },
    "ExporterDown": {"FeedStopped", "SymbolStale", "RollupStale"},
    "FeedStopped": {"SymbolStale"},
    "JobNotRunning": {"RollupStale", "CheckpointSlow", "CheckpointFailing"},
    "DiskFull": {"DiskFilling"},
}  # fmt: skip

OF_JOBS = "flink_jobmanager_job_"
METRIC = r"\b(?:te|tp|tradeflow|prices|risk|progress|rows|flink)_\w+"

RULES = [
    rule
    for file in sorted((CONF / "rules").glob("*.yml"))
    for group in yaml.safe_load(file.read_text(encoding="utf-8"))["groups"]
    for rule in group["rules"]
]
NAMES = sorted({rule["alert"] for rule in RULES})


# ---- the files -------------------------------------------------------------------------------


def test_prometheus_takes_its_configuration() -> None:
    assert "4 rule files found" in checked(
        "promtool", "check", "config", str(CONF / "prometheus.yml")
    )


@pytest.mark.parametrize("file", sorted((CONF / "rules").glob("*.yml")), ids=lambda one: one.stem)
def test_prometheus_takes_the_rules(file: Path) -> None:
    assert "SUCCESS" in checked("promtool", "check", "rules", "--lint-fatal", str(file))


def test_alertmanager_takes_its_configuration() -> None:
    assert "SUCCESS" in checked("amtool", "check-config", str(CONF / "alertmanager.yml"))


def test_alertmanager_knows_the_notifiers_usual_port() -> None:
    text = (CONF / "alertmanager.yml").read_text(encoding="utf-8")
    assert re.findall(r"http://[^\s/]+/\w+", text) == [f"http://{HOST}:{Ports().notifier}/alerts"]


def test_targets_are_files_that_up_writes() -> None:
    config = yaml.safe_load((CONF / "prometheus.yml").read_text(encoding="utf-8"))
    jobs = {one["job_name"]: one["file_sd_configs"] for one in config["scrape_configs"]}
    jobs["alertmanager"] = config["alerting"]["alertmanagers"][0]["file_sd_configs"]
    files = {name: files for name, (one,) in jobs.items() for files in one["files"]}
    assert files == {
        name: f"targets/{name}*.json" for name in ("tradeflow", "flink", "alertmanager")
    }


# ---- when alerts fire ------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("file", CASES, ids=lambda one: one.stem)
def test_alerts_fire_when_they_should(file: Path) -> None:
    checked("promtool", "test", "rules", str(file))


def test_every_alert_has_a_case_that_fires_and_one_that_does_not() -> None:
    fires, is_quiet = set(), set()
    for file in CASES:
        for test in yaml.safe_load(file.read_text(encoding="utf-8"))["tests"]:
            for case in test.get("alert_rule_test", ()):
                (fires if case["exp_alerts"] else is_quiet).add(case["alertname"])
    assert fires == is_quiet == set(NAMES)


def test_alerts_ask_for_metrics_that_there_are() -> None:
    """One that nobody writes would never fire, and look well."""
    exporter = "".join(file.read_text("utf-8") for file in (ROOT / "jobs/exporter").glob("*.py"))
    flink = yaml.safe_load((ROOT / "conf/flink/live/config.yaml").read_text(encoding="utf-8"))
    filters = [one.partition(":") for one in flink["metrics.reporter.prom.filter.includes"]]
    of_jobs = [
        name
        for scope, _, names in filters
        if scope == "jobmanager.job"
        for name in names.split(",")
    ]
    asked = {name for rule in RULES for name in re.findall(METRIC, rule["expr"])}
    assert len(asked) > 15
    for name in asked:
        if name.startswith(OF_JOBS):
            assert any(fnmatch(name.removeprefix(OF_JOBS), one) for one in of_jobs), name
        else:
            assert f'"{name.removesuffix("_total")}"' in exporter, name


# ---- what they say ---------------------------------------------------------------------------


def test_these_are_the_alerts() -> None:
    found = {(rule["alert"], rule["labels"]["severity"]) for rule in RULES}
    expected = {(name, "critical") for name in CRITICAL} | {(name, "warning") for name in WARNING}
    assert found == expected


@pytest.mark.parametrize("rule", RULES, ids=lambda one: one["alert"])
def test_an_alert_says_what_to_do(rule: dict[str, Any]) -> None:
    notes = rule["annotations"]
    assert set(notes) == {"summary", "action", "runbook_url"}
    assert notes["runbook_url"] == f"{RUNBOOKS}#{rule['alert'].lower()}"
    commands = re.findall(r"`([^`]+)`", notes["action"])
    assert commands
    for text in commands:
        program, *words = shlex.split(re.sub(r"\{\{.*?\}\}", "x", text))
        if program == "tradeflow":
            assert command_problem(words) is None, text


def test_every_alert_has_a_runbook_and_every_runbook_an_alert() -> None:
    text = (ROOT / RUNBOOKS).read_text(encoding="utf-8")
    part = re.search(r"^## Alerts\n(.*?)(?=^## |\Z)", text, re.M | re.S)
    assert part is not None
    sections = re.findall(r"^### (\w+)$", part[1], re.M)
    assert sorted(sections) == NAMES
    assert {name.lower() for name in NAMES} <= slugs(RUNBOOKS)
    for section in re.split(r"^### ", part[1], flags=re.M)[1:]:
        for word in ("**Look:**", "**Do:**", "**Over:**"):
            assert word in section, section.splitlines()[0]


# ---- who is told -----------------------------------------------------------------------------


@contextmanager
def alertmanager(folder: Path, notifier_port: int, group_wait: str) -> Iterator[str]:
    """The address of an Alertmanager with the project's configuration."""
    text = (CONF / "alertmanager.yml").read_text(encoding="utf-8")
    text = text.replace(f":{Ports().notifier}/", f":{notifier_port}/")
    text = re.sub(r"group_wait: \w+", f"group_wait: {group_wait}", text)
    file, port = folder / "alertmanager.yml", free_port()
    file.write_text(text)
    words = [
        tool("prometheus-alertmanager"),
        f"--config.file={file}",
        f"--storage.path={folder / 'data'}",
        "--cluster.listen-address=",
        f"--web.listen-address={HOST}:{port}",
        "--log.level=warn",
    ]
    url = f"http://{HOST}:{port}"
    with running(words, environment(), folder / "alertmanager.log"):
        until(lambda: answers(f"{url}/-/ready"), "Alertmanager")
        yield f"{url}/api/v2/alerts"


def labels(name: str, run: str, **more: str) -> dict[str, str]:
    severity = "critical" if name in CRITICAL else "warning"
    job = {"job": "trading-engine"} if name == "JobNotRunning" else {}
    return {"alertname": name, "severity": severity, "run": run, **job, **more}


def test_an_alert_keeps_back_what_it_explains_in_its_own_run(tmp_path: Path) -> None:
    pairs = [(one, other) for one in NAMES for other in NAMES if one != other]
    alerts = [
        labels(name, f"{one}/{other}") for one, other in pairs for name in sorted((one, other))
    ]
    # The job that only watches leaves no bar uncovered.
    alerts += [
        labels("JobNotRunning", "monitor", job="monitoring"),
        labels("RollupStale", "monitor"),
    ]
    expected = {
        (other, f"{one}/{other}") for one, others in INHIBITED.items() for other in others
    } | {(other, f"{other}/{one}") for one, others in INHIBITED.items() for other in others}
    with alertmanager(tmp_path, free_port(), "5m") as url:
        assert post_json(url, [{"labels": one} for one in alerts]).code == 200

        def kept_back() -> set[tuple[str, str]]:
            found = json.loads(request(url).text)
            assert len(found) == len(alerts)
            return {
                (one["labels"]["alertname"], one["labels"]["run"])
                for one in found
                if one["status"]["inhibitedBy"]
            }

        until(lambda: len(kept_back()) >= len(expected), "inhibition")
        assert kept_back() == expected


@pytest.mark.slow
def test_the_commands_of_the_runbooks_test_and_silence_an_alert(tmp_path: Path) -> None:
    lines = [line for block in blocks(RUNBOOKS, "sh") for line in block.splitlines()]
    add, silence, query = [shlex.split(line) for line in lines if line.startswith("amtool ")]
    with (
        notifier(tmp_path) as found,
        alertmanager(tmp_path, found.port, "1s") as url,
    ):
        base = url.removesuffix("/api/v2/alerts")

        def run(words: list[str]) -> str:
            return checked(*(re.sub(r"http://[\d.]+:\d+", base, word) for word in words))

        run(add)
        run(silence)
        assert "QUIETUSD" in run(query)
        quiet = labels("SymbolStale", "live", symbol="QUIETUSD")
        assert post_json(url, [{"labels": quiet}]).code == 200
        until(lambda: "[FIRING" in found.said(), "message")
        assert "[FIRING critical] Test main (run live): only a test\n" in found.said()
        states = {
            one["labels"]["alertname"]: one["status"]["state"]
            for one in json.loads(request(url).text)
        }
    assert states == {"Test": "active", "SymbolStale": "suppressed"}


def test_alertmanager_tells_the_notifier_of_what_explains_the_rest(tmp_path: Path) -> None:
    told = [labels("StoreAway", "live"), labels("UnrealizedDrawdown", "live", account="main")]
    kept = [labels("RollupStale", "live", symbol="ALFAUSD"), labels("JobNotRunning", "live")]
    other = [labels("RollupStale", "other", symbol=name) for name in ("ALFAUSD", "BRAVOUSD")]
    with (
        notifier(tmp_path) as found,
        alertmanager(tmp_path, found.port, "1s") as url,
    ):
        alerts = [
            {"labels": one, "annotations": {"summary": "text"}} for one in told + kept + other
        ]
        assert post_json(url, alerts).code == 200
        until(lambda: found.said().count("[FIRING") >= 4, "message")
        lines = [line.split(" ", 2)[2] for line in found.said().splitlines()[1:]]
    assert sorted(lines) == [
        "[FIRING critical] RollupStale ALFAUSD (run other): text",
        "[FIRING critical] RollupStale BRAVOUSD (run other): text",
        "[FIRING critical] StoreAway (run live): text",
        "[FIRING critical] UnrealizedDrawdown main (run live): text",
    ]
