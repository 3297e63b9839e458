"""The end of a run on the screen: tables of results, signals and ranked sets, warnings."""

import os
import sys
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import TYPE_CHECKING, NamedTuple

from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from cli.figures import Row, above_capital, figure_columns, plain_table
from cli.numbers import money
from cli.ranking import TOP, render_ranking

if TYPE_CHECKING:
    from jobs.run import RunReport
    from jobs.sweep.ranking import RankedFamily

TOTAL = ""  # the strategy_id of an account's own row
ALL_SHOWN = 24  # more strategies than this in an account are cut to its best and worst
SHOWN_EACH = 10
LOUD = ("LATE BARS", "NO BARS")  # how warnings begin that put a whole run in doubt
WIDTH_WITHOUT_TERMINAL = 120
ROOMY = 112  # columns of a screen from which on two spaces part the columns of a table
SUMS = ("signals", "accepted", "round_trips")
MONEY_SUMS = ("gross_pnl", "fees", "net_pnl")


class Section(NamedTuple):
    """An account in one currency: the rows to show, its total, and how many are not shown.

    Families have a row each; `families` are their sets, ranked.
    """

    account_id: str
    currency: str
    rows: Sequence[Row]
    total: Row | None
    hidden: int
    families: "Sequence[RankedFamily]" = ()

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


def render_report(console: Console, report: "RunReport", seconds: float, top: int = TOP) -> None:
    """Print tables, warnings, and where the run is. Of a family the `top` sets are shown."""
    gap = gap_of(console)
    for section in sections(report.summary, report.families):
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
        for family in section.families:
            render_ranking(console, family, report.folder, top, gap)
    warnings = [*report.warnings, *capital_warnings(report.summary)]
    if warnings:
        console.print()
    for warning in warnings:
        style = "bold red" if warning.startswith(LOUD) else "yellow"
        console.print(Text(f"warning: {warning}", style=style))
    console.print()
    console.print(f"{report.folder}  ({seconds:.1f} s)", markup=False, soft_wrap=True)


def gap_of(console: Console) -> int:
    """The space between columns of a table, beside the least."""
    return 1 if console.width >= ROOMY else 0


def sections(summary: Sequence[Row], families: "Sequence[RankedFamily]" = ()) -> list[Section]:
    """The summary by account and currency, in its order, long ones cut to the best and worst."""
    groups: dict[tuple[str, str], list[Row]] = {}
    for row in summary:
        groups.setdefault((row["account_id"], row["currency"]), []).append(row)
    found = []
    for (account_id, currency), group in groups.items():
        ranked = [
            one for one in families if (one.account_id, one.currency) == (account_id, currency)
        ]
        in_families = {one.row["strategy_id"] for family in ranked for one in family.sets}
        rows = [row for row in group if row["strategy_id"] not in {TOTAL, *in_families}]
        totals = [row for row in group if row["strategy_id"] == TOTAL]
        shown = best_and_worst(rows)
        hidden = len(rows) - len(shown)
        if rows or len(ranked) > 1:
            shown += [family_row(family) for family in ranked]
        total = totals[0] if totals else None
        found.append(Section(account_id, currency, shown, total, hidden, ranked))
    return found


def family_row(family: "RankedFamily") -> Row:
    """What the sets of a family add up to; figures that don't add up are not defined."""
    rows = [one.row for one in family.sets]
    codes = sorted({code for row in rows for code in row["rejected"]})
    return {
        **dict.fromkeys(rows[0]),
        **{name: sum(row[name] for row in rows) for name in SUMS},
        **{name: str(sum(Decimal(row[name]) for row in rows)) for name in MONEY_SUMS},
        "rejected": {code: sum(row["rejected"].get(code, 0) for row in rows) for code in codes},
        "strategy_id": f"{family.family_id}, {len(rows)} sets",
        "start_capital": rows[0]["start_capital"],
    }


def best_and_worst(rows: Sequence[Row]) -> list[Row]:
    """All rows where they are few, else the SHOWN_EACH best and worst by net PnL, best first."""
    if len(rows) <= ALL_SHOWN:
        return list(rows)
    ordered = sorted(rows, key=lambda row: Decimal(row["net_pnl"]), reverse=True)
    return ordered[:SHOWN_EACH] + ordered[-SHOWN_EACH:]


def results_table(section: Section, gap: int = 1) -> Table:
    """Profit and risk per strategy; `gap` is the space between columns beside the least."""
    lines = section.lines
    title = f"{section.account_id}: {section.currency}, "
    title += f"start capital {money(lines[0]['start_capital'])}"
    return _filled(plain_table(title, gap, "\nstrategy"), section, figure_columns(lines))


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
    return _filled(plain_table(None, gap, "\nstrategy"), section, columns)


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


def _code_header(code: str) -> str:
    """OPEN_LIMIT_EXCEEDED on two lines, so that its column stays narrow."""
    words = code.split("_")
    cuts = [
        ("_".join(words[:cut]) + "_", "_".join(words[cut:])) for cut in range(1, len(words))
    ] or [("", code)]
    return "\n".join(min(cuts, key=lambda parts: max(map(len, parts))))


def capital_warnings(summary: Sequence[Row]) -> list[str]:
    """Accounts whose open positions cost more than their start capital at some time."""
    found = []
    for row in summary:
        if row["strategy_id"] == TOTAL and above_capital(row):
            peak, start = money(row["peak_capital"]), money(row["start_capital"])
            found.append(
                f"account {row['account_id']}: positions cost up to {peak} {row['currency']}, "
                f"above its start_capital of {start}; drawdown and Sharpe count that capital only"
            )
    return found
