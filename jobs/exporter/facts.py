"""What the store says of a run, folded row by row: all that metrics and alerts are made of.

Rows come in the order of each table's log and from its start, so counters are counts of rows and
survive the process. Amounts are in units (udfs/money.py), times in epoch ms. `came_ms` is the
store's clock when a row was written.
"""

from collections import Counter, OrderedDict, deque
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from prometheus_client import Histogram

from jobs.exporter.money import Books, Money, Place, reckon
from jobs.live.job_names import JOBS
from jobs.live.prices import FEED
from jobs.live.stage import INSTANCE
from schemas.market import PRICE_1M_HISTORY, PRICE_REJECTS
from schemas.ops import PROGRESS, PROGRESS_GAPS, REJECTS
from schemas.signals import (
    ACCEPTED_TRADE_SIGNAL_HISTORY,
    REJECTED_TRADE_SIGNAL_HISTORY,
    STRATEGY_SIGNAL_HISTORY,
)
from schemas.table import Table
from schemas.trading import (
    DUPLICATE_FILL_HISTORY,
    EXEC_REPORT_HISTORY,
    OPEN_POSITIONS_ROLLUP,
    PAPER_TRADE_MATCH_HISTORY,
    REALIZED_PNL_LATEST,
    TRADE_MATCH_HISTORY,
)
from udfs import monitoring
from udfs.bar_checks import BAR_CODES
from udfs.money import units
from udfs.monitoring import Position, SymbolState
from udfs.plan import NO_CAP, RunPlan
from udfs.rows import Code, FeedCode, ReportCode
from udfs.sizing import rounded_close

ENGINE = ("engine", INSTANCE)
STAGES = tuple(JOBS.values())
REFUSALS = tuple(code.value for code in Code if code is not Code.OK)
TICKS_KEPT = 100_000  # ticks of the feed whose arrival is remembered
BUCKETS_S = (0.01, 0.025, 0.05, 0.1, 0.15, 0.25, 0.5, 0.7, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 300.0)

Row = Mapping[str, Any]


class Decision(NamedTuple):
    """An account's last decision: its number, and symbols open and reserved before it."""

    seq: int
    open: int
    reserved: int


class Waiting(NamedTuple):
    """A bar that the engine has not covered: its close and that time, and when it came."""

    close: int
    close_ts: int
    came_ms: int


