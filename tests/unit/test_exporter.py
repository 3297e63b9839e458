"""Facts, figures and alerts of the exporter, from rows as the store gives them."""

import re
import threading
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from jobs.exporter.facts import Facts
from jobs.exporter.figures import Figures
from jobs.exporter.health import Health
from jobs.exporter.risk import Risk, message
from jobs.stack.scrape import Samples
from schemas.config import Config, parse_config
from schemas.market import PRICE_1M_HISTORY, PRICE_REJECTS
from schemas.ops import PROGRESS, PROGRESS_GAPS, REJECTS, RISK_ALERTS_HISTORY
from schemas.resolve import plan_run
from schemas.signals import ACCEPTED_TRADE_SIGNAL_HISTORY, REJECTED_TRADE_SIGNAL_HISTORY
from schemas.table import Table
from schemas.trading import (
    DUPLICATE_FILL_HISTORY,
    OPEN_POSITIONS_ROLLUP,
    PAPER_TRADE_MATCH_HISTORY,
    REALIZED_PNL_LATEST,
    TRADE_MATCH_HISTORY,
)

ROOT = Path(__file__).resolve().parents[2]
MINUTE_MS = 60_000
START = 1_711_756_800_000
PATIENCE_MS = 2_000
ODD = 'a"b\\c'  # an account that has to be escaped


def config(**given: Any) -> Config:
    tree: dict[str, Any] = {
        "run.id": "watched",
        "symbols": {
            "AUSD": {"price_tick": "0.01", "liquid": True},
            "BUSD": {"price_tick": "0.01"},
            "CEUR": {"price_tick": "0.01", "stale_after": "10m"},
        },
        "strategies": [
            {"id": "s", "kind": "ema_cross", "params": {"fast": 2, "slow": 3}},
            {"id": "t", "kind": "ema_cross", "params": {"fast": 2, "slow": 4}},
        ],
        "accounts": [
            {"id": one, "strategies": ["s", "t"], "sizing": {"notional": "1"},
             "start_capital": "1000"}
            for one in ("main", ODD)
        ],
        "monitoring": {"topK": 2},
    }  # fmt: skip
    return parse_config(tree | given)


class World:
    """Facts with a store's words in short."""

    def __init__(self, given: Config | None = None) -> None:
        self.config = given or config()
        self.facts = Facts(plan_run(self.config), PATIENCE_MS)
        self.facts.is_live = True
        self.risk = Risk(self.config, self.facts)
        self.lock = threading.Lock()
        self.is_ready, self.read_at = True, float("inf")
        self.now_ms = START

    def take(self, table: Table, deleted: bool = False, **row: Any) -> None:
        self.facts.take(table, row, deleted, self.now_ms)

    def bar(self, symbol: str, minute: int, close: float, late: bool = False) -> None:
        ts = START + minute * MINUTE_MS
        self.take(PRICE_1M_HISTORY, symbol=symbol, ts=ts, close=close, late=late)

    def tell(self, stage: str, minute: int, instance: str = "main") -> None:
        """Progress of the close of that minute's bar."""
        tick = START + (minute + 1) * MINUTE_MS
        self.take(PROGRESS, stage=stage, instance=instance, ts=tick)

    def hold(self, strategy: str, symbol: str, qty: str, cost: str, account: str = "main") -> None:
        amounts = {"net_qty": qty, "avg_price": "1", "open_cost": cost, "open_fees": "0.5"}
        self.take(
            OPEN_POSITIONS_ROLLUP, account_id=account, strategy_id=strategy, symbol=symbol,
            updated_ts=START, **{name: Decimal(text) for name, text in amounts.items()},
        )  # fmt: skip

    def flat(self, strategy: str, symbol: str, account: str = "main") -> None:
        self.take(
            OPEN_POSITIONS_ROLLUP, True, account_id=account, strategy_id=strategy, symbol=symbol
        )

    def samples(self, folder: Path) -> Samples:
        registry = CollectorRegistry()
        health = Health(folder, "metrics")
        registry.register(Figures(self, self.risk, health, 2))  # type: ignore[arg-type]
        return Samples(generate_latest(registry).decode())


