"""Flink's processes of a live stack: their configuration, and the commands that start them.

Java is started here and not by Flink's scripts: a start is two JVMs shorter, paths may have spaces,
and every process has a log of a name that is known.
"""

import os
import shlex
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from jobs import jar_patches, java_classes, jvm
from jobs.cluster import exports, machine_settings, write_settings
from jobs.stack.secrets import guard_of
from jobs.stack.state import Stack
from schemas.config_models import LiveConfig
from schemas.config_values import memory_mb
from udfs.errors import ConfigError

CONF = jvm.CONF / "live"
# The planner, and what it refers to.
LIBRARIES = (
    *jvm.LIBRARIES,
    "flink-cep-",
    "flink-connector-files-",
    "flink-csv-",
    "flink-json-",
    "flink-table-planner-loader-",
)
JOBMANAGER_MAIN = "org.apache.flink.runtime.entrypoint.StandaloneSessionClusterEntrypoint"
TASKMANAGER_MAIN = "org.apache.flink.runtime.taskexecutor.TaskManagerRunner"
CLIENT_MAIN = "org.apache.flink.client.cli.CliFrontend"
METRICS_PORT = "metrics.reporter.prom.port"  # one per process
JOBMANAGER_HEAP = "384m"
CLIENT_HEAP = "512m"
METASPACE_MB = 192
NETWORK_MB = 64
FRAMEWORK_MB = 64
MANAGED_MB = 16  # RocksDB's memory is not part of it
DIRECT_MB = 64
# All but heap, whose framework has as much again, RocksDB and overhead.
FIXED_MB = METASPACE_MB + NETWORK_MB + FRAMEWORK_MB + MANAGED_MB + DIRECT_MB
LEAST_SLOTS = 8
# Heap for each job and unit of parallelism. With 41 a TaskManager ended for want of it.
LEAST_HEAP_MB, GOOD_HEAP_MB = 48, 64


class Command(NamedTuple):
    """How a process is started, where it logs, and where it runs (None: the stack's folder).

    `nice` is how much it yields to others where processors are short, as in nice(1). `rest` is
    where a JobManager answers: one that lives and leads nothing is started anew.
    """

    name: str
    words: tuple[str, ...]
    log: Path
    place: Path | None = None
    nice: int = 0
    rest: str | None = None


class Division(NamedTuple):
    """The memory of a TaskManager in MiB; `overhead` is Python's, RocksDB's and the JVM's own."""

    task_heap: int
    rocksdb: int
    overhead: int


def library_folder() -> Path:
    """The jars of every process; ConfigError where those of `make jars` were not fetched."""
    fetched = [jar for one in jar_patches.FLINK_PATCHES for jar in jar_patches.made(one)]
    fetched.append(jar_patches.there(jar_patches.JARS / java_classes.JAR))
    return jvm.library_folder("lib-live", LIBRARIES, fetched)


def class_path() -> str:
    """The jars of every process in the order of their names: changed classes come first."""
    return os.pathsep.join(str(jar) for jar in sorted(library_folder().iterdir()))


