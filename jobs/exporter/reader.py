"""Reads a run's tables into Facts: all that is there, then what comes, for ever.

Histories are read from their start; of progress and prices, which are long, only the end is, and
more of it until every symbol has a price. Latest tables are folded from their changes.
"""

import threading
import time
from typing import NamedTuple

from jobs.exporter.facts import Facts
from jobs.store.client import Client, Entry, Follower, Stopped
from jobs.store.client import Source as Followed
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
    OPEN_POSITIONS_ROLLUP,
    PAPER_TRADE_MATCH_HISTORY,
    REALIZED_PNL_LATEST,
    TRADE_MATCH_HISTORY,
)
from udfs.errors import ConfigError

# The store answers a request as soon as there is one row; a busy table would be asked all the time.
GATHER_S = 0.2
TAIL_ROWS = 50_000
PAUSE_S = 1.0


class Source(NamedTuple):
    """A table to follow, and the columns that are asked for. `tail`: from near its end on."""

    table: Table
    columns: tuple[str, ...]
    tail: bool = False


GATE = ("account_id", "seq", "open_symbols", "reserved_symbols")
SOURCES = (
    # Progress first: a bar that the engine has covered waits for nobody.
    Source(PROGRESS, ("stage", "instance", "ts"), tail=True),
    Source(PRICE_1M_HISTORY, ("symbol", "ts", "close", "late"), tail=True),
    Source(
        OPEN_POSITIONS_ROLLUP,
        (
            *OPEN_POSITIONS_ROLLUP.key,
            *("net_qty", "avg_price", "open_cost", "open_fees", "updated_ts"),
        ),
    ),
    Source(REALIZED_PNL_LATEST, (*REALIZED_PNL_LATEST.key, "realized_pnl", "net_pnl")),
    Source(ACCEPTED_TRADE_SIGNAL_HISTORY, (*GATE, "reason")),
    Source(REJECTED_TRADE_SIGNAL_HISTORY, (*GATE, "code")),
    Source(STRATEGY_SIGNAL_HISTORY, ("strategy_id",)),
    Source(TRADE_MATCH_HISTORY, ("match_id",)),
    Source(PAPER_TRADE_MATCH_HISTORY, ("match_id",)),
    Source(DUPLICATE_FILL_HISTORY, ("fill_id",)),
    Source(PROGRESS_GAPS, ("stage",)),
    Source(REJECTS, ("source_table", "code")),
    Source(PRICE_REJECTS, ("code",)),
)


class Reader:
    """Keeps the facts; `read_at` says when they were last as the store has them.

    Facts are changed under `lock`, by one thread.
    """

    def __init__(self, client: Client, facts: Facts, stop: threading.Event) -> None:
        self.facts, self.lock = facts, threading.Lock()
        self.is_ready = False
        self.read_at: float | None = None  # time.time() of the last answer, once it is ready
        self._client, self._stop = client, stop
        self._positions: dict[str, int] = {}
        self._follower: Follower | None = None

    def catch_up(self) -> None:
        """Read what is there; waits for tables that are not made yet."""
        for source in SOURCES:
            while not self._stop.is_set():
                try:
                    self._read(source)
                    break
                except ConfigError:
                    self._stop.wait(PAUSE_S)
        if self._stop.is_set():
            raise Stopped
        self.facts.is_live = True
        self.is_ready, self.read_at = True, time.time()

    def follow(self) -> None:
        """Take in what comes, for some hundred milliseconds."""
        if self._follower is None:
            sources = [
                Followed(one.table, self._positions[one.table.name], one.columns) for one in SOURCES
            ]
            self._follower = self._client.follow(sources, GATHER_S)
        for table, entries in self._follower.poll():
            self._take(table, entries)
        now = time.time()
        with self.lock:
            self.facts.release(int(now * 1000))
        self.read_at = now

    def _read(self, source: Source) -> None:
        """From where it was read to, up to its end."""
        table = source.table
        first, after = self._client.offsets(table)
        start = max(first, after - TAIL_ROWS) if source.tail else first
        begun = self._positions.setdefault(table.name, start)
        self._span(source, begun)
        if table is PRICE_1M_HISTORY and begun > first and self.facts.lacks_prices():
            end = self._positions[table.name]
            self._positions[table.name] = first
            self._span(source, first)
            self._positions[table.name] = max(end, self._positions[table.name])

    def _span(self, source: Source, start: int) -> None:
        followed = Followed(source.table, start, source.columns)
        self._client.each(followed, lambda entries: self._take(source.table, entries))

    def _take(self, table: Table, entries: list[Entry]) -> None:
        if not entries:
            return
        with self.lock:
            for entry in entries:
                self.facts.take(table, entry.row, entry.deleted, entry.ts)
            last = entries[-1].offset + 1
            self._positions[table.name] = max(last, self._positions.get(table.name, 0))
