"""Tables of a real store: all types there and back, latest tables made again, decisions as rows."""

import random
import threading
import time
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from cli.rebuild import line
from cli.table import text_of, time_text
from feeds.live import rebuild as live_rebuild
from feeds.live import rejects
from feeds.live.books import read_books
from feeds.live.ingest_reports import ingest_reports
from feeds.live.lines import Chunks
from feeds.live.rebuild import RECIPES, compare, rebuild
from feeds.live.tables import as_contract, read_frame, read_table
from jobs import columns, positions
from jobs.run_folder import write_table
from jobs.store import reading
from jobs.store.client import Client, Writing, open_client
from jobs.store.making import make_tables
from schemas.config import Config, parse_config
from schemas.table import Column, Kind, Table, Type, arrow_schema, fluss_table
from schemas.tables import TABLES
from tests.local_stores import KINDS, Running, local_store
from udfs import engine
from udfs.errors import ConfigError, Refusal
from udfs.money import to_decimal
from udfs.rows import SIDE_TEXT, Fill, fill_order

DAY_MS = 86_400_000
SYMBOLS = ("AAAUSD", "BBBEUR")
CONFIG: dict[str, Any] = {
    "run": {"id": "tables"},
    "symbols": {name: {} for name in SYMBOLS},
    "strategies": [{"id": "s", "kind": "ema_cross", "params": {"fast": 2, "slow": 3}}],
    "accounts": [
        {"id": "paper-1", "strategies": ["s"], "sizing": {"fixed_qty": "1"}},
        {"id": "broker-1", "strategies": ["s"], "sizing": {"fixed_qty": "1"}, "broker": "external"},
    ],
}
HARD = {
    Type.STRING: ["", "a", "é\n\x1f'`\"", "x" * 40_000, "日本"],
    Type.BIGINT: [0, -(2**63), 2**63 - 1, 1_700_000_000_123],
    Type.INT: [0, -(2**31), 2**31 - 1],
    Type.DOUBLE: [0.1, -0.0, 5e-324, 1.7976931348623157e308, 1 / 3],
    Type.BOOLEAN: [True, False],
    Type.DECIMAL: [
        Decimal(text) for text in ("0", "-0.000000000000000001", "9" * 20 + "." + "9" * 18, "1.5")
    ],
    Type.MAP_DOUBLE: [{}, {"sma_20": 0.1, "15m:rsi_14": -1e300}],
    Type.MAP_DECIMAL: [{}, {"USD": Decimal("0.1"), "EUR": Decimal("-3")}],
}


@pytest.fixture(scope="module", params=KINDS)
def store(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Running]:
    with local_store(request.param, tmp_path_factory.mktemp("tables")) as started:
        yield started


@pytest.fixture
def client(store: Running, request: pytest.FixtureRequest) -> Iterator[Client]:
    with open_client(store.store.place(request.node.originalname)) as client:
        make_tables(client)
        yield client


def config() -> Config:
    return parse_config(CONFIG)


def value(column: Column, is_key: bool, number: int, pick: random.Random) -> Any:
    if is_key:
        kinds = {Type.BIGINT: number, Type.STRING: f"k{number}"}
        return kinds.get(column.type, number % 2 == 0)
    if column.nullable and pick.random() < 0.3:
        return None
    return pick.choice(HARD[column.type])


def rows_of(table: Table, count: int, seed: int) -> list[tuple[Any, ...]]:
    pick = random.Random(seed)
    return [
        tuple(value(one, one.name in table.key, n, pick) for one in table.stored)
        for n in range(count)
    ]


def plain(rows: list[dict[str, Any]]) -> list[tuple[Any, ...]]:
    """Rows as tuples, maps as dicts."""
    return [
        tuple(dict(one) if isinstance(one, list) else one for one in row.values()) for row in rows
    ]


