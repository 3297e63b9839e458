"""The contracts of all tables: keys, DDL of every store, Arrow schemas, the rendered page."""

import re
from dataclasses import replace
from textwrap import dedent

import pyarrow as pa
import pytest

from schemas import signals, trading
from schemas.table import (
    MAPS,
    Column,
    Kind,
    Store,
    Table,
    Type,
    arrow_schema,
    file_columns,
    flink_ddl,
)
from schemas.tables import OLD_NAMES, TABLES
from scripts.render_tables import PAGE, render
from udfs.errors import ConfigError, InvariantError

ALL = list(TABLES.values())
REQUIRED = {
    Store.FLUSS: {},
    Store.KAFKA: {"properties.bootstrap.servers": "localhost:9092"},
    Store.FILES: {"path": "/tmp/files"},
}

# Key and the columns that docs/semantics.md names for each table.
HISTORY = """
price_1m_history [symbol ts] open high low close volume feed late
indicator_history [symbol timeframe ts] final features calc_ts indicator_version
strategy_signal_history [signal_id] strategy_id symbol timeframe signal_ts action close size_hint \
confidence reason strategy_version params_hash run_id
accepted_trade_signal_history [account_id signal_id] strategy_id symbol action qty ts reason \
order_id seq open_symbols reserved_symbols run_id
rejected_trade_signal_history [account_id signal_id] strategy_id symbol action qty ts reason \
order_id seq open_symbols reserved_symbols run_id code detail
order_status_history [account_id order_id status] ts detail
exec_report_history [account_id order_id fill_id ts] strategy_id symbol side fill_qty fill_price \
fee fee_currency venue run_id
duplicate_fill_history [account_id order_id fill_id ts] strategy_id symbol run_id
position_change_history [account_id strategy_id symbol seq] order_id fill_id side fill_qty \
net_qty_before net_qty_after ts late
trade_match_history [match_id] account_id strategy_id symbol buy_order_id sell_order_id \
matched_qty buy_price sell_price realized_pnl fees net_pnl other_fees open_ts match_ts run_id \
run_tag
paper_trade_match_history [match_id] account_id strategy_id symbol buy_order_id sell_order_id \
matched_qty buy_price sell_price realized_pnl fees net_pnl other_fees open_ts match_ts run_id \
run_tag
risk_alerts_history [alert_id] account_id code state message value threshold ts
progress [stage instance ts] rows
progress_gaps [stage instance ts missing] waited_ms
price_rejects [row_id] symbol ts open high low close volume code detail run_id
rejects [source_table row_id] code detail row_json ts run_id
run_history [run_id config_hash] config_json code_version started_ts
equity_daily [account_id strategy_id currency day run_id] realized fees unrealized equity
unrealized_snapshot [account_id strategy_id symbol run_id] side net_qty avg_price last_close \
unrealized ts
"""
LATEST = """
indicator_latest [symbol timeframe] ts final features calc_ts indicator_version
strategy_signal_latest [strategy_id symbol] timeframe action size_hint confidence signal_ts \
last_updated
open_positions_lots [account_id strategy_id symbol lot_id] side qty_open qty_rem avg_price \
open_ts updated_ts run_id
open_positions_rollup [account_id strategy_id symbol] side net_qty avg_price open_cost open_fees \
other_fees updated_ts run_id
realized_pnl_latest [account_id strategy_id symbol] realized_pnl fees net_pnl other_fees \
updated_ts run_id
unrealized_pnl_latest [account_id strategy_id symbol] unrealized_pnl current_price avg_price \
net_qty ts
strategy_perf_latest [account_id strategy_id currency]
strategy_weights_latest [account_id strategy_id]
"""


def contracts() -> list[tuple[Kind, str, tuple[str, ...], set[str]]]:
    rows = []
    for kind, text in ((Kind.HISTORY, HISTORY), (Kind.LATEST, LATEST)):
        for line in text.strip().splitlines():
            name, key, columns = re.fullmatch(r"(\w+) \[(.*?)\](.*)", line).groups()  # type: ignore[union-attr]
            rows.append((kind, name, tuple(key.split()), set(columns.split())))
    return rows


@pytest.mark.parametrize(("kind", "name", "key", "columns"), contracts())
def test_table_has_its_key_and_columns(
    kind: Kind, name: str, key: tuple[str, ...], columns: set[str]
) -> None:
    table = TABLES[name]
    assert (table.kind, table.key) == (kind, key)
    assert columns <= set(table.names)


