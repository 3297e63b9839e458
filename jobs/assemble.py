"""The last stage of a bounded run: what symbols and groups say, put together as tables in order."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from jobs import columns, positions, trace
from jobs.equity import EquityLine, equity_lines, equity_table
from jobs.group_stage import Columns, GroupOut
from jobs.merge import joined, key_columns
from jobs.positions import Book
from jobs.sources import COLUMNS
from jobs.summary import summarise
from jobs.symbol_stage import InputCounts, SymbolOut
from schemas import trading
from udfs import bulk_ids, wide
from udfs.account_fold import CODES
from udfs.bar_checks import BAR_CODES
from udfs.errors import ConfigError
from udfs.plan import RunPlan
from udfs.rows import Code
from udfs.sizing import rounded_close


class Assembled(NamedTuple):
    """A run's tables by name (rows in order), what the manifest counts, and its summary."""

    tables: dict[str, pa.Table]
    counts: dict[str, Any]
    summary: list[dict[str, Any]]


def assemble(plan: RunPlan, symbols: Sequence[SymbolOut], groups: Sequence[GroupOut]) -> Assembled:
    """Tables, counts and summary of a run; the order in which its parts come does not matter.

    ConfigError where a sum does not fit its column.
    """
    try:
        return _assemble(plan, symbols, groups)
    except OverflowError as error:
        raise ConfigError(f"{error}: it holds 20 digits before the point") from None


def _assemble(plan: RunPlan, symbols: Sequence[SymbolOut], groups: Sequence[GroupOut]) -> Assembled:
    groups = sorted(groups, key=lambda group: group.account)
    lines = equity_lines(plan, groups)
    matches = joined(plan, groups, "matches", "match_ts") if groups else None
    tables = {
        "trade_match_history": match_table(plan, matches),
        "equity_daily": equity_table(plan, lines),
    }
    tables.update(state_tables(plan, groups, last_closes(plan, symbols)))
    if plan.trace:
        tables.update(trace.tables(plan, symbols, groups))
    summary = _summary(plan, symbols, groups, lines, matches)
    counts = manifest_counts(plan, symbols, groups)
    counts["unfilled"] = bulk_ids.texts(unfilled_columns(plan, groups)["order_id"])
    return Assembled(tables, counts, summary)


def state_tables(
    plan: RunPlan, groups: Sequence[GroupOut], last: dict[str, tuple[int, int]]
) -> dict[str, pa.Table]:
    """What is told of positions at the end; `last` as `last_closes` gives it."""
    books = _books(plan, groups)
    tables = {}
    snapshot = positions.snapshot_rows(books, plan.run_id, last)
    if snapshot:
        tables["unrealized_snapshot"] = columns.rows_table(trading.UNREALIZED_SNAPSHOT, snapshot)
    if plan.full_output or plan.trace:
        tables["open_positions_lots"] = columns.rows_table(
            trading.OPEN_POSITIONS_LOTS, positions.lot_rows(books, plan.run_id)
        )
        tables["open_positions_rollup"] = columns.rows_table(
            trading.OPEN_POSITIONS_ROLLUP, positions.rollup_rows(books, plan.run_id)
        )
        tables["realized_pnl_latest"] = columns.rows_table(
            trading.REALIZED_PNL_LATEST, positions.realized_rows(books, plan.run_id)
        )
    return tables


def _books(plan: RunPlan, groups: Sequence[GroupOut]) -> list[Book]:
    """The engine's keys of all groups."""
    found = []
    for group in groups:
        for strategy, symbol, state in group.states:
            found.append(
                Book(
                    plan.accounts[group.account].account_id,
                    plan.strategies[strategy].strategy_id,
                    plan.symbols[symbol].symbol,
                    plan.symbols[symbol].quote,
                    state,
                )
            )
    return found


def last_closes(plan: RunPlan, symbols: Sequence[SymbolOut]) -> dict[str, tuple[int, int]]:
    """Each symbol's last close, rounded, in units, and its time."""
    return {
        out.symbol: (
            rounded_close(out.closes.last_close, plan.symbol(out.symbol)),
            out.closes.last_close_ts,
        )
        for out in symbols
        if out.closes is not None
    }


