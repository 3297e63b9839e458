"""What a table is: one value that renders the files' schema, the stores' DDL and the page of docs.

Columns stand in the order of the files. Stores want the primary key first, as in `stored`; nothing
else in the project writes DDL.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple

import pyarrow as pa  # type: ignore[import-untyped]

from udfs.errors import ConfigError, InvariantError


class Type(StrEnum):
    """Logical types; the value is the type's Flink SQL text."""

    STRING = "STRING"
    BIGINT = "BIGINT"
    INT = "INT"
    DOUBLE = "DOUBLE"
    BOOLEAN = "BOOLEAN"
    DECIMAL = "DECIMAL(38, 18)"
    MAP_DOUBLE = "MAP<STRING, DOUBLE>"
    MAP_DECIMAL = "MAP<STRING, DECIMAL(38, 18)>"


class Kind(StrEnum):
    """How rows meet: HISTORY keeps the first row of a key, LATEST the last, with real deletes."""

    HISTORY = "history"
    LATEST = "latest"


class Store(StrEnum):
    """Where tables live; the value is what `store.kind` says."""

    FLUSS = "fluss"
    KAFKA = "kafka"
    FILES = "files"


MAPS = frozenset({Type.MAP_DOUBLE, Type.MAP_DECIMAL})

ARROW_TYPES: Mapping[Type, pa.DataType] = {
    Type.STRING: pa.string(),
    Type.BIGINT: pa.int64(),
    Type.INT: pa.int32(),
    Type.DOUBLE: pa.float64(),
    Type.BOOLEAN: pa.bool_(),
    Type.DECIMAL: pa.decimal128(38, 18),
    Type.MAP_DOUBLE: pa.string(),
    Type.MAP_DECIMAL: pa.string(),
}
FLUSS_ARROW_TYPES: Mapping[Type, pa.DataType] = {
    **ARROW_TYPES,
    Type.MAP_DOUBLE: pa.map_(pa.string(), pa.float64()),
    Type.MAP_DECIMAL: pa.map_(pa.string(), pa.decimal128(38, 18)),
}

# Fluss takes the TTL at creation only, its default of 7 days would eat the log, and it refuses -1.
HISTORY_LOG_TTL = "36500 d"
# A latest table's rows never expire; this is its changelog, for readers that keep up.
LATEST_LOG_TTL = "7 d"
# Flink's own default of an hour is above what a Kafka broker allows (transaction.max.timeout.ms).
KAFKA_TRANSACTION_TIMEOUT_MS = "900000"


@dataclass(frozen=True, slots=True)
class Column:
    """One column. `doc` is one line: meaning and unit. `in_files` False: only in stores."""

    name: str
    type: Type
    doc: str
    nullable: bool = False
    in_files: bool = True


