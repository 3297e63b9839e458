"""The trading engine live: exec reports → position changes, matches, lots, rollup, realized PnL.

Reads exec_report_history and the paper broker's progress. Key: account, strategy, symbol. State:
the key's book (udfs/state.py) and, in the memory beside it, the fills that it knows: (order_id,
fill_id) → ts, kept for twice `dedupe.ttlDays` of event time behind the newest fill.
"""

import json
from collections.abc import Mapping
from functools import partial
from typing import NamedTuple

from jobs import positions
from jobs.live.stage import INSTANCE, Arrived, Bundle, Input, Memory, Row, Stage, Upstream, Worked
from jobs.positions import Book
from schemas.codec import Values, encode, key_values
from schemas.ops import REJECTS
from schemas.trading import (
    EXEC_REPORT_HISTORY,
    OPEN_POSITIONS_LOTS,
    OPEN_POSITIONS_ROLLUP,
    PAPER_TRADE_MATCH_HISTORY,
    POSITION_CHANGE_HISTORY,
    REALIZED_PNL_LATEST,
    TRADE_MATCH_HISTORY,
)
from udfs import engine
from udfs.engine import EngineState, Verdict
from udfs.ids import SEPARATOR
from udfs.lots import lot_id
from udfs.plan import RunPlan
from udfs.reports import REPORT_COLUMNS, BadReport, Report, read_report, row_id, whole_number
from udfs.rows import SIDE_TEXT, Fill, PositionChange, ReportCode, fill_order
from udfs.state import dump, load_engine

NAME = "engine"
OUTPUTS = (
    POSITION_CHANGE_HISTORY,
    TRADE_MATCH_HISTORY,
    PAPER_TRADE_MATCH_HISTORY,
    OPEN_POSITIONS_LOTS,
    OPEN_POSITIONS_ROLLUP,
    REALIZED_PNL_LATEST,
    REJECTS,
)
CHANGES, MATCHES, PAPER_MATCHES, LOTS, ROLLUP, REALIZED, REFUSED = range(7)
BROKER = ("broker", INSTANCE)
PAPER_LIVE, LIVE = "PAPER_LIVE", "LIVE"


class Key(NamedTuple):
    """Whose book it is, and what the book must know."""

    account_id: str
    strategy_id: str
    symbol: str
    quote: str
    is_paper: bool


class Settings(NamedTuple):
    """What all keys share. `paper` are the accounts of the paper broker."""

    run_id: str
    ttl_ms: int
    full: bool
    paper: frozenset[str]
    quotes: Mapping[str, str]


def stage(plan: RunPlan, patience_ms: int | None) -> Stage:
    """The stage of the plan's accounts."""
    settings = Settings(
        plan.run_id,
        plan.dedupe_ttl_ms,
        plan.full_output,
        frozenset(one.account_id for one in plan.accounts if one.broker == "paper"),
        {symbol.symbol: symbol.quote for symbol in plan.symbols},
    )
    return Stage(
        name=NAME,
        inputs=(
            Input(
                table=EXEC_REPORT_HISTORY,
                columns=REPORT_COLUMNS,
                ts="ts",
                lag_ms=0,
                instance=lambda values: BROKER if values[0] in settings.paper else None,
                keys=keys,
            ),
        ),
        upstreams=(Upstream(*BROKER),),
        outputs=OUTPUTS,
        instances=(INSTANCE,),
        base_ms=plan.base_ms,
        patience_ms=patience_ms,
        wake=lambda tick: [],
        work=partial(work, settings),
    )


def keys(values: Values) -> list[str]:
    """Account, strategy and symbol of a report."""
    report = dict(zip(REPORT_COLUMNS, values, strict=True))
    return [SEPARATOR.join(str(report[n] or "") for n in ("account_id", "strategy_id", "symbol"))]


def work(
    settings: Settings, name: str, state: bytes | None, memory: Memory, bundle: Bundle
) -> Worked:
    """What one book makes of the fills of a tick."""
    account, strategy, symbol = name.split(SEPARATOR)
    is_paper = account in settings.paper
    key = Key(account, strategy, symbol, settings.quotes.get(symbol, symbol[-3:]), is_paper)
    before = load_engine(state) if state else engine.EMPTY
    book, out = before, []
    fills, refused = read(settings, key, bundle.rows)
    out += refused
    for fill in sorted(fills, key=fill_order):
        known_ts = memory.get(pair(fill))
        found = engine.verdict(book, fill, known_ts, settings.ttl_ms)
        if found is Verdict.STALE:
            out.append(stale_row(settings, fill))
        if found is not Verdict.APPLY:
            continue
        memory[pair(fill)] = fill.ts
        forget(memory, book.newest_ts, fill.ts, settings.ttl_ms)
        book, booked = engine.apply(book, fill, key.quote)
        out.append(change_row(settings, booked.change, key.is_paper))
        tag = PAPER_LIVE if is_paper else LIVE
        table = PAPER_MATCHES if is_paper else MATCHES
        for match in booked.matches:
            row = positions.match_row(match, settings.run_id, tag)
            out.append(Row(table, encode(OUTPUTS[table], row)))
    if book is before:
        return Worked(state, out)
    if settings.full:
        out += latest_rows(settings, key, before, book)
    return Worked(dump(book), out)


