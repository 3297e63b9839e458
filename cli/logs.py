"""`tradeflow logs`: what the processes of a stack say."""

import sys
import time
from collections import deque
from pathlib import Path

import typer

from cli import live_options
from cli.errors import told
from cli.help import NO_VALUE, examples
from udfs.errors import ConfigError, nearest

EXAMPLES = examples(
    ("tradeflow logs", "what the supervisor did"),
    ("... taskmanager-0 --lines 200", "where the jobs run"),
    ("... jobmanager --follow", "as it is written, until Ctrl-C"),
)
POLL_S = 0.3


def logs(
    name: str = typer.Argument(
        "supervisor",
        metavar="[NAME]",
        help="supervisor, jobmanager, taskmanager-0, zookeeper, coordinator, tablet-0 (with Kafka: "
        "broker), exporter, or client.",
    ),
    folder: live_options.Stack = None,
    lines: int = typer.Option(40, metavar="N", min=0, help="How many of the last lines."),
    follow: bool = typer.Option(
        False, "--follow", "-f", metavar=NO_VALUE, help="Go on as lines are written."
    ),
) -> None:
    """Print the end of a process's log, and of what it printed."""
    with told("\n"):
        from jobs.stack.place import find

        file = log_of(find(folder), name)
        for text in last_lines(file, lines):
            print(text)
        if follow:
            _follow(file)


def log_of(folder: Path, name: str) -> Path:
    """The log of a process; ConfigError names those that there are."""
    places = (folder / "log", folder / "flink" / "log", folder / "store" / "log")
    found = {file.stem: file for place in places for file in sorted(place.glob("*.out"))}
    found |= {file.stem: file for place in places for file in sorted(place.glob("*.log"))}
    if name not in found:
        known = ", ".join(sorted(found)) or "none yet"
        raise ConfigError(
            f"{name!r} has no log in {folder}{nearest(name, found)}; logs are {known}"
        )
    return found[name]


def last_lines(file: Path, lines: int) -> list[str]:
    """The last lines of a file."""
    with file.open(encoding="utf-8", errors="replace") as text:
        return [line.rstrip("\n") for line in deque(text, lines)]


def _follow(file: Path) -> None:
    """Print what is added, also when the log is begun anew, until Ctrl-C."""
    place = file.stat().st_size
    while True:
        size = file.stat().st_size if file.is_file() else 0
        if size < place:
            place = 0
        if size > place:
            with file.open("rb") as text:
                text.seek(place)
                added = text.read()
            place += len(added)
            sys.stdout.write(added.decode(errors="replace"))
            sys.stdout.flush()
        time.sleep(POLL_S)
