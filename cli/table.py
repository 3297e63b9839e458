"""`tradeflow table`: the rows of any table, of a live store or of a run's folder."""

from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from cli import live_options
from cli.errors import INTERRUPTED, told
from cli.help import NO_VALUE, examples
from udfs.errors import ConfigError

if TYPE_CHECKING:  # they load slowly, and help needs none of them
    import pyarrow as pa
    from rich.console import Console


EXAMPLES = examples(
    ("tradeflow table open_positions_lots", "of the only stack in this folder"),
    ("... progress --where stage=feed --limit 5", "its last five rows"),
    ("... trade_match_history --run runs/demo", "of a backtest"),
    ("... exec_report_history --follow", "new rows as they come, until Ctrl-C"),
    ("... price_1m_history --out bars.parquet", "all of it, as a file"),
)
SHOWN_ROWS = 20
FARTHEST_MS = 253_402_300_800_000  # the year 10000, beyond which there are no dates
NOTHING = "-"


def table(
    name: str = typer.Argument(metavar="NAME", help="A table: `tradeflow tables` lists them."),
    where: list[str] | None = typer.Option(
        None, metavar="COLUMN=VALUE", help="Only rows with this value. Repeatable; all must hold."
    ),
    limit: int | None = typer.Option(
        None,
        metavar="N",
        min=1,
        help="The last N rows in the table's order.",
        show_default="20; with --out all",
    ),
    out: Path | None = typer.Option(
        None, metavar="FILE", help="Write the rows to this Parquet file instead of showing them."
    ),
    follow: bool = typer.Option(
        False, "--follow", metavar=NO_VALUE, help="Then print new rows until Ctrl-C."
    ),
    run: Path | None = typer.Option(
        None,
        metavar="FOLDER",
        help="A run's folder, such as runs/demo.",
        rich_help_panel=live_options.STORE,
    ),
    folder: live_options.Stack = None,
    store: live_options.StoreAddress = None,
    database: live_options.Database = None,
) -> None:
    """Show the rows of a table, of a live store or of a run's folder.

    Times are UTC. Without a place it is the only stack in .run/live.
    """
    with told("interrupted"):
        from feeds.live import tables as live
        from feeds.live.place import place

        contract = live.table_of(name)
        terms = [live.condition(contract, text) for text in where or []]
        _check_options(run, folder or store or database, follow, out)
        wanted = limit if limit is not None or out is not None else SHOWN_ROWS
        if run is not None:
            rows = live.read_table(name, run=run, where=where or (), limit=wanted)
        else:
            at = place(None, folder, store, database)
            rows = live.read_place(at, contract, terms, wanted, live_options.note)
        if out is not None:
            _write(out, live.as_contract(contract, rows))
            return
        from cli.render import stdout_console

        show_rows(stdout_console(), rows)
        if follow:
            _follow(live.follow_place(at, contract, terms, live_options.note))


def _check_options(run: Path | None, store: object, follow: bool, out: Path | None) -> None:
    if run is not None and store is not None:
        raise ConfigError("--run: it is a place by itself; leave --dir, --store, --database out")
    if follow and (run is not None or out is not None):
        other = "--run" if run is not None else "--out"
        raise ConfigError(f"--follow: it prints what comes into a store; leave {other} out")


def _write(out: Path, rows: "pa.Table") -> None:
    from jobs.run_folder import unwritable, write_table

    part = out.with_name(f".{out.name}.part")
    try:
        write_table(part, rows)
        part.replace(out)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise unwritable(out, error) from None
    print(f"{rows.num_rows:,} rows in {out}")


def show_rows(console: "Console", rows: "pa.Table") -> None:
    """A table as wide as the screen, else each row as a block of lines."""
    from rich import box
    from rich.table import Table as Grid
    from rich.text import Text

    if not rows.num_rows:
        console.print("no rows")
        return
    names = rows.column_names
    texts = [texts_of(name, rows[name].to_pylist()) for name in names]
    widths = [max(map(len, [name, *column])) for name, column in zip(names, texts, strict=True)]
    if sum(widths) + 2 * len(widths) > console.width:
        longest = max(map(len, names))
        for number in range(rows.num_rows):
            console.print(Text(f"row {number + 1} of {rows.num_rows}", style="bold"))
            for name, column in zip(names, texts, strict=True):
                line = f"  {name.ljust(longest)}  {column[number]}"
                console.print(line, markup=False, soft_wrap=True)
        return
    grid = Grid(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for name in names:
        numbers = is_number(rows[name].type) and not is_time(name)
        grid.add_column(Text(name), justify="right" if numbers else "left", no_wrap=True)
    for number in range(rows.num_rows):
        grid.add_row(*(Text(column[number]) for column in texts))
    console.print(grid)


def is_time(name: str) -> bool:
    """Whether a column holds times, by its name."""
    return name == "ts" or name.endswith("_ts")


def is_number(kind: Any) -> bool:
    """Whether a column's type is a number."""
    from pyarrow import types

    return bool(types.is_integer(kind) or types.is_floating(kind) or types.is_decimal(kind))


def texts_of(name: str, values: "list[Any]") -> list[str]:
    """Values as people read them."""
    if is_time(name):
        return [time_text(value) for value in values]
    return [text_of(value) for value in values]


def time_text(value: object) -> str:
    """UTC milliseconds as a date and a time; what is none as it is."""
    if not isinstance(value, int) or abs(value) >= FARTHEST_MS:
        return text_of(value)
    try:
        found = datetime.fromtimestamp(value // 1000, UTC)
    except (OverflowError, ValueError):
        return text_of(value)
    behind = f".{value % 1000:03d}" if value % 1000 else ""
    return found.strftime("%Y-%m-%d %H:%M:%S") + behind


def text_of(value: object) -> str:
    """A value in plain text, on one line."""
    if value is None:
        return NOTHING
    if isinstance(value, Decimal):
        text = format(value, "f")
        return (text.rstrip("0").rstrip(".") or "0") if "." in text else text
    if isinstance(value, bool):
        return "true" if value else "false"
    text = repr(value) if isinstance(value, float) else str(value)
    return "".join(letter if letter.isprintable() else repr(letter)[1:-1] for letter in text)


def _follow(news: Any) -> None:
    """New rows, a line each."""
    try:
        for rows, deleted in news:
            names = rows.column_names
            texts = [texts_of(name, rows[name].to_pylist()) for name in names]
            for number, gone in enumerate(deleted):
                pairs = (
                    f"{name}={column[number]}" for name, column in zip(names, texts, strict=True)
                )
                print("  ".join([*(["deleted"] if gone else []), *pairs]), flush=True)
    except KeyboardInterrupt:
        raise typer.Exit(INTERRUPTED) from None
