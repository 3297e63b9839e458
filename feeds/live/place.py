"""Which store and database a command speaks to."""

import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from jobs.stack import secrets, state
from jobs.store.login import Login, login_of
from schemas.config import Config, config_as_dict
from udfs.errors import ConfigError
from udfs.ids import hash_id

STACKS = Path(".run/live")
USER, PASSWORD = "TRADEFLOW_STORE_USER", "TRADEFLOW_STORE_PASSWORD"
PASSWORD_FILE = "TRADEFLOW_STORE_PASSWORD_FILE"


class Place(NamedTuple):
    """The address of a store, a database in it, and who speaks to it."""

    bootstrap: str
    database: str
    login: Login | None = None


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
        return Place(store, given, who(config, None))
    if folder is None and config is not None and config.store.addresses is not None:
        return Place(address(config.store.addresses), given or "", who(config, None))
    if folder is None:
        folder = _only_stack() if config is None else STACKS / config.run.id
    stack = state.read(folder)
    if stack is None:
        raise ConfigError(
            f"there is no stack in {folder} (no {state.FILE}); start one by `tradeflow up`, or "
            "name another by --dir or --store"
        )
    return Place(stack.bootstrap, database or stack.database, who(config, folder))


def who(config: Config | None, folder: Path | None) -> Login | None:
    """Who speaks to the store: as the environment says, else the configuration, else the stack.

    A stack's own configuration stands for the stack, which has a copy of the password.
    """
    user = os.environ.get(USER)
    if user:
        file = os.environ.get(PASSWORD_FILE, "")
        place = PASSWORD_FILE if file else PASSWORD
        return Login(user, file, "" if file else PASSWORD, key=USER, password_key=place)
    given = None if config is None else login_of(config.store.security)
    own = None if folder is None else secrets.login(folder.absolute())
    if given is None or own is None:
        return given or own
    return own if _is_of_stack(config, folder) else given


def _is_of_stack(config: Config | None, folder: Path | None) -> bool:
    """Whether the configuration says of the store's users what the stack's own says."""
    if config is None or folder is None:
        return True
    own: Any = json.loads((folder / state.CONFIG).read_text("utf-8"))
    return bool(own["store"].get("security") == config_as_dict(config)["store"]["security"])


def address(given: object) -> str:
    """The bootstrap address of `store.addresses`: a text, the first of a list, or `fluss: `."""
    if isinstance(given, dict):
        if "fluss" not in given:
            raise ConfigError(
                f"store.addresses: has {', '.join(map(str, given))}; the address of a Fluss store "
                "stands under fluss, such as {fluss: localhost:9123}"
            )
        return str(given["fluss"])
    return ",".join(map(str, given)) if isinstance(given, list) else str(given)


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
