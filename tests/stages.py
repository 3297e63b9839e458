"""Every stage alone on the files of a traced run, for the tests that hold them against it."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from jobs import indicators, paper_broker, strategies, tradepicker, trading_engine
from jobs.run import RunReport
from jobs.stage_job import Stage, StageReport, StageRequest, execute
from schemas.config import Config

STAGES = (
    indicators.STAGE,
    strategies.STAGE,
    tradepicker.STAGE,
    paper_broker.STAGE,
    trading_engine.STAGE,
)
INPUTS = {
    "indicators": "indicator_history",
    "signals": "strategy_signal_history",
    "exec-reports": "exec_report_history",
    "accepted": "accepted_trade_signal_history",
}
WRITTEN = {
    "indicators": ["indicator_history", "price_rejects"],
    "strategies": ["strategy_signal_history"],
    "tradepicker": ["accepted_trade_signal_history", "rejected_trade_signal_history"],
    "paper_broker": ["exec_report_history"],
    "trading_engine": [
        "open_positions_lots",
        "open_positions_rollup",
        "realized_pnl_latest",
        "rejects",
        "trade_match_history",
    ],
}
COUNTED = {
    "indicators": ["price_rejects", "skipped", "late", "first_late", "duplicates", "bars"],
    "strategies": [],
    "tradepicker": ["rejected", "over_cap"],
    "paper_broker": ["unfilled", "late"],
    "trading_engine": [],
}


def run_alone(
    stage: Stage, config: Config, traced: Path, out: Path, runner: str, parallelism: int = 1
) -> StageReport:
    """A stage on the files of a traced run's folder."""
    files = {
        option: [str(traced / f"{table}.parquet")]
        for option, table in INPUTS.items()
        if option in stage.files
    }
    request = StageRequest(config, files, out / stage.name, True, (), runner, parallelism)
    return execute(stage, request)


def assert_same(stage: Stage, alone: StageReport, traced: RunReport) -> None:
    """The stage's tables are the traced run's, row for row, and so is what both count."""
    names = WRITTEN[stage.name]
    assert sorted(path.stem for path in alone.folder.glob("*.parquet")) == names
    for name in names:
        mine = pq.read_table(alone.folder / f"{name}.parquet")
        if name == "rejects":
            assert mine.num_rows == 0
            continue
        theirs = pq.read_table(traced.folder / f"{name}.parquet")
        assert mine.schema.equals(theirs.schema), name
        assert mine.num_rows == theirs.num_rows, name
        for column in mine.column_names:
            assert same(mine[column], theirs[column]), f"{name} {column}"
    for name in COUNTED[stage.name]:
        assert alone.manifest[name] == traced.manifest[name], name


def same(mine: pa.ChunkedArray, theirs: pa.ChunkedArray) -> bool:
    """Equal values, to the last bit of a double; NaN is NaN."""
    if pa.types.is_floating(mine.type):
        return np.array_equal(mine.to_numpy(), theirs.to_numpy(), equal_nan=True)
    return bool(mine.equals(theirs))