def read(settings: Settings, key: Key, rows: tuple[Arrived, ...]) -> tuple[list[Fill], list[Row]]:
    """Reports as fills, and those that fail a check as rows of rejects."""
    fills: list[Fill] = []
    refused: list[Row] = []
    for row in rows:
        report = {
            name: None if value is None else str(value)
            for name, value in zip(REPORT_COLUMNS, row.values, strict=True)
        }
        found = read_report(report, key.quote)
        if isinstance(found, BadReport):
            refused.append(reject_row(settings, report, found))
        else:
            fills.append(found)
    return fills, refused


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
        "fill_qty": positions.plain_text(fill.qty),
        "fill_price": positions.plain_text(fill.price),
        "fee": positions.plain_text(fill.fee),
    }
    report = {name: str(values[name]) for name in REPORT_COLUMNS}
    days = settings.ttl_ms / 86_400_000
    detail = f"ts {fill.ts} lies more than {days:g} days behind the newest fill of its book"
    return reject_row(settings, report, BadReport(ReportCode.STALE_FILL, detail))


def pair(fill: Fill) -> str:
    """What a fill is known by within its book."""
    return f"{fill.order_id}{SEPARATOR}{fill.fill_id}"


def forget(memory: Memory, before_ts: int | None, ts: int, ttl_ms: int) -> None:
    """Once per `ttl_ms` of event time: drop pairs that no verdict asks for any more."""
    newest = max(ts, ts if before_ts is None else before_ts)
    if before_ts is None or newest // ttl_ms == before_ts // ttl_ms:
        return
    for name in [name for name, known_ts in memory.items() if newest - known_ts > 2 * ttl_ms]:
        del memory[name]


def change_row(settings: Settings, change: PositionChange, is_paper: bool) -> Row:
    """An applied fill as a row of position_change_history; the gate waits for paper accounts'."""
    row = {
        **change._asdict(),
        "side": SIDE_TEXT[change.side],
        "fill_qty": change.qty,
        "net_qty_before": change.net_before,
        "net_qty_after": change.net_after,
        "late": False,
        "run_id": settings.run_id,
    }
    counted = INSTANCE if is_paper else None
    return Row(CHANGES, encode(POSITION_CHANGE_HISTORY, row), counted)


def latest_rows(settings: Settings, key: Key, before: EngineState, after: EngineState) -> list[Row]:
    """Rows of the latest tables that changed: lots and rollup, which may end, and realized PnL."""
    book = Book(key.account_id, key.strategy_id, key.symbol, key.quote, after)
    name = {"account_id": key.account_id, "strategy_id": key.strategy_id, "symbol": key.symbol}
    out: list[Row] = []
    known = set(before.lots)
    left = {(lot.order_id, lot.fill_id) for lot in after.lots}
    for lot in before.lots:
        if (lot.order_id, lot.fill_id) not in left:
            ended = {**name, "lot_id": lot_id(*key[:3], lot)}
            out.append(Row(LOTS, key_values(OPEN_POSITIONS_LOTS, ended), None, True))
    changed = book._replace(
        state=after._replace(lots=tuple(lot for lot in after.lots if lot not in known))
    )
    for row in positions.lot_rows([changed], settings.run_id):
        out.append(Row(LOTS, encode(OPEN_POSITIONS_LOTS, row)))
    rollups = positions.rollup_rows([book], settings.run_id)
    out += [Row(ROLLUP, encode(OPEN_POSITIONS_ROLLUP, row)) for row in rollups]
    if not rollups and before.net_qty:
        out.append(Row(ROLLUP, key_values(OPEN_POSITIONS_ROLLUP, name), None, True))
    if after.matches != before.matches:
        for row in positions.realized_rows([book], settings.run_id):
            out.append(Row(REALIZED, encode(REALIZED_PNL_LATEST, row)))
    return out
