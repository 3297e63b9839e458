"""The passwords of a stack: copies in a folder of its own, which nobody else may read.

So its processes need no variable of the shell that started it, and a file that was changed counts
from the next start on, for store and jobs at once.
"""

import json
import shutil
from pathlib import Path

from jobs import fluss_security, guard, kafka_security
from jobs.guard import Right
from jobs.stack.state import Stack
from jobs.store.jaas import write_private
from jobs.store.login import LOGIN, SECRETS, login_of, readers_of
from jobs.store.place import KAFKA
from schemas.config import Config


def prepare(folder: Path, config: Config) -> None:
    """Write the passwords that a start of the stack needs, or remove those of an earlier one.

    ConfigError where one can't be had.
    """
    own = folder / SECRETS
    login = login_of(config.store.security)
    if login is None or config.store.security is None:
        shutil.rmtree(own, ignore_errors=True)
        return
    guard.make(own, login, readers_of(config.store.security))
    copied = login._replace(file=str(own / guard.JOBS), env="")
    write_private(own / LOGIN, json.dumps(copied._asdict()))


def name(folder: Path, config: Config) -> None:
    """Write who speaks to a store that others keep, and where the password is: no copy of it.

    Processes on other machines look in the same place, a file or a variable.
    """
    login = login_of(config.store.security)
    if login is None:
        shutil.rmtree(folder / SECRETS, ignore_errors=True)
    else:
        write_private(folder / SECRETS / LOGIN, json.dumps(login._asdict()))


def guard_of(folder: Path) -> guard.Guard | None:
    """The users of the stack's store, None where it asks nobody."""
    own = folder / SECRETS
    return guard.Guard(own) if (own / guard.SERVERS).is_file() else None


def grant(stack: Stack, config: Config) -> None:
    """Give the users their rights, where the stack's store asks for them."""
    found, security = guard_of(stack.folder), config.store.security
    if found is None or security is None:
        return
    rights = [Right(security.username, "ALL")]
    for reader in security.readers:
        for table in [None] if reader.tables is None else reader.tables:
            rights.append(Right(reader.username, "READ", table))
    if stack.store_kind == KAFKA:
        kafka_security.grant(stack.bootstrap, found, stack.database, rights)
    else:
        folder = stack.folder / "store"
        fluss_security.grant(stack.bootstrap, found, stack.database, rights, folder)


def hidden(config: Config) -> set[str]:
    """The variables of the environment that hold passwords: long-lived processes do without."""
    security = config.store.security
    if security is None:
        return set()
    return {one.password_env for one in (security, *security.readers) if one.password_env}
