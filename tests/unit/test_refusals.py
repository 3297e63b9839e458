"""What is wrong is told in one screen with exit code 2, and nothing is left that looks finished."""

import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from typer.testing import CliRunner

from cli.main import app
from jobs.run import run_frames
from tests.runs import bars_table, config, write_bars
from udfs.simulate import EXAMPLE_SYMBOLS, simulate

SCREEN = 24
NAMES = [spec.symbol for spec in EXAMPLE_SYMBOLS]
HEADER = "symbol,ts,open,high,low,close,volume\n"


def command(tree: dict[str, Any], folder: Path, *options: str) -> list[str]:
    path = folder / "run.yaml"
    path.write_text(yaml.safe_dump(tree))
    program = "import sys; from cli.main import main; sys.exit(main())"
    common = ["--config", str(path), "--runner", "local", "--out", str(folder / "runs")]
    return [sys.executable, "-c", program, "backtest", *common, *options]


def run(tree: dict[str, Any], folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """The command in this process, which spares its start."""
    arguments = command(tree, folder, *options)[3:]
    done = CliRunner().invoke(app, arguments)
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    return subprocess.CompletedProcess(arguments, done.exit_code, done.stdout, done.stderr)


def assert_refused(done: subprocess.CompletedProcess[str], folder: Path, *words: str) -> None:
    assert done.returncode == 2, done.stderr
    assert done.stderr.startswith("error: "), done.stderr
    assert len(done.stderr.splitlines()) <= SCREEN
    assert "Traceback" not in done.stderr
    for word in words:
        assert word in done.stderr
    assert not list(folder.glob("runs/*")) and not list(folder.glob("runs/.*"))


@pytest.fixture(scope="module")
def prices(tmp_path_factory: pytest.TempPathFactory) -> str:
    return write_bars(tmp_path_factory.mktemp("bars"))


def with_strategy(tree: dict[str, Any], **changes: Any) -> dict[str, Any]:
    return {**tree, "strategies": [{**tree["strategies"][0], **changes}, *tree["strategies"][1:]]}


BAD_TREES = [
    (lambda t: {**t, "prices.files": "none/*.parquet"}, ["prices.files", "none/*.parquet"]),
    (lambda t: {**t, "tradepiker": {}}, ["tradepiker", "did you mean 'tradepicker'"]),
    (lambda t: {**t, "tradepicker.maxEntries": "two"}, ["tradepicker.maxEntries", "'two'"]),
    (lambda t: with_strategy(t, kind="ema_kross"), ["ema_kross", "did you mean 'ema_cross'"]),
    (lambda t: with_strategy(t, params={"fast": 9, "slw": 21}), ["slw", "did you mean 'slow'"]),
    (lambda t: with_strategy(t, params={"fast": 21, "slow": 9}), ["fast", "21"]),
    (lambda t: with_strategy(t, symbols=["ALFAUSDT"]), ["ALFAUSDT", "did you mean 'ALFAUSD'"]),
    (lambda t: {**t, "run": {"start": "2024-04-02", "end": "2024-04-01"}}, ["start", "end"]),
    (lambda t: with_strategy(t, id="dip"), ["'dip'"]),
    (
        lambda t: {**t, "accounts": [{**t["accounts"][0], "strategies": ["crss"]}]},
        ["crss", "did you mean 'cross'"],
    ),
    (lambda t: {**t, "symbols": {"OTHERUSD": {}}, "strategies": t["strategies"]}, ["OTHERUSD"]),
]


@pytest.mark.parametrize(("change", "words"), BAD_TREES)
def test_wrong_configurations(prices: str, tmp_path: Path, change: Any, words: list[str]) -> None:
    tree = change({key: value for key, value in config(prices).items() if key != "run.id"})
    assert_refused(run(tree, tmp_path), tmp_path, *words)


BAD_FILES = [
    ("empty.csv", b"", ["empty.csv"]),
    ("header.csv", HEADER.encode(), ["header.csv"]),
    ("ragged.csv", (HEADER + "ALFAUSD,0,1,1,1,1,1\nALFAUSD,60000,1,1\n").encode(), ["ragged.csv"]),
    ("names.csv", b"symbol,time,open,high,low,close,volume\n", ["names.csv", "'ts'"]),
    ("bars.parquet", b"PAR1 this is none", ["bars.parquet"]),
]


@pytest.mark.parametrize(("name", "content", "words"), BAD_FILES)
def test_wrong_files(tmp_path: Path, name: str, content: bytes, words: list[str]) -> None:
    (tmp_path / name).write_bytes(content)
    assert_refused(run(config(str(tmp_path / name)), tmp_path), tmp_path, *words)


def test_a_file_without_rows(tmp_path: Path) -> None:
    bars = simulate(3, EXAMPLE_SYMBOLS[:1], 1_711_756_800_000, 10)["ALFAUSD"]
    pq.write_table(bars_table("ALFAUSD", bars).slice(0, 0), tmp_path / "none.parquet")
    assert_refused(run(config(str(tmp_path / "none.parquet")), tmp_path), tmp_path, "none.parquet")


def test_the_out_folder_is_a_file(prices: str, tmp_path: Path) -> None:
    (tmp_path / "runs").write_text("mine")
    done = run(config(prices), tmp_path)
    assert done.returncode == 2
    assert "--out" in done.stderr
    assert (tmp_path / "runs").read_text() == "mine"


def test_an_existing_run_stays(prices: str, tmp_path: Path) -> None:
    assert run(config(prices), tmp_path, "--quiet").returncode == 0
    manifest = tmp_path / "runs" / "small" / "manifest.json"
    before = manifest.read_bytes()
    done = run(config(prices), tmp_path)
    assert (done.returncode, "--overwrite" in done.stderr) == (2, True)
    assert manifest.read_bytes() == before
    assert run(config(prices), tmp_path, "--quiet", "--overwrite").returncode == 0


def test_a_full_disk(prices: str, tmp_path: Path) -> None:
    done = subprocess.run(
        command(config(prices), tmp_path, "--trace", "--quiet"),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000)),
    )
    assert_refused(done, tmp_path, "written")


