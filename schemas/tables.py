"""All tables, in the order in which data flows, and what columns were called in older systems."""

from collections.abc import Mapping
from typing import NamedTuple

from schemas import market, ops, signals, trading
from schemas.table import Table

TABLES: Mapping[str, Table] = {
    table.name: table for table in (*market.TABLES, *signals.TABLES, *trading.TABLES, *ops.TABLES)
}


class OldName(NamedTuple):
    """`old` is what users of earlier systems know, `now` the column here, `where` its tables."""

    old: str
    now: str
    where: str = ""


OLD_NAMES = (
    OldName("accountId", "account_id"),
    OldName("alertId", "alert_id"),
    OldName("avgPrice", "avg_price"),
    OldName("barTs", "ts", "`price_1m_history` (open time), `indicator_history` (close time)"),
    OldName("buyOrderId", "buy_order_id"),
    OldName("buyPrice", "buy_price"),
    OldName("calcTs", "calc_ts"),
    OldName("configHash", "config_hash"),
    OldName("currentPrice", "current_price"),
    OldName("execTs", "ts", "`exec_report_history`"),
    OldName("feeCurrency", "fee_currency"),
    OldName("fillId", "fill_id"),
    OldName("fillPrice", "fill_price"),
    OldName("fillQty", "fill_qty"),
    OldName("indicatorVersion", "indicator_version"),
    OldName("lastUpdated", "last_updated"),
    OldName("lotId", "lot_id"),
    OldName("matchId", "match_id"),
    OldName("matchTimestamp", "match_ts"),
    OldName("matchedQty", "matched_qty"),
    OldName("netPnl", "net_pnl"),
    OldName("netQty", "net_qty"),
    OldName("orderId", "order_id"),
    OldName("paramsHash", "params_hash"),
    OldName("qtyOpen", "qty_open"),
    OldName("qtyRem", "qty_rem"),
    OldName("realizedPnl", "realized_pnl"),
    OldName("runId", "run_id"),
    OldName("runTag", "run_tag"),
    OldName("sellOrderId", "sell_order_id"),
    OldName("sellPrice", "sell_price"),
    OldName("signalId", "signal_id"),
    OldName("signalTs", "signal_ts"),
    OldName("sizeHint", "size_hint"),
    OldName("strategyId", "strategy_id"),
    OldName("strategyVersion", "strategy_version"),
    OldName("tsOpen", "open_ts"),
    OldName("tsUpdated", "updated_ts"),
    OldName("unrealizedPnl", "unrealized_pnl"),
)
