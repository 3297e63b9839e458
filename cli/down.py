"""`tradeflow down`: end the local stack of a run."""

import sys
from pathlib import Path

import typer

from cli import live_options
from cli.errors import told
from cli.help import NO_VALUE, examples
from cli.up import say
from udfs.errors import ConfigError

EXAMPLES = examples(
    ("tradeflow down", "jobs stop with savepoints, then all processes end"),
    ("... --purge", "and the folder with all its data is removed, after asking"),
)
WHERE = "interrupted; say `tradeflow down` again to end the rest"


def down(
    folder: live_options.Stack = None,
    purge: bool = typer.Option(
        False, "--purge", metavar=NO_VALUE, help="Remove the folder: tables, savepoints, logs."
    ),
    yes: bool = typer.Option(False, "--yes", metavar=NO_VALUE, help="With --purge: don't ask."),
) -> None:
    """Stop every job with a savepoint, and end all processes of the stack.

    The next `tradeflow up` goes on there. A job that can't take a savepoint goes on from its last
    checkpoint.
    """
    with told(WHERE):
        from jobs.stack.ending import down as end_stack
        from jobs.stack.ending import remove
        from jobs.stack.place import find

        if yes and not purge:
            raise ConfigError("--yes is for --purge only")
        place = find(folder)
        if purge and not yes:
            _ask(place)
        found = end_stack(place, savepoint=not purge, note=say)
        if purge:
            remove(place)
    for name, point in found.points.items():
        if not purge:
            print(f"{name}: {point or 'starts anew'}")
    if not purge:
        for problem in found.problems:
            print(f"warning: {problem}")
    ended = f"ended {found.ended} processes" if found.ended else "nothing ran"
    print(f"{ended}; removed {place}" if purge else f"{ended}; `tradeflow up` goes on")


def _ask(place: Path) -> None:
    """ConfigError unless a person says yes."""
    if not sys.stdin.isatty():
        raise ConfigError(
            f"--purge removes {place} with all its data; add --yes, as there is no terminal to ask"
        )
    answer = input(f"remove {place} with all tables, savepoints and logs? [y/N] ")
    if answer.strip().lower() not in ("y", "yes"):
        raise ConfigError("nothing was ended or removed")
