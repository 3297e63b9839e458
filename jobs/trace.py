"""The tables that only a traced run writes: every stage's rows under its own name."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from jobs import columns
from jobs.group_stage import Columns, GroupOut
from jobs.merge import Part, joined, key_columns
from jobs.sources import COLUMNS
from jobs.symbol_stage import SymbolOut
from schemas import market, trading
from schemas import signals as signal_tables
from schemas.own_code import library
from udfs import bulk_ids
from udfs.account_fold import CODES
from udfs.bar_checks import BAR_CODES
from udfs.frames import OHLCV
from udfs.paper_broker import VENUE
from udfs.plan import RunPlan
from udfs.rows import DETAILS, Code
from udfs.signal_columns import concat_signals, no_signals

ACTIONS = ("SELL", "BUY")


def tables(
    plan: RunPlan, symbols: Sequence[SymbolOut], groups: Sequence[GroupOut]
) -> dict[str, pa.Table]:
    """All of them, empty ones too."""
    return {
        "indicator_history": indicator_table(plan, symbols),
        "strategy_signal_history": signal_table(plan, symbols),
        "accepted_trade_signal_history": decision_table(plan, groups, accepted=True),
        "rejected_trade_signal_history": decision_table(plan, groups, accepted=False),
        "exec_report_history": report_table(plan, groups),
        "price_rejects": reject_table(plan, symbols),
    }


def reject_counts(symbols: Sequence[SymbolOut]) -> dict[str, int]:
    """Rejected bars by code."""
    found = Counter(reject.code for out in symbols for reject in out.rejects)
    return {code.value: found[i] for i, code in enumerate(BAR_CODES) if found[i]}


def reject_table(plan: RunPlan, symbols: Sequence[SymbolOut]) -> pa.Table:
    """price_rejects in order of arrival."""
    rejects = sorted(reject for out in symbols for reject in out.rejects)
    rows = [
        {
            **dict(zip(COLUMNS, reject.values, strict=True)),
            "code": BAR_CODES[reject.code].value,
            "detail": "",
            "run_id": plan.run_id,
        }
        for reject in rejects
    ]
    return columns.rows_table(market.PRICE_REJECTS, rows)


def indicator_table(plan: RunPlan, symbols: Sequence[SymbolOut]) -> pa.Table:
    """indicator_history in order of (ts, symbol, timeframe)."""
    names = sorted({n for out in symbols for rows in out.indicators for n in rows.columns})
    names = [*OHLCV, *(name for name in names if name not in OHLCV)]
    pieces = [(out.symbol, rows) for out in symbols for rows in out.indicators if len(rows.ts)]
    if not pieces:
        empty: dict[str, Any] = {n: [] for n in ("symbol", "timeframe", "ts", "final", *names)}
        return columns.table(market.INDICATOR_HISTORY, empty, names)
    frames = sorted({rows.timeframe for _, rows in pieces})
    tickers = [symbol.symbol for symbol in plan.symbols]
    sizes = [len(rows.ts) for _, rows in pieces]
    symbol = np.repeat([tickers.index(name) for name, _ in pieces], sizes)
    frame = np.repeat([frames.index(rows.timeframe) for _, rows in pieces], sizes)
    ts = np.concatenate([rows.ts for _, rows in pieces])
    order = np.lexsort((frame, symbol, ts))
    built: dict[str, Any] = {
        "symbol": columns.texts(symbol[order], tickers),
        "timeframe": columns.texts(frame[order], frames),
        "ts": ts[order],
        "final": np.ones(len(ts), dtype=np.bool_),
    }
    for name in names:
        values = np.concatenate(
            [rows.columns.get(name, np.full(len(rows.ts), np.nan)) for _, rows in pieces]
        )[order]
        built[name] = pa.array(values, pa.float64(), mask=np.isnan(values))
    return columns.table(market.INDICATOR_HISTORY, built, names)


def signal_table(plan: RunPlan, symbols: Sequence[SymbolOut]) -> pa.Table:
    """strategy_signal_history in order of (signal_ts, SELL first, strategy, symbol)."""
    tickers = [symbol.symbol for symbol in plan.symbols]
    found = [out for out in symbols if len(out.signals.ts)]
    signals = concat_signals([no_signals(), *(out.signals for out in found)])
    numbers = np.array([tickers.index(out.symbol) for out in found], dtype=np.int32)
    symbol = np.repeat(numbers, [len(out.signals.ts) for out in found])
    order = np.lexsort((symbol, signals.strategy, signals.action, signals.ts))
    symbol, strategy = symbol[order], signals.strategy[order]
    buys = (signals.action[order] > 0).astype(np.int32)
    names = [s.strategy_id for s in plan.strategies]
    ids = bulk_ids.signal_ids(plan.run_id, names, tickers, strategy, symbol, signals.ts[order])
    kinds = library(plan.own).kinds
    reasons = [
        text
        for s in plan.strategies
        for text in reversed(kinds[s.kind].reasons(s.params))  # BUY's is first: index 1
    ]
    rows = len(order)
    built: dict[str, Any] = {
        "signal_id": columns.ids(ids),
        "strategy_id": columns.texts(strategy, names),
        "symbol": columns.texts(symbol, tickers),
        "timeframe": columns.texts(strategy, [s.timeframe for s in plan.strategies]),
        "signal_ts": signals.ts[order],
        "action": columns.texts(buys, ACTIONS),
        "close": signals.close[order],
        "size_hint": signals.size_hint[order],
        "confidence": signals.confidence[order],
        "reason": columns.texts(strategy * 2 + buys, reasons),
        "strategy_version": columns.texts(strategy, [s.version for s in plan.strategies]),
        "params_hash": columns.texts(strategy, [s.params_hash for s in plan.strategies]),
        "run_id": columns.constant(plan.run_id, rows),
    }
    return columns.table(signal_tables.STRATEGY_SIGNAL_HISTORY, built)


def decision_table(plan: RunPlan, groups: Sequence[Part], accepted: bool) -> pa.Table:
    """Accepted or rejected rows in order of (ts, account, SELL first, strategy, symbol)."""
    contract = (
        signal_tables.ACCEPTED_TRADE_SIGNAL_HISTORY
        if accepted
        else signal_tables.REJECTED_TRADE_SIGNAL_HISTORY
    )
    if not groups:
        return columns.rows_table(contract, [])
    merged = joined(plan, groups, "decisions", "ts")
    merged["seq"] = _sequence(merged["account"])
    mask = (merged["code"] == CODES.index(Code.OK)) == accepted
    rows: Columns = {name: values[mask] for name, values in merged.items()}
    codes = columns.texts(rows["code"].astype(np.int32), [code.value for code in CODES])
    built = key_columns(plan, rows)
    known = np.full(len(rows["ts"]), accepted, dtype=np.bool_)
    built.update(
        signal_id=columns.ids(rows["signal_id"]),
        action=columns.texts((rows["action"] > 0).astype(np.int32), ACTIONS),
        qty=columns.decimals(rows["qty"], rows["qty_known"]),
        ts=rows["ts"],
        reason=codes,
        order_id=columns.ids(rows["order_id"], known),
        seq=rows["seq"],
        open_symbols=columns.counts(rows["open_symbols"]),
        reserved_symbols=columns.counts(rows["reserved_symbols"]),
        code=codes,
        detail=columns.texts(rows["code"].astype(np.int32), [DETAILS[code] for code in CODES]),
    )
    return columns.table(contract, built)


def _sequence(account: np.ndarray) -> np.ndarray:
    """The number of each decision within its account, from 1."""
    seq = np.zeros(len(account), dtype=np.int64)
    for one in np.unique(account):
        mine = account == one
        seq[mine] = np.arange(1, int(mine.sum()) + 1)
    return seq


def report_table(plan: RunPlan, groups: Sequence[Part]) -> pa.Table:
    """exec_report_history in order of (ts, account, strategy, symbol, order, fill)."""
    if not groups:
        return columns.rows_table(trading.EXEC_REPORT_HISTORY, [])
    merged = joined(plan, groups, "fills", "ts")
    built = key_columns(plan, merged)
    quotes = sorted({symbol.quote for symbol in plan.symbols})
    quote = np.array([quotes.index(symbol.quote) for symbol in plan.symbols])
    built.update(
        order_id=columns.ids(merged["order_id"]),
        fill_id=columns.ids(merged["order_id"], suffix=":1"),
        side=columns.texts((merged["side"] > 0).astype(np.int32), ACTIONS),
        fill_qty=columns.decimals(merged["qty"]),
        fill_price=columns.decimals(merged["price"]),
        ts=merged["ts"],
        fee=columns.decimals(merged["fee"]),
        fee_currency=columns.texts(quote[merged["symbol"]], quotes),
        venue=columns.constant(VENUE, len(merged["ts"])),
    )
    return columns.table(trading.EXEC_REPORT_HISTORY, built)
