"""The local stack without Java: its files, its rules, and what it says when something is wrong."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from cli import live_options
from cli.logs import last_lines, log_of
from jobs import jar_patches, jvm
from jobs.cluster import free_port
from jobs.stack import (
    checks,
    flink,
    monitors,
    names,
    place,
    processes,
    settings,
    state,
    submission,
    watch,
)
from jobs.stack import ports as stack_ports
from jobs.stack.ports import STEP, USUAL, choose_ports, claim_ports
from jobs.stack.report import lag_of
from jobs.stack.rest import reason
from jobs.stack.tables import check_columns
from jobs.store.place import StorePlace
from schemas.config import load_config, parse_config
from schemas.config_models import LiveConfig
from schemas.tables import TABLES
from udfs.errors import ConfigError

LIVE = Path(__file__).resolve().parents[2] / "conf" / "live.yaml"


def a_stack(folder: Path, **given: Any) -> state.Stack:
    whole = state.Stack(
        folder, "live", "live", USUAL, "thread", "code", "config", "/", 1,
        state.process("supervisor"), (state.process("jobmanager", state.RUNNING, 7),), (),
    )  # fmt: skip
    return whole._replace(**given)


# ---- stack.json ------------------------------------------------------------------------------


def test_a_stack_is_read_as_written(tmp_path: Path) -> None:
    assert state.read(tmp_path) is None
    stack = a_stack(tmp_path).with_job(state.JobRecord("indicators", "abc", ""))
    state.write(stack)
    assert state.read(tmp_path) == stack
    shown = json.loads((tmp_path / state.FILE).read_text())
    assert shown["bootstrap"] == "127.0.0.1:9123"
    assert shown["rest"] == "http://localhost:8081"
    after = state.change(tmp_path, lambda one: one.with_job(state.JobRecord("indicators", "", "x")))
    assert [job.point for job in after.jobs] == ["x"]
    assert not list(tmp_path.glob("*.part*"))


@pytest.mark.parametrize(
    ("text", "part"),
    [("{", "is not JSON"), ("[]", "version None"), ('{"version": 2}', "version 2"),
     ('{"version": 1}', "is damaged ('run_id')")],
)  # fmt: skip
def test_a_damaged_file_is_told(tmp_path: Path, text: str, part: str) -> None:
    (tmp_path / state.FILE).write_text(text)
    with pytest.raises(ConfigError) as caught:
        state.read(tmp_path)
    assert part in str(caught.value)
    assert "another --dir" in str(caught.value)


def test_changes_of_many_threads_are_all_kept(tmp_path: Path) -> None:
    state.write(a_stack(tmp_path))

    def add(number: int) -> None:
        record = state.JobRecord(f"job-{number}", "", "")
        state.change(tmp_path, lambda one: one.with_job(record))

    threads = [threading.Thread(target=add, args=(number,)) for number in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    stack = state.read(tmp_path)
    assert stack is not None
    assert len(stack.jobs) == 20


def test_a_lock_is_held_by_one(tmp_path: Path) -> None:
    lock = tmp_path / "lock"
    with (
        state.held(lock, "busy"),
        pytest.raises(ConfigError, match="busy"),
        state.held(lock, "busy"),
    ):
        pass
    with state.held(tmp_path / "lock", "busy"):
        pass


@pytest.mark.parametrize(
    ("run_id", "given", "database"),
    [("live", None, "live"), ("a-b.c d", None, "a_b_c_d"), ("live", "own", "own")],
)
def test_the_database_of_a_run(run_id: str, given: str | None, database: str) -> None:
    assert state.database_of(run_id, given) == database


# ---- configuration ---------------------------------------------------------------------------


def test_what_decides_nothing_may_change() -> None:
    before = settings.resolved(load_config(LIVE))
    stack = a_stack(Path("/x"))
    free = {"wm.engine.latenessSec": None, "live.parallelism": 2, "report.zone": "UTC"}
    now = settings.resolved(load_config(LIVE, free))
    assert settings.refuse_changes(stack, before, now) == sorted(free)
    assert settings.refuse_changes(stack, before, before) == []


def test_what_decides_is_refused_by_name() -> None:
    before = settings.resolved(load_config(LIVE))
    changed = {"strategies.rsi-14.params.low": 31, "accounts.main.fee_bps": 5}
    with pytest.raises(ConfigError) as caught:
        settings.refuse_changes(
            a_stack(Path("/x")), before, settings.resolved(load_config(LIVE, changed))
        )
    assert 'accounts.main.fee_bps was "10" and is "5"' in str(caught.value)
    assert "strategies.rsi-14.params.low was 30 and is 31" in str(caught.value)
    assert "another run.id" in str(caught.value)
    other = settings.resolved(load_config(LIVE, {"run.id": "other"}))
    with pytest.raises(ConfigError, match="holds the run 'live', not 'other'"):
        settings.refuse_changes(a_stack(Path("/x")), before, other)


def test_only_a_local_store_is_a_stack() -> None:
    checks.check_config(load_config(LIVE))
    checks.check_config(load_config(LIVE, {"store.kind": "kafka"}))
    with pytest.raises(ConfigError, match=r"store\.kind is files"):
        checks.check_config(load_config(LIVE, {"store.kind": "files"}))
    with pytest.raises(ConfigError, match=r"store\.addresses"):
        checks.check_config(load_config(LIVE, {"store.addresses": "a:1"}))


def test_a_run_stays_in_its_store() -> None:
    before = StorePlace("fluss", "h:1", "live")
    checks.check_store(before, "fluss", "live")
    with pytest.raises(ConfigError, match=r"store\.kind was fluss and is kafka"):
        checks.check_store(before, "kafka", "live")
    with pytest.raises(ConfigError, match=r"store\.database was live and is other"):
        checks.check_store(before, "fluss", "other")


def test_the_execution_mode_is_not_switched() -> None:
    assert checks.execution_mode() == "thread"
    with pytest.raises(ConfigError, match="ran in process mode"):
        checks.check_mode("process", "thread")


def test_a_configuration_survives_its_file() -> None:
    tree = settings.resolved(load_config(LIVE))
    again = parse_config(json.loads(settings.json_text(tree)))
    assert settings.resolved(again) == tree


# ---- machine ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("machine", "part"),
    [(checks.Machine(2500, 9999), "some 3,348 MB of memory, and 2,500 MB are free"),
     (checks.Machine(9999, 100), "100 MB of disk left"),
     (checks.Machine(None, None), ""), (checks.Machine(3348, 2048), "")],
)  # fmt: skip
def test_room(machine: checks.Machine, part: str) -> None:
    if not part:
        checks.check_room(machine, LiveConfig(), Path("/x"))
        return
    with pytest.raises(ConfigError) as caught:
        checks.check_room(machine, LiveConfig(), Path("/x"))
    assert part in str(caught.value)


def test_this_machine_says_what_it_has(tmp_path: Path) -> None:
    found = checks.measure(tmp_path)
    assert found.disk is not None and found.disk > 0


def test_a_folder_that_can_not_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="choose another --dir"):
        checks.check_writable(tmp_path / "file" / "stack")
    with pytest.raises(ConfigError, match="has a character"):
        checks.check_machine(tmp_path / "a#b", load_config(LIVE))
    with pytest.raises(ConfigError, match="has a character"):
        checks.check_machine(tmp_path / "a,b", load_config(LIVE, {"store.kind": "kafka"}))


def test_missing_jars_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jar_patches, "JARS", tmp_path)
    with pytest.raises(ConfigError, match="make jars"):
        flink.library_folder()


@pytest.mark.parametrize("memory", ["1024m", "2g", "8g"])
def test_memory_is_divided_whole(memory: str) -> None:
    part = flink.divide(memory)
    assert part.task_heap >= 96
    assert part.rocksdb >= 128
    assert part.overhead > part.rocksdb


@pytest.mark.parametrize(
    ("live", "jobs", "slots"),
    [(LiveConfig(), 5, 8), (LiveConfig(parallelism=2), 5, 10),
     (LiveConfig(parallelism=4, task_managers=2), 5, 10), (LiveConfig(slots=5), 5, 5)],
)  # fmt: skip
def test_slots(live: LiveConfig, jobs: int, slots: int) -> None:
    assert flink.slots_of(live, jobs) == slots


def test_too_few_slots_are_refused() -> None:
    with pytest.raises(ConfigError, match="need 10 slots"):
        flink.slots_of(LiveConfig(parallelism=2, slots=8), 5)


def test_too_little_heap_is_refused() -> None:
    flink.check_heap(LiveConfig(task_manager_memory="1024m"), 5)
    flink.check_heap(LiveConfig(parallelism=2), 6)
    with pytest.raises(ConfigError, match=r"413 MiB .* 5 jobs .*: write 1664m or more"):
        flink.check_heap(LiveConfig(parallelism=2, task_manager_memory="1300m"), 5)
    flink.check_heap(LiveConfig(parallelism=2, task_manager_memory="1664m"), 5)


# ---- ports -----------------------------------------------------------------------------------


def test_each_process_of_flink_tells_its_metrics_on_a_port_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(flink, "library_folder", lambda: tmp_path)
    monkeypatch.setattr(jvm, "find_java", lambda: Path("java"))
    commands = flink.commands(a_stack(tmp_path), LiveConfig(task_managers=2))
    found = {one.name: [word for word in one.words if "prom.port" in word] for one in commands}
    assert found == {
        "jobmanager": ["metrics.reporter.prom.port=9126"],
        "taskmanager-0": ["metrics.reporter.prom.port=9127"],
        "taskmanager-1": ["metrics.reporter.prom.port=9128"],
    }


def test_usual_ports_then_a_set_beside_them() -> None:
    beside = state.Ports(*(port + STEP for port in USUAL))
    assert choose_ports(None, False, lambda port: True) == USUAL
    assert choose_ports(None, False, lambda port: port not in USUAL) == beside
    assert choose_ports(beside, False, lambda port: True) == beside
    with pytest.raises(ConfigError, match="no free ports"):
        choose_ports(None, False, lambda port: False)
    with pytest.raises(ConfigError, match="port 8081 of rest is taken by "):
        choose_ports(None, True, lambda port: port != USUAL.rest)


def test_two_stacks_that_start_at_once_take_other_ports(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stack_ports, "CLAIMS", tmp_path / "claims")
    monkeypatch.setattr(stack_ports, "is_free", lambda port: True)
    lives = [tmp_path / "a"]
    monkeypatch.setattr(stack_ports, "supervisor_of", lambda one: 1 if one in lives else None)
    beside = tuple(port + STEP for port in USUAL)
    assert claim_ports(tmp_path / "a", None, False) == USUAL
    assert claim_ports(tmp_path / "a", None, False) == USUAL
    assert claim_ports(tmp_path / "b", None, False) == beside  # it has no supervisor yet
    third = tuple(port + 2 * STEP for port in USUAL)
    assert claim_ports(tmp_path / "c", None, False) == third
    for claim in (tmp_path / "claims").iterdir():
        os.utime(claim, (0, 0))
    assert claim_ports(tmp_path / "d", None, False) == beside  # a lives, b does not
    with pytest.raises(ConfigError, match="port 2181 of zookeeper is taken"):
        claim_ports(tmp_path / "d", None, True)


def test_who_holds_a_port() -> None:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        port = server.getsockname()[1]
        assert not processes.is_free(port)
        assert f"process {os.getpid()} (" in processes.holder(port)
    assert processes.is_free(port)


# ---- processes -------------------------------------------------------------------------------


def test_processes_of_a_folder_are_found_and_ended(tmp_path: Path) -> None:
    """By their command alone, as after a supervisor that was killed."""
    code = "import time; time.sleep(60)"
    marks = [f"-Djava.io.tmpdir={tmp_path}/{part}/tmp" for part in ("store", "flink")]
    kinds = ["TabletServer", "TaskManagerRunner"]
    children = [
        subprocess.Popen([sys.executable, "-c", code, mark, kind])
        for mark, kind in zip(marks, kinds, strict=True)
    ]
    try:
        # Flink's end before the store's.
        assert [one.kind for one in processes.servers_of(tmp_path)] == ["taskmanager", "tablet"]
        assert processes.servers_of(tmp_path / "store") == []
        assert processes.supervisor_of(tmp_path) is None
        processes.end_servers(tmp_path, 5)
        assert processes.servers_of(tmp_path) == []
        assert [child.wait(5) for child in children] == [-signal.SIGTERM] * 2
    finally:
        for child in children:
            child.kill()
            child.wait()


def test_waits_grow_and_start_anew() -> None:
    wait, waits = watch.NO_WAIT, []
    for _ in range(8):
        wait = watch.after_failure(wait, 1.0)
        waits.append(wait.seconds)
    assert waits == [0, 1, 2, 4, 8, 16, 30, 30]
    assert watch.after_failure(wait, watch.STEADY_S) == (1, 0)


def test_what_ends_is_started_again_and_told(tmp_path: Path) -> None:
    told: list[tuple[str, str, str]] = []
    pids: list[int] = []

    def tell(name: str, now: str, pid: int | None, problem: str) -> None:
        told.append((name, now, problem))
        pids.extend([] if pid is None else [pid])

    good = (sys.executable, "-c", "import time; time.sleep(60)")
    bad = (sys.executable, "-c", "raise ValueError('no such thing')")
    commands = [
        flink.Command("good", good, tmp_path / "good.log"),
        flink.Command("bad", bad, tmp_path / "bad.log"),
    ]
    (tmp_path / "bad.out").write_text("OldError: of an earlier start\n")
    with watch.kept_alive(lambda: commands, dict(os.environ), tmp_path, tell):
        deadline = time.monotonic() + 20
        while len([one for one in told if one[:2] == ("bad", "waiting")]) < 2:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        os.kill(pids[0], signal.SIGKILL)
        while not any(name == "good" and "signal 9" in why for name, _, why in told):
            assert time.monotonic() < deadline
            time.sleep(0.05)
    first, second, *_ = [why for name, now, why in told if (name, now) == ("bad", "waiting")]
    assert re.match(r"ended with code 1 after \d s: ValueError: no such thing", first)
    assert "2 times in a row; the next start in 1 s" in second
    assert [now for name, now, _ in told if name == "good"][:2] == ["running", "waiting"]
    assert not any(processes.lives(pid) for pid in pids)


LEADERLESS = """
import http.server, sys
class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_error(int(sys.argv[2]))
http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), Answer).serve_forever()
"""


def test_a_jobmanager_that_leads_nothing_is_started_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch, "ASK_S", 0.1)
    monkeypatch.setattr(watch, "LEADERLESS_S", 4.0)
    told: list[tuple[str, str]] = []
    commands = []
    for name, code in (("leaderless", 503), ("well", 500)):
        port = free_port()
        words = (sys.executable, "-c", LEADERLESS, str(port), str(code))
        rest = f"http://127.0.0.1:{port}"
        commands.append(flink.Command(name, words, tmp_path / f"{name}.log", rest=rest))
    with watch.kept_alive(
        lambda: commands,
        dict(os.environ),
        tmp_path,
        lambda name, _, __, why: told.append((name, why)),
    ):
        deadline = time.monotonic() + 20
        while not any("killed as it led nothing" in why for _, why in told):
            assert time.monotonic() < deadline
            time.sleep(0.05)
    assert {name for name, why in told if why} == {"leaderless"}


# ---- what watches ----------------------------------------------------------------------------


def test_prometheus_gets_the_addresses_of_the_stack(tmp_path: Path) -> None:
    live = LiveConfig(task_managers=2)
    stack = a_stack(tmp_path, monitoring=True, ports=state.Ports(notifier=9_294))
    found = monitors.addresses(stack, live, "both")
    assert found["taskmanager-1"] == "http://127.0.0.1:9128/metrics"
    assert list(monitors.addresses(a_stack(tmp_path), live, "fluss")) == [
        "jobmanager", "taskmanager-0", "taskmanager-1",
    ]  # fmt: skip
    monitors.configure(stack, live, "both")
    targets = tmp_path / "monitoring" / "targets"
    (flink_targets,) = json.loads((targets / "flink.json").read_text())
    assert flink_targets == {
        "targets": ["127.0.0.1:9126", "127.0.0.1:9127", "127.0.0.1:9128"],
        "labels": {"run": "live"},
    }
    assert "http://127.0.0.1:9294/alerts" in (
        tmp_path / "monitoring" / "alertmanager.yml"
    ).read_text(encoding="utf-8")  # fmt: skip
    checked = subprocess.run(
        ["promtool", "check", "config", tmp_path / "monitoring" / "prometheus.yml"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert checked.returncode == 0, checked.stderr


def test_monitoring_says_what_it_lacks(monkeypatch: pytest.MonkeyPatch) -> None:
    config = load_config(LIVE, {"monitoring.export": "fluss"})
    with pytest.raises(ConfigError, match="nothing answers Prometheus: write metrics or both"):
        monitors.check(config.monitoring)
    monkeypatch.setattr("shutil.which", lambda name: None)
    with pytest.raises(ConfigError, match="apt install prometheus prometheus-alertmanager"):
        monitors.check(config.monitoring)


def test_only_the_notifier_sees_where_alerts_go(tmp_path: Path) -> None:
    seen = (sys.executable, "-c", "import os; print(os.environ.get('TRADEFLOW_NOTIFY_URLS'))")
    commands = [flink.Command(name, seen, tmp_path / f"{name}.log") for name in ("notifier", "x")]
    variables = {**os.environ, "TRADEFLOW_NOTIFY_URLS": "json://secret"}
    outputs = [tmp_path / "notifier.out", tmp_path / "x.out"]
    with watch.kept_alive(lambda: commands, variables, tmp_path, lambda *told: None):
        deadline = time.monotonic() + 20
        while not all(one.exists() and one.read_text() for one in outputs):
            assert time.monotonic() < deadline
            time.sleep(0.05)
    assert [one.read_text().split()[0] for one in outputs] == ["json://secret", "None"]


def test_what_is_no_longer_wanted_ends(tmp_path: Path) -> None:
    sleeps = (sys.executable, "-c", "import time; time.sleep(60)")
    wanted = [flink.Command(name, sleeps, tmp_path / f"{name}.log") for name in ("a", "b")]
    told: list[tuple[str, str]] = []
    with watch.kept_alive(
        lambda: wanted, dict(os.environ), tmp_path, lambda name, now, *_: told.append((name, now))
    ):
        deadline = time.monotonic() + 20
        for last in (("b", "running"), ("b", "ended")):
            while last not in told:
                assert time.monotonic() < deadline
                time.sleep(0.05)
            wanted = wanted[:1]
    assert ("a", "ended") not in told


# ---- jobs ------------------------------------------------------------------------------------


def test_jobs_that_are_asked_for() -> None:
    known = ["rsi-14", "trend"]
    assert [one.text for one in names.asked("all", (), known)] == list(names.JOBS)
    (own,) = names.asked("strategies", ("trend", "rsi-14"), known)
    assert own.text == "strategies:rsi-14,trend"
    assert names.parse(own.text) == own
    for job, strategies, part in (
        ("indicator", (), "did you mean 'indicators'"),
        ("tradepicker", ("trend",), "--strategy is for the job strategies"),
        ("strategies", ("trnd",), "did you mean 'trend'"),
    ):
        with pytest.raises(ConfigError, match=part):
            names.asked(job, strategies, known)


def test_strategies_stay_divided_and_never_run_twice() -> None:
    assert [one.text for one in names.wanted([], "both")] == list(names.JOBS)
    before = ["strategies:a", "strategies:b", "indicators"]
    kept = [one.text for one in names.wanted(before, "fluss")]
    assert kept == ["indicators", "strategies:a", "strategies:b", *list(names.JOBS)[2:]]
    assert [one.text for one in names.wanted(before, "metrics")] == kept[:-1]
    assert kept[-1] == "monitoring"
    names.refuse_doubles([names.parse("strategies:a")], ["strategies:b", "indicators"])
    assert names.replaced(names.parse("strategies"), ["strategies:a", "engine"]) == ["strategies:a"]
    assert names.left_out(["strategies:a", "engine"], ["a", "b"]) == ["b"]
    assert names.left_out(["strategies"], ["a", "b"]) == []
    for running in ("strategies", "strategies:a,c"):
        with pytest.raises(ConfigError, match="would run twice"):
            names.refuse_doubles([names.parse("strategies:a")], [running])


def test_where_a_job_goes_on(tmp_path: Path) -> None:
    checkpoints = tmp_path / "flink" / "checkpoints" / "id"
    for number in (9, 10, 11):
        (checkpoints / f"chk-{number}").mkdir(parents=True)
    for number in (9, 10):  # the last one is not whole
        (checkpoints / f"chk-{number}" / "_metadata").write_text("")
    ran = state.JobRecord("indicators", "id", "/gone")
    assert submission.point_of(tmp_path, ran) == str(checkpoints / "chk-10")
    assert submission.point_of(tmp_path, state.JobRecord("indicators", "", "")) == ""
    for lost in (ran._replace(job_id=""), ran._replace(job_id="other", point="")):
        with pytest.raises(ConfigError, match=r"is gone.*--fresh"):
            submission.point_of(tmp_path, lost)


def test_why_the_client_failed() -> None:
    text = (
        "Traceback (most recent call last):\n  File x\nudfs.errors.ConfigError: no such stage\n"
        "org.apache.flink.client.program.ProgramAbortException: java.lang.RuntimeException: Python "
        "process exits with code: 1\nCaused by: java.lang.RuntimeException: Python process exits\n"
    )
    assert submission.failure(text) == "udfs.errors.ConfigError: no such stage"
    assert submission.failure("Caused by: java.X: no route") == "java.X: no route"
    assert submission.failure("") == "Flink's client failed"
    assert reason("a\nCaused by: first\n at x\nCaused by: java.Y: last\n at y") == "java.Y: last"


# ---- status ----------------------------------------------------------------------------------


def test_how_far_stages_are_behind() -> None:
    instances = [("broker", "main"), ("broker", "ends"), ("engine", "main")]
    progress = {("feed", "main"): 600, ("broker", "main"): 600, ("broker", "ends"): 540}
    assert lag_of(progress, instances) == {"broker": 60, "engine": None}
    assert lag_of({}, instances) == {"broker": None, "engine": None}


def test_another_versions_table_is_told() -> None:
    table = TABLES["progress"]
    contract = {"stage": "STRING NOT NULL", "instance": "STRING NOT NULL"}
    check_columns(table, contract, contract, "live")
    with pytest.raises(ConfigError) as caught:
        check_columns(table, contract, contract | {"old": "INT"}, "live")
    assert "table progress of database live was made by another version" in str(caught.value)
    assert "old is INT and should be absent" in str(caught.value)
    assert "another run.id" in str(caught.value)


def test_the_stack_of_the_current_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match="tradeflow up"):
        place.find(None)
    for name in ("a", "b"):
        (tmp_path / place.STACKS / name).mkdir(parents=True)
        state.write(a_stack(tmp_path / place.STACKS / name))
        if name == "a":
            assert place.find(None) == tmp_path / place.STACKS / "a"
    with pytest.raises(ConfigError, match="several stacks: name one by --dir"):
        place.find(None)
    assert place.find(Path("x")) == tmp_path / "x"
    assert place.folder_of("r", None) == tmp_path / place.STACKS / "r"


def test_logs_by_name(tmp_path: Path) -> None:
    for file in ("log/supervisor.log", "flink/log/jobmanager.log", "flink/log/client.out"):
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file).write_text("one\ntwo\nthree\n")
    assert last_lines(log_of(tmp_path, "jobmanager"), 2) == ["two", "three"]
    assert log_of(tmp_path, "client").name == "client.out"
    with pytest.raises(ConfigError, match=r"did you mean 'jobmanager'.*logs are client"):
        log_of(tmp_path, "jobmanger")


def test_a_command_takes_the_stacks_own_configuration(tmp_path: Path) -> None:
    assert live_options.config_file(None, None) == Path("conf/live.yaml")
    assert live_options.config_file(None, tmp_path) == Path("conf/live.yaml")
    (tmp_path / "config.json").write_text("{}")
    assert live_options.config_file(None, tmp_path) == tmp_path / "config.json"
    assert live_options.config_file(Path("mine.yaml"), tmp_path) == Path("mine.yaml")
