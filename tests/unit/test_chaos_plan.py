"""Faults are a function of the seed, all kinds of processes are met, and the report adds up."""

from collections import Counter
from pathlib import Path

from tests.chaos import report
from tests.chaos.engine import Outcome
from tests.chaos.faults import KILL, MACHINE, PAUSE, SUPERVISOR, Fault, kind, plan
from tests.chaos.verdict import Verdict, twice
from tests.live import drill_page

TARGETS = ("zookeeper", "tablet-0", "coordinator", "jobmanager", "taskmanager-0", "feeder")


def test_a_seed_gives_the_same_faults() -> None:
    assert plan(3, 50, TARGETS) == plan(3, 50, TARGETS)
    assert plan(3, 50, TARGETS) != plan(4, 50, TARGETS)


def test_every_process_is_killed_and_paused_about_as_often() -> None:
    faults = plan(7, 100, TARGETS, (SUPERVISOR, MACHINE))
    kills = Counter(one.target for one in faults if one.how == KILL)
    pauses = Counter(one.target for one in faults if one.how == PAUSE)
    assert kills.total() == 100
    assert set(kills) == {*TARGETS, SUPERVISOR, MACHINE}
    assert set(pauses) == set(TARGETS)
    assert all(12 <= kills[name] <= 17 for name in TARGETS)
    longer = [one for one in faults if one.pause_s > 8]  # than Flink waits for a heartbeat
    assert len(longer) > 10
    assert all(one.pause_s == 0 for one in faults if one.how == KILL)


def test_kinds_have_no_number() -> None:
    assert [kind(one) for one in ("taskmanager-12", "tablet-0", "feeder")] == [
        "taskmanager", "tablet", "feeder",
    ]  # fmt: skip


def test_the_report(tmp_path: Path) -> None:
    outcomes = [
        Outcome(Fault(n, "tablet-0", KILL, 0.0, 1.0, False), True, float(n), 0.0)
        for n in range(1, 21)
    ]
    verdict = Verdict(["a: 1 row differs"], {"a": 7}, {"a": 2}, {}, 0)
    ran = report.Ran({"seed": 3, "patience": "for ever"}, outcomes, ["slow"], 90.0, verdict)
    text = report.write(tmp_path, ran)
    assert "20 kills and 0 pauses in 2 minutes" in text
    assert "tablet         kill            20    10.0    19.0    20.0" in text
    assert text.endswith("wrong        \n  a: 1 row differs\n")


def test_a_row_that_is_there_twice_is_told() -> None:
    rows = [{"id": 1, "x": 1}, {"id": 1, "x": 2}, {"id": 2, "x": 1}]
    assert twice("t", ("id",), rows) == ["t: 1 rows are there twice"]
    assert twice("t", ("id", "x"), rows) == []


def test_blocks_of_the_drills_are_found_and_compared() -> None:
    text = "## One\nsay\n```sh\na\n```\n```text\nx ...\n...\ny\n```\n## Two\nno commands\n"
    (drill,) = drill_page.drills(text)
    (block,) = drill.blocks
    assert (drill.title, block.commands) == ("One", "a\n")
    assert drill_page.missing(block.expected, "w\nx 1 [2]\nz\ny\n") is None
    assert drill_page.missing(block.expected, "y\nx 1\n") == "y"
    assert len(drill_page.drills(drill_page.PAGE.read_text(encoding="utf-8"))) >= 8
