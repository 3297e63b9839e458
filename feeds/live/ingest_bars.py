"""Bars as they come into a live store: a feed by the clock, for old bars by their own times.

A tick is told, and with it all before, once every symbol has a bar of it or a later one; once a
later bar has come and `indicators.finalAfterMs` have passed since its close; and, while bars are
current, once those have passed. What comes behind it is late.
"""

import threading
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import pyarrow as pa

from feeds.live import feed
from feeds.live.feed import Tick
from feeds.live.lines import BAD_LINE, Columns, Line, Source
from jobs.live.stage import INSTANCE
from jobs.sources import COLUMNS, RawBars, raw_bars
from jobs.store import reading
from jobs.store.client import Client, Row, Writing
from jobs.store.making import make_tables
from jobs.symbol_stage import rejects_of
from schemas.config import Config
from schemas.market import PRICE_1M_HISTORY, PRICE_REJECTS
from schemas.ops import PROGRESS
from schemas.resolve import plan_run
from udfs.bar_checks import BAR_CODES, VALID, bar_codes
from udfs.bars import Bars
from udfs.plan import RunPlan
from udfs.rows import BarCode

BAD_TS = BarCode.BAD_TS.value
KEPT_TICKS = 20_000  # told ticks whose symbols are remembered
SETTLED_ROWS = 100
Bar = tuple[str, int, float, float, float, float, float]  # in the order of COLUMNS


@dataclass(slots=True)
class Ingested:
    """What became of the lines so far. `skipped` counts by reason."""

    lines: int = 0
    written: int = 0
    ticks: int = 0
    told: int | None = None
    late: int = 0
    repeated: int = 0
    rejects: Counter[str] = field(default_factory=Counter)
    skipped: Counter[str] = field(default_factory=Counter)
    stopped: bool = False


Show = Callable[[Ingested], None]


def ingest_bars(
    client: Client,
    config: Config,
    source: Source,
    max_gap_ms: int,
    stop: threading.Event,
    clock_ms: Callable[[], int],
    show: Show,
) -> Ingested:
    """Write bars as they come until the input ends or `stop`; what became of them."""
    plan = plan_run(config)
    make_tables(client, config.store.retention_days)
    intake = BarIntake(client, plan, config.indicators.final_after_ms, max_gap_ms)
    columns = Columns("bars", COLUMNS, COLUMNS)
    for lines in source.batches(stop, columns):
        intake.take(lines, clock_ms())
        show(intake.done)
    if not stop.is_set():
        intake.finish(clock_ms())
    intake.done.stopped = stop.is_set()
    return intake.done


