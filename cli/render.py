"""The end of a run on the screen: a table of results and one of signals per account, warnings."""

import os
import sys
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import TYPE_CHECKING, Any, NamedTuple

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from cli.numbers import money, money_columns, number, percent

if TYPE_CHECKING:
    from jobs.run import RunReport

TOTAL = ""  # the strategy_id of an account's own row
ALL_SHOWN = 24  # more strategies than this in an account are cut to its best and worst
SHOWN_EACH = 10
LOUD = ("LATE BARS", "NO BARS")  # how warnings begin that put a whole run in doubt
WIDTH_WITHOUT_TERMINAL = 120
ROOMY = 112  # columns of a screen from which on two spaces part the columns of a table

Row = Mapping[str, Any]


class Section(NamedTuple):
    """An account in one currency: the rows to show, its total, and how many are not shown."""

    account_id: str
    currency: str
    rows: Sequence[Row]
    total: Row | None
    hidden: int

    @property
    def lines(self) -> list[Row]:
        """The rows with the total last."""
        return [*self.rows, self.total] if self.total else list(self.rows)


def stdout_console() -> Console:
    """Standard output; as wide as COLUMNS or 120 where it is no terminal, then without colour."""
    width = None if sys.stdout.isatty() else int(os.environ.get("COLUMNS") or 0)
    return Console(
        highlight=False, width=WIDTH_WITHOUT_TERMINAL if width == 0 else width, soft_wrap=False
    )


def render_report(console: Console, report: "RunReport", seconds: float) -> None:
    """Print tables, warnings, and where the run is."""
    gap = 1 if console.width >= ROOMY else 0
    for section in sections(report.summary):
        console.print()
        console.print(results_table(section, gap))
        console.print()
        console.print(signals_table(section, gap))
        if section.hidden:
            shown = len(section.rows)
            console.print(
                f"best and worst {shown // 2} of {shown + section.hidden} by net PnL; the other "
                f"{section.hidden} are in `summary` of {escape(str(report.folder))}/manifest.json",
                style="dim",
            )
    warnings = [*report.warnings, *capital_warnings(report.summary)]
    if warnings:
        console.print()
    for warning in warnings:
        style = "bold red" if warning.startswith(LOUD) else "yellow"
        console.print(Text(f"warning: {warning}", style=style))
    console.print()
    console.print(f"{report.folder}  ({seconds:.1f} s)", markup=False, soft_wrap=True)


def sections(summary: Sequence[Row]) -> list[Section]:
    """The summary by account and currency, in its order, long ones cut to the best and worst."""
    groups: dict[tuple[str, str], list[Row]] = {}
    for row in summary:
        groups.setdefault((row["account_id"], row["currency"]), []).append(row)
    found = []
    for (account_id, currency), group in groups.items():
        rows = [row for row in group if row["strategy_id"] != TOTAL]
        totals = [row for row in group if row["strategy_id"] == TOTAL]
        shown = best_and_worst(rows)
        total = totals[0] if totals else None
        found.append(Section(account_id, currency, shown, total, len(rows) - len(shown)))
    return found


def best_and_worst(rows: Sequence[Row]) -> list[Row]:
    """All rows where they are few, else the SHOWN_EACH best and worst by net PnL, best first."""
    if len(rows) <= ALL_SHOWN:
        return list(rows)
    ordered = sorted(rows, key=lambda row: Decimal(row["net_pnl"]), reverse=True)
    return ordered[:SHOWN_EACH] + ordered[-SHOWN_EACH:]