def pairs(found: Samples, name: str, *labels: str) -> dict[tuple[str, ...], float]:
    return dict(found.by(name, *labels))


OWNER = ("account", "strategy")


def test_the_page_names_every_metric(tmp_path: Path) -> None:
    world = World()
    world.hold("s", "AUSD", "2", "200")
    key = {"account_id": "main", "strategy_id": "s", "symbol": "AUSD"}
    world.take(REALIZED_PNL_LATEST, **key, realized_pnl=Decimal(1), net_pnl=Decimal(1))
    world.bar("AUSD", 0, 1.0)
    for stage in ("feed", "engine"):
        world.tell(stage, 0)
    world.risk.look(START / 1000)
    served = world.samples(tmp_path).names()
    page = (ROOT / "docs" / "monitoring.md").read_text()
    rows = [line for line in page.splitlines() if line.startswith("| `")]
    told = {name for row in rows for name in re.findall(r"`([a-z_]+)`", row.split("|")[1])}
    parts = ("_bucket", "_count", "_sum", "_created")
    of_stack = {"tradeflow_job_up", "tradeflow_process_up", "tradeflow_process_starts_total"}
    assert {re.sub(f"({'|'.join(parts)})$", "", name) if "latency" in name else name
            for name in served} | of_stack == told  # fmt: skip


def test_positions_at_the_closes_that_the_engine_has_covered(tmp_path: Path) -> None:
    world = World()
    world.hold("s", "AUSD", "2", "200")
    world.hold("t", "AUSD", "-1", "-100")
    world.hold("s", "BUSD", "1", "10")
    world.hold("s", "AUSD", "3", "300", ODD)
    assert pairs(world.samples(tmp_path), "te_unrealized_pnl_total", *OWNER) == {}  # no close yet
    for minute, close in ((0, 101.0), (1, 102.0)):
        world.bar("AUSD", minute, close)
        world.bar("BUSD", minute, 9.0)
    world.tell("feed", 1)
    world.tell("engine", 0)
    found = world.samples(tmp_path)
    assert pairs(found, "te_unrealized_pnl_total", *OWNER) == {
        ("main", "s"): 2.0 - 1.0, ("main", "t"): -1.0, (ODD, "s"): 3.0,
    }  # fmt: skip
    assert found.one("te_net_exposure", account="main", strategy="t") == -101.0
    assert found.one("te_open_positions_count", account="main", strategy="s") == 2.0
    assert pairs(found, "te_unrealized_pnl_topk", "account", "symbol") == {
        ("main", "AUSD"): 1.0, ("main", "BUSD"): -1.0, (ODD, "AUSD"): 3.0,
    }  # fmt: skip
    world.tell("engine", 1)
    assert world.samples(tmp_path).one("te_net_exposure", strategy="t") == -102.0
    world.flat("t", "AUSD")
    assert ("main", "t") not in pairs(world.samples(tmp_path), "te_net_exposure", *OWNER)


def test_a_close_waits_for_the_engine_no_longer_than_the_patience(tmp_path: Path) -> None:
    world = World()
    world.hold("s", "AUSD", "1", "100")
    world.bar("AUSD", 0, 103.0)
    world.facts.release(START + PATIENCE_MS - 1)
    assert world.samples(tmp_path).of("te_unrealized_pnl_total") == []
    world.facts.release(START + PATIENCE_MS)
    assert world.samples(tmp_path).one("te_unrealized_pnl_total") == 3.0
    world.bar("AUSD", 1, 90.0, late=True)
    world.facts.release(START + 2 * PATIENCE_MS)
    assert world.samples(tmp_path).one("te_unrealized_pnl_total") == 3.0


