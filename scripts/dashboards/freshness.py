"""Data freshness: how old the feed, bars and derived tables are, and how fast stages follow."""

from grafana_foundation_sdk.models.dashboard import Panel

from scripts.dashboards.frame import Section, render
from scripts.dashboards.panels import (
    COUNT,
    NONE_IS_GOOD,
    NOT_A_NUMBER,
    SECONDS,
    Column,
    Query,
    heat,
    lines,
    rows,
    single,
)
from scripts.dashboards.promql import in_range, largest, series, since_point, total

FEED_AGE = series("prices_feed_age_seconds")
DELAY = series("prices_bar_delay_seconds", "symbol")
ALLOWED = series("prices_stale_after_seconds", "symbol")
STALENESS = series("te_rollup_staleness_seconds", "symbol")
LAG = series("stage_lag_seconds", "stage")
LATENCY = series("stage_latency_seconds_bucket", "stage")
GATE_LATENCY = series("stage_latency_seconds_bucket", stage="tradepicker")
REJECTED = series("rows_rejected_total")
# No tick in the window is no latency.
IDLE = {NOT_A_NUMBER: ("no ticks", "text")}


def dashboard() -> str:
    """The dashboard's JSON."""
    return render(
        "tradeflow-freshness",
        "Data freshness",
        "How old the feed, its bars and derived tables are, and how fast stages follow.",
        ("run", "symbol", "stage"),
        (
            Section("", [(4, [(4, panel) for panel in _numbers()])]),
            Section("Feed and symbols", [(9, _feed()), (9, _symbols())]),
            Section("Stages", [(8, _stages()), (8, _quantiles())]),
            Section("Latency as a distribution", [(8, [(24, _distribution())])]),
        ),
    )


def _quantile(share: float, buckets: str, *labels: str) -> str:
    window = total(f"rate({buckets}[$__rate_interval])", "le", *labels)
    return f"histogram_quantile({share}, {window})"


def _numbers() -> list[Panel]:
    return [
        single(
            "Feed age",
            "Time since the feed last told its progress. Grows when the feed stops.",
            SECONDS,
            largest(FEED_AGE),
        ),
        single(
            "Largest bar delay",
            "How far the symbol that is furthest behind is behind the feed, in the bars' time.",
            SECONDS,
            largest(DELAY),
        ),
        single(
            "Largest rollup staleness",
            "How long the oldest bar that the engine has not covered has waited.",
            SECONDS,
            largest(STALENESS),
        ),
        single(
            "Largest stage lag",
            "How far the slowest stage is behind the feed, in the bars' time.",
            SECONDS,
            largest(LAG),
        ),
        single(
            "Latency of the gate, p95",
            "From the feed's progress to the gate's: 95 of 100 ticks take at most this.",
            SECONDS,
            _quantile(0.95, GATE_LATENCY),
            words=IDLE,
        ),
        single(
            "Rows rejected",
            "Rows in the time shown that could not be used; `tradeflow rejects` lists them.",
            COUNT,
            in_range(REJECTED),
            steps=NONE_IS_GOOD,
            decimals=0,
            now=True,
        ),
    ]


def _feed() -> list[tuple[int, Panel]]:
    age = lines(
        "Feed age over time",
        "When the feed paused and for how long.",
        SECONDS,
        Query(largest(FEED_AGE), "feed"),
        lowest=0,
    )
    table = rows(
        "Symbols",
        "Which symbols are behind, the furthest first, and from when on an alert says so.",
        {"symbol": "Symbol"},
        Column("Bar delay", largest(DELAY, "symbol"), SECONDS),
        Column("Its limit", largest(ALLOWED, "symbol"), SECONDS),
        Column("Rollup staleness", largest(STALENESS, "symbol"), SECONDS),
        sort="Bar delay",
    )
    return [(12, age), (12, table)]


def _symbols() -> list[tuple[int, Panel]]:
    delay = lines(
        "Bar delay by symbol",
        "How far each symbol's last bar is behind the feed, in the bars' time; dashed: limit.",
        SECONDS,
        Query(largest(DELAY, "symbol"), "{{symbol}}"),
        Query(largest(ALLOWED, "symbol"), "limit, {{symbol}}", is_limit=True),
        lowest=0,
    )
    staleness = lines(
        "Rollup staleness by symbol",
        "How long each symbol's oldest bar that the engine has not covered waits; dashed: limit.",
        SECONDS,
        Query(largest(STALENESS, "symbol"), "{{symbol}}"),
        Query(largest(series("risk_threshold", code="STALE_SECONDS")), "limit", is_limit=True),
        lowest=0,
    )
    return [(12, delay), (12, staleness)]


def _stages() -> list[tuple[int, Panel]]:
    lag = lines(
        "Lag by stage",
        "Which stage is behind the feed, in the bars' time.",
        SECONDS,
        Query(largest(LAG, "stage"), "{{stage}}"),
        lowest=0,
    )
    rejected = lines(
        "Rows rejected by table and code",
        "When rows could not be used, and why.",
        COUNT,
        Query(since_point(REJECTED, "table", "code"), "{{table}} {{code}}"),
        stacked_bars=True,
        minutes=True,
        lowest=0,
    )
    return [(12, lag), (12, rejected)]


def _quantiles() -> list[tuple[int, Panel]]:
    panels = [
        lines(
            f"Latency by stage, p{share * 100:.0f}",
            f"From the feed's progress to the stage's: {share * 100:.0f} of 100 ticks take at most "
            "this. Its differences are the latencies of the hops between stages.",
            SECONDS,
            Query(_quantile(share, LATENCY, "stage"), "{{stage}}"),
            lowest=0,
        )
        for share in (0.5, 0.95, 0.99)
    ]
    return [(8, panel) for panel in panels]


def _distribution() -> Panel:
    return heat(
        "Latency of $stage",
        "How ticks are spread over latencies: two bands where one is expected mean two causes.",
        SECONDS,
        since_point(LATENCY, "le"),
        per="stage",
    )