def test_no_table_beyond_the_list() -> None:
    assert set(TABLES) == {name for _, name, _, _ in contracts()}


@pytest.mark.parametrize("table", ALL, ids=lambda table: table.name)
def test_key_comes_first_in_stores_and_holds_no_map_and_no_null(table: Table) -> None:
    first = table.stored[: len(table.key)]
    assert tuple(column.name for column in first) == table.key
    assert not any(column.nullable or column.type in MAPS for column in first)
    assert sorted(table.names) == sorted(column.name for column in table.stored)


@pytest.mark.parametrize("table", ALL, ids=lambda table: table.name)
def test_every_column_is_documented_in_one_line(table: Table) -> None:
    for column in table.columns:
        assert column.doc.endswith(".") and "\n" not in column.doc and "|" not in column.doc


@pytest.mark.parametrize("table", ALL, ids=lambda table: table.name)
def test_times_are_bigint(table: Table) -> None:
    for column in table.columns:
        is_time = column.name == "ts" or column.name.endswith(("_ts", "_ms"))
        if is_time and table.name != "price_rejects":
            assert column.type is Type.BIGINT, column.name


FIELD = r"  `\w+` [A-Z]+(?:\(38, 18\)|<STRING, (?:DOUBLE|DECIMAL\(38, 18\))>)?(?: NOT NULL)?"
KEY = r"  PRIMARY KEY \(`\w+`(?:, `\w+`)*\) NOT ENFORCED"
OPTION = r"  '[\w.\-]+' = '[^']*'"
STATEMENT = re.compile(
    rf"CREATE TABLE IF NOT EXISTS `\w+` \(\n{FIELD}(?:,\n{FIELD})*(?:,\n{KEY})?\n\) "
    rf"WITH \(\n{OPTION}(?:,\n{OPTION})*\n\)"
)


@pytest.mark.parametrize("store", list(Store))
@pytest.mark.parametrize("table", ALL, ids=lambda table: table.name)
def test_ddl_has_the_form_of_a_statement(table: Table, store: Store) -> None:
    assert STATEMENT.fullmatch(flink_ddl(table, store, REQUIRED[store]))


@pytest.mark.parametrize("table", ALL, ids=lambda table: table.name)
def test_only_history_is_first_row_and_only_its_writers_are_transactional(table: Table) -> None:
    history = table.kind is Kind.HISTORY
    fluss = flink_ddl(table, "fluss")
    kafka = flink_ddl(table, "kafka", REQUIRED[Store.KAFKA])
    assert ("'table.merge-engine' = 'first_row'" in fluss) == history
    assert ("'sink.delivery-guarantee' = 'exactly-once'" in kafka) == history
    assert ("'connector' = 'upsert-kafka'" in kafka) != history
    assert ("PRIMARY KEY" in kafka) != history
    assert set(table.bucket_key) <= set(table.key)


