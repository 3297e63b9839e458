"""Who speaks to a store, and where the passwords are: never in the configuration itself."""

import re
from typing import Annotated, Any, Literal, Self

from pydantic import Field, PlainValidator, model_validator

from schemas.config_group import Group
from schemas.config_values import Text
from schemas.problems import Problem, Where
from schemas.tables import TABLES
from udfs.errors import nearest

OWN_USER = "admin"  # what a local store's own processes are; its password is made at random
USERNAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")
VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
NO_PASSWORD = (
    "a password does not belong into a configuration, which is copied into manifests, tables and "
    "logs; write it into a file that only its owner may read, and name that by password_file, or "
    "name an environment variable by password_env"
)


def username(value: object) -> str:
    """A name that every store takes; ValueError where it is none."""
    if not isinstance(value, str) or not USERNAME.fullmatch(value):
        raise ValueError(f"{value!r} is not a user's name; letters, digits, _, - and . make one")
    if value == OWN_USER:
        raise ValueError(f"{OWN_USER} is what a store's own processes are; choose another name")
    return value


def variable(value: object) -> str:
    """The name of an environment variable. The message does not repeat it: it may be a password."""
    if not isinstance(value, str) or not VARIABLE.fullmatch(value):
        raise ValueError(
            "is not the name of an environment variable; write one such as TRADEFLOW_STORE_PASSWORD"
        )
    return value


Username = Annotated[str, PlainValidator(username)]
Variable = Annotated[str, PlainValidator(variable)]


class LoginConfig(Group):
    """A user, and where the password is: in a file, or in a variable of the environment."""

    username: Username
    password_env: Variable | None = None
    password_file: Text | None = None

    @model_validator(mode="before")
    @classmethod
    def _no_password(cls, value: Any) -> Any:
        if isinstance(value, dict) and "password" in value:
            raise ValueError(NO_PASSWORD)
        return value

    @model_validator(mode="after")
    def _one_place(self) -> Self:
        if (self.password_env is None) == (self.password_file is None):
            raise ValueError(
                "give exactly one of password_file and password_env, such as "
                "password_file: store.password"
            )
        return self


class ReaderConfig(LoginConfig):
    """A user who may read and nothing else; `tables` None: all of the run's."""

    tables: list[Text] | None = None


class SecurityConfig(LoginConfig):
    """How a store knows who speaks to it. `sasl_ssl`: over TLS, `ca_file` None: known authorities.

    `readers` are users that the store of `tradeflow up` knows beside this one.
    """

    protocol: Literal["sasl", "sasl_ssl"] = "sasl"
    mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = "PLAIN"
    ca_file: Text | None = None
    readers: list[ReaderConfig] = Field(default=[])


WHERE = ("store", "security")


def security_problems(kind: str, security: SecurityConfig | None) -> list[Problem]:
    """What is wrong with `store.security` for a store of this kind."""
    if security is None:
        return []
    problems = _fluss_problems(security) if kind == "fluss" else []
    if security.ca_file is not None and security.protocol != "sasl_ssl":
        text = "is for TLS; write protocol: sasl_ssl, or leave it out"
        problems.append(Problem((*WHERE, "ca_file"), text))
    known = {security.username}
    for index, reader in enumerate(security.readers):
        where: Where = (*WHERE, "readers", index)
        if reader.username in known:
            text = f"{reader.username} is a user already; one name is one user"
            problems.append(Problem((*where, "username"), text))
        known.add(reader.username)
        for name in reader.tables or ():
            if name not in TABLES:
                text = f"{name!r} is not a table{nearest(name, TABLES)}"
                problems.append(Problem((*where, "tables"), text))
    return problems


def _fluss_problems(security: SecurityConfig) -> list[Problem]:
    """What Fluss has not."""
    problems = []
    for key, value, only in (
        ("protocol", security.protocol, "sasl"),
        ("mechanism", security.mechanism, "PLAIN"),
    ):
        if value != only:
            text = f"{value} is not for Fluss 0.9.1, which knows {only} alone"
            problems.append(Problem((*WHERE, key), text))
    return problems
