"""Daily profit, the curve of equity and the figures of a run or of any matches.

In a notebook:

    from scripts.equity_metrics import daily_pnl, equity_curve, summary

    summary("runs/demo")["sharpe"]
    equity_curve("runs/demo", by="strategy", account="main")

On the command line: `python -m scripts.equity_metrics runs/demo`. All formulas with units and
where other tools differ: docs/figures.md.

`source` is a run's folder, a trade_match_history (Parquet file or folder, CSV, pandas data frame,
Arrow table), or the tables that jobs.run.run_frames gives. A run's folder brings its equity_daily,
its open results, its accounts' start capital, its zone and its currencies; a file or frame of
matches brings none of them. The options are the same everywhere:

- `equity_daily`, `unrealized`: these tables as a path or frame, beside or instead of the run's.
- `start_capital`: an amount for whatever is looked at, or a mapping of account to amount. Default:
  the run's, the sum over accounts; else 100,000, which a note then says.
- `zone`: whose local dates are days. Default: the run's, else Europe/Oslo.
- `periods`: days of a year. Default: the run's report.periods, else 365.
- `currency`: choose one; or a mapping of symbol to quote currency. Where neither a column nor the
  run's configuration tells, it is the last three letters of the symbol; a text here also names
  the currency of symbols whose last letters are none (AAPL).
- `account`, `strategy`, `symbol`: choose one or a list. A grid's id stands for its combinations.

A column that is missing and a value that is none raise udfs.errors.ConfigError with its place.
"""

import io
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if not __package__:  # started as a file: the project is its folder's parent
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import typer

from cli.errors import told
from cli.help import NO_VALUE, examples

if TYPE_CHECKING:
    import pandas as pd

EXAMPLES = examples(
    ("python -m scripts.equity_metrics runs/demo", "a run's figures"),
    ("python -m scripts.equity_metrics runs/demo --by account,strategy", "and of each strategy"),
    ("python -m scripts.equity_metrics runs/demo --out figures --json", "as files and as JSON"),
)

Choice = str | Sequence[str] | None


def daily_pnl(
    source: Any,
    by: Choice = None,
    *,
    equity_daily: Any = None,
    unrealized: Any = None,
    start_capital: Any = None,
    zone: str | None = None,
    currency: str | Mapping[str, str] | None = None,
    account: Choice = None,
    strategy: Choice = None,
    symbol: Choice = None,
) -> "pd.DataFrame":
    """Realized profit per local day of match_ts: exact, days without trades as zeros.

    Index `day` (midnights without a zone), columns `currency`, `realized`, `fees`, `net_pnl`
    (Decimal, in the currency) and `trades`. `by` is strategy, account, symbol, currency or several
    of them: a row per day and group, with a column for each name as it was written. Every group
    has every day from the first to the last of all (of equity_daily where that is known).
    Currencies are never added: with several there is a row for each.
    """
    from scripts.equity.book import Ask, load
    from scripts.equity.frames import daily_frame

    ask = Ask(
        equity_daily, unrealized, start_capital, zone, None, currency, account, strategy, symbol
    )
    return daily_frame(load(source, ask), by)


def equity_curve(
    source: Any,
    by: Choice = None,
    *,
    equity_daily: Any = None,
    unrealized: Any = None,
    start_capital: Any = None,
    zone: str | None = None,
    currency: str | Mapping[str, str] | None = None,
    account: Choice = None,
    strategy: Choice = None,
    symbol: Choice = None,
) -> "pd.DataFrame":
    """Start capital + equity at the end of each local day, as doubles.

    Index `day`, columns those of `by`, `currency`, `equity`, `daily_return` (share of the value the
    day before, the first day's of the start capital), `drawdown` (below the highest value so far,
    as its share) and `drawdown_amount`, both 0 or below, and `basis`: "marked to market" where
    equity_daily tells, else "realized-only", with the open result on the last day where it is
    known.
    """
    from scripts.equity.book import Ask, load
    from scripts.equity.frames import curve_frame

    ask = Ask(
        equity_daily, unrealized, start_capital, zone, None, currency, account, strategy, symbol
    )
    return curve_frame(load(source, ask), by)


