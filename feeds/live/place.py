"""Which store and database a command speaks to."""

import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from jobs.stack import state
from jobs.store.login import (
    PASSWORD,
    PASSWORD_FILE,
    USER,
    Login,
    login_of,
    stack_login,
)
from jobs.store.place import STORES, StorePlace, address, store_place
from schemas.config import Config, config_as_dict
from udfs.errors import ConfigError
from udfs.ids import hash_id

STACKS = Path(".run/live")
BARS = "bars"  # names the transactions of whoever feeds bars


def place(
    config: Config | None, folder: Path | None, store: str | None, database: str | None
) -> StorePlace:
    """The store of an address, else of a stack's folder, else as the configuration says.

    Without a configuration and any of these: that of the only stack of the current directory.
    ConfigError where none is known.
    """
    given, kind = database, None
    if config is not None:
        kind = config.store.kind if config.store.kind in STORES else None
        given = state.database_of(config.run.id, database or config.store.database)
    if store is not None:
        if given is None:
            raise ConfigError("--store: name the database too, by --database")
        return store_place(store, given, kind)._replace(login=who(config, None))
    if folder is None and config is not None and config.store.addresses is not None:
        found = store_place(address(config.store.addresses, kind), given or "", kind)
        return found._replace(login=who(config, None))
    if folder is None:
        folder = _only_stack() if config is None else STACKS / config.run.id
    stack = state.read(folder)
    if stack is None:
        raise ConfigError(
            f"there is no stack in {folder} (no {state.FILE}); start one by `tradeflow up`, or "
            "name another by --dir or --store"
        )
    named = who(config, folder)
    return StorePlace(stack.store_kind, stack.bootstrap, database or stack.database, named)


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
    own = None if folder is None else stack_login(folder.absolute())
    if given is None or own is None:
        return given or own
    return own if _is_of_stack(config, folder) else given


def _is_of_stack(config: Config | None, folder: Path | None) -> bool:
    """Whether the configuration says of the store's users what the stack's own says."""
    if config is None or folder is None:
        return True
    own: Any = json.loads((folder / state.CONFIG).read_text("utf-8"))
    return bool(own["store"].get("security") == config_as_dict(config)["store"]["security"])


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
def only_feed(at: StorePlace) -> Iterator[None]:
    """The right to feed this database from this machine; ConfigError where another has it.

    Two feeds would tell progress of each other's minutes.
    """
    name = hash_id(at.bootstrap, at.database)
    file = Path(tempfile.gettempdir()) / f"tradeflow-feed-{os.getuid()}-{name}.lock"
    problem = f"another feed writes to {at.database} at {at.bootstrap}; end it first"
    with state.held(file, problem):
        yield
