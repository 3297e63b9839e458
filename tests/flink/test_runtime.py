"""Blobs through real Flink: in this process's JVM, from a script, and on a session cluster."""

import os
import signal
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from jobs import adapter, code, jvm, runtime
from jobs.cluster import Cluster, local_cluster
from tests.flink import blob_job
from udfs.errors import ConfigError, InvariantError

pytestmark = pytest.mark.flink
SCRIPT = Path(blob_job.__file__)


def expected() -> str:
    """What the job must give, made by a loop."""
    blobs = b",".join(task + b": 3,-" for task in blob_job.TASKS).decode()
    return "run3\n" + "\n".join(f"{key}10 {blobs}" for key in blob_job.KEYS)


def run(stages: adapter.Stages, parallelism: int = 1, tasks: tuple[bytes, ...] = (b"x",)) -> bytes:
    env = runtime.local_environment(parallelism)
    (result,) = runtime.collect(adapter.define(env, tasks, stages), "test")
    return bytes(result)  # type: ignore[call-overload]


def variables(**more: str) -> dict[str, str]:
    """The environment of a script that is started like from a shell."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("FLINK")}
    kept.pop("PYTHONPATH", None)
    return {**kept, **more}


# ---- in this process -------------------------------------------------------------------------


@pytest.mark.parametrize("parallelism", [1, 2])
def test_a_keys_blobs_come_in_one_order_at_any_parallelism(parallelism: int) -> None:
    stages = adapter.Stages(blob_job.dense, blob_job.fold, blob_job.write)
    assert run(stages, parallelism, blob_job.TASKS).decode() == expected()


def test_blobs_of_30_mb_pass() -> None:
    stages = adapter.Stages(blob_job.large_dense, blob_job.sizes, blob_job.join)
    assert run(stages, 1, (b"task 1", b"task 2")) == b"[30000000, 30000000]"


def test_an_error_of_the_project_arrives_as_itself() -> None:
    with pytest.raises(ConfigError) as caught:
        run(adapter.Stages(blob_job.refused, blob_job.join, blob_job.join))
    assert str(caught.value) == "no file matches 'x€' for b'x'\n  on a second line"


def test_any_other_error_names_its_line() -> None:
    with pytest.raises(runtime.JobError) as caught:
        run(adapter.Stages(blob_job.dense, blob_job.broken, blob_job.join))
    assert str(caught.value).startswith("ZeroDivisionError: nothing to divide by\n  at ")
    assert "broken(blob_job.py:" in str(caught.value)
    assert "/pyflink/" not in str(caught.value)


def test_an_operator_in_a_foreign_thread_is_refused_instead_of_hanging() -> None:
    env = runtime.local_environment(1)
    stream = env.from_collection([(0, b"x")]).flat_map(
        adapter.DenseTask(blob_job.dense), adapter.record_type()
    )
    with pytest.raises(InvariantError, match="a chain of its own"):
        runtime.collect(stream, "test")


# ---- a script --------------------------------------------------------------------------------


def listening(pid: int) -> list[str]:
    """Local addresses, as in /proc/net, on which a process accepts connections."""
    inodes = set()
    for link in Path(f"/proc/{pid}/fd").iterdir():
        try:
            inodes.add(os.readlink(link).removeprefix("socket:[").rstrip("]"))
        except OSError:
            continue  # closed meanwhile
    rows = []
    for table in ("tcp", "tcp6"):
        rows += [line.split() for line in Path(f"/proc/{pid}/net/{table}").read_text().splitlines()]
    return [row[1].partition(":")[0] for row in rows if row[3] == "0A" and row[9] in inodes]


LOOPBACK = {
    "0100007F",  # 127.0.0.1
    "0000000000000000FFFF00000100007F",  # the same in IPv6
    "00000000000000000000000001000000",  # ::1
}


def children(pid: int) -> list[int]:
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def test_a_script_runs_from_another_folder_and_leaves_nothing(tmp_path: Path) -> None:
    work = tmp_path / "work"
    work.mkdir()
    done = subprocess.run(
        [sys.executable, str(SCRIPT)],
        cwd=work,
        env=variables(PYTHONPATH=str(jvm.REPO), TMPDIR=str(tmp_path)),
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.stdout, done.stderr, done.returncode) == (f"<{expected()}>\n", "", 0)
    assert sorted(tmp_path.iterdir()) == [work]
    assert not list(work.iterdir())


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_stopped_script_takes_its_jvm_along(tmp_path: Path, number: signal.Signals) -> None:
    started = tmp_path / "started"
    script = subprocess.Popen(
        [sys.executable, str(SCRIPT), str(started)],
        env=variables(PYTHONPATH=str(jvm.REPO), TMPDIR=str(tmp_path)),
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    try:
        wait_until(started.exists)
        (java,) = children(script.pid)
        addresses = listening(script.pid) + listening(java)
        assert len(addresses) > 2
        assert set(addresses) <= LOOPBACK
        script.send_signal(number)
        _, errors = script.communicate(timeout=10)
        wait_until(lambda: not Path(f"/proc/{java}").exists(), 10)
    finally:
        script.kill()
        script.wait()
    assert "ERROR:" not in errors
    if number == signal.SIGINT:
        assert errors.rstrip().endswith("KeyboardInterrupt")
        assert list(tmp_path.iterdir()) == [started]


def test_the_folder_of_a_killed_run_is_removed_by_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    left = tmp_path / f"tradeflow-flink-{dead.pid}-x"
    left.mkdir()
    mine = jvm._temporary_folder()
    second = jvm._temporary_folder()
    assert sorted(tmp_path.iterdir()) == sorted([mine, second])


def test_a_jvm_that_dies_is_reported(tmp_path: Path) -> None:
    program = (
        "from jobs import adapter, runtime\nfrom tests.flink import blob_job\n"
        "stages = adapter.Stages(blob_job.killed, blob_job.join, blob_job.join)\n"
        "runtime.collect(adapter.define(runtime.local_environment(1), [b'x'], stages), 'test')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        env=variables(PYTHONPATH=str(jvm.REPO), TMPDIR=str(tmp_path)),
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert "ConfigError: the Java process ended during the job" in done.stderr
    assert not list(tmp_path.iterdir())


def wait_until(condition, seconds: float = 30.0) -> None:  # type: ignore[no-untyped-def]
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "took too long"
        time.sleep(0.02)


# ---- Java ------------------------------------------------------------------------------------


def test_missing_java_is_told_with_its_cure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("JAVA_HOME", raising=False)
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(ConfigError, match="openjdk-17-jre-headless"):
        jvm.find_java()
    monkeypatch.setenv("JAVA_HOME", "/nowhere")
    with pytest.raises(ConfigError, match="JAVA_HOME is /nowhere"):
        jvm.find_java()


def test_old_java_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "java").touch()
    (tmp_path / "release").write_text('JAVA_VERSION="1.8.0_402"\n')
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    with pytest.raises(ConfigError, match="is Java 8, which is too old"):
        jvm.find_java()


def test_a_wrong_heap_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(jvm.HEAP, "lots")
    with pytest.raises(ConfigError, match="TRADEFLOW_JVM_HEAP is 'lots'"):
        jvm.start()


def test_an_archive_of_classes_belongs_to_one_java(tmp_path: Path) -> None:
    java = jvm.find_java()
    other = tmp_path / "bin" / "java"
    assert jvm.archive_path(java) == jvm.archive_path(java) != jvm.archive_path(other)


# ---- the session cluster ---------------------------------------------------------------------


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    # No path to this folder: its Python sees only the code that is submitted.
    with local_cluster(tmp_path_factory.mktemp("cluster"), paths=()) as running:
        yield running


def submit(cluster: Cluster, archive: Path, parallelism: int) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        cluster.run(SCRIPT, parallelism=parallelism, archive=archive),
        cwd=archive.parent,
        env=variables(**cluster.variables()),
        capture_output=True,
        text=True,
        timeout=120,
    )


def test_flink_run_gives_the_same_at_any_parallelism(cluster: Cluster, tmp_path: Path) -> None:
    archive = code.write_archive(tmp_path / "code.zip")
    for parallelism in (1, 2):
        done = submit(cluster, archive, parallelism)
        assert f"<{expected()}>" in done.stdout, done.stdout + done.stderr


def test_flink_run_refuses_other_code_than_the_task_manager_has_loaded(
    cluster: Cluster, tmp_path: Path
) -> None:
    submit(cluster, code.write_archive(tmp_path / "code.zip"), 1)
    edited = code.write_archive(tmp_path / "edited.zip")
    with zipfile.ZipFile(edited, "a") as archive:
        archive.writestr("udfs/edited.py", "")
    done = submit(cluster, edited, 1)
    assert "refused: the TaskManager runs other code" in done.stdout + done.stderr
    assert done.returncode != 0


def test_archives_of_the_same_code_are_the_same(tmp_path: Path) -> None:
    first = code.write_archive(tmp_path / "a.zip").read_bytes()
    assert first == code.write_archive(tmp_path / "b.zip").read_bytes()
    with zipfile.ZipFile(tmp_path / "a.zip") as archive:
        assert {name.partition("/")[0] for name in archive.namelist()} == set(code.PACKAGES)
