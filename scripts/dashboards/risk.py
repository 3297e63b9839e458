"""Risk: how near accounts are to their limits, which alerts fire, and which have fired."""

from grafana_foundation_sdk.models.dashboard import Panel

from scripts.dashboards.frame import Section, render
from scripts.dashboards.panels import (
    ACTIVE,
    AMOUNT,
    COUNT,
    NEUTRAL,
    NONE_IS_GOOD,
    OF_LIMIT,
    SECONDS,
    SHARE,
    Column,
    Query,
    lines,
    rows,
    single,
    states,
)
from scripts.dashboards.promql import alerts, largest, series, share_of_limit, total

EQUITY = series("te_equity", "account")
DRAWDOWN = series("te_unrealized_drawdown", "account")
RATIO = series("te_unrealized_drawdown_ratio", "account")
EXPOSURE = series("te_exposure_ratio", "account")
RISK = series("risk_alert_active")
FIRING = alerts(alertstate="firing")
# Headings of alerts' labels. Others that an alert has keep their names, so that no two alerts
# become one row.
LABELS = {
    "alertname": "Alert",
    "severity": "Severity",
    "account": "Account",
    "symbol": "Symbol",
    "subject": "Of",
    "job_name": "Flink job",
    "job": "Job",
    "process": "Process",
    "table": "Table",
    "code": "Code",
}


def dashboard() -> str:
    """The dashboard's JSON."""
    return render(
        "tradeflow-risk",
        "Risk",
        "How near accounts are to their limits, which alerts fire, and which have fired.",
        ("run", "account"),
        (
            Section("", [(4, [(4, panel) for panel in _numbers()])]),
            Section("Accounts", [(8, _accounts()), (9, _drawdown())]),
            Section("Alerts", [(8, _firing()), (9, _history())]),
        ),
    )


def _limit(code: str) -> Query:
    return Query(largest(series("risk_threshold", code=code)), "limit", is_limit=True)


def _numbers() -> list[Panel]:
    return [
        single(
            "Alerts firing",
            "Alerts of Prometheus that fire now, this run's and those of no run.",
            COUNT,
            f"count({FIRING}) or vector(0)",
            steps=NONE_IS_GOOD,
            decimals=0,
        ),
        single(
            "Risk alerts active",
            "Limits of monitoring.alerts that are exceeded now, all accounts and symbols.",
            COUNT,
            total(RISK),
            steps=NONE_IS_GOOD,
            decimals=0,
        ),
        single(
            "Largest drawdown",
            "How far the worst account's equity lies below its equity without open positions.",
            SHARE,
            largest(RATIO),
            decimals=2,
        ),
        single(
            "Drawdown, of its limit",
            "The worst account's drawdown as a share of what is allowed.",
            SHARE,
            largest(share_of_limit(RATIO, "DRAWDOWN_RATIO")),
            steps=OF_LIMIT,
            decimals=0,
        ),
        single(
            "Largest exposure",
            "Net exposures without their signs, of the worst account, as a share of its equity.",
            SHARE,
            largest(EXPOSURE),
            decimals=1,
        ),
        single(
            "Exposure, of its limit",
            "The worst account's exposure as a share of what is allowed, where a limit is set.",
            SHARE,
            largest(share_of_limit(EXPOSURE, "EXPOSURE_RATIO")),
            steps=OF_LIMIT,
            decimals=0,
        ),
    ]


def _accounts() -> list[tuple[int, Panel]]:
    of_limit = largest(share_of_limit(RATIO, "DRAWDOWN_RATIO"), "account")
    accounts = rows(
        "Accounts",
        "Which account is nearest to its limits, as of now.",
        {"account": "Account"},
        Column("Equity", total(EQUITY, "account"), AMOUNT, 2),
        Column("Drawdown", largest(DRAWDOWN, "account"), AMOUNT, 2),
        Column("Drawdown ratio", largest(RATIO, "account"), SHARE, 2),
        Column("Of its limit", of_limit, SHARE, 0, OF_LIMIT),
        Column("Exposure ratio", largest(EXPOSURE, "account"), SHARE, 1),
        sort="Drawdown ratio",
    )
    active = rows(
        "Risk alerts",
        "Every limit that is watched, those exceeded first.",
        {"code": "Code", "subject": "Of"},
        Column("State", largest(RISK, "code", "subject"), COUNT, 0, NEUTRAL, ACTIVE),
        sort="State",
    )
    return [(14, accounts), (10, active)]


def _drawdown() -> list[tuple[int, Panel]]:
    ratio = lines(
        "Drawdown ratio by account",
        "Unrealized loss as a share of equity without open positions; dashed: the limit.",
        SHARE,
        Query(largest(RATIO, "account"), "{{account}}"),
        _limit("DRAWDOWN_RATIO"),
        lowest=0,
    )
    amount = lines(
        "Drawdown by account",
        "Unrealized loss in the quote currency; dashed: the limit, where one is set.",
        AMOUNT,
        Query(largest(DRAWDOWN, "account"), "{{account}}"),
        _limit("DRAWDOWN_ABSOLUTE"),
        lowest=0,
    )
    exposure = lines(
        "Exposure ratio by account",
        "Net exposures without their signs as a share of equity; dashed: the limit, where one is "
        "set.",
        SHARE,
        Query(largest(EXPOSURE, "account"), "{{account}}"),
        _limit("EXPOSURE_RATIO"),
        lowest=0,
    )
    return [(8, ratio), (8, amount), (8, exposure)]


def _firing() -> list[tuple[int, Panel]]:
    since = f"time() - ({alerts('ALERTS_FOR_STATE')} and ignoring (alertstate) {FIRING})"
    now = rows(
        "Firing now",
        "What somebody should look at, and for how long already; docs/runbooks.md says what to do.",
        LABELS,
        Column("For", f"max without (instance, run)({since})", SECONDS),
        sort="For",
    )
    lasted = f"60 * {total(f'count_over_time({FIRING}[$__range:1m])', 'alertname', 'severity')}"
    before = rows(
        "Fired in the time shown",
        "Which alerts fire most: the time that each fired, its subjects added up.",
        {"alertname": "Alert", "severity": "Severity"},
        Column("Fired for", lasted, SECONDS),
        sort="Fired for",
    )
    return [(16, now), (8, before)]


def _history() -> list[tuple[int, Panel]]:
    risk = states(
        "Risk alerts over time",
        "When which limit was exceeded.",
        ACTIVE,
        Query(largest(RISK, "code", "subject"), "{{code}} {{subject}}"),
    )
    fired = states(
        "Alerts over time",
        "When which alert fired.",
        {"1": ("firing", "red")},
        Query(largest(FIRING, "alertname"), "{{alertname}}"),
    )
    return [(12, risk), (12, fired)]
