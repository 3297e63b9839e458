"""Strategies and features of users: how they are found, and what is told when they are wrong."""

import pickle
import subprocess
import sys
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from jobs.run import run_frames
from schemas import own_code
from schemas.config import config_as_dict, parse_config
from schemas.resolve import plan_run
from tests.runs import bars_table
from udfs.errors import ConfigError
from udfs.plan import OwnSource
from udfs.simulate import EXAMPLE_SYMBOLS, simulate

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "my_strategy.py"
PARAMS = {"entry": 20, "mean": 30, "straight": 10, "least": 0.3}

SMALL = """
import numpy as np
from udfs.features import FeatureKind
from udfs.strategies import Kind

def kernel(state, bars, periods):
    return state, bars.close - bars.open

def signals(columns, params):
    return np.where(columns["body_5"] > 0, 1, -1)

FEATURES = (FeatureKind("body", "close - open", "1", (("n", 1),), (5,),
                        lambda periods: np.zeros(0), kernel),)
STRATEGIES = (Kind("small", "By the body.", "7", (), lambda params: None,
                   lambda params: ("body_5",), signals, lambda params: ("up", "down")),)
# end
"""


def config(module: Any = None, **strategy: Any) -> dict[str, Any]:
    return {
        "symbols": {"ALFAUSD": None},
        "strategies": [{"id": "mine", "module": module, "params": {}, **strategy}],
        "accounts": [{"id": "a", "strategies": ["mine"], "sizing": {"fixed_qty": "1"}}],
    }


def write(folder: Path, text: str = SMALL, name: str = "small.py") -> str:
    path = folder / name
    path.write_text(text)
    return str(path)


@pytest.fixture(scope="module")
def bars() -> Any:
    spec = EXAMPLE_SYMBOLS[0]
    return bars_table(spec.symbol, simulate(5, [spec], 1_711_756_800_000, 400)[spec.symbol])


# ---- found -----------------------------------------------------------------------------------


def test_a_file_runs(bars: Any, tmp_path: Path) -> None:
    tables = run_frames(config(write(tmp_path)), bars, trace=True)
    features, signals = tables["indicator_history"], tables["strategy_signal_history"]
    assert list(features["body_5"]) == list(features["close"] - features["open"])
    assert list(signals["action"]) == ["BUY" if x > 0 else "SELL" for x in features["body_5"]]
    assert set(signals["reason"]) == {"up", "down"}
    assert set(signals["strategy_version"]) == {"7"}


def test_the_kind_may_be_left_out_where_a_file_has_one(tmp_path: Path) -> None:
    found = parse_config(config(write(tmp_path)))
    assert found.strategies[0].kind == "small"
    assert config_as_dict(found)["strategies"][0]["kind"] == "small"
    again = parse_config(config_as_dict(found))
    assert plan_run(again) == plan_run(found)


def test_a_grid_of_an_own_kind_leaves_out_what_makes_no_sense() -> None:
    grid = {**{name: [value] for name, value in PARAMS.items()}, "least": [0.2, 0.5, 1]}
    plan = plan_run(parse_config(config(str(EXAMPLE), params=None, grid=grid)))
    assert [s.params["least"] for s in plan.strategies] == [0.2, 0.5]
    assert plan.grid_left_out == 1


def test_a_feature_may_have_a_file_of_its_own(tmp_path: Path, bars: Any) -> None:
    feature, strategy = SMALL.split("STRATEGIES = ")
    lines = strategy.replace("body_5", "body_7")
    one = write(tmp_path, feature, "feature.py")
    head = SMALL.split("def kernel")[0]
    answer = "np.sign(np.nan_to_num(columns['body_7'])).astype(int)"
    body = f"def signals(columns, params):\n    return {answer}\n"
    two = write(tmp_path, f"{head}{body}STRATEGIES = {lines}", "strategy.py")
    assert len(run_frames(config([one, two]), bars, trace=True)["strategy_signal_history"]) > 100


def test_an_installed_package_offers_kinds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bars: Any
) -> None:
    write(tmp_path, SMALL.replace('"small"', '"packed"'), "a_package_of_mine.py")
    info = tmp_path / "mine-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: mine\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[tradeflow.strategies]\npacked=a_package_of_mine\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    tree = config(None, kind="packed")
    assert len(run_frames(tree, bars, trace=True)["strategy_signal_history"]) > 100
    with pytest.raises(ConfigError, match=r"'pakked' .*did you mean 'packed'"):
        parse_config(config(None, kind="pakked"))


