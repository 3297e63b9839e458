"""The tables of a live job in Kafka: a topic each, as Flink's SQL is told of them.

Histories are written by transactions, which end with the job's checkpoints: outside readers that
ask for committed rows get each row once. A stage does not wait for that, as a tick would take a
checkpoint for each job that it passes. It reads rows as they are written, those of a transaction
that will be aborted among them, and takes the first row of each id: ids and content of a repeated
row are the same. Bars are committed by their feed at once, and a feed that was killed may write
others in their place, so they are read once they are committed.
"""

from jobs.store.login import kafka_options
from jobs.store.place import StorePlace
from schemas.market import PRICE_1M_HISTORY
from schemas.table import Kind, Store, Table, flink_ddl


def statement(table: Table, place: StorePlace, job: str) -> str:
    """CREATE TABLE for the job of that name, to read the table or to write it."""
    level = "read_committed" if table is PRICE_1M_HISTORY else "read_uncommitted"
    topic = f"{place.database}.{table.name}"
    options = {
        "properties.bootstrap.servers": place.bootstrap,
        "topic": topic,
        "properties.isolation.level": level,
        # A topic has one partition, and a row is sent on at once: the producer's default is 5 ms.
        "scan.topic-partition-discovery.interval": "0 ms",
        "properties.linger.ms": "0",
        **kafka_options(place.login),
        # Some 100 metrics for each reader and writer, and nobody looks at them.
        "properties.register.consumer.metrics": "false",
        "properties.register.producer.metrics": "false",
    }
    if table.kind is Kind.HISTORY:
        options |= {
            # Two jobs with one prefix would fence each other off, and one that begins with
            # another's would have its transactions aborted by that one's restart: hence the end.
            "sink.transactional-id-prefix": f"{topic}/{job}/",
            # A few ids that are used again. The other way makes new ones at each checkpoint, and
            # the broker keeps each for a week.
            "sink.transaction-naming-strategy": "pooling",
        }
    return flink_ddl(table, Store.KAFKA, options)
