"""`tradeflow strategies --check`: each broken rule is named, the example keeps all of them."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.csv
import pytest
from typer.testing import CliRunner

from cli.main import app
from jobs.strategy_check.check import check_file, file_bars, simulated_bars
from jobs.strategy_check.lines import Line, Part
from tests.runs import bars_table
from udfs.bars import Bars
from udfs.errors import ConfigError

ROOT = Path(__file__).resolve().parents[2]
OWN = ROOT / "tests" / "own"
BARS = {name: Bars._make(column[:600] for column in one) for name, one in simulated_bars().items()}


def parts(path: Path, other_process: bool = False, **bars: Bars) -> dict[str, Part]:
    checked = check_file(str(path), bars or BARS, other_process)
    return {part.name: part for part in checked.parts}


def failures(part: Part) -> list[Line]:
    return [line for line in part.lines if line.has_failed]


@pytest.mark.parametrize(
    ("file", "name", "check", "said"),
    [
        ("future_feature.py", "peek", "no look-ahead", "with the next 1 bar: it reads the future"),
        ("future_strategy.py", "shifted", "no look-ahead", "so the strategy itself does"),
        ("piece_feature.py", "scaled", "no look-ahead", ": it reads the future"),
        ("stateless_feature.py", "change", "pieces", "where they come one by one"),
        ("counting_feature.py", "drift", "repeats", "outside of its state (a global?)"),
        ("remembering_feature.py", "gap", "repeats", "outside of its state (a global?)"),
    ],
)
def test_planted_faults_are_named(file: str, name: str, check: str, said: str) -> None:
    (line,) = failures(parts(OWN / file)[name])
    assert line.check == check
    assert said in line.text


def test_strategies_that_each_break_a_rule() -> None:
    found = parts(OWN / "faulty_strategies.py")
    first = {name: failures(part)[:1] for name, part in found.items()}
    said = {name: (line.check, line.text) for name, lines in first.items() for line in lines}
    expected = {
        "undeclared": ("declared features", "reads 'sma_20', which its `features` do not name"),
        "wrong_type": ("answers", "signals answered float64"),
        "writes": ("inputs", "line 22 of _writes: ValueError"),
        "writes_parameters": ("inputs", "changes its parameters"),
        "two_back": ("pieces", "looks back further than one bar; make what it needs"),
        "remembers": ("repeats", "keeps something from call to call"),
        "counts": ("repeats", "keeps something from call to call"),
        "raises": ("answers", "RuntimeError: no idea"),
    }
    assert set(said) == set(expected)
    for name, (check, text) in expected.items():
        assert said[name][0] == check
        assert text in said[name][1]
    assert found["never"].is_fine
    assert any(line.text.startswith("0 BUY and 0 SELL") for line in found["never"].lines)


def test_a_leaking_feature_is_not_blamed_on_its_strategy() -> None:
    part = parts(OWN / "future_feature.py")["foresight"]
    assert not failures(part)
    assert not part.was_asked
    assert "mend the feature peek first" in {line.text for line in part.lines}


KIND = """
import numpy as np
from udfs.features import FeatureKind
from udfs.strategies import Kind, Param

def null(state, bars, periods):
    return state, np.full(len(bars.close), np.nan)

def write(state, bars, periods):
    bars.close[:] = 0.0
    return state, bars.close

def peak(state, bars, periods):
    return state, bars.close / bars.close.max()

def signals(columns, params):
    return np.where(columns["close"] > 1, 1, -1)

FEATURES = (FeatureKind("nothing", "Null.", "1", (), (), lambda periods: np.zeros(1), null),
            FeatureKind("writes", "Writes.", "1", (), (), lambda periods: np.zeros(1), write),
            FeatureKind("peak", "Share.", "1", (), (), lambda periods: np.zeros(1), peak),
            FeatureKind("unsaid", "No example.", "1", (("n", 2),), (), lambda p: np.zeros(1), null))
STRATEGIES = (
    Kind("odd", "Odd.", "1", (Param("level", "number", "a level", 1.0),),
         lambda params: 1 / params["level"] and None, lambda params: ("close",), signals,
         lambda params: ("up", "down")),
    Kind("lost", "Lost.", "1", (), lambda params: None, lambda params: ("close", "smma_5"), signals,
         lambda params: ("up", "down")),
    Kind("mute", "Mute.", "1", (), lambda params: None, lambda params: ("close", "nothing"),
         signals, lambda params: "why"),
)
"""


def test_what_kinds_declare(tmp_path: Path) -> None:
    file = tmp_path / "kinds.py"
    file.write_text(KIND)
    found = parts(file, ALFAUSD=BARS["ALFAUSD"])
    said = {name: failures(part)[0] for name, part in found.items() if failures(part)}
    assert said["unsaid"].text == "`example` has 0 values for 1 parameters"
    assert said["peak"].text.startswith("fails with 0 bars, which a run may hand over")
    assert (said["writes"].check, said["odd"].check) == ("inputs", "parameters")
    assert "ZeroDivisionError" in said["odd"].text
    assert said["lost"].text.startswith("unknown feature 'smma_5' (did you mean")
    assert said["mute"].text.startswith("answers 'why'; write")
    values = next(line for line in found["nothing"].lines if line.check == "values")
    assert (values.verdict, values.text[:20]) == ("warning", "is null at every bar")


def test_a_process_of_its_own_has_its_own_order_of_sets() -> None:
    (line,) = failures(parts(OWN / "ordered_strategy.py", other_process=True)["ordered"])
    assert line.check == "other process"


# ---- the command -----------------------------------------------------------------------------


def tradeflow(*arguments: Any) -> Any:
    return CliRunner(env={"COLUMNS": "120"}).invoke(app, ["strategies", *map(str, arguments)])


def test_for_scripts() -> None:
    result = tradeflow("--check", OWN / "stateless_feature.py", "--json")
    assert result.exit_code == 1
    told_of = json.loads(result.stdout)
    checks = {line["check"]: line["verdict"] for line in told_of["kinds"][0]["checks"]}
    assert (told_of["fine"], checks["no look-ahead"], checks["pieces"]) == (False, "ok", "FAILED")


def test_a_listing_of_a_file() -> None:
    text = tradeflow("--module", ROOT / "examples" / "my_strategy.py").stdout
    assert "\nefficiency_N\n" in text
    assert "\nstraight_breakout\n" in text
    assert "module: " in text


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--check", "nowhere.py"), "error: nowhere.py: cannot be read"),
        (("--check", ROOT / "README.md"), "README.md: line "),
        (("--check", "a.py", "--module", "b.py"), "error: --check and --module: choose one"),
        (("--check", "a.py", "--symbol", "X"), "error: --prices and --symbol go together"),
        (("--json",), "go with --check FILE"),
    ],
)
def test_refused(options: tuple[Any, ...], said: str) -> None:
    result = tradeflow(*options)
    assert result.exit_code == 2
    assert said in result.stderr


def test_bars_of_ones_own(tmp_path: Path) -> None:

    pyarrow.csv.write_csv(bars_table("ECHOUSD", BARS["ECHOUSD"]), tmp_path / "bars.csv")
    (bars,) = file_bars([str(tmp_path / "*.csv")], "ECHOUSD").values()
    assert np.array_equal(bars.close, BARS["ECHOUSD"].close)
    with pytest.raises(ConfigError, match="none of the 600 rows is of --symbol XUSD"):
        file_bars([str(tmp_path / "*.csv")], "XUSD")
