"""`tradeflow up`: start the local stack of a run, or what is missing of it."""

import sys
import time
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from cli import live_options, options
from cli.errors import told
from cli.help import NO_VALUE, examples
from cli.overrides import load

if TYPE_CHECKING:  # they load slowly, and help needs none of them
    from jobs.stack.control import Up

EXAMPLES = examples(
    ("tradeflow up", "conf/live.yaml: a store, Flink and the jobs, on this machine"),
    ("... --set run.id=second", "another run beside it, in a folder of its own"),
    ("... --set live.task_manager_memory=3g", "more memory for the jobs"),
    ("... --no-jobs", "without jobs, to `tradeflow submit` them one by one"),
)
STOPPED = "interrupted; what was started runs on: `tradeflow status`, `tradeflow down`"
UNWELL = 1


class PortChoice(StrEnum):
    """Which ports a stack takes."""

    AUTO = "auto"
    FIXED = "fixed"


def up(
    config: options.ConfigFile = live_options.LIVE_CONFIG,
    settings: options.Settings = None,
    folder: live_options.Stack = None,
    ports: PortChoice = typer.Option(
        PortChoice.AUTO,
        help="auto: free ones where the usual ones are taken. fixed: the usual ones or none.",
    ),
    no_jobs: bool = typer.Option(
        False, "--no-jobs", metavar=NO_VALUE, help="Start the store and Flink only."
    ),
    monitoring: bool | None = typer.Option(
        None,
        "--monitoring/--no-monitoring",
        help="With Prometheus and Alertmanager, where they are installed. Default: as before.",
        show_default=False,
    ),
    fresh: bool = typer.Option(
        False,
        "--fresh",
        metavar=NO_VALUE,
        help="Jobs forget savepoints and checkpoints and read their tables from the start.",
    ),
) -> None:
    """Start a run's stack on this machine: the store, Flink, the tables and the jobs.

    What runs already stays. After `tradeflow down` each job goes on from its savepoint, after a
    crash from its last checkpoint. Exit code 1 where a job does not run in the end.
    """
    began = time.monotonic()
    with told(STOPPED):
        checked = load(config, settings or [], {})
        from jobs.stack.control import Wish
        from jobs.stack.control import up as bring_up
        from jobs.stack.place import folder_of

        wish = Wish(
            fixed_ports=ports is PortChoice.FIXED,
            monitoring=monitoring,
            jobs=() if no_jobs else None,
            fresh=fresh,
        )
        found = bring_up(checked, folder_of(checked.run.id, folder), wish, say)
    show_up(found, time.monotonic() - began, folder)
    if found.problems:
        raise typer.Exit(UNWELL)


def say(text: str) -> None:
    """A step, on standard error."""
    print(text, file=sys.stderr, flush=True)


def show_up(found: "Up", seconds: float, given: Path | None) -> None:
    """What was done, where things are, and what to do next."""
    stack = found.stack
    option = "" if given is None else f" --dir {given}"
    if found.was_running:
        print(f"the stack of run {stack.run_id} runs already")
    else:
        print(f"the stack of run {stack.run_id} runs ({seconds:.0f} s)")
    for name in found.came_back:
        print(f"  {name} goes on by itself")
    for name, point in found.submitted.items():
        print(f"  submitted {name}" + (f", which goes on from {Path(point).name}" if point else ""))
    print(f"store     {stack.store_kind} at {stack.bootstrap}, database {stack.database}")
    print(f"Flink     {stack.rest}")
    if stack.monitoring:
        print(f"Prometheus http://127.0.0.1:{stack.ports.prometheus}")
        print(f"alerts    http://127.0.0.1:{stack.ports.alertmanager}")
    print(f"folder    {stack.folder}")
    if found.problems:
        print()
        for problem in found.problems:
            print(f"warning: {problem}")
    print(
        f"\nnext: `tradeflow replay{option} --speed max` feeds it bars, `tradeflow status{option}`"
        f" says how it fares, `tradeflow down{option}` ends it"
    )