class BarIntake:
    """The state of the feed while lines come in.

    `is_vouched`: the source itself says up to which tick all is there, and no clock does.
    """

    def __init__(
        self,
        client: Client,
        plan: RunPlan,
        final_after_ms: int,
        max_gap_ms: int,
        is_vouched: bool = False,
    ) -> None:
        self._client, self._plan = client, plan
        self._final_after_ms, self._max_gap_ms = final_after_ms, max_gap_ms
        self._symbols = {symbol.symbol for symbol in plan.symbols}
        at = feed.stood(client, plan.base_ms)
        self._told_before = at.told
        self._stored = _Stored(client)
        self.done = Ingested(told=at.told)
        # Symbols by tick: not told yet, and told.
        self._open: dict[int, set[str]] = {}
        self._closed: dict[int, set[str]] = {}
        self._reached: dict[str, int] = {}  # the newest tick of each symbol
        self._newest: int | None = at.told
        self._is_current = False
        self._is_vouched = is_vouched
        for symbol, ts in at.ahead:
            self._note(symbol, ts + plan.base_ms)
        self._rows: list[Row] = []
        self._refused: list[Row] = []
        self._ticks: list[Tick] = []

    @property
    def begins(self) -> int | None:
        """The open time of the first bar that is not told; None where nothing is in the store."""
        first = min(self._open, default=None)
        if self.done.told is None and first is not None:
            return first - self._plan.base_ms
        return self.done.told

    def take(self, lines: Sequence[Line], now_ms: int, until: int | None = None) -> None:
        """Take lines in, in their order, and write what follows from them and the clock.

        `until`: the tick that a source vouches for, with all before.
        """
        self.done.lines += len(lines)
        good: list[Mapping[str, str]] = []
        for line in lines:
            if line.values is None:
                self.done.rejects[BAD_LINE] += 1
                self._refused.append(feed.bad_line_row(line.text, line.problem, self._plan.run_id))
            else:
                good.append(line.values)
        if good:
            self._take_rows(good, now_ms)
        if self._is_vouched:
            self._tell(until)
        elif self._is_current:
            passed = now_ms - self._final_after_ms
            self._tell(passed - passed % self._plan.base_ms)
        self._write()

    def finish(self, now_ms: int) -> None:
        """The input has ended: all ticks that the clock has passed are complete."""
        due = [tick for tick in self._open if tick + self._final_after_ms <= now_ms]
        self._tell(max(due, default=None))
        self._write()

    def _take_rows(self, rows: Sequence[Mapping[str, str]], now_ms: int) -> None:
        table = pa.table({name: pa.array([row[name] for row in rows]) for name in COLUMNS})
        numbers = range(self.done.lines - len(rows), self.done.lines)
        raw = raw_bars(table, 0, pa.array(numbers).to_numpy())
        keep = [
            self._skip(row["symbol"], ts, whole)
            for row, ts, whole in zip(
                rows, raw.bars.ts.tolist(), raw.whole_ts.tolist(), strict=True
            )
        ]
        mask = pa.array(keep).to_numpy(zero_copy_only=False)
        bars = Bars._make(column[mask] for column in raw.bars)
        raw = RawBars(bars, raw.whole_ts[mask], 0, raw.rows[mask], table.filter(pa.array(keep)))
        code = bar_codes(raw.bars, raw.whole_ts, self._plan.base_ms)
        for reject in rejects_of(raw, code):
            self.done.rejects[BAR_CODES[reject.code].value] += 1
            self._refused.append(feed.reject_row(reject, self._plan.run_id))
        valid = code == VALID
        names = raw.table.filter(pa.array(valid))["symbol"].to_pylist()
        columns = (column[valid].tolist() for column in raw.bars)
        for bar in zip(names, *columns, strict=True):
            self._bar(bar, now_ms)

    def _skip(self, symbol: str, ts: int, whole: bool) -> bool:
        """Whether a row is of this run; one that is not is counted."""
        plan = self._plan
        before = plan.first_ts is not None and ts < plan.first_ts
        if whole and (before or (plan.end_ts is not None and ts >= plan.end_ts)):
            self.done.skipped["out of range"] += 1
            return False
        if symbol not in self._symbols:
            self.done.skipped["of unknown symbols"] += 1
            return False
        return True

    def _bar(self, bar: Bar, now_ms: int) -> None:
        """A valid bar."""
        symbol, ts = bar[:2]
        tick = ts + self._plan.base_ms
        told = self.done.told
        if told is not None and tick <= told:
            if self._is_known(symbol, tick):
                self.done.repeated += 1
            else:
                self.done.late += 1
                self._rows.append((*bar, INSTANCE, True))
            return
        if symbol in self._open.get(tick, ()):
            self.done.repeated += 1
            return
        problem = self._ahead_problem(tick, now_ms)
        if problem is not None:
            values = (symbol, str(ts), *(repr(value) for value in bar[2:]))
            self.done.rejects[BAD_TS] += 1
            self._refused.append(feed.refused_row(values, BAD_TS, problem, self._plan.run_id))
            return
        self.done.written += 1
        self._rows.append((*bar, INSTANCE, False))
        self._note(symbol, tick)
        age_ms = now_ms - tick
        self._is_current = age_ms <= self._final_after_ms + 2 * self._plan.base_ms
        self._close(now_ms)

    def _ahead_problem(self, tick: int, now_ms: int) -> str | None:
        """Why a bar can't be true, by the clock or by the bars before it."""
        if tick > now_ms + self._plan.base_ms:
            return "ts lies ahead of the clock"
        if self._newest is not None and tick - self._newest > self._max_gap_ms:
            days = (tick - self._newest) / 86_400_000
            return f"ts lies {days:,.1f} days ahead of the bars before it; --max-gap allows more"
        return None

    def _note(self, symbol: str, tick: int) -> None:
        self._open.setdefault(tick, set()).add(symbol)
        self._reached[symbol] = max(tick, self._reached.get(symbol, tick))
        self._newest = tick if self._newest is None else max(self._newest, tick)

    def _close(self, now_ms: int) -> None:
        """Tell what bars alone make complete."""
        newest = self._newest
        if newest is None or self._is_vouched:
            return
        until = None
        if len(self._reached) == len(self._symbols):
            until = min(self._reached.values())
        passed = now_ms - self._final_after_ms
        by_later = min(newest - self._plan.base_ms, passed - passed % self._plan.base_ms)
        self._tell(by_later if until is None else max(until, by_later))

    def _tell(self, until: int | None) -> None:
        """Tell all ticks up to this one; the first is that of the first bar."""
        told, step = self.done.told, self._plan.base_ms
        if until is None or (told is None and not self._open):
            return
        tick = min(self._open) if told is None else told + step
        while tick <= until:
            symbols = self._open.pop(tick, set())
            self._ticks.append(Tick(tick, (), len(symbols)))
            self._closed[tick] = symbols
            if len(self._closed) > KEPT_TICKS:
                del self._closed[next(iter(self._closed))]
            self.done.told = tick
            tick += step

    def _is_known(self, symbol: str, tick: int) -> bool:
        """Whether a bar behind the progress is in the store."""
        if symbol in self._closed.get(tick, ()):
            return True
        return self._stored.has(symbol, tick - self._plan.base_ms)

    def _write(self) -> None:
        """Bars first, then the progress that counts them."""
        told = [feed.progress_row(tick) for tick in self._ticks]
        self._client.write(
            Writing(PRICE_1M_HISTORY, self._rows),
            Writing(PRICE_REJECTS, self._refused),
            then=[Writing(PROGRESS, told)],
        )
        self.done.ticks += len(told)
        self._rows, self._refused, self._ticks = [], [], []


class _Stored:
    """Bars that were in the store when this was first asked, read as far back as is asked for."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._keys: set[tuple[str, int]] = set()
        self._from: int | None = None

    def has(self, symbol: str, ts: int) -> bool:
        """Whether the bar is in the store."""
        if self._from is None or ts < self._from:
            self._read(ts)
        return (symbol, ts) in self._keys

    def _read(self, ts: int) -> None:
        def reached(rows: Sequence[reading.Record]) -> bool:
            return all(row["ts"] < ts for row in rows[:SETTLED_ROWS])

        rows = reading.tail(self._client, PRICE_1M_HISTORY, reached)
        self._keys = {(row["symbol"], row["ts"]) for row in rows}
        self._from = ts