def results_table(section: Section, gap: int = 1) -> Table:
    """Profit and risk per strategy; `gap` is the space between columns beside the least."""
    lines = section.lines
    gross, fees, net = money_columns(
        [row["gross_pnl"] for row in lines],
        [row["fees"] for row in lines],
        [row["net_pnl"] for row in lines],
    )
    (peaks,) = money_columns([row["peak_capital"] for row in lines])
    columns: dict[str, list[str]] = {
        "round\ntrips": [f"{row['round_trips']:,}" for row in lines],
        "gross\nPnL": gross,
        "\nfees": fees,
        "net\nPnL": [_coloured(text, row) for text, row in zip(net, lines, strict=True)],
        "wins\n%": [percent(row["win_rate"]) for row in lines],
        "profit\nfactor": [number(row["profit_factor"]) for row in lines],
        "drawdown\nmax %": [percent(row["max_drawdown_pct"]) for row in lines],
        "\nSharpe": [number(row["sharpe"]) for row in lines],
        "market\ntime %": [percent(row["time_in_market"]) for row in lines],
        "peak\ncapital": [
            f"[yellow]!{peak}[/yellow]" if _above_capital(row) else peak
            for row, peak in zip(lines, peaks, strict=True)
        ],
    }
    title = f"{section.account_id}: {section.currency}, "
    title += f"start capital {money(lines[0]['start_capital'])}"
    return _filled(_table(title, gap), section, columns)


def signals_table(section: Section, gap: int = 1) -> Table:
    """What became of the signals per strategy: a column for each code that occurs."""
    lines = section.lines
    codes = sorted({code for row in lines for code in row["rejected"]})
    columns: dict[str, list[str]] = {
        "\nsignals": [f"{row['signals']:,}" for row in lines],
        "\naccepted": [f"{row['accepted']:,}" for row in lines],
        "\nrejected": [f"{sum(row['rejected'].values()):,}" for row in lines],
    }
    for code in codes:
        columns[_code_header(code)] = [f"{row['rejected'].get(code, 0):,}" for row in lines]
    return _filled(_table(None, gap), section, columns)


def _table(title: str | None, gap: int) -> Table:
    table = Table(
        box=box.SIMPLE_HEAD,
        title=None if title is None else Text(title, style="bold"),
        title_justify="left",
        padding=(0, gap),
        pad_edge=False,
        collapse_padding=True,
        show_edge=False,
    )
    table.add_column("\nstrategy", overflow="fold", min_width=10)
    return table


def _filled(table: Table, section: Section, columns: Mapping[str, Sequence[str]]) -> Table:
    """The table with these columns, the total under a line of its own."""
    for name in columns:
        table.add_column(name, justify="right", no_wrap=True)
    for i, row in enumerate(section.lines):
        is_total = row is section.total
        if i and (is_total or (section.hidden and i == SHOWN_EACH)):
            table.add_section()
        name = "TOTAL" if is_total else escape(row["strategy_id"])
        cells = [values[i] for values in columns.values()]
        table.add_row(name, *cells, style="bold" if is_total else "")
    return table


def _coloured(text: str, row: Row) -> str:
    net = Decimal(row["net_pnl"])
    colour = "red" if net < 0 else "green"
    return f"[{colour}]{text}[/{colour}]" if net else text


def _code_header(code: str) -> str:
    """OPEN_LIMIT_EXCEEDED on two lines, so that its column stays narrow."""
    words = code.split("_")
    cuts = [
        ("_".join(words[:cut]) + "_", "_".join(words[cut:])) for cut in range(1, len(words))
    ] or [("", code)]
    return "\n".join(min(cuts, key=lambda parts: max(map(len, parts))))


def _above_capital(row: Row) -> bool:
    return row["peak_capital"] is not None and row["peak_capital"] > row["start_capital"]


def capital_warnings(summary: Sequence[Row]) -> list[str]:
    """Accounts whose open positions cost more than their start capital at some time."""
    found = []
    for row in summary:
        if row["strategy_id"] == TOTAL and _above_capital(row):
            peak, start = money(row["peak_capital"]), money(row["start_capital"])
            found.append(
                f"account {row['account_id']}: positions cost up to {peak} {row['currency']}, "
                f"above its start_capital of {start}; drawdown and Sharpe count that capital only"
            )
    return found
