"""What a Fluss store says to who may not do something, in words that say what to mend."""

import re

from jobs.store.login import KEY, Login

# The codes of Fluss's protocol; an error inside another one has its code in the text alone.
UNKNOWN, FORBIDDEN = 46, 48
FORBIDDEN_TEXT = f"code: {FORBIDDEN},"
ONE = re.compile(r"operate (\w+) on resource Resource\{type=(\w+), name='([^']*)'")
SEVERAL = re.compile(r"[Nn]o (\w+) permission among all the tables: \[([^\]]*)\]")


def refusal(error: Exception, bootstrap: str, login: Login | None) -> str | None:
    """What to tell of an error that trying again does not mend; None: it is another one."""
    code = getattr(error, "error_code", None)
    if code == UNKNOWN:
        return unknown(bootstrap, login)
    if login is None:
        return None
    if code == FORBIDDEN or FORBIDDEN_TEXT in str(error):
        return forbidden(bootstrap, login, _what(str(error)))
    return None


def unknown(bootstrap: str, login: Login | None) -> str:
    """The store does not know who speaks to it."""
    if login is None:
        return (
            f"the store at {bootstrap} asks who speaks to it: name a user by {KEY}.username, and "
            "the password by password_file or password_env"
        )
    return (
        f"the store at {bootstrap} refuses user {login.username}: no such user, or another "
        f"password than that of {login.place}"
    )


def forbidden(bootstrap: str, login: Login, what: str) -> str:
    """A user may not do something."""
    return (
        f"the store at {bootstrap} does not let user {login.username} {what}: name another user by "
        f"{login.key}, or have it granted"
    )


def _what(said: str) -> str:
    found = ONE.search(said)
    if found:
        return f"{found[1]} {found[2].lower()} {found[3]}"
    found = SEVERAL.search(said)
    if found:
        return f"{found[1]} table {found[2]}"
    return f"do that ({said.partition(chr(10))[0]})"
