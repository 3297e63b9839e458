"""Where a bounded job runs: in a Java process of its own here, or on the cluster of `flink run`.

Python functions run inside the JVM (thread mode): blobs of megabytes pass as they are, and
kernels that release the interpreter lock use all cores.
"""

import atexit
import logging
import os
import re
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import yaml
from py4j.protocol import Py4JError, Py4JJavaError
from pyflink.common import Configuration
from pyflink.datastream import DataStream, StreamExecutionEnvironment
from pyflink.java_gateway import get_gateway

from jobs import jvm
from jobs.code import GATEWAY_PORT, in_cluster
from jobs.jvm import prepare
from jobs.signals import held
from udfs import errors
from udfs.errors import ConfigError, TradeflowError

__all__ = [
    "JobError",
    "collect",
    "environment",
    "in_cluster",
    "java_errors",
    "local_environment",
    "prepare",
]

FULL = ("No space left on device", "File too large", "Disk quota exceeded")
_running: list[jvm.Jvm] = []  # the one JVM of this process, once started


class JobError(RuntimeError):
    """A job failed by something else than one of the project's errors."""


def environment(parallelism: int) -> StreamExecutionEnvironment:
    """The cluster's environment under `flink run` (whose -p then counts), else a local one."""
    return cluster_environment() if in_cluster() else local_environment(parallelism)


def cluster_environment() -> StreamExecutionEnvironment:
    """The environment that `flink run` made; its settings are the cluster's."""
    return StreamExecutionEnvironment.get_execution_environment()


def local_environment(parallelism: int) -> StreamExecutionEnvironment:
    """An environment whose jobs run in this process's JVM, started by the first call."""
    if not _running:
        use(jvm.start())
    # Else PyFlink starts a server for Python worker processes, which thread mode has not.
    with held(), jvm.environment_variables(_python_worker_execution_mode="process"):
        env = StreamExecutionEnvironment.get_execution_environment(_settings(_running[0].folder))
        env.set_parallelism(parallelism)
    return env


def use(started: jvm.Jvm) -> None:
    """Connect PyFlink to a JVM: to one per process, as PyFlink keeps the connection."""
    port = str(jvm.wait_for_port(started))
    with held(), jvm.environment_variables(**{GATEWAY_PORT: port}):
        get_gateway()
        # py4j logs every broken connection and Ctrl-C with its traceback before it raises it, in
        # part to the root logger. PyFlink has just set the level, too.
        logging.getLogger("py4j.java_gateway").setLevel(logging.CRITICAL)
        logging.getLogger().addFilter(lambda record: record.module != "java_gateway")
        _import_without_beam()
        _running.append(started)
        atexit.register(end)


def end() -> None:
    """End the JVM of this process, if it has one; the process can't start another."""
    if _running:
        get_gateway().shutdown()
        jvm.stop(_running[0])


def _import_without_beam() -> None:
    """Let PyFlink make up its mind here to go without Beam (see conf/flink/python)."""
    if "pyflink.fn_execution" in sys.modules or "apache_beam" in sys.modules:
        return
    sys.modules["apache_beam"] = None  # type: ignore[assignment]
    try:
        import pyflink.fn_execution  # noqa: F401
    finally:
        del sys.modules["apache_beam"]


def _settings(folder: Path) -> Configuration:
    """conf/flink/local/config.yaml, and what depends on the machine.

    Each setting is handed over: the local environment reads no configuration folder for them.
    """
    paths = [jvm.CONF / "python", jvm.REPO, *(Path(p).resolve() for p in sys.path if p)]
    settings = Configuration()
    written = yaml.safe_load((jvm.CONF / "local" / "config.yaml").read_text(encoding="utf-8"))
    for name, value in written.items():
        settings.set_string(name, str(value))
    settings.set_string("python.execution-mode", "thread")
    settings.set_string("python.executable", sys.executable)
    settings.set_string("python.client.executable", sys.executable)
    settings.set_string("python.pythonpath", os.pathsep.join(dict.fromkeys(map(str, paths))))
    settings.set_string("io.tmp.dirs", str(folder))
    return settings


def collect(stream: DataStream, name: str) -> list[object]:
    """Run the job that ends in `stream`, and give the few small values that it emits.

    An error of the project that a task raised is raised here again, with its message; any other
    failure is a JobError that names the Python line it came from.
    """
    with java_errors(), stream.execute_and_collect(name) as values:
        return list(values)


@contextmanager
def java_errors() -> Iterator[None]:
    """What Java raises in the block, and that it has ended, as errors of the project."""
    try:
        yield
    except Py4JJavaError as error:
        raise python_error(str(error)) from None
    except Py4JError as error:
        raise ConfigError(
            f"the Java process ended during the job (was it killed, is memory short?){_log_hint()}"
        ) from error


def python_error(text: str) -> Exception:
    """The error that a task raised, from the Java stack trace that reports it."""
    found = re.findall(
        r"PythonException: <class '([\w.]+)'>: (.*?)((?:\n\s+at [^\n]*)+)", text, re.DOTALL
    )
    if not found:
        causes = re.findall(r"^(?:: |Caused by: )(.*)", text, re.MULTILINE)
        cause = causes[-1] if causes else text
        if "OutOfMemoryError" in text:
            return ConfigError(
                f"Java's memory is too small for the job: set {jvm.HEAP} above "
                f"{os.environ.get(jvm.HEAP, jvm.HEAP_DEFAULT)}{_log_hint()}"
            )
        if any(words in cause for words in FULL):
            return ConfigError(
                f"Flink's temporary files cannot be written: {cause.rpartition(': ')[2]}; make "
                f"room in {tempfile.gettempdir()}, or name another folder by TMPDIR"
            )
        return JobError(f"the job failed: {cause}{_log_hint()}")
    name, message, trace = found[-1]
    kind = getattr(errors, name.rpartition(".")[2], None)
    known = isinstance(kind, type) and issubclass(kind, TradeflowError)
    if known and name == f"udfs.errors.{kind.__name__}":
        return kind(message)
    lines = [line.strip() for line in trace.strip().splitlines()]
    own = [line for line in lines if ".py:" in line and "/pyflink/" not in line]
    return JobError("\n  ".join([f"{name.removeprefix('builtins.')}: {message}", *own]))


def _log_hint() -> str:
    return f"\nsee {_running[0].log}" if _running else ""
