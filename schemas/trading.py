"""Tables of trading: orders, fills, positions, matches, valuation."""

from dataclasses import replace

from schemas.table import ACCOUNT_ID, RUN_ID, STRATEGY_ID, SYMBOL, Column, Kind, Table, Type

ORDER_ID = Column("order_id", Type.STRING, "Order, at most 36 characters.")
FILL_ID = Column("fill_id", Type.STRING, "Fill, unique within its order.")
POSITION_SIDE = Column("side", Type.STRING, "LONG or SHORT.")
NET_QTY = Column("net_qty", Type.DECIMAL, "Signed quantity held, in the base asset.")
AVG_PRICE = Column(
    "avg_price", Type.DECIMAL, "Weighted over open lots, half-even to 1e-18, for show; quote."
)
FEES = Column("fees", Type.DECIMAL, "Fees in the quote currency; rebates are negative.")
OTHER_FEES = Column("other_fees", Type.MAP_DECIMAL, "Fees in other currencies, by currency.")
REALIZED_PNL = Column("realized_pnl", Type.DECIMAL, "(sell_price - buy_price) x qty, quote.")
NET_PNL = Column("net_pnl", Type.DECIMAL, "realized_pnl - fees, quote.")
UPDATED_TS = Column("updated_ts", Type.BIGINT, "Event time of the newest change, UTC ms.")

POSITION_KEY = ("account_id", "strategy_id", "symbol")
BY_ACCOUNT = ("account_id",)

ORDER_STATUS_HISTORY = Table(
    name="order_status_history",
    kind=Kind.HISTORY,
    columns=(
        ACCOUNT_ID,
        ORDER_ID,
        Column("status", Type.STRING, "NEW, FILLED, CANCELLED, REJECTED or EXPIRED."),
        Column("ts", Type.BIGINT, "When the order reached the status, UTC ms."),
        Column("detail", Type.STRING, "The broker's words, if any."),
        RUN_ID,
    ),
    key=("account_id", "order_id", "status"),
    event_time="ts",
    order=("ts", "account_id", "order_id", "status"),
    doc="States that orders reached.",
    bucket_key=BY_ACCOUNT,
    written_by="paper broker or external broker",
    read_by="tradepicker, `tradeflow explain`",
)

EXEC_REPORT_HISTORY = Table(
    name="exec_report_history",
    kind=Kind.HISTORY,
    columns=(
        ACCOUNT_ID,
        replace(STRATEGY_ID, doc="Strategy; null: joined by order_id.", nullable=True),
        ORDER_ID,
        FILL_ID,
        SYMBOL,
        Column("side", Type.STRING, "BUY or SELL."),
        Column("fill_qty", Type.DECIMAL, "Filled quantity, in the base asset, positive."),
        Column("fill_price", Type.DECIMAL, "Price, in the quote currency, positive."),
        Column("ts", Type.BIGINT, "When it was filled, UTC ms; paper: close of the next bar."),
        Column("fee", Type.DECIMAL, "Fee, in fee_currency; rebates negative, null 0.", True),
        Column("fee_currency", Type.STRING, "Currency of the fee; null is the quote.", True),
        Column("venue", Type.STRING, "Where it was filled; paper for the paper broker.", True),
        RUN_ID,
    ),
    key=("account_id", "order_id", "fill_id", "ts"),
    event_time="ts",
    order=("ts", "account_id", "strategy_id", "symbol", "order_id", "fill_id"),
    doc="Execution reports: every fill as a broker told it.",
    bucket_key=BY_ACCOUNT,
    written_by="paper broker or external broker",
    read_by="engine",
)

DUPLICATE_FILL_HISTORY = Table(
    name="duplicate_fill_history",
    kind=Kind.HISTORY,
    columns=(
        ACCOUNT_ID,
        STRATEGY_ID,
        ORDER_ID,
        FILL_ID,
        SYMBOL,
        Column("ts", Type.BIGINT, "When the copy says it was filled, UTC ms."),
        RUN_ID,
    ),
    key=("account_id", "order_id", "fill_id", "ts"),
    event_time="ts",
    order=("ts", "account_id", "order_id", "fill_id"),
    doc="Fills that the engine had booked already and that came again with another time; a copy "
    "with the same time is no new row of exec_report_history.",
    bucket_key=BY_ACCOUNT,
    written_by="engine",
    read_by="exporter, people",
)

