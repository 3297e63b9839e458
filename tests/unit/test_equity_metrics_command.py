"""The command of scripts/equity_metrics.py, its files, and its page docs/figures.md."""

import json
import re
import shlex
import subprocess
import sys
from decimal import Decimal
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from scripts.equity_metrics import application, daily_pnl, summary
from tests.runs import config, run, write_bars

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "figures.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """A folder with a run in runs/demo."""
    folder = tmp_path_factory.mktemp("project")
    kept = {"accounts": [{"id": "main", "strategies": ["cross", "sweep"],
                          "sizing": {"notional": "1000"}, "fee_bps": "10"}]}  # fmt: skip
    tree = config(write_bars(folder / "bars"), **kept)
    run({**tree, "run.id": "demo"}, folder / "runs")
    return folder


def call(monkeypatch, folder, *words):
    """The command in that folder."""
    monkeypatch.chdir(folder)
    monkeypatch.setenv("COLUMNS", "120")
    return CliRunner().invoke(application(), [str(word) for word in words])


def page_commands():
    block = re.search(r"## On the command line\n\n```sh\n(.*?)```", PAGE, re.S).group(1)
    return [shlex.split(line) for line in block.splitlines()]


@pytest.mark.parametrize("words", page_commands(), ids=" ".join)
def test_commands_of_the_page(words, project, monkeypatch):
    first = next(i for i, word in enumerate(words) if word.startswith("runs/demo"))
    result = call(monkeypatch, project, *words[first:])
    assert result.exit_code == 0, result.output
    assert "net_pnl" in result.output or "net PnL" in result.output


def test_the_notebook_of_the_page(project, monkeypatch):
    monkeypatch.chdir(project)
    (block,) = re.findall(r"```python\n(.*?)```", PAGE, re.S)
    exec(compile(block.replace(".plot()", ""), "figures.md", "exec"), {})


def test_every_key_stands_on_the_page(project):
    explained = set(re.findall(r"`(\w+)`", PAGE))
    assert set(summary(project / "runs/demo")) <= explained


def test_what_it_prints(project, monkeypatch):
    result = call(monkeypatch, project, "runs/demo", "--by", "strategy")
    found = summary(project / "runs/demo")
    assert f"runs/demo: {found['first_day']} to {found['last_day']}" in result.output
    assert "marked to market" in result.output
    assert re.search(rf"round trips +{found['trades']:,}\n", result.output)
    assert "sweep/fast=5,slow=34" in result.output.replace("\n", "")


def test_json_is_one_object(project, monkeypatch):
    result = call(monkeypatch, project, "runs/demo", "--json", "--by", "symbol")
    told = json.loads(result.stdout)
    found = summary(project / "runs/demo")
    assert Decimal(told["net_pnl"]) == found["net_pnl"]
    assert told["sharpe"] == found["sharpe"]
    assert sum(Decimal(group["net_pnl"]) for group in told["by"]) == found["net_pnl"]


def test_files(project, monkeypatch, tmp_path):
    for _ in range(2):  # a second time over the first
        result = call(
            monkeypatch, project, "runs/demo", "--by", "strategy", "--out", tmp_path / "o"
        )
        assert result.exit_code == 0
    expected = daily_pnl(project / "runs/demo", by="strategy")
    table = pq.read_table(tmp_path / "o" / "daily_pnl.parquet")
    assert table.column_names == ["day", *expected.columns]
    assert table["net_pnl"].to_pylist() == expected["net_pnl"].tolist()
    text = pd.read_csv(tmp_path / "o" / "daily_pnl.csv", dtype=str)
    assert [Decimal(one) for one in text["net_pnl"]] == expected["net_pnl"].tolist()
    assert not text["net_pnl"].str.contains("E").any()
    assert json.loads((tmp_path / "o" / "summary.json").read_text())["trades"] > 0


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["nowhere"], "error: nowhere: no such file or folder"),
        (["runs"], "did you mean runs/demo?"),
        (["runs/demo", "--by", "strat"], "did you mean 'strategy'"),
        (["runs/demo", "--zone", "Oslo"], "error: zone: 'Oslo' is not a known time zone"),
        (["runs/demo", "--periods", "0"], "error: periods: 0"),
        (["runs/demo", "--start-capital", "much"], "error: start_capital: 'much'"),
        (["runs/demo", "--account", "mian"], "did you mean 'main'"),
        (["runs/demo", "--currency", "EUR"], "'EUR' is not there"),
        (["runs/demo", "--out", "runs/demo/manifest.json"], "error: --out: cannot write to"),
        (["bars/ALFAUSD.parquet"], "column 'match_ts' is missing"),
        (["runs/demo", "--unrealized", "nowhere.parquet"], "nowhere.parquet"),
    ],
)
def test_bad_input_is_one_message_and_exit_code_2(words, told, project, monkeypatch):
    result = call(monkeypatch, project, *words)
    assert result.exit_code == 2
    assert told in result.stderr
    assert result.stderr.count("\n") == 1
    assert not result.stdout


def test_help_is_quick_and_the_file_starts_by_itself(tmp_path):
    code = (
        "import runpy, sys\n"
        "sys.argv = ['equity_metrics.py', '--help']\n"
        "try:\n"
        f"    runpy.run_path({str(ROOT / 'scripts/equity_metrics.py')!r}, run_name='__main__')\n"
        "finally:\n"
        "    print('heavy:', sorted({'pandas', 'pyarrow', 'numpy'} & sys.modules.keys()))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=30
    )
    assert done.returncode == 0, done.stderr
    assert "--start-capital" in done.stdout
    assert "heavy: []" in done.stdout
