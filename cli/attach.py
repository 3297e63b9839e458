"""`tradeflow attach`: a run in a store and on a Flink that were started elsewhere."""

import time
from typing import Annotated

import typer

from cli import live_options, options
from cli.errors import told
from cli.help import NO_VALUE, examples
from cli.overrides import load
from cli.up import UNWELL, say

EXAMPLES = examples(
    ("tradeflow attach --store fluss:9123 --flink http://jobmanager:8081", "tables and jobs"),
    ("... --no-jobs", "the tables alone; jobs come by Flink's own means"),
    ("... --fresh", "jobs forget savepoints and checkpoints and read their tables anew"),
)
STOPPED = "interrupted; the same command goes on there"
Flinks = Annotated[
    list[str],
    typer.Option(
        "--flink",
        metavar="URL",
        help="The JobManager's address; once for each, where every job has one.",
        rich_help_panel="Flink",
    ),
]


def attach(
    flinks: Flinks,
    config: options.ConfigFile = live_options.LIVE_CONFIG,
    settings: options.Settings = None,
    folder: live_options.Stack = None,
    store: live_options.StoreAddress = None,
    exporter: str | None = typer.Option(
        None, metavar="URL", help="The exporter's address, for `tradeflow top`."
    ),
    no_jobs: bool = typer.Option(
        False, "--no-jobs", metavar=NO_VALUE, help="Make the tables only."
    ),
    fresh: bool = typer.Option(
        False,
        "--fresh",
        metavar=NO_VALUE,
        help="Jobs forget savepoints and checkpoints and read their tables from the start.",
    ),
) -> None:
    """Make a run's tables in a store, and submit its jobs to a Flink, by address.

    For containers and clusters, where somebody else keeps the processes alive. The folder then is
    a stack's: `status`, `table`, `replay`, `down` and the exporter take it by --dir. Tables and
    jobs that are there stay. Exit code 1 where a job does not run in the end.
    """
    began = time.monotonic()
    with told(STOPPED):
        checked = load(config, settings or [], {})
        from jobs.stack import outside
        from jobs.stack.control import Wish
        from jobs.stack.place import folder_of
        from jobs.stack.state import Outside

        at = outside.store_of(checked, store)
        urls = outside.addresses(flinks)
        place = Outside(at, urls, exporter and exporter.rstrip("/"))
        wish = Wish(jobs=() if no_jobs else None, fresh=fresh)
        found = outside.attach(checked, folder_of(checked.run.id, folder), place, wish, say)
    stack = found.stack
    print(f"the run {stack.run_id} is in database {stack.database} of {stack.bootstrap}")
    for name, point in found.submitted.items():
        print(f"  submitted {name}" + (f", which goes on from {point}" if point else ""))
    for problem in found.problems:
        print(f"warning: {problem}")
    print(f"folder {stack.folder} ({time.monotonic() - began:.0f} s)")
    if found.problems:
        raise typer.Exit(UNWELL)
