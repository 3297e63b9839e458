"""What live jobs say in SQL, for either store."""

import re

import pytest

from jobs.live import kafka_tables, sql
from jobs.live.stage import INSTANCE, Input, Stage, Upstream, Worked
from jobs.store.place import StorePlace
from schemas.market import PRICE_1M_HISTORY
from schemas.ops import PROGRESS, PROGRESS_GAPS
from schemas.table import Kind, Store, Table
from schemas.tables import TABLES
from schemas.trading import OPEN_POSITIONS_ROLLUP

PLACE = StorePlace("kafka", "h:1", "db")
KAFKA = [kafka_tables.statement(table, PLACE, "engine") for table in TABLES.values()]


def stage() -> Stage:
    """Bars, a latest table, and progress of two."""

    def given(table: Table, ts: str) -> Input:
        return Input(table, (ts,), ts, 0, lambda values: None, lambda values: [])

    return Stage(
        name="toy",
        inputs=(given(PRICE_1M_HISTORY, "ts"), given(OPEN_POSITIONS_ROLLUP, "updated_ts")),
        upstreams=(Upstream("feed", INSTANCE), Upstream("gate", INSTANCE, 60_000)),
        outputs=(),
        instances=(INSTANCE,),
        base_ms=60_000,
        patience_ms=None,
        wake=lambda tick: [],
        work=lambda key, state, memory, bundle: Worked(None, []),
    )


def test_both_stores_are_asked_for_the_same() -> None:
    fluss = sql.source_query(stage(), Store.FLUSS, 500)
    kafka = sql.source_query(stage(), Store.KAFKA, 500)
    assert fluss.count("fetch.wait-max-time'='500ms'") == 3
    assert re.sub(r"/\*.*?\*/", "", fluss) == kafka
    for table in (PROGRESS, PROGRESS_GAPS, OPEN_POSITIONS_ROLLUP):
        written = sql.insert(table, Store.FLUSS)
        assert "batch-timeout" in written
        assert re.sub(r" /\*.*?\*/", "", written) == sql.insert(table, Store.KAFKA)


@pytest.mark.parametrize("statement", KAFKA, ids=list(TABLES))
def test_a_job_s_table_in_kafka(statement: str) -> None:
    name = re.match(r"CREATE TABLE IF NOT EXISTS `(\w+)`", statement)
    assert name is not None
    table = TABLES[name[1]]
    prefix = f"'sink.transactional-id-prefix' = 'db.{table.name}/engine/'"
    assert f"'topic' = 'db.{table.name}'" in statement
    assert (prefix in statement) == (table.kind is Kind.HISTORY)
    committed = "'properties.isolation.level' = 'read_committed'" in statement
    assert committed == (table is PRICE_1M_HISTORY)
