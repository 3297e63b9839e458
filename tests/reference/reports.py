"""Exec reports as they come from outside: checked, put in order, and made fills."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

from .engine import Fill
from .exact import as_text, exact_number, fits_decimal_38_18, hash_of, whole_number

COLUMNS = (
    "account_id",
    "strategy_id",
    "order_id",
    "fill_id",
    "symbol",
    "side",
    "fill_qty",
    "fill_price",
    "ts",
    "fee",
    "fee_currency",
    "venue",
)


def is_empty(value: object) -> bool:
    return value is None or value == ""


def code_of(report: dict[str, Any]) -> str | None:
    """The code of the first check that the report fails, or None for a valid one."""
    if any(is_empty(report.get(n)) for n in ("account_id", "order_id", "fill_id", "symbol")):
        return "MISSING_ID"
    if whole_number(report.get("ts")) is None:
        return "BAD_TS"
    if report.get("side") not in ("BUY", "SELL"):
        return "BAD_SIDE"
    qty, price = exact_number(report.get("fill_qty")), exact_number(report.get("fill_price"))
    fee = fee_of(report)
    if qty is None or price is None or fee is None:
        return "NOT_A_NUMBER"
    if qty <= 0 or price <= 0:
        return "NOT_POSITIVE"
    if not all(fits_decimal_38_18(value) for value in (qty, price, fee)):
        return "PRECISION"
    if is_empty(report.get("strategy_id")):
        return "UNKNOWN_ORDER"  # no orders are known here that could name the strategy
    return None


def fee_of(report: dict[str, Any]) -> Decimal | None:
    fee = report.get("fee")
    return Decimal(0) if is_empty(fee) else exact_number(fee)


def fill_of(report: dict[str, Any], quotes: dict[str, str]) -> Fill:
    """The fill of a valid report."""
    symbol = report["symbol"]
    quote = quotes.get(symbol, symbol[-3:])
    qty, price = exact_number(report["fill_qty"]), exact_number(report["fill_price"])
    ts, fee = whole_number(report["ts"]), fee_of(report)
    assert qty is not None and price is not None and ts is not None and fee is not None
    currency: str = report.get("fee_currency") or ""
    return Fill(
        account_id=report["account_id"],
        strategy_id=report["strategy_id"],
        order_id=report["order_id"],
        fill_id=report["fill_id"],
        symbol=symbol,
        side=report["side"],
        qty=qty,
        price=price,
        ts=ts,
        fee=fee,
        fee_currency=currency or quote,
    )


def order_of(fill: Fill) -> tuple[Any, ...]:
    return (
        fill.ts,
        fill.account_id,
        fill.strategy_id,
        fill.symbol,
        fill.order_id,
        fill.fill_id,
    )


def reject_row(report: dict[str, Any], code: str, run_id: str) -> dict[str, Any]:
    texts = {name: as_text(report.get(name)) for name in COLUMNS}
    return {
        "source_table": "exec_report_history",
        "row_id": hash_of(*(text or "" for text in texts.values())),
        "code": code,
        "detail": "",
        "row_json": json.dumps(texts, ensure_ascii=False),
        "ts": whole_number(report.get("ts")),
        "run_id": run_id,
    }


def sort_out(
    reports: list[dict[str, Any]], quotes: dict[str, str], run_id: str
) -> tuple[list[Fill], list[dict[str, Any]]]:
    """The valid reports as fills in order, and the rejects in order of arrival, each row once."""
    fills: list[Fill] = []
    rejects: dict[str, dict[str, Any]] = {}
    for report in reports:
        code = code_of(report)
        if code is None:
            fills.append(fill_of(report, quotes))
        else:
            row = reject_row(report, code, run_id)
            rejects.setdefault(row["row_id"], row)
    return sorted(fills, key=order_of), list(rejects.values())
