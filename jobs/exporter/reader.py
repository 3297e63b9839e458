"""Reads a run's tables into Facts: all that is there, then what comes, for ever.

Histories are read from their start; of progress and prices, which are long, only the end is, and
more of it until every symbol has a price. Latest tables are folded from their changes.
"""

import asyncio
import threading
import time
from functools import partial
from typing import Any, NamedTuple

import fluss

from jobs.exporter.facts import Facts
from jobs.store import reading
from jobs.store.client import Client, Session, Stopped
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

POLL_MS = 1000  # how long a table is asked for rows that are not there yet
# The store answers a request as soon as there is one row; a busy table would be asked all the time.
GATHER_S = 0.2
TURN_S = 0.3  # after which `follow` returns even if none came
LOOK_S = 1.0  # how often it looks whether the store still answers
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
        self._session: Session | None = None
        self._scanners: dict[Source, fluss.LogScanner] = {}
        self._polls: dict[Source, asyncio.Task[Any]] = {}
        self._looked = 0.0

    def catch_up(self) -> None:
        """Read what is there; waits for tables that are not made yet."""
        for source in SOURCES:
            while not self._stop.is_set():
                try:
                    self._client.call(partial(self._read, source), reading.READ_LIMIT_S)
                    break
                except ConfigError:
                    self._stop.wait(PAUSE_S)
        if self._stop.is_set():
            raise Stopped
        self.facts.is_live = True
        self.is_ready, self.read_at = True, time.time()

    def follow(self) -> None:
        """Take in what comes, for some hundred milliseconds."""
        self._client.call(self._poll)
        now = time.time()
        with self.lock:
            self.facts.release(int(now * 1000))
        self.read_at = now

    async def _read(self, source: Source, session: Session) -> None:
        """From where it was read to, up to its end."""
        table = source.table
        first, after = await session.offsets(table)
        start = max(first, after - TAIL_ROWS) if source.tail else first
        begun = self._positions.setdefault(table.name, start)
        await self._span(session, source, begun)
        if table is PRICE_1M_HISTORY and begun > first and self.facts.lacks_prices():
            end = self._positions[table.name]
            self._positions[table.name] = first
            await self._span(session, source, first)
            self._positions[table.name] = max(end, self._positions[table.name])

    async def _span(self, session: Session, source: Source, start: int) -> None:
        async for records in reading.batches(session, source.table, start, source.columns):
            self._take(source, records)

    async def _poll(self, session: Session) -> None:
        if session is not self._session:
            for task in self._polls.values():
                task.cancel()
            await asyncio.gather(*self._polls.values(), return_exceptions=True)
            self._polls.clear()
            self._scanners = {
                one: await reading.scanner_at(
                    session, one.table, self._positions[one.table.name], one.columns
                )
                for one in SOURCES
            }
            self._session = session
        for source, scanner in self._scanners.items():
            if source not in self._polls:
                self._polls[source] = asyncio.create_task(_rows(scanner))
        await asyncio.wait(
            self._polls.values(), timeout=TURN_S, return_when=asyncio.FIRST_COMPLETED
        )
        for source in [one for one in SOURCES if self._polls[one].done()]:
            self._take(source, self._polls.pop(source).result())
        if time.monotonic() - self._looked > LOOK_S:
            await session.offsets(PROGRESS)  # else an absent store would look like a quiet one
            self._looked = time.monotonic()

    def _take(self, source: Source, records: list[fluss.ScanRecord]) -> None:
        if not records:
            return
        with self.lock:
            for record in records:
                if record.change_type != fluss.ChangeType.UpdateBefore:
                    deleted = record.change_type == fluss.ChangeType.Delete
                    self.facts.take(source.table, record.row, deleted, record.timestamp)
            last = max(record.offset for record in records) + 1
            self._positions[source.table.name] = max(
                last, self._positions.get(source.table.name, 0)
            )


async def _rows(scanner: fluss.LogScanner) -> list[fluss.ScanRecord]:
    await asyncio.sleep(GATHER_S)
    return list(await scanner.poll(POLL_MS))