@pytest.mark.parametrize("seconds", [0.6, 1.0])
def test_interrupted(prices: str, tmp_path: Path, seconds: float) -> None:
    tree = config(prices)
    started = subprocess.Popen(command(tree, tmp_path, "--trace"), cwd=tmp_path, stderr=-1)
    time.sleep(seconds)
    started.send_signal(signal.SIGINT)
    _, told = started.communicate(timeout=30)
    left = [path.name for path in tmp_path.glob("runs/*")]
    assert started.returncode in (0, 130)
    # It may have ended by itself, or while it printed its tables.
    is_whole = started.returncode == 0 or b"the run is whole" in told
    assert left == (["small"] if is_whole else [])
    assert not list(tmp_path.glob("runs/.*"))


def test_killed_leaves_nothing_that_looks_finished(prices: str, tmp_path: Path) -> None:
    started = subprocess.Popen(command(config(prices), tmp_path, "--trace"), cwd=tmp_path)
    while not list(tmp_path.glob("runs/.*")) and started.poll() is None:
        time.sleep(0.01)
    os.kill(started.pid, signal.SIGKILL)
    started.wait()
    assert not list(tmp_path.glob("runs/*/manifest.json"))
    assert run(config(prices), tmp_path, "--quiet").returncode == 0
    assert [path.name for path in (tmp_path / "runs").iterdir()] == ["small"]


def test_bad_rows_stop_nothing() -> None:
    bars = bars_table("ALFAUSD", simulate(3, EXAMPLE_SYMBOLS[:1], 0, 500)["ALFAUSD"])
    rows = bars.to_pylist()
    for number, (name, value) in enumerate(
        [("open", "ten"), ("high", None), ("low", "-1"), ("volume", "nan"), ("ts", "noon")]
    ):
        rows[10 * number + 5] = {**rows[10 * number + 5], name: value}
    texts = [{name: None if v is None else str(v) for name, v in row.items()} for row in rows]
    tree = config("unused", symbols={name: {} for name in NAMES})
    tables = run_frames(tree, pa.Table.from_pylist(texts), trace=True)
    codes = sorted(tables["price_rejects"]["code"])
    expected = ["BAD_TS", "BAD_VOLUME", "PRICE_NOT_FINITE", "PRICE_NOT_FINITE"]
    assert codes == [*expected, "PRICE_NOT_POSITIVE"]
