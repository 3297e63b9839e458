"""The tables at the end of a run, and progress."""

import io
from pathlib import Path
from types import SimpleNamespace

import pytest
from rich.console import Console

from cli.numbers import MISSING, money, money_columns, number, percent
from cli.progress import LINE_EVERY_S, PlainLines
from cli.ranking import render_ranking
from cli.render import (
    ALL_SHOWN,
    SHOWN_EACH,
    best_and_worst,
    capital_warnings,
    render_report,
    sections,
)
from jobs.sweep.ranking import RankBy, RankedFamily, RankedSet


def row(strategy_id, net="25.5", account_id="main", **changes):
    return {
        "account_id": account_id,
        "strategy_id": strategy_id,
        "currency": "USD",
        "signals": 5368,
        "accepted": 2644,
        "rejected": {"OPEN_LIMIT_EXCEEDED": 360, "NO_OPEN_POSITION": 2364},
        "round_trips": 1322,
        "gross_pnl": "1413.63",
        "fees": "26441.19",
        "net_pnl": net,
        "win_rate": 0.2014,
        "profit_factor": 0.5123,
        "max_drawdown": -0.0123,
        "max_drawdown_amount": -1234.5,
        "sharpe": -1.234,
        "time_in_market": 0.697,
        "peak_capital": 30116.0,
        "start_capital": 100000.0,
    } | changes


def rendered(summary, width=120, warnings=(), families=(), top=20, **options):
    text = io.StringIO()
    console = Console(file=text, width=width, highlight=False, **options)
    folder = Path("runs/demo")
    report = SimpleNamespace(
        folder=folder, summary=summary, warnings=list(warnings), manifest={}, families=families
    )
    render_report(console, report, 3.21, top)
    return text.getvalue()


def family(rows, params, **changes):
    """Rows in order of rank, as a ranked family."""
    ranked = zip(rows, params, strict=True)
    sets = tuple(RankedSet(rank, given, one) for rank, (one, given) in enumerate(ranked, 1))
    given = {"rank_by": RankBy.NET_PNL, "is_shared": False, "parameters": tuple(params[0])}
    return RankedFamily("main", "USD", "sweep", "ema_cross", "15m", sets=sets, **given | changes)


def test_a_line_per_strategy_and_a_total():
    text = rendered([row("ema"), row("rsi", "-7.25"), row("", "18.25")])
    lines = text.splitlines()
    assert lines[1].strip() == "main: USD, start capital 100,000"
    results = [line.split() for line in lines if line.startswith(("ema", "rsi", "TOTAL"))]
    expected = "1,322 1,413.63 26,441.19 25.50 20.1 0.51 -1.2 -1.23 69.7 30,116.00"
    assert results[0] == ["ema", *expected.split()]
    assert [line[4] for line in results[:3]] == ["25.50", "-7.25", "18.25"]
    assert results[3] == ["ema", "5,368", "2,644", "2,724", "2,364", "360"]
    assert lines[-1] == "runs/demo  (3.2 s)"


def test_what_is_not_defined_is_a_dash():
    names = ("win_rate", "profit_factor", "max_drawdown", "sharpe", "time_in_market")
    text = rendered([row("ema", **dict.fromkeys(names))])
    line = next(line for line in text.splitlines() if line.startswith("ema"))
    assert line.split()[5:10] == [MISSING] * 5


@pytest.mark.parametrize("width", [100, 110, 120])
def test_no_line_is_wider_than_the_screen(width):
    big = row("sweep/fast=24,slow=60", "-2391953.35", gross_pnl="1234567.5", fees="12345678")
    text = rendered([big, big | {"strategy_id": ""}], width)
    lines = text.splitlines()
    assert max(map(len, lines)) <= width
    assert sum("12,345,678" in line for line in lines) == 2  # no number is cut
    assert "…" not in text


def test_only_a_terminal_gets_colours():
    assert "\x1b" not in rendered([row("ema")])
    assert "\x1b[32m" in rendered([row("ema")], force_terminal=True, color_system="standard")


def test_ids_are_not_markup():
    assert "[bold]x" in rendered([row("[bold]x", account_id="[red]a")])


def test_many_strategies_are_cut_to_the_best_and_worst():
    rows = [row(f"s{i:02}", str(i)) for i in range(ALL_SHOWN + 16)]
    (section,) = sections([*rows, row("", "0")])
    shown = [one["strategy_id"] for one in section.rows]
    assert shown == [f"s{i:02}" for i in (*range(39, 29, -1), *range(9, -1, -1))]
    assert section.hidden == 20
    text = rendered([*rows, row("", "0")])
    assert f"best and worst {SHOWN_EACH} of 40 by net PnL; the other 20 are in `summary` of" in text
    assert "runs/demo/manifest.json" in text


def test_a_few_stay_in_their_order():
    rows = [row("b", "1"), row("a", "2")]
    assert best_and_worst(rows) == rows


def test_accounts_and_currencies_stand_apart():
    rows = [row("a"), row("", currency="EUR"), row(""), row("a", account_id="other")]
    found = [(section.account_id, section.currency) for section in sections(rows)]
    assert found == [("main", "USD"), ("main", "EUR"), ("other", "USD")]


def test_capital_above_the_start_is_told():
    rows = [row("a", peak_capital=150000.5), row("", peak_capital=150000.5)]
    (warning,) = capital_warnings(rows)
    assert warning.startswith("account main: positions cost up to 150,000 USD, above its start")
    text = rendered(rows, warnings=["LATE BARS: 5 of 9"])
    assert text.count("!150,000") == 2
    assert text.index("warning: LATE BARS") < text.index("warning: account main")


