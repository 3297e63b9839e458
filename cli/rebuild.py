"""`tradeflow rebuild`: a latest table of a live store, made again from history."""

from typing import TYPE_CHECKING

import typer

from cli import live_options, options
from cli.errors import told
from cli.help import NO_VALUE, examples

if TYPE_CHECKING:  # it loads slowly, and help needs none of it
    from feeds.live.rebuild import Difference, Rebuilt

EXAMPLES = examples(
    ("tradeflow rebuild open_positions_rollup", "compare, and mend what differs"),
    ("... realized_pnl_latest --dry-run", "compare only"),
)
DIFFERED = 1
SHOWN = 20


def rebuild(
    name: str = typer.Argument(
        metavar="TABLE",
        help="open_positions_lots, open_positions_rollup, realized_pnl_latest, "
        "strategy_signal_latest or indicator_latest.",
    ),
    dry_run: bool = typer.Option(
        False, "--dry-run", metavar=NO_VALUE, help="Say what differs and write nothing."
    ),
    config: live_options.Configuration = None,
    settings: options.Settings = None,
    run_id: options.RunId = None,
    folder: live_options.Stack = None,
    store: live_options.StoreAddress = None,
    database: live_options.Database = None,
) -> None:
    """Make a latest table again from history, say what differs, and mend it.

    Exit code 0 if nothing differed, 1 if something did.
    """
    with told("interrupted"):
        checked = live_options.load(config, folder, settings, {"--run-id": run_id})
        from feeds.live.place import place
        from feeds.live.rebuild import rebuild
        from jobs.store.client import open_client

        at = place(checked, folder, store, database)
        with open_client(at, note=live_options.note) as client:
            found = rebuild(client, checked, name, dry_run)
    _show(name, found, dry_run)
    if found.differences:
        raise typer.Exit(DIFFERED)


def _show(name: str, found: "Rebuilt", dry_run: bool) -> None:
    if found.note:
        live_options.note(found.note)
    if not found.differences:
        print(f"{name}: {found.rows:,} rows, as history says")
        return
    for one in found.differences[:SHOWN]:
        print(line(one))
    left = len(found.differences) - SHOWN
    if left > 0:
        print(f"... and {left:,} more")
    done = "nothing was written" if dry_run else "mended"
    print(f"{name}: {len(found.differences):,} of {found.rows:,} rows differed; {done}")


def line(one: "Difference") -> str:
    """A difference as people read it."""
    from cli.table import text_of

    texts = [
        f"{name} {text_of(stored)}, right is {text_of(right)}"
        for name, stored, right in one.columns
    ]
    return "; ".join([f"{one.kind}: {' '.join(map(text_of, one.key))}", *texts])
