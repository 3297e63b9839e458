"""The live gate after a restart: what of its rows it knows already, and what the log has of it."""

from collections.abc import Sequence
from typing import Any

from jobs.live import tradepicker
from jobs.live.stage import Arrived, Bundle, Memory, Stage
from jobs.live.tradepicker import CHANGES, SIGNALS, Held, new_changes
from schemas.config import parse_config
from schemas.resolve import plan_run
from schemas.table import Table
from tests import runs
from udfs.simulate import EXAMPLE_SYMBOLS
from udfs.tradepicker import EMPTY, GateKey

MINUTE = 60_000
Log = dict[str, list[dict[str, Any]]]


def signal(name: str, minute: int) -> Arrived:
    """A strategy buys a symbol at a minute's end."""
    return Arrived(
        SIGNALS, (f"{name} at {minute}", "cross", name, minute * MINUTE, "BUY", 100.0, 1.0)
    )


def gate(log: Log) -> Stage:
    """The gate of one account with room for three symbols; `log` is what it decided before."""
    tree = runs.config("*.parquet")
    tree["accounts"] = [{**tree["accounts"][0], "strategies": ["cross"], "shadow": False}]
    plan = plan_run(parse_config(tree))
    return tradepicker.stage(plan, 1_000, lambda table, since_ms: log.get(table.name, []))


def decide(log: Log, state: bytes | None, minute: int, rows: Sequence[Arrived]) -> bytes | None:
    """A started gate works one minute, and its rows go into the log."""
    stage = gate(log)
    bundle = Bundle(minute * MINUTE, tuple(rows))
    worked = stage.work("capped", state, Memory({}, {}), bundle)
    for row in worked.rows:
        put(log, stage.outputs[row.table], row.values)
    return worked.state


def put(log: Log, table: Table, values: Sequence[Any]) -> None:
    """A row where the log has none of its signal, as the store keeps it."""
    row = dict(zip((column.name for column in table.stored), values, strict=True))
    rows = log.setdefault(table.name, [])
    if row["signal_id"] not in [one["signal_id"] for one in rows]:
        rows.append(row)


def decided(log: Log) -> list[tuple[int, str, str]]:
    """Numbers, signals and what became of them, in the order of the numbers."""
    rows = [(row["seq"], row["signal_id"], row["reason"]) for some in log.values() for row in some]
    return sorted(rows)


def test_a_signal_that_the_log_lacks_is_decided_after_it() -> None:
    first, second, third, fourth, late = (one.symbol for one in EXAMPLE_SYMBOLS[:5])
    minutes = {1: [first], 2: [second], 3: [third, fourth]}
    log: Log = {}
    state: bytes | None = None
    for minute, names in minutes.items():
        state = decide(log, state, minute, [signal(name, minute) for name in names])
    before = decided(log)
    full = "OPEN_LIMIT_EXCEEDED"
    assert [(seq, code) for seq, _, code in before] == [(1, "OK"), (2, "OK"), (3, "OK"), (4, full)]
    # Started again from before all of it, a signal of the first minute is there in time.
    minutes = {1: [late, first], 2: [second], 3: [third, fourth], 4: [late]}
    state = None
    for minute, names in minutes.items():
        state = decide(log, state, minute, [signal(name, minute) for name in names])
    assert decided(log) == [*before, (5, f"{late} at 1", full), (6, f"{late} at 4", full)]


def test_a_change_that_is_read_again_counts_once() -> None:
    def row(seq: int) -> Arrived:
        values = ("a", "s", "ALFAUSD", seq, f"o{seq}", "f", "BUY", "1", "0", "1", 60_000)
        return Arrived(CHANGES, values)

    first, second = tradepicker.changes((row(1), row(2)))
    held = Held({}, 0, 0, (first,))
    assert new_changes(held, (row(1), row(2), row(2))) == [second]
    gate = {("s", "ALFAUSD"): key_after(seq=2)}
    assert new_changes(Held(gate, 0, 2, ()), (row(1), row(2), row(3)))[0].seq == 3


def key_after(seq: int) -> GateKey:
    """A key of the gate that has applied so many changes."""
    return EMPTY._replace(seq=seq)
