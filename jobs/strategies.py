"""Strategies alone, as one bounded Flink job: indicator_history → strategy_signal_history.

    flink run -py jobs/strategies.py -pyfs code.zip -p 2 --config conf/backtest.yaml \\
        --indicators runs/demo/indicator_history.parquet --out alone
    python -m jobs.strategies --config ... --indicators ... --out alone

a task per row group (rows by symbol), and where a strategy is intrabar per symbol of bars
  → keyed by symbol: all its rows in order of time, decided on in one piece (udfs/dense.py,
    udfs/intrabar.py)
  → one writer (the table in order, jobs/trace.py)

Key: symbol. State: its rows and bars until the input has ended. Invariant: the signals are those
of a traced backtest, however the rows are split over files, at any parallelism.
"""

import sys
from collections.abc import Iterator, Sequence
from functools import partial

import pyarrow as pa
import pyarrow.compute as pc

from jobs import stage_files, stage_job, trace
from jobs.sources import UNKNOWN, Place, Task
from jobs.stage_files import Wanted
from jobs.stage_job import PRICES, RUN, Dataflow, Files, Stage, Written
from jobs.symbol_stage import InputCounts, Intake, SymbolOut
from schemas.market import INDICATOR_HISTORY
from schemas.own_code import library
from schemas.table import ARROW_TYPES
from udfs import dense, intrabar
from udfs.bars import Bars, join_bars
from udfs.frames import Frame, IndicatorRows, symbol_frames
from udfs.plan import RunPlan
from udfs.signal_columns import concat_signals

INDICATORS = "indicators"


def define(plan: RunPlan, files: Files) -> Dataflow:
    """Rows → by symbol → its signals → the table."""
    wanted = wanted_rows(plan)
    places, inputs = stage_files.plan_places(
        stage_files.find_files(wanted, files[INDICATORS]), wanted
    )
    tasks, bar_inputs = [], []
    if any(strategy.intrabar for strategy in plan.strategies):
        tasks, bar_inputs = stage_job.bar_tasks(plan, files[PRICES])
    return Dataflow(
        tasks=[*tasks, *places],
        read=partial(by_symbol, plan, wanted),
        fold=partial(decide, plan, wanted),
        write=partial(tables, plan),
        inputs=[*bar_inputs, *inputs],
    )


def wanted_rows(plan: RunPlan) -> Wanted:
    """The columns that the strategies read."""
    names = {"close"}
    kinds = library(plan.own).kinds
    for strategy in plan.strategies:
        features = kinds[strategy.kind].features(strategy.params)
        names.update(name.rpartition(":")[2] for name in features)
    keys = ("symbol", "timeframe", "ts", "final")
    return stage_files.wanted(f"--{INDICATORS}", INDICATOR_HISTORY, keys, sorted(names))


def by_symbol(
    plan: RunPlan, wanted: Wanted, task: Task | Place
) -> Iterator[tuple[str, pa.Table | Bars | int]]:
    """A symbol's bars, or final rows by symbol; to the writer, how many are of unknown symbols."""
    if isinstance(task, Task):
        if task.symbol != UNKNOWN:
            for bars in Intake(plan, task).read(lambda rows: None):
                yield task.symbol, bars
        return
    rows = stage_files.read_place(task, wanted)
    known = [symbol.symbol for symbol in plan.symbols]
    inside = rows.filter(pc.is_in(rows["symbol"], value_set=pa.array(known, pa.string())))
    yield RUN, rows.num_rows - inside.num_rows
    final = inside.filter(inside["final"])
    for symbol in pc.unique(final["symbol"]).to_pylist():
        yield symbol, stage_files.rows_of(final, "symbol", symbol)


def decide(
    plan: RunPlan, wanted: Wanted, symbol: str, values: list[pa.Table | Bars]
) -> Iterator[SymbolOut]:
    """A symbol's signals."""
    pieces = [value for value in values if isinstance(value, pa.Table)]
    rows = pa.concat_tables([empty_rows(wanted), *pieces])
    rows = stage_files.first_rows(rows, INDICATOR_HISTORY).sort_by("ts")
    bars = join_bars([value for value in values if isinstance(value, Bars)])
    frames = symbol_frames(plan, symbol, library(plan.own))
    by_frame = [frame_rows(rows, frame) for frame in frames.frames]
    start = dense.initial_rows(frames)
    _, signals = dense.decide(start, by_frame, frames)
    _, more = intrabar.watch(intrabar.initial_state(frames), bars, frames, start, by_frame)
    yield SymbolOut(symbol, concat_signals([signals, more]), None, [], InputCounts(), [])


def empty_rows(wanted: Wanted) -> pa.Table:
    """No rows: there are none before a timeframe's first bar is final."""
    types = [(column.name, ARROW_TYPES[column.type]) for column in wanted.columns]
    return pa.schema(types).empty_table()


def frame_rows(rows: pa.Table, frame: Frame) -> IndicatorRows:
    """One timeframe's rows as columns, NaN for null."""
    own = stage_files.rows_of(rows, "timeframe", frame.timeframe)
    names = [name for name in own.column_names if name not in ("symbol", "timeframe", "final")]
    columns = {name: own[name].to_numpy() for name in names}
    return IndicatorRows(frame.timeframe, columns.pop("ts"), columns)


def tables(plan: RunPlan, values: list[SymbolOut | int]) -> Written:
    """The table in order."""
    symbols = [value for value in values if isinstance(value, SymbolOut)]
    skipped = sum(value for value in values if isinstance(value, int))
    written = {"strategy_signal_history": trace.signal_table(plan, symbols)}
    return Written(written, {"skipped": {"unknown_symbol": skipped}})


STAGE = Stage(
    name="strategies",
    doc=__doc__,
    files={
        INDICATORS: "indicator_history of a traced run: files, folders or patterns",
        PRICES: "bars instead of prices.files: paths or patterns; read for intrabar strategies",
    },
    define=define,
)


def main(arguments: Sequence[str]) -> int:
    """The command."""
    return stage_job.main(STAGE, arguments)


if __name__ == "__main__":
    from jobs.strategies import main as imported  # workers import its functions by their module

    sys.exit(imported(sys.argv[1:]))