def summary(
    source: Any,
    *,
    equity_daily: Any = None,
    unrealized: Any = None,
    start_capital: Any = None,
    zone: str | None = None,
    periods: float | None = None,
    currency: str | Mapping[str, str] | None = None,
    account: Choice = None,
    strategy: Choice = None,
    symbol: Choice = None,
) -> dict[str, Any]:
    """All figures as a dict; None where one is not defined, and `notes` say why.

    net_pnl, gross_pnl, fees and unrealized are exact Decimals, other money and ratios floats;
    shares are of 1. max_drawdown is a share of the highest value before and max_drawdown_amount
    money, both 0 or below, as in a run's manifest. docs/figures.md explains every key.

    `basis` says whether equity is "marked to market" or "realized-only". `by_currency` holds the
    same dict per currency; with several of them the figures at the top are None, as nothing adds
    two currencies.
    """
    from scripts.equity.book import Ask, load
    from scripts.equity.report import summarise

    ask = Ask(
        equity_daily, unrealized, start_capital, zone, periods, currency, account, strategy, symbol
    )
    return summarise(load(source, ask))


def summary_by(source: Any, by: str | Sequence[str], **options: Any) -> "pd.DataFrame":
    """The figures of `summary` for each group: a row per combination of `by` and currency.

    `by` and `options` as in daily_pnl and summary. A group's start capital is that of its accounts.
    """
    import pandas as pd

    from scripts.equity.book import Ask, load
    from scripts.equity.report import group_figures

    return pd.DataFrame(group_figures(load(source, Ask(**options)), by))


def command(
    source: str = typer.Argument(
        ..., metavar="SOURCE", help="A run's folder, or matches as Parquet or CSV."
    ),
    by: str | None = typer.Option(
        None, metavar="WORDS", help="A row for each: strategy, account, symbol, currency."
    ),
    zone: str | None = typer.Option(None, help="Whose local dates are days."),
    periods: float | None = typer.Option(None, help="Days of a year."),
    start_capital: str | None = typer.Option(None, help="Instead of the accounts' own."),
    currency: str | None = typer.Option(None, help="Only this one."),
    account: list[str] | None = typer.Option(None, help="Only this one. Repeatable."),
    strategy: list[str] | None = typer.Option(None, help="Only this one. Repeatable."),
    symbol: list[str] | None = typer.Option(None, help="Only this one. Repeatable."),
    equity_daily: Path | None = typer.Option(None, help="Daily equity beside the matches."),
    unrealized: Path | None = typer.Option(None, help="Open results beside the matches."),
    out: Path | None = typer.Option(
        None, help="Write daily_pnl.csv, daily_pnl.parquet and summary.json there."
    ),
    json: bool = typer.Option(False, "--json", metavar=NO_VALUE, help="Print one JSON object."),
) -> None:
    """The figures of a run or of any matches: profit, risk, round trips, market."""
    with told():
        from cli.render import stdout_console
        from scripts.equity import show
        from scripts.equity.book import Ask, load
        from scripts.equity.frames import daily_frame
        from scripts.equity.parts import words_of
        from scripts.equity.report import group_figures, summarise

        words = [name for name, _ in words_of(by)]
        book = load(
            source,
            Ask(
                equity_daily, unrealized, start_capital, zone, periods, currency,
                account or None, strategy or None, symbol or None,
            ),
        )  # fmt: skip
        found = summarise(book)
        groups = group_figures(book, words) if words else []
        if words:
            found["by"] = groups
        if out is not None:
            show.write(out, found, daily_frame(book, words))
        if json:
            print(show.as_json(found))
            return
        console = stdout_console()
        show.show(console, source, found)
        if words:
            show.show_groups(console, words, groups)


def application() -> typer.Typer:
    """The command with its options."""
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode="rich")
    app.command(epilog=EXAMPLES)(command)
    return app


if __name__ == "__main__":
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # names may hold what the terminal can't show
            stream.reconfigure(errors="backslashreplace")
    application()(prog_name="equity_metrics")
