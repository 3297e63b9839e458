"""Changes classes of jars that live runs need: Fluss's, Kafka's client's, Flink's reporter's.

    python -m jobs.jar_patches JARS

`make jars` does it once for the folder of its jars. Changed classes go into a jar of their own
whose name comes before the name of the jar they are from, so that Java finds them first. What they
change:

The tablet server with a single replica answers a reader that waits for new rows at the end of its
wait alone, not when rows come: readers had to ask every 5 ms. Now an append answers them.

The connector's reader may lose its next request where its thread is held up between two steps, and
then waits until its poll ends, 10 s. Now its poll ends after 50 ms.

The connector's writers look for rows to send as often as rows may wait, every millisecond. Now they
look once there are some.

A task manager that stood still (SIGSTOP, a machine that sleeps) writes on as it wakes, although its
jobs go on elsewhere by then. Now a writer that was opened before such a time sends nothing, and
its task fails; what it would throw once more when it is closed is caught, as Flink ends the whole
process for that. jobs/live/pulse.py does the same for Python's part.

The connector refuses to write a first_row table without a shuffle by bucket before it, as rows of a
key must come from one task. Here they do: a key of a table belongs to one key of the stage's work.

The reporter listens on all interfaces, and has no setting for it. Now it listens on loopback,
unless Java's property tradeflow.metrics.host names another address (a container's must be reached).

It names a task by all of the operators in it, up to 1,000 characters, with numbers that change from
submission to submission. Now it names the first one: `work`, `Source: progress`.
"""

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from py4j.java_gateway import GatewayParameters, JavaGateway, launch_gateway
from py4j.protocol import Py4JJavaError

from jobs import java_classes, jvm
from jobs.live.pulse import LIMIT_S
from udfs.errors import ConfigError

FLUSS = "0.9.1-incubating"
FLINK = "2.2.1"
FLINK_KAFKA = "5.0.0-2.2"
JARS = jvm.REPO / ".run" / "jars"
TOOL = "javassist-*.jar"

INITIALIZER, FIELD = "", "a field"
BEFORE, AFTER, CATCH = "before", "after", "catch"


class Change(NamedTuple):
    """Java's code that goes before or after a method's own, or where it throws an IOException.

    Or the code of a field.
    """

    method: str
    code: str
    where: str = AFTER


_POLL = "POLL_TIMEOUT = java.time.Duration.ofMillis(50L);"
# Not under the lock of a replica: an answer may need those of others.
_ANSWER = """
for (java.util.Iterator buckets = $1.keySet().iterator(); buckets.hasNext();) {
    delayedFetchLogManager.checkAndComplete(
        new org.apache.fluss.server.replica.delay.DelayedTableBucketKey(
            (org.apache.fluss.metadata.TableBucket) buckets.next()));
}
"""
# It looks by itself at times, as its end is told without a row.
_WAIT = "synchronized (accumulator) { if (!accumulator.hasUnDrained()) accumulator.wait(50L); }"
_WAKE = "synchronized (this) { notify(); }"

_STOPS = Change(FIELD, "private final int stops = tradeflow.Pulse.stops();")


def _refuse(error: str) -> str:
    """Nothing of before is sent, nor sent once more; all that wait for an answer get this error."""
    return f"""
if (tradeflow.Pulse.stops() != stops) {{
    maybeAbortBatches(new {error}("this process stood still for more than {LIMIT_S:g} s:"
        + " its jobs may run elsewhere, so nothing is written that was begun before"));
    return;
}}
"""


# An error at the end of a task that fails is no end of the whole task manager.
_END = (
    _STOPS,
    Change("close", "{ if (tradeflow.Pulse.stops() != stops) return; throw $e; }", CATCH),
)
_FLUSS_ERROR = "org.apache.fluss.exception.FlussRuntimeException"
KAFKA_CLIENT = "org.apache.flink.kafka.shaded.org.apache.kafka"
_KAFKA_ERROR = f"{KAFKA_CLIENT}.common.KafkaException"

# A key of a table belongs to one key of work, so to one task.
_TRUST = "if (true) return;"

_LOOPBACK = """
$1 = new java.net.InetSocketAddress(
    System.getProperty("tradeflow.metrics.host", "127.0.0.1"), $1.getPort());
"""
_FIRST_NAME = r'$1 = $1.split("\\[\\d+\\]| -> ", 2)[0];'

# Constructors are named by the types of their arguments, so are methods where a name is not enough.
_SERVER_OF_ADDRESS = "(Ljava/net/InetSocketAddress;Lio/prometheus/client/CollectorRegistry;Z)V"


class Patch(NamedTuple):
    """The jar that is changed, the name of the one that is made, and what changes by class."""

    version: str
    theirs: str
    ours: str
    changes: Mapping[str, tuple[Change, ...]]