@dataclass(frozen=True, slots=True)
class Table:
    """The contract of one table.

    `columns` in the order of the files; `key` the primary key; `event_time` the column that says
    when the row's fact happened (None: it has none that can be trusted); `order` the columns by
    which rows of a file are sorted ("name" or "name DESC"), `order_note` what breaks ties beyond
    them; `bucket_key` the part of the key within which a store keeps rows in order. `stored` are
    the columns as stores hold them: the key first, in its order, then the others in theirs.
    A declaration that contradicts itself raises InvariantError when the module is imported.
    """

    name: str
    kind: Kind
    columns: tuple[Column, ...]
    key: tuple[str, ...]
    event_time: str | None
    order: tuple[str, ...]
    doc: str
    bucket_key: tuple[str, ...]
    written_by: str
    read_by: str
    order_note: str = ""
    stored: tuple[Column, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        problem = table_problem(self)
        if problem is not None:
            raise InvariantError(f"table {self.name}: {problem}")
        by_name = {column.name: column for column in self.columns}
        rest = (column for column in self.columns if column.name not in self.key)
        object.__setattr__(self, "stored", (*(by_name[name] for name in self.key), *rest))

    @property
    def names(self) -> tuple[str, ...]:
        """Names of all columns, in the order of `columns`."""
        return tuple(column.name for column in self.columns)


# Columns that most tables share.
RUN_ID = Column("run_id", Type.STRING, "Run that wrote the row (`run.id`).")
ACCOUNT_ID = Column("account_id", Type.STRING, "Account; `paper:<id>` is the shadow of `<id>`.")
STRATEGY_ID = Column("strategy_id", Type.STRING, "Strategy, or one combination of a grid.")
SYMBOL = Column("symbol", Type.STRING, "Symbol as configured.")


def table_problem(table: Table) -> str | None:
    """Why the declaration contradicts itself, None if it does not."""
    by_name = {column.name: column for column in table.columns}
    if len(by_name) != len(table.columns):
        return "a column name occurs twice"
    if not table.key or not table.bucket_key:
        return "it needs a key and a bucket key"
    used = (*table.key, *(term.removesuffix(" DESC") for term in table.order))
    if table.event_time is not None:
        used = (*used, table.event_time)
    unknown = [name for name in used if name not in by_name]
    if unknown:
        return f"no such column: {unknown}"
    if not set(table.bucket_key) <= set(table.key):
        return "the bucket key must be part of the key (Fluss takes no other)"
    bad = [name for name in table.key if by_name[name].nullable or by_name[name].type in MAPS]
    return f"null or a map in the key: {bad}" if bad else None


def file_columns(table: Table, features: Sequence[str] | None = None) -> tuple[Column, ...]:
    """Columns as files hold them.

    With `features` a MAP_DOUBLE column gives way to one nullable DOUBLE column per feature; maps
    that stay are JSON text.
    """
    columns: list[Column] = []
    for column in table.columns:
        if not column.in_files:
            continue
        if column.type is Type.MAP_DOUBLE and features is not None:
            columns += [Column(name, Type.DOUBLE, "Feature.", nullable=True) for name in features]
        else:
            columns.append(column)
    return tuple(columns)


def arrow_schema(table: Table, features: Sequence[str] | None = None) -> pa.Schema:
    """The Arrow schema of the table's file: maps as JSON text, decimals as decimal128(38, 18)."""
    return pa.schema(
        [
            pa.field(column.name, ARROW_TYPES[column.type], nullable=column.nullable)
            for column in file_columns(table, features)
        ]
    )


def flink_ddl(
    table: Table,
    store: Store | str,
    options: Mapping[str, str] | None = None,
    features: Sequence[str] | None = None,
) -> str:
    """CREATE TABLE IF NOT EXISTS for Flink SQL; `options` add to the WITH clause or override it.

    fluss: to be run inside a Fluss catalog, nothing required ('bucket.num' defaults to 1).
    kafka: requires 'properties.bootstrap.servers'; 'topic' defaults to the table's name. History is
    transactional, so a job that writes it passes its own 'sink.transactional-id-prefix', unique per
    job and table (two jobs with one prefix would fence each other off); Flink refuses the sink
    without one, while readers need none.
    files: requires 'path'; `features` as in `file_columns`.
    Raises ConfigError for an unknown store or a missing option.
    """
    if store not in set(Store):
        raise ConfigError(f"store {store!r}: expected one of {', '.join(Store)}")
    given = dict(options or {})
    if store == Store.FLUSS:
        return _statement(table, table.stored, True, _fluss_options(table) | given)
    if store == Store.KAFKA:
        _require(table, given, "properties.bootstrap.servers")
        # The kafka connector refuses a PRIMARY KEY on an append-only format; upsert-kafka needs it.
        keyed = table.kind is Kind.LATEST
        return _statement(table, table.stored, keyed, _kafka_options(table) | given)
    _require(table, given, "path")
    settings = {"connector": "filesystem", "format": "parquet"} | given
    return _statement(table, file_columns(table, features), False, settings, maps_as_text=True)


def _require(table: Table, options: Mapping[str, str], name: str) -> None:
    if name not in options:
        raise ConfigError(f"table {table.name}: the option '{name}' is missing")


class FlussTable(NamedTuple):
    """What Fluss's own client makes a table of; the same as the statement for Fluss."""

    columns: pa.Schema
    key: tuple[str, ...]
    bucket_key: tuple[str, ...]
    buckets: int
    properties: Mapping[str, str]


def fluss_table(table: Table, retention_days: int | None = None) -> FlussTable:
    """The table as Fluss's client takes it; in a latest table only the key is not null.

    `retention_days` is how long a history keeps rows, None: for good.
    """
    fields = [
        pa.field(column.name, FLUSS_ARROW_TYPES[column.type], _null_in_ddl(table, column))
        for column in table.stored
    ]
    properties = _fluss_properties(table, retention_days)
    return FlussTable(pa.schema(fields), table.key, table.bucket_key, 1, properties)


def _fluss_options(table: Table) -> dict[str, str]:
    placed = {"bucket.key": ",".join(table.bucket_key), "bucket.num": "1"}
    return placed | _fluss_properties(table)


def _fluss_properties(table: Table, retention_days: int | None = None) -> dict[str, str]:
    if table.kind is Kind.LATEST:
        return {"table.log.ttl": LATEST_LOG_TTL}
    ttl = HISTORY_LOG_TTL if retention_days is None else f"{retention_days} d"
    return {"table.merge-engine": "first_row", "table.log.ttl": ttl}


def _kafka_options(table: Table) -> dict[str, str]:
    settings = {
        "connector": "upsert-kafka" if table.kind is Kind.LATEST else "kafka",
        "topic": table.name,
        "key.format": "json",
        "value.format": "json",
        "value.fields-include": "ALL",
        # 1E-8 is a number too, but not every reader of the topic parses it without loss.
        "value.json.encode.decimal-as-plain-number": "true",
        "properties.isolation.level": "read_committed",
    }
    if table.kind is Kind.LATEST:
        return settings
    return settings | {
        "key.fields": ";".join(table.bucket_key),
        "scan.startup.mode": "earliest-offset",
        "sink.delivery-guarantee": "exactly-once",
        "properties.transaction.timeout.ms": KAFKA_TRANSACTION_TIMEOUT_MS,
    }


def _statement(
    table: Table,
    columns: Sequence[Column],
    keyed: bool,
    options: Mapping[str, str],
    maps_as_text: bool = False,
) -> str:
    """The statement's text, without a semicolon; every name in backticks."""
    lines = []
    for column in columns:
        text = column.type in MAPS and maps_as_text
        sql_type = Type.STRING.value if text else column.type.value
        suffix = "" if _null_in_ddl(table, column) else " NOT NULL"
        lines.append(f"  {quoted(column.name)} {sql_type}{suffix}")
    if keyed:
        lines.append(f"  PRIMARY KEY ({', '.join(map(quoted, table.key))}) NOT ENFORCED")
    settings = [f"  {literal(name)} = {literal(value)}" for name, value in options.items()]
    return (
        f"CREATE TABLE IF NOT EXISTS {quoted(table.name)} (\n"
        + ",\n".join(lines)
        + "\n) WITH (\n"
        + ",\n".join(settings)
        + "\n)"
    )


def _null_in_ddl(table: Table, column: Column) -> bool:
    """A DELETE in a latest table may carry the key alone, so only the key is NOT NULL there."""
    return column.nullable or (table.kind is Kind.LATEST and column.name not in table.key)


def quoted(name: str) -> str:
    """A name in backticks, so that `rows`, `final`, `close` and other SQL keywords can be names."""
    return "`" + name.replace("`", "``") + "`"


def literal(text: str) -> str:
    """An SQL string literal."""
    return "'" + text.replace("'", "''") + "'"


def markdown(table: Table) -> str:
    """The table's section of docs/tables.md: heading, meaning, order, columns."""
    rows = [f"## {table.name}", "", table.doc, "", f"- Kind: {table.kind.value}"]
    rows.append(
        f"- Key: {names_text(table.key)}; ordered in a store within: {names_text(table.bucket_key)}"
    )
    rows.append(f"- Event time: {names_text((table.event_time,)) if table.event_time else 'none'}")
    ties = [table.order_note] if table.order_note else []
    rows.append(f"- Order in files: {', '.join([*map(_order_text, table.order), *ties])}")
    rows.append(f"- Written by {table.written_by}; read by {table.read_by}")
    rows += ["", "| column | type | null | meaning |", "|---|---|---|---|"]
    for column in table.columns:
        null = "yes" if column.nullable else ""
        place = "" if column.in_files else " Not in files."
        rows.append(f"| `{column.name}` | {column.type.value} | {null} | {column.doc}{place} |")
    return "\n".join(rows) + "\n"


def _order_text(term: str) -> str:
    name = term.removesuffix(" DESC")
    return f"`{name}` descending" if term != name else f"`{name}`"


def names_text(names: Sequence[str]) -> str:
    """Names in backticks, separated by commas."""
    return ", ".join(f"`{name}`" for name in names)
