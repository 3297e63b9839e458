"""What a machine has of what the project uses: one small check per part."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

from udfs.errors import ConfigError

ROOT = Path(__file__).resolve().parents[1]
SETUP = "run `make setup`"
GIB = 2**30
DISK_ADVISED = 2 * GIB  # a traced run of a year of bars
DISK_NEEDED = GIB // 10
MEMORY_ADVISED = 4 * GIB  # what the largest benchmark stays under
NAMED = 3  # packages that a message names


class Check(NamedTuple):
    """One part: `is_needed` by a backtest; `remedy` how to get it, empty where it is fine."""

    part: str
    is_fine: bool
    is_needed: bool
    found: str
    remedy: str


def fine(part: str, found: str, is_needed: bool = True) -> Check:
    """A part that is there."""
    return Check(part, True, is_needed, found, "")


def all_checks() -> list[Check]:
    """Every part, those that a backtest needs first."""
    return [
        python(),
        packages("requirements.lock", is_needed=True),
        java(),
        flink_jars(),
        disk(Path.cwd()),
        memory(),
        class_archive(),
        kernels(),
        example_bars(Path.cwd()),
        packages("requirements-test.lock", is_needed=False),
        maven(),
        connectors(),
    ]


def python() -> Check:
    """The interpreter's version."""
    found = f"{sys.version.split()[0]} ({sys.executable})"
    if sys.version_info[:2] == (3, 11):
        return fine("python", found)
    remedy = "3.11 is needed: apt install python3.11 python3.11-venv, then `make setup`"
    return Check("python", False, True, found, remedy)


def packages(lock: str, is_needed: bool) -> Check:
    """Whether every package of a lock is installed in exactly its version."""
    part = "packages" if is_needed else "test packages"
    remedy = SETUP if is_needed else "tests need them: run `make setup-test`"
    path = ROOT / lock
    if not path.is_file():
        return Check(part, False, is_needed, f"no {lock} beside the code", remedy)
    pinned = pins(path.read_text(encoding="utf-8"))
    wrong = [text for name, pin in pinned if (text := package_problem(name, pin))]
    if not wrong:
        return fine(part, f"{len(pinned)} as in {lock}", is_needed)
    named = ", ".join(wrong[:NAMED]) + (" ..." if len(wrong) > NAMED else "")
    found = f"{len(wrong)} of {len(pinned)} not as in {lock}: {named}"
    return Check(part, False, is_needed, found, remedy)


def pins(lock: str) -> list[tuple[str, str]]:
    """(package, version) of each pinned line of a lock."""
    return re.findall(r"^([A-Za-z0-9._-]+)==([^\s;\\]+)", lock, re.MULTILINE)


def package_problem(name: str, pin: str) -> str | None:
    """`numpy (2.0 instead of 2.1)` or `numpy (missing)`; None where it is as pinned."""
    try:
        found = version(name)
    except PackageNotFoundError:
        return f"{name} (missing)"
    return None if found == pin else f"{name} ({found} instead of {pin})"


def java() -> Check:
    """The Java that Flink would run on."""
    from jobs import jvm

    try:
        program = jvm.find_java()
    except ConfigError as error:
        return Check("java", False, True, "not usable", f"{error}; or use --runner local")
    answer = _first_line([str(program), "-version"])
    if answer is None:
        return Check("java", False, True, f"{program} does not run", jvm.JAVA_HELP)
    return fine("java", f"{answer} ({program})")


def maven() -> Check:
    """Maven, which fetches the connectors of the live stores."""
    program = shutil.which("mvn")
    answer = _first_line([program, "-version"]) if program else None
    if answer:
        return fine("maven", answer, is_needed=False)
    remedy = "only `make jars` needs it: apt install maven"
    return Check("maven", False, False, "no mvn in PATH", remedy)


