"""Files of stages that run alone: what is read, and what is refused in which words."""

import json
import resource
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest

from jobs import indicators, paper_broker, strategies, tradepicker
from jobs.columns import plain
from jobs.run import RunReport
from jobs.stage_job import PRICES, Stage, StageRequest, execute
from schemas.config import Config, parse_config
from tests.runs import START, bars_table, config, run, write_bars, write_config
from tests.stages import INPUTS, STAGES, assert_same
from udfs.errors import ConfigError, Refusal
from udfs.simulate import EXAMPLE_SYMBOLS, simulate

SIGNALS, REPORTS = "strategy_signal_history", "exec_report_history"
ACCEPTED, ROWS = "accepted_trade_signal_history", "indicator_history"


@pytest.fixture(scope="module")
def given(tmp_path_factory: pytest.TempPathFactory) -> dict:
    tree = config(write_bars(tmp_path_factory.mktemp("bars")))
    return {**tree, "run": {"end": "2024-03-30T12:00:00Z"}}


@pytest.fixture(scope="module")
def traced(given: dict, tmp_path_factory: pytest.TempPathFactory) -> RunReport:
    return run(given, tmp_path_factory.mktemp("traced"))


@pytest.fixture
def alone(given: dict, traced: RunReport, tmp_path: Path) -> Callable:
    """Runs a stage on the traced run's files, or on others by the name of their option."""

    def start(stage: Stage, **changed: list[Path]):
        files = {
            option: changed.get(option.replace("-", "_"), [traced.folder / f"{table}.parquet"])
            for option, table in INPUTS.items()
            if option in stage.files
        }
        paths = {option: [str(path) for path in found] for option, found in files.items()}
        paths |= {PRICES: [str(path) for path in changed[PRICES]]} if PRICES in changed else {}
        parsed: Config = parse_config(given)
        return execute(stage, StageRequest(parsed, paths, tmp_path / "out", runner="local"))

    return start


def table_of(traced: RunReport, name: str) -> pa.Table:
    return plain(pq.read_table(traced.folder / f"{name}.parquet"))


def write_csv(table: pa.Table, path: Path) -> Path:
    pyarrow.csv.write_csv(table, path)
    return path


def changed(table: pa.Table, name: str, row: int, value: object) -> pa.Table:
    """The table with one value replaced."""
    values = table[name].to_pylist()
    values[row] = value
    kind = table[name].type if not isinstance(value, str) else pa.string()
    if kind != table[name].type:
        values = [None if one is None else str(one) for one in values]
    return table.set_column(table.column_names.index(name), name, pa.array(values, kind))


@pytest.mark.parametrize("stage", STAGES, ids=[stage.name for stage in STAGES])
def test_csv_files_give_the_same(
    stage: Stage, traced: RunReport, alone: Callable, tmp_path: Path
) -> None:
    files = {
        option.replace("-", "_"): [write_csv(table_of(traced, name), tmp_path / f"{name}.csv")]
        for option, name in INPUTS.items()
    }
    assert_same(stage, alone(stage, **files), traced)


@pytest.mark.parametrize("stage", STAGES, ids=[stage.name for stage in STAGES])
def test_files_split_shuffled_and_repeated_give_the_same(
    stage: Stage, traced: RunReport, alone: Callable, tmp_path: Path
) -> None:
    files = {}
    for option, name in INPUTS.items():
        table = table_of(traced, name)
        third = table.num_rows // 3
        parts = [table.slice(2 * third), table.slice(0, third), table.slice(0, 2 * third)]
        for number, part in enumerate(parts):
            pq.write_table(part, tmp_path / f"{name}-{number}.parquet", row_group_size=1 + third)
        files[option.replace("-", "_")] = sorted(tmp_path.glob(f"{name}-*.parquet"))
    report = alone(stage, **files)
    assert_same(stage, report, traced)
    if stage.name == "tradepicker":
        assert report.manifest["duplicates"] == table_of(traced, REPORTS).num_rows // 3


def test_a_folder_or_a_pattern_stands_for_its_files(
    traced: RunReport, alone: Callable, tmp_path: Path
) -> None:
    folder = tmp_path / "signals"
    folder.mkdir()
    pq.write_table(table_of(traced, SIGNALS), folder / "part-0.parquet")
    pattern = traced.folder / f"{REPORTS}.par*"
    report = alone(tradepicker.STAGE, signals=[folder], exec_reports=[pattern])
    assert_same(tradepicker.STAGE, report, traced)


