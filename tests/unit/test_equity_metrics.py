"""scripts/equity_metrics.py as its users call it: sources, options, what is not defined, errors."""

import datetime
import json
import math
from decimal import Decimal
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from jobs.run import run_frames
from scripts.equity.capital import capital_of
from scripts.equity.report import MONEY_AND_RATIOS
from scripts.equity_metrics import daily_pnl, equity_curve, summary, summary_by
from tests.runs import config, run, write_bars
from udfs.errors import ConfigError

NOT_NOTED = {"unrealized", *(f"max_drawdown_{word}" for word in ("peak", "trough", "recovery"))}


def ms(text):
    """UTC ms of a UTC time."""
    moment = datetime.datetime.fromisoformat(text).replace(tzinfo=datetime.UTC)
    return int(moment.timestamp() * 1000)


def matches(*rows, **columns):
    """Matches of (symbol, match time, realized, fees), one unit from 100, held for an hour."""
    frame = pd.DataFrame(
        [
            {
                "account_id": "main",
                "strategy_id": "trend",
                "symbol": symbol,
                "matched_qty": Decimal(1),
                "buy_price": Decimal(100),
                "sell_price": 100 + Decimal(realized),
                "realized_pnl": Decimal(realized),
                "fees": Decimal(fees),
                "net_pnl": Decimal(realized) - Decimal(fees),
                "open_ts": ms(time) - 3_600_000,
                "match_ts": ms(time),
            }
            for symbol, time, realized, fees in rows
        ]
    )
    return frame.assign(**columns)


THREE = matches(
    ("BTCUSD", "2024-01-01T10:00", "31", "1"),
    ("ETHUSD", "2024-01-02T10:00", "-9", "1"),
    ("BTCUSD", "2024-01-04T10:00", "6", "1"),
)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A run over three days in which Oslo's clocks go forward: six kinds, three accounts."""
    folder = tmp_path_factory.mktemp("run")
    return run(config(write_bars(folder / "bars")), folder / "runs").folder


# ---- a run's folder --------------------------------------------------------------------------


def test_figures_of_a_run_are_those_of_its_own_summary(finished):
    rows = json.loads((finished / "manifest.json").read_text())["summary"]
    assert len(rows) > 20
    for row in rows:
        choice = {"strategy": row["strategy_id"]} if row["strategy_id"] else {}
        found = summary(finished, account=row["account_id"], **choice)
        assert found["basis"] == "marked to market"
        for key in ("gross_pnl", "fees", "net_pnl"):
            assert found[key] == Decimal(row[key])
        assert found["trades"] == row["round_trips"]
        for key in (
            "start_capital", "sharpe", "max_drawdown", "max_drawdown_amount", "win_rate",
            "profit_factor",
        ):  # fmt: skip
            assert found[key] == pytest.approx(row[key], rel=1e-12, abs=1e-9), key


def test_daily_sums_of_a_run_are_those_of_its_equity_daily(finished):
    table = pd.read_parquet(finished / "equity_daily.parquet")
    by = ["account_id", "strategy_id"]
    daily = daily_pnl(finished, by=by).reset_index()
    daily["day"] = daily["day"].dt.strftime("%Y-%m-%d")
    both = table.merge(daily, on=[*by, "day", "currency"], suffixes=("", "_of_matches"))
    assert len(both) == len(table) == len(daily)
    assert (both["realized"] == both["realized_of_matches"]).all()
    assert (both["fees"] == both["fees_of_matches"]).all()


def test_the_open_result_is_that_of_the_snapshot(finished):
    snapshot = pd.read_parquet(finished / "unrealized_snapshot.parquet")
    assert summary(finished)["unrealized"] == snapshot["unrealized"].sum() != 0
    by_symbol = summary_by(finished, "symbol").set_index("symbol")
    for symbol, rows in snapshot.groupby("symbol"):
        assert by_symbol.loc[symbol, "unrealized"] == rows["unrealized"].sum()
    assert set(by_symbol["basis"]) == {"realized-only"}
    assert set(by_symbol["days"]) == {summary(finished)["days"]}  # the run's, not the symbol's


