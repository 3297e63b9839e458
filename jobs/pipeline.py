"""A bounded run in one process: the same stages as the Flink job, in a for-loop."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from jobs.assemble import Assembled, assemble
from jobs.group_stage import GroupOut, plan_groups, run_group
from jobs.sources import PIECE_ROWS, Task
from jobs.sweep.parts import finish_chunk, run_span, spill
from jobs.symbol_stage import DayCloses, SymbolOut, run_symbol
from udfs.plan import RunPlan


def run_local(
    plan: RunPlan,
    tasks: Sequence[Task],
    report: Callable[[int], None],
    piece_rows: int = PIECE_ROWS,
) -> Assembled:
    """All symbols, then all fold groups, then the tables. `report` gets rows as they are read."""
    outs = [run_symbol(plan, task, report, piece_rows) for task in tasks]
    return assemble(plan, outs, list(_folded(plan, outs, _closes(outs))))


def run_local_chunk(
    plan: RunPlan, tasks: Sequence[Task], folder: Path, report: Callable[[int], None]
) -> None:
    """The same for a chunk, `plan` being its own: into files in `folder`, group by group."""
    outs = [run_symbol(plan, task, report) for task in tasks]
    closes = _closes(outs)
    spilled = [
        spill(folder, number, plan, group, run_span(closes))
        for number, group in enumerate(_folded(plan, outs, closes))
    ]
    finish_chunk(folder, plan, outs, spilled)


def _closes(outs: Sequence[SymbolOut]) -> list[DayCloses]:
    return [out.closes for out in outs if out.closes is not None]


def _folded(
    plan: RunPlan, outs: Sequence[SymbolOut], closes: Sequence[DayCloses]
) -> Iterator[GroupOut]:
    """Every fold group's outcome; none where no symbol has bars."""
    signals = {out.symbol: out.signals for out in outs}
    for group in plan_groups(plan):
        pieces = {name: signals[name] for name in group.symbols if name in signals}
        folded = run_group(plan, group, pieces, closes)
        if folded is not None:
            yield folded
