"""Submits live stages to a Flink cluster: one job each, all from one script of `flink run`.

    flink run -py SCRIPT, where SCRIPT calls submit([...], place, parallelism, run_id)

Workers import this code from the path of the cluster's Python, and refuse to run other code than
the client's.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from py4j.java_gateway import JavaObject
from pyflink.common import Configuration, TypeInformation, Types
from pyflink.datastream import DataStream, KeyedStream, StreamExecutionEnvironment
from pyflink.java_gateway import get_gateway
from pyflink.table import DataTypes, Schema, StatementSet, StreamTableEnvironment
from pyflink.table import Table as FlinkTable

from jobs import java_classes
from jobs.live import kafka_tables, sql
from jobs.live.operators import (
    ORDER,
    TELL,
    WORK,
    Make,
    OrderOperator,
    TellOperator,
    WorkOperator,
    output_tag,
    uid,
)
from jobs.live.stage import Stage
from jobs.store.place import StorePlace
from schemas.ops import PROGRESS, PROGRESS_GAPS
from schemas.table import Kind, Store, Table, Type, quoted

CATALOG = "store"
EXECUTION_MODE = "python.execution-mode"
RECOVERY_PATH = "execution.state-recovery.path"
SQL_TYPES = {
    Type.BIGINT: DataTypes.BIGINT,
    Type.INT: DataTypes.INT,
    Type.DOUBLE: DataTypes.DOUBLE,
    Type.BOOLEAN: DataTypes.BOOLEAN,
}

# Flink's types of values, and Java's names of them; of all others STRING.
_KINDS: dict[Type, tuple[Callable[[], TypeInformation], str]] = {
    Type.BIGINT: (Types.LONG, java_classes.BIGINT),
    Type.INT: (Types.INT, java_classes.INT),
    Type.DOUBLE: (Types.DOUBLE, java_classes.DOUBLE),
    Type.BOOLEAN: (Types.BOOLEAN, java_classes.BOOLEAN),
}
_TEXT = (Types.STRING, java_classes.STRING)


class Job(NamedTuple):
    """A stage to run. `make` builds it, in the client and in each worker, so it must be picklable.

    `point` is the savepoint or checkpoint to go on from; empty: from nothing.
    """

    name: str
    make: Make
    point: str = ""


class Place(NamedTuple):
    """Where jobs read and write, and how long a request to Fluss waits there for rows.

    The password of its login is not asked for: Java has it from its own file.
    """

    store: StorePlace
    fetch_wait_ms: int

    @property
    def kind(self) -> Store:
        """Which store it is."""
        return Store(self.store.kind)


def submit(jobs: Sequence[Job], place: Place, parallelism: int, run_id: str) -> list[str]:
    """Submit the jobs, named `<run id>.<name>`; Flink's ids of them, in the same order."""
    return [_submit(job, place, parallelism, f"{run_id}.{job.name}") for job in jobs]


def _submit(job: Job, place: Place, parallelism: int, name: str) -> str:
    env = StreamExecutionEnvironment.get_execution_environment()
    env.set_parallelism(1)
    if job.point:
        settings = Configuration()
        settings.set_string(RECOVERY_PATH, job.point)
        env.configure(settings)
    tables = StreamTableEnvironment.create(env)
    stage = job.make()
    if place.kind is Store.KAFKA:
        for table in _tables_of(stage):
            tables.execute_sql(kafka_tables.statement(table, place.store, job.name))
    else:
        tables.execute_sql(sql.catalog(CATALOG, place.store))
        tables.execute_sql(f"USE CATALOG {CATALOG}")
        tables.execute_sql(f"USE {quoted(place.store.database)}")
    define(env, tables, job.make, parallelism, place)
    return str(env.execute_async(name).get_job_id())


def _tables_of(stage: Stage) -> list[Table]:
    """All tables that the stage reads or writes."""
    found = [*(given.table for given in stage.inputs), *stage.outputs, PROGRESS, PROGRESS_GAPS]
    return list({table.name: table for table in found}.values())


