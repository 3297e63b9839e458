"""A Kafka store on this machine: written and read, killed and stopped, whole at the next start."""

from pathlib import Path

import pytest
from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from kafka.admin import KafkaAdminClient, NewTopic

from jobs import kafka_run, kafka_store
from udfs.errors import ConfigError

TOPIC = "test.facts"


def _write(store: kafka_store.Store, values: list[bytes]) -> None:
    producer = KafkaProducer(bootstrap_servers=store.bootstrap)
    for value in values:
        producer.send(TOPIC, value).get(60)
    producer.close()


def _read(store: kafka_store.Store) -> list[bytes]:
    consumer = KafkaConsumer(bootstrap_servers=store.bootstrap, auto_offset_reset="earliest")
    place = TopicPartition(TOPIC, 0)
    consumer.assign([place])
    end = consumer.end_offsets([place])[place]
    found: list[bytes] = []
    while consumer.position(place) < end:
        found += [one.value for of in consumer.poll(1000).values() for one in of]
    consumer.close()
    return found


def test_rows_outlive_a_kill_and_a_stop(tmp_path: Path) -> None:
    store = kafka_store.configure(tmp_path, kafka_store.free_ports())
    with kafka_run.running(store) as started:
        admin = KafkaAdminClient(bootstrap_servers=store.bootstrap)
        admin.create_topics([NewTopic(TOPIC, 1, 1)])
        admin.close()
        with pytest.raises(ConfigError, match="running already"), kafka_run.running(store):
            pass
        _write(store, [b"1", b"2"])
        started.processes["broker"].kill()
        started.processes["broker"].wait()
        assert kafka_run.revive(started) == ["broker"]
        assert kafka_run.revive(started) == []
        _write(store, [b"3"])
        assert _read(store) == [b"1", b"2", b"3"]
    assert all(process.returncode is not None for process in started.processes.values())
    with kafka_run.running(store):
        assert _read(store) == [b"1", b"2", b"3"]


def test_a_taken_port_is_named(tmp_path: Path) -> None:
    ports = kafka_store.free_ports()
    store = kafka_store.configure(tmp_path, ports._replace(broker=ports.zookeeper))
    with (
        pytest.raises(ConfigError, match=f"port {ports.zookeeper} of broker"),
        kafka_run.running(store),
    ):
        pass
