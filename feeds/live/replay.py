"""Files of bars as a feed of a live store, minute by minute."""

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from feeds.live import feed
from feeds.live.bars import SymbolReader, merged
from feeds.live.feed import Stood, Tick, Timeline
from feeds.live.waiting import Watch
from jobs.sources import list_files, plan_tasks
from jobs.store.client import Client, Row, Writing
from jobs.store.making import make_tables
from jobs.symbol_stage import InputCounts
from schemas.config import Config
from schemas.market import PRICE_1M_HISTORY, PRICE_REJECTS
from schemas.ops import PROGRESS
from schemas.resolve import plan_run
from udfs.bar_checks import BAR_CODES
from udfs.plan import RunPlan

BATCH_ROWS = 10_000
BATCH_TICKS = 10_000
# A feed that is far ahead of the stages fills their memory with what they can't use yet.
AHEAD_TICKS = 20_000
MAX_GAP_MS = 30 * 86_400_000


class Pace(NamedTuple):
    """How fast ticks are written: `speed` times as fast as they were, None: without a pause.

    `max_gap_ms` bounds the time without bars. `wait` keeps near the stages and returns once they
    are done, `patience_s` is how long they may all stand still.
    """

    speed: float | None = None
    max_gap_ms: int = MAX_GAP_MS
    wait: bool = False
    patience_s: float = 120.0


class Replayed(NamedTuple):
    """What a replay did. `bars`, `ticks` were written by this one, `before` by earlier ones."""

    bars: int
    ticks: int
    before: int
    first: int | None
    last: int | None
    counts: InputCounts
    rejects: dict[str, int]
    stopped: bool


class Progress(NamedTuple):
    """How far a replay is: bars in the store of all rows, the newest tick that was told."""

    bars: int
    total: int
    tick: int | None


Show = Callable[[Progress], None]


def replay(
    client: Client,
    config: Config,
    pace: Pace,
    stop: threading.Event,
    show: Show,
    written: Callable[[Replayed], None] = lambda done: None,
) -> Replayed:
    """Write the configured bars from where the feed of this store stands.

    `stop` ends it after a tick; `written` is told before the stages are waited for. ConfigError and
    Refusal as a backtest, where the bars do not continue what the store was fed, and where the
    stages stand still.
    """
    plan = plan_run(config)
    files = list_files(config.prices.files)
    tasks, inputs = plan_tasks(files, [symbol.symbol for symbol in plan.symbols])
    make_tables(client, config.store.retention_days)
    at = feed.stood(client, plan.base_ms)
    run = _Replay(client, plan, at, pace, stop, show, config.monitoring.export)
    run.total = sum(file.rows for file in inputs)
    run.readers = [SymbolReader(plan, task, run.read) for task in tasks]
    run.write()
    done = run.replayed()
    written(done)
    if pace.wait and not done.stopped:
        run.watch().wait(done.last, pace.patience_s, stop)
    return done


