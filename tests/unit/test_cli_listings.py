"""What the commands beside backtest print: strategies, tables, doctor, data simulate, engine."""

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from cli import checks
from cli.main import app
from cli.simulate import SYMBOLS
from cli.strategies import example_line
from schemas.config import parse_config
from schemas.tables import TABLES
from udfs.strategies import KINDS, example_params

EXAMPLE_CONFIG = Path(__file__).resolve().parents[2] / "conf" / "backtest.yaml"


def tradeflow(*arguments):
    return CliRunner(env={"COLUMNS": "120"}).invoke(app, [str(one) for one in arguments])


def test_strategies_shows_every_kind_and_parameter():
    text = tradeflow("strategies").stdout
    for kind in KINDS.values():
        assert f"\n{kind.name}\n" in text
        for param in kind.params:
            assert f"  {param.name} " in text
    assert "needs rsi_14, close, 1h:ema_50" in text


@pytest.mark.parametrize("kind", KINDS)
def test_the_lines_to_copy_are_fine(kind):
    import yaml

    params = example_params(KINDS[kind])
    strategies = yaml.safe_load(example_line(kind, params))
    account = {"id": "a", "strategies": [strategies[0]["id"]], "sizing": {"fixed_qty": "1"}}
    parse_config({"symbols": {"AUSD": {}}, "strategies": strategies, "accounts": [account]})


def test_tables_lists_all():
    text = tradeflow("tables").stdout
    assert all(f"\n{name} " in text for name in TABLES)


@pytest.mark.parametrize("name", TABLES)
def test_a_table_shows_its_columns(name):
    result = tradeflow("tables", name)
    assert result.exit_code == 0
    assert all(f"\n{column.name} " in result.stdout for column in TABLES[name].columns)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("trade_matches", "did you mean 'trade_match_history'?"),
        ("matchTimestamp", "the column of that name is called 'match_ts' here"),
    ],
)
def test_an_unknown_table(name, said):
    result = tradeflow("tables", name)
    assert result.exit_code == 2
    assert result.stderr.startswith(f"error: '{name}' is no table")
    assert said in result.stderr


def test_simulate_writes_bars(tmp_path):
    out = tmp_path / "bars"
    options = ("--days", "1", "--seed", "3", "--start", "2024-01-02", "--symbols", SYMBOLS[0])
    result = tradeflow("data", "simulate", "--out", out, *options)
    assert result.stdout.splitlines() == [str(out / f"{SYMBOLS[0]}.parquet")]
    first = pq.read_table(out / f"{SYMBOLS[0]}.parquet")["ts"][0].as_py()
    assert 1704153600000 <= first < 1704157200000


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--symbols", "ALFA"), "did you mean 'ALFAUSD'?"),
        (("--out", "/proc/nowhere", "--days", "1"), "error: /proc/nowhere: "),
        (("--start", "June"), "June"),
        (("--days", "0"), "--days"),
    ],
)
def test_simulate_refuses(options, said, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = tradeflow("data", "simulate", *options)
    assert result.exit_code == 2
    assert said in result.stderr
    assert not list(tmp_path.iterdir())


def test_doctor_says_that_all_is_well():
    result = tradeflow("doctor", "--json")
    shown = json.loads(result.stdout)
    assert [check["part"] for check in shown["checks"]][:3] == ["python", "packages", "java"]
    assert shown["ready"] == (result.exit_code == 0)
    for check in shown["checks"]:
        assert check["is_fine"] == (check["remedy"] == "")


def test_doctor_names_what_is_missing(monkeypatch, tmp_path):
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    result = tradeflow("doctor")
    assert result.exit_code == 1
    assert "MISSING" in result.stdout
    assert "openjdk-17" in result.stdout
    assert "a backtest lacks what is marked MISSING" in result.stdout


def test_pins_of_a_lock():
    lock = (
        'numpy==2.1.3 \\\n    --hash=sha256:aa\nx-y.z==1.0 ; python_version < "3.12" \\\n# b==2\n'
    )
    assert checks.pins(lock) == [("numpy", "2.1.3"), ("x-y.z", "1.0")]


def test_packages_are_held_against_the_lock(monkeypatch, tmp_path):
    monkeypatch.setattr(checks, "ROOT", tmp_path)
    assert checks.packages("a.lock", is_needed=True).found == "no a.lock beside the code"
    (tmp_path / "a.lock").write_text("numpy==0.0.1\nno-such-package==1\npytest==0\nrich==0\n")
    check = checks.packages("a.lock", is_needed=False)
    assert not check.is_fine
    assert check.found.startswith("4 of 4 not as in a.lock: numpy (")
    assert "instead of 0.0.1), no-such-package (missing), pytest (" in check.found
    assert check.found.endswith("...")


FILLS = """\
account_id,strategy_id,order_id,fill_id,symbol,side,fill_qty,fill_price,ts,fee,fee_currency,venue
a,s,o1,f1,BTCUSD,BUY,2,100.5,1600000000000,0.1,,x
a,s,o1,f1,BTCUSD,BUY,2,100.5,1600000000000,0.1,,x
a,s,o2,f1,BTCUSD,SELL,1,101,1600000060000,0.1,,x
a,s,o3,f1,BTCUSD,hold,1,101,1600000060000,0.1,,x
"""


@pytest.fixture
def fills(tmp_path):
    """A tape of two good fills, a copy and a bad row."""
    path = tmp_path / "fills.csv"
    path.write_text(FILLS)
    return path


def test_engine_shows_what_was_written(fills, tmp_path):
    result = tradeflow("engine", "--exec-reports", fills, "--out", tmp_path / "runs")
    assert result.exit_code == 0, result.output
    lines = [one.split() for one in result.stdout.splitlines()]
    assert ["trade_match_history", "1"] in lines
    assert ["rejected", "as", "BAD_SIDE", "1"] in lines
    folder = tmp_path / "runs" / "demo"
    assert result.stdout.endswith(f"\n{folder}\n")
    assert json.loads((folder / "manifest.json").read_text())["duplicates"] == 1


def test_engine_refuses_a_folder_that_exists(fills, tmp_path):
    options = ("--exec-reports", fills, "--out", tmp_path)
    assert tradeflow("engine", *options).exit_code == 0
    assert tradeflow("engine", *options).exit_code == 2
    assert tradeflow("engine", *options, "--overwrite").exit_code == 0


def test_engine_needs_its_files(tmp_path):
    assert tradeflow("engine", "--out", tmp_path / "runs").exit_code == 2
    result = tradeflow("engine", "--exec-reports", tmp_path / "no.csv", "--out", tmp_path / "runs")
    assert result.exit_code == 2
    assert "no.csv does not exist" in result.stderr
    assert not (tmp_path / "runs").exists()


def test_engine_takes_its_name(fills, tmp_path):
    options = ("--exec-reports", fills, "--out", tmp_path, "--run-id", "june")
    assert tradeflow("engine", *options).exit_code == 0
    assert tradeflow("engine", *options, "--config", EXAMPLE_CONFIG, "--overwrite").exit_code == 0
    assert (tmp_path / "june" / "manifest.json").exists()


def test_engine_checks_its_configuration(fills, tmp_path):
    options = ("--exec-reports", fills, "--out", tmp_path, "--config", tmp_path / "no.yaml")
    result = tradeflow("engine", *options)
    assert result.exit_code == 2
    assert "no.yaml: there is no such file" in result.stderr