def slots_of(live: LiveConfig, jobs: int) -> int:
    """Slots of each TaskManager; ConfigError where the jobs do not fit."""
    needed = jobs * live.parallelism
    if live.slots is None:
        return max(LEAST_SLOTS, -(-needed // live.task_managers))
    if live.slots * live.task_managers < needed:
        raise ConfigError(
            f"{jobs} jobs of live.parallelism {live.parallelism} need {needed} slots, and "
            f"live.task_managers {live.task_managers} with live.slots {live.slots} have "
            f"{live.slots * live.task_managers}; leave out live.slots to get enough"
        )
    return live.slots


def divide(memory: str) -> Division:
    """A TaskManager's memory: a quarter for Python and the JVM, an eighth for RocksDB."""
    total = memory_mb(memory)
    overhead = total * 3 // 8
    return Division(total - overhead - FIXED_MB - FRAMEWORK_MB, total // 8, overhead)


def check_heap(live: LiveConfig, jobs: int) -> None:
    """ConfigError where so many jobs have too little heap in the memory of a TaskManager."""
    tasks = -(-jobs * live.parallelism // live.task_managers)
    heap = divide(live.task_manager_memory).task_heap + FRAMEWORK_MB
    if heap < tasks * LEAST_HEAP_MB:
        wanted = -(-(tasks * GOOD_HEAP_MB + FIXED_MB) * 8 // 5)
        raise ConfigError(
            f"live.task_manager_memory {live.task_manager_memory} leaves {heap} MiB of heap for "
            f"{jobs} jobs of live.parallelism {live.parallelism} on {live.task_managers} task "
            f"managers: write {wanted}m or more, or raise live.task_managers"
        )


def memory_settings(part: Division) -> dict[str, object]:
    """A TaskManager's memory but for the heap of tasks, which is what is left of all of it."""
    return {
        # One pot per TaskManager. A share per slot would be too little for its buffers.
        "state.backend.rocksdb.memory.fixed-per-tm": f"{part.rocksdb}m",
        "taskmanager.memory.framework.heap.size": f"{FRAMEWORK_MB}m",
        "taskmanager.memory.framework.off-heap.size": f"{FRAMEWORK_MB}m",
        "taskmanager.memory.task.off-heap.size": f"{DIRECT_MB}m",
        "taskmanager.memory.network.min": f"{NETWORK_MB}m",
        "taskmanager.memory.network.max": f"{NETWORK_MB}m",
        "taskmanager.memory.managed.size": f"{MANAGED_MB}m",
        "taskmanager.memory.jvm-metaspace.size": f"{METASPACE_MB}m",
        "taskmanager.memory.jvm-overhead.min": f"{part.overhead}m",
        "taskmanager.memory.jvm-overhead.max": f"{part.overhead}m",
    }


def configure(stack: Stack, live: LiveConfig, slots: int) -> None:
    """Write Flink's configuration into the stack's folder."""
    folder = stack.folder / "flink"
    for name in ("conf", "log", "tmp", "plugins", "checkpoints", "savepoints", "ha"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    part = divide(live.task_manager_memory)
    machine = {
        **machine_settings(folder, stack.ports.rest, (stack.folder / "code",)),
        "rest.bind-port": stack.ports.rest,
        "env.java.opts.client": " ".join([*jvm.java_options(), *_passwords(stack.folder)]),
        "env.log.dir": folder / "log",
        "parallelism.default": live.parallelism,
        "high-availability.zookeeper.quorum": f"127.0.0.1:{stack.ports.zookeeper}",
        "high-availability.cluster-id": f"/{stack.generation}",
        "high-availability.storageDir": f"file://{folder}/ha",
        "execution.checkpointing.dir": f"file://{folder}/checkpoints",
        "execution.checkpointing.savepoint-dir": f"file://{folder}/savepoints",
        "taskmanager.numberOfTaskSlots": slots,
        # Flink's own scripts would work these out.
        "taskmanager.cpu.cores": float(slots),
        "taskmanager.memory.task.heap.size": f"{part.task_heap}m",
        **memory_settings(part),
    }
    write_settings(folder / "conf", CONF / "config.yaml", machine)
    shutil.copy(CONF / "log4j.properties", folder / "conf" / "log4j-cli.properties")
    (folder / "env.sh").write_text(_exports(stack.folder), encoding="utf-8")


def commands(stack: Stack, live: LiveConfig) -> list[Command]:
    """The processes of Flink, the JobManager first."""
    part = divide(live.task_manager_memory)
    limits = (
        f"-Xmx{part.task_heap + FRAMEWORK_MB}m",
        f"-XX:MaxDirectMemorySize={FRAMEWORK_MB + DIRECT_MB + NETWORK_MB}m",
        "-XX:TieredStopAtLevel=4",  # it runs for days: code that is run often is compiled well
    )
    port = stack.ports.flink_metrics
    own = (f"{METRICS_PORT}={port}",)
    manager = _server(stack, "jobmanager", JOBMANAGER_MAIN, (f"-Xmx{JOBMANAGER_HEAP}",), own)
    found = [manager._replace(rest=stack.rest)]
    for number in range(live.task_managers):
        name = f"taskmanager-{number}"
        # A known name: one that comes back replaces the one that was killed at once, and nobody
        # waits until that one's heartbeat is missed.
        own = (f"taskmanager.resource-id={name}", f"{METRICS_PORT}={port + 1 + number}")
        found.append(_server(stack, name, TASKMANAGER_MAIN, limits, own))
    return found


def _server(
    stack: Stack, name: str, main: str, limits: Sequence[str], own: Sequence[str]
) -> Command:
    log = stack.folder / "flink" / "log" / f"{name}.log"
    settings = [word for one in own for word in ("-D", one)]
    arguments = ["--configDir", str(stack.folder / "flink" / "conf"), *settings]
    return Command(name, _java(stack.folder, limits, log, main, arguments), log)


def client(folder: Path, arguments: Sequence[str]) -> Command:
    """`flink` with these arguments."""
    log = folder / "flink" / "log" / "client.log"
    words = _java(folder, (f"-Xmx{CLIENT_HEAP}",), log, CLIENT_MAIN, arguments)
    return Command("client", words, log)


def _java(
    folder: Path, limits: Sequence[str], log: Path, main: str, arguments: Sequence[str]
) -> tuple[str, ...]:
    return (
        str(jvm.find_java()),
        *jvm.java_options(),
        *_passwords(folder),
        *limits,
        f"-XX:MaxMetaspaceSize={METASPACE_MB}m",
        "-XX:+ExitOnOutOfMemoryError",
        f"-Djava.io.tmpdir={folder / 'flink' / 'tmp'}",
        f"-Dlog.file={log}",
        f"-Dlog4j.configurationFile={CONF / 'log4j.properties'}",
        "-cp",
        class_path(),
        main,
        *arguments,
    )


def _passwords(folder: Path) -> list[str]:
    """The option that names Java's file of passwords, where the stack has one."""
    guard = guard_of(folder)
    return [] if guard is None else [guard.flink_option]


def variables(folder: Path) -> Mapping[str, str]:
    """The environment of Flink's processes."""
    return {**os.environ, **flink_variables(folder)}


def flink_variables(folder: Path) -> dict[str, str]:
    """What Flink's processes need beside what is there."""
    return {
        **jvm.ALLOCATION,
        "FLINK_CONF_DIR": str(folder / "flink" / "conf"),
        "FLINK_LIB_DIR": str(library_folder()),
        "FLINK_OPT_DIR": str(jvm.flink_home() / "opt"),
        "FLINK_PLUGINS_DIR": str(folder / "flink" / "plugins"),
    }


def _exports(folder: Path) -> str:
    """What a shell needs for Flink's own commands, `flink run` above all."""
    named = {**flink_variables(folder), "JAVA_HOME": str(jvm.find_java().parents[1])}
    path = f"{jvm.flink_home() / 'bin'}:{Path(sys.executable).parent}"
    return "\n".join([*exports(named), f'export PATH={shlex.quote(path)}:"$PATH"', ""])


def copy_code(folder: Path) -> Path:
    """The code that jobs run, in the stack's own folder: edits do not reach a stack that runs.

    With it go the compiled kernels that lie beside it; they count as long as times are equal.
    """
    code = folder / "code"
    shutil.rmtree(code, ignore_errors=True)
    for package in ("jobs", "schemas", "udfs"):
        shutil.copytree(jvm.REPO / package, code / package)
    return code