def test_two_versions_of_a_file_live_in_one_process(tmp_path: Path, bars: Any) -> None:
    first = parse_config(config(write(tmp_path)))
    second = parse_config(config(write(tmp_path, SMALL.replace("> 0, 1, -1", "> 0, -1, 1"))))
    actions = [
        list(run_frames(one, bars, trace=True)["strategy_signal_history"]["action"])
        for one in (first, second, first)
    ]
    assert actions[0] == actions[2]
    assert actions[0] == [{"BUY": "SELL", "SELL": "BUY"}[action] for action in actions[1]]


def test_another_process_needs_no_file(tmp_path: Path) -> None:
    """What Flink's workers get is the plan: the file may have changed or be elsewhere."""
    path = write(tmp_path)
    plan = plan_run(parse_config(config(path)))
    Path(path).unlink()
    code = (
        "import pickle, sys; from schemas.own_code import library;"
        "plan = pickle.load(sys.stdin.buffer); print(library(plan.own).kinds['small'].version)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], input=pickle.dumps(plan), capture_output=True, check=True
    )
    assert done.stdout == b"7\n"


def test_answers_without_their_features_do_not_count(tmp_path: Path, bars: Any) -> None:
    text = SMALL.replace('("body_5",)', '("body_5", "sma_50")')
    tables = run_frames(config(write(tmp_path, text)), bars, trace=True)
    known = tables["indicator_history"]["sma_50"].notna()
    assert len(tables["strategy_signal_history"]) == known.sum() < len(known)


def test_what_is_not_finite_is_null(tmp_path: Path, bars: Any) -> None:
    text = SMALL.replace("bars.close - bars.open", "bars.close / (bars.close * 0)")
    with pytest.warns(RuntimeWarning, match="divide by zero"):
        tables = run_frames(config(write(tmp_path, text)), bars, trace=True)
    assert tables["indicator_history"]["body_5"].isna().all()


SIZES = """
def sizes(columns, params):
    return np.abs(columns["body_5"])

STRATEGIES = (STRATEGIES[0]._replace(
    sizes=sizes, confidences=lambda columns, params: np.full(len(columns["body_5"]), 0.25)),)
"""


