"""What a local store needs to know its users: their passwords, for Java and for our own programs.

All of it lies in one folder of files that their owner alone may read.
"""

import secrets
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from jobs.store.jaas import OPTION, Section, text, write_private
from jobs.store.login import PLAIN, Login
from schemas.config_security import OWN_USER

SHADED = "org.apache.fluss.shaded.zookeeper3."
ZOOKEEPER_MODULE = SHADED + "org.apache.zookeeper.server.auth.DigestLoginModule"
ZOOKEEPER_PROVIDER = SHADED + "org.apache.zookeeper.server.auth.SASLAuthenticationProvider"
FLINK_ZOOKEEPER_MODULE = (
    "org.apache.flink.shaded.zookeeper3.org.apache.zookeeper.server.auth.DigestLoginModule"
)
FLUSS_MODULE = "org.apache.fluss.security.auth.sasl.plain.PlainLoginModule"
KAFKA_MODULE = "org.apache.kafka.common.security.plain.PlainLoginModule"
FLINK_KAFKA = "org.apache.flink.kafka.shaded.org.apache.kafka.common.security."
FLINK = "flink"  # ZooKeeper's name of it
SERVERS, CLIENTS, OWN, JOBS = "store.jaas", "flink.jaas", "admin.password", "jobs.password"
PASSWORD_BYTES = 24


class Right(NamedTuple):
    """What a user may do: `ALL` or `READ`, in a table or (None) in all of the database."""

    username: str
    operation: str
    table: str | None = None


class Guard(NamedTuple):
    """The users of a store, in a folder of private files."""

    folder: Path

    @property
    def java_option(self) -> str:
        """For the JVMs of the store."""
        return f"{OPTION}{self.folder / SERVERS}"

    @property
    def flink_option(self) -> str:
        """For those of Flink, which are the jobs' user."""
        return f"{OPTION}{self.folder / CLIENTS}"

    @property
    def own(self) -> Login:
        """The user that may do everything."""
        return Login(OWN_USER, str(self.folder / OWN))


def make(folder: Path, jobs: Login, readers: Sequence[Login]) -> Guard:
    """Write the files for these users. The store's own passwords are new ones each time.

    ConfigError where a password can't be had.
    """
    users = {one.username: one.password() for one in (jobs, *readers)}
    own, flink = secrets.token_urlsafe(PASSWORD_BYTES), secrets.token_urlsafe(PASSWORD_BYTES)
    write_private(folder / SERVERS, text(_server_sections(own, flink, users)))
    write_private(folder / CLIENTS, text(_client_sections(flink, jobs)))
    write_private(folder / OWN, f"{own}\n")
    write_private(folder / JOBS, f"{jobs.password()}\n")
    return Guard(folder)


def _server_sections(own: str, flink: str, users: Mapping[str, str]) -> list[Section]:
    us = {"username": OWN_USER, "password": own}
    known = {f"user_{OWN_USER}": own}
    all_known = known | {f"user_{name}": password for name, password in users.items()}
    return [
        Section("Server", ZOOKEEPER_MODULE, known | {f"user_{FLINK}": flink}),
        Section("Client", ZOOKEEPER_MODULE, us),
        # Requests at the listener for servers are never asked for rights, so it knows servers only.
        Section("internal.FlussServer", FLUSS_MODULE, known),
        Section("FlussServer", FLUSS_MODULE, all_known),
        Section("FlussClient", FLUSS_MODULE, us),
        Section("KafkaServer", KAFKA_MODULE, us | all_known),
    ]


def _client_sections(flink: str, jobs: Login) -> list[Section]:
    us = {"username": jobs.username, "password": jobs.password()}
    module = "plain.PlainLoginModule" if jobs.mechanism == PLAIN else "scram.ScramLoginModule"
    return [
        Section("Client", FLINK_ZOOKEEPER_MODULE, {"username": FLINK, "password": flink}),
        Section("FlussClient", FLUSS_MODULE, us),
        Section("KafkaClient", FLINK_KAFKA + module, us),
    ]
