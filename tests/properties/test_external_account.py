"""An outside broker: fills in disorder and crashes give what the bounded engine books."""

import copy
import json
import random

from jobs import engine_files
from jobs.live.books import DUPLICATES, LOTS, MATCHES, OUTPUTS, REALIZED, REFUSED, ROLLUP, Settings
from jobs.live.external_account import ExternalAccount
from jobs.live.stage import Memory, Row
from schemas.codec import encode
from schemas.table import Kind
from udfs.reports import REPORT_COLUMNS
from udfs.timeframes import DAY_MS

PATIENCE_MS = 5_000
SETTINGS = Settings("run", 7 * DAY_MS, True, PATIENCE_MS, {"AUSD": "USD", "BUSD": "USD"})
START = 1_711_756_800_000


def tape(pick: random.Random, count: int) -> list[dict[str, str | None]]:
    """Fills in the order of their ts, some of them twice."""
    reports: list[dict[str, str | None]] = []
    ts = START
    for number in range(count):
        ts += pick.choice((0, 1, 300, 4_000, 60_000))
        report = dict.fromkeys(REPORT_COLUMNS)
        report |= {
            "account_id": "a",
            "strategy_id": pick.choice(("s1", "s2")),
            "order_id": f"o{number // 2}",
            "fill_id": f"f{number}",
            "symbol": pick.choice(("AUSD", "BUSD")),
            "side": pick.choice(("BUY", "SELL")),
            "fill_qty": str(pick.randint(1, 9)),
            "fill_price": f"{pick.randint(90, 110)}.{pick.randint(0, 99):02d}",
            "ts": str(ts),
            "fee": pick.choice(("0.01", "-0.002", "0")),
            "fee_currency": pick.choice(("USD", "BNB")),
            "venue": "x",
        }
        reports += [report] * pick.choice((1, 1, 1, 2))
    return reports


def arrivals(pick: random.Random, reports: list[dict[str, str | None]]) -> list[int]:
    """Indexes in the order of arrival: each up to its patience behind what came before."""
    lag = [int(one["ts"] or 0) + pick.randint(0, PATIENCE_MS - 1) for one in reports]
    return sorted(range(len(reports)), key=lambda at: lag[at])


def replay(
    pick: random.Random, reports: list[dict[str, str | None]], crashes: bool
) -> dict[int, dict[tuple[object, ...], tuple[object, ...]]]:
    """The tables that an account writes, history by its first rows; crashes go back some rows."""
    tables: dict[int, dict[tuple[object, ...], tuple[object, ...]]] = {}
    memory = Memory({}, {})
    account = ExternalAccount("a", SETTINGS, memory)
    held, held_at = copy.deepcopy(memory), 0
    order = arrivals(pick, reports)
    at = 0
    while at < len(order):
        values = tuple(reports[order[at]].values())
        write(tables, account.arrive(values, 0))
        at += 1
        if pick.random() < 0.7:
            continue  # the bundle has more
        write(tables, account.settle())
        if pick.random() < 0.07:
            held, held_at = copy.deepcopy(memory), at
        if crashes and pick.random() < 0.07:
            memory, at = copy.deepcopy(held), held_at
            account = ExternalAccount("a", SETTINGS, memory)
    write(tables, account.wake(PATIENCE_MS))
    write(tables, account.settle())
    return tables


def write(tables: dict[int, dict[tuple[object, ...], tuple[object, ...]]], rows: list[Row]) -> None:
    """As a store does."""
    for row in rows:
        table = OUTPUTS[row.table]
        names = [column.name for column in table.stored]
        key = tuple(row.values[names.index(name)] for name in table.key)
        held = tables.setdefault(row.table, {})
        if row.delete:
            held.pop(key, None)
        elif table.kind is Kind.LATEST or key not in held:
            held[key] = row.values


def test_booked_as_the_bounded_engine_does() -> None:
    pick = random.Random(7)
    for crashes in (False, True):
        reports = tape(pick, 300)
        tables = replay(pick, reports, crashes)
        fills, refused, _ = engine_files.sort_out(reports, SETTINGS.quote, "run")
        booked = engine_files.book_fills(fills, SETTINGS.quote, SETTINGS.ttl_ms)
        expected = engine_files.engine_tables(booked, refused, SETTINGS.quote, "run", "LIVE")
        for number in (MATCHES, LOTS, ROLLUP, REALIZED, REFUSED):
            table = OUTPUTS[number]
            rows = {encode(table, row) for row in expected[table.name].to_pylist()}
            assert texts(rows) == texts(tables.get(number, {}).values()), table.name
        assert len(tables[MATCHES]) > 100


def texts(rows: object) -> set[tuple[str, ...]]:
    """Decimals of any spelling made the same."""
    return {tuple(plain(value) for value in row) for row in rows}  # type: ignore[attr-defined]


def plain(value: object) -> str:
    """Without zeros at the end of a decimal; maps pair by pair."""
    if isinstance(value, str) and "=" in value:
        return ",".join(f"{n}={plain(v)}" for n, v in (p.split("=") for p in value.split(",")))
    if isinstance(value, str) and "." in value:
        return value.rstrip("0").rstrip(".")
    return str(value)


def report(**changes: str | None) -> tuple[str | None, ...]:
    """Values of one report."""
    values = {
        "account_id": "a", "strategy_id": "s", "order_id": "o", "fill_id": "f", "symbol": "AUSD",
        "side": "BUY", "fill_qty": "1", "fill_price": "100", "ts": str(START), "fee": None,
        "fee_currency": None, "venue": None,
    }  # fmt: skip
    return tuple((values | changes)[name] for name in REPORT_COLUMNS)


def test_a_report_waits_for_its_order_then_is_refused_then_taken_as_late() -> None:
    account = ExternalAccount("a", SETTINGS, Memory({}, {}))
    assert account.arrive(report(strategy_id=None), 1_000) == []
    assert account.wake(5_999) == []
    (refused,) = account.wake(6_000)
    assert refused.table == REFUSED
    assert "UNKNOWN_ORDER" in refused.values
    change, *_ = account.order("o", "s", 9_000)
    assert change.values[1] == "s"
    assert True in change.values  # late
    assert account.order("o", "s", 9_001) == []


def test_a_late_fill_is_booked_on_arrival() -> None:
    account = ExternalAccount("a", SETTINGS, Memory({}, {}))
    account.arrive(report(), 0)
    account.arrive(report(order_id="p", side="SELL", ts=str(START + 10_000)), 1)
    booked = account.settle()
    assert LOTS in {row.table for row in booked}  # the first one's patience has passed
    late = account.arrive(report(order_id="q", side="SELL", ts=str(START - 1)), 2)
    assert MATCHES in {row.table for row in late}
    assert True in late[0].values


def test_a_person_may_apply_what_was_refused_once() -> None:
    account = ExternalAccount("a", SETTINGS, Memory({}, {}))
    account.arrive(report(ts=str(START + 8 * DAY_MS)), 0)
    old = report(order_id="p", ts=str(START), side="SELL")
    (refused,) = account.arrive(old, 1)
    assert "STALE_FILL" in refused.values
    text = json.dumps(dict(zip(REPORT_COLUMNS, old, strict=True)))
    change, *_ = account.applied(text, 2)
    assert "SELL" in change.values
    (copy,) = account.applied(text, 3)
    assert copy.table == DUPLICATES