def match_table(plan: RunPlan, merged: Columns | None) -> pa.Table:
    """trade_match_history in order of (match_ts, account, strategy, symbol, index)."""
    if merged is None:
        return columns.rows_table(trading.TRADE_MATCH_HISTORY, [])
    rows = len(merged["match_ts"])
    net = wide.negated(merged["fees"])
    wide.add_rows(net, merged["realized_pnl"])
    built = key_columns(plan, merged)
    for name in ("match_id", "buy_order_id", "sell_order_id"):
        built[name] = columns.ids(merged[name])
    for name in ("matched_qty", "buy_price", "sell_price", "realized_pnl", "fees"):
        built[name] = columns.decimals(merged[name])
    built["net_pnl"] = columns.decimals(net)
    built["other_fees"] = columns.constant("{}", rows)
    built["open_ts"], built["match_ts"] = merged["open_ts"], merged["match_ts"]
    built["run_tag"] = columns.constant(plan.run_tag, rows)
    return columns.table(trading.TRADE_MATCH_HISTORY, built)


def manifest_counts(
    plan: RunPlan, symbols: Sequence[SymbolOut], groups: Sequence[GroupOut]
) -> dict[str, Any]:
    """What manifest.json counts, `unfilled` orders still to come."""
    by_code = sum(
        (group.by_code.sum(axis=(0, 1)) for group in groups), np.zeros(len(CODES), dtype=np.int64)
    )
    return {
        "rejected": {
            code.value: int(by_code[i])
            for i, code in enumerate(CODES)
            if code is not Code.OK and by_code[i]
        },
        **input_counts(symbols),
        "grid_left_out": plan.grid_left_out,
        "over_cap": sum(group.over_cap for group in groups),
        "unfilled": [],
    }


def input_counts(symbols: Sequence[SymbolOut]) -> dict[str, Any]:
    """What manifest.json counts of the rows of bars."""
    total = InputCounts(*(sum(values) for values in zip(*(_sums(o) for o in symbols), strict=True)))
    return {
        "price_rejects": trace.reject_counts(symbols),
        "first_reject": _first_reject(symbols),
        "skipped": {"out_of_range": total.out_of_range, "unknown_symbol": total.unknown_symbol},
        "late": total.late,
        "first_late": _first_late(symbols),
        "duplicate_bars": total.duplicates,
        "duplicates": total.duplicates,
        "bars": total.rows,
    }


def _sums(out: SymbolOut) -> tuple[int, ...]:
    counts = out.counts
    return (
        counts.rows,
        counts.out_of_range,
        counts.unknown_symbol,
        counts.late,
        counts.duplicates,
    )


def _first_late(symbols: Sequence[SymbolOut]) -> dict[str, Any] | None:
    """The first late bar in order of arrival: `file` numbers the inputs from 0, `row` from 1."""
    found = [out.counts.first_late for out in symbols if out.counts.first_late is not None]
    if not found:
        return None
    file, row, symbol, ts = min(found)
    return {"file": file, "row": row + 1, "symbol": symbol, "ts": ts}


def _first_reject(symbols: Sequence[SymbolOut]) -> dict[str, Any] | None:
    """The first rejected row in order of arrival, its values as text."""
    found = [reject for out in symbols for reject in out.rejects[:1]]
    if not found:
        return None
    first = min(found, key=lambda reject: (reject.file, reject.row))
    values = dict(zip(COLUMNS, first.values, strict=True))
    code = BAR_CODES[first.code].value
    return {"file": first.file, "row": first.row + 1, "code": code, "values": values}


def unfilled_columns(plan: RunPlan, groups: Sequence[GroupOut]) -> Columns:
    """Orders that never filled, in the order of the accepted rows."""
    if not groups:
        return {"order_id": np.empty((0, bulk_ids.ID_LENGTH), dtype=np.uint8)}
    return joined(plan, groups, "unfilled", "ts")


def _summary(
    plan: RunPlan,
    symbols: Sequence[SymbolOut],
    groups: Sequence[GroupOut],
    lines: Sequence[EquityLine],
    matches: Columns | None,
) -> list[dict[str, Any]]:
    """One row per account, strategy and currency, and one per account and currency."""
    closes = [out.closes for out in symbols if out.closes is not None]
    if matches is None or not closes:
        return []
    span = (min(c.first_close_ts for c in closes), max(c.last_close_ts for c in closes))
    usage = joined(plan, groups, "usage", "ts")
    return summarise(plan, groups, lines, matches, usage, span)