def test_equity_of_one_currency_alone(tmp_path: Path) -> None:
    world = World()
    world.hold("s", "AUSD", "1", "100")
    key = {"account_id": "main", "strategy_id": "s"}
    world.take(REALIZED_PNL_LATEST, **key, symbol="AUSD",
               realized_pnl=Decimal("7.25"), net_pnl=Decimal("7"))  # fmt: skip
    world.bar("AUSD", 0, 60.0)
    world.tell("engine", 0)
    found = world.samples(tmp_path)
    assert found.one("te_realized_pnl_total") == 7.25
    assert found.one("te_net_pnl_total") == 7.0
    assert found.one("te_equity", account="main") == 1000 + 7 - 0.5 - 40
    assert found.one("te_equity", account=ODD) == 1000.0
    assert found.one("te_unrealized_drawdown", account="main") == 40.0
    assert found.one("te_unrealized_drawdown_ratio", account="main") == pytest.approx(40 / 1006.5)
    assert found.one("te_exposure_ratio", account="main") == pytest.approx(60 / 966.5)
    world.take(REALIZED_PNL_LATEST, **key, symbol="CEUR",
               realized_pnl=Decimal("1"), net_pnl=Decimal("1"))  # fmt: skip
    found = world.samples(tmp_path)
    assert found.one("te_equity", account="main") is None  # dollars and euros have no sum
    assert found.of("te_realized_pnl_total") == []
    assert found.one("te_equity", account=ODD) == 1000.0


def test_counters_are_counts_of_rows_and_begin_at_0(tmp_path: Path) -> None:
    world = World()
    found = world.samples(tmp_path)
    for name in ("tp_signals_rejected_total", "rows_rejected_total", "progress_gaps_total"):
        assert {one.value for one in found.of(name)} == {0.0}, name
    gate = {"account_id": "main", "open_symbols": 2, "reserved_symbols": 1}
    world.take(ACCEPTED_TRADE_SIGNAL_HISTORY, **gate, seq=2, reason="OK")
    world.take(REJECTED_TRADE_SIGNAL_HISTORY, **gate | {"open_symbols": 9}, seq=1,
               code="NO_OPEN_POSITION")  # fmt: skip
    world.take(TRADE_MATCH_HISTORY, match_id="a")
    world.take(PAPER_TRADE_MATCH_HISTORY, match_id="b")
    world.take(DUPLICATE_FILL_HISTORY, fill_id="f")
    world.take(PROGRESS_GAPS, stage="tradepicker")
    world.take(REJECTS, source_table="exec_report_history", code="STALE_FILL")
    world.take(REJECTS, source_table="rejects", code="APPLIED")
    world.take(PRICE_REJECTS, code="BAD_TS")
    found = world.samples(tmp_path)
    assert found.one("tp_signals_accepted_total", account="main", reason="OK") == 1.0
    assert found.one("tp_signals_rejected_total", account="main", code="NO_OPEN_POSITION") == 1.0
    assert found.one("engine_matches_emitted_total") == 2.0
    assert found.one("engine_duplicates_total") == 1.0
    assert found.one("progress_gaps_total", stage="tradepicker") == 1.0
    rejected = pairs(found, "rows_rejected_total", "table", "code")
    assert {name: count for name, count in rejected.items() if count} == {
        ("exec_report_history", "STALE_FILL"): 1.0, ("price_1m_history", "BAD_TS"): 1.0,
    }  # fmt: skip
    assert found.one("tp_open_symbols", account="main") == 2.0  # of the decision with seq 2
    assert found.one("tp_reserved_symbols", account="main") == 1.0


