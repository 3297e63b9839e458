"""Figures on the screen and as files."""

import json
from collections.abc import Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from cli.figures import plain_table
from cli.numbers import MISSING, money, number, percent
from udfs.errors import ConfigError

if TYPE_CHECKING:
    import pandas as pd

Figures = Mapping[str, Any]

# (title, lines of (key, name, kind)); kinds: money, share, ratio, plain.
SECTIONS = (
    ("Result", (
        ("start_capital", "start capital", "money"),
        ("gross_pnl", "gross PnL", "money"),
        ("fees", "fees", "money"),
        ("net_pnl", "net PnL", "money"),
        ("unrealized", "open result", "money"),
        ("end_equity", "end equity", "money"),
        ("total_return", "total return %", "share"),
        ("cagr", "CAGR %", "share"),
    )),
    ("Risk", (
        ("volatility", "volatility %", "share"),
        ("sharpe", "Sharpe", "ratio"),
        ("sortino", "Sortino", "ratio"),
        ("calmar", "Calmar", "ratio"),
        ("max_drawdown", "max drawdown %", "share"),
        ("max_drawdown_amount", "max drawdown", "money"),
        ("max_drawdown_peak", "  its peak", "plain"),
        ("max_drawdown_trough", "  its trough", "plain"),
        ("max_drawdown_recovery", "  recovered", "plain"),
        ("max_drawdown_days", "  days", "plain"),
        ("longest_drawdown_days", "longest drawdown, days", "plain"),
        ("best_day", "best day", "money"),
        ("worst_day", "worst day", "money"),
    )),
    ("Round trips", (
        ("trades", "round trips", "plain"),
        ("win_rate", "wins %", "share"),
        ("profit_factor", "profit factor", "ratio"),
        ("expectancy", "expectancy", "money"),
        ("expectancy_r", "expectancy / average loss", "ratio"),
        ("average_win", "average win", "money"),
        ("average_loss", "average loss", "money"),
        ("payoff_ratio", "payoff ratio", "ratio"),
        ("best_trade", "best", "money"),
        ("worst_trade", "worst", "money"),
        ("longest_losing_streak", "longest losing streak", "plain"),
        ("average_holding_hours", "average holding, hours", "ratio"),
    )),
    ("Market", (
        ("exposure", "exposure, time %", "share"),
        ("gross_exposure", "average exposure, capital %", "share"),
        ("traded_notional", "traded notional", "money"),
        ("turnover", "turnover, x capital", "ratio"),
        ("turnover_annual", "turnover a year", "ratio"),
        ("fee_share", "fees, % of gross PnL", "share"),
        ("fee_bps", "fees, bps of traded", "ratio"),
    )),
)  # fmt: skip
GROUP_COLUMNS = (
    ("trades", "round\ntrips", "plain"), ("gross_pnl", "gross\nPnL", "money"),
    ("fees", "\nfees", "money"), ("net_pnl", "net\nPnL", "money"),
    ("win_rate", "wins\n%", "share"), ("profit_factor", "profit\nfactor", "ratio"),
    ("max_drawdown", "drawdown\nmax %", "share"), ("sharpe", "\nSharpe", "ratio"),
    ("sortino", "\nSortino", "ratio"),
)  # fmt: skip
GROUP_COLUMNS_IF_NARROW = [
    one for one in GROUP_COLUMNS if one[0] not in ("gross_pnl", "fees", "profit_factor", "sortino")
]
ROOMY = 112  # columns of a screen that hold all of GROUP_COLUMNS
FILES = ("daily_pnl.csv", "daily_pnl.parquet", "summary.json")


def show(console: Console, label: str, found: Figures) -> None:
    """The figures, a column per currency, then what has to be known about them."""
    columns = list(found["by_currency"].values()) or [found]
    span = f"{found['first_day']} to {found['last_day']}" if found["first_day"] else "no days"
    title = f"{label}: {span}, days of {found['zone']}, {found['periods']} a year"
    console.print(Text(title, style="bold"))
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    table.add_column("")
    for one in columns:
        name = f"{one['currency'] or ''}\n{one['basis']}"
        table.add_column(escape(name), justify="right", no_wrap=True)
    for heading, lines in SECTIONS:
        table.add_section()
        table.add_row(f"[bold]{heading}[/bold]")
        for key, name, kind in lines:
            table.add_row(name, *[_cell(one[key], kind) for one in columns])
    console.print(table)
    notes = [note for one in columns for note in one["notes"]]
    for note in dict.fromkeys(notes):
        console.print(Text(f"note: {note}", style="yellow"))


def show_groups(console: Console, words: Sequence[str], rows: Sequence[Figures]) -> None:
    """A row per group."""
    left = [*words, *([] if "currency" in words else ["currency"])]
    table = plain_table(None, 1, *(f"\n{word}" for word in left))
    shown = GROUP_COLUMNS if console.width >= ROOMY else GROUP_COLUMNS_IF_NARROW
    for _, name, _ in shown:
        table.add_column(name, justify="right", no_wrap=True)
    for row in rows:
        labels = [row[word] for word in words]
        if "currency" not in words:
            labels.append(row["currency"])
        cells = [_cell(row[key], kind) for key, _, kind in shown]
        table.add_row(*map(escape, labels), *cells)
    console.print()
    console.print(table)


def _cell(value: Any, kind: str) -> str:
    if value is None:
        return MISSING
    if kind == "money":
        return money(value)
    if kind == "share":
        return percent(value) if abs(value) < 100 else f"{100 * value:.1e}"
    return number(value) if kind == "ratio" else f"{value:,}" if isinstance(value, int) else value


def plain(value: Any) -> Any:
    """The same for JSON: exact amounts as text."""
    if isinstance(value, Decimal):
        return f"{value:f}"
    if isinstance(value, Mapping):
        return {key: plain(one) for key, one in value.items()}
    return [plain(one) for one in value] if isinstance(value, list) else value


def as_json(found: Figures) -> str:
    """One object as text; there is no NaN in it."""
    return json.dumps(plain(found), indent=1, ensure_ascii=False, allow_nan=False)


def write(folder: Path, found: Figures, daily: "pd.DataFrame") -> None:
    """Write FILES into the folder, in the place of files of these names."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        folder.mkdir(parents=True, exist_ok=True)
        flat = daily.reset_index()
        flat["day"] = flat["day"].dt.strftime("%Y-%m-%d")
        texts = flat.copy()
        for name in ("realized", "fees", "net_pnl"):
            texts[name] = [f"{value:f}" for value in flat[name]]
        texts.to_csv(folder / FILES[0], index=False)
        columns = {name: _arrow(name, flat[name]) for name in flat.columns}
        pq.write_table(pa.table(columns), folder / FILES[1])
        (folder / FILES[2]).write_text(as_json(found) + "\n", encoding="utf-8")
    except OSError as error:
        raise ConfigError(
            f"--out: cannot write to {folder}: {error.strerror or error}; name a folder that you "
            "may write to"
        ) from None


def _arrow(name: str, column: Any) -> Any:
    """Amounts as DECIMAL(38,18) where they fit it."""
    import pyarrow as pa

    if name == "trades":
        return pa.array(column.astype("int64"))
    if name not in ("realized", "fees", "net_pnl"):
        return pa.array(column.astype(str))
    try:
        return pa.array(column, pa.decimal128(38, 18))
    except pa.ArrowInvalid:
        return pa.array(column, pa.decimal256(76, 38))
