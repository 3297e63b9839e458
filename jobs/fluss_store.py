"""A Fluss store on this machine, without Docker: ZooKeeper, a coordinator and tablet servers.

All of them are Java processes of the one server jar, on loopback, each with its own log; the
folder keeps their data, so that a second start goes on where the first ended. This module says what
a store consists of, `jobs/fluss_run.py` runs one.
"""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

from jobs import jar_patches, jvm
from jobs.cluster import free_port
from jobs.fluss_security import INTERNAL, SETTINGS, ZOOKEEPER_SETTINGS
from jobs.guard import Guard
from udfs.errors import ConfigError

CONF = jvm.REPO / "conf" / "fluss"
HOST = "127.0.0.1"
ZOOKEEPER_PORT = 2181
COORDINATOR_PORT = 9123  # tablet servers follow: 9124, 9125, ...
NO_SETTINGS: Mapping[str, str] = MappingProxyType({})

ZOOKEEPER_MAIN = (
    "org.apache.fluss.shaded.zookeeper3.org.apache.zookeeper.server.quorum.QuorumPeerMain"
)
COORDINATOR_MAIN = "org.apache.fluss.server.coordinator.CoordinatorServer"
TABLET_MAIN = "org.apache.fluss.server.tablet.TabletServer"
# The wheel of Flink brings the library that writes the logs.
LOGGING = ("log4j-api-", "log4j-core-", "log4j-slf4j-impl-")
OPTIONS = (
    "-XX:+UseSerialGC",
    "-XX:TieredStopAtLevel=1",
    "-XX:-UsePerfData",
    "-XX:+ExitOnOutOfMemoryError",
    "-Djava.net.preferIPv4Stack=true",
    "-Dzookeeper.preAllocSize=4096",  # KB; the default makes a log of 64 MB at every start
    "--add-opens=java.base/java.nio=ALL-UNNAMED",
)


class Memory(NamedTuple):
    """Java's options for the memory of one kind of server."""

    heap: str
    direct: str


ZOOKEEPER_MEMORY = Memory("64m", "32m")
COORDINATOR_MEMORY = Memory("128m", "128m")
TABLET_MEMORY = Memory("384m", "256m")


class Ports(NamedTuple):
    """Loopback ports of a store; as many tablet servers as ports."""

    zookeeper: int = ZOOKEEPER_PORT
    coordinator: int = COORDINATOR_PORT
    tablets: tuple[int, ...] = (COORDINATOR_PORT + 1,)


class Server(NamedTuple):
    """One process of a store: how it is started, where it listens and where it logs."""

    name: str
    port: int
    command: tuple[str, ...]
    log: Path


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
    try:
        for name in ["log", "tmp", "remote", *(f"data/{name}" for name in names)]:
            (folder / name).mkdir(parents=True, exist_ok=True)
        if guard is not None:
            settings = {**SETTINGS, **settings}
        _write_zookeeper(folder, ports, NO_SETTINGS if guard is None else ZOOKEEPER_SETTINGS)
        _write_server(folder, ports, "coordinator", ports.coordinator, settings)
        for number, port in enumerate(ports.tablets):
            _write_server(folder, ports, f"tablet-{number}", port, settings, number)
    except OSError as error:
        raise ConfigError(f"the store's folder {folder} cannot be written: {error}") from None
    servers = [_zookeeper(folder, ports)]
    servers += [_server(folder, f"tablet-{n}", port) for n, port in enumerate(ports.tablets)]
    # Last, see `running`.
    servers.append(_server(folder, "coordinator", ports.coordinator))
    if guard is not None:
        servers = [_guarded(server, guard) for server in servers]
    return Store(folder, ports, tuple(servers), guard)


def _guarded(server: Server, guard: Guard) -> Server:
    """The same, which knows where passwords are."""
    java, *words = server.command
    return server._replace(command=(java, guard.java_option, *words))


def _write_zookeeper(folder: Path, ports: Ports, settings: Mapping[str, str]) -> None:
    fixed = (CONF / "zookeeper.cfg").read_text(encoding="utf-8")
    machine = {
        "dataDir": str(folder / "data" / "zookeeper"),
        "clientPort": ports.zookeeper,
        "clientPortAddress": HOST,
        **settings,
    }
    lines = [f"{name}={value}" for name, value in machine.items()]
    conf = folder / "conf" / "zookeeper"
    conf.mkdir(parents=True, exist_ok=True)
    (conf / "zookeeper.cfg").write_text("\n".join([fixed, *lines, ""]), encoding="utf-8")


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


def _zookeeper(folder: Path, ports: Ports) -> Server:
    arguments = [ZOOKEEPER_MAIN, str(folder / "conf" / "zookeeper" / "zookeeper.cfg")]
    return _process(folder, "zookeeper", ports.zookeeper, ZOOKEEPER_MEMORY, arguments)


def _server(folder: Path, name: str, port: int) -> Server:
    coordinates = name == "coordinator"
    memory = COORDINATOR_MEMORY if coordinates else TABLET_MEMORY
    main = COORDINATOR_MAIN if coordinates else TABLET_MAIN
    arguments = [main, "--configDir", str(folder / "conf" / name)]
    return _process(folder, name, port, memory, arguments)


def _process(
    folder: Path, name: str, port: int, memory: Memory, arguments: Sequence[str]
) -> Server:
    log = folder / "log" / f"{name}.log"
    command = (
        str(jvm.find_java()),
        *OPTIONS,
        f"-Xmx{memory.heap}",
        f"-XX:MaxDirectMemorySize={memory.direct}",
        f"-Djava.io.tmpdir={folder / 'tmp'}",
        f"-Dlog.file={log}",
        f"-Dlog4j.configurationFile={CONF / 'log4j.properties'}",
        "-cp",
        os.pathsep.join(map(str, class_path())),
        *arguments,
    )
    return Server(name, port, command, log)


def class_path() -> list[Path]:
    """The jars of every process; raises ConfigError where they were not fetched."""
    server = jar_patches.made(jar_patches.SERVER)
    library = jvm.flink_home() / "lib"
    return [
        *server,
        *(jar for jar in sorted(library.glob("*.jar")) if jar.name.startswith(LOGGING)),
    ]
