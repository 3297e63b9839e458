"""Scenarios worked out by hand, to check the reference itself."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import pytest

from .features import feature
from .run import run, run_engine

MINUTE = 60_000
BREAKOUT = {
    "id": "breakout",
    "kind": "donchian_breakout",
    "timeframe": "1m",
    "params": {"entry": 2, "exit": 2},
}
# BUY at the close of the fourth bar, SELL at the close of the sixth
UP_AND_DOWN = [100, 100, 100, 110, 120, 90, 80]


def flat_bars(symbol: str, closes: Sequence[float], minutes: list[int] | None = None) -> list[Any]:
    """Bars whose four prices are equal, one per minute from the epoch on unless told."""
    minutes = minutes or list(range(len(closes)))
    prices = ("open", "high", "low", "close")
    return [
        {"symbol": symbol, "ts": minute * MINUTE, **dict.fromkeys(prices, close), "volume": 1}
        for minute, close in zip(minutes, closes, strict=True)
    ]


def configuration(**changes: Any) -> dict[str, Any]:
    account = {
        "id": "acct-1",
        "strategies": ["breakout"],
        "sizing": {"notional": "1000"},
        "fee_bps": "10",
        "slippage_bps": "10",
    }
    symbol = {"price_tick": "0.01", "qty_step": "0.001"}
    return {
        "run": {"id": "hand"},
        "symbols": {"BTCUSD": symbol, "ETHUSD": symbol},
        "strategies": [BREAKOUT],
        "accounts": [account],
        **changes,
    }


def report(n: int, side: str, qty: str, price: str, fee: str, **more: Any) -> dict[str, Any]:
    return {
        "account_id": "a",
        "strategy_id": "s",
        "order_id": f"o{n}",
        "fill_id": f"o{n}:1",
        "symbol": "BTCUSD",
        "side": side,
        "fill_qty": qty,
        "fill_price": price,
        "ts": n * MINUTE,
        "fee": fee,
        "fee_currency": "",
        "venue": "v",
        **more,
    }


def test_one_buy_and_sell_with_fees() -> None:
    tables = run(configuration(), flat_bars("BTCUSD", UP_AND_DOWN))
    signals = [(s["signal_ts"], s["action"]) for s in tables["strategy_signal_history"]]
    assert signals == [(4 * MINUTE, "BUY"), (6 * MINUTE, "SELL")]
    buy, sell = tables["exec_report_history"]
    # 1000 / 110 = 9.0909..; 120 x 1.001 = 120.12; 120.12 x 9.09 x 0.001 = 1.0918908
    assert (buy["ts"], buy["fill_qty"], buy["fill_price"]) == (
        5 * MINUTE,
        Decimal("9.09"),
        Decimal("120.12"),
    )
    assert buy["fee"] == Decimal("1.0918908")
    assert (sell["ts"], sell["fill_price"], sell["fee"]) == (
        7 * MINUTE,
        Decimal("79.92"),
        Decimal("0.7264728"),
    )
    (match,) = tables["trade_match_history"]
    assert match["realized_pnl"] == Decimal("-365.418")
    assert match["fees"] == Decimal("1.8183636")
    assert match["net_pnl"] == Decimal("-367.2363636")
    assert (match["open_ts"], match["match_ts"]) == (5 * MINUTE, 7 * MINUTE)
    (day,) = tables["equity_daily"]
    assert (day["day"], day["equity"]) == ("1970-01-01", Decimal("-367.2363636"))
    assert tables["unrealized_snapshot"] == []
    assert tables["manifest"]["rejected"] == {}


def test_open_position_is_valued_and_the_last_order_stays_open() -> None:
    tables = run(configuration(), flat_bars("BTCUSD", UP_AND_DOWN[:6]))
    (row,) = tables["unrealized_snapshot"]
    # (90 - 120.12) x 9.09
    assert row["unrealized"] == Decimal("-273.7908")
    (day,) = tables["equity_daily"]
    assert day["equity"] == Decimal("-273.7908") - Decimal("1.0918908")
    accepted = tables["accepted_trade_signal_history"]
    assert tables["manifest"]["unfilled"] == [accepted[1]["order_id"]]


def test_flip_with_fee_shares() -> None:
    reports = [
        report(4, "BUY", "3", "80", "0.3"),
        report(1, "BUY", "3", "100", "1"),
        report(2, "SELL", "7", "110", "1"),
        report(3, "BUY", "1", "90", "0.5", fee_currency="BNB"),
        report(3, "BUY", "1", "90", "0.5", fee_currency="BNB"),
    ]
    tables = run_engine(reports, {})
    assert tables["duplicates"] == 1
    figures = [
        (m["matched_qty"], m["realized_pnl"], m["fees"], m["other_fees"])
        for m in tables["trade_match_history"]
    ]
    assert figures == [
        (Decimal(3), Decimal(30), Decimal("1.428571428571"), {}),
        (Decimal(1), Decimal(20), Decimal("0.142857142857"), {"BNB": Decimal("0.5")}),
        # the sale's last part takes what is left of its fee: 1 - 0.428571428571 - 0.142857142857
        (Decimal(3), Decimal(90), Decimal("0.728571428572"), {}),
    ]
    sides = [(m["buy_order_id"], m["sell_order_id"]) for m in tables["trade_match_history"]]
    assert sides == [("o1", "o2"), ("o3", "o2"), ("o4", "o2")]
    (realized,) = tables["realized_pnl_latest"]
    assert realized["fees"] == Decimal("2.3")
    assert realized["net_pnl"] == Decimal("137.7")
    assert tables["open_positions_lots"] == tables["open_positions_rollup"] == []


def test_partial_close_leaves_a_lot_and_its_open_fees() -> None:
    reports = [
        report(1, "BUY", "1", "100", "0.1"),
        report(2, "BUY", "2", "103", "0.2"),
        report(3, "SELL", "2", "110", "0"),
    ]
    tables = run_engine(reports, {})
    (lot,) = tables["open_positions_lots"]
    assert (lot["qty_open"], lot["qty_rem"], lot["updated_ts"]) == (2, 1, 3 * MINUTE)
    (rollup,) = tables["open_positions_rollup"]
    assert (rollup["net_qty"], rollup["open_cost"]) == (1, 103)
    assert rollup["open_fees"] == Decimal("0.1")


def test_reports_that_are_refused() -> None:
    bad = [
        report(1, "BUY", "1", "1", "0", order_id=""),
        report(1, "buy", "1", "1", "0"),
        report(1, "BUY", "x", "1", "0"),
        report(1, "BUY", "0", "1", "0"),
        report(1, "BUY", "1e-19", "1", "0"),
        report(1, "BUY", "1", "1", "0", strategy_id=None),
        report(1, "BUY", "1", "1", "0", ts="1.5"),
        report(1, "BUY", "1", "1", "0", ts="1.5"),
    ]
    tables = run_engine(bad, {})
    assert [row["code"] for row in tables["rejects"]] == [
        "MISSING_ID",
        "BAD_SIDE",
        "NOT_A_NUMBER",
        "NOT_POSITIVE",
        "PRECISION",
        "UNKNOWN_ORDER",
        "BAD_TS",
    ]
    assert tables["trade_match_history"] == []


def test_a_copy_beyond_the_memory_counts_as_new() -> None:
    week = 7 * 86_400_000
    times = [0, week, week + 1]
    tables = run_engine([report(1, "BUY", "1", "1", "0", ts=ts) for ts in times], {})
    assert tables["duplicates"] == 1
    assert tables["open_positions_rollup"][0]["net_qty"] == 2


def test_a_cap_counts_reservations() -> None:
    rows = flat_bars("BTCUSD", UP_AND_DOWN) + flat_bars("ETHUSD", UP_AND_DOWN)
    tables = run(configuration(**{"tradepicker.maxOpenPositions": 1}), rows)
    (refused, no_position) = tables["rejected_trade_signal_history"]
    assert (refused["symbol"], refused["code"]) == ("ETHUSD", "OPEN_LIMIT_EXCEEDED")
    assert (refused["open_symbols"], refused["reserved_symbols"]) == (0, 1)
    assert refused["qty"] == Decimal("9.09")
    assert (no_position["code"], no_position["qty"]) == ("NO_OPEN_POSITION", None)
    assert (no_position["open_symbols"], no_position["reserved_symbols"]) == (1, 0)
    assert tables["manifest"]["over_cap"] == 0


@pytest.mark.parametrize("ttl, over_cap", [(5 * MINUTE, 1), (9 * MINUTE, 0)])
def test_an_expired_reservation_may_pass_the_cap(ttl: int, over_cap: int) -> None:
    # BTCUSD is reserved at minute 4 and filled at minute 12; ETHUSD wants in at minute 9
    rows = flat_bars("BTCUSD", [100, 100, 100, 110, 120], [0, 1, 2, 3, 11])
    rows += flat_bars("ETHUSD", [100, 100, 100, 110, 120], [5, 6, 7, 8, 9])
    gate = {"maxOpenPositions": 1, "reservationTtlMs": ttl}
    tables = run(configuration(tradepicker=gate), rows)
    assert tables["manifest"]["over_cap"] == over_cap
    assert len(tables["rejected_trade_signal_history"]) == 1 - over_cap


def test_shadow_accounts_have_no_limits() -> None:
    rows = flat_bars("BTCUSD", UP_AND_DOWN) + flat_bars("ETHUSD", UP_AND_DOWN)
    config = configuration(**{"tradepicker.maxOpenPositions": 1})
    config["accounts"][0]["shadow"] = True
    tables = run(config, rows)
    accounts = [row["account_id"] for row in tables["trade_match_history"]]
    assert accounts == ["acct-1", "paper:acct-1", "paper:acct-1"]


def test_shorts_and_covers() -> None:
    # The holder keeps BTCUSD open, so the other strategy may sell it short while it has none.
    strategies = [
        {**BREAKOUT, "id": "holder", "params": {"entry": 2, "exit": 5}},
        {**BREAKOUT, "id": "short", "params": {"entry": 9, "exit": 2}},
    ]
    account = {"id": "a", "strategies": ["holder", "short"], "sizing": {"fixed_qty": 1}}
    gate = {"sellRequiresLong": False}
    config = configuration(strategies=strategies, accounts=[account], tradepicker=gate)
    closes = [100.0] * 6 + [110, 120, 130, 140, 118, 117, 150, 160]
    tables = run(config, flat_bars("BTCUSD", closes))
    actions = [
        (row["strategy_id"], row["ts"] // MINUTE, row["action"], row["qty"])
        for row in tables["accepted_trade_signal_history"]
    ]
    assert actions == [
        ("holder", 7, "BUY", 1),
        ("short", 11, "SELL", 1),
        ("holder", 13, "BUY", 1),
        ("short", 13, "BUY", 1),
    ]
    (match,) = tables["trade_match_history"]
    assert (match["strategy_id"], match["realized_pnl"]) == ("short", 117 - 160)
    assert match["open_ts"] == 12 * MINUTE
    config["tradepicker"] = {"sellRequiresLong": True}
    tables = run(config, flat_bars("BTCUSD", closes))
    assert tables["manifest"]["rejected"] == {"NO_OPEN_POSITION": 1}


def test_entries_and_budget() -> None:
    strategies = [{**BREAKOUT, "params": {"entry": 2, "exit": 20}}]
    account = {"id": "a", "strategies": ["breakout"], "sizing": {"fixed_qty": 1}}
    config = configuration(strategies=strategies, accounts=[account])
    # BUY at 110 and, after a pause, at 112
    closes = [100.0] * 20 + [110, 110, 110, 112, 112]
    rows = flat_bars("BTCUSD", closes)
    assert run(config, rows)["manifest"]["rejected"] == {}
    config["tradepicker"] = {"maxEntries": 1}
    assert run(config, rows)["manifest"]["rejected"] == {"ENTRY_LIMIT_EXCEEDED": 1}
    config["tradepicker"] = {}
    for budget, rejected in (("222", {}), ("221.99", {"BUDGET_EXCEEDED": 1})):
        account["limits"] = {"maxNotional": budget}
        assert run(config, rows)["manifest"]["rejected"] == rejected


def test_bars_that_are_not_kept() -> None:
    good = flat_bars("BTCUSD", [100, 101])
    rows: list[dict[str, Any]] = [
        good[1],
        dict(good[1]),
        good[0],
        {**good[1], "symbol": "NOPE"},
        {**good[1], "ts": 600 * MINUTE},
        {**good[1], "ts": "60000.5"},
        {**good[1], "ts": 61_000},
        {**good[1], "open": "x"},
        {**good[1], "low": 0},
        {**good[1], "low": 102},
        {**good[1], "volume": -1},
        {**good[1], "ts": "120000.0", "open": "101"},
    ]
    tables = run(configuration(run={"id": "r", "start": 0, "end": 600 * MINUTE}), rows)
    manifest = tables["manifest"]
    assert manifest["skipped"] == {"out_of_range": 1, "unknown_symbol": 1}
    assert (manifest["late"], manifest["duplicates"]) == (1, 1)
    assert manifest["price_rejects"] == {
        "BAD_TS": 2,
        "BAD_VOLUME": 1,
        "OHLC_INCONSISTENT": 1,
        "PRICE_NOT_FINITE": 1,
        "PRICE_NOT_POSITIVE": 1,
    }
    assert [row["ts"] for row in tables["indicator_history"]] == [2 * MINUTE, 3 * MINUTE]


def test_days_are_those_of_oslo() -> None:
    # 22:59 UTC of 1970-01-01 closes at midnight in Oslo (UTC+1), so it belongs to the 2nd
    rows = flat_bars("BTCUSD", [100, 100], [22 * 60 + 58, 22 * 60 + 59])
    tables = run(configuration(), rows)
    assert [row["day"] for row in tables["equity_daily"]] == ["1970-01-01", "1970-01-02"]


def test_a_gap_closes_windows_late_and_the_end_closes_none() -> None:
    config = configuration(strategies=[{**BREAKOUT, "timeframe": "5m"}])
    rows = flat_bars("BTCUSD", [1, 2, 3, 4, 5, 6], [0, 3, 7, 9, 21, 22])
    history = run(config, rows)["indicator_history"]
    assert [(r["ts"] // MINUTE, r["open"], r["close"], r["volume"]) for r in history] == [
        (5, 1, 2, 2.0),
        (10, 3, 4, 2.0),
    ]


def test_an_intrabar_strategy_sees_the_bar_so_far() -> None:
    strategy = {**BREAKOUT, "timeframe": "5m", "intrabar": True}
    # Three bars between 99 and 100. Minute 17 is above them, 18 not, 19 again: one BUY. In the next
    # bar minute 20 is below, and so is the end of that bar, which lacks its last minute.
    closes = [*[100, 99] * 7, 100, *[100, 99, 104, 100, 104], *[90, 100, 90], *[108, 91]]
    minutes = [*range(20), 20, 22, 23, 27, 28]
    rows = flat_bars("BTCUSD", [float(one) for one in closes], minutes)
    tables = run(configuration(strategies=[strategy]), rows)
    signals = [
        (row["signal_ts"] // MINUTE, row["action"], row["close"], row["strategy_version"])
        for row in tables["strategy_signal_history"]
    ]
    assert signals == [
        (18, "BUY", 104.0, "1+intrabar"),
        (21, "SELL", 90.0, "1+intrabar"),
        (28, "BUY", 108.0, "1+intrabar"),
    ]
    assert [row["ts"] // MINUTE for row in tables["indicator_history"]] == [5, 10, 15, 20, 25]


def test_grids() -> None:
    grid = {"id": "sweep", "kind": "ema_cross", "grid": {"slow": [3, 4], "fast": [2, 3]}}
    config = configuration(strategies=[grid])
    account = {"id": "a", "strategies": ["sweep"], "sizing": {"fixed_qty": 1}}
    config["accounts"] = [account]
    tables = run(config, flat_bars("BTCUSD", [1.0, 2.0]))
    assert tables["manifest"]["grid_left_out"] == 1
    assert [row["strategy_id"] for row in tables["equity_daily"]] == [
        "sweep/fast=2,slow=3",
        "sweep/fast=2,slow=4",
        "sweep/fast=3,slow=4",
    ]


def test_features_without_talib() -> None:
    tables = run(configuration(), flat_bars("BTCUSD", [1.0, 3.0, 2.0, 5.0]))
    columns = [
        (row["donchian_high_2"], row["donchian_low_2"]) for row in tables["indicator_history"]
    ]
    assert columns == [(None, None), (None, None), (3.0, 1.0), (3.0, 2.0)]
    assert feature("ema_2", []) == []