def define(
    env: StreamExecutionEnvironment,
    tables: StreamTableEnvironment,
    make: Make,
    parallelism: int,
    place: Place,
) -> None:
    """Add the stage's dataflow to the environment."""
    stage = make()
    execution = tables.get_config().get(EXECUTION_MODE, "process")
    query = sql.source_query(stage, place.kind, place.fetch_wait_ms)
    rows = tables.to_changelog_stream(tables.sql_query(query))
    message = Types.ROW([Types.STRING(), Types.STRING()])
    ordered = _gathered(rows).process(OrderOperator(make), Types.STRING())
    ordered.name(ORDER).uid(uid(ORDER, execution)).set_parallelism(1)
    messages = _rows(ordered._j_data_stream, message, 2 * java_classes.STRING)
    worked = _gathered(messages, parallelism).process(WorkOperator(make), Types.STRING())
    worked.name(WORK).uid(uid(WORK, execution)).set_parallelism(parallelism)
    told = _gathered(worked).process(TellOperator(make), Types.STRING())
    told.name(TELL).uid(uid(TELL, execution)).set_parallelism(1)
    inserts = tables.create_statement_set()
    for table in stage.outputs:
        _write(tables, inserts, _side_output(worked, table), table, place.kind)
    _write(tables, inserts, told._j_data_stream, PROGRESS, place.kind)
    gaps = _side_output(ordered, PROGRESS_GAPS)
    _write(tables, inserts, gaps, PROGRESS_GAPS, place.kind)
    inserts.attach_as_datastream()


def _gathered(values: DataStream, parallelism: int | None = None) -> KeyedStream:
    """Lists of texts: see `tradeflow.Gather` in jobs/java_classes.py.

    With a parallelism the values are keys and messages, and go to the task of their key; else all
    are behind the key 0. What gathers is in a thread with the operator after it: what comes while
    that one works is gathered. PyFlink's own functions would add a Python operator for the key; two
    in one thread can't be: see _check_thread of jobs/live/operators.py.
    """
    jvm = get_gateway().jvm
    streams = jvm.org.apache.flink.streaming.api.datastream
    by_key = parallelism is not None
    texts = Types.BASIC_ARRAY(Types.STRING())
    key = Types.STRING() if by_key else Types.INT()
    selector, key_type = jvm.KeyByKeySelector(), Types.ROW([key]).get_java_type_info()
    java = values._j_data_stream
    if by_key:  # not as a stream with keys: those are of operators that have states
        keyed = java.keyBy(selector, key_type)
        java = streams.DataStream(java.getExecutionEnvironment(), keyed.getTransformation())
    kind = Types.ROW([key, texts]).get_java_type_info()
    made = java.transform("gather", kind, jvm.tradeflow.Gather(by_key))
    made = made.setParallelism(parallelism or 1).startNewChain()
    keyed = streams.DataStreamUtils.reinterpretAsKeyedStream(made, selector, key_type)
    return KeyedStream(keyed, texts, DataStream(made))


def _side_output(stream: DataStream, table: Table) -> JavaObject:
    """The texts that an operator tagged. PyFlink's own function adds a Python operator to it."""
    return stream._j_data_stream.getSideOutput(output_tag(table).get_java_output_tag())


def _rows(texts: JavaObject, kind: TypeInformation, kinds: str) -> DataStream:
    """The rows of a stream of texts, in the same thread."""
    read = get_gateway().jvm.tradeflow.Rows(kinds)
    rows = texts.flatMap(read, kind.get_java_type_info())
    return DataStream(rows.setParallelism(texts.getParallelism()))


def _row_type(table: Table) -> TypeInformation:
    """Flink's type of the table's new rows. New each time: it can't be pickled once it was used."""
    kinds = [_KINDS.get(column.type, _TEXT)[0]() for column in table.stored]
    return Types.ROW_NAMED([column.name for column in table.stored], kinds)


def _row_kinds(table: Table) -> str:
    """The same for `tradeflow.Rows` of jobs/java_classes.py."""
    return "".join(_KINDS.get(column.type, _TEXT)[1] for column in table.stored)


def _write(
    tables: StreamTableEnvironment,
    inserts: StatementSet,
    texts: JavaObject,
    table: Table,
    store: Store,
) -> None:
    """Add the rows of texts to the inserts, as upserts: others would need a state to become so.

    A history in Kafka is appended to, and has no key.
    """
    appended = store is Store.KAFKA and table.kind is Kind.HISTORY
    schema = Schema.new_builder()
    for column in table.stored:
        kind = SQL_TYPES.get(column.type, DataTypes.STRING)()
        schema = schema.column(column.name, kind.not_null() if column.name in table.key else kind)
    if not appended:
        schema = schema.primary_key(*table.key)
    modes = get_gateway().jvm.org.apache.flink.table.connector.ChangelogMode
    mode = modes.insertOnly() if appended else modes.all()
    rows = _rows(texts, _row_type(table), _row_kinds(table))
    changes = tables._j_tenv.fromChangelogStream(
        rows._j_data_stream, schema.build()._j_schema, mode
    )
    tables.create_temporary_view(sql.view_name(table), FlinkTable(changes, tables))
    inserts.add_insert_sql(sql.insert(table, store))