def test_start_capital_of_a_run_is_its_accounts(finished):
    assert summary(finished)["start_capital"] == 400_000  # one of the four is a shadow
    assert summary(finished, account=["free", "tight"])["start_capital"] == 200_000
    assert any("shadow" in note for note in summary(finished)["notes"])
    assert not any("shadow" in note for note in summary(finished, account="free")["notes"])
    assert summary(finished, start_capital="5000")["start_capital"] == 5000


def test_a_grid_stands_for_its_combinations(finished):
    parts = summary_by(finished, "strategy", strategy="sweep")
    assert list(parts["strategy"]) == [f"sweep/fast={f},slow={s}" for f, s in
                                       ((5, 34), (5, 8), (8, 34))]  # fmt: skip
    assert parts["net_pnl"].sum() == summary(finished, strategy="sweep")["net_pnl"]


def test_another_zone_than_the_runs_is_realized_only(finished):
    found = summary(finished, zone="UTC")
    assert found["basis"] == "realized-only"
    assert any("Europe/Oslo" in note for note in found["notes"])
    assert found["net_pnl"] == summary(finished)["net_pnl"]


def test_every_way_to_name_the_matches_gives_the_same(finished, tmp_path):
    file = finished / "trade_match_history.parquet"
    frame = pd.read_parquet(file)
    folder = tmp_path / "parts"
    folder.mkdir()
    frame.iloc[:100].to_parquet(folder / "a.parquet")
    frame.iloc[100:].to_parquet(folder / "b.parquet")
    frame.to_csv(tmp_path / "matches.csv", index=False)
    amounts = ["matched_qty", "buy_price", "sell_price", "realized_pnl", "fees", "net_pnl"]
    ways = [
        file, str(file), folder, tmp_path / "matches.csv", frame, pa.Table.from_pandas(frame),
        {"trade_match_history": frame}, frame.sample(frac=1, random_state=1),
        frame.astype(dict.fromkeys(amounts, str)), frame.astype({"symbol": "category"}),
        frame.assign(match_ts=pd.to_datetime(frame["match_ts"], unit="ms", utc=True)),
    ]  # fmt: skip
    expected = summary(ways[0])
    assert expected["basis"] == "realized-only"
    assert expected["net_pnl"] == frame["net_pnl"].sum()
    for way in ways[1:]:
        found = summary(way)
        assert found["net_pnl"] == expected["net_pnl"]
        assert found["sharpe"] == pytest.approx(expected["sharpe"], rel=1e-12)
    floats = summary(frame.astype(dict.fromkeys(amounts, float)))
    assert floats["net_pnl"] == expected["net_pnl"]  # few digits: doubles show them all


def test_tables_of_a_notebooks_run():
    tree = config("", strategies=[{"id": "cross", "kind": "ema_cross", "timeframe": "1m",
                                   "params": {"fast": 9, "slow": 21}}],
                  accounts=[{"id": "main", "strategies": ["cross"], "sizing": {"fixed_qty": "1"}}],
                  symbols={"ABCUSD": None})  # fmt: skip
    tree.pop("prices.files")
    close = 100 + 5 * np.sin(np.arange(600) / 20)
    bars = pd.DataFrame(
        {"symbol": "ABCUSD", "ts": ms("2024-03-30T18:00") + 60_000 * np.arange(600),
         "open": close, "high": close, "low": close, "close": close, "volume": 1.0}
    )  # fmt: skip
    tables = run_frames(tree, bars)
    found = summary(tables)
    assert found["basis"] == "marked to market"
    assert found["net_pnl"] == tables["trade_match_history"]["net_pnl"].sum()
    last = tables["equity_daily"]["equity"].iloc[-1]
    assert found["end_equity"] == pytest.approx(100_000 + float(last))


