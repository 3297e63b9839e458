"""Gate: what the tradepicker lets through, what it refuses and why, and what it waits for."""

from grafana_foundation_sdk.models.dashboard import Panel

from scripts.dashboards.frame import Section, render
from scripts.dashboards.panels import (
    COUNT,
    NONE_IS_GOOD,
    NOT_A_NUMBER,
    SECONDS,
    SHARE,
    Column,
    Query,
    lines,
    rows,
    single,
)
from scripts.dashboards.promql import in_range, largest, per_minute, series, since_point, total

ACCEPTED = series("tp_signals_accepted_total", "account")
REJECTED = series("tp_signals_rejected_total", "account")
OPEN = series("tp_open_symbols", "account")
RESERVED = series("tp_reserved_symbols", "account")
GAPS = series("progress_gaps_total")
OWN_GAPS = series("progress_gaps_total", stage="tradepicker")
LAG = series("stage_lag_seconds", stage="tradepicker")
# 0 of 0 signals is no share: a gap in a course, a word in a number.
NO_SIGNALS = {NOT_A_NUMBER: ("no signals", "text")}


def dashboard() -> str:
    """The dashboard's JSON."""
    return render(
        "tradeflow-gate",
        "Gate",
        "What the tradepicker lets through, what it refuses and why, and what it waits for.",
        ("run", "account"),
        (
            Section("", [(4, [(3, panel) for panel in (*_decisions(), *_waiting_now())])]),
            Section("Decisions", [(9, _courses()), (9, _refusals())]),
            Section("Room and waiting", [(8, _waiting())]),
        ),
    )


def _decisions() -> list[Panel]:
    accepted, refused = in_range(ACCEPTED), in_range(REJECTED)
    return [
        single(
            "Accepted",
            "Signals let through in the time shown.",
            COUNT,
            accepted,
            decimals=0,
            now=True,
        ),
        single(
            "Refused", "Signals refused in the time shown.", COUNT, refused, decimals=0, now=True
        ),
        single(
            "Share refused",
            "Refused of all signals decided in the time shown.",
            SHARE,
            f"{refused} / ({accepted} + {refused})",
            words=NO_SIGNALS,
            decimals=1,
            now=True,
        ),
        single(
            "Open symbols",
            "Symbols held, as of each account's last decision. Accounts with a cap only.",
            COUNT,
            total(OPEN),
            decimals=0,
        ),
    ]


def _waiting_now() -> list[Panel]:
    return [
        single(
            "Reserved symbols",
            "Symbols that an accepted order will open, as of each account's last decision. "
            "Accounts with a cap only.",
            COUNT,
            total(RESERVED),
            decimals=0,
        ),
        single(
            "Waiting",
            "How far the gate is behind the feed, in the bars' time.",
            SECONDS,
            largest(LAG),
        ),
        single(
            "Decided without",
            "Ticks in the time shown that the gate decided without a stage that was late.",
            COUNT,
            in_range(OWN_GAPS),
            steps=NONE_IS_GOOD,
            decimals=0,
            now=True,
        ),
        single(
            "Time-outs",
            "Ticks in the time shown that any stage went on from without one that was late.",
            COUNT,
            in_range(GAPS),
            steps=NONE_IS_GOOD,
            decimals=0,
            now=True,
        ),
    ]


def _courses() -> list[tuple[int, Panel]]:
    accepted = lines(
        "Accepted per minute by reason",
        "When signals pass, and on which ground.",
        COUNT,
        Query(per_minute(ACCEPTED, "reason"), "{{reason}}"),
        stacked_bars=True,
        lowest=0,
    )
    refused = lines(
        "Refused per minute by code",
        "When signals are refused, and why.",
        COUNT,
        Query(per_minute(REJECTED, "code"), "{{code}}"),
        stacked_bars=True,
        lowest=0,
    )
    return [(12, accepted), (12, refused)]


def _refusals() -> list[tuple[int, Panel]]:
    refused = f"sum by (account) (rate({REJECTED}[$__rate_interval]))"
    accepted = f"sum by (account) (rate({ACCEPTED}[$__rate_interval]))"
    share = lines(
        "Share refused by account",
        "Which account's signals are refused. No line where there are no signals.",
        SHARE,
        Query(f"{refused} / ({accepted} + {refused})", "{{account}}"),
        lowest=0,
    )
    table = rows(
        "Refused by account and code",
        "What is refused most, in the time shown.",
        {"account": "Account", "code": "Code"},
        Column("Refused", f"{in_range(REJECTED, 'account', 'code')} > 0", COUNT, decimals=0),
        sort="Refused",
    )
    return [(14, share), (10, table)]


def _waiting() -> list[tuple[int, Panel]]:
    symbols = lines(
        "Open and reserved symbols",
        "How full accounts with a cap are, as of their last decisions.",
        COUNT,
        Query(total(OPEN, "account"), "{{account}} open"),
        Query(total(RESERVED, "account"), "{{account}} reserved"),
        lowest=0,
    )
    lag = lines(
        "Waiting over time",
        "How far the gate and the stages that it waits for are behind the feed, in the bars' time.",
        SECONDS,
        *(
            Query(largest(series("stage_lag_seconds", stage=stage), "stage"), "{{stage}}")
            for stage in ("strategies", "engine", "tradepicker")
        ),
        lowest=0,
    )
    gaps = lines(
        "Time-outs by stage",
        "When which stage went on without one that was late: the table progress_gaps.",
        COUNT,
        Query(since_point(GAPS, "stage"), "{{stage}}"),
        stacked_bars=True,
        minutes=True,
        lowest=0,
    )
    return [(8, symbols), (8, lag), (8, gaps)]
