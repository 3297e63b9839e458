"""Java processes of a store on this machine: how they are started, awaited and ended.

What `jobs/fluss_run.py` and `jobs/kafka_run.py` share. A store's folder has a lock, which its
processes hold as long as one of them lives.
"""

import fcntl
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, Generic, NamedTuple, Protocol, TypeVar

from jobs import jvm
from jobs.cluster import end
from udfs.errors import ConfigError

HOST = "127.0.0.1"
START_TIMEOUT_S = 150.0  # a machine at its limits is slow; one that ends is told at once
STOP_TIMEOUT_S = 30.0
ERRORS_SHOWN = 5
# The wheel of Flink brings the library that writes the logs.
LOGGING = ("log4j-api-", "log4j-core-", "log4j-slf4j-impl-")
OPTIONS = (
    "-XX:+UseSerialGC",
    "-XX:TieredStopAtLevel=1",
    "-XX:-UsePerfData",
    "-XX:+ExitOnOutOfMemoryError",
    "-Djava.net.preferIPv4Stack=true",
    "--add-opens=java.base/java.nio=ALL-UNNAMED",
)

Processes = dict[str, subprocess.Popen[bytes]]


class Memory(NamedTuple):
    """Java's options for the memory of one kind of server."""

    heap: str
    direct: str


class Server(NamedTuple):
    """One process of a store: how it is started, where it listens and where it logs."""

    name: str
    port: int
    command: tuple[str, ...]
    log: Path


class AnyStore(Protocol):
    """A store as it is configured, of either kind."""

    @property
    def folder(self) -> Path: ...

    @property
    def bootstrap(self) -> str: ...

    @property
    def zookeeper(self) -> str: ...


S = TypeVar("S", bound=AnyStore)


class Running(NamedTuple, Generic[S]):
    """A store that was started: its processes by the servers' names, and its folder's lock."""

    store: S
    processes: Processes
    lock: IO[bytes]


@contextmanager
def run(store: S, revive: Callable[[Running[S]], object]) -> Iterator[Running[S]]:
    """Start the store by `revive`; its processes end with the block.

    Raises ConfigError where the folder is in use, a port is taken, or a process ends early.
    """
    with ExitStack() as stack:
        started = Running(store, {}, stack.enter_context(locked(store.folder)))
        stack.callback(stop, started.processes)
        revive(started)
        yield started


def run_in_foreground(
    configure: Callable[[Path], S], revive: Callable[[Running[S]], object]
) -> None:
    """Run the store in the folder that the command names until Ctrl-C or SIGTERM."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        store = configure(Path(sys.argv[1]))
        with run(store, revive):
            print(f"bootstrap.servers {store.bootstrap}, ZooKeeper {store.zookeeper}", flush=True)
            signal.pause()
    except KeyboardInterrupt:
        print("ended")
    except ConfigError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)


def java_server(
    folder: Path,
    name: str,
    port: int,
    memory: Memory,
    logging: Path,
    jars: Sequence[Path],
    arguments: Sequence[str],
) -> Server:
    """A server of the store in `folder`; `logging` configures its log, `arguments` begin with
    the main class, or with options of Java before it.
    """
    log = folder / "log" / f"{name}.log"
    command = (
        str(jvm.find_java()),
        *OPTIONS,
        f"-Xmx{memory.heap}",
        f"-XX:MaxDirectMemorySize={memory.direct}",
        f"-Djava.io.tmpdir={folder / 'tmp'}",
        f"-Dlog.file={log}",
        f"-Dlog4j.configurationFile={logging}",
        "-cp",
        os.pathsep.join(map(str, jars)),
        *arguments,
    )
    return Server(name, port, command, log)


def logging_jars() -> list[Path]:
    """The jars that write the logs."""
    library = jvm.flink_home() / "lib"
    return [jar for jar in sorted(library.glob("*.jar")) if jar.name.startswith(LOGGING)]


def make_folders(folder: Path, names: Sequence[str]) -> None:
    """Make the folders of a store, those of `names` in it; ConfigError where that can't be."""
    try:
        for name in ("log", "tmp", "conf", *names):
            (folder / name).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"the store's folder {folder} cannot be written: {error}") from None


@contextmanager
def locked(folder: Path) -> Iterator[IO[bytes]]:
    """The folder's lock. The servers inherit it: it is held as long as one of them lives."""
    with (folder / "lock").open("ab") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ConfigError(
                f"the store in {folder} is running already; `ps x | grep {folder}` shows its "
                "processes"
            ) from None
        yield lock


def has_ended(process: subprocess.Popen[bytes] | None) -> bool:
    """Whether it has, or was never started."""
    return process is None or process.poll() is not None


def start(server: Server, lock: IO[bytes] | None = None) -> subprocess.Popen[bytes]:
    """Start one process of a store; what it prints goes to its log's neighbour, `.out`."""
    check_port(server.name, server.port)
    with server.log.with_suffix(".out").open("ab") as output:
        return subprocess.Popen(
            server.command,
            # Without a limit, glibc keeps freed memory of RocksDB in one arena per thread.
            env={**os.environ, "MALLOC_ARENA_MAX": "2"},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            process_group=0,  # Ctrl-C ends this process first
            pass_fds=() if lock is None else (lock.fileno(),),
        )


def check_port(name: str, port: int) -> None:
    """ConfigError where the port of the server `name` is taken."""
    with socket.socket() as probe:
        # As Java does: a port that an ended connection still holds is free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError as error:
            raise ConfigError(f"port {port} of {name}: {error.strerror}") from None


def wait_for_port(
    server: Server, process: subprocess.Popen[bytes], look: Callable[[], None] = lambda: None
) -> None:
    """Return once the process listens, which it does before the others know of it.

    `look` is called all the while, to raise where there is no use in waiting.
    """
    deadline = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline:
        check_lives(server, process)
        look()
        with socket.socket() as probe:
            if probe.connect_ex((HOST, server.port)) == 0:
                return
        time.sleep(0.05)
    raise ConfigError(f"{server.name} is not up after {START_TIMEOUT_S} s: see {server.log}")


def check_lives(server: Server, process: subprocess.Popen[bytes]) -> None:
    """ConfigError with the last errors of its log where the process has ended."""
    code = process.poll()
    if code is not None:
        raise ConfigError(f"{server.name} ended with code {code}:\n{last_errors(server)}")


def last_errors(server: Server) -> str:
    """The last lines of the server's log and output that tell of an error, and where they are."""
    lines = []
    for file in (server.log, server.log.with_suffix(".out")):
        if file.is_file():
            text = file.read_text(encoding="utf-8", errors="replace")
            marks = (" ERROR ", "Caused by:", "Error", "Exception:")
            told = [line for line in text.splitlines() if any(mark in line for mark in marks)]
            lines += told[-ERRORS_SHOWN:]
    return "\n".join([*lines, f"see {server.log}"])


def stop(processes: Processes) -> None:
    """End the processes, the last one started first."""
    for process in reversed(processes.values()):
        end(process, STOP_TIMEOUT_S)