# ---- days ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("zone", "time", "day"),
    [
        ("Europe/Oslo", "2024-03-30T22:59:59.999", "2024-03-30"),
        ("Europe/Oslo", "2024-03-30T23:00", "2024-03-31"),  # a day of 23 hours begins
        ("Europe/Oslo", "2024-03-31T21:59:59.999", "2024-03-31"),
        ("Europe/Oslo", "2024-03-31T22:00", "2024-04-01"),
        ("Europe/Oslo", "2024-10-26T21:59:59.999", "2024-10-26"),
        ("Europe/Oslo", "2024-10-26T22:00", "2024-10-27"),  # a day of 25 hours begins
        ("Europe/Oslo", "2024-10-27T22:59:59.999", "2024-10-27"),
        ("Europe/Oslo", "2024-10-27T23:00", "2024-10-28"),
        ("UTC", "2024-03-30T23:00", "2024-03-30"),
        ("America/New_York", "2024-03-31T03:59:59.999", "2024-03-30"),
    ],
)
def test_local_days(zone, time, day):
    frame = matches(("BTCUSD", time, "1", "0"))
    assert daily_pnl(frame, zone=zone).index == pd.DatetimeIndex([day])


def test_days_without_trades_are_zeros():
    daily = daily_pnl(THREE)
    assert [str(day.date()) for day in daily.index] == [f"2024-01-0{n}" for n in (1, 2, 3, 4)]
    assert daily["net_pnl"].tolist() == [30, -10, 0, 5]
    assert daily["fees"].tolist() == [1, 1, 0, 1]
    assert daily["trades"].tolist() == [1, 1, 0, 1]
    assert all(isinstance(value, Decimal) for value in daily["realized"])


def test_groups_have_a_row_per_day():
    daily = daily_pnl(THREE, by="symbol")
    assert daily["symbol"].tolist() == ["BTCUSD", "ETHUSD"] * 4  # by day, then by group
    assert daily[daily["symbol"] == "ETHUSD"]["net_pnl"].tolist() == [0, -10, 0, 0]
    assert list(daily_pnl(THREE, by=["account_id", "strategy"]))[:3] == [
        "account_id", "strategy", "currency",
    ]  # fmt: skip
    assert daily_pnl(THREE, by="strategy,account").equals(
        daily_pnl(THREE, by=["strategy", "account"])
    )


# ---- figures ---------------------------------------------------------------------------------


def test_all_figures_by_hand():
    found = summary(THREE, start_capital=1000)
    returns = np.array([30 / 1000, -10 / 1030, 0.0, 5 / 1020])
    yearly = 1.025 ** (365 / 4) - 1
    downside = math.sqrt((10 / 1030) ** 2 / 4)
    traded = 231 + 191 + 206
    expected = {
        "basis": "realized-only", "currency": "USD", "zone": "Europe/Oslo", "periods": 365,
        "first_day": "2024-01-01", "last_day": "2024-01-04", "days": 4,
        "trades": 3, "wins": 2, "losses": 1, "start_capital": 1000.0,
        "gross_pnl": Decimal(28), "fees": Decimal(3), "net_pnl": Decimal(25), "unrealized": None,
        "end_equity": 1025.0, "total_return": 0.025, "cagr": yearly,
        "volatility": returns.std(ddof=1) * math.sqrt(365),
        "sharpe": returns.mean() / returns.std(ddof=1) * math.sqrt(365),
        "sortino": returns.mean() / downside * math.sqrt(365),
        "calmar": yearly / (10 / 1030),
        "max_drawdown_amount": -10.0, "max_drawdown": -10 / 1030,
        "max_drawdown_peak": "2024-01-01", "max_drawdown_trough": "2024-01-02",
        "max_drawdown_recovery": None, "max_drawdown_days": 3, "longest_drawdown_days": 3,
        "best_day": 30.0, "best_day_date": "2024-01-01",
        "worst_day": -10.0, "worst_day_date": "2024-01-02",
        "win_rate": 2 / 3, "profit_factor": 3.5, "expectancy": 25 / 3, "expectancy_r": 25 / 30,
        "average_win": 17.5, "average_loss": -10.0, "payoff_ratio": 1.75,
        "best_trade": 30.0, "worst_trade": -10.0, "longest_losing_streak": 1,
        "average_holding_hours": 1.0, "exposure": 3 / 73,
        "gross_exposure": traded / 2 / 73 / 1000, "traded_notional": traded,
        "turnover": traded / 1000, "turnover_annual": traded / 1000 * 365 / 4,
        "fee_share": 3 / 28, "fee_bps": 3 / traded * 10_000,
        "other_fees": {}, "start_capital_from": "given",
    }  # fmt: skip
    for key, value in expected.items():
        if isinstance(value, float):
            assert found[key] == pytest.approx(value, rel=1e-12), key
        else:
            assert found[key] == value, key
    assert found.keys() == expected.keys() | {"notes", "by_currency"}
    assert found["notes"] == [
        "realized-only: equity moves when a round trip closes, by its net_pnl"
    ]