POSITION_CHANGE_HISTORY = Table(
    name="position_change_history",
    kind=Kind.HISTORY,
    columns=(
        ACCOUNT_ID,
        STRATEGY_ID,
        SYMBOL,
        Column("seq", Type.BIGINT, "Number of the applied fill of (account, strategy, symbol)."),
        ORDER_ID,
        FILL_ID,
        Column("side", Type.STRING, "BUY or SELL."),
        Column("fill_qty", Type.DECIMAL, "Filled quantity, in the base asset, positive."),
        Column("net_qty_before", Type.DECIMAL, "Signed quantity held before the fill."),
        Column("net_qty_after", Type.DECIMAL, "Signed quantity held after the fill."),
        Column("ts", Type.BIGINT, "The fill's ts, UTC ms."),
        Column("late", Type.BOOLEAN, "Applied after its patience had run out."),
        RUN_ID,
    ),
    key=("account_id", "strategy_id", "symbol", "seq"),
    event_time="ts",
    order=("ts", "account_id", "strategy_id", "symbol", "seq"),
    doc="Every applied fill as a change of position, told on arrival, in order of seq.",
    bucket_key=BY_ACCOUNT,
    written_by="engine",
    read_by="tradepicker",
)

TRADE_MATCH_HISTORY = Table(
    name="trade_match_history",
    kind=Kind.HISTORY,
    columns=(
        Column(
            "match_id", Type.STRING, "Hash of the key, both fills and the index, 32 hex digits."
        ),
        ACCOUNT_ID,
        STRATEGY_ID,
        SYMBOL,
        Column("buy_order_id", Type.STRING, "Order of the fill that bought."),
        Column("sell_order_id", Type.STRING, "Order of the fill that sold."),
        Column("matched_qty", Type.DECIMAL, "Closed quantity, in the base asset, positive."),
        Column("buy_price", Type.DECIMAL, "Price of the fill that bought, quote."),
        Column("sell_price", Type.DECIMAL, "Price of the fill that sold, quote."),
        replace(REALIZED_PNL, doc="(sell_price - buy_price) x matched_qty, quote, exact."),
        replace(FEES, doc="Shares of both fills' fees, in the quote; rebates are negative."),
        NET_PNL,
        replace(OTHER_FEES, doc="Shares of fees in other currencies, by currency."),
        Column("open_ts", Type.BIGINT, "ts of the opening fill, UTC ms."),
        Column("match_ts", Type.BIGINT, "ts of the closing fill, UTC ms."),
        RUN_ID,
        Column("run_tag", Type.STRING, "BACKTEST, PAPER_LIVE or LIVE."),
    ),
    key=("match_id",),
    event_time="match_ts",
    order=("match_ts", "account_id", "strategy_id", "symbol"),
    order_note="the closing fill's order_id and fill_id, index within the fill",
    doc="Closed segments, first in first out: one row per lot that a fill closes or reduces.",
    bucket_key=("match_id",),
    written_by="engine, backtest",
    read_by="reports, exporter",
)

PAPER_TRADE_MATCH_HISTORY = replace(
    TRADE_MATCH_HISTORY,
    name="paper_trade_match_history",
    doc="The same for live accounts of the paper broker (run_tag PAPER_LIVE).",
    written_by="engine",
)

OPEN_POSITIONS_LOTS = Table(
    name="open_positions_lots",
    kind=Kind.LATEST,
    columns=(
        ACCOUNT_ID,
        STRATEGY_ID,
        SYMBOL,
        Column("lot_id", Type.STRING, "Hash of the key and the opening fill, 32 hex digits."),
        POSITION_SIDE,
        Column("qty_open", Type.DECIMAL, "Quantity that opened the lot, in the base asset."),
        Column("qty_rem", Type.DECIMAL, "Quantity not closed yet; the row goes at 0."),
        replace(AVG_PRICE, doc="Price of the opening fill, quote."),
        Column("open_ts", Type.BIGINT, "ts of the opening fill, UTC ms."),
        UPDATED_TS,
        RUN_ID,
    ),
    key=(*POSITION_KEY, "lot_id"),
    event_time="updated_ts",
    order=("updated_ts", *POSITION_KEY, "open_ts", "lot_id"),
    doc="Open lots; a lot is one opening fill.",
    bucket_key=BY_ACCOUNT,
    written_by="engine, backtest",
    read_by="people, `tradeflow explain`",
)

OPEN_POSITIONS_ROLLUP = Table(
    name="open_positions_rollup",
    kind=Kind.LATEST,
    columns=(
        ACCOUNT_ID,
        STRATEGY_ID,
        SYMBOL,
        POSITION_SIDE,
        NET_QTY,
        AVG_PRICE,
        Column("open_cost", Type.DECIMAL, "Signed sum of qty_rem x price, quote, exact."),
        Column("open_fees", Type.DECIMAL, "Fees of open lots not yet given to matches, quote."),
        replace(OTHER_FEES, doc="The same in other currencies, by currency."),
        UPDATED_TS,
        RUN_ID,
    ),
    key=POSITION_KEY,
    event_time="updated_ts",
    order=("updated_ts", *POSITION_KEY),
    doc="Open positions; the row goes when the position is flat.",
    bucket_key=BY_ACCOUNT,
    written_by="engine, backtest",
    read_by="monitor, exporter, people",
)

