"""`tradeflow submit`: jobs into a stack that runs."""

import time
from typing import TYPE_CHECKING

import typer

from cli import live_options
from cli.errors import told
from cli.help import NO_VALUE, examples
from cli.up import STOPPED, UNWELL, say

if TYPE_CHECKING:
    from jobs.stack.control import Up

EXAMPLES = examples(
    ("tradeflow submit all", "the jobs that do not run"),
    ("... strategies --strategy rsi-14", "a job for one strategy alone"),
    ("... indicators --fresh", "without its checkpoints, from the start of its tables"),
)


def submit(
    job: str = typer.Argument(
        metavar="JOB",
        help="indicators, strategies, tradepicker, paper-broker, trading-engine, or all.",
    ),
    strategy: list[str] | None = typer.Option(
        None, metavar="ID", help="A job for these strategies alone. Repeatable."
    ),
    folder: live_options.Stack = None,
    fresh: bool = typer.Option(
        False,
        "--fresh",
        metavar=NO_VALUE,
        help="Forget savepoints and checkpoints, and read the tables from the start.",
    ),
) -> None:
    """Submit jobs to a running stack; what runs already is left alone.

    A job that ran before goes on from its savepoint or last checkpoint. Starting afresh is safe: it
    writes the same rows again, and tables keep the first of each.
    """
    began = time.monotonic()
    with told(STOPPED):
        from jobs.stack.control import AS_USUAL, configured_strategies
        from jobs.stack.control import submit as submit_jobs
        from jobs.stack.names import ALL, asked
        from jobs.stack.place import find

        place = find(folder)
        wanted = asked(job, strategy or (), configured_strategies(place))
        wish = AS_USUAL._replace(fresh=fresh)
        found = submit_jobs(place, None if job == ALL else wanted, wish, say)
    _show(found, time.monotonic() - began)
    if found.problems:
        raise typer.Exit(UNWELL)


def _show(found: "Up", seconds: float) -> None:
    for name, point in found.submitted.items():
        where = f", goes on from {point}" if point else ""
        print(f"{name} runs ({seconds:.0f} s){where}")
    if not found.submitted and not found.problems:
        print("nothing to submit: it runs already")
    for problem in found.problems:
        print(f"warning: {problem}")
