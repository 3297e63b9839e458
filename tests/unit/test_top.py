"""`tradeflow top`: what it makes of the exporter's words."""

import io

import pytest
from rich.console import Console

from cli.top import span, view
from jobs.stack.scrape import Samples

WELL = """
tradeflow_store_up 1
tradeflow_job_up{job="indicators"} 1
tradeflow_process_up{process="tablet-0"} 1
prices_feed_age_seconds 3
te_rollup_staleness_seconds{symbol="AUSD"} 240
stage_lag_seconds{stage="engine"} 7300
te_equity{account="main"} 100500.5
te_unrealized_drawdown_ratio{account="main"} 0.0123
te_exposure_ratio{account="main"} 0.5
te_open_positions_count{account="main",strategy="s"} 2
te_unrealized_pnl_total{account="main",strategy="s"} -12.345
te_realized_pnl_total{account="main",strategy="t"} 1234567.891
te_unrealized_pnl_topk{account="main",symbol="AUSD"} -12.345
tp_signals_accepted_total{account="main",reason="OK"} 7
tp_signals_rejected_total{account="main",code="NO_OPEN_POSITION"} 5
tp_signals_rejected_total{account="main",code="BUDGET_EXCEEDED"} 0
risk_alert_active{code="DRAWDOWN",subject="main"} 1
"""


def shown(text: str) -> str:
    console = Console(file=io.StringIO(), width=100)
    console.print(view("run", Samples(text)))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_all_of_it() -> None:
    found = shown(WELL)
    for part in (
        "1 of 1 processes run", "feed 3 s ago", "oldest bar waits 4 min", "behind: engine 2 h",
        "alerts: DRAWDOWN main", "100,500.50", "1.23", "50.0", "-12.35", "1,234,567.89",
        "NO_OPEN_POSITION 5",
    ):  # fmt: skip
        assert part in found, part
    assert "BUDGET" not in found


def test_what_is_down_and_an_absent_store() -> None:
    found = shown(WELL.replace('"indicators"} 1', '"indicators"} 0').replace("up 1", "up 0", 1))
    assert "0 of 1 jobs run (not indicators)" in found
    assert "the store does not answer: no figure of it is shown" in found
    assert "100,500" not in found


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0 s"), (119, "119 s"), (180, "3 min"), (7200, "2 h"),
                          (259_200, "3 days")],
)  # fmt: skip
def test_span(seconds: float, text: str) -> None:
    assert span(seconds) == text
