"""Tables of operation: progress, refused rows, alerts, runs, strategies' weights."""

from schemas.table import ACCOUNT_ID, RUN_ID, STRATEGY_ID, Column, Kind, Table, Type

STAGE = Column(
    "stage",
    Type.STRING,
    "feed, indicators, strategies, tradepicker, broker, engine or monitor.",
)

PROGRESS = Table(
    name="progress",
    kind=Kind.HISTORY,
    columns=(
        STAGE,
        Column("instance", Type.STRING, "Instance of the stage, as the configuration names it."),
        Column("ts", Type.BIGINT, "Event time that is complete, UTC ms."),
        Column("rows", Type.BIGINT, "Rows of that event time that the instance has written."),
    ),
    key=("stage", "instance", "ts"),
    event_time="ts",
    order=("ts", "stage", "instance"),
    doc="This instance has written `rows` rows of `ts` and will write none with an earlier one. "
    "Watermarks come from these rows alone.",
    bucket_key=("stage", "instance"),
    written_by="every stage",
    read_by="every stage downstream",
)

PROGRESS_GAPS = Table(
    name="progress_gaps",
    kind=Kind.HISTORY,
    columns=(
        Column("stage", Type.STRING, "Stage that went on without waiting further."),
        Column("instance", Type.STRING, "Its instance."),
        Column("ts", Type.BIGINT, "Event time that it released, UTC ms."),
        Column("missing", Type.STRING, "Upstream stage and instance that had not reported."),
        Column("waited_ms", Type.BIGINT, "How long it had waited, wall clock, ms."),
    ),
    key=("stage", "instance", "ts", "missing"),
    event_time="ts",
    order=("ts", "stage", "instance", "missing"),
    doc="Where patience ran out: what was decided then is in the log, and the log is the truth.",
    bucket_key=("stage", "instance"),
    written_by="every stage with a patience",
    read_by="exporter, people",
)

REJECTS = Table(
    name="rejects",
    kind=Kind.HISTORY,
    columns=(
        Column("source_table", Type.STRING, "Table that the row was meant for."),
        Column("row_id", Type.STRING, "Hash of the row's values, 32 hex digits."),
        Column("code", Type.STRING, "First check that failed, such as UNKNOWN_ORDER."),
        Column("detail", Type.STRING, "What was wrong, where, and what would be right."),
        Column("row_json", Type.STRING, "The row as JSON, decimals as text."),
        Column("ts", Type.BIGINT, "Event time of the row, UTC ms; null if it has none.", True),
        RUN_ID,
    ),
    key=("source_table", "row_id"),
    event_time="ts",
    order=(),
    order_note="as they arrived",
    doc="Rows that break their table's contract; `tradeflow rejects` lists and applies them.",
    bucket_key=("source_table",),
    written_by="engine, every stage",
    read_by="`tradeflow rejects`, exporter",
)

RISK_ALERTS_HISTORY = Table(
    name="risk_alerts_history",
    kind=Kind.HISTORY,
    columns=(
        Column("alert_id", Type.STRING, "Hash of what the alert is about, its state and its ts."),
        Column("account_id", Type.STRING, "Account; null if it is about none.", True),
        Column("code", Type.STRING, "What was seen, such as DRAWDOWN."),
        Column("state", Type.STRING, "RAISED or CLEARED."),
        Column("message", Type.STRING, "What happened, for a person."),
        Column("value", Type.DECIMAL, "Measured value, in the unit of the code.", True),
        Column("threshold", Type.DECIMAL, "Limit that it passed, in the same unit.", True),
        Column("ts", Type.BIGINT, "Event time, UTC ms."),
        RUN_ID,
    ),
    key=("alert_id",),
    event_time="ts",
    order=("ts", "account_id", "code", "alert_id"),
    doc="Alerts of risk and of operation.",
    bucket_key=("alert_id",),
    written_by="exporter",
    read_by="people, notifiers, tradepicker",
)

RUN_HISTORY = Table(
    name="run_history",
    kind=Kind.HISTORY,
    columns=(
        RUN_ID,
        Column("config_hash", Type.STRING, "Hash of config_json."),
        Column("config_json", Type.STRING, "Configuration as resolved, sorted keys."),
        Column("code_version", Type.STRING, "Version of the code."),
        Column("started_ts", Type.BIGINT, "Wall clock of the start, UTC ms."),
    ),
    key=("run_id", "config_hash"),
    event_time="started_ts",
    order=("started_ts", "run_id", "config_hash"),
    doc="Which configuration and code a run was started with.",
    bucket_key=("run_id",),
    written_by="`tradeflow up`",
    read_by="people, `tradeflow replay`",
)

STRATEGY_PERF_LATEST = Table(
    name="strategy_perf_latest",
    kind=Kind.LATEST,
    columns=(
        ACCOUNT_ID,
        STRATEGY_ID,
        Column("currency", Type.STRING, "Quote currency of the figures."),
        Column("trades", Type.BIGINT, "Matches so far."),
        Column("wins", Type.BIGINT, "Matches with net_pnl above 0."),
        Column("net_pnl", Type.DECIMAL, "Cumulative net_pnl of the matches."),
        Column("max_drawdown", Type.DECIMAL, "Deepest fall of cumulative net_pnl; realized-only."),
        Column("updated_ts", Type.BIGINT, "Event time of the newest change, UTC ms."),
        RUN_ID,
    ),
    key=("account_id", "strategy_id", "currency"),
    event_time="updated_ts",
    order=("updated_ts", "account_id", "strategy_id", "currency"),
    doc="Performance per strategy. Provisional: its columns settle when weighting is built.",
    bucket_key=("account_id",),
    written_by="monitor",
    read_by="people, dashboards",
)

STRATEGY_WEIGHTS_LATEST = Table(
    name="strategy_weights_latest",
    kind=Kind.LATEST,
    columns=(
        ACCOUNT_ID,
        STRATEGY_ID,
        Column("weight", Type.DECIMAL, "Factor on the account's size for this strategy."),
        Column("reason", Type.STRING, "What set the weight."),
        Column("updated_ts", Type.BIGINT, "Event time of the newest change, UTC ms."),
        RUN_ID,
    ),
    key=("account_id", "strategy_id"),
    event_time="updated_ts",
    order=("updated_ts", "account_id", "strategy_id"),
    doc="Weight per strategy. Provisional: its columns settle when weighting is built.",
    bucket_key=("account_id",),
    written_by="nothing yet",
    read_by="tradepicker, later",
)

TABLES = (
    PROGRESS,
    PROGRESS_GAPS,
    REJECTS,
    RISK_ALERTS_HISTORY,
    RUN_HISTORY,
    STRATEGY_PERF_LATEST,
    STRATEGY_WEIGHTS_LATEST,
)
