"""Strategies alone, as one bounded Flink job: indicator_history → strategy_signal_history.

    flink run -py jobs/strategies.py -pyfs code.zip -p 2 --config conf/backtest.yaml \\
        --indicators runs/demo/indicator_history.parquet --out alone
    python -m jobs.strategies --config ... --indicators ... --out alone

a task per row group (rows by symbol)
  → keyed by symbol: all its rows in order of time, decided on in one piece (udfs/dense.py)
  → one writer (the table in order, jobs/trace.py)

Key: symbol. State: its rows until the input has ended. Invariant: the signals are those of a
traced backtest, however the rows are split over files, at any parallelism.
"""

import sys
from collections.abc import Iterator, Sequence
from functools import partial

import pyarrow as pa
import pyarrow.compute as pc

from jobs import stage_files, stage_job, trace
from jobs.sources import Place
from jobs.stage_files import Wanted
from jobs.stage_job import RUN, Dataflow, Files, Stage, Written
from jobs.symbol_stage import InputCounts, SymbolOut
from schemas.market import INDICATOR_HISTORY
from schemas.own_code import library
from udfs import dense
from udfs.dense import Frame, IndicatorRows
from udfs.plan import RunPlan

INDICATORS = "indicators"


def define(plan: RunPlan, files: Files) -> Dataflow:
    """Rows → by symbol → its signals → the table."""
    wanted = wanted_rows(plan)
    places, inputs = stage_files.plan_places(
        stage_files.find_files(wanted, files[INDICATORS]), wanted
    )
    return Dataflow(
        tasks=places,
        read=partial(by_symbol, plan, wanted),
        fold=partial(decide, plan),
        write=partial(tables, plan),
        inputs=inputs,
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


def by_symbol(plan: RunPlan, wanted: Wanted, place: Place) -> Iterator[tuple[str, pa.Table | int]]:
    """A row group's final rows by symbol; to the writer, how many are of unknown symbols."""
    rows = stage_files.read_place(place, wanted)
    known = [symbol.symbol for symbol in plan.symbols]
    inside = rows.filter(pc.is_in(rows["symbol"], value_set=pa.array(known, pa.string())))
    yield RUN, rows.num_rows - inside.num_rows
    final = inside.filter(inside["final"])
    for symbol in pc.unique(final["symbol"]).to_pylist():
        yield symbol, stage_files.rows_of(final, "symbol", symbol)


def decide(plan: RunPlan, symbol: str, pieces: list[pa.Table]) -> Iterator[SymbolOut]:
    """A symbol's signals."""
    rows = stage_files.first_rows(pa.concat_tables(pieces), INDICATOR_HISTORY).sort_by("ts")
    frames = dense.symbol_frames(plan, symbol, library(plan.own))
    by_frame = [frame_rows(rows, frame) for frame in frames.frames]
    _, signals = dense.decide(dense.initial_rows(frames), by_frame, frames)
    yield SymbolOut(symbol, signals, None, [], InputCounts(), [])


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
    files={INDICATORS: "indicator_history of a traced run: files, folders or patterns"},
    define=define,
)


def main(arguments: Sequence[str]) -> int:
    """The command."""
    return stage_job.main(STAGE, arguments)


if __name__ == "__main__":
    from jobs.strategies import main as imported  # workers import its functions by their module

    sys.exit(imported(sys.argv[1:]))