def _first_line(command: Sequence[str]) -> str | None:
    """The first line that a program prints; None where it does not run."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    lines = [line for line in (done.stdout + done.stderr).splitlines() if line.strip()]
    wanted = [line for line in lines if "ersion" in line or "aven" in line]
    # Maven colours its name even into a pipe.
    return re.sub(r"\x1b\[[0-9;]*m", "", (wanted or lines or ["no answer"])[0])


def flink_jars() -> Check:
    """Flink's own jars, which its Python package brings."""
    spec = find_spec("pyflink")
    if spec is None or spec.origin is None:
        return Check("flink", False, True, "apache-flink is not installed", SETUP)
    home = Path(spec.origin).parent
    jars = [*home.glob("lib/flink-dist-*.jar"), *home.glob("opt/flink-python-*.jar")]
    if len(jars) < 2:
        remedy = "reinstall apache-flink: remove .venv and run `make setup`"
        return Check("flink", False, True, f"jars are missing in {home}", remedy)
    return fine("flink", f"{', '.join(sorted(jar.stem for jar in jars))} ({home})")


def class_archive() -> Check:
    """The archive of Flink's classes that lets its JVM start sooner."""
    from jobs import jvm

    part, remedy = "class archive", f"Flink starts 2 s slower; {SETUP}"
    try:
        archive = jvm.archive_path(jvm.find_java()) if (jvm.PRIVATE / "lib").is_dir() else None
    except ConfigError:
        archive = None
    if archive is None or not archive.is_file():
        return Check(part, False, False, "none for this Java and these jars", remedy)
    return fine(part, f"{archive} ({archive.stat().st_size / 2**20:.0f} MiB)", is_needed=False)


def kernels() -> Check:
    """Compiled kernels in numba's cache; without them the first run compiles."""
    cached = len(list((ROOT / "udfs").rglob("__pycache__/*.nbi")))
    if cached:
        return fine("compiled kernels", f"{cached} in udfs/", is_needed=False)
    remedy = "the first run compiles, some 30 s; run `python -m cli.warm`"
    return Check("compiled kernels", False, False, "none", remedy)


def example_bars(folder: Path) -> Check:
    """The bars that the shipped configuration runs on."""
    files = list(folder.glob("data/example/*.parquet"))
    if files:
        return fine("example bars", f"{len(files)} files in data/example", is_needed=False)
    remedy = "run `tradeflow data simulate`"
    return Check("example bars", False, False, f"no data/example in {folder}", remedy)


def connectors() -> Check:
    """What live runs need of `make jars`: each jar with the one of its changed classes, Kafka's."""
    remedy = "only live stores: run `make jars`"
    try:
        from jobs import jar_patches, kafka_store

        jars = [jar for one in jar_patches.PATCHES for jar in jar_patches.made(one)]
        jars += [jar for jar in kafka_store.class_path() if jar.name.startswith(kafka_store.JAR)]
    except ImportError as error:
        return Check("store connectors", False, False, str(error), SETUP)
    except ConfigError as error:
        return Check("store connectors", False, False, str(error).partition(";")[0], remedy)
    names = ", ".join(sorted(jar.stem for jar in jars))
    return fine("store connectors", names, is_needed=False)


def disk(folder: Path) -> Check:
    """Free space where runs are written by default."""
    free = shutil.disk_usage(folder).free
    found = f"{free / GIB:.1f} GiB free in {folder}"
    if free >= DISK_ADVISED:
        return fine("disk", found)
    remedy = f"{DISK_ADVISED / GIB:.0f} GiB are good to have: free some, or write elsewhere (--out)"
    return Check("disk", False, free < DISK_NEEDED, found, remedy)


def memory() -> Check:
    """Memory that is available now."""
    free = _available_memory()
    if free is None:
        return fine("memory", "not known on this system", is_needed=False)
    found = f"{free / GIB:.1f} GiB available"
    if free >= MEMORY_ADVISED:
        return fine("memory", found, is_needed=False)
    remedy = f"large grids want {MEMORY_ADVISED / GIB:.0f} GiB"
    return Check("memory", False, False, found, remedy)


def _available_memory() -> int | None:
    """Bytes that new programs can have; None where the system does not tell."""
    try:
        text = Path("/proc/meminfo").read_text(encoding="ascii")
    except OSError:
        names = os.sysconf_names
        if "SC_AVPHYS_PAGES" not in names:
            return None
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    found = re.search(r"^MemAvailable:\s+(\d+) kB", text, re.MULTILINE)
    return int(found[1]) * 1024 if found else None
