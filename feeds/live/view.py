"""What a trader wants to see of a run while it goes on, gathered from its tables.

Histories are read from where the last refresh ended, latest tables as they are.
"""

from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from jobs.store import reading
from jobs.store.client import Client
from schemas.market import PRICE_1M_HISTORY
from schemas.ops import PROGRESS, PROGRESS_GAPS
from schemas.signals import (
    ACCEPTED_TRADE_SIGNAL_HISTORY,
    REJECTED_TRADE_SIGNAL_HISTORY,
    STRATEGY_SIGNAL_HISTORY,
)
from schemas.table import Table
from schemas.trading import OPEN_POSITIONS_ROLLUP, REALIZED_PNL_LATEST
from udfs import money
from udfs.plan import RunPlan
from udfs.sizing import rounded_close

NEWEST = 8  # decisions shown
HISTORIES = (
    PRICE_1M_HISTORY,
    PROGRESS,
    PROGRESS_GAPS,
    STRATEGY_SIGNAL_HISTORY,
    ACCEPTED_TRADE_SIGNAL_HISTORY,
    REJECTED_TRADE_SIGNAL_HISTORY,
)


@dataclass(frozen=True, slots=True)
class Position:
    """An open position at the last close, amounts in the quote currency."""

    account_id: str
    strategy_id: str
    symbol: str
    net_qty: Decimal
    avg_price: Decimal
    last_close: float
    unrealized: Decimal


@dataclass(slots=True)
class View:
    """Everything shown. `ticks` is the newest event time per stage, `closes` per symbol (ts,
    close), `realized` net of fees per account, `decisions` newest first.
    """

    bars: int = 0
    signals: int = 0
    accepted: int = 0
    gaps: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    ticks: dict[str, int] = field(default_factory=dict)
    closes: dict[str, tuple[int, float]] = field(default_factory=dict)
    decisions: deque[Mapping[str, Any]] = field(default_factory=lambda: deque(maxlen=NEWEST))
    positions: list[Position] = field(default_factory=list)
    realized: dict[str, Decimal] = field(default_factory=dict)


class Viewer:
    """Refreshes a view from a run's tables."""

    def __init__(self, client: Client, plan: RunPlan) -> None:
        self._client, self._plan = client, plan
        self._offsets: dict[str, int] = {}
        self.view = View()

    def refresh(self) -> View:
        """The view with all that came since."""
        fresh = {table.name: self._fresh(table) for table in HISTORIES}
        view = self.view
        for bar in fresh[PRICE_1M_HISTORY.name]:
            view.bars += 1
            if bar["ts"] >= view.closes.get(bar["symbol"], (0, 0.0))[0]:
                view.closes[bar["symbol"]] = (bar["ts"], bar["close"])
        for row in fresh[PROGRESS.name]:
            view.ticks[row["stage"]] = max(view.ticks.get(row["stage"], 0), row["ts"])
        view.signals += len(fresh[STRATEGY_SIGNAL_HISTORY.name])
        view.gaps += len(fresh[PROGRESS_GAPS.name])
        accepted = fresh[ACCEPTED_TRADE_SIGNAL_HISTORY.name]
        refused = fresh[REJECTED_TRADE_SIGNAL_HISTORY.name]
        view.accepted += len(accepted)
        view.refused.update(row["code"] for row in refused)
        for row in sorted([*accepted, *refused], key=lambda one: (one["ts"], one["seq"])):
            view.decisions.appendleft(row)
        view.positions = [self._position(row) for row in self._latest(OPEN_POSITIONS_ROLLUP)]
        view.realized = {}
        for row in self._latest(REALIZED_PNL_LATEST):
            account = row["account_id"]
            view.realized[account] = view.realized.get(account, Decimal(0)) + row["net_pnl"]
        return view

    def _fresh(self, table: Table) -> list[reading.Record]:
        after, rows = reading.since(self._client, table, self._offsets.get(table.name))
        self._offsets[table.name] = after
        return rows

    def _latest(self, table: Table) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = reading.read(self._client, table).to_pylist()
        return sorted(rows, key=lambda row: (row["account_id"], row["symbol"], row["strategy_id"]))

    def _position(self, row: Mapping[str, Any]) -> Position:
        close = self.view.closes.get(row["symbol"], (0, 0.0))[1]
        price = money.to_decimal(rounded_close(close, self._plan.symbol(row["symbol"])))
        return Position(
            row["account_id"],
            row["strategy_id"],
            row["symbol"],
            row["net_qty"],
            row["avg_price"],
            close,
            price * row["net_qty"] - row["open_cost"],
        )
