"""A process that stood still writes nothing that it began before: others may do its work by now."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from py4j.java_gateway import GatewayParameters, JavaGateway, launch_gateway
from py4j.protocol import Py4JJavaError

from jobs import jvm
from jobs.jar_patches import KAFKA_CLIENT
from jobs.live.pulse import LIMIT_S
from jobs.stack import state
from jobs.stack.flink import class_path
from jobs.store import reading
from jobs.store.client import open_client
from jobs.store.kafka_session import Session
from jobs.store.making import make_tables
from jobs.store.place import FLUSS, StorePlace
from schemas.signals import STRATEGY_SIGNAL_LATEST
from schemas.table import Type
from tests.live.live_runs import stand_still
from tests.local_stores import KINDS

TABLE = STRATEGY_SIGNAL_LATEST
TS = 1_711_756_800_000
HELD_S = 2.0  # rows wait for so long before they are sent
SHORT_S, LONG_S = LIMIT_S - 2, LIMIT_S + 1

# Writes a row of a strategy, and gives a future.
Write = Callable[[str], Any]


def row_of(strategy: str) -> list[Any]:
    values: dict[Type, Any] = {Type.STRING: "a", Type.BIGINT: TS, Type.DOUBLE: 1.5}
    columns = TABLE.stored
    return [strategy if one.name == "strategy_id" else values[one.type] for one in columns]


def fluss_writer(gateway: JavaGateway, place: StorePlace) -> Write:
    fluss = gateway.jvm.org.apache.fluss
    settings = fluss.config.Configuration()
    settings.setString("bootstrap.servers", place.bootstrap)
    settings.setString("client.writer.batch-timeout", f"{HELD_S:g} s")
    connection = fluss.client.ConnectionFactory.createConnection(settings)
    table = connection.getTable(fluss.metadata.TablePath.of(place.database, TABLE.name))
    writer = table.newUpsert().createWriter()

    def write(strategy: str) -> Any:
        values = gateway.new_array(gateway.jvm.Object, len(TABLE.stored))
        for at, value in enumerate(row_of(strategy)):
            is_text = isinstance(value, str)
            values[at] = fluss.row.BinaryString.fromString(value) if is_text else value
        return writer.upsert(fluss.row.GenericRow.of(values))

    return write


def kafka_writer(gateway: JavaGateway, place: StorePlace) -> Write:
    settings = gateway.jvm.java.util.Properties()
    for name, value in {
        "bootstrap.servers": place.bootstrap,
        "linger.ms": f"{HELD_S * 1000:.0f}",
        "key.serializer": f"{KAFKA_CLIENT}.common.serialization.ByteArraySerializer",
        "value.serializer": f"{KAFKA_CLIENT}.common.serialization.ByteArraySerializer",
    }.items():
        settings.setProperty(name, value)
    clients = gateway.jvm.org.apache.flink.kafka.shaded.org.apache.kafka.clients.producer
    producer = clients.KafkaProducer(settings)
    session = Session(place, 50, 30_000, False)
    codec = session.codec(TABLE)

    def write(strategy: str) -> Any:
        row = row_of(strategy)
        found = clients.ProducerRecord(session.topic(TABLE), codec.key(row), codec.value(row))
        return producer.send(found)

    return write


@contextmanager
def java() -> Iterator[tuple[JavaGateway, int]]:
    """A process with the jars of a task manager, and its number."""
    port, process = launch_gateway(
        classpath=class_path(), java_path=str(jvm.find_java()), die_on_exit=True,
        return_proc=True, javaopts=["-Xmx256m"],
    )  # fmt: skip
    gateway = JavaGateway(gateway_parameters=GatewayParameters(port=port))
    try:
        yield gateway, process.pid
    finally:
        gateway.shutdown()
        process.kill()
        process.wait()


@pytest.mark.parametrize("kind", KINDS)
def test_what_stood_still_writes_nothing_of_before(
    kind: str, stack_of: Callable[[str], Path]
) -> None:
    found = state.read(stack_of(kind))
    assert found is not None
    place = found.store._replace(database="pauses")
    with open_client(place) as client, java() as (gateway, pid):
        make_tables(client)
        writer = fluss_writer if kind == FLUSS else kafka_writer
        write = writer(gateway, place)
        write("first").get()
        short = write("short")
        stand_still(pid, SHORT_S)
        short.get()
        long = write("long")
        stand_still(pid, LONG_S)
        for future in (long, write("after")):
            with pytest.raises(Py4JJavaError, match="stood still for more than 5 s"):
                future.get()
        writer(gateway, place)("next").get()  # opened since
        rows = reading.read(client, TABLE).to_pylist()
        assert sorted(row["strategy_id"] for row in rows) == ["first", "next", "short"]
