"""Which store and database a command speaks to."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from jobs.stack import state
from jobs.stack.place import address
from schemas.config import Config
from udfs.errors import ConfigError
from udfs.ids import hash_id

STACKS = Path(".run/live")


class Place(NamedTuple):
    """The address of a store, and a database in it."""

    bootstrap: str
    database: str


def place(
    config: Config | None, folder: Path | None, store: str | None, database: str | None
) -> Place:
    """The store of an address, else of a stack's folder, else as the configuration says.

    Without a configuration and any of these: that of the only stack of the current directory.
    ConfigError where none is known.
    """
    given = database
    if config is not None:
        given = state.database_of(config.run.id, database or config.store.database)
    if store is not None:
        if given is None:
            raise ConfigError("--store: name the database too, by --database")
        return Place(store, given)
    if folder is None and config is not None and config.store.addresses is not None:
        return Place(address(config.store.addresses), given or "")
    if folder is None:
        folder = _only_stack() if config is None else STACKS / config.run.id
    stack = state.read(folder)
    if stack is None:
        raise ConfigError(
            f"there is no stack in {folder} (no {state.FILE}); start one by `tradeflow up`, or "
            "name another by --dir or --store"
        )
    return Place(stack.bootstrap, database or stack.database)


def _only_stack() -> Path:
    found = sorted(path.parent for path in STACKS.glob(f"*/{state.FILE}"))
    if len(found) == 1:
        return found[0]
    known = f"several stacks: {', '.join(map(str, found))}" if found else f"no stack in {STACKS}"
    raise ConfigError(
        f"there {'are' if found else 'is'} {known}; name one by --dir, or a store by --store and "
        "--database"
    )


@contextmanager
def only_feed(at: Place) -> Iterator[None]:
    """The right to feed this database from this machine; ConfigError where another has it.

    Two feeds would tell progress of each other's minutes.
    """
    name = hash_id(at.bootstrap, at.database)
    file = Path(tempfile.gettempdir()) / f"tradeflow-feed-{os.getuid()}-{name}.lock"
    problem = f"another feed writes to {at.database} at {at.bootstrap}; end it first"
    with state.held(file, problem):
        yield