@pytest.mark.parametrize(
    ("frame", "none", "defined"),
    [
        (THREE.iloc[:0], {"sharpe", "win_rate", "expectancy", "max_drawdown", "exposure", "cagr"},
         {"net_pnl": 0, "fees": 0, "trades": 0, "longest_losing_streak": 0}),
        (THREE.iloc[:1], {"sharpe", "sortino", "calmar", "profit_factor", "payoff_ratio"},
         {"win_rate": 1.0, "expectancy": 30.0, "max_drawdown": 0.0, "exposure": 1.0}),
        (THREE.iloc[[0, 2]], {"sortino", "calmar", "profit_factor", "average_loss"},
         {"win_rate": 1.0, "max_drawdown": 0.0, "longest_losing_streak": 0}),
        (THREE.iloc[[1, 1]], {"payoff_ratio", "average_win", "sharpe"},
         {"win_rate": 0.0, "profit_factor": 0.0, "longest_losing_streak": 2}),
        (THREE.assign(net_pnl=Decimal(0), realized_pnl=Decimal(1)),
         {"sharpe", "profit_factor", "payoff_ratio", "calmar"},
         {"win_rate": 0.0, "volatility": 0.0, "fee_share": 1.0, "losses": 0}),
        (THREE.assign(net_pnl=Decimal(-60_000)), {"sharpe", "cagr", "calmar"},
         {"total_return": -1.8, "max_drawdown": -1.8}),
        (THREE[["match_ts", "net_pnl"]], {"exposure", "turnover", "fee_bps"},
         {"net_pnl": 25, "fees": 0, "currency": "unknown"}),
        (THREE.assign(net_pnl=Decimal(9_999_999)).iloc[:1], {"cagr", "calmar"}, {"days": 1}),
    ],
)  # fmt: skip
def test_what_is_not_defined_is_none_and_says_why(frame, none, defined):
    found = summary(frame)
    assert all(found[key] is None for key in none)
    assert {key: found[key] for key in defined} == pytest.approx(defined)
    unsaid = {key for key in MONEY_AND_RATIOS if found[key] is None} - NOT_NOTED
    told = {name for note in found["notes"] for name in note.partition(":")[0].split(", ")}
    assert unsaid <= told
    assert not any(isinstance(v, float) and not math.isfinite(v) for v in found.values())


def test_no_start_capital_defines_no_return():
    found = summary(THREE, start_capital=0)
    assert (found["sharpe"], found["cagr"], found["turnover"]) == (None, None, None)
    assert (found["max_drawdown_amount"], found["max_drawdown"]) == (-10.0, None)


