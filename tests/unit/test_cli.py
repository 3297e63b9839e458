"""The command: options to keys, exit codes, what it prints. No JVM."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cli.main import app
from cli.overrides import by_option, overrides
from cli.simulate import write_simulated
from jobs import run
from schemas.overrides import yaml_value
from udfs.errors import ConfigError, InvariantError, Refusal

ROOT = Path(__file__).resolve().parents[2]
CONFIG = """\
run: {id: tiny}
prices.files: bars/*.parquet
symbols: {ALFAUSD: {price_tick: "0.01"}}
strategies: [{id: ema, kind: ema_cross, timeframe: 5m, params: {fast: 5, slow: 20}}]
accounts: [{id: main, strategies: [ema], sizing: {notional: "1000"}, fee_bps: "10"}]
"""


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A current directory with a configuration and no bars."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "120")
    (tmp_path / "tiny.yaml").write_text(CONFIG)
    return tmp_path


@pytest.fixture
def executed(place, monkeypatch):
    """The requests that reach the runner, which answers at once with an empty run."""
    requests = []

    def execute(request, progress):
        requests.append(request)
        progress(50, 100)
        return run.RunReport(Path("runs/tiny"), {"rows": {}}, [], ["LATE BARS: 1 of 2"])

    monkeypatch.setattr(run, "execute", execute)
    return requests


def tradeflow(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def backtest(*arguments):
    return tradeflow("backtest", "--config", "tiny.yaml", *arguments)


# ---- overrides -------------------------------------------------------------------------------


def test_overrides_are_read_as_yaml_and_options_come_last():
    found = overrides(
        ["tradepicker.maxOpenPositions=5", "run.id=a", "accounts.main.weights={ema: '0.5'}", "x="],
        {"--start": "2019-06-01T00:00:00Z", "--run-id": "7", "--end": None, "--prices": ["a", "b"]},
    )
    assert found["tradepicker.maxOpenPositions"] == 5
    assert found["accounts.main.weights"] == {"ema": "0.5"}
    assert found["x"] is None
    assert found["run.id"] == "7"  # a name, however it looks
    assert found["run.start"].year == 2019
    assert found["prices.files"] == ["a", "b"]
    assert "run.end" not in found


@pytest.mark.parametrize("setting", ["", "run.id", "=5", " =5"])
def test_a_setting_needs_key_and_value(setting):
    with pytest.raises(ConfigError, match="write key=value"):
        overrides([setting], {})


def test_a_value_that_is_no_yaml_is_named():
    with pytest.raises(ConfigError, match=r"--set symbols: '\{A: ' is no YAML value"):
        overrides(["symbols={A: "], {})


def test_an_impossible_date_is_left_to_the_key_s_own_check():
    assert yaml_value("--start", "2019-13-01") == "2019-13-01"


def test_problems_are_told_by_the_option_that_made_them():
    message = "--set: run.start: is no time"
    assert by_option(message, {"--start": "x"}) == "--start: is no time"
    assert by_option(message, {"--start": None}) == message


# ---- backtest --------------------------------------------------------------------------------


def test_options_become_a_request(executed):
    result = backtest(
        *("--prices", "a/*.csv", "--prices", "b.csv", "--start", "2019-06-01", "--run-id", "june"),
        *("--strategy", "ema", "--set", "accounts.main.fee_bps=5", "--out", "elsewhere"),
        *("--runner", "local", "--parallelism", "2", "--trace", "--overwrite", "--quiet"),
    )
    assert result.exit_code == 0, result.output
    (request,) = executed
    config = request.config
    assert config.prices.files == ("a/*.csv", "b.csv")
    assert (config.run.id, config.run.start) == ("june", 1559347200000)
    assert config.accounts[0].fee_bps == 5 * 10**18
    assert request[1:7] == (("ema",), Path("elsewhere"), True, True, "local", 2)


def test_flink_runs_by_default(executed):
    assert backtest().exit_code == 0
    assert executed[0][1:7] == ((), Path("runs"), False, False, "flink", 1)


def test_quiet_prints_the_folder_only(executed):
    result = backtest("--quiet")
    assert (result.stdout, result.stderr) == ("runs/tiny\n", "")


def test_json_prints_one_object_only(executed):
    result = backtest("--json")
    shown = json.loads(result.stdout)
    assert (shown["folder"], shown["summary"]) == ("runs/tiny", [])
    assert shown["warnings"] == ["LATE BARS: 1 of 2"]
    assert shown["manifest"] == {"rows": {}}
    assert result.stdout.count("\n") == 1
    assert result.stderr == ""


def test_people_get_warnings_the_folder_and_the_time(executed):
    result = backtest()
    assert "warning: LATE BARS: 1 of 2\n" in result.stdout
    assert "\nruns/tiny  (" in result.stdout
    assert "\x1b" not in result.output


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--config", "nowhere.yaml"), "error: nowhere.yaml: there is no such file"),
        (("--set", "tradepicker.maxOpen=3"), "error: --set: tradepicker.maxOpen: is not a known"),
        (("--set", "tradepicker"), "error: --set tradepicker: write key=value"),
        (("--start", "June"), "error: --start: 'June' is not a time"),
        (("--run-id", "a/b"), "error: --run-id: 'a/b' names the run's folder"),
        (("--start", "2019-06-02", "--end", "2019-06-01"), "start is not before end"),
        (("--quiet", "--json"), "error: --quiet and --json: choose one of them"),
        (("--strategy", "emma", "--runner", "local"), "did you mean 'ema'?"),
        (("--runner", "local"), "no file matches 'bars/*.parquet'"),
    ],
)
def test_what_a_user_can_mend_is_one_message(place, arguments, said):
    result = backtest(*arguments)
    assert result.exit_code == 2
    assert result.stderr.startswith("error: ")
    assert said in result.stderr
    assert "Traceback" not in result.stderr
    assert result.stdout == ""
    assert not list(place.glob("runs/*"))


@pytest.mark.parametrize("arguments", [("--runner", "spark"), ("--parallelism", "0"), ("--nope",)])
def test_options_that_make_no_sense(place, arguments):
    assert backtest(*arguments).exit_code == 2


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (Refusal("runs/tiny exists already"), 2, "error: runs/tiny exists already\n"),
        (KeyboardInterrupt(), 130, "\ninterrupted: nothing was written\n"),
        (PermissionError(13, "Permission denied", "/x"), 2, "error: /x: Permission denied\n"),
    ],
)
def test_how_a_run_may_end(place, monkeypatch, error, code, said):
    def execute(request, progress):
        raise error

    monkeypatch.setattr(run, "execute", execute)
    result = backtest()
    assert (result.exit_code, result.stderr, result.stdout) == (code, said, "")


def test_a_fault_of_ours_keeps_its_traceback(place, monkeypatch):
    def execute(request, progress):
        raise InvariantError("lots and fills differ")

    monkeypatch.setattr(run, "execute", execute)
    result = backtest()
    assert result.exit_code == 1
    assert isinstance(result.exception, InvariantError)


def test_a_run_in_this_process_end_to_end(place):
    write_simulated(place / "bars", days=3, symbols=["ALFAUSD"])
    result = backtest("--runner", "local")
    assert result.exit_code == 0, result.output
    assert "main: USD, start capital 100,000" in result.stdout
    assert (place / "runs" / "tiny" / "manifest.json").is_file()
    again = backtest("--runner", "local")
    assert again.exit_code == 2
    assert "runs/tiny exists already" in again.stderr
    shown = json.loads(backtest("--runner", "local", "--overwrite", "--json").stdout)
    assert [row["strategy_id"] for row in shown["summary"]] == ["ema", ""]
    assert shown["summary"] == shown["manifest"]["summary"]


# ---- the process itself ----------------------------------------------------------------------


def process(*arguments, cwd=ROOT):
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "100"}
    return subprocess.run(
        [sys.executable, *arguments], cwd=cwd, env=environment, capture_output=True, text=True
    )


def test_help_loads_nothing_heavy():
    done = process("-X", "importtime", "-m", "cli.main", "backtest", "--help")
    assert done.returncode == 0
    loaded = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert not loaded & {"numba", "numpy", "pandas", "pyarrow", "pyflink", "scipy", "yaml"}


def test_a_local_run_loads_neither_pandas_nor_flink(place):
    write_simulated(place / "bars", days=1, symbols=["ALFAUSD"])
    arguments = ("backtest", "--config", "tiny.yaml", "--runner", "local", "--quiet")
    done = process("-X", "importtime", "-m", "cli.main", *arguments, cwd=place)
    assert done.stdout == "runs/tiny\n"
    loaded = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert "pyarrow" in loaded
    assert not loaded & {"pandas.core.api", "pyflink", "py4j", "jobs.bounded"}


def test_version():
    done = process("-m", "cli.main", "--version")
    assert done.returncode == 0
    assert done.stdout.startswith("tradeflow ")


@pytest.mark.parametrize(
    "command",
    [(), ("backtest",), ("engine",), ("strategies",), ("tables",), ("doctor",), ("data",)],
)
def test_every_command_has_help(command):
    result = tradeflow(*command, "--help")
    assert result.exit_code == 0
    assert "Usage: " in result.stdout
    assert "\x1b" not in result.stdout


def test_backtest_s_help_names_every_option():
    text = tradeflow("backtest", "--help").stdout
    for option in (
        *("config", "prices", "start", "end", "strategy", "set", "run-id", "out", "runner"),
        *("parallelism", "trace", "overwrite", "quiet", "json"),
    ):
        assert f"--{option}" in text
    assert "Examples" in text


def test_no_file_moves_the_cursor_of_a_terminal(tmp_path):
    (tmp_path / "bars.csv").write_text("symbol,ts,\x1b[2J\x07open\nA,1,2\n")
    result = CliRunner().invoke(app, ["data", "import", str(tmp_path / "bars.csv")])
    assert result.exit_code == 2
    assert "\\x1b[2J\\x07open" in result.stderr
    assert all(letter.isprintable() for letter in result.stderr.replace("\n", ""))
