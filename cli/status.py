"""`tradeflow status`: what runs of a stack, and how it fares."""

import json
import sys
from typing import TYPE_CHECKING, Any

import typer

from cli import live_options
from cli.errors import told
from cli.help import NO_VALUE, examples

if TYPE_CHECKING:  # they load slowly, and help needs none of them
    from rich.console import Console

    from jobs.stack.report import StackStatus

EXAMPLES = examples(
    ("tradeflow status", "processes, jobs, tables, how far each stage is"),
    ("... --json | jq .lag", "for scripts"),
)
UNWELL = 1


def status(
    folder: live_options.Stack = None,
    as_json: bool = typer.Option(
        False, "--json", metavar=NO_VALUE, help="Print one JSON object only."
    ),
) -> None:
    """Say what runs of the stack, what does not, and what to do about it.

    Exit code 0 if all runs, 1 if something does not.
    """
    with told():
        from jobs.stack.place import find
        from jobs.stack.report import status as status_of

        found = status_of(find(folder))
        if as_json:
            json.dump(as_dict(found), sys.stdout)
            print()
        else:
            from cli.render import stdout_console

            show(stdout_console(), found)
    if found.problems:
        raise typer.Exit(UNWELL)


def as_dict(found: "StackStatus") -> dict[str, Any]:
    """What --json prints."""
    return {
        "folder": str(found.folder),
        "run_id": found.run_id,
        "database": found.database,
        "store_kind": found.store_kind,
        "bootstrap": found.bootstrap,
        "rest": found.rest,
        "processes": [one._asdict() for one in found.processes],
        "jobs": [one._asdict() for one in found.jobs],
        "tables": [one._asdict() for one in found.tables],
        "lag": dict(found.lag),
        "last_bar": dict(found.last_bar),
        "metrics": list(found.metrics.values()),
        "problems": list(found.problems),
    }


def show(console: "Console", found: "StackStatus") -> None:
    """Tables for people."""
    from rich.text import Text

    from cli.figures import plain_table
    from schemas.config_values import time_text

    console.print(f"run {found.run_id} in {found.folder}", markup=False, soft_wrap=True)
    console.print(f"{found.store_kind} at {found.bootstrap}, Flink {found.rest}\n", markup=False)
    grid = plain_table(None, 1, "process")
    for header in ("state", "process id", "starts"):
        grid.add_column(header, justify="left" if header == "state" else "right")
    for one in found.processes:
        style = "" if one.state == "running" else "bold red"
        pid = "" if one.pid is None else str(one.pid)
        grid.add_row(one.name, Text(one.state, style=style), pid, str(one.starts))
    console.print(grid)
    console.print()
    grid = plain_table(None, 1, "job")
    for header in ("state", "checkpoint", "size", "restarts"):
        grid.add_column(header, justify="left" if header == "state" else "right")
    for job in found.jobs:
        style = "" if job.state == "RUNNING" else "bold red"
        age = "" if job.checkpoint_age_s is None else f"{job.checkpoint_age_s:,.0f} s ago"
        size = "" if job.checkpoint_bytes is None else f"{job.checkpoint_bytes / 1000:,.0f} kB"
        restarts = "" if job.restarts is None else str(job.restarts)
        grid.add_row(job.name, Text(job.state, style=style), age, size, restarts)
    console.print(grid)
    if found.tables:
        console.print()
        grid = plain_table(None, 1, "table")
        grid.add_column("rows", justify="right")
        for table in found.tables:
            if table.rows:
                rows = f"{table.rows:,}" if table.is_exact else f"up to {table.rows:,}"
                grid.add_row(table.name, rows)
        empty = sum(not table.rows for table in found.tables)
        console.print(grid)
        console.print(f"and {empty} empty tables", style="dim")
        told = ", ".join(
            f"{stage} {'unknown' if ms is None else f'{ms / 60_000:,.0f} min'}"
            for stage, ms in found.lag.items()
        )
        console.print(f"\nbehind the feed: {told}", markup=False)
        bars = ", ".join(
            f"{name} {'none' if ts is None else time_text(ts)}"
            for name, ts in found.last_bar.items()
        )
        console.print(f"last bar: {bars}", markup=False)
    console.print()
    for problem in found.problems:
        console.print(Text(f"problem: {problem}", style="bold red"), soft_wrap=True)
    if not found.problems:
        console.print("all runs")
