"""What must be right before anything starts; each problem is told with its remedy."""

import os
import shutil
from pathlib import Path
from typing import NamedTuple

import yaml

from jobs import fluss_store, jvm, kafka_store
from jobs.stack import flink
from jobs.stack.state import Stack
from jobs.store.login import PLAIN, login_of
from jobs.store.place import StorePlace
from schemas.config_models import Config, LiveConfig
from schemas.config_values import memory_mb
from udfs.errors import ConfigError

MB = 1024 * 1024
# What the processes beside the TaskManagers take at their fullest (docs/live-spikes.md): the store,
# the JobManager, the supervisor; and some 300 MB what watches them.
OTHERS_MB = 1300
LEAST_DISK_MB = 2048
CGROUP = Path("/sys/fs/cgroup")


class Machine(NamedTuple):
    """What the machine has left, in MiB; None where it does not say."""

    memory: int | None
    disk: int | None


def check_config(config: Config) -> None:
    """ConfigError where the configuration is not for a local stack."""
    store = config.store
    if store.kind not in ("fluss", "kafka"):
        raise ConfigError(
            f"store.kind is {store.kind}: a stack keeps its tables in fluss or kafka; "
            "write store.kind: fluss, or add --set store.kind=fluss"
        )
    if store.addresses is not None:
        raise ConfigError(
            "store.addresses names a store of its own, and a stack brings its own: leave it out; "
            "with a store and Flink that run elsewhere it is `tradeflow attach`"
        )
    security = store.security
    if security is not None and (security.protocol, security.mechanism) != ("sasl", PLAIN):
        raise ConfigError(
            f"store.security: a stack's own store knows sasl with {PLAIN} alone, not "
            f"{security.protocol} with {security.mechanism}: leave protocol and mechanism out"
        )


def place(stack: Stack, config: Config) -> StorePlace:
    """The stack's store, for whom the configuration names now, which may have changed."""
    found = stack.store
    return found._replace(login=found.login and (login_of(config.store.security) or found.login))


def check_machine(folder: Path, config: Config) -> None:
    """ConfigError where Java, jars, memory, disk or the folder are not as a stack needs them."""
    live, is_kafka = config.live, config.store.kind == "kafka"
    if set(str(folder)) & set("#\"'\n" + ",\\" * is_kafka) or not str(folder).isprintable():
        raise ConfigError(
            f"the stack's folder {folder} has a character that Fluss or Flink read as something "
            "else (# or quotes, with Kafka , or \\); choose another --dir"
        )
    check_writable(folder)
    jvm.find_java()
    fluss_store.class_path()
    if is_kafka:
        kafka_store.class_path()
    flink.library_folder()
    check_room(measure(folder), live, folder)


def check_writable(folder: Path) -> None:
    """Make the folder; ConfigError where that can't be."""
    try:
        (folder / "log").mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(
            f"the stack's folder {folder} can't be made: {error.strerror}; choose another --dir"
        ) from None
    if not os.access(folder, os.W_OK | os.X_OK) or not os.access(folder / "log", os.W_OK):
        raise ConfigError(f"the stack's folder {folder} can't be written; choose another --dir")


def check_room(machine: Machine, live: LiveConfig, folder: Path) -> None:
    """ConfigError where memory or disk are too small."""
    needed = OTHERS_MB + live.task_managers * memory_mb(live.task_manager_memory)
    if machine.memory is not None and machine.memory < needed:
        raise ConfigError(
            f"a stack with {live.task_managers} task managers of {live.task_manager_memory} needs "
            f"some {needed:,} MB of memory, and {machine.memory:,} MB are free: end other "
            "programs, or lower live.task_manager_memory or live.task_managers"
        )
    if machine.disk is not None and machine.disk < LEAST_DISK_MB:
        raise ConfigError(
            f"{folder} has {machine.disk:,} MB of disk left, and a stack should begin with "
            f"{LEAST_DISK_MB:,}: make room, or choose another --dir"
        )


def measure(folder: Path) -> Machine:
    """What is left now; memory as far as this process may have it."""
    limits = [left for left in (_available(), _cgroup_left()) if left is not None]
    return Machine(min(limits, default=None), shutil.disk_usage(folder).free // MB)


def _available() -> int | None:
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    found = [int(line.split()[1]) for line in lines if line.startswith("MemAvailable:")]
    return found[0] // 1024 if found else None


def _cgroup_left() -> int | None:
    """What a container may still take."""
    try:
        most = (CGROUP / "memory.max").read_text(encoding="ascii").strip()
        used = int((CGROUP / "memory.current").read_text(encoding="ascii"))
    except (OSError, ValueError):
        return None
    return None if most == "max" else (int(most) - used) // MB


def execution_mode() -> str:
    """How Flink runs Python, by the configuration of a live stack."""
    settings = yaml.safe_load((flink.CONF / "config.yaml").read_text(encoding="utf-8"))
    return str(settings["python.execution-mode"])


def check_store(before: StorePlace, kind: str, database: str) -> None:
    """ConfigError where the run was begun in a store of another kind, or another database."""
    now = {"kind": kind, "database": database}
    for name, was in (("kind", before.kind), ("database", before.database)):
        if now[name] != was:
            raise ConfigError(
                f"store.{name} was {was} and is {now[name]}: the run's rows and the jobs' state "
                "belong to the old one; set it back, or give the run another run.id"
            )


def check_mode(before: str, now: str) -> None:
    """ConfigError where state of the one mode would be read in the other."""
    if before != now:
        raise ConfigError(
            f"the stack's jobs ran in {before} mode, and python.execution-mode is now {now}: their "
            f"state would be lost without a word. Set it back to {before}, or start a new run"
        )
