"""Bad input, full disks and early ends through Flink: one message, and nothing left."""

import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from jobs import jvm, runtime
from tests.flink.test_runtime import children, variables, wait_until
from tests.runs import assert_same_folders, config, run, write_bars, write_config
from udfs.errors import ConfigError

pytestmark = pytest.mark.flink
PRICES = ("open", "high", "low", "close")


@pytest.fixture
def bars(tmp_path: Path) -> Path:
    write_bars(tmp_path / "bars")
    return tmp_path / "bars"


def refused(bars: Path, *words: str, **changes: Any) -> None:
    """The run gives one message with these words, and leaves nothing."""
    out = bars.parent / "runs"
    with pytest.raises(ConfigError) as caught:
        run(config(str(bars / "*.parquet"), **changes), out, "flink", 2)
    assert all(word in str(caught.value) for word in words), caught.value
    assert len(str(caught.value).splitlines()) <= 2
    assert not out.exists()


def times(path: Path, factor: float) -> None:
    """Multiply a file's prices."""
    table = pq.read_table(path)
    for name in PRICES:
        values = [value * factor for value in table[name].to_pylist()]
        table = table.set_column(table.column_names.index(name), name, pa.array(values))
    pq.write_table(table, path)


# ---- in this process --------------------------------------------------------------------------


def test_what_a_task_finds_is_told_as_in_one_process(bars: Path) -> None:
    path = bars / "ALFAUSD.parquet"
    whole = path.read_bytes()
    damaged = bytes(b ^ 0x5A if 50_000 < at < 60_000 else b for at, b in enumerate(whole))
    path.write_bytes(damaged)
    refused(bars, str(path), "row group", "the file is damaged")
    path.write_bytes(whole)
    times(path, 1e250)
    refused(bars, "does not fit DECIMAL(38,18)", "of ALFAUSD")


def test_bars_that_do_not_count_give_the_tables_of_one_process(bars: Path) -> None:
    for path in bars.iterdir():
        times(path, -1)
    tree = config(str(bars / "*.parquet"))
    local, flink = run(tree, bars.parent / "local"), run(tree, bars.parent / "flink", "flink", 2)
    assert_same_folders(local.folder, flink.folder)
    assert flink.warnings == local.warnings
    assert flink.warnings[0].startswith("NO BARS: none of the 21")
    assert flink.manifest["first_reject"] == local.manifest["first_reject"]


@contextmanager
def small_files(process: int, size: int) -> Iterator[None]:
    """A process that can write no larger files: a disk that is full."""
    before = resource.prlimit(process, resource.RLIMIT_FSIZE)
    resource.prlimit(process, resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.prlimit(process, resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("size", [0, 100_000])
def test_a_full_disk_of_the_java_process(bars: Path, size: int) -> None:
    runtime.local_environment(1)
    with small_files(runtime._running[0].process.pid, size):
        refused(bars, "cannot be written: File too large")
    assert run(config(str(bars / "*.parquet")), bars.parent / "runs", "flink").folder.exists()


# ---- a process of its own ---------------------------------------------------------------------


def start(bars: Path, **options: Any) -> subprocess.Popen[str]:
    """`tradeflow backtest` on Flink, its temporary files in a folder of its own."""
    place = bars.parent
    (place / "tmp").mkdir(exist_ok=True)
    path = write_config(config(str(bars / "*.parquet")), place / "run.yaml")
    program = "from cli.main import main; main()"
    return subprocess.Popen(
        [sys.executable, "-c", program, "backtest", "--config", str(path), "--quiet", "--trace"],
        cwd=place,
        env=variables(PYTHONPATH=str(jvm.REPO), TMPDIR=str(place / "tmp")),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **options,
    )


def java_of(started: subprocess.Popen[str]) -> int:
    """Its Java process, once there is one."""
    wait_until(lambda: children(started.pid))
    return children(started.pid)[0]


def has_begun(bars: Path) -> bool:
    """Whether Java has set up the cluster of its job."""
    return any((bars.parent / "tmp").glob("*/minicluster_*"))


def is_gone(process: int) -> bool:
    return not Path(f"/proc/{process}").exists()


def test_a_disk_without_room(bars: Path) -> None:
    limit = (20_000, 20_000)
    started = start(bars, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, limit))
    _, errors = started.communicate(timeout=60)
    assert started.returncode == 2
    assert errors.startswith("error: ") and "cannot be written: File too large" in errors
    assert len(errors.splitlines()) == 1
    assert not (bars.parent / "runs").exists() and not list((bars.parent / "tmp").iterdir())


@pytest.mark.parametrize("seconds", [0.1, 1.2])  # of the Java process: getting ready, at work
def test_ctrl_c_leaves_nothing(bars: Path, seconds: float) -> None:
    handler = signal.default_int_handler
    started = start(bars, preexec_fn=lambda: signal.signal(signal.SIGINT, handler))
    java = java_of(started)
    time.sleep(seconds)
    started.send_signal(signal.SIGINT)
    _, errors = started.communicate(timeout=30)
    assert (started.returncode, errors) == (130, "\ninterrupted: nothing was written\n")
    wait_until(lambda: is_gone(java), 10)
    assert not (bars.parent / "runs").exists() and not list((bars.parent / "tmp").iterdir())


def test_what_a_killed_run_left_goes_with_the_next(bars: Path) -> None:
    killed = start(bars)
    java = java_of(killed)
    wait_until(lambda: has_begun(bars))
    os.kill(killed.pid, signal.SIGKILL)
    killed.communicate()
    wait_until(lambda: is_gone(java), 10)
    assert list(bars.parent.glob("runs/.small*.partial"))
    assert not list(bars.parent.glob("runs/*/manifest.json"))
    following = start(bars)
    assert following.communicate(timeout=60) == ("runs/small\n", "")
    assert [path.name for path in (bars.parent / "runs").iterdir()] == ["small"]
    assert not list((bars.parent / "tmp").iterdir())


def test_a_java_process_that_is_killed_is_one_message(bars: Path) -> None:
    started = start(bars)
    java = java_of(started)
    wait_until(lambda: has_begun(bars))
    os.kill(java, signal.SIGKILL)
    _, errors = started.communicate(timeout=30)
    assert started.returncode == 2
    assert errors.startswith("error: the Java process ended during the job")
    assert len(errors.splitlines()) == 2
    assert not (bars.parent / "runs").exists() and not list((bars.parent / "tmp").iterdir())
