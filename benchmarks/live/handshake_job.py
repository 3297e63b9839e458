"""One stage of the handshake over two tables, as a job; see docs/live-spikes.md.

    flink run -d -py benchmarks/live/handshake_job.py BOOTSTRAP STAGE UPSTREAM INPUT OUTPUT

Key: one for all. Reads rows (id, ts, v) of INPUT and the progress of UPSTREAM. A time t is released
once its progress row is there and as many rows as it names: each row goes to OUTPUT with `|STAGE`
added to v, then the stage's own progress row. Both tables are first_row tables, in database d.
State: "rows", a map of (ts, id) to v; "book", (newest time released, rows by time, due by time).
"""

import sys
from collections.abc import Iterator
from typing import Any

import cloudpickle
from pyflink.common import Row, Types
from pyflink.common.typeinfo import RowTypeInfo
from pyflink.datastream import (
    DataStream,
    KeyedProcessFunction,
    OutputTag,
    RuntimeContext,
    StreamExecutionEnvironment,
)
from pyflink.datastream.state import MapStateDescriptor, ValueStateDescriptor
from pyflink.java_gateway import get_gateway
from pyflink.table import DataTypes, Schema, StatementSet, StreamTableEnvironment, Table

# A task manager keeps the modules that it imported: so the job brings this one along.
cloudpickle.register_pickle_by_value(sys.modules[__name__])

DATA = 0
READ = (
    "/*+ OPTIONS('scan.startup.mode'='earliest','client.scanner.log.fetch.wait-max-time'='5ms') */"
)
WRITE = "/*+ OPTIONS('client.writer.batch-timeout'='1ms') */"
TEXT, NUMBER = DataTypes.STRING(), DataTypes.BIGINT()
OUTPUT = {"id": TEXT, "ts": NUMBER, "v": TEXT}
PROGRESS = {"stage": TEXT, "instance": TEXT, "ts": NUMBER, "rows": NUMBER}


def output_type() -> RowTypeInfo:
    """Flink's type of an output row. A new one each time: it can't be pickled once it was used."""
    return Types.ROW_NAMED(list(OUTPUT), [Types.STRING(), Types.LONG(), Types.STRING()])


def progress_tag() -> OutputTag:
    """The side output of progress rows, likewise new each time."""
    kinds = [Types.STRING(), Types.STRING(), Types.LONG(), Types.LONG()]
    return OutputTag("progress", Types.ROW_NAMED(list(PROGRESS), kinds))


class Handshake(KeyedProcessFunction):  # type: ignore[misc]
    """Holds rows until their time is complete."""

    def __init__(self, stage: str) -> None:
        self.stage = stage
        self.tag = progress_tag()

    def open(self, runtime_context: RuntimeContext) -> None:
        rows = MapStateDescriptor("rows", Types.STRING(), Types.STRING())
        self.rows = runtime_context.get_map_state(rows)
        book = ValueStateDescriptor("book", Types.PICKLED_BYTE_ARRAY())
        self.book = runtime_context.get_state(book)

    def process_element(self, value: Row, ctx: KeyedProcessFunction.Context) -> Iterator[Any]:
        released, counts, due = self.book.value() or (-1, {}, {})
        kind, ts, row_id, text = value
        if ts <= released:
            return
        if kind == DATA:
            name = f"{ts:015d}{row_id}"
            if self.rows.contains(name):
                return
            self.rows.put(name, text)
            counts = {**counts, ts: counts.get(ts, 0) + 1}
        else:
            due = {**due, ts: int(text)}
        while due and counts.get(min(due), 0) >= due[min(due)]:
            released = min(due)
            yield from self._release(released)
            yield self.tag, Row(self.stage, "0", released, due[released])
            counts = {ts: count for ts, count in counts.items() if ts != released}
            due = {ts: count for ts, count in due.items() if ts != released}
        self.book.update((released, counts, due))

    def _release(self, ts: int) -> Iterator[Row]:
        prefix = f"{ts:015d}"
        names = list(self.rows.keys())
        for name in sorted(name for name in names if name.startswith(prefix)):
            row_id = name.removeprefix(prefix)
            yield Row(f"{self.stage}:{row_id}", ts, f"{self.rows.get(name)}|{self.stage}")
            self.rows.remove(name)


def write(
    tables: StreamTableEnvironment,
    inserts: StatementSet,
    rows: DataStream,
    columns: dict[str, Any],
    key: list[str],
    target: str,
) -> None:
    """Add the stream to the inserts, as upserts: plain streams would need a state to become so."""
    schema = Schema.new_builder()
    for name, kind in columns.items():
        schema = schema.column(name, kind.not_null() if name in key else kind)
    mode = get_gateway().jvm.org.apache.flink.table.connector.ChangelogMode.all()
    table = tables._j_tenv.fromChangelogStream(
        rows._j_data_stream, schema.primary_key(*key).build()._j_schema, mode
    )
    tables.create_temporary_view(f"new_{target}", Table(table, tables))
    inserts.add_insert_sql(f"INSERT INTO {target} {WRITE} SELECT * FROM new_{target}")


def main() -> None:
    """Submit the stage."""
    bootstrap, stage, upstream, source, target = sys.argv[1:6]
    env = StreamExecutionEnvironment.get_execution_environment()
    env.set_parallelism(1)
    tables = StreamTableEnvironment.create(env)
    tables.execute_sql(
        f"CREATE CATALOG store WITH ('type' = 'fluss', 'bootstrap.servers' = '{bootstrap}')"
    )
    tables.execute_sql("USE CATALOG store")
    tables.execute_sql("USE d")
    # One query and not two streams: their types would differ in what may be null.
    rows = tables.sql_query(
        f"SELECT {DATA} AS kind, ts, id, v FROM {source} {READ} UNION ALL "
        f"SELECT 1, ts, '', CAST(`rows` AS STRING) FROM progress {READ} WHERE stage = '{upstream}'"
    )
    keyed = tables.to_changelog_stream(rows).key_by(lambda row: 0, Types.INT())
    released = keyed.process(Handshake(stage), output_type()).uid("stage").name(stage)
    inserts = tables.create_statement_set()
    write(tables, inserts, released, OUTPUT, ["id"], target)
    told = released.get_side_output(progress_tag())
    write(tables, inserts, told, PROGRESS, ["stage", "instance", "ts"], "progress")
    inserts.attach_as_datastream()
    env.execute(f"stage-{stage}")


if __name__ == "__main__":
    main()
