"""A Fluss store on this machine, without Docker: ZooKeeper, a coordinator and tablet servers.

All of them are Java processes of the one server jar, on loopback, each with its own log; the
folder keeps their data, so that a second start goes on where the first ended. This module says what
a store consists of, `jobs/fluss_run.py` runs one.
"""

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

from jobs import jar_patches, jvm
from jobs.cluster import free_port
from jobs.fluss_security import INTERNAL, SETTINGS, ZOOKEEPER_SETTINGS
from jobs.guard import Guard
from jobs.servers import HOST, Memory, Server, java_server, logging_jars, make_folders
from jobs.store.place import FLUSS, StorePlace
from udfs.errors import ConfigError

CONF = jvm.REPO / "conf" / "fluss"
ZOOKEEPER_PORT = 2181
COORDINATOR_PORT = 9123  # tablet servers follow: 9124, 9125, ...
NO_SETTINGS: Mapping[str, str] = MappingProxyType({})

ZOOKEEPER_MAIN = (
    "org.apache.fluss.shaded.zookeeper3.org.apache.zookeeper.server.quorum.QuorumPeerMain"
)
COORDINATOR_MAIN = "org.apache.fluss.server.coordinator.CoordinatorServer"
TABLET_MAIN = "org.apache.fluss.server.tablet.TabletServer"
PRE_ALLOCATED = "-Dzookeeper.preAllocSize=4096"  # KB; else a log of 64 MB at every start

ZOOKEEPER_MEMORY = Memory("64m", "32m")
COORDINATOR_MEMORY = Memory("128m", "128m")
TABLET_MEMORY = Memory("384m", "256m")


class Ports(NamedTuple):
    """Loopback ports of a store; as many tablet servers as ports."""

    zookeeper: int = ZOOKEEPER_PORT
    coordinator: int = COORDINATOR_PORT
    tablets: tuple[int, ...] = (COORDINATOR_PORT + 1,)


class Store(NamedTuple):
    """A store as configured in `folder`; `servers` in the order of their start.

    `guard`: who its users are, None where it asks nobody.
    """

    folder: Path
    ports: Ports
    servers: tuple[Server, ...]
    guard: Guard | None = None

    @property
    def bootstrap(self) -> str:
        """The address that clients use (`bootstrap.servers`)."""
        return f"{HOST}:{self.ports.coordinator}"

    def place(self, database: str) -> StorePlace:
        """A database in it."""
        return StorePlace(FLUSS, self.bootstrap, database)

    @property
    def zookeeper(self) -> str:
        """The address of the store's ZooKeeper."""
        return f"{HOST}:{self.ports.zookeeper}"


def free_ports(tablets: int = 1) -> Ports:
    """Ports that nothing uses now."""
    ports = [free_port() for _ in range(tablets + 2)]
    return Ports(ports[0], ports[1], tuple(ports[2:]))


def configure(
    folder: Path,
    ports: Ports | None = None,
    settings: Mapping[str, str] = NO_SETTINGS,
    guard: Guard | None = None,
) -> Store:
    """Write the configuration of a store into `folder`; `settings` override conf/fluss's.

    With `guard` the store asks who speaks to it, and so does its ZooKeeper.
    Raises ConfigError where the folder cannot be written.
    """
    folder = folder.resolve()
    if "#" in str(folder):
        # Fluss's reader of configurations takes the rest of the line for a comment.
        raise ConfigError(f"the store's folder {folder} must not have a # in its name")
    ports = Ports() if ports is None else ports
    names = ["zookeeper", "coordinator"] + [f"tablet-{n}" for n in range(len(ports.tablets))]
    make_folders(folder, ["remote", *(f"data/{name}" for name in names)])
    if guard is not None:
        settings = {**SETTINGS, **settings}
    try:
        _write_server(folder, ports, "coordinator", ports.coordinator, settings)
        for number, port in enumerate(ports.tablets):
            _write_server(folder, ports, f"tablet-{number}", port, settings, number)
    except OSError as error:
        raise ConfigError(f"the store's folder {folder} cannot be written: {error}") from None
    servers = [zookeeper(folder, ports.zookeeper, guard)]
    servers += [_server(folder, f"tablet-{n}", port) for n, port in enumerate(ports.tablets)]
    # Last, see `running`.
    servers.append(_server(folder, "coordinator", ports.coordinator))
    if guard is not None:
        servers = [guarded(server, guard) for server in servers]
    return Store(folder, ports, tuple(servers), guard)


def guarded(server: Server, guard: Guard) -> Server:
    """The same, which knows where passwords are."""
    java, *words = server.command
    return server._replace(command=(java, guard.java_option, *words))


def _write_server(
    folder: Path,
    ports: Ports,
    name: str,
    port: int,
    settings: Mapping[str, str],
    number: int | None = None,
) -> None:
    fixed = (CONF / "server.yaml").read_text(encoding="utf-8")
    listeners = f"FLUSS://{HOST}:{port}"
    if settings.get("internal.listener.name") == INTERNAL:
        listeners += f", {INTERNAL}://{HOST}:0"  # ZooKeeper tells the others which port it is
    machine: dict[str, object] = {
        "zookeeper.address": f"{HOST}:{ports.zookeeper}",
        "bind.listeners": listeners,
        "data.dir": str(folder / "data" / name),
        "remote.data.dir": str(folder / "remote"),
    }
    if number is not None:
        machine["tablet-server.id"] = number
    # Fluss's reader takes a line for `key: value` and would keep quotes as part of the value.
    lines = [f"{key}: {value}" for key, value in {**machine, **settings}.items()]
    kept = [line for line in fixed.splitlines() if line.partition(":")[0] not in settings]
    conf = folder / "conf" / name
    conf.mkdir(parents=True, exist_ok=True)
    (conf / "server.yaml").write_text("\n".join([*kept, *lines, ""]), encoding="utf-8")


def zookeeper(folder: Path, port: int, guard: Guard | None = None) -> Server:
    """The ZooKeeper of a store in `folder`, its configuration written; one with `guard` asks too.

    Raises ConfigError where the folder cannot be written.
    """
    make_folders(folder, ["data/zookeeper", "conf/zookeeper"])
    file = folder / "conf" / "zookeeper" / "zookeeper.cfg"
    machine = {
        "dataDir": str(folder / "data" / "zookeeper"),
        "clientPort": port,
        "clientPortAddress": HOST,
        **(NO_SETTINGS if guard is None else ZOOKEEPER_SETTINGS),
    }
    lines = [f"{name}={value}" for name, value in machine.items()]
    fixed = (CONF / "zookeeper.cfg").read_text(encoding="utf-8")
    file.write_text("\n".join([fixed, *lines, ""]), encoding="utf-8")
    arguments = [PRE_ALLOCATED, ZOOKEEPER_MAIN, str(file)]
    logging = CONF / "log4j.properties"
    return java_server(
        folder, "zookeeper", port, ZOOKEEPER_MEMORY, logging, class_path(), arguments
    )


def _server(folder: Path, name: str, port: int) -> Server:
    coordinates = name == "coordinator"
    memory = COORDINATOR_MEMORY if coordinates else TABLET_MEMORY
    main = COORDINATOR_MAIN if coordinates else TABLET_MAIN
    arguments = [main, "--configDir", str(folder / "conf" / name)]
    logging = CONF / "log4j.properties"
    return java_server(folder, name, port, memory, logging, class_path(), arguments)


def class_path() -> list[Path]:
    """The jars of every process; raises ConfigError where they were not fetched."""
    return [*jar_patches.made(jar_patches.SERVER), *logging_jars()]
