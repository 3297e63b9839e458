"""The Java process of a local run: found, prepared once, started, and ended with this process.

Started here and not by PyFlink, so that it has flags of its own, logs to a file, does not see
Ctrl-C, and leaves nothing in the system's temporary folder.
"""

import atexit
import hashlib
import os
import re
import shutil
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

from jobs.signals import held
from udfs.errors import ConfigError

REPO = Path(__file__).resolve().parents[1]
CONF = REPO / "conf" / "flink"
PRIVATE = REPO / ".run" / "flink"
HEAP = "TRADEFLOW_JVM_HEAP"
HEAP_DEFAULT = "1536m"
OLDEST_JAVA = 11
LOGS_KEPT = 20
TEMPORARY = "tradeflow-flink-"  # how the names of temporary folders begin; then the process
START_TIMEOUT_S = 60.0
# DataStream jobs need no planner: without its 60 MB of jars the JVM starts sooner. Flink's Python
# operators do refer to classes of the two table jars.
LIBRARIES = (
    "flink-dist-",
    "flink-table-api-java-uber-",
    "flink-table-runtime-",
    "log4j-api-",
    "log4j-core-",
    "log4j-slf4j-impl-",
)
# What Flink's own default configuration opens, less what only its SQL and security parts need.
OPENED = [
    "java.lang",
    "java.lang.reflect",
    "java.net",
    "java.io",
    "java.nio",
    "java.text",
    "java.time",
    "java.util",
    "java.util.concurrent",
    "java.util.concurrent.atomic",
    "java.util.concurrent.locks",
    "sun.nio.ch",
]
# A run lasts seconds: the quick compiler and the collector without threads of its own start and
# run it faster. Blobs live until the end of the input, so a small nursery saves copying them.
TUNING = ("-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Xmn128m", "-XX:-UsePerfData")
# Threads of a JVM that runs Python get a heap of malloc each, up to eight per core, which keep what
# they had at their fullest. Measured with a sweep of 240 sets: 2.1 GB, with two heaps 1.2 GB.
ALLOCATION = {"MALLOC_ARENA_MAX": "2"}
ANSWER = "gateway"  # the file in which the JVM tells its port
GATEWAY = "org.apache.flink.client.python.PythonGatewayServer"
JAVA_HELP = (
    "Flink runs on Java 11, 17 or 21. On Debian or Ubuntu: "
    "`sudo apt-get install openjdk-17-jre-headless`; "
    "elsewhere install a JDK 17 and set JAVA_HOME to its folder"
)


class Jvm(NamedTuple):
    """A JVM that was started; `folder` holds all its temporary files."""

    process: subprocess.Popen[bytes]
    folder: Path
    log: Path


def find_java() -> Path:
    """The real path of the java to use: JAVA_HOME's, else the one in PATH."""
    home = os.environ.get("JAVA_HOME")
    if home:
        java = Path(home) / "bin" / "java"
        if not java.is_file():
            raise ConfigError(f"JAVA_HOME is {home}, but there is no {java}. {JAVA_HELP}")
    else:
        found = shutil.which("java")
        if found is None:
            raise ConfigError(f"no java: none in PATH, and JAVA_HOME is not set. {JAVA_HELP}")
        java = Path(found)
    java = java.resolve()
    _check_version(java)
    return java


def _check_version(java: Path) -> None:
    release = java.parents[1] / "release"
    text = release.read_text(encoding="utf-8") if release.is_file() else ""
    match = re.search(r'^JAVA_VERSION="(?:1\.)?(\d+)', text, re.MULTILINE)
    if match and int(match[1]) < OLDEST_JAVA:
        raise ConfigError(f"{java} is Java {match[1]}, which is too old. {JAVA_HELP}")


def flink_home() -> Path:
    """The folder of the Flink distribution that lies inside the pyflink package."""
    spec = find_spec("pyflink")
    if spec is None or spec.origin is None:
        raise ConfigError("the package apache-flink is not installed; run `make setup`")
    return Path(spec.origin).parent


def prepare() -> Path:
    """Build the private Flink folder and its class archive, unless both are there; say where."""
    java = find_java()
    library_folder()
    archive = archive_path(java)
    if not archive.is_file():
        archive.parent.mkdir(parents=True, exist_ok=True)
        for old in archive.parent.glob("*.jsa"):
            old.unlink()
        part = archive.with_suffix(f".part{os.getpid()}")
        _train(part)
        if part.is_file():
            part.replace(archive)
    return PRIVATE


def _train(archive: Path) -> None:
    """Run a small job in a process of its own, which archives the classes it loaded at its end.

    Without an archive everything works, only slower: a JVM that can't write one is no error.
    """
    command = [sys.executable, "-m", "jobs.training", str(archive)]
    done = subprocess.run(command, cwd=REPO, capture_output=True, text=True, check=False)
    if done.returncode:
        raise ConfigError(f"Flink can't run a small job here:\n{done.stderr.strip()}")


