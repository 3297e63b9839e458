"""What the commands of live stores share: options, notes, and how they are stopped."""

import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli import options, overrides
from udfs.errors import ConfigError

if TYPE_CHECKING:  # it loads slowly, and help needs none of it
    import threading

    from schemas.config import Config

STORE = "The store"
LIVE_CONFIG = Path("conf/live.yaml")
GOES_ON = "interrupted; the same command goes on there"

Configuration = Annotated[
    Path | None,
    typer.Option(
        "--config",
        metavar="FILE",
        help="The run's configuration, else that of the stack in --dir, else conf/live.yaml.",
        rich_help_panel=options.WHAT,
    ),
]
Stack = Annotated[
    Path | None,
    typer.Option(
        "--dir",
        metavar="DIR",
        help="The stack's folder, else .run/live/<run id>.",
        rich_help_panel=STORE,
    ),
]
StoreAddress = Annotated[
    str | None,
    typer.Option(
        "--store",
        metavar="HOST:PORT",
        help="The address of a store, instead of a stack's; kafka://HOST:PORT of a Kafka.",
        rich_help_panel=STORE,
    ),
]
Database = Annotated[
    str | None,
    typer.Option(
        metavar="NAME", help="The database, else the one of the run.", rich_help_panel=STORE
    ),
]
MaxGap = Annotated[
    str,
    typer.Option(
        metavar="SPAN",
        help="The longest time without any bar: longer is taken for a mistake.",
        rich_help_panel="How",
    ),
]


def config_file(config: Path | None, folder: Path | None) -> Path:
    """The configuration that was named, else the stack's own, else the example's."""
    from jobs.stack.state import CONFIG

    if config is not None:
        return config
    own = None if folder is None else folder / CONFIG
    return own if own is not None and own.exists() else LIVE_CONFIG


def load(
    config: Path | None,
    folder: Path | None,
    settings: Sequence[str] | None,
    given: Mapping[str, object],
) -> "Config":
    """The checked configuration of that file with what stands on the command line."""
    return overrides.load(config_file(config, folder), settings or [], given)


def gap_ms(text: str) -> int:
    """The span of --max-gap; ConfigError where it is none."""
    from udfs.timeframes import span_ms

    try:
        return span_ms(text)
    except ValueError as error:
        raise ConfigError(f"--max-gap: {error}") from None


def note(text: str) -> None:
    """Something to know, on standard error."""
    print(f"note: {text}", file=sys.stderr, flush=True)


@contextmanager
def stopping() -> "Iterator[threading.Event]":
    """An event that Ctrl-C and SIGTERM set; the second of them ends at once."""
    import signal
    import threading

    stop = threading.Event()

    def ask(number: int, frame: object) -> None:
        if stop.is_set():
            raise KeyboardInterrupt
        stop.set()

    before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