def test_freshness_of_bars_positions_and_stages(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = World()
    monkeypatch.setattr("time.time", lambda: (START + 9_000) / 1000)
    world.read_at = START / 1000 + 9
    world.bar("AUSD", 0, 1.0)
    world.bar("BUSD", 0, 1.0)
    world.tell("feed", 0)
    world.tell("engine", 0)
    world.now_ms += 4_000
    world.bar("AUSD", 2, 1.0)
    world.tell("feed", 2)
    world.now_ms += 300
    world.tell("indicators", 2)
    found = world.samples(tmp_path)
    assert pairs(found, "te_rollup_staleness_seconds", "symbol") == {
        ("AUSD",): 5.0, ("BUSD",): 0.0, ("CEUR",): 0.0,
    }  # fmt: skip
    assert pairs(found, "prices_bar_delay_seconds", "symbol") == {("AUSD",): 0.0, ("BUSD",): 120.0}
    assert pairs(found, "prices_stale_after_seconds", "symbol") == {
        ("AUSD",): 120.0, ("CEUR",): 600.0,
    }  # fmt: skip
    assert found.one("prices_feed_age_seconds") == 5.0
    assert pairs(found, "stage_lag_seconds", "stage") == {("engine",): 120.0, ("indicators",): 0.0}
    assert found.one("stage_latency_seconds_sum", stage="indicators") == 0.3
    # The store does not answer for a while: what it would have to confirm is absent.
    world.read_at = START / 1000
    found = world.samples(tmp_path)
    assert found.one("tradeflow_store_up") == 0.0
    for name in ("te_equity", "tp_signals_accepted_total", "prices_bar_delay_seconds"):
        assert found.of(name) == [], name
    stale = pairs(found, "te_rollup_staleness_seconds", "symbol")
    assert stale == {("AUSD",): 9.0, ("BUSD",): 9.0, ("CEUR",): 9.0}
    assert found.one("prices_feed_age_seconds") == 5.0


def test_an_alert_is_raised_and_cleared_once_each() -> None:
    world = World(config(**{"monitoring.alerts": {"drawdown_ratio": "0.1", "drawdown": "50"}}))
    world.hold("s", "AUSD", "1", "100")
    told = []
    # 50 is the limit, and below 40 the alert is over.
    for minute, close in enumerate((60, 50, 55, 50, 59, 61, 50)):
        world.bar("AUSD", minute, float(close))
        world.tell("feed", minute)
        world.tell("engine", minute)
        found = [one for one in world.risk.look(START / 1000) if one.subject.code == "DRAWDOWN"]
        told += [(minute, one.state) for one in found]
    assert told == [(1, "RAISED"), (5, "CLEARED"), (6, "RAISED")]
    (active,) = [one for one in found if one.state == "RAISED"]
    assert message(active) == "open positions of main lose 50, the limit is 50"
    names = [column.name for column in RISK_ALERTS_HISTORY.stored]
    row = dict(zip(names, world.risk.row(active), strict=True))
    assert (row["account_id"], row["code"], row["value"]) == ("main", "DRAWDOWN", 50)
    # Another process goes on where the rows end.
    other = World(world.config)
    other.risk.remember([row])
    other.hold("s", "AUSD", "1", "100")
    other.bar("AUSD", 7, 50.0)
    other.tell("feed", 7)
    other.tell("engine", 7)
    assert [one.state for one in other.risk.look(START / 1000)] == []
    other.bar("AUSD", 8, 100.0)
    other.tell("feed", 8)
    other.tell("engine", 8)
    assert [one.state for one in other.risk.look(START / 1000)] == ["CLEARED"]


def test_silence_and_positions_behind_are_told_of() -> None:
    world = World()
    world.bar("AUSD", 0, 1.0)
    world.tell("feed", 0)
    assert world.risk.look(START / 1000 + 119) == []
    found = world.risk.look(START / 1000 + 120)
    assert [one.subject for one in found] == [("STALE_PRICES", "feed"), ("STALE_ROLLUP", "AUSD")]
    assert message(found[0]) == "the feed is silent for 120 s, the limit is 120"
    world.hold("s", "AUSD", "1000", "100000")
    world.bar("AUSD", 60, 1.0)  # an hour on: of positions so far behind nothing is said
    world.now_ms += 130_000
    world.tell("feed", 60)
    found = world.risk.look(world.now_ms / 1000)
    assert [(one.subject, one.state) for one in found] == [(("STALE_PRICES", "feed"), "CLEARED")]
    world.tell("engine", 60)
    found = world.risk.look(world.now_ms / 1000)
    assert [(*one.subject, one.state) for one in found] == [
        ("DRAWDOWN", "main", "RAISED"), ("STALE_ROLLUP", "AUSD", "CLEARED"),
    ]  # fmt: skip
