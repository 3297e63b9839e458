"""What a live stage says in SQL: one query of all that it reads, one INSERT for each table.

The query gives rows of one shape, whatever the tables: `kind` is the number of the input, or
PROGRESS; `ts` the tick; `id` the row's key as text; `body` its values as a JSON array. Doubles,
decimals and maps are text inside it, as JSON in Flink has no -0.0 and writes 100.0 as 100.
"""

import json
from collections.abc import Callable, Iterable, Mapping

from jobs.live.stage import Input, Stage, Upstream, Value, Values
from jobs.store.place import StorePlace
from schemas.ops import PROGRESS as PROGRESS_TABLE
from schemas.ops import PROGRESS_GAPS
from schemas.table import MAPS, Column, Kind, Store, Table, Type, literal, quoted

PROGRESS = -1  # the kind of a progress row; its body is [stage, instance, rows]
BATCH_TIMEOUT = "1ms"  # how long a writer gathers rows that other stages wait for
UNHURRIED_BATCH_TIMEOUT = "100ms"  # the same for tables that people read
_UNIT_SEPARATOR = r"U&'\001F'"
_AS_TEXT = frozenset({Type.DOUBLE, Type.DECIMAL, *MAPS})
# No literal of SQL is an empty map, and STR_TO_MAP of an empty text has one name, the empty one.
_EMPTY_MAP = "MAP_FROM_ARRAYS(ARRAY_REMOVE(ARRAY[''], ''), ARRAY_REMOVE(ARRAY[''], ''))"


def catalog(name: str, place: StorePlace) -> str:
    """The statement that makes the catalog of a Fluss store.

    What stands in it can be read in plans, logs and checkpoints, so it names no password: that is
    in the file of `jobs/store/jaas.py`, which each JVM is told of.
    """
    options = {"type": "fluss", "bootstrap.servers": place.bootstrap}
    if place.login is not None:
        options["client.security.protocol"] = place.login.protocol.upper()
        options["client.security.sasl.mechanism"] = place.login.mechanism
    given = ", ".join(f"{literal(key)} = {literal(value)}" for key, value in options.items())
    return f"CREATE CATALOG {name} WITH ({given})"


def source_query(stage: Stage, store: Store, fetch_wait_ms: int) -> str:
    """The query of the stage's inputs and of its upstreams' progress.

    Histories are read from their start, latest tables as they are and then as they change;
    `fetch_wait_ms` is how long a request to Fluss waits where there is nothing to read.
    """
    parts = [
        _input_query(number, given, _hint(given.table, store, fetch_wait_ms))
        for number, given in enumerate(stage.inputs)
    ]
    if stage.upstreams:
        hint = _hint(PROGRESS_TABLE, store, fetch_wait_ms)
        parts.append(_progress_query(stage.upstreams, hint))
    return "\nUNION ALL\n".join(parts)


def _hint(table: Table, store: Store, fetch_wait_ms: int) -> str:
    if store is Store.KAFKA:  # its tables are made for the job: jobs/live/kafka_tables.py
        return ""
    mode = "earliest" if table.kind is Kind.HISTORY else "full"
    return (
        f"/*+ OPTIONS('scan.startup.mode'='{mode}', "
        f"'client.scanner.log.fetch.wait-max-time'='{fetch_wait_ms}ms') */"
    )


def _input_query(number: int, given: Input, hint: str) -> str:
    table = given.table
    by_name = {column.name: column for column in table.columns}
    body = ", ".join(_read(by_name[name]) for name in given.columns)
    key = ", ".join(f"CAST({quoted(name)} AS STRING)" for name in table.key)
    where = f" WHERE {given.where}" if given.where else ""
    return (
        f"SELECT {number} AS kind, {quoted(given.ts)} + {given.lag_ms} AS ts,"
        f" CONCAT_WS({_UNIT_SEPARATOR}, {key}) AS id,"
        f" JSON_ARRAY({body} NULL ON NULL) AS body"
        f" FROM {quoted(table.name)} {hint}{where}"
    )


def _read(column: Column) -> str:
    name = quoted(column.name)
    return f"CAST({name} AS STRING)" if column.type in _AS_TEXT else name


def _progress_query(upstreams: Iterable[Upstream], hint: str) -> str:
    """Progress of these instances alone; their ticks are later by their lags."""
    known = [
        (f"(`stage` = {literal(one.stage)} AND `instance` = {literal(one.instance)})", one.lag_ms)
        for one in upstreams
    ]
    cases = " ".join(f"WHEN {condition} THEN {lag}" for condition, lag in known if lag)
    lag = f" + CASE {cases} ELSE 0 END" if cases else ""
    return (
        f"SELECT {PROGRESS} AS kind, `ts`{lag} AS ts, '' AS id,"
        " JSON_ARRAY(`stage`, `instance`, `rows` NULL ON NULL) AS body"
        f" FROM {quoted(PROGRESS_TABLE.name)} {hint}"
        f" WHERE {' OR '.join(condition for condition, _ in known)}"
    )


def reader(given: Input) -> Callable[[str], Values]:
    """What makes the values of the input's columns of a body."""
    types = {column.name: column.type for column in given.table.columns}
    kinds = [types[name] for name in given.columns]
    converted = [(at, _PARSERS[kind]) for at, kind in enumerate(kinds) if kind in _PARSERS]

    def read(body: str) -> Values:
        values: list[Value] = json.loads(body)
        for at, parse in converted:
            text = values[at]
            if text is not None:
                values[at] = parse(str(text))
        return tuple(values)

    return read


def plain_map(text: str) -> str:
    """A map as Flink shows it, `{a=1.0, b=2.0}`, as `a=1.0,b=2.0`."""
    return text[1:-1].replace(", ", ",")


_PARSERS: Mapping[Type, Callable[[str], Value]] = {
    Type.DOUBLE: float,
    Type.MAP_DOUBLE: plain_map,
    Type.MAP_DECIMAL: plain_map,
}


def view_name(table: Table) -> str:
    """The view of the rows that go to the table."""
    return f"new_{table.name}"


def insert(table: Table, store: Store) -> str:
    """The statement that writes the view's rows to the table."""
    values = ", ".join(_written(column) for column in table.stored)
    hint = "" if store is Store.KAFKA else _write_hint(table)
    return f"INSERT INTO {quoted(table.name)}{hint} SELECT {values} FROM {quoted(view_name(table))}"


def _write_hint(table: Table) -> str:
    unhurried = table.kind is Kind.LATEST or table is PROGRESS_GAPS
    timeout = UNHURRIED_BATCH_TIMEOUT if unhurried else BATCH_TIMEOUT
    return (
        f" /*+ OPTIONS('client.writer.batch-timeout'='{timeout}',"
        " 'sink.distribution-mode'='none') */"
    )


def _written(column: Column) -> str:
    name = quoted(column.name)
    if column.type is Type.DECIMAL:
        return f"CAST({name} AS {column.type.value})"
    if column.type in MAPS:
        kind = column.type.value
        return (
            f"CASE WHEN {name} = '' THEN CAST({_EMPTY_MAP} AS {kind})"
            f" ELSE CAST(STR_TO_MAP({name}, ',', '=') AS {kind}) END"
        )
    return name