def test_reports_without_a_strategy_are_joined_by_order(
    traced: RunReport, alone: Callable, tmp_path: Path
) -> None:
    table = table_of(traced, REPORTS)
    nothing = pa.nulls(table.num_rows, pa.string())
    path = tmp_path / "reports.parquet"
    pq.write_table(table.set_column(1, "strategy_id", nothing), path)
    report = alone(tradepicker.STAGE, exec_reports=[path])
    assert_same(tradepicker.STAGE, report, traced)
    assert report.manifest["report_rejects"] == {}


def test_bad_reports_are_left_out_and_counted(
    traced: RunReport, alone: Callable, tmp_path: Path
) -> None:
    table = table_of(traced, REPORTS)
    extra = changed(table.slice(0, 3), "account_id", 0, "")
    extra = changed(changed(extra, "side", 1, "HOLD"), "fill_qty", 2, "x")
    path = write_csv(extra, tmp_path / "bad.csv")
    files = [traced.folder / f"{REPORTS}.parquet", path]
    report = alone(tradepicker.STAGE, exec_reports=files)
    assert_same(tradepicker.STAGE, report, traced)
    assert report.manifest["report_rejects"] == {"MISSING_ID": 1, "BAD_SIDE": 1, "NOT_A_NUMBER": 1}


def test_rows_of_unknown_symbols_and_unfinished_ones_are_skipped(
    traced: RunReport, alone: Callable, tmp_path: Path
) -> None:
    table = table_of(traced, ROWS)
    extra = table.slice(0, 20)
    unknown = changed(extra, "symbol", 3, "XYZ").slice(3, 1)
    unfinished = changed(extra, "final", 5, False).slice(5, 1)
    path = tmp_path / "rows.parquet"
    pq.write_table(pa.concat_tables([unfinished, unknown, table]), path)
    report = alone(strategies.STAGE, indicators=[path])
    assert_same(strategies.STAGE, report, traced)
    assert report.manifest["skipped"] == {"unknown_symbol": 1}


@pytest.mark.parametrize("stage", [strategies.STAGE, tradepicker.STAGE, paper_broker.STAGE])
def test_files_without_rows_give_tables_without_rows(
    stage: Stage, traced: RunReport, alone: Callable, tmp_path: Path
) -> None:
    files = {}
    for option, name in INPUTS.items():
        path = tmp_path / f"{name}.parquet"
        pq.write_table(table_of(traced, name).slice(0, 0), path)
        files[option.replace("-", "_")] = [path]
    if PRICES in stage.files:
        bars = simulate(3, EXAMPLE_SYMBOLS[:1], START, 1)
        ((symbol, of_symbol),) = bars.items()
        files[PRICES] = [tmp_path / "prices.parquet"]
        pq.write_table(bars_table(symbol, of_symbol), files[PRICES][0])
    report = alone(stage, **files)
    assert set(report.manifest["rows"].values()) == {0}
    for name in report.manifest["rows"]:
        mine = pq.read_schema(report.folder / f"{name}.parquet")
        assert mine.equals(pq.read_schema(traced.folder / f"{name}.parquet"))


WRONG = [
    (strategies.STAGE, "indicators", ROWS, "ts", "soon", "is 'soon'; expected a whole number"),
    (strategies.STAGE, "indicators", ROWS, "close", "", "row 8: column 'close' is empty"),
    (strategies.STAGE, "indicators", ROWS, "ema_9", "up", "is 'up'; expected a number"),
    (strategies.STAGE, "indicators", ROWS, "final", "so", "'so'; expected true or false"),
    (tradepicker.STAGE, "signals", SIGNALS, "action", "HOLD", "'HOLD'; expected BUY or SELL"),
    (tradepicker.STAGE, "signals", SIGNALS, "signal_id", "7", "expected an id of 32 hex digits"),
    (tradepicker.STAGE, "signals", SIGNALS, "strategy_id", "dipp", "(did you mean 'dip'?)"),
    (tradepicker.STAGE, "signals", SIGNALS, "symbol", "ALFA", "(did you mean 'ALFAUSD'?)"),
    (tradepicker.STAGE, "signals", SIGNALS, "close", "inf", "'close' is inf; expected a finite"),
    (tradepicker.STAGE, "exec_reports", REPORTS, "account_id", "fre", "(did you mean 'free'?)"),
    (paper_broker.STAGE, "accepted", ACCEPTED, "qty", "0", "expected a quantity above 0"),
    (paper_broker.STAGE, "accepted", ACCEPTED, "qty", "1e-19", "18 behind it: Quantity to trade"),
    (paper_broker.STAGE, "accepted", ACCEPTED, "order_id", "", "expected an id of 32 hex digits"),
    (paper_broker.STAGE, "accepted", ACCEPTED, "account_id", "x", "an account of the configurat"),
]  # fmt: skip


