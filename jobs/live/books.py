"""Rows that the live engine writes: what a fill did to a book, and what is refused."""

import json
from collections.abc import Iterable, Mapping, MutableMapping, Sequence
from typing import NamedTuple

from jobs import positions
from jobs.live.stage import Row
from jobs.positions import Book
from schemas.codec import encode, key_values
from schemas.ops import REJECTS
from schemas.trading import (
    DUPLICATE_FILL_HISTORY,
    EXEC_REPORT_HISTORY,
    OPEN_POSITIONS_LOTS,
    OPEN_POSITIONS_ROLLUP,
    PAPER_TRADE_MATCH_HISTORY,
    POSITION_CHANGE_HISTORY,
    REALIZED_PNL_LATEST,
    TRADE_MATCH_HISTORY,
)
from udfs.engine import EngineState
from udfs.ids import SEPARATOR
from udfs.lots import Lot, lot_id
from udfs.money import fitting, plain_text
from udfs.reports import REPORT_COLUMNS, BadReport, Report, row_id, whole_number
from udfs.rows import SIDE_TEXT, Fill, Match, PositionChange, ReportCode
from udfs.timeframes import DAY_MS

OUTPUTS = (
    POSITION_CHANGE_HISTORY,
    TRADE_MATCH_HISTORY,
    PAPER_TRADE_MATCH_HISTORY,
    OPEN_POSITIONS_LOTS,
    OPEN_POSITIONS_ROLLUP,
    REALIZED_PNL_LATEST,
    REJECTS,
    DUPLICATE_FILL_HISTORY,
)
CHANGES, MATCHES, PAPER_MATCHES, LOTS, ROLLUP, REALIZED, REFUSED, DUPLICATES = range(8)
PAPER_LIVE, LIVE = "PAPER_LIVE", "LIVE"


class Key(NamedTuple):
    """Whose book it is, and what the book must know."""

    account_id: str
    strategy_id: str
    symbol: str
    quote: str
    is_paper: bool


class Settings(NamedTuple):
    """What all keys share. `patience_ms` is that with fills from outside."""

    run_id: str
    ttl_ms: int
    full: bool
    patience_ms: int
    quotes: Mapping[str, str]

    def quote(self, symbol: str) -> str:
        """The symbol's quote currency."""
        return self.quotes.get(symbol, symbol[-3:])


def reject_row(settings: Settings, report: Report, bad: BadReport) -> Row:
    """A report that fails a check as a row of rejects."""
    row = {
        "source_table": EXEC_REPORT_HISTORY.name,
        "row_id": row_id(report),
        "code": bad.code.value,
        "detail": bad.detail,
        "row_json": json.dumps(dict(report), ensure_ascii=False),
        "ts": whole_number(report.get("ts")),
        "run_id": settings.run_id,
    }
    return Row(REFUSED, encode(REJECTS, row))


def stale_row(settings: Settings, fill: Fill) -> Row:
    """A fill that can't be told from a copy any more as a row of rejects."""
    values = {
        **fill._asdict(),
        "side": SIDE_TEXT[fill.side],
        "fill_qty": plain_text(fill.qty),
        "fill_price": plain_text(fill.price),
        "fee": plain_text(fill.fee),
    }
    report = {name: str(values[name]) for name in REPORT_COLUMNS}
    days = settings.ttl_ms / DAY_MS
    detail = f"ts {fill.ts} lies more than {days:g} days behind the newest fill of its book"
    return reject_row(settings, report, BadReport(ReportCode.STALE_FILL, detail))


def duplicate_row(settings: Settings, fill: Fill) -> Row:
    """A fill that its book knows already."""
    row = {**fill._asdict(), "run_id": settings.run_id}
    return Row(DUPLICATES, encode(DUPLICATE_FILL_HISTORY, row))


def pair(fill: Fill) -> str:
    """What a fill is known by within its book."""
    return f"{fill.order_id}{SEPARATOR}{fill.fill_id}"


def forget(
    facts: MutableMapping[str, str], before_ts: int | None, ts: int, ttl_ms: int, prefix: str = ""
) -> None:
    """Once per `ttl_ms` of event time: drop pairs that no verdict asks for any more."""
    if before_ts is None or ts <= before_ts or ts // ttl_ms == before_ts // ttl_ms:
        return
    old = [
        name
        for name, known in facts.items()
        if name.startswith(prefix) and ts - int(known) > 2 * ttl_ms
    ]
    for name in old:
        del facts[name]


def change_row(settings: Settings, change: PositionChange, counted: str | None, late: bool) -> Row:
    """An applied fill as a row of position_change_history; the gate waits for paper accounts'."""
    row = {
        **change._asdict(),
        "side": SIDE_TEXT[change.side],
        "fill_qty": change.qty,
        "net_qty_before": change.net_before,
        "net_qty_after": change.net_after,
        "late": late,
        "run_id": settings.run_id,
    }
    return Row(CHANGES, encode(POSITION_CHANGE_HISTORY, row), counted)


def match_rows(settings: Settings, key: Key, matches: Sequence[Match]) -> list[Row]:
    """Matches as rows."""
    table = PAPER_MATCHES if key.is_paper else MATCHES
    tag = PAPER_LIVE if key.is_paper else LIVE
    rows = (positions.match_row(match, settings.run_id, tag, fitting) for match in matches)
    return [Row(table, encode(OUTPUTS[table], row)) for row in rows]


def latest_rows(
    settings: Settings,
    key: Key,
    before: EngineState,
    after: EngineState,
    ended: Iterable[Lot],
) -> list[Row]:
    """Rows of the latest tables that changed: lots and rollup, which may end, and realized PnL.

    What has ended is deleted, also where it had begun since `before`: a bundle that is worked once
    more, after a restart, may be longer, and its first part is in the tables. No rows where the run
    does not write them.
    """
    if not settings.full or before is after:
        return []
    book = Book(key.account_id, key.strategy_id, key.symbol, key.quote, after)
    name = {"account_id": key.account_id, "strategy_id": key.strategy_id, "symbol": key.symbol}
    out: list[Row] = []
    known = set(before.lots)
    for lot in ended:
        gone = {**name, "lot_id": lot_id(*key[:3], lot)}
        out.append(Row(LOTS, key_values(OPEN_POSITIONS_LOTS, gone), None, True))
    changed = book._replace(
        state=after._replace(lots=tuple(lot for lot in after.lots if lot not in known))
    )
    for row in positions.lot_rows([changed], settings.run_id, fitting):
        out.append(Row(LOTS, encode(OPEN_POSITIONS_LOTS, row)))
    rollups = positions.rollup_rows([book], settings.run_id, fitting)
    out += [Row(ROLLUP, encode(OPEN_POSITIONS_ROLLUP, row)) for row in rollups]
    if not rollups:
        out.append(Row(ROLLUP, key_values(OPEN_POSITIONS_ROLLUP, name), None, True))
    if after.matches != before.matches:
        for row in positions.realized_rows([book], settings.run_id, fitting):
            out.append(Row(REALIZED, encode(REALIZED_PNL_LATEST, row)))
    return out
