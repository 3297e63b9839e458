"""Holds the product's tables against the reference's, every column of every row."""

import json
import math
from decimal import Decimal
from typing import Any

import pyarrow as pa

from jobs.columns import plain

FREE_TEXT = {"reason", "detail", "venue", "seq", "row_json", "strategy_version", "run_tag"}
FEATURE_TOLERANCE = 1e-9
MACD_TOLERANCE = 1e-12  # of the close


def differences(tables: dict[str, pa.Table], expected: dict[str, Any], most: int = 5) -> list[str]:
    """What differs, as lines; empty where the tables are equal."""
    found: list[str] = []
    for name, rows in expected.items():
        if name == "manifest":
            continue
        if name not in tables:
            if rows:
                found.append(f"{name}: missing, expected {len(rows)} rows")
            continue
        got = plain(tables[name]).to_pylist()
        if len(got) != len(rows):
            found.append(f"{name}: {len(got)} rows, expected {len(rows)}")
        skipped = _skipped(name)
        for number, (mine, theirs) in enumerate(zip(got, rows, strict=False)):
            wrong = _row_difference(name, mine, theirs, skipped)
            if wrong:
                found.append(f"{name}[{number}]: {wrong}")
                if len(found) >= most:
                    return found
    return found


def _skipped(name: str) -> set[str]:
    """The columns of a table that the reference does not decide."""
    skipped = set(FREE_TEXT)
    if name == "rejected_trade_signal_history" or name == "accepted_trade_signal_history":
        skipped.discard("reason")
    if name == "indicator_history":
        skipped.add("run_id")
    if name == "trade_match_history":
        skipped.discard("run_tag")
    return skipped


def _row_difference(
    name: str, mine: dict[str, Any], theirs: dict[str, Any], skipped: set[str]
) -> str:
    for column, value in theirs.items():
        if column in skipped:
            continue
        if column not in mine:
            return f"lacks column {column}"
        # Nearly all values are simply equal, and there are millions.
        if mine[column] != value and not _equal(name, column, mine[column], value, mine):
            return f"{column} is {mine[column]!r}, expected {value!r} (row {mine})"
    return ""


def _equal(table: str, column: str, mine: Any, theirs: Any, row: dict[str, Any]) -> bool:
    if isinstance(theirs, dict):
        got = {key: Decimal(value) for key, value in json.loads(mine).items()}
        return got == theirs
    if isinstance(theirs, Decimal) or isinstance(mine, Decimal):
        return mine == theirs
    if table == "indicator_history" and isinstance(theirs, float) and mine is not None:
        room = MACD_TOLERANCE * abs(row["close"]) if column.startswith("macd") else 0.0
        return math.isclose(mine, theirs, rel_tol=FEATURE_TOLERANCE, abs_tol=room)
    return bool(mine == theirs)