GOLDENS = {
    ("progress", "fluss"): """\
        CREATE TABLE IF NOT EXISTS `progress` (
          `stage` STRING NOT NULL,
          `instance` STRING NOT NULL,
          `ts` BIGINT NOT NULL,
          `rows` BIGINT NOT NULL,
          PRIMARY KEY (`stage`, `instance`, `ts`) NOT ENFORCED
        ) WITH (
          'bucket.key' = 'stage,instance',
          'bucket.num' = '1',
          'table.merge-engine' = 'first_row',
          'table.log.ttl' = '36500 d'
        )""",
    ("progress", "kafka"): """\
        CREATE TABLE IF NOT EXISTS `progress` (
          `stage` STRING NOT NULL,
          `instance` STRING NOT NULL,
          `ts` BIGINT NOT NULL,
          `rows` BIGINT NOT NULL
        ) WITH (
          'connector' = 'kafka',
          'topic' = 'progress',
          'key.format' = 'json',
          'value.format' = 'json',
          'value.fields-include' = 'ALL',
          'value.json.encode.decimal-as-plain-number' = 'true',
          'properties.isolation.level' = 'read_committed',
          'key.fields' = 'stage;instance',
          'scan.startup.mode' = 'earliest-offset',
          'sink.delivery-guarantee' = 'exactly-once',
          'properties.transaction.timeout.ms' = '900000',
          'properties.bootstrap.servers' = 'localhost:9092'
        )""",
    ("progress", "files"): """\
        CREATE TABLE IF NOT EXISTS `progress` (
          `stage` STRING NOT NULL,
          `instance` STRING NOT NULL,
          `ts` BIGINT NOT NULL,
          `rows` BIGINT NOT NULL
        ) WITH (
          'connector' = 'filesystem',
          'format' = 'parquet',
          'path' = '/tmp/files'
        )""",
    ("realized_pnl_latest", "fluss"): """\
        CREATE TABLE IF NOT EXISTS `realized_pnl_latest` (
          `account_id` STRING NOT NULL,
          `strategy_id` STRING NOT NULL,
          `symbol` STRING NOT NULL,
          `realized_pnl` DECIMAL(38, 18),
          `fees` DECIMAL(38, 18),
          `net_pnl` DECIMAL(38, 18),
          `other_fees` MAP<STRING, DECIMAL(38, 18)>,
          `updated_ts` BIGINT,
          `run_id` STRING,
          PRIMARY KEY (`account_id`, `strategy_id`, `symbol`) NOT ENFORCED
        ) WITH (
          'bucket.key' = 'account_id',
          'bucket.num' = '1',
          'table.log.ttl' = '7 d'
        )""",
    ("realized_pnl_latest", "kafka"): """\
        CREATE TABLE IF NOT EXISTS `realized_pnl_latest` (
          `account_id` STRING NOT NULL,
          `strategy_id` STRING NOT NULL,
          `symbol` STRING NOT NULL,
          `realized_pnl` DECIMAL(38, 18),
          `fees` DECIMAL(38, 18),
          `net_pnl` DECIMAL(38, 18),
          `other_fees` MAP<STRING, DECIMAL(38, 18)>,
          `updated_ts` BIGINT,
          `run_id` STRING,
          PRIMARY KEY (`account_id`, `strategy_id`, `symbol`) NOT ENFORCED
        ) WITH (
          'connector' = 'upsert-kafka',
          'topic' = 'realized_pnl_latest',
          'key.format' = 'json',
          'value.format' = 'json',
          'value.fields-include' = 'ALL',
          'value.json.encode.decimal-as-plain-number' = 'true',
          'properties.isolation.level' = 'read_committed',
          'properties.bootstrap.servers' = 'localhost:9092'
        )""",
    ("realized_pnl_latest", "files"): """\
        CREATE TABLE IF NOT EXISTS `realized_pnl_latest` (
          `account_id` STRING NOT NULL,
          `strategy_id` STRING NOT NULL,
          `symbol` STRING NOT NULL,
          `realized_pnl` DECIMAL(38, 18),
          `fees` DECIMAL(38, 18),
          `net_pnl` DECIMAL(38, 18),
          `other_fees` STRING,
          `updated_ts` BIGINT,
          `run_id` STRING
        ) WITH (
          'connector' = 'filesystem',
          'format' = 'parquet',
          'path' = '/tmp/files'
        )""",
}


@pytest.mark.parametrize(("name", "store"), GOLDENS)
def test_ddl_golden(name: str, store: str) -> None:
    ddl = flink_ddl(TABLES[name], store, REQUIRED[Store(store)])
    assert ddl == dedent(GOLDENS[name, store])


def test_options_override_and_are_quoted() -> None:
    ddl = flink_ddl(TABLES["progress"], "fluss", {"bucket.num": "4", "note": "it's"})
    assert "'bucket.num' = '4'" in ddl and "'note' = 'it''s'" in ddl


@pytest.mark.parametrize(
    ("store", "message"),
    [
        ("kafka", "table progress: the option 'properties.bootstrap.servers' is missing"),
        ("files", "table progress: the option 'path' is missing"),
        ("flus", "store 'flus': expected one of fluss, kafka, files"),
    ],
)
def test_missing_option_or_unknown_store_is_refused(store: str, message: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(message)):
        flink_ddl(TABLES["progress"], store)


