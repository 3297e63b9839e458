"""A bounded run in one process: the same stages as the Flink job, in a for-loop."""

from collections.abc import Callable, Sequence

from jobs.assemble import Assembled, assemble
from jobs.group_stage import GroupOut, plan_groups, run_group
from jobs.sources import PIECE_ROWS, Task
from jobs.symbol_stage import SymbolOut, run_symbol
from udfs.plan import RunPlan


def run_local(
    plan: RunPlan,
    tasks: Sequence[Task],
    report: Callable[[int], None],
    piece_rows: int = PIECE_ROWS,
) -> Assembled:
    """All symbols, then all fold groups, then the tables. `report` gets rows as they are read."""
    outs: list[SymbolOut] = [run_symbol(plan, task, report, piece_rows) for task in tasks]
    signals = {out.symbol: out.signals for out in outs}
    closes = [out.closes for out in outs if out.closes is not None]
    groups: list[GroupOut] = []
    for group in plan_groups(plan):
        pieces = {name: signals[name] for name in group.symbols if name in signals}
        folded = run_group(plan, group, pieces, closes)
        if folded is not None:
            groups.append(folded)
    return assemble(plan, outs, groups)
