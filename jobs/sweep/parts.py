"""What a finished chunk of a run leaves in its folder, until all chunks are merged.

The bulk, matches and the costs of fills, stands in files of records, one per fold group, in order
of time. A chunk's folder gets its name when it is whole: what has a name counts.
"""

import pickle
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from jobs.assemble import last_closes, manifest_counts, state_tables, unfilled_columns
from jobs.equity import EquityLine, equity_lines
from jobs.group_stage import Columns, GroupOut
from jobs.merge import joined
from jobs.run_folder import unwritable
from jobs.summary import cost_changes, cost_limits, summarise
from jobs.symbol_stage import DayCloses, SymbolOut
from udfs.errors import ConfigError
from udfs.plan import RunPlan

META = "chunk.pickle"
EQUITY = "equity.bin"
# Times at which parts can be cut: so many that a slice of all of them fits memory, so few that
# their places do.
SLICES = 1_024
# Of a match the summary needs these; all of it is in the file.
SUMMED = ("strategy", "symbol", "match_ts", "realized_pnl", "fees")
# What pickle raises on bytes that it did not write.
DAMAGED = (
    pickle.UnpicklingError,
    AttributeError,
    EOFError,
    ImportError,
    LookupError,
    TypeError,
    ValueError,
)
AMOUNTS = ("realized", "fees", "unrealized", "equity")


class Part(NamedTuple):
    """One fold group's records in a file of the chunk's folder, in order of time.

    `account` and the records' `strategy` index the chunk's own plan. `starts` int64[SLICES + 1]:
    the number of the first record of each slice of the run's time.
    """

    name: str
    account: int
    dtype: np.dtype[Any]
    starts: np.ndarray


class Spilled(NamedTuple):
    """A fold group whose bulk stands in files; `group` has what the summary and tables need."""

    group: GroupOut
    matches: Part
    usage: Part


class ChunkOut(NamedTuple):
    """A finished chunk. `strategies` and `accounts` are the ids that indexes in it stand for.

    `rows` the summary's of its strategies; `lines` (account, strategy, currency) of its equity,
    AMOUNTS of which are int64[days, lines, 4, 2] in EQUITY; `limits` the largest cost and a bound
    on their sum per (account, currency); `tables` those of positions, in order.
    """

    strategies: tuple[str, ...]
    accounts: tuple[str, ...]
    rows: list[dict[str, Any]]
    counts: dict[str, Any]
    unfilled: Columns
    matches: tuple[Part, ...]
    usage: tuple[Part, ...]
    limits: dict[tuple[int, str], tuple[float, float]]
    lines: list[tuple[int, int, str]]
    first_day: int
    days: int
    closes: list[DayCloses]
    tables: dict[str, pa.Table]


def run_span(closes: Sequence[DayCloses]) -> tuple[int, int]:
    """The close times of the run's first and last bar."""
    return min(one.first_close_ts for one in closes), max(one.last_close_ts for one in closes)


def spill(
    folder: Path, number: int, plan: RunPlan, group: GroupOut, span: tuple[int, int]
) -> Spilled:
    """Write a group's bulk to files in the folder. `number` tells groups apart."""
    usage = {name: group.usage[name] for name in ("strategy", "symbol", "ts")}
    usage["change"] = cost_changes(plan, group.usage)
    summed = {name: group.matches[name] for name in SUMMED}
    return Spilled(
        group=group._replace(matches=summed),
        matches=_write(folder, f"matches-{number}.bin", group.account, group.matches, span),
        usage=_write(folder, f"usage-{number}.bin", group.account, usage, span),
    )


def _write(folder: Path, name: str, account: int, columns: Columns, span: tuple[int, int]) -> Part:
    """Columns as records in a file."""
    fields = [(field, column.dtype, column.shape[1:]) for field, column in columns.items()]
    ts = columns["match_ts" if "match_ts" in columns else "ts"]
    records = np.empty(len(ts), dtype=np.dtype(fields))
    for field, column in columns.items():
        records[field] = column
    write_array(folder / name, records)
    first, last = span
    edges = first + (last + 1 - first) * np.arange(SLICES + 1, dtype=np.int64) // SLICES
    edges[-1] = last + 1
    return Part(name, account, records.dtype, np.searchsorted(ts, edges))


def write_array(path: Path, values: np.ndarray) -> None:
    """An array's bytes as a file. ConfigError where that can't be written."""
    try:
        with path.open("wb") as file:
            if values.size:
                file.write(memoryview(values.reshape(-1).view(np.uint8)))
    except OSError as error:
        raise unwritable(path, error) from error


def read_array(path: Path, dtype: np.dtype[Any], start: int, stop: int) -> np.ndarray:
    """Elements [start, stop) of a file that `write_array` made."""
    found = np.fromfile(path, dtype=dtype, count=stop - start, offset=start * dtype.itemsize)
    if len(found) != stop - start:
        raise ConfigError(f"{path}: is damaged; remove {path.parent}, and its sets are run again")
    return found


def finish_chunk(
    folder: Path, plan: RunPlan, symbols: Sequence[SymbolOut], spilled: Sequence[Spilled]
) -> None:
    """Write what is left of a chunk: its equity, its part of the summary, its positions."""
    spilled = sorted(spilled, key=lambda one: one.group.account)
    groups = [one.group for one in spilled]
    closes = [out.closes for out in symbols if out.closes is not None]
    lines = equity_lines(plan, groups)
    rows, limits = [], {}
    if groups:
        matches = joined(plan, groups, "matches", "match_ts")
        usage = joined(plan, groups, "usage", "ts")
        rows = summarise(plan, groups, lines, matches, usage, run_span(closes), totals=False)
        limits = cost_limits(plan, usage)
    out = ChunkOut(
        strategies=tuple(one.strategy_id for one in plan.strategies),
        accounts=tuple(account.account_id for account in plan.accounts),
        rows=rows,
        counts=manifest_counts(plan, symbols, groups),
        unfilled=unfilled_columns(plan, groups),
        matches=tuple(one.matches for one in spilled),
        usage=tuple(one.usage for one in spilled),
        limits=limits,
        lines=[(line.account, line.strategy, line.currency) for line in lines],
        first_day=lines[0].first_day if lines else 0,
        days=len(lines[0].equity) if lines else 0,
        closes=closes,
        tables=state_tables(plan, groups, last_closes(plan, symbols)),
    )
    write_array(folder / EQUITY, _by_day(lines))
    write_array(folder / META, np.frombuffer(pickle.dumps(out, protocol=5), dtype=np.uint8))


def _by_day(lines: Sequence[EquityLine]) -> np.ndarray:
    """int64[days, lines, 4, 2] of the AMOUNTS."""
    if not lines:
        return np.empty((0, 0, len(AMOUNTS), 2), dtype=np.int64)
    amounts = [[getattr(line, name) for name in AMOUNTS] for line in lines]
    return np.ascontiguousarray(np.array(amounts).transpose(2, 0, 1, 3))


def read_chunk(folder: Path) -> ChunkOut | None:
    """A finished chunk; None where what is there can't be it (after a power cut, say)."""
    try:
        out = pickle.loads((folder / META).read_bytes())
        if not isinstance(out, ChunkOut):
            return None
        sizes = {part.name: part.starts[-1] * part.dtype.itemsize for part in out.matches}
        sizes |= {part.name: part.starts[-1] * part.dtype.itemsize for part in out.usage}
        sizes[EQUITY] = out.days * len(out.lines) * len(AMOUNTS) * 2 * 8
        whole = all((folder / name).stat().st_size == size for name, size in sizes.items())
    except (OSError, *DAMAGED):
        return None
    return out if whole else None
