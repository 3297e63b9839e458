"""A family of strategies on the screen: its best sets, the median and the worst of all."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.markup import escape
from rich.measure import Measurement
from rich.table import Table

from cli.figures import Row, figure_columns, plain_table
from cli.numbers import MISSING, money, money_columns, number, percent

if TYPE_CHECKING:
    from jobs.sweep.ranking import RankedFamily, RankedSet

TOP = 20
# What is left out first where the screen is too narrow; sweep.parquet has everything.
DISPENSABLE = (
    "peak\ncapital",
    "\nfees",
    "gross\nPnL",
    "market\ntime %",
    "wins\n%",
    "profit\nfactor",
)
NAMES = {
    "net_pnl": "net PnL",
    "gross_pnl": "gross PnL",
    "sharpe": "Sharpe",
    "sortino": "Sortino",
    "calmar": "Calmar",
    "cagr": "CAGR %",
    "profit_factor": "profit factor",
    "win_rate": "wins %",
    "expectancy": "expectancy",
    "max_drawdown": "max drawdown %",
    "max_drawdown_amount": "max drawdown",
}
# Figures to rank by that the table lacks otherwise.
ADDED = ("sortino", "calmar", "cagr", "expectancy", "max_drawdown_amount")
LUCK = "The best of many is partly luck: the median says more, and other bars say most."
SHARED = (
    "The account has a cap, a budget or shorts, so its sets take trades from each other: none of "
    "them shows what it would earn alone."
)


def render_ranking(
    console: Console, family: "RankedFamily", folder: Path, top: int = TOP, gap: int = 1
) -> None:
    """Print the `top` sets and what to make of them; `folder` has sweep.parquet."""
    console.print()
    console.print(_fitting(console, family, top, gap))
    console.print()
    total = len(family.sets)
    median = money(family.median("net_pnl"))
    kept = "" if top >= total else f"Top {top} of {total:,}; a"
    lines = [
        f"{family.profitable:,} of {total:,} sets earned money after fees; "
        f"the median set's net PnL is {median}. {LUCK}",
        *([SHARED] if family.is_shared else []),
        f"{kept or 'A'}ll figures of all sets: {folder / 'sweep.parquet'}",
    ]
    for line in lines:
        console.print(line, style="dim", markup=False)


def _fitting(console: Console, family: "RankedFamily", top: int, gap: int) -> Table:
    """The table without the columns that the screen has no room for."""
    unlimited = console.options.update(width=1_000)
    for count in range(len(DISPENSABLE) + 1):
        table = ranking_table(family, top, gap, DISPENSABLE[:count])
        if Measurement.get(console, unlimited, table).maximum <= console.width:
            break
    return table


def ranking_table(
    family: "RankedFamily", top: int, gap: int = 1, without: Sequence[str] = ()
) -> Table:
    """Rank, parameters that differ, and figures of the `top` sets, of the median and the worst.

    The median is each figure's own, over all sets that have it.
    """
    shown = family.sets[:top]
    last = family.sets[-1]
    varying = [name for name in family.parameters if _differs(family.sets, name)]
    lines: list[Row] = [one.row for one in (*shown, last)]
    lines.insert(len(shown), _median(family))
    table = plain_table(_title(family, varying), gap)
    table.add_column("\nrank", justify="right", no_wrap=True)
    for name in varying:
        table.add_column(f"\n{escape(name)}", justify="right", overflow="fold")
    figures = {**_added(family, lines), **figure_columns(lines)}
    columns = {name: values for name, values in figures.items() if name not in without}
    for name in columns:
        table.add_column(name, justify="right", no_wrap=True)
    for i in range(len(lines)):
        cells = [values[i] for values in columns.values()]
        if i == len(shown):
            table.add_section()
            table.add_row("median", *("" for _ in varying), *cells, style="bold")
        else:
            one = last if i > len(shown) else shown[i]
            rank = "worst" if i > len(shown) else f"{one.rank:,}"
            table.add_row(rank, *(escape(_text(one.params, name)) for name in varying), *cells)
    return table


def _added(family: "RankedFamily", lines: Sequence[Row]) -> dict[str, list[str]]:
    """The figure of the ranking, where the table does not have it anyway."""
    figure = family.rank_by
    if figure not in ADDED:
        return {}
    values = [row[figure] for row in lines]
    if figure == "cagr":
        texts = [percent(value) for value in values]
    elif figure in ("expectancy", "max_drawdown_amount"):
        (texts,) = money_columns(values)
    else:
        texts = [number(value) for value in values]
    words = NAMES[figure].rpartition(" ")
    return {f"{words[0]}\n{words[2]}": texts}


def _title(family: "RankedFamily", varying: Sequence[str]) -> str:
    """What the sets are of, with the parameters that all of them share."""
    common = {name: _text(family.sets[0].params, name) for name in family.parameters}
    same = [f"{name} {value}" for name, value in common.items() if name not in varying]
    return (
        f"{family.account_id}: {family.family_id}, {len(family.sets):,} sets of {family.kind} on "
        f"{', '.join([family.timeframe, *same])}; best {NAMES[family.rank_by]} first"
    )


def _differs(sets: "Sequence[RankedSet]", name: str) -> bool:
    return len({_text(one.params, name) for one in sets}) > 1


def _text(params: Mapping[str, Any], name: str) -> str:
    return str(params[name]) if name in params else MISSING


def _median(family: "RankedFamily") -> Row:
    """A row of medians; what has none is not defined."""
    row = {name: family.median(name) for name in (*MEDIANS, family.rank_by)}
    row["round_trips"] = round(row["round_trips"])
    return row


MEDIANS = (
    "round_trips",
    "gross_pnl",
    "fees",
    "net_pnl",
    "win_rate",
    "profit_factor",
    "max_drawdown",
    "sharpe",
    "time_in_market",
    "peak_capital",
    "start_capital",
)
