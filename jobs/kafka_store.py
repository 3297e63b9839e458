"""A Kafka store on this machine, without Docker: a broker that is its own controller (KRaft).

Beside it runs the ZooKeeper of Fluss's server jar, not for Kafka but for Flink, which keeps there
what it needs after its JobManager was killed. The folder keeps their data, so that a second start
goes on where the first ended. This module says what a store consists of, `jobs/kafka_run.py` runs
one.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from jobs import jvm
from jobs.cluster import free_port
from jobs.fluss_store import NO_SETTINGS, ZOOKEEPER_PORT, guarded, zookeeper
from jobs.guard import Guard
from jobs.jar_patches import JARS
from jobs.kafka_security import SETTINGS
from jobs.servers import HOST, Memory, Server, java_server, logging_jars, make_folders
from jobs.store.place import KAFKA, StorePlace
from udfs.errors import ConfigError

CONF = jvm.REPO / "conf" / "kafka"
BROKER_PORT = 9092
JAR = "kafka_2.13-"
BROKER_MAIN = "kafka.Kafka"
FORMAT_MAIN = "kafka.tools.StorageTool"
BROKER_MEMORY = Memory("384m", "128m")
FORMATTED = "meta.properties"  # what formatting leaves in the data folder


class Ports(NamedTuple):
    """Loopback ports of a store."""

    zookeeper: int = ZOOKEEPER_PORT
    broker: int = BROKER_PORT
    controller: int = BROKER_PORT + 1


class Store(NamedTuple):
    """A store as configured in `folder`; `servers` in the order of their start."""

    folder: Path
    ports: Ports
    servers: tuple[Server, ...]
    guard: Guard | None = None

    @property
    def bootstrap(self) -> str:
        """The address that clients use (`bootstrap.servers`)."""
        return f"{HOST}:{self.ports.broker}"

    def place(self, database: str) -> StorePlace:
        """A database in it."""
        return StorePlace(KAFKA, self.bootstrap, database)

    @property
    def zookeeper(self) -> str:
        """The address of the ZooKeeper beside the broker."""
        return f"{HOST}:{self.ports.zookeeper}"

    @property
    def data(self) -> Path:
        """Where the broker keeps its logs."""
        return self.folder / "data" / "broker"

    @property
    def properties(self) -> Path:
        """The broker's configuration."""
        return self.folder / "conf" / "broker" / "server.properties"


def free_ports() -> Ports:
    """Ports that nothing uses now."""
    return Ports(free_port(), free_port(), free_port())


def configure(
    folder: Path,
    ports: Ports | None = None,
    settings: Mapping[str, str] = NO_SETTINGS,
    guard: Guard | None = None,
) -> Store:
    """Write the configuration of a store into `folder`; `settings` override conf/kafka's.

    With `guard` the broker asks who speaks to it, and so does the ZooKeeper.
    Raises ConfigError where the folder cannot be written.
    """
    folder = folder.resolve()
    if "," in str(folder) or "\\" in str(folder):
        # log.dirs is a list, and a backslash of a properties file says that more follows.
        raise ConfigError(f"the store's folder {folder} must not have a , or \\ in its name")
    ports = Ports() if ports is None else ports
    make_folders(folder, ["data/broker", "conf/broker"])
    servers = (zookeeper(folder, ports.zookeeper, guard), _broker(folder, ports))
    if guard is not None:
        settings = {**SETTINGS, **settings}
        servers = (guarded(servers[0], guard), guarded(servers[1], guard))
    store = Store(folder, ports, servers, guard)
    try:
        store.properties.write_text(_properties(store, settings), encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"the store's folder {folder} cannot be written: {error}") from None
    return store


def _properties(store: Store, settings: Mapping[str, str]) -> str:
    fixed = (CONF / "server.properties").read_text(encoding="utf-8")
    ports = store.ports
    machine = {
        "controller.quorum.voters": f"1@{HOST}:{ports.controller}",
        "listeners": f"STORE://{HOST}:{ports.broker},CONTROLLER://{HOST}:{ports.controller}",
        "log.dirs": str(store.data),
    }
    kept = [line for line in fixed.splitlines() if line.partition("=")[0] not in settings]
    lines = [f"{name}={value}" for name, value in {**machine, **settings}.items()]
    return "\n".join([*kept, *lines, ""])


def _broker(folder: Path, ports: Ports) -> Server:
    file = folder / "conf" / "broker" / "server.properties"
    logging = CONF / "log4j.properties"
    return java_server(
        folder,
        "broker",
        ports.broker,
        BROKER_MEMORY,
        logging,
        class_path(),
        [BROKER_MAIN, str(file)],
    )


def formatting(store: Store, cluster: str) -> Server:
    """What prepares the data folder of a new broker, once: a process that ends by itself."""
    arguments = [FORMAT_MAIN, "format", "-t", cluster, "-c", str(store.properties)]
    logging = CONF / "log4j.properties"
    return java_server(
        store.folder, "format", store.ports.broker, BROKER_MEMORY, logging, class_path(), arguments
    )


def class_path() -> list[Path]:
    """The jars of the broker; raises ConfigError where they were not fetched."""
    jars = sorted((JARS / "kafka").glob("*.jar"))
    if not any(jar.name.startswith(JAR) for jar in jars):
        raise ConfigError(f"no {JAR}*.jar in {JARS / 'kafka'}; fetch it by `make jars`")
    return [*jars, *logging_jars()]
