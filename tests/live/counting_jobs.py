"""Jobs that count progress rows into risk_alerts_history: what a test submits in place of stages.

Called as jobs/live/submit.py is. A job that is called `indicators` writes a row of the alert
`indicators-<ts>` for each tick of progress, with how many rows it had seen: state that is lost, or
a row that is counted twice, shows there. A request that asks for the job `broken` fails.
"""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cloudpickle
from pyflink.common import Configuration, Row, Types
from pyflink.datastream import KeyedProcessFunction, StreamExecutionEnvironment
from pyflink.datastream.state import ValueStateDescriptor
from pyflink.table import StreamTableEnvironment

from jobs.stack.state import write_file
from udfs.errors import ConfigError

cloudpickle.register_pickle_by_value(sys.modules[__name__])
SOURCE = (
    "SELECT stage, ts FROM progress /*+ OPTIONS('scan.startup.mode' = 'earliest', "
    "'client.scanner.log.fetch.wait-max-time' = '5ms') */"
)
INSERT = (
    "INSERT INTO risk_alerts_history /*+ OPTIONS('client.writer.batch-timeout' = '1ms') */ "
    "SELECT CONCAT('{name}-', CAST(ts AS STRING)), CAST(NULL AS STRING), '{name}', '', "
    "CAST(n AS STRING), CAST(NULL AS DECIMAL(38, 18)), CAST(NULL AS DECIMAL(38, 18)), ts, '' "
    "FROM counted"
)


class Count(KeyedProcessFunction):  # type: ignore[misc]
    """How many rows its key has had."""

    def open(self, runtime_context: Any) -> None:
        """The count is Flink's."""
        self._count = runtime_context.get_state(ValueStateDescriptor("count", Types.LONG()))

    def process_element(self, value: Row, ctx: Any) -> Iterator[Row]:
        """The row's ts and its number."""
        count = (self._count.value() or 0) + 1
        self._count.update(count)
        yield Row(value[1], count)


def submit(request: dict[str, Any], job: dict[str, Any]) -> str:
    """Submit one job; its id."""
    settings = Configuration()
    if job["point"]:
        settings.set_string("execution.state-recovery.path", job["point"])
    env = StreamExecutionEnvironment.get_execution_environment(settings)
    tables = StreamTableEnvironment.create(env)
    address = request["bootstrap"]
    tables.execute_sql(
        f"CREATE CATALOG c WITH ('type' = 'fluss', 'bootstrap.servers' = '{address}')"
    )
    tables.execute_sql("USE CATALOG c")
    tables.execute_sql(f"USE `{request['database']}`")
    rows = tables.to_changelog_stream(tables.sql_query(SOURCE))
    kind = Types.ROW_NAMED(["ts", "n"], [Types.LONG(), Types.LONG()])
    counted = rows.key_by(lambda row: row[0], Types.STRING()).process(Count(), kind)
    tables.create_temporary_view("counted", counted.uid("count").name("count"))
    inserts = tables.create_statement_set()
    inserts.add_insert_sql(INSERT.format(name=job["name"]))
    inserts.attach_as_datastream()
    return str(env.execute_async(f"{request['run_id']}.{job['name']}").get_job_id())


def main() -> None:
    """Submit the jobs of the request."""
    request = json.loads(Path(sys.argv[sys.argv.index("--request") + 1]).read_text("utf-8"))
    answers = {}
    for job in request["jobs"]:
        if job["strategies"] == ["broken"]:
            raise ConfigError("this job is broken")
        answers[job["name"]] = {"id": submit(request, job)}
        write_file(Path(request["answer"]), json.dumps(answers))


if __name__ == "__main__":
    main()
