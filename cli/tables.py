"""`tradeflow tables`: the contracts of all tables."""

from typing import TYPE_CHECKING

import typer

from cli.errors import told
from udfs.errors import ConfigError, nearest

if TYPE_CHECKING:
    from rich.console import Console

    from schemas.table import Table


def tables(
    name: str | None = typer.Argument(None, metavar="[NAME]", help="One table: its columns."),
) -> None:
    """List the tables, or the columns of one. The same stands in docs/tables.md."""
    with told():
        from cli.render import stdout_console
        from schemas.tables import OLD_NAMES, TABLES

        console = stdout_console()
        if name is None:
            _list(console, list(TABLES.values()))
        elif name in TABLES:
            _one(console, TABLES[name])
        else:
            now = [old.now for old in OLD_NAMES if old.old == name]
            hint = f"; the column of that name is called {now[0]!r} here" if now else ""
            raise ConfigError(
                f"{name!r} is no table{hint or nearest(name, TABLES)}; "
                "`tradeflow tables` lists them all"
            )


def _list(console: "Console", every: "list[Table]") -> None:
    from rich import box
    from rich.table import Table as Grid

    for kind, meaning in (
        ("history", "facts, appended; the first row of a key stays"),
        ("latest", "one row per key, replaced and deleted as things change"),
    ):
        grid = Grid(
            box=box.SIMPLE_HEAD,
            title=f"{kind}: {meaning}",
            title_justify="left",
            title_style="bold",
            pad_edge=False,
            show_edge=False,
        )
        for header in ("table", "key", "what it holds"):
            grid.add_column(header, no_wrap=header == "table")
        for table in every:
            if table.kind == kind:
                grid.add_row(table.name, ", ".join(table.key), table.doc.replace("`", ""))
        console.print()
        console.print(grid)


def _one(console: "Console", table: "Table") -> None:
    from rich import box
    from rich.table import Table as Grid
    from rich.text import Text

    console.print(Text(f"\n{table.name}", style="bold"))
    console.print(table.doc, markup=False)
    console.print(
        f"{table.kind.value} table, key {', '.join(table.key)}, "
        f"event time {table.event_time or 'none'}; "
        f"in files ordered by {', '.join(table.order)}"
        f"{', ' + table.order_note if table.order_note else ''}",
        markup=False,
    )
    console.print(f"written by {table.written_by}; read by {table.read_by}\n", markup=False)
    grid = Grid(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for header in ("column", "type", "null", "meaning"):
        grid.add_column(header, no_wrap=header != "meaning")
    for column in table.columns:
        meaning = column.doc if column.in_files else f"{column.doc} Not in files."
        null = "yes" if column.nullable else ""
        grid.add_row(column.name, column.type.value, null, Text(meaning.replace("`", "")))
    console.print(grid)
