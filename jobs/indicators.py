"""Indicators alone, as one bounded Flink job: bars → indicator_history, price_rejects.

    flink run -py jobs/indicators.py -pyfs code.zip -p 2 --config conf/backtest.yaml --out alone
    python -m jobs.indicators --config conf/backtest.yaml --out alone

a task per symbol (files → checked bars → final rows of every timeframe, jobs/symbol_stage.py)
  → one writer (both tables in order, jobs/trace.py)

Key: symbol. State: that of checks, windows and kernels, within a task. Invariant: the rows are
those of a traced backtest, at any parallelism.
"""

import sys
from collections.abc import Iterator, Sequence
from functools import partial

from jobs import stage_job, trace
from jobs.assemble import input_counts
from jobs.sources import Task
from jobs.stage_job import PRICES, Dataflow, Files, Stage, Written, pass_on
from jobs.symbol_stage import SymbolOut, run_indicators
from udfs.plan import RunPlan


def define(plan: RunPlan, files: Files) -> Dataflow:
    """Bars → (symbol, its rows) → the tables."""
    tasks, inputs = stage_job.bar_tasks(plan, files[PRICES])
    return Dataflow(
        tasks=tasks,
        read=partial(indicate, plan),
        fold=pass_on,
        write=partial(tables, plan),
        inputs=inputs,
    )


def indicate(plan: RunPlan, task: Task) -> Iterator[tuple[str, SymbolOut]]:
    """A symbol's final rows, rejected bars and counts."""
    yield task.symbol, run_indicators(plan, task, lambda rows: None)


def tables(plan: RunPlan, symbols: list[SymbolOut]) -> Written:
    """Both tables in order."""
    written = {
        "indicator_history": trace.indicator_table(plan, symbols),
        "price_rejects": trace.reject_table(plan, symbols),
    }
    return Written(written, input_counts(symbols))


STAGE = Stage(
    name="indicators",
    doc=__doc__,
    files={PRICES: "bars instead of prices.files: paths or patterns"},
    define=define,
)


def main(arguments: Sequence[str]) -> int:
    """The command."""
    return stage_job.main(STAGE, arguments)


if __name__ == "__main__":
    from jobs.indicators import main as imported  # workers import its functions by their module

    sys.exit(imported(sys.argv[1:]))
