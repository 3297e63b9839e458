"""One process of a Fluss store, in the foreground, reached by others: for containers and machines.

    python -m jobs.fluss_server zookeeper --folder DIR --listen 0.0.0.0:2181
    python -m jobs.fluss_server coordinator --folder DIR --listen 0.0.0.0:9123 \\
        --advertise coordinator:9123 --zookeeper zookeeper:2181
    python -m jobs.fluss_server tablet --number 0 ... --set default.replication.factor=3

Settings are those of a local store (conf/fluss), and the server's changed classes are used, too. A
tablet server's logs are mended before it starts. **It needs others beside it:** where the only one
of a store is started again by itself, acknowledged rows are lost (docs/live-spikes.md); with three
and three replicas none were. `tradeflow up` runs a single one with care.
"""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, NoReturn

from jobs import fluss_store, jvm
from jobs.fluss_mend import mend
from schemas.overrides import settings
from udfs.errors import ConfigError, TradeflowError

ROLES = ("zookeeper", "coordinator", "tablet")
LISTENER = "FLUSS"
LOGGING = "-Dlog4j.configurationFile="
LOG_CONSOLE = jvm.REPO / "deploy" / "docker" / "log4j-console.properties"


class Address(NamedTuple):
    """A host and a port."""

    host: str
    port: int


class Process(NamedTuple):
    """Which process this is, and where: `advertise` is where others reach it."""

    role: str
    folder: Path
    listen: Address
    advertise: Address
    zookeeper: str | None
    number: int
    settings: dict[str, str]


def parse(arguments: Sequence[str]) -> Process:
    """The process of a command line; ConfigError where something is missing."""
    parser = argparse.ArgumentParser(prog="python -m jobs.fluss_server", allow_abbrev=False)
    parser.add_argument("role", choices=ROLES)
    parser.add_argument("--folder", required=True, type=Path, help="its data, on a disk that stays")
    parser.add_argument("--listen", required=True, help="HOST:PORT of this machine")
    parser.add_argument("--advertise", help="HOST:PORT for others (default: as it listens)")
    parser.add_argument("--zookeeper", help="HOST:PORT, or several with commas")
    parser.add_argument("--number", type=int, default=0, help="a tablet server's, from 0 on")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    given = parser.parse_args(arguments)
    if given.role != "zookeeper" and not given.zookeeper:
        raise ConfigError(f"--zookeeper is missing: a {given.role} finds the others by it")
    listen = address("--listen", given.listen)
    return Process(
        role=given.role,
        folder=given.folder.absolute(),
        listen=listen,
        advertise=address("--advertise", given.advertise) if given.advertise else listen,
        zookeeper=given.zookeeper,
        number=given.number,
        settings={key: str(value) for key, value in settings(given.set).items()},
    )


def address(option: str, text: str) -> Address:
    """HOST:PORT; ConfigError where it is none."""
    host, _, port = text.rpartition(":")
    if not host or not port.isdigit():
        raise ConfigError(f"{option}: {text!r} is no address; write one such as 0.0.0.0:9123")
    return Address(host, int(port))


def prepare(process: Process) -> tuple[str, ...]:
    """Write the configuration of the process, mend what it left; the command that starts it."""
    store = fluss_store.configure(process.folder, _ports(process), _settings(process))
    if process.role == "zookeeper":
        file = store.folder / "conf" / "zookeeper" / "zookeeper.cfg"
        here, there = (
            f"clientPortAddress={host}\n" for host in (fluss_store.HOST, process.listen.host)
        )
        file.write_text(file.read_text("utf-8").replace(here, there), encoding="utf-8")
    if process.role == "tablet":
        mend(store.folder / "data" / "tablet-0")
    name = "tablet-0" if process.role == "tablet" else process.role
    (server,) = (one for one in store.servers if one.name == name)
    return tuple(
        f"{LOGGING}{LOG_CONSOLE}" if word.startswith(LOGGING) else word for word in server.command
    )


def _ports(process: Process) -> fluss_store.Ports:
    port = process.listen.port
    return fluss_store.Ports(port, port, (port,))


def _settings(process: Process) -> dict[str, str]:
    """What differs from a local store."""
    found = {
        "bind.listeners": f"{LISTENER}://{process.listen.host}:{process.listen.port}",
        "advertised.listeners": f"{LISTENER}://{process.advertise.host}:{process.advertise.port}",
    }
    if process.zookeeper:
        found["zookeeper.address"] = process.zookeeper
    if process.role == "tablet":
        found["tablet-server.id"] = str(process.number)
    return {**found, **process.settings}


def main() -> NoReturn:
    """Become the process; exit code 2 where something is wrong."""
    try:
        command = prepare(parse(sys.argv[1:]))
    except TradeflowError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    os.environ.update(jvm.ALLOCATION)
    os.execv(command[0], command)


if __name__ == "__main__":
    main()
