"""`tradeflow rejects`: rows that a live store refused, and what is decided about them."""

from typing import TYPE_CHECKING

import typer

from cli import live_options, options
from cli.errors import told
from cli.help import NO_VALUE, examples
from udfs.errors import ConfigError

if TYPE_CHECKING:  # they load slowly, and help needs none of them
    from rich.console import Console

    from feeds.live.rejects import Rejected

EXAMPLES = examples(
    ("tradeflow rejects", "what is not decided yet"),
    ("... --apply 3f2a9c --change strategy_id=ema-20-50", "have a report booked"),
    ("... --drop 3f2a9c", "say that it is of no use"),
)
SHOWN_ID = 12
SHOWN_ROWS = 50


def rejects(
    table: str | None = typer.Option(
        None, metavar="NAME", help="Only rows that were meant for this table."
    ),
    apply: str | None = typer.Option(
        None, metavar="ID", help="Have this exec report booked; the beginning of an id will do."
    ),
    change: list[str] | None = typer.Option(
        None, metavar="COLUMN=VALUE", help="With --apply: another value. Repeatable."
    ),
    drop: str | None = typer.Option(None, metavar="ID", help="Say that this row is of no use."),
    everything: bool = typer.Option(
        False, "--all", metavar=NO_VALUE, help="Those that were decided, too, and all of them."
    ),
    config: live_options.Configuration = None,
    settings: options.Settings = None,
    run_id: options.RunId = None,
    folder: live_options.Stack = None,
    store: live_options.StoreAddress = None,
    database: live_options.Database = None,
) -> None:
    """List rows that were refused, or decide about one, which becomes a row itself."""
    with told("interrupted"):
        if apply is not None and drop is not None:
            raise ConfigError("--apply and --drop: choose one of them")
        if change and apply is None:
            raise ConfigError("--change: it goes with --apply ID")
        changes = dict(map(_pair, change or ()))
        checked = live_options.load(config, folder, settings, {"--run-id": run_id})
        from feeds.live import rejects as live
        from feeds.live.place import place
        from jobs.store.client import open_client

        at = place(checked, folder, store, database)
        with open_client(at, note=live_options.note) as client:
            rows = live.rejected_rows(client)
            if apply is not None:
                row = live.find(rows, apply)
                live.apply(client, checked, row, changes)
                print(f"{row.row_id} is applied: the engine books it")
            elif drop is not None:
                row = live.find(rows, drop)
                live.drop(client, checked, row)
                print(f"{row.row_id} is dropped")
            else:
                _list(_of_table(rows, table), everything)


def _pair(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals:
        raise ConfigError(f"--change: {text!r} is no COLUMN=VALUE")
    return name, value


def _of_table(rows: "list[Rejected]", table: str | None) -> "list[Rejected]":
    if table is None:
        return rows
    names = {"price_1m_history": "price_rejects"}
    return [row for row in rows if row.source_table == names.get(table, table)]


def _list(rows: "list[Rejected]", everything: bool) -> None:
    from collections import Counter

    from cli.render import stdout_console

    shown = rows if everything else [row for row in rows if row.decision is None]
    if not shown:
        print("nothing is rejected" if not rows else f"all {len(rows):,} rows are decided")
        return
    console = stdout_console()
    _print(console, shown if everything else shown[-SHOWN_ROWS:])
    counts = Counter(f"{row.source_table} {row.code}" for row in shown)
    console.print()
    for name, count in sorted(counts.items()):
        console.print(f"{name}: {count:,}", markup=False)
    if not everything and len(shown) > SHOWN_ROWS:
        console.print(f"the last {SHOWN_ROWS} of {len(shown):,} are shown; --all shows all")


def _print(console: "Console", rows: "list[Rejected]") -> None:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    from cli.table import text_of, time_text

    grid = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for name in ("id", "meant for", "code", "time", "what was wrong"):
        grid.add_column(name, no_wrap=name == "id", overflow="fold")
    for row in rows:
        what = row.detail if row.decision is None else f"{row.decision}: {row.detail}"
        if row.source_table == "price_rejects":
            what += f" ({','.join(text_of(value) for value in row.values.values())})"
        cells = (row.row_id[:SHOWN_ID], row.source_table, row.code, time_text(row.ts))
        grid.add_row(*map(Text, (*cells, text_of(what))))
    console.print(grid)
