"""Whether a live run decided what a bounded one did on the same bars."""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from schemas.codec import parse_features
from schemas.table import Type
from schemas.tables import TABLES

Row = Mapping[str, Any]
# Live and bounded may differ in these.
LEFT_OUT = ("run_tag", "venue", "seq", "calc_ts")
# A bounded run's table, the column of its event time, and what it is called live.
COMPARED = {
    "strategy_signal_history": ("signal_ts", "strategy_signal_history"),
    "accepted_trade_signal_history": ("ts", "accepted_trade_signal_history"),
    "rejected_trade_signal_history": ("ts", "rejected_trade_signal_history"),
    "exec_report_history": ("ts", "exec_report_history"),
    "trade_match_history": ("match_ts", "paper_trade_match_history"),
    "open_positions_lots": ("updated_ts", "open_positions_lots"),
    "open_positions_rollup": ("updated_ts", "open_positions_rollup"),
    "realized_pnl_latest": ("updated_ts", "realized_pnl_latest"),
}
NO_FEATURES = ("symbol", "timeframe", "ts", "final", "calc_ts", "indicator_version")


def differences(
    folder: Path, live: Callable[[str], Iterable[Row]], ends: Mapping[str, int]
) -> list[str]:
    """What differs between a traced run's folder and the live tables, a line per table.

    `live(name)` gives the rows of a table; `ends` the close of each symbol's last bar: what is
    decided after it does not count.
    """
    found = []
    for name, (ts, live_name) in COMPARED.items():
        mine = keyed(name, ts, pq.read_table(folder / f"{name}.parquet").to_pylist(), ends)
        theirs = keyed(name, ts, live(live_name), ends)
        found += difference(name, mine, theirs)
    wide = pq.read_table(folder / "indicator_history.parquet").to_pylist()
    mine = {indicator_key(row): features_of(row) for row in wide}
    theirs = {
        indicator_key(row): parse_features(text_of_map(row["features"]))
        for row in live("indicator_history")
        if row["ts"] <= ends[row["symbol"]]
    }
    found += difference("indicator_history", mine, theirs)
    snapshot = folder / "unrealized_snapshot.parquet"  # only where a position is open
    marks = pq.read_table(snapshot).to_pylist() if snapshot.is_file() else []
    return found + difference(
        "unrealized_snapshot", marked(marks), marked(live("unrealized_pnl_latest"))
    )


def marked(rows: Iterable[Row]) -> dict[Any, Any]:
    """What positions are worth, by account, strategy and symbol."""
    return {
        (row["account_id"], row["strategy_id"], row["symbol"]): tuple(
            Decimal(str(row[name] if name in row else row[other]))
            for name, other in (
                ("net_qty", ""),
                ("avg_price", ""),
                ("last_close", "current_price"),
                ("unrealized", "unrealized_pnl"),
            )
        )
        for row in rows
    }


def difference(name: str, mine: Mapping[Any, Any], theirs: Mapping[Any, Any]) -> list[str]:
    """One line where two tables differ, with the first row that does."""
    keys = sorted(set(mine) | set(theirs), key=str)
    wrong = [key for key in keys if mine.get(key) != theirs.get(key)]
    if not wrong:
        return []
    first = f"{wrong[0]}: bounded {mine.get(wrong[0])}, live {theirs.get(wrong[0])}"
    return [f"{name}: {len(wrong)} of {len(keys)} rows differ, the first {first}"]


def keyed(
    name: str, ts: str, rows: Iterable[Row], ends: Mapping[str, int]
) -> dict[tuple[Any, ...], dict[str, Any]]:
    """Rows by key, values of any spelling made the same."""
    table = TABLES[name]
    plain = [
        {
            column.name: plain_value(column.type, row.get(column.name))
            for column in table.stored
            if column.in_files and column.name not in LEFT_OUT
        }
        for row in rows
        if row[ts] <= ends[row["symbol"]]
    ]
    return {tuple(row[key] for key in table.key): row for row in plain}


def plain_value(kind: Type, value: Any) -> Any:
    """Decimals as numbers, maps as dicts."""
    if value is None:
        return None
    if kind is Type.DECIMAL:
        return Decimal(value)
    if kind is Type.MAP_DECIMAL:
        if isinstance(value, str) and not value.startswith("{"):
            pairs: Sequence[Any] = [pair.split("=") for pair in value.split(",") if pair]
        elif isinstance(value, str):
            pairs = list(json.loads(value).items())
        else:
            pairs = list(value)
        return {currency: Decimal(amount) for currency, amount in pairs}
    return value


def text_of_map(features: Any) -> str:
    """Features as live stages write them, from a store's map."""
    if isinstance(features, str):
        return features
    return ",".join(f"{name}={value!r}" for name, value in features)


def indicator_key(row: Row) -> tuple[str, str, int]:
    """Symbol, timeframe and time of a row."""
    return row["symbol"], row["timeframe"], row["ts"]


def features_of(row: Row) -> dict[str, float]:
    """The features of a row with a column each."""
    return {k: v for k, v in row.items() if k not in NO_FEATURES and v is not None}