def library_folder(
    name: str = "lib", libraries: tuple[str, ...] = LIBRARIES, added: Sequence[Path] = ()
) -> Path:
    """A folder of links to the few jars that a DataStream job needs, brought up to date.

    Other jobs need more `libraries` of Flink's own, and jars that are `added`.
    """
    home = flink_home()
    wanted = [jar for jar in sorted((home / "lib").glob("*.jar")) if jar.name.startswith(libraries)]
    wanted += [*sorted((home / "opt").glob("flink-python-*.jar")), *added]
    folder = PRIVATE / name
    links = {jar.name: jar for jar in wanted}
    if folder.is_dir() and {p.name: Path(os.readlink(p)) for p in folder.iterdir()} == links:
        return folder
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True, exist_ok=True)
    for name, jar in links.items():
        (folder / name).symlink_to(jar)
    return folder


def class_path() -> list[Path]:
    """The jars in one order: the JVM takes a class archive only for the same class path."""
    return sorted(library_folder().iterdir())


def archive_path(java: Path) -> Path:
    """Where the class archive of this Java and these jars lies; others would be refused."""
    digest = hashlib.sha256()
    for file in (java, java.parents[1] / "lib" / "modules", *class_path()):
        if file.exists():
            stat = file.stat()
            digest.update(f"{file}\0{stat.st_size}\0{stat.st_mtime_ns}\n".encode())
    return PRIVATE / "classes" / f"{digest.hexdigest()[:16]}.jsa"


def java_options() -> list[str]:
    """The flags that every Flink process of this project gets."""
    return [*TUNING, *(f"--add-opens=java.base/{name}=ALL-UNNAMED" for name in OPENED)]


def start(archive_at_exit: Path | None = None) -> Jvm:
    """Start a JVM that ends with this process; `archive_at_exit`: where to write its classes."""
    java = find_java()
    log = _log_file()
    folder = _temporary_folder()
    heap = os.environ.get(HEAP, HEAP_DEFAULT)
    if not re.fullmatch(r"[1-9]\d*[mMgG]", heap):
        raise ConfigError(f"{HEAP} is {heap!r}; write a size like {HEAP_DEFAULT} or 4g")
    if archive_at_exit is not None:
        sharing = [f"-XX:ArchiveClassesAtExit={archive_at_exit}", "-Xlog:disable"]
    else:
        # -Xshare:auto: an archive that does not fit is passed over, not an error.
        sharing = [f"-XX:SharedArchiveFile={archive_path(java)}", "-Xshare:auto", "-Xlog:disable"]
    command = [
        str(java),
        *java_options(),
        *sharing,
        f"-Xmx{heap}",
        f"-Djava.io.tmpdir={folder}",
        f"-Dlog.file={log}",
        f"-Dlog4j.configurationFile={CONF / 'local' / 'log4j.properties'}",
        "-cp",
        os.pathsep.join(map(str, class_path())),
        GATEWAY,
    ]
    environment = {
        **ALLOCATION,
        **os.environ,
        "_PYFLINK_CONN_INFO_PATH": str(folder / ANSWER),
        "FLINK_CONF_DIR": str(CONF / "local"),
        "FLINK_PLUGINS_DIR": str(folder),
    }
    with log.open("ab") as output, held():
        process = subprocess.Popen(
            command,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            process_group=0,  # Ctrl-C goes to this process alone, which then ends the JVM
        )
        started = Jvm(process, folder, log)
        atexit.register(stop, started)
    return started


def wait_for_port(started: Jvm) -> int:
    """The loopback port of the JVM's py4j gateway, once it listens."""
    answer = started.folder / ANSWER
    log = started.log
    deadline = time.monotonic() + START_TIMEOUT_S
    while not answer.is_file():
        if started.process.poll() is not None or time.monotonic() > deadline:
            text = log.read_text(encoding="utf-8", errors="replace").strip()[-2000:]
            raise ConfigError(f"Java did not start ({HEAP} too large?):\n{text}")
        time.sleep(0.005)
    return int(struct.unpack("!I", answer.read_bytes()[:4])[0])


def stop(started: Jvm, gently: bool = False) -> None:
    """End the JVM and remove its temporary folder. `gently` lets it write its class archive."""
    process = started.process
    if process.poll() is None:
        if gently:
            process.terminate()
        else:
            process.kill()
        process.wait(START_TIMEOUT_S)
    shutil.rmtree(started.folder, ignore_errors=True)


def _temporary_folder() -> Path:
    """A new folder, named after this process; those of processes that were killed go."""
    for left in Path(tempfile.gettempdir()).glob(f"{TEMPORARY}*-*"):
        owner = left.name.removeprefix(TEMPORARY).partition("-")[0]
        if owner.isdigit() and not Path("/proc", owner).exists() and Path("/proc/self").exists():
            shutil.rmtree(left, ignore_errors=True)
    return Path(tempfile.mkdtemp(prefix=f"{TEMPORARY}{os.getpid()}-"))


def _log_file() -> Path:
    """A log of this process's own; the oldest logs go."""
    folder = PRIVATE / "log"
    folder.mkdir(parents=True, exist_ok=True)
    logs = sorted(folder.glob("local-*.log"), key=lambda file: file.stat().st_mtime)
    for old in logs[: max(0, len(logs) - LOGS_KEPT + 1)]:
        old.unlink(missing_ok=True)
    return folder / f"local-{os.getpid()}.log"


@contextmanager
def environment_variables(**values: str) -> Iterator[None]:
    """Set environment variables of this process for a while."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