REALIZED_PNL_LATEST = Table(
    name="realized_pnl_latest",
    kind=Kind.LATEST,
    columns=(
        ACCOUNT_ID,
        STRATEGY_ID,
        SYMBOL,
        replace(REALIZED_PNL, doc="Cumulative realized_pnl of the matches, quote."),
        replace(FEES, doc="Cumulative fees of the matches, in the quote."),
        replace(NET_PNL, doc="Cumulative net_pnl of the matches, quote."),
        replace(OTHER_FEES, doc="Cumulative fees in other currencies, by currency."),
        UPDATED_TS,
        RUN_ID,
    ),
    key=POSITION_KEY,
    event_time="updated_ts",
    order=("updated_ts", *POSITION_KEY),
    doc="Realized profit so far; no row before the first match.",
    bucket_key=BY_ACCOUNT,
    written_by="engine, backtest",
    read_by="exporter, people",
)

UNREALIZED_PNL_LATEST = Table(
    name="unrealized_pnl_latest",
    kind=Kind.LATEST,
    columns=(
        ACCOUNT_ID,
        STRATEGY_ID,
        SYMBOL,
        Column("unrealized_pnl", Type.DECIMAL, "current_price x net_qty - open_cost, quote."),
        Column("current_price", Type.DECIMAL, "Last close, rounded to the tick, quote."),
        AVG_PRICE,
        NET_QTY,
        Column("ts", Type.BIGINT, "Close time of the bar or ts of the change behind it, UTC ms."),
        RUN_ID,
    ),
    key=POSITION_KEY,
    event_time="ts",
    order=("ts", *POSITION_KEY),
    doc="Open positions at the last closes; the row goes when the position is flat.",
    bucket_key=BY_ACCOUNT,
    written_by="monitor",
    read_by="people, dashboards",
)

UNREALIZED_SNAPSHOT = Table(
    name="unrealized_snapshot",
    kind=Kind.HISTORY,
    columns=(
        ACCOUNT_ID,
        STRATEGY_ID,
        SYMBOL,
        POSITION_SIDE,
        NET_QTY,
        AVG_PRICE,
        Column("last_close", Type.DECIMAL, "Last close, rounded to the tick, quote."),
        Column("unrealized", Type.DECIMAL, "last_close x net_qty - open_cost, quote, exact."),
        Column("ts", Type.BIGINT, "Close time of the symbol's last bar, UTC ms."),
        RUN_ID,
    ),
    key=(*POSITION_KEY, "run_id"),
    event_time="ts",
    order=("ts", *POSITION_KEY),
    doc="Positions that a bounded run left open, at the last closes; never among the matches.",
    bucket_key=BY_ACCOUNT,
    written_by="backtest",
    read_by="reports",
)

EQUITY_DAILY = Table(
    name="equity_daily",
    kind=Kind.HISTORY,
    columns=(
        ACCOUNT_ID,
        STRATEGY_ID,
        Column("currency", Type.STRING, "Quote currency of the figures."),
        Column("day", Type.STRING, "Local date in `report.zone`, YYYY-MM-DD."),
        Column("realized", Type.DECIMAL, "The day's realized profit before fees."),
        Column("fees", Type.DECIMAL, "The day's fees in the currency; rebates are negative."),
        Column("unrealized", Type.DECIMAL, "Open positions at the day's last closes."),
        Column(
            "equity",
            Type.DECIMAL,
            "realized - fees so far + unrealized - open_fees, without start capital.",
        ),
        RUN_ID,
    ),
    key=("account_id", "strategy_id", "currency", "day", "run_id"),
    event_time="day",
    order=("day", "account_id", "strategy_id", "currency"),
    doc="One row per local day from the first bar to the last.",
    bucket_key=BY_ACCOUNT,
    written_by="backtest",
    read_by="reports",
)

TABLES = (
    ORDER_STATUS_HISTORY,
    EXEC_REPORT_HISTORY,
    DUPLICATE_FILL_HISTORY,
    POSITION_CHANGE_HISTORY,
    TRADE_MATCH_HISTORY,
    PAPER_TRADE_MATCH_HISTORY,
    OPEN_POSITIONS_LOTS,
    OPEN_POSITIONS_ROLLUP,
    REALIZED_PNL_LATEST,
    UNREALIZED_PNL_LATEST,
    UNREALIZED_SNAPSHOT,
    EQUITY_DAILY,
)