def test_all_types_come_back(client: Client, tmp_path: Path) -> None:
    for number, table in enumerate(TABLES.values()):
        rows = rows_of(table, 12, number)
        client.write(Writing(table, rows))
        found = reading.read(client, table)
        assert found.schema.types == fluss_table(table).columns.types
        assert sorted(plain(found.to_pylist()), key=repr) == sorted(rows, key=repr), table.name
        if table.kind is Kind.LATEST:
            keys = [row[: len(table.key)] for row in rows[:5]]
            client.write(Writing(table, keys, delete=True))
            assert reading.read(client, table).num_rows == 7
        shown = read_table(table.name, store=client.place.address, database=client.place.database)
        assert shown.num_rows == len(rows) - 5 * (table.kind is Kind.LATEST)
        path = tmp_path / f"{table.name}.parquet"
        write_table(path, as_contract(table, shown))
        features = ["15m:rsi_14", "sma_20"] if "features" in table.names else None
        wanted = arrow_schema(table, features)
        written = pq.read_table(path)
        assert (written.schema.names, written.schema.types) == (wanted.names, wanted.types)
        assert read_table(table.name, run=tmp_path).equals(shown)
        for name, held in zip(shown.column_names, shown.to_pydict().values(), strict=True):
            assert all("\n" not in text_of(one) for one in held), name


def test_the_last_rows_that_match(client: Client) -> None:
    table = TABLES["progress"]
    rows = [(f"s{n % 3}", "main", n * 1000, n) for n in range(20_000)]
    client.write(Writing(table, rows))
    client.write(Writing(table, rows[-3:]))  # takes offsets and gives no rows
    where = {"store": client.place.address, "database": client.place.database}
    last = read_table("progress", limit=3, **where)
    assert last["rows"].to_pylist() == [19_997, 19_998, 19_999]
    early = read_table("progress", where=["stage=s1", "rows=1"], limit=5, **where)
    assert early.to_pylist() == [{"stage": "s1", "instance": "main", "ts": 1000, "rows": 1}]
    assert read_frame("progress", **where)["rows"].sum() == sum(range(20_000))
    news = reading.follow(client, table, reading.end(client, table))
    assert next(news) == []
    client.write(Writing(table, [("new", "main", 1, 2)]))
    seen: list[Any] = []
    while not seen:
        seen = next(news)
    assert [change.row["stage"] for change in seen] == ["new"]
    with pytest.raises(ConfigError, match=r"has no column 'stag' \(did you mean 'stage'\?\)"):
        read_table("progress", where=["stag=x"], **where)
    with pytest.raises(ConfigError, match="no database 'nowhere'"):
        read_table("progress", store=client.place.address, database="nowhere")


def test_a_table_that_grows_is_read_to_where_its_end_was(client: Client) -> None:
    table = TABLES["progress"]
    rows = [("s", "main", n, n) for n in range(2_000)]
    client.write(Writing(table, rows))
    stop = threading.Event()

    def grow() -> None:
        with open_client(client.place) as other:
            number = len(rows)
            while not stop.wait(0.05):
                other.write(Writing(table, [("s", "main", number, number)]))
                other.write(Writing(table, rows[-9:]))  # takes offsets and gives no rows
                number += 1

    growing = threading.Thread(target=grow)
    growing.start()
    try:
        for _ in range(20):
            started = time.monotonic()
            found = [row["ts"] for row in reading.log(client, table)]
            assert found == list(range(len(found)))
            assert time.monotonic() - started < 5
    finally:
        stop.set()
        growing.join()


def test_times_and_numbers_for_people() -> None:
    assert time_text(1_700_000_000_123) == "2023-11-14 22:13:20.123"
    assert time_text(-1) == "1969-12-31 23:59:59.999"
    assert time_text(2**63 - 1) == str(2**63 - 1)
    assert text_of(Decimal("0E-18")) == "0" and text_of(Decimal("1.500")) == "1.5"
    assert text_of(Decimal("100")) == "100" and text_of("a\x1b[31m") == "a\\x1b[31m"


def fills_of(account: str, seed: int, count: int) -> list[Fill]:
    pick = random.Random(seed)
    return [
        Fill(
            account, pick.choice(["s", "t"]), f"o{n}", "1", pick.choice(SYMBOLS),
            pick.choice([1, -1]), pick.randint(1, 9) * 10**17, pick.randint(90, 110) * 10**18,
            1_700_000_000_000 + n * 60_000, pick.randint(-5, 50) * 10**15,
            pick.choice(["USD", "EUR", "BNB"]), "venue",
        )
        for n in range(count)
    ]  # fmt: skip