@pytest.mark.parametrize(("stage", "option", "name", "column", "value", "words"), WRONG)
def test_a_wrong_value_is_named_with_file_row_and_column(
    stage: Stage,
    option: str,
    name: str,
    column: str,
    value: str,
    words: str,
    traced: RunReport,
    alone: Callable,
    tmp_path: Path,
) -> None:
    table = table_of(traced, name)
    path = write_csv(changed(table, column, 7, value), tmp_path / "given.csv")
    with pytest.raises(ConfigError) as caught:
        alone(stage, **{option: [path]})
    assert str(caught.value).startswith(f"{path}: row 8: column {column!r} is ")
    assert words in str(caught.value)
    assert not list((tmp_path / "out").glob("*"))


@pytest.mark.parametrize("stage", [strategies.STAGE, tradepicker.STAGE, paper_broker.STAGE])
def test_a_missing_column_is_named_with_the_nearest(
    stage: Stage, traced: RunReport, alone: Callable, tmp_path: Path
) -> None:
    for option, name in INPUTS.items():
        if option not in stage.files:
            continue
        table = table_of(traced, name).rename_columns(
            ["symboll" if one == "symbol" else one for one in table_of(traced, name).column_names]
        )
        path = tmp_path / f"{name}.parquet"
        pq.write_table(table, path)
        with pytest.raises(ConfigError) as caught:
            alone(stage, **{option.replace("-", "_"): [path]})
        text = f"{path}: column 'symbol' is missing (did you mean 'symboll'?); it has "
        assert str(caught.value).startswith(text)
        assert f"--{option} takes {name} with" in str(caught.value)


def test_a_finished_folder_is_kept(alone: Callable, tmp_path: Path) -> None:
    folder = alone(indicators.STAGE).folder
    before = (folder / "manifest.json").read_bytes()
    with pytest.raises(Refusal, match="exists already"):
        alone(strategies.STAGE)
    assert (folder / "manifest.json").read_bytes() == before


def test_the_command(
    given: dict, traced: RunReport, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_config(given, tmp_path / "run.yaml")
    wanted = ["--config", str(path), "--out", str(tmp_path / "out"), "--runner", "local"]
    assert strategies.main([*wanted, "--indicators", str(tmp_path / "none")]) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.startswith("error: --indicators: no file matches ")
    assert shown.err.count("\n") == 1
    rows = str(traced.folder / f"{ROWS}.parquet")
    changes = ["--run-id", "other", "--set", "run.end=2024-03-30T06:00:00Z"]
    assert strategies.main([*wanted, *changes, "--indicators", rows]) == 0
    assert capsys.readouterr().out.startswith(str(tmp_path / "out" / "other"))
    manifest = json.loads((tmp_path / "out" / "other" / "manifest.json").read_text())
    assert manifest["stage"] == "strategies"
    assert rows in [one["path"] for one in manifest["inputs"]]
    with pytest.raises(SystemExit) as caught:
        strategies.main(wanted)
    assert caught.value.code == 2
    assert "--indicators" in capsys.readouterr().err


def test_a_full_disk_leaves_nothing(
    given: dict, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_config(given, tmp_path / "run.yaml")
    wanted = ["--config", str(path), "--out", str(tmp_path / "out"), "--runner", "local"]
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, before[1]))
    try:
        assert indicators.main(wanted) == 2
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    shown = capsys.readouterr().err
    assert "indicator_history.parquet: cannot be written: File too large" in shown
    assert not list((tmp_path / "out").glob("*"))