class Facts:
    """See the module; `take` folds a row in, `release` lets time pass, the rest reads.

    A close marks positions once the engine has covered it, as in the monitoring job, or after
    `patience_ms` by the clock (None: never): else it would meet positions of another time.
    """

    def __init__(self, plan: RunPlan, patience_ms: int | None) -> None:
        self.plan, self._patience_ms = plan, patience_ms
        self._symbols = {one.symbol: one for one in plan.symbols}
        self.prices: dict[str, SymbolState] = dict.fromkeys(self._symbols, monitoring.EMPTY)
        self._open_fees: dict[Place, int] = {}
        self._realized_by: dict[Place, tuple[int, int]] = {}
        self._money: Money | None = None  # None: something of it has changed
        accounts = [one.account_id for one in plan.accounts]
        self.accepted = Counter({(one, Code.OK.value): 0 for one in accounts})
        self.refused = Counter({(one, code): 0 for one in accounts for code in REFUSALS})
        self.signals = Counter({one.strategy_id: 0 for one in plan.strategies})
        self.gaps = Counter(dict.fromkeys(STAGES, 0))
        self.rejects = Counter(
            {(PRICE_1M_HISTORY.name, code.value): 0 for code in BAR_CODES}
            | {(PRICE_1M_HISTORY.name, FeedCode.BAD_LINE.value): 0}
            | {(EXEC_REPORT_HISTORY.name, code.value): 0 for code in (*ReportCode, *FeedCode)}
        )
        self.matches = 0
        self.duplicates = 0
        capped = [one for one in plan.accounts if one.max_open_positions != NO_CAP]
        self.gate = {one.account_id: Decision(-1, 0, 0) for one in capped}
        self.ticks: dict[tuple[str, str], int] = {}
        self.feed_ms: int | None = None
        self.last_bar: dict[str, int] = {}  # close time of each symbol's newest bar
        self._waiting: dict[str, deque[Waiting]] = {name: deque() for name in self._symbols}
        self._held: dict[str, deque[Waiting]] = {name: deque() for name in self._symbols}
        self._fed: OrderedDict[int, int] = OrderedDict()
        # Latency begins with the process: what it reads at its start would look like a burst.
        self.is_live = False
        self.latency = Histogram(
            "stage_latency_seconds",
            "From the feed's progress of a tick to the stage's, by the store's clock",
            ["stage"],
            buckets=BUCKETS_S,
            registry=None,
        )
        self._takers: dict[str, Callable[[Row, bool, int], None]] = {
            PROGRESS.name: self._progress,
            PRICE_1M_HISTORY.name: self._bar,
            OPEN_POSITIONS_ROLLUP.name: self._position,
            REALIZED_PNL_LATEST.name: self._realized,
            ACCEPTED_TRADE_SIGNAL_HISTORY.name: self._accepted,
            REJECTED_TRADE_SIGNAL_HISTORY.name: self._refused,
            STRATEGY_SIGNAL_HISTORY.name: self._signal,
            TRADE_MATCH_HISTORY.name: self._match,
            PAPER_TRADE_MATCH_HISTORY.name: self._match,
            DUPLICATE_FILL_HISTORY.name: self._duplicate,
            PROGRESS_GAPS.name: self._gap,
            REJECTS.name: self._reject,
            PRICE_REJECTS.name: self._price_reject,
        }

    def take(self, table: Table, row: Row, deleted: bool, came_ms: int) -> None:
        """A row that was written to one of the tables, or deleted from it."""
        self._takers[table.name](row, deleted, came_ms)

    def _progress(self, row: Row, deleted: bool, came_ms: int) -> None:
        name, tick = (row["stage"], row["instance"]), row["ts"]
        self.ticks[name] = max(tick, self.ticks.get(name, tick))
        if name == FEED:
            if tick == self.ticks[name]:
                self.feed_ms = came_ms
            self._fed[tick] = came_ms
            if len(self._fed) > TICKS_KEPT:
                self._fed.popitem(last=False)
            return
        if tick in self._fed and self.is_live:
            waited_ms = max(0, came_ms - self._fed[tick])
            self.latency.labels(name[0]).observe(waited_ms / 1000)
        if name == ENGINE:
            for symbol, queue in self._waiting.items():
                while queue and queue[0].close_ts <= tick:
                    queue.popleft()
                self._mark(symbol, lambda bar: bar.close_ts <= tick)

    def _bar(self, row: Row, deleted: bool, came_ms: int) -> None:
        symbol = self._symbols.get(row["symbol"])
        if symbol is None or row["late"]:
            return
        name, close_ts = symbol.symbol, row["ts"] + self.plan.base_ms
        if close_ts <= self.last_bar.get(name, 0):
            return
        self.last_bar[name] = close_ts
        bar = Waiting(rounded_close(row["close"], symbol), close_ts, came_ms)
        self._held[name].append(bar)
        covered = self.ticks.get(ENGINE, 0) if self.plan.has_paper else close_ts
        if close_ts > covered:
            self._waiting[name].append(bar)
        else:
            self._mark(name, lambda one: True)

    def release(self, now_ms: int) -> None:
        """Closes that have waited long enough mark positions as they are."""
        if self._patience_ms is not None:
            until = now_ms - self._patience_ms
            for name, held in self._held.items():
                if held:
                    self._mark(name, lambda bar: bar.came_ms <= until)

    def _mark(self, name: str, is_due: Callable[[Waiting], bool]) -> None:
        """The last of the closes that are due is the symbol's."""
        held, bar = self._held[name], None
        while held and is_due(held[0]):
            bar = held.popleft()
        if bar is not None:
            state, self._money = self.prices[name], None
            self.prices[name] = state._replace(close=bar.close, close_ts=bar.close_ts)

    def _position(self, row: Row, deleted: bool, came_ms: int) -> None:
        account, strategy, symbol = place = _place(row)
        if symbol not in self.prices:
            return
        found, self._money = None, None
        self._open_fees.pop(place, None)
        if not deleted:
            found = Position(
                units(row["net_qty"]),
                units(row["avg_price"]),
                units(row["open_cost"]),
                row["updated_ts"],
            )
            self._open_fees[place] = units(row["open_fees"])
        state = self.prices[symbol]
        self.prices[symbol], _ = monitoring.on_position(state, (account, strategy), found)

    def _realized(self, row: Row, deleted: bool, came_ms: int) -> None:
        self._money = None
        if deleted:
            self._realized_by.pop(_place(row), None)
        else:
            self._realized_by[_place(row)] = (units(row["realized_pnl"]), units(row["net_pnl"]))

    def _accepted(self, row: Row, deleted: bool, came_ms: int) -> None:
        self.accepted[row["account_id"], row["reason"]] += 1
        self._decided(row)

    def _refused(self, row: Row, deleted: bool, came_ms: int) -> None:
        self.refused[row["account_id"], row["code"]] += 1
        self._decided(row)

    def _decided(self, row: Row) -> None:
        last = self.gate.get(row["account_id"])
        if last is not None and row["seq"] > last.seq:
            found = Decision(row["seq"], row["open_symbols"] or 0, row["reserved_symbols"] or 0)
            self.gate[row["account_id"]] = found

    def _signal(self, row: Row, deleted: bool, came_ms: int) -> None:
        self.signals[row["strategy_id"]] += 1

    def _match(self, row: Row, deleted: bool, came_ms: int) -> None:
        self.matches += 1

    def _duplicate(self, row: Row, deleted: bool, came_ms: int) -> None:
        self.duplicates += 1

    def _gap(self, row: Row, deleted: bool, came_ms: int) -> None:
        self.gaps[row["stage"]] += 1

    def _reject(self, row: Row, deleted: bool, came_ms: int) -> None:
        if row["source_table"] != REJECTS.name:  # else: what a person decided about one
            self.rejects[row["source_table"], row["code"]] += 1

    def _price_reject(self, row: Row, deleted: bool, came_ms: int) -> None:
        self.rejects[PRICE_1M_HISTORY.name, row["code"]] += 1

    def lacks_prices(self) -> bool:
        """Whether a symbol has had no bar yet."""
        return len(self.last_bar) < len(self._symbols)

    def engine_lag_ms(self) -> int:
        """How far the engine is behind the newest bar in event time; 0 without a paper broker."""
        newest = max(self.last_bar.values(), default=0)
        return max(0, newest - self.ticks.get(ENGINE, newest)) if self.plan.has_paper else 0

    @property
    def feed_tick(self) -> int | None:
        """The newest event time that the feed has told."""
        return self.ticks.get(FEED)

    def money(self) -> Money:
        """What it adds up to, worked out once after each change."""
        if self._money is None:
            books = Books(self.prices, self._open_fees, self._realized_by)
            self._money = reckon(self.plan, books)
        return self._money

    def waits_since(self) -> dict[str, int | None]:
        """When each symbol's oldest bar came that the engine has not covered; None: none waits."""
        return {name: queue[0].came_ms if queue else None for name, queue in self._waiting.items()}

    def bar_delay_ms(self) -> dict[str, int]:
        """How far each symbol's last bar is behind the feed's newest progress."""
        tick = self.feed_tick
        if tick is None:
            return {}
        return {name: max(0, tick - close_ts) for name, close_ts in self.last_bar.items()}

    def lag_ms(self) -> dict[str, int]:
        """How far each stage is behind the feed in event time: its slowest instance."""
        newest = self.feed_tick
        found: dict[str, int] = {}
        for (stage, _), tick in self.ticks.items():
            if newest is not None and stage != FEED[0]:
                found[stage] = max(found.get(stage, 0), newest - tick)
        return found


def _place(row: Row) -> Place:
    return row["account_id"], row["strategy_id"], row["symbol"]