def write_history(client: Client, fills: list[Fill], quotes: dict[str, str]) -> dict[str, Any]:
    """History as the engine would tell it, and the latest tables that belong to it."""
    states: dict[tuple[str, str, str], engine.EngineState] = {}
    tables: dict[str, list[dict[str, Any]]] = {
        "exec_report_history": [], "position_change_history": [], "trade_match_history": [],
    }  # fmt: skip
    for fill in sorted(fills, key=fill_order):
        key = (fill.account_id, fill.strategy_id, fill.symbol)
        state, booked = engine.apply(states.get(key, engine.EMPTY), fill, quotes[fill.symbol])
        states[key] = state
        amounts = {"fill_qty": to_decimal(fill.qty), "fill_price": to_decimal(fill.price)}
        shared = {**fill._asdict(), **amounts, "side": SIDE_TEXT[fill.side], "run_id": "tables"}
        tables["exec_report_history"].append({**shared, "fee": to_decimal(fill.fee)})
        change = booked.change
        after = {
            "net_qty_before": to_decimal(change.net_before),
            "net_qty_after": to_decimal(change.net_after),
        }
        tables["position_change_history"].append(
            {**shared, **after, "seq": change.seq, "late": False}
        )
        tables["trade_match_history"] += [
            {**positions.match_row(match, "tables", "LIVE"), "other_fees": {}}
            for match in booked.matches
        ]
    for name, rows in tables.items():
        names = [column.name for column in TABLES[name].stored]
        client.write(Writing(TABLES[name], [[row[one] for one in names] for row in rows]))
    books = [positions.Book(*key, quotes[key[2]], state) for key, state in states.items()]
    return {
        "open_positions_lots": positions.lot_rows(books, "tables"),
        "open_positions_rollup": positions.rollup_rows(books, "tables"),
        "realized_pnl_latest": positions.realized_rows(books, "tables"),
    }


def test_latest_tables_are_made_again(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live_rebuild, "SETTLE_S", 0.01)
    fills = fills_of("paper-1", 1, 150) + fills_of("broker-1", 2, 150)
    right = write_history(client, fills, {"AAAUSD": "USD", "BBBEUR": "EUR"})
    assert read_books(client, config()).other_matches == 0
    for name, rows in right.items():
        table = TABLES[name]
        first = rebuild(client, config(), name, dry_run=False)
        assert {one.kind for one in first.differences} == {"missing"}
        assert first.rows == len(first.differences) == len(rows) > 3
        assert rebuild(client, config(), name, dry_run=True).differences == []
        where = {"store": client.place.address, "database": client.place.database}
        found = read_table(name, **where)
        expected = columns.rows_table(table, rows)
        assert sorted(map(repr, found.to_pylist())) == sorted(map(repr, expected.to_pylist()))
        names = [column.name for column in table.stored]
        held = reading.read(client, table).to_pylist()
        wrong = [*(held[0][one] for one in table.key), *[None] * (len(names) - len(table.key))]
        extra = {**held[1], "strategy_id": "nobody's"}
        client.write(Writing(table, [wrong, [extra[one] for one in names]]))
        gone = tuple(held[2][one] for one in table.key)
        client.write(Writing(table, [gone], delete=True))
        dry = rebuild(client, config(), name, dry_run=True)
        assert sorted(one.kind for one in dry.differences) == ["different", "extra", "missing"]
        told = next(line(one) for one in dry.differences if one.kind == "different")
        assert "updated_ts -, right is 17" in told
        assert rebuild(client, config(), name, dry_run=False).differences == dry.differences
        assert rebuild(client, config(), name, dry_run=False).differences == []


def test_newest_signals_and_indicators_are_made_again(client: Client) -> None:
    signals = TABLES["strategy_signal_history"]
    rows = [
        (f"id{n}", "s", SYMBOLS[n % 2], "1m", n, "BUY", 1.5, 1.0, 1.0, "why", "1", "hash", "tables")
        for n in range(10)
    ]
    client.write(Writing(signals, rows))
    indicators = [
        ("AAAUSD", "15m", n * 900_000, True, {"sma_2": n / 3}, 77, "1") for n in range(1, 5)
    ]
    client.write(Writing(TABLES["indicator_history"], indicators))
    unfinished = ("AAAUSD", "15m", 5 * 900_000, False, {"sma_2": 9.0}, 78, "1")
    for name, count in (("strategy_signal_latest", 2), ("indicator_latest", 1)):
        assert len(rebuild(client, config(), name, dry_run=False).differences) == count
        assert rebuild(client, config(), name, dry_run=True).differences == []
    client.write(Writing(TABLES["indicator_latest"], [unfinished]))
    assert rebuild(client, config(), "indicator_latest", dry_run=True).differences == []
    with pytest.raises(ConfigError, match=r"can be rebuilt.*did you mean 'indicator_latest'"):
        rebuild(client, config(), "indicator_histry", dry_run=True)
    assert compare(RECIPES["indicator_latest"].table, {}, {}) == []


