"""Tables of signals: what strategies say and what the gate decides."""

from schemas.table import ACCOUNT_ID, RUN_ID, STRATEGY_ID, SYMBOL, Column, Kind, Table, Type

SIGNAL_ID = Column(
    "signal_id", Type.STRING, "hash(run_id, strategy_id, symbol, signal_ts), 32 hex digits."
)
TIMEFRAME = Column("timeframe", Type.STRING, "Anchor timeframe of the strategy, such as 1m.")
SIGNAL_TS = Column(
    "signal_ts", Type.BIGINT, "Close time of the anchor bar, or intrabar of a base bar, UTC ms."
)
ACTION = Column("action", Type.STRING, "BUY or SELL.")
SIZE_HINT = Column("size_hint", Type.DOUBLE, "Factor on the account's size; 1.0 is the whole.")
CONFIDENCE = Column("confidence", Type.DOUBLE, "0 to 1; built-in kinds say 1.0.")

STRATEGY_SIGNAL_HISTORY = Table(
    name="strategy_signal_history",
    kind=Kind.HISTORY,
    columns=(
        SIGNAL_ID,
        STRATEGY_ID,
        SYMBOL,
        TIMEFRAME,
        SIGNAL_TS,
        ACTION,
        Column(
            "close",
            Type.DOUBLE,
            "Close of the bar that closes then, in the quote currency; sizes use it.",
        ),
        SIZE_HINT,
        CONFIDENCE,
        Column("reason", Type.STRING, "Rule that spoke."),
        Column(
            "strategy_version",
            Type.STRING,
            "Version of the strategy's kind; `+intrabar` behind it where it is.",
        ),
        Column("params_hash", Type.STRING, "First 12 hex digits of SHA-256 of the parameters."),
        RUN_ID,
    ),
    key=("signal_id",),
    event_time="signal_ts",
    order=("signal_ts", "action DESC", "strategy_id", "symbol"),
    doc="Every signal of every strategy; it knows no accounts.",
    bucket_key=("signal_id",),
    written_by="strategies",
    read_by="tradepicker",
)

STRATEGY_SIGNAL_LATEST = Table(
    name="strategy_signal_latest",
    kind=Kind.LATEST,
    columns=(
        STRATEGY_ID,
        SYMBOL,
        TIMEFRAME,
        ACTION,
        SIZE_HINT,
        CONFIDENCE,
        SIGNAL_TS,
        Column("last_updated", Type.BIGINT, "Event time of the change that wrote the row, UTC ms."),
        RUN_ID,
    ),
    key=("strategy_id", "symbol"),
    event_time="signal_ts",
    order=("signal_ts", "action DESC", "strategy_id", "symbol"),
    doc="The newest signal of each strategy and symbol.",
    bucket_key=("strategy_id", "symbol"),
    written_by="strategies",
    read_by="people, dashboards",
)


def decision_columns(
    qty: Column, reason: Column, order_id: Column, *more: Column
) -> tuple[Column, ...]:
    """Columns of a decision of the gate; accepted and rejected differ in these few."""
    return (
        ACCOUNT_ID,
        SIGNAL_ID,
        STRATEGY_ID,
        SYMBOL,
        ACTION,
        qty,
        Column("ts", Type.BIGINT, "The signal's signal_ts, UTC ms."),
        reason,
        order_id,
        Column("seq", Type.BIGINT, "Number of the decision within the account; replays follow it."),
        Column(
            "open_symbols",
            Type.INT,
            "Symbols open before the decision; null for an account without a cap.",
            nullable=True,
        ),
        Column(
            "reserved_symbols",
            Type.INT,
            "Symbols reserved before the decision; null for an account without a cap.",
            nullable=True,
        ),
        RUN_ID,
        *more,
        Column(
            "changes",
            Type.BIGINT,
            "Position changes of the account that the gate knew before the decision.",
            nullable=True,
            in_files=False,
        ),
    )


ACCEPTED_TRADE_SIGNAL_HISTORY = Table(
    name="accepted_trade_signal_history",
    kind=Kind.HISTORY,
    columns=decision_columns(
        Column("qty", Type.DECIMAL, "Quantity to trade, in the base asset."),
        Column("reason", Type.STRING, "OK."),
        Column("order_id", Type.STRING, "hash(account_id, signal_id), 32 hex digits."),
    ),
    key=("account_id", "signal_id"),
    event_time="ts",
    order=("ts", "account_id", "action DESC", "strategy_id", "symbol"),
    doc="Signals that the gate let through, per account: each is an order to place.",
    bucket_key=("account_id",),
    written_by="tradepicker",
    read_by="paper or external broker, engine",
)

REJECTED_TRADE_SIGNAL_HISTORY = Table(
    name="rejected_trade_signal_history",
    kind=Kind.HISTORY,
    columns=decision_columns(
        Column("qty", Type.DECIMAL, "Quantity if computed, in the base asset.", nullable=True),
        Column("reason", Type.STRING, "The code."),
        Column("order_id", Type.STRING, "Always null: there is no order.", nullable=True),
        Column("code", Type.STRING, "Why, such as OPEN_LIMIT_EXCEEDED or NO_OPEN_POSITION."),
        Column("detail", Type.STRING, "The code in words."),
    ),
    key=("account_id", "signal_id"),
    event_time="ts",
    order=("ts", "account_id", "action DESC", "strategy_id", "symbol"),
    doc="Signals that the gate refused, per account, and why.",
    bucket_key=("account_id",),
    written_by="tradepicker",
    read_by="people, `tradeflow explain`, exporter",
)

TABLES = (
    STRATEGY_SIGNAL_HISTORY,
    STRATEGY_SIGNAL_LATEST,
    ACCEPTED_TRADE_SIGNAL_HISTORY,
    REJECTED_TRADE_SIGNAL_HISTORY,
)