class _Replay:
    """A replay under way."""

    def __init__(
        self,
        client: Client,
        plan: RunPlan,
        at: Stood,
        pace: Pace,
        stop: threading.Event,
        show: Show,
        export: str,
    ) -> None:
        self.client, self.plan, self.pace, self.stop, self.show = client, plan, pace, stop, show
        self.export = export
        symbols = [symbol.symbol for symbol in plan.symbols]
        self.timeline = Timeline(at, symbols, plan.base_ms, pace.max_gap_ms)
        self.readers: list[SymbolReader] = []
        self.told, self.total = at.told, 0
        self.bars = self.tick_count = 0
        self.codes: Counter[int] = Counter()
        self._watch: Watch | None = None

    def read(self, rows: int) -> None:
        """Rows that were read."""
        self.show(Progress(self.bars + self.timeline.before, self.total, self.told))

    def watch(self) -> Watch:
        """What knows how far the stages are."""
        if self._watch is None:
            self._watch = Watch(self.client, self.plan, self.export)
        return self._watch

    def write(self) -> None:
        """All ticks, in batches of what is due."""
        ticks = self.timeline.ticks(merged(self.readers))
        clock = _Clock(self.plan.base_ms, self.pace.speed)
        waiting: list[Tick] = []  # their bars are written, their progress is not
        for batch in self._batches(ticks, clock):
            rows = [row for tick in batch for row in tick.rows]
            if self.pace.speed is not None:
                self._send(rows, batch)
            else:
                # Without a pause, bars go together with the progress of those before them.
                self._send(rows, [], waiting)
                waiting = batch
            if self.stop.is_set():
                break
            if self.pace.wait:
                self._keep_near()
        self._send([], [], waiting)

    def _keep_near(self) -> None:
        """Wait where the stages are far behind."""
        if self.told is not None and self.timeline.first is not None:
            tick = self.told - AHEAD_TICKS * self.plan.base_ms
            if tick >= self.timeline.first:
                self.watch().wait(tick, self.pace.patience_s, self.stop)

    def _batches(self, ticks: Iterator[Tick], clock: "_Clock") -> Iterator[list[Tick]]:
        batch: list[Tick] = []
        rows = 0
        for tick in ticks:
            if batch and (clock.wait_s() > 0 or rows >= BATCH_ROWS or len(batch) >= BATCH_TICKS):
                yield batch
                batch, rows = [], 0
            while (seconds := clock.wait_s()) > 0 and not self.stop.is_set():
                self.stop.wait(seconds)
            if self.stop.is_set():
                return
            clock.passed()
            batch.append(tick)
            rows += len(tick.rows)
        if batch:
            yield batch

    def _send(self, rows: Sequence[Row], own: Sequence[Tick], earlier: Sequence[Tick] = ()) -> None:
        """Write bars, what was refused, progress of earlier ticks, and then that of their own."""
        told = [[feed.progress_row(tick) for tick in ticks] for ticks in (earlier, own)]
        self.client.write(
            Writing(PRICE_1M_HISTORY, rows),
            Writing(PRICE_REJECTS, self._refused()),
            Writing(PROGRESS, told[0]),
            then=[Writing(PROGRESS, told[1])],
        )
        self.bars += sum(not row[-1] for row in rows)
        for tick in [*earlier, *own]:
            self.tick_count += 1
            self.told = tick.tick
        if self.told is not None and (earlier or own):
            self.read(0)

    def _refused(self) -> list[Row]:
        """Rows that were refused since this was last asked."""
        found = []
        for reader in self.readers:
            for reject in reader.rejects:
                self.codes[reject.code] += 1
                found.append(feed.reject_row(reject, self.plan.run_id))
            reader.rejects.clear()
        return found

    def replayed(self) -> Replayed:
        """What was done."""
        counts = InputCounts()
        for reader in self.readers:
            one = reader.counts
            firsts = [late for late in (counts.first_late, one.first_late) if late is not None]
            counts = InputCounts(
                *(mine + other for mine, other in zip(counts[:-1], one[:-1], strict=True)),
                min(firsts, default=None),
            )
        timeline = self.timeline
        return Replayed(
            self.bars,
            self.tick_count,
            timeline.before,
            timeline.first,
            self.told,
            counts,
            {code.value: self.codes[i] for i, code in enumerate(BAR_CODES) if self.codes[i]},
            self.stop.is_set(),
        )


class _Clock:
    """When the next tick is due: the first at once, then one every base bar by `speed`."""

    def __init__(self, base_ms: int, speed: float | None) -> None:
        self._step_s = 0.0 if speed is None else base_ms / 1000 / speed
        self._due: float | None = None

    def wait_s(self) -> float:
        """Seconds until the next tick is due; not above 0 where it is."""
        if self._due is None or not self._step_s:
            return 0.0
        return self._due - time.monotonic()

    def passed(self) -> None:
        """A tick was taken."""
        self._due = (time.monotonic() if self._due is None else self._due) + self._step_s