REPORTS = """account_id,strategy_id,order_id,fill_id,symbol,side,fill_qty,fill_price,ts,fee,venue
broker-1,s,o1,f1,AAAUSD,BUY,2,100.5,1700000000000,,x
broker-1,,o2,f1,BBBEUR,SELL,1,1e2,1700000000001,-0.1,
broker-1,s,,f1,AAAUSD,BUY,2,100,1700000000000,,
broker-1,s,o3,f1,AAAUSD,BUY,two,100,1700000000000,,
broker-2,s,o4,f1,AAAUSD,BUY,2,100,1700000000000,,
paper-1,s,o5,f1,AAAUSD,BUY,2,100,1700000000000,,
broker-1,s,o6,f1,AAUSD,BUY,2,100,1700000000000,,
broker-1,s,o7,f1,AAAUSD,HOLD,2,100,1700000000000,,
broker-1,s,o8,f1,AAAUSD,BUY,2,100,soon,,
broker-1,s,o9,f1,AAAUSD,BUY,0,100,1700000000000,,
what is this
"""


def test_reports_are_checked_and_decided_about(client: Client, tmp_path: Path) -> None:
    file = tmp_path / "fills.csv"
    file.write_bytes(REPORTS.encode() + b"\xff\xfe\n")
    for turn in range(2):
        done = ingest_reports(client, config(), Chunks(file), threading.Event(), lambda done: None)
        assert (done.lines, done.written, done.repeated) == ((12, 2, 0), (12, 0, 2))[turn]
        assert done.rejects == {
            "MISSING_ID": 1, "NOT_A_NUMBER": 1, "UNKNOWN_ACCOUNT": 1, "PAPER_ACCOUNT": 1,
            "UNKNOWN_SYMBOL": 1, "BAD_SIDE": 1, "BAD_TS": 1, "NOT_POSITIVE": 1, "BAD_LINE": 2,
        }  # fmt: skip
    written = reading.log(client, TABLES["exec_report_history"])
    assert [(row["strategy_id"], row["fee"]) for row in written] == [
        ("s", None), (None, Decimal("-0.1")),
    ]  # fmt: skip
    rows = rejects.rejected_rows(client)
    assert len(rows) == 10 and all(row.decision is None for row in rows)
    by_code = {row.code: row for row in rows}
    bad = by_code["NOT_A_NUMBER"]
    with pytest.raises(Refusal, match="refused still, NOT_A_NUMBER: fill_qty 'two'"):
        rejects.apply(client, config(), bad, {})
    with pytest.raises(ConfigError, match="no column 'qty'"):
        rejects.apply(client, config(), bad, {"qty": "2"})
    rejects.apply(client, config(), bad, {"fill_qty": "2"})
    rejects.drop(client, config(), by_code["UNKNOWN_SYMBOL"])
    rows = rejects.rejected_rows(client)
    decided = {row.code: row.decision for row in rows if row.decision}
    assert decided == {"NOT_A_NUMBER": "APPLIED", "UNKNOWN_SYMBOL": "DROPPED"}
    with pytest.raises(Refusal, match="was applied already"):
        rejects.drop(client, config(), rejects.find(rows, bad.row_id[:8]))
    assert len(reading.log(client, TABLES["exec_report_history"])) == 3
    decisions = [row for row in reading.log(client, TABLES["rejects"]) if row["code"] == "APPLIED"]
    assert decisions[0]["source_table"] == "rejects" and decisions[0]["row_id"] == bad.row_id
    assert '"fill_qty": "2"' in decisions[0]["row_json"]
    with pytest.raises(ConfigError, match=r"no row begins with 'zzzz'|no rejected row"):
        rejects.find(rows, "zzzz")
