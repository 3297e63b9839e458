"""The dense half of a bounded run, one symbol at a time: files → bars → features → signals."""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from jobs.sources import PIECE_ROWS, PRICES, UNKNOWN, RawBars, Task, read_task, value_text
from schemas.own_code import library
from udfs import dense
from udfs.bar_checks import VALID, BarState, Checked, check_bars
from udfs.bars import Bars, Floats, Ints, cut
from udfs.days import day_starts, local_day
from udfs.frames import IndicatorRows, symbol_frames
from udfs.plan import RunPlan
from udfs.signal_columns import Signals, concat_signals, no_signals

Report = Callable[[int], None]


class DayCloses(NamedTuple):
    """A symbol's last close of each local day that has bars; times of its first and last close."""

    symbol: str
    days: Ints
    closes: Floats
    first_close_ts: int
    last_close_ts: int
    last_close: float


class Reject(NamedTuple):
    """A rejected bar: where it stood, its values as text in the order of COLUMNS, the code."""

    file: int
    row: int
    values: tuple[str | None, ...]
    code: int


class InputCounts(NamedTuple):
    """What became of the rows that gave no bar. `first_late` (symbol, ts) of the first late one."""

    rows: int = 0
    out_of_range: int = 0
    unknown_symbol: int = 0
    late: int = 0
    duplicates: int = 0
    first_late: tuple[int, int, str, int] | None = None


class SymbolOut(NamedTuple):
    """All that the dense half says of one symbol. `indicators` is empty without a trace."""

    symbol: str
    signals: Signals
    closes: DayCloses | None
    rejects: list[Reject]
    counts: InputCounts
    indicators: list[IndicatorRows]


def count_unknown(plan: RunPlan, task: Task, report: Report) -> SymbolOut:
    """The task of symbols that the configuration lacks: only counted."""
    counts = InputCounts()
    known = [symbol.symbol for symbol in plan.symbols]
    for raw in read_task(task, known):
        rows = len(raw.rows)
        outside = int(_out_of_range(plan, raw).sum())
        counts = counts._replace(
            rows=counts.rows + rows,
            out_of_range=counts.out_of_range + outside,
            unknown_symbol=counts.unknown_symbol + rows - outside,
        )
        report(rows)
    return SymbolOut(UNKNOWN, no_signals(), None, [], counts, [])


def run_symbol(
    plan: RunPlan, task: Task, report: Report, piece_rows: int = PIECE_ROWS
) -> SymbolOut:
    """Reads a symbol's rows in order and answers its signals and what else the run must know.

    `report` is called with the number of rows of every piece.
    """
    if task.symbol == UNKNOWN:
        return count_unknown(plan, task, report)
    frames = symbol_frames(plan, task.symbol, library(plan.own))
    state, intake = dense.initial_state(frames), Intake(plan, task)
    signals: list[Signals] = []
    indicators: list[IndicatorRows] = []
    days = _DayTrack(plan, task.symbol)
    for bars in intake.read(report, piece_rows):
        days.add(bars.ts, bars.close)
        state, ready, rows = dense.advance(state, bars, frames)
        signals.append(ready)
        if plan.trace:
            indicators.extend(rows)
    signals.append(dense.finish(state))
    ready = concat_signals(signals)
    return SymbolOut(task.symbol, ready, days.closes(), intake.rejects, intake.counts, indicators)


def run_indicators(plan: RunPlan, task: Task, report: Report) -> SymbolOut:
    """As `run_symbol` with a trace, without the strategies."""
    if task.symbol == UNKNOWN:
        return count_unknown(plan, task, report)
    frames = symbol_frames(plan, task.symbol, library(plan.own))
    state, intake = dense.initial_indicators(frames), Intake(plan, task)
    indicators: list[IndicatorRows] = []
    for bars in intake.read(report):
        state, rows = dense.indicate(state, bars, frames)
        indicators.extend(rows)
    signals = no_signals()
    return SymbolOut(task.symbol, signals, None, intake.rejects, intake.counts, indicators)