def test_a_recovered_drawdown_and_one_from_the_start():
    rows = [("BTCUSD", f"2024-01-0{day}T10:00", net, "0")
            for day, net in ((1, "-5"), (2, "6"), (3, "-3"), (4, "1"), (5, "2"))]  # fmt: skip
    found = summary(matches(*rows), start_capital=100)
    days = [found[f"max_drawdown_{word}"] for word in ("peak", "trough", "recovery", "days")]
    assert days == ["2023-12-31", "2024-01-01", "2024-01-02", 2]
    assert found["longest_drawdown_days"] == 3
    assert summary(matches(*rows[:2]), start_capital=100)["longest_drawdown_days"] == 2


def test_dates_are_those_of_the_deepest_share():
    rows = [("BTCUSD", f"2024-01-0{day}T10:00", net, "0")
            for day, net in ((1, "-40"), (2, "40"), (3, "900"), (4, "-60"), (5, "-1"))]  # fmt: skip
    found = summary(matches(*rows), start_capital=100)
    assert (found["max_drawdown_amount"], found["max_drawdown"]) == (-61.0, -0.4)
    assert found["max_drawdown_trough"] == "2024-01-01"
    assert found["longest_drawdown_days"] == 2


def test_fees_on_top_of_a_loss():
    loss = matches(("BTCUSD", "2024-01-01T10:00", "-8", "2"))
    assert summary(loss)["fee_share"] == 0.25


def test_matches_come_in_any_order():
    assert summary(THREE.iloc[::-1]) == summary(THREE)
    rows = [("BTCUSD", f"2024-01-0{day}T10:00", net, "0")
            for day, net in ((1, "-1"), (3, "1"), (2, "-1"))]  # fmt: skip
    assert summary(matches(*rows))["longest_losing_streak"] == 2


# ---- currencies ------------------------------------------------------------------------------

TWO = matches(
    ("BTCUSD", "2024-01-01T10:00", "31", "1"),
    ("ETHEUR", "2024-01-02T10:00", "-9", "1"),
    ("BTCUSD", "2024-01-04T10:00", "6", "1"),
)


def test_several_currencies_are_never_added():
    found = summary(TWO)
    assert {found[key] for key in MONEY_AND_RATIOS} == {None}
    assert found["currency"] is None
    assert found["trades"] == 3
    assert "EUR, USD" in found["notes"][0]
    assert {name: one["net_pnl"] for name, one in found["by_currency"].items()} == {
        "EUR": -10, "USD": 35,
    }  # fmt: skip
    assert summary(TWO, currency="USD") == {
        **found["by_currency"]["USD"], "by_currency": {"USD": found["by_currency"]["USD"]},
    }  # fmt: skip
    daily = daily_pnl(TWO)
    assert len(daily) == 8
    assert daily.groupby("currency")["net_pnl"].sum().to_dict() == {"EUR": -10, "USD": 35}
    assert set(equity_curve(TWO).groupby("currency").size()) == {4}


@pytest.mark.parametrize(
    ("frame", "currency", "found"),
    [
        (TWO.assign(currency=["NOK", "NOK", "SEK"]), None, {"NOK": 20, "SEK": 5}),
        (TWO.assign(quote="NOK"), None, {"NOK": 25}),
        (TWO, {"ETHEUR": "USD"}, {"USD": 25}),
        (TWO.assign(currency="NOK"), {"ETHEUR": "USD"}, {"NOK": 35, "USD": -10}),
        (TWO.assign(symbol=["AAPL", "MSFT", "AAPL"]), "USD", {"USD": 25}),
        (TWO.assign(symbol=["AAPL", "BTCEUR", "AAPL"]), "USD", {"USD": 35}),
        (TWO.assign(symbol=["BTCUSDT", "BTCUSD", "BTCUSDT"]), "USDT", {"USDT": 35}),
        (TWO.assign(symbol="BTCTUSD"), "TUSD", {"TUSD": 25}),
        (TWO.drop(columns="symbol"), "USD", {"USD": 25}),
    ],
)
def test_where_currencies_come_from(frame, currency, found):
    by_currency = summary(frame, currency=currency)["by_currency"]
    assert {name: one["net_pnl"] for name, one in by_currency.items()} == found


