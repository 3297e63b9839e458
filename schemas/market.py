"""Tables of the market: bars, bars that were refused, features."""

from schemas.table import RUN_ID, SYMBOL, Column, Kind, Table, Type

PRICE_1M_HISTORY = Table(
    name="price_1m_history",
    kind=Kind.HISTORY,
    columns=(
        SYMBOL,
        Column("ts", Type.BIGINT, "Open time of the bar, UTC ms; it closes one base bar later."),
        Column("open", Type.DOUBLE, "First price, in the quote currency."),
        Column("high", Type.DOUBLE, "Highest price, in the quote currency."),
        Column("low", Type.DOUBLE, "Lowest price, in the quote currency."),
        Column("close", Type.DOUBLE, "Last price, in the quote currency."),
        Column("volume", Type.DOUBLE, "Traded quantity, in the base asset."),
        Column("feed", Type.STRING, "Feed instance that wrote the bar."),
        Column(
            "late", Type.BOOLEAN, "Behind the feed's own progress: every mode skips and counts it."
        ),
    ),
    key=("symbol", "ts"),
    event_time="ts",
    order=("ts", "symbol"),
    doc="Valid bars of the base timeframe (1m unless `prices.timeframe` says otherwise).",
    bucket_key=("symbol",),
    written_by="feed",
    read_by="indicators, strategies that are intrabar, paper broker, monitor",
)

PRICE_REJECTS = Table(
    name="price_rejects",
    kind=Kind.HISTORY,
    columns=(
        Column("symbol", Type.STRING, "Symbol as it came, as text."),
        Column("ts", Type.STRING, "Open time as it came, as text.", nullable=True),
        Column("open", Type.STRING, "Open as it came, as text.", nullable=True),
        Column("high", Type.STRING, "High as it came, as text.", nullable=True),
        Column("low", Type.STRING, "Low as it came, as text.", nullable=True),
        Column("close", Type.STRING, "Close as it came, as text.", nullable=True),
        Column("volume", Type.STRING, "Volume as it came, as text.", nullable=True),
        Column(
            "code", Type.STRING, "First check that failed, such as BAD_TS or OHLC_INCONSISTENT."
        ),
        Column("detail", Type.STRING, "What was wrong, in words."),
        Column("row_id", Type.STRING, "Hash of the row's values.", in_files=False),
        RUN_ID,
    ),
    key=("row_id",),
    event_time=None,
    order=(),
    order_note="order of arrival",
    doc="Bars that a check refused, with the values as they came.",
    bucket_key=("row_id",),
    written_by="feed, backtest",
    read_by="people, `tradeflow rejects`",
)

INDICATOR_HISTORY = Table(
    name="indicator_history",
    kind=Kind.HISTORY,
    columns=(
        SYMBOL,
        Column("timeframe", Type.STRING, "Timeframe of the bar, such as 1m or 15m."),
        Column("ts", Type.BIGINT, "Close time of the bar, UTC ms."),
        Column("final", Type.BOOLEAN, "Always true here: history holds final rows only."),
        Column(
            "features",
            Type.MAP_DOUBLE,
            "Value by canonical name; names without a value are left out. In files a column each.",
        ),
        Column("calc_ts", Type.BIGINT, "Wall clock of the calculation, UTC ms.", in_files=False),
        Column(
            "indicator_version", Type.STRING, "Version of the feature definitions.", in_files=False
        ),
    ),
    key=("symbol", "timeframe", "ts"),
    event_time="ts",
    order=("ts", "symbol", "timeframe"),
    doc="Features of every final bar, per symbol and timeframe.",
    bucket_key=("symbol",),
    written_by="indicators",
    read_by="strategies, `tradeflow explain`",
)

INDICATOR_LATEST = Table(
    name="indicator_latest",
    kind=Kind.LATEST,
    columns=(
        SYMBOL,
        Column("timeframe", Type.STRING, "Timeframe of the bar, such as 1m or 15m."),
        Column("ts", Type.BIGINT, "Close time of the bar, UTC ms; for an unfinished one, to come."),
        Column("final", Type.BOOLEAN, "False while the bar is unfinished."),
        Column(
            "features",
            Type.MAP_DOUBLE,
            "Value by canonical name; names without a value are left out. In files a column each.",
        ),
        Column("calc_ts", Type.BIGINT, "Wall clock of the calculation, UTC ms.", in_files=False),
        Column(
            "indicator_version", Type.STRING, "Version of the feature definitions.", in_files=False
        ),
    ),
    key=("symbol", "timeframe"),
    event_time="ts",
    order=("ts", "symbol", "timeframe"),
    doc="Features of the newest bar, unfinished ones too, per symbol and timeframe.",
    bucket_key=("symbol",),
    written_by="indicators",
    read_by="people, dashboards",
)

TABLES = (PRICE_1M_HISTORY, PRICE_REJECTS, INDICATOR_HISTORY, INDICATOR_LATEST)