def test_a_strategy_says_how_much(tmp_path: Path, bars: Any) -> None:
    tables = run_frames(config(write(tmp_path, SMALL + SIZES)), bars, trace=True)
    signals = tables["strategy_signal_history"]
    body = (tables["indicator_history"]["close"] - tables["indicator_history"]["open"]).abs()
    assert list(signals["size_hint"]) == list(body)
    assert set(signals["confidence"]) == {0.25}
    accepted = tables["accepted_trade_signal_history"]
    buys = accepted[accepted["action"] == "BUY"]
    hints = signals.set_index("signal_id")["size_hint"]
    step = Decimal("0.00000001")
    expected = [Decimal(repr(float(hints[name]))) // step * step for name in buys["signal_id"]]
    assert list(buys["qty"]) == expected
    assert len(buys) > 100


# ---- told ------------------------------------------------------------------------------------

WRONG_FILES = {
    "no such file": (None, r"none\.py: cannot be read: No such file"),
    "syntax": ("def f(:\n", r"line 1: invalid syntax"),
    "raises": ("\nx = 1 / 0\n", r"line 2: ZeroDivisionError: division by zero"),
    "imports": ("import no_such_module\n", r"line 1: ModuleNotFoundError: .*no_such_module"),
    "empty": ("", r"has neither STRATEGIES nor FEATURES"),
    "types": ("STRATEGIES = (5,)\n", r"STRATEGIES holds 5; it takes Kinds of udfs.strategies"),
    "not a kind": (
        SMALL.replace("STRATEGIES = (", "STRATEGIES = (print,"),
        r"STRATEGIES holds <built-in",
    ),
    "built in": (SMALL.replace('"small"', '"ema_cross"'), r"'ema_cross' is built in"),
    "built-in feature": (SMALL.replace('"body"', '"sma"'), r"'sma' is built in"),
    "name": (SMALL.replace('"small"', '"small2"'), r"'small2' is no name"),
    "twice": (SMALL.replace("STRATEGIES = (", "STRATEGIES = 2 * ("), r"has 'small' twice"),
    "feature": (SMALL.replace('("body_5",)', '("bdy_5",)'), r"small needs 'bdy_5': .*'body_5'"),
    "timeframe": (SMALL.replace('("body_5",)', '("7m:body_5",)'), r"small needs '7m:body_5'"),
    "features": (
        SMALL.replace('lambda params: ("body_5",)', "lambda params: 1 / 0"),
        r"line \d+ of <lambda>: ZeroDivisionError",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG_FILES)
def test_wrong_files_are_refused_before_the_run(name: str, tmp_path: Path) -> None:
    text, message = WRONG_FILES[name]
    path = str(tmp_path / "none.py") if text is None else write(tmp_path, text)
    with pytest.raises(ConfigError, match=message) as told:
        parse_config(config(path), "mine.yaml")
    assert str(told.value).startswith("mine.yaml: strategies[0]")
    assert str(told.value).count(path) == (0 if "needs" in message else 1)


WRONG_ANSWERS = {
    "raises": ("np.where(", "np.whre(", r"line \d+ of signals: AttributeError: .*whre"),
    "undeclared": ('["body_5"]', '["close"]', r"small reads 'close', which its `features` do not"),
    "length": ("> 0, 1, -1)", "> 0, 1, -1)[1:]", r"signals answered int64\[\d+\]; it must be"),
    "floats": ("1, -1)", "1.0, -1.0)", r"signals answered float64\["),
    "numbers": ("1, -1)", "2, -1)", r"signals answered 2; it must be BUY \(1\), SELL"),
    "writes": ("return np.where", "columns['body_5'][0] = 1; return np.where", r"read-only"),
    "kernel": ("bars.close - ", "bars.klose - ", r"line \d+ of kernel: AttributeError"),
    "writes bars": (
        "    return state, ",
        "    bars.close[0] = 1\n    return state, ",
        r"read-only",
    ),
    "pair": ("return state, bars.close - bars.open", "return bars.close", r"\(state, column\)"),
    "column": ("bars.close - bars.open", "bars.close[1:]", r"body: the column is float64\[\d+\]"),
    "state": ("return state,", "return np.zeros(2),", r"the state is float64\[2\]; .*float64\[0\]"),
    "sizes": ("# end", SIZES.replace("np.abs(", "(-1 - "), r"small: sizes answered -\d"),
    "sizes' type": ("# end", SIZES.replace("np.abs(", "len("), r"small: sizes is int64\[\]"),
    "confidences": ("# end", SIZES.replace("0.25", "1.5"), r"1.5; it must be from 0 to 1"),
    "initial": ("np.zeros(0)", "[1, 2]", r"initial is int64\[2\]; it must be float64\[k\]"),
}


@pytest.mark.parametrize("name", WRONG_ANSWERS)
def test_wrong_answers_end_the_run_with_one_message(name: str, tmp_path: Path, bars: Any) -> None:
    old, new, message = WRONG_ANSWERS[name]
    assert old in SMALL
    path = write(tmp_path, SMALL.replace(old, new))
    with pytest.raises(ConfigError, match=message) as told:
        run_frames(config(path), bars)
    assert str(told.value).count(path) == 1


@pytest.mark.parametrize(
    ("strategy", "message"),
    [
        ({"kind": "smal"}, "strategies[0].kind: 'smal' is not a kind of strategy (did you mean"),
        ({"kind": "ema_cross"}, "the kinds are small"),
        ({"module": []}, "strategies[0].module: "),
        ({"module": 5}, "strategies[0].module: "),
        ({"module": None}, "kind is missing; write one such as kind: ema_cross"),
        ({"params": {"x": 1}}, "small has no parameter 'x'; it has none"),
    ],
)
def test_wrong_entries(strategy: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as told:
        parse_config(config(**{"module": write(tmp_path), **strategy}))
    assert message in str(told.value)


def test_a_file_with_two_kinds_wants_one_named(tmp_path: Path) -> None:
    second = 'STRATEGIES += (STRATEGIES[0]._replace(name="other"),)\n'
    path = write(tmp_path, SMALL + second)
    with pytest.raises(ConfigError, match="has 2 kinds: name one of small, other"):
        parse_config(config(path))
    assert parse_config(config(path, kind="other")).strategies[0].kind == "other"


def test_one_name_in_two_files_is_refused(tmp_path: Path) -> None:
    files = [write(tmp_path), write(tmp_path, SMALL + "\n", "again.py")]
    with pytest.raises(ConfigError, match=r"again\.py: 'small' is in .*small\.py already"):
        parse_config(config(files, kind="small"))


def test_a_copy_is_used_where_the_file_has_changed(tmp_path: Path) -> None:
    source = OwnSource(write(tmp_path), "0" * 63 + "1", SMALL + "MARK = 5\n")
    assert own_code.own_module(source).kinds[0].name == "small"