FILE_ORDERS = {
    "trade_match_history": "match_id account_id strategy_id symbol buy_order_id sell_order_id "
    "matched_qty buy_price sell_price realized_pnl fees net_pnl other_fees open_ts match_ts run_id "
    "run_tag",
    "exec_report_history": "account_id strategy_id order_id fill_id symbol side fill_qty "
    "fill_price ts fee fee_currency venue run_id",
    "accepted_trade_signal_history": "account_id signal_id strategy_id symbol action qty ts reason "
    "order_id seq open_symbols reserved_symbols run_id",
    "rejected_trade_signal_history": "account_id signal_id strategy_id symbol action qty ts reason "
    "order_id seq open_symbols reserved_symbols run_id code detail",
    "price_rejects": "symbol ts open high low close volume code detail run_id",
    "equity_daily": "account_id strategy_id currency day realized fees unrealized equity run_id",
    "indicator_history": "symbol timeframe ts final ema_20 15m:ema_50",
}


@pytest.mark.parametrize("name", FILE_ORDERS)
def test_column_order_of_files(name: str) -> None:
    schema = arrow_schema(TABLES[name], features=("ema_20", "15m:ema_50"))
    assert schema.names == FILE_ORDERS[name].split()


def test_arrow_types_and_nulls() -> None:
    matches = arrow_schema(trading.TRADE_MATCH_HISTORY)
    assert matches.field("realized_pnl") == pa.field(
        "realized_pnl", pa.decimal128(38, 18), nullable=False
    )
    assert matches.field("other_fees").type == pa.string()
    assert matches.field("match_ts").type == pa.int64()
    accepted = arrow_schema(signals.ACCEPTED_TRADE_SIGNAL_HISTORY)
    rejected = arrow_schema(signals.REJECTED_TRADE_SIGNAL_HISTORY)
    assert accepted.field("open_symbols") == pa.field("open_symbols", pa.int32(), nullable=True)
    assert not accepted.field("qty").nullable
    assert rejected.field("qty").nullable


def test_features_are_a_nullable_column_each_or_json() -> None:
    table = TABLES["indicator_history"]
    assert arrow_schema(table).field("features").type == pa.string()
    assert arrow_schema(table, ("rsi_14",)).field("rsi_14") == pa.field(
        "rsi_14", pa.float64(), nullable=True
    )
    assert "features" not in arrow_schema(table, ()).names
    ddl = flink_ddl(table, "files", REQUIRED[Store.FILES], features=("15m:ema_50",))
    assert "  `15m:ema_50` DOUBLE\n" in ddl


@pytest.mark.parametrize("table", ALL, ids=lambda table: table.name)
def test_empty_file_of_every_table_can_be_written(table: Table) -> None:
    empty = arrow_schema(table).empty_table()
    assert empty.num_rows == 0
    assert empty.column_names == [column.name for column in file_columns(table)]


GOOD = Table(
    name="good",
    kind=Kind.HISTORY,
    columns=(Column("id", Type.STRING, "Id."), Column("ts", Type.BIGINT, "Time.", nullable=True)),
    key=("id",),
    event_time="ts",
    order=("ts", "id DESC"),
    doc="Good.",
    bucket_key=("id",),
    written_by="a test",
    read_by="a test",
)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"key": ("ts",), "bucket_key": ("ts",)}, "null or a map in the key: ['ts']"),
        ({"key": ("no",), "bucket_key": ("no",)}, "no such column: ['no']"),
        ({"event_time": "no"}, "no such column: ['no']"),
        ({"order": ("no DESC",)}, "no such column: ['no']"),
        ({"bucket_key": ("ts",)}, "the bucket key must be part of the key"),
        ({"bucket_key": ()}, "it needs a key and a bucket key"),
        ({"columns": GOOD.columns * 2}, "a column name occurs twice"),
        (
            {"columns": (Column("id", Type.MAP_DOUBLE, "Map."), GOOD.columns[1])},
            "null or a map in the key: ['id']",
        ),
    ],
)
def test_a_contradictory_declaration_is_refused(change: dict[str, object], message: str) -> None:
    with pytest.raises(InvariantError, match=re.escape(f"table good: {message}")):
        replace(GOOD, **change)  # type: ignore[arg-type]


def test_old_names_lead_to_columns() -> None:
    known = {name for table in ALL for name in table.names}
    assert [old.now for old in OLD_NAMES if old.now not in known] == []
    assert not {old.old for old in OLD_NAMES} & known
    assert len({old.old for old in OLD_NAMES}) == len(OLD_NAMES)


def test_page_is_rendered_from_the_contracts() -> None:
    assert PAGE.read_text(encoding="utf-8") == render(), "run: python -m scripts.render_tables"