def test_capital_within_the_start_is_not():
    assert capital_warnings([row(""), row("", peak_capital=100000.0)]) == []


@pytest.mark.parametrize(
    ("values", "texts"),
    [
        (["1234567.891", "-0.5"], ["1,234,568", "0"]),
        (["1234.5", "-0.001", None], ["1,234.50", "0.00", MISSING]),
        (["0.5", "0.01"], ["0.5000", "0.0100"]),
        (["0.00000123"], ["0.00000123"]),
        (["0"], ["0.00"]),
        ([12.0], ["12.00"]),
    ],
)
def test_a_column_has_one_number_of_decimals(values, texts):
    assert money_columns(values) == [texts]


def test_single_numbers():
    assert money("1234.5") == "1,234.50"
    assert (number(1.005), number(None), number(123456.0)) == ("1.00", MISSING, "1.2e+05")
    assert (percent(0.5), percent(None), percent(12.3456)) == ("50.0", MISSING, "1,234.6")


def test_progress_without_a_terminal_is_a_line_now_and_then(capsys):
    now = 0.0
    report = PlainLines(lambda: now)
    report(10, 1000)
    now = LINE_EVERY_S
    report(250, 1000)
    now += 1
    report(300, 1000)
    now += LINE_EVERY_S
    report(1000, 1000)
    lines = capsys.readouterr().err.splitlines()
    assert lines == ["250 of 1,000 bars (25 %) after 5 s", "1,000 of 1,000 bars (100 %) after 11 s"]


def test_progress_of_sets(capsys):
    now = 0.0
    report = PlainLines(lambda: now)
    report.sets(120, 500)
    now = LINE_EVERY_S
    report(307_900_000, 1_282_700_000)
    assert capsys.readouterr().err.splitlines() == [
        "resumed: 120 of 500 sets were done",
        "120 of 500 sets, 308 of 1,283 million bars (24 %) after 5 s",
    ]


# ---- families --------------------------------------------------------------------------------

NETS = ["300", "200", "-50", "-100", "-4000"]
SETS = [row(f"sweep/{i}", net, round_trips=i) for i, net in enumerate(NETS)]
PARAMS = [{"fast": i, "slow": 50, "tf": "1h"} for i in range(len(NETS))]


def test_a_family_is_ranked_with_its_median_and_its_worst():
    text = rendered([*SETS, row("", "-3650")], families=[family(SETS, PARAMS)], top=2)
    lines = [line.split() for line in text.splitlines()]
    title = "main: sweep, 5 sets of ema_cross on 15m, slow 50, tf 1h; best net PnL first"
    assert title in text
    assert next(line for line in lines if line[:1] == ["rank"])[:3] == ["rank", "fast", "trips"]
    shown = {
        line[0]: line for line in lines if line and line[0] in ("1", "2", "3", "median", "worst")
    }
    assert [shown["1"][i] for i in (1, 2, 5)] == ["0", "0", "300.00"]
    assert [shown["median"][i] for i in (1, 4)] == ["2", "-50.00"]
    assert [shown["worst"][i] for i in (1, 2, 5)] == ["4", "4", "-4,000.00"]
    assert "3" not in shown
    assert "2 of 5 sets earned money after fees; the median set's net PnL is -50.00." in text
    assert "Top 2 of 5; all figures of all sets: runs/demo/sweep.parquet" in text
    assert "sweep/0" not in text  # sets stand in the ranking only


def test_beside_other_strategies_a_family_is_one_line():
    text = rendered([row("ema"), *SETS, row("", "1")], families=[family(SETS, PARAMS)])
    line = next(line for line in text.splitlines() if line.startswith("sweep, 5 sets"))
    sums = ["10", "7,068", "132,206", "-3,650"]
    assert line.split() == ["sweep,", "5", "sets", *sums, *[MISSING] * 6]
    assert "Top" not in text and "All figures of all sets" in text


@pytest.mark.parametrize("rank_by", RankBy)
def test_the_figure_of_the_ranking_is_shown(rank_by):
    rows = [
        one | {"sortino": 7.77, "calmar": 7.77, "cagr": 0.0777, "expectancy": 7.77} for one in SETS
    ]
    text = io.StringIO()
    given = family(rows, PARAMS, rank_by=rank_by)
    render_ranking(Console(file=text, width=120), given, Path("x"))
    assert "; best " in text.getvalue()
    shown = {"sortino": "7.77", "calmar": "7.77", "cagr": "7.8", "expectancy": "7.77"}
    assert text.getvalue().count(f" {shown.get(rank_by, ' ')} ") >= 7


def test_a_shared_account_is_told():
    text = rendered([*SETS, row("", "1")], families=[family(SETS, PARAMS, is_shared=True)])
    assert "take trades from each other" in " ".join(text.split())


@pytest.mark.parametrize("width", [60, 80, 100, 120])
def test_a_narrow_screen_drops_columns_and_cuts_no_number(width):
    big = [row(f"s{i}", "-2391953.35", gross_pnl="1234567.5", fees="12345678") for i in range(3)]
    params = [{"fast": i, "slow": 5 * i, "high": 0.5 * i} for i in range(3)]
    console = io.StringIO()
    render_ranking(Console(file=console, width=width), family(big, params), Path("x"), 20, 0)
    text = console.getvalue()
    assert max(map(len, text.splitlines())) <= width
    assert text.count("-2,391,953") == 6 and "…" not in text
    assert ("12,345,678" in text) == (width >= 100)
