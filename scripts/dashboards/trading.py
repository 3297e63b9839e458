"""Trading: what accounts and strategies have earned, what they hold, what is traded."""

from grafana_foundation_sdk.models.dashboard import Panel

from scripts.dashboards.frame import Section, render
from scripts.dashboards.panels import AMOUNT, COUNT, SIGNED, Column, Query, lines, rows, single
from scripts.dashboards.promql import or_zero, per_minute, series, total

PAIR = ("account", "strategy")
NAMED = "{{account}} {{strategy}}"
EQUITY = series("te_equity", "account")
REALIZED = series("te_realized_pnl_total", *PAIR)
NET = series("te_net_pnl_total", *PAIR)
UNREALIZED = series("te_unrealized_pnl_total", *PAIR)
EXPOSURE = series("te_net_exposure", *PAIR)
POSITIONS = series("te_open_positions_count", *PAIR)
LARGEST = series("te_unrealized_pnl_topk", "account", "symbol")
FEES = f"{total(REALIZED, *PAIR)} - {total(NET, *PAIR)}"


def dashboard() -> str:
    """The dashboard's JSON."""
    return render(
        "tradeflow-trading",
        "Trading",
        "What accounts and strategies have earned, what they hold, and what is traded.",
        ("run", "account", "strategy", "symbol"),
        (
            Section("", [(4, [(4, panel) for panel in _numbers()]), (9, [(24, _table())])]),
            Section("Profit", [(9, _profit()), (9, _gross())]),
            Section("Positions", [(8, _positions()), (9, _symbols())]),
            Section("Trades", [(8, _trades())]),
        ),
    )


def _all(selector: str) -> str:
    """The sum over the accounts and strategies chosen, 0 where there is nothing to sum."""
    return or_zero(total(selector), total(EQUITY))


def _each(selector: str) -> str:
    """By account and strategy, 0 for those that have traded and hold nothing."""
    return or_zero(total(selector, *PAIR), total(NET, *PAIR))


def _numbers() -> list[Panel]:
    return [
        single(
            "Equity",
            "Start capital, realized and unrealized profit of the accounts chosen. Amounts are in "
            "the quote currency: choose one account where currencies differ.",
            AMOUNT,
            total(EQUITY),
            decimals=2,
        ),
        single(
            "Realized net",
            "Profit of closed positions after fees.",
            AMOUNT,
            _all(NET),
            steps=SIGNED,
            decimals=2,
        ),
        single(
            "Unrealized",
            "What open positions are worth at the last closes, beyond what they cost.",
            AMOUNT,
            _all(UNREALIZED),
            steps=SIGNED,
            decimals=2,
        ),
        single(
            "Net exposure",
            "Value of open positions at the last closes, short ones negative.",
            AMOUNT,
            _all(EXPOSURE),
            decimals=2,
        ),
        single(
            "Open positions", "How many positions are open.", COUNT, _all(POSITIONS), decimals=0
        ),
        single(
            "Matches per minute",
            "Closed lots a minute, of all accounts of the run.",
            COUNT,
            per_minute(series("engine_matches_emitted_total")),
            decimals=1,
        ),
    ]


def _table() -> Panel:
    return rows(
        "Accounts and strategies",
        "Who earns and who loses: profit, fees and open positions of every strategy as of now.",
        {"account": "Account", "strategy": "Strategy"},
        Column("Realized gross", total(REALIZED, *PAIR), decimals=2, steps=SIGNED),
        Column("Fees", FEES, decimals=2),
        Column("Realized net", total(NET, *PAIR), decimals=2, steps=SIGNED),
        Column("Unrealized", _each(UNREALIZED), decimals=2, steps=SIGNED),
        Column("Net exposure", _each(EXPOSURE), decimals=2),
        Column("Open positions", _each(POSITIONS), COUNT, decimals=0),
        sort="Realized net",
    )


def _profit() -> list[tuple[int, Panel]]:
    equity = lines(
        "Equity by account",
        "How each account has fared, open positions at the last closes.",
        AMOUNT,
        Query(total(EQUITY, "account"), "{{account}}"),
    )
    net = lines(
        "Realized net by strategy",
        "When closed positions won and lost, after fees.",
        AMOUNT,
        Query(total(NET, *PAIR), NAMED),
    )
    return [(12, equity), (12, net)]


def _gross() -> list[tuple[int, Panel]]:
    unrealized = lines(
        "Unrealized by strategy",
        "What open positions would add or take, at the last closes.",
        AMOUNT,
        Query(_each(UNREALIZED), NAMED),
    )
    gross = lines(
        "Realized gross by strategy",
        "Profit of closed positions before fees.",
        AMOUNT,
        Query(total(REALIZED, *PAIR), NAMED),
    )
    fees = lines("Fees by strategy", "What trading has cost so far.", AMOUNT, Query(FEES, NAMED))
    return [(8, unrealized), (8, gross), (8, fees)]


def _positions() -> list[tuple[int, Panel]]:
    exposure = lines(
        "Net exposure by strategy",
        "How much is long (above 0) or short (below), at the last closes.",
        AMOUNT,
        Query(_each(EXPOSURE), NAMED),
    )
    positions = lines(
        "Open positions by strategy",
        "How many positions each strategy holds.",
        COUNT,
        Query(_each(POSITIONS), NAMED),
        lowest=0,
    )
    return [(12, exposure), (12, positions)]


def _symbols() -> list[tuple[int, Panel]]:
    table = rows(
        "Largest unrealized by symbol",
        "Which symbols matter most now: the largest gains and losses of each account. "
        "monitoring.topK says how many.",
        {"account": "Account", "symbol": "Symbol"},
        Column("Unrealized", total(LARGEST, "account", "symbol"), decimals=2, steps=SIGNED),
        sort="Unrealized",
    )
    course = lines(
        "Largest unrealized by symbol, over time",
        "Since when they matter. A symbol that leaves the largest leaves the picture.",
        AMOUNT,
        Query(total(LARGEST, "account", "symbol"), "{{account}} {{symbol}}"),
    )
    return [(8, table), (16, course)]


def _trades() -> list[tuple[int, Panel]]:
    matches = lines(
        "Matches and duplicates per minute",
        "Closed lots, and fills that were refused because they were booked before.",
        COUNT,
        Query(per_minute(series("engine_matches_emitted_total")), "matches"),
        Query(per_minute(series("engine_duplicates_total")), "fills refused as duplicates"),
        lowest=0,
    )
    signals = lines(
        "Signals per minute",
        "How often each strategy wants to trade.",
        COUNT,
        Query(per_minute(series("strategy_signals_total", "strategy"), "strategy"), "{{strategy}}"),
        lowest=0,
    )
    return [(12, matches), (12, signals)]