CONNECTOR = Patch(
    FLUSS,
    f"fluss-flink-2.2-{FLUSS}.jar",
    "a-fluss-connector.jar",
    {
        "org.apache.fluss.flink.source.reader.FlinkSourceSplitReader": (
            Change(INITIALIZER, _POLL),
        ),
        "org.apache.fluss.client.write.RecordAccumulator": (Change("append", _WAKE),),
        "org.apache.fluss.client.write.Sender": (
            Change("sendWriteData", _WAIT, BEFORE),
            _STOPS,
            Change("sendWriteRequest", _refuse(_FLUSS_ERROR), BEFORE),
        ),
        "org.apache.fluss.flink.sink.writer.FlinkSinkWriter": _END,
        "org.apache.fluss.flink.utils.FlinkConnectorOptionsUtils": (
            Change("validateDistributionModeForMergeEngine", _TRUST, BEFORE),
        ),
    },
)
KAFKA = Patch(
    FLINK_KAFKA,
    f"flink-sql-connector-kafka-{FLINK_KAFKA}.jar",
    "a-kafka-connector.jar",
    {
        f"{KAFKA_CLIENT}.clients.producer.internals.Sender": (
            _STOPS,
            Change("sendProduceRequest", _refuse(_KAFKA_ERROR), BEFORE),
        ),
        "org.apache.flink.connector.kafka.sink.KafkaWriter": _END,
    },
)
SERVER = Patch(
    FLUSS,
    f"server/fluss-server-{FLUSS}.jar",
    "server/a-fluss-server.jar",
    {
        "org.apache.fluss.server.replica.ReplicaManager": (
            Change("appendToLocalLog", _ANSWER),
            Change("putToLocalKv", _ANSWER),
        ),
    },
)
REPORTER = Patch(
    FLINK,
    f"flink-metrics-prometheus-{FLINK}.jar",
    "a-flink-metrics.jar",
    {
        "io.prometheus.client.exporter.HTTPServer": (
            Change(_SERVER_OF_ADDRESS, _LOOPBACK, BEFORE),
        ),
        # What it does to the values of labels with filterLabelValueCharacters: false.
        "org.apache.flink.metrics.prometheus.AbstractPrometheusReporter": (
            Change("lambda$open$0", _FIRST_NAME, BEFORE),
        ),
    },
)
# Those of Flink's processes; the server's classes must not be seen there.
FLINK_PATCHES = (CONNECTOR, KAFKA, REPORTER)
PATCHES = (*FLINK_PATCHES, SERVER)


def patch(folder: Path) -> None:
    """Make the jars of all patches, and that of our own classes, in the folder of jars.

    ConfigError where a jar is not there, or a class is not the one that is known.
    """
    tools = sorted((folder / "tools").glob(TOOL))
    if not tools:
        raise ConfigError(f"no {TOOL} in {folder / 'tools'}; fetch it by `make jars`")
    with _java(tools[-1]) as java:
        java_classes.make(java, _pool(java), folder / java_classes.JAR)
        for one in PATCHES:
            _make(folder, one, java)


def made(one: Patch) -> tuple[Path, Path]:
    """The jar of a patch and the one that it is for, in the order in which Java must find them."""
    return there(JARS / one.ours), _theirs(JARS, one)


def there(jar: Path) -> Path:
    """A jar of `make jars`; ConfigError where it is not there."""
    if not jar.is_file():
        raise ConfigError(f"no {jar.name} in {jar.parent}; fetch it by `make jars`")
    return jar


def _theirs(folder: Path, one: Patch) -> Path:
    return there(folder / one.theirs)


def _make(folder: Path, one: Patch, java: Any) -> None:
    theirs = _theirs(folder, one)
    pool = _pool(java, theirs, folder / java_classes.JAR)
    changed = ((name, _changed(java, pool, name, some)) for name, some in one.changes.items())
    try:
        java_classes.write(folder / one.ours, changed)
    except Py4JJavaError as error:
        why = str(error.java_exception.toString())
        raise ConfigError(f"{theirs.name} is another version than {one.version}: {why}") from None


def _pool(java: Any, *jars: Path) -> Any:
    """The classes of these jars and of Flink's own."""
    pool = java.javassist.ClassPool(True)
    for jar in (*jars, jvm.flink_home() / "lib" / "*"):
        pool.appendClassPath(str(jar))
    return pool


def _changed(java: Any, pool: Any, name: str, changes: tuple[Change, ...]) -> bytes:
    found = pool.get(name)
    for change in changes:
        if change.method == FIELD:
            found.addField(java.javassist.CtField.make(change.code, found))
            continue
        method = _method(found, change.method)
        if change.where == CATCH:
            method.addCatch(change.code, pool.get("java.io.IOException"))
        elif change.where == BEFORE:
            method.insertBefore(change.code)
        else:
            method.insertAfter(change.code)
    return bytes(found.toBytecode())


def _method(found: Any, name: str) -> Any:
    if name == INITIALIZER:
        return found.getClassInitializer()
    if name[0] == "(":
        return found.getConstructor(name)
    name, arguments, rest = name.partition("(")
    return found.getMethod(name, arguments + rest) if rest else found.getDeclaredMethod(name)


@contextmanager
def _java(tool: Path) -> Iterator[Any]:
    """The classes of a Java process that has the tool; it ends with this one."""
    port = launch_gateway(classpath=str(tool), java_path=str(jvm.find_java()), die_on_exit=True)
    gateway = JavaGateway(gateway_parameters=GatewayParameters(port=port))
    try:
        yield gateway.jvm
    finally:
        gateway.shutdown()


if __name__ == "__main__":
    patch(Path(sys.argv[1]))
