"""What tables of results have in common: the columns of figures, and how a table looks."""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from rich import box
from rich.table import Table
from rich.text import Text

from cli.numbers import money_columns, number, percent

Row = Mapping[str, Any]


def figure_columns(lines: Sequence[Row]) -> dict[str, list[str]]:
    """Profit and risk of rows of the summary, by header; None in a row is a dash."""
    gross, fees, net = money_columns(
        [row["gross_pnl"] for row in lines],
        [row["fees"] for row in lines],
        [row["net_pnl"] for row in lines],
    )
    (peaks,) = money_columns([row["peak_capital"] for row in lines])
    return {
        "round\ntrips": [f"{row['round_trips']:,}" for row in lines],
        "gross\nPnL": gross,
        "\nfees": fees,
        "net\nPnL": [_coloured(text, row) for text, row in zip(net, lines, strict=True)],
        "wins\n%": [percent(row["win_rate"]) for row in lines],
        "profit\nfactor": [number(row["profit_factor"]) for row in lines],
        "drawdown\nmax %": [percent(row["max_drawdown"]) for row in lines],
        "\nSharpe": [number(row["sharpe"]) for row in lines],
        "market\ntime %": [percent(row["time_in_market"]) for row in lines],
        "peak\ncapital": [
            f"[yellow]!{peak}[/yellow]" if above_capital(row) else peak
            for row, peak in zip(lines, peaks, strict=True)
        ],
    }


def plain_table(title: str | None, gap: int, *left: str) -> Table:
    """A table without columns of figures yet; `left` are headers of its columns of names."""
    table = Table(
        box=box.SIMPLE_HEAD,
        title=None if title is None else Text(title, style="bold"),
        title_justify="left",
        padding=(0, gap),
        pad_edge=False,
        collapse_padding=True,
        show_edge=False,
    )
    for header in left:
        table.add_column(header, overflow="fold", min_width=10)
    return table


def _coloured(text: str, row: Row) -> str:
    net = Decimal(row["net_pnl"])
    colour = "red" if net < 0 else "green"
    return f"[{colour}]{text}[/{colour}]" if net else text


def above_capital(row: Row) -> bool:
    return row["peak_capital"] is not None and row["peak_capital"] > row["start_capital"]