def test_a_currency_taken_from_odd_letters_is_told():
    assert "'APL'" in summary(TWO.assign(symbol="AAPL"))["notes"][0]


# ---- tables beside the matches ---------------------------------------------------------------

EQUITY = pd.DataFrame(
    {"day": ["2024-01-01", "2024-01-03", "2024-01-04"], "equity": [Decimal(40), -20.5, "25"]}
)


def test_equity_daily_marks_to_market():
    curve = equity_curve(THREE, equity_daily=EQUITY, start_capital=1000)
    assert curve["equity"].tolist() == [1040, 1040, 979.5, 1025]  # a missing day stays as it was
    assert set(curve["basis"]) == {"marked to market"}
    assert summary(THREE, equity_daily=EQUITY.set_index("day"))["max_drawdown_amount"] == -60.5
    by_symbol = summary_by(THREE, "symbol", equity_daily=EQUITY)
    assert by_symbol["basis"].tolist() == ["realized-only"] * 2
    assert by_symbol["days"].tolist() == [4, 4]  # of equity_daily, though ETHUSD has one match
    stocks = THREE.assign(symbol="AAPL")
    for frame in (stocks, THREE[["match_ts", "net_pnl"]]):  # equity_daily tells the currency
        found = summary(frame, equity_daily=EQUITY.assign(currency="NOK"))
        assert (found["currency"], found["trades"], found["max_drawdown_amount"]) == (
            "NOK",
            3,
            -60.5,
        )
    dated = EQUITY.assign(day=pd.to_datetime(EQUITY["day"]))
    assert summary(THREE, equity_daily=dated)["max_drawdown_amount"] == -60.5


def test_equity_daily_of_another_run_is_doubted():
    other = EQUITY.assign(realized=Decimal(1), fees=Decimal(0))
    assert any("not of one run" in one for one in summary(THREE, equity_daily=other)["notes"])


def test_an_open_result_is_added_on_the_last_day(tmp_path):
    snapshot = pd.DataFrame({"symbol": ["BTCUSD"], "unrealized": [Decimal("-7.5")],
                             "ts": [ms("2024-01-05T22:30")]})  # fmt: skip
    snapshot.to_parquet(tmp_path / "unrealized_snapshot.parquet")
    for given in (snapshot, tmp_path / "unrealized_snapshot.parquet", str(tmp_path)):
        curve = equity_curve(THREE, unrealized=given, start_capital=1000)
        assert curve["equity"].tolist() == [1030, 1020, 1020, 1025, 1017.5]
        found = summary(THREE, unrealized=given, start_capital=1000)
        assert (found["unrealized"], found["net_pnl"]) == (Decimal("-7.5"), 25)
        assert found["end_equity"] == 1017.5
        assert any("-7.5 is added on the last day" in note for note in found["notes"])
    without_ts = summary(THREE, unrealized=snapshot.drop(columns="ts"))
    assert (without_ts["days"], without_ts["end_equity"]) == (4, 100_017.5)


def test_other_fees_stand_apart():
    found = summary(THREE.assign(other_fees=['{"BNB":"0.01"}', "{}", '{"BNB":"0.02"}']))
    assert found["other_fees"] == {"BNB": Decimal("0.03")}
    assert found["net_pnl"] == 25


@pytest.mark.parametrize("lacking", ["realized_pnl", "fees", "net_pnl"])
def test_one_amount_follows_from_the_others(lacking):
    found = summary(THREE.drop(columns=lacking))
    assert (found["gross_pnl"], found["fees"], found["net_pnl"]) == (28, 3, 25)