class Intake:
    """The rows of one symbol as they are read: which count, and what became of the others."""

    def __init__(self, plan: RunPlan, task: Task) -> None:
        self.plan, self.task = plan, task
        self.state = BarState()
        self.rejects: list[Reject] = []
        self.counts = InputCounts()

    def read(self, report: Report, piece_rows: int = PIECE_ROWS) -> Iterator[Bars]:
        """The bars that count, piece by piece; `report` gets the number of rows of each."""
        for _, _, checked in self.check(report, piece_rows):
            yield checked.bars

    def check(
        self, report: Report, piece_rows: int = PIECE_ROWS
    ) -> Iterator[tuple[BarState, RawBars, Checked]]:
        """The rows within the run's range, piece by piece: what was before, they, their checks."""
        for raw in read_task(self.task, (), piece_rows):
            report(len(raw.rows))
            outside = _out_of_range(self.plan, raw)
            self.counts = self.counts._replace(
                rows=self.counts.rows + len(raw.rows),
                out_of_range=self.counts.out_of_range + int(outside.sum()),
            )
            if outside.any():
                raw = _keep(raw, ~outside)
            before = self.state
            self.state, checked = check_bars(before, raw.bars, raw.whole_ts, self.plan.base_ms)
            self.rejects.extend(rejects_of(raw, checked.code))
            self.counts = _count(
                self.counts, raw, checked.late, checked.duplicate, self.task.symbol
            )
            yield before, raw, checked


def _out_of_range(plan: RunPlan, raw: RawBars) -> np.ndarray:
    """Rows outside [run.start - warmup, run.end); a ts that is no whole number never is."""
    outside = np.zeros(len(raw.rows), dtype=np.bool_)
    if plan.first_ts is not None:
        outside |= raw.bars.ts < plan.first_ts
    if plan.end_ts is not None:
        outside |= raw.bars.ts >= plan.end_ts
    return outside & raw.whole_ts


def _keep(raw: RawBars, mask: np.ndarray) -> RawBars:
    """The rows where `mask` is True."""
    at = np.flatnonzero(mask)
    if len(at) and at[-1] - at[0] + 1 == len(at):
        start, stop = int(at[0]), int(at[-1]) + 1
        table = raw.table.slice(start, stop - start)
        bars = cut(raw.bars, start, stop)
        return RawBars(bars, raw.whole_ts[start:stop], raw.file, raw.rows[start:stop], table)
    bars = type(raw.bars)(*(column[mask] for column in raw.bars))
    table = raw.table.filter(pa.array(mask))
    return RawBars(bars, raw.whole_ts[mask], raw.file, raw.rows[mask], table)


def rejects_of(raw: RawBars, code: np.ndarray) -> list[Reject]:
    """The rows that failed a check, their values as text."""
    at = np.flatnonzero(code != VALID)
    if not len(at):
        return []
    rows = raw.table.take(pa.array(at)).to_pylist()
    return [
        Reject(
            raw.file,
            int(raw.rows[i]),
            tuple(value_text(row[name]) for name in ("symbol", "ts", *PRICES)),
            int(code[i]),
        )
        for i, row in zip(at, rows, strict=True)
    ]


def _count(
    counts: InputCounts, raw: RawBars, late: np.ndarray, duplicate: np.ndarray, symbol: str
) -> InputCounts:
    """The counts with this piece's late and repeated bars."""
    first = counts.first_late
    if first is None and late.any():
        at = int(np.flatnonzero(late)[0])
        first = (raw.file, int(raw.rows[at]), symbol, int(raw.bars.ts[at]))
    return counts._replace(
        late=counts.late + int(late.sum()),
        duplicates=counts.duplicates + int(duplicate.sum()),
        first_late=first,
    )


class _DayTrack:
    """The last close of every local day, as bars go by."""

    def __init__(self, plan: RunPlan, symbol: str) -> None:
        self.plan, self.symbol = plan, symbol
        self.last: dict[int, float] = {}
        self.first_ts: int | None = None
        self.last_ts = 0

    def add(self, ts: Ints, close: Floats) -> None:
        """Take in kept bars; a bar belongs to the local date of its close."""
        if not len(ts):
            return
        ends = ts + self.plan.base_ms
        if self.first_ts is None:
            self.first_ts = int(ends[0])
        self.last_ts = int(ends[-1])
        zone = self.plan.zone
        first, last = local_day(int(ends[0]), zone), local_day(int(ends[-1]), zone)
        starts = day_starts(first, last, zone)
        at = np.searchsorted(ends, starts[1:], side="left") - 1
        for day, index in enumerate(at.tolist()):
            if index >= 0 and ends[index] >= starts[day]:
                self.last[first + day] = float(close[index])

    def closes(self) -> DayCloses | None:
        """The table, or None where no bar was kept."""
        if self.first_ts is None:
            return None
        days = np.array(sorted(self.last), dtype=np.int64)
        closes = np.array([self.last[int(day)] for day in days])
        return DayCloses(self.symbol, days, closes, self.first_ts, self.last_ts, float(closes[-1]))