@pytest.mark.parametrize(
    "kind", [int, "Int64", float, "float32", str, "string", object, "category"]
)
def test_amounts_of_any_type(kind):
    amounts = ["matched_qty", "buy_price", "sell_price", "realized_pnl", "fees", "net_pnl"]
    frame = THREE.astype(dict.fromkeys(amounts, int)).astype(dict.fromkeys(amounts, kind))
    found = summary(frame)
    assert (found["gross_pnl"], found["fees"], found["net_pnl"]) == (28, 3, 25)
    assert found["traded_notional"] == 628.0
    assert found["sharpe"] == summary(THREE)["sharpe"]


def test_capital_by_account_or_currency():
    frame = TWO.assign(account_id=["a", "b", "a"])
    assert summary(THREE, start_capital={"main": "500"})["start_capital"] == 500
    both = summary_by(frame, "account", start_capital={"a": 10, "b": 20})
    assert both["start_capital"].tolist() == [10, 20]
    per = summary(frame, start_capital={"EUR": 7, "USD": 9})["by_currency"]
    assert {name: one["start_capital"] for name, one in per.items()} == {"EUR": 7, "USD": 9}
    mapping = capital_of(None, {"accounts": [{"id": "main", "start_capital": "5"}]})
    assert mapping.of(["main", "paper:main", "new"], "USD") == 100_010
    assert "100,000 is assumed" in " ".join(summary(THREE)["notes"])


# ---- errors ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("source", "options", "told"),
    [
        (THREE.drop(columns="match_ts"), {}, "'match_ts' is missing.*it has account_id, "),
        (THREE.rename(columns={"match_ts": "matchTimestamp"}), {}, "called 'matchTimestamp' there"),
        (THREE[["match_ts", "fees"]], {}, "'net_pnl' or 'realized_pnl' is missing"),
        (THREE.assign(net_pnl=[1.0, math.nan, 2.0]), {}, "net_pnl: row 2 has no value"),
        (THREE.assign(net_pnl=[1.0, math.inf, 2.0]), {}, "net_pnl: row 2 holds inf"),
        (THREE.assign(net_pnl=["1", "2", "x"]), {}, "net_pnl: row 3 holds 'x'"),
        (THREE.assign(match_ts=["x", "1", "2"]), {}, "match_ts: row 1 holds x"),
        (THREE.assign(match_ts=[1, 2, 9_000_000_000_000]), {}, "104166 days"),
        (pd.concat([THREE, THREE], axis=1), {}, "'account_id' is there 2 times"),
        (Path("nowhere"), {}, "nowhere: no such file"),
        (Path(__file__), {}, "not Parquet"),
        (Path(__file__).parent, {}, "no trade_match_history.parquet in this folder"),
        (5, {}, "is a int"),
        (THREE, {"zone": "Europe/Olso"}, "did you mean 'Europe/Oslo'"),
        (THREE, {"periods": 0}, "periods: 0"),
        (THREE, {"start_capital": "-1"}, "start_capital: '-1'"),
        (THREE, {"start_capital": {"x": 1}}, "nothing for account 'main'"),
        (THREE, {"currency": "EUR"}, "currency: 'EUR' is not there.*there is USD"),
        (THREE, {"account": "mian"}, "did you mean 'main'"),
        (THREE.drop(columns="account_id"), {"account": "main"}, "'account_id' is missing"),
        (THREE, {"equity_daily": EQUITY.assign(day="x")}, "day 'x' is no date"),
        (THREE, {"equity_daily": pd.concat([EQUITY, EQUITY])}, "a day is there twice"),
        (THREE, {"equity_daily": EQUITY[["day"]]}, "'equity' is missing"),
        (THREE, {"unrealized": "nowhere"}, "unrealized_snapshot: nowhere: no such file"),
        (THREE, {"unrealized": THREE}, "'unrealized' or 'unrealized_pnl' is missing"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_told(source, options, told):
    with pytest.raises(ConfigError, match=told):
        summary(source, **options)


def test_an_unknown_group_is_told():
    with pytest.raises(ConfigError, match="did you mean 'strategy'"):
        daily_pnl(THREE, by="strat")
