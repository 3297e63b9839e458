"""Two stages that do next to nothing, in every type of column: bars -> sums -> totals.

`sums` counts the bars of each symbol, repeats them, and keeps a latest row that goes at every third
tick. `totals` tells progress of two instances, and reads its own rows of the tick before.
"""

import json
from collections.abc import Mapping
from functools import partial

from jobs.live.stage import INSTANCE, Bundle, Input, Memory, Row, Stage, Upstream, Values, Worked
from schemas.table import Column, Kind, Table, Type

BASE_MS = 60_000
BARS, SUMS, LATEST, TOTALS = "toy_bars", "toy_sums", "toy_latest", "toy_totals"
KEY = (Column("symbol", Type.STRING, "Symbol."), Column("ts", Type.BIGINT, "Open time, UTC ms."))
PAYLOAD = (
    Column("x", Type.DOUBLE, "Any double."),
    Column("n", Type.INT, "Any number.", True),
    Column("flag", Type.BOOLEAN, "Yes or no."),
    Column("amount", Type.DECIMAL, "Any amount.", True),
    Column("said", Type.STRING, "Any text.", True),
    Column("features", Type.MAP_DOUBLE, "Doubles by name."),
    Column("fees", Type.MAP_DECIMAL, "Amounts by name."),
)
HALVES = ("even", "odd")  # instances of totals
CLOCK = "clock"  # a key that is called at each tick
UNREAD = "unread"  # a symbol that totals does not read, so nobody counts it
NAMES = ("symbol", "ts", *(column.name for column in PAYLOAD))


def table(name: str, kind: Kind, key: tuple[str, ...], *more: Column) -> Table:
    """A table of the chain."""
    return Table(
        name=name,
        kind=kind,
        columns=(*KEY, *more),
        key=key,
        event_time="ts",
        order=("ts", "symbol"),
        doc="A table of a test.",
        bucket_key=("symbol",),
        written_by="a test",
        read_by="a test",
    )


TABLES: Mapping[str, Table] = {
    one.name: one
    for one in (
        table(BARS, Kind.HISTORY, ("symbol", "ts"), *PAYLOAD),
        table(
            SUMS, Kind.HISTORY, ("symbol", "ts"), *PAYLOAD, Column("count", Type.BIGINT, "So far.")
        ),
        table(LATEST, Kind.LATEST, ("symbol",), Column("x", Type.DOUBLE, "Newest.")),
        table(
            TOTALS,
            Kind.HISTORY,
            ("symbol", "ts"),
            Column("seen", Type.BIGINT, "Calls of the key."),
            Column("said", Type.STRING, "What it got."),
        ),
    )
}


def sums() -> Stage:
    """The first stage: a tick is the close of a bar, its rows keep the bar's open time as ts."""
    return Stage(
        name="sums",
        inputs=(
            Input(TABLES[BARS], NAMES, "ts", BASE_MS, lambda values: ("feed", INSTANCE), by_symbol),
        ),
        upstreams=(Upstream("feed", INSTANCE),),
        outputs=(TABLES[SUMS], TABLES[LATEST]),
        instances=(INSTANCE,),
        base_ms=BASE_MS,
        patience_ms=None,
        wake=lambda tick: [],
        work=work_sums,
        memory_ttl_ms=BASE_MS,
    )


def totals() -> Stage:
    """The second stage, a loop: at each tick it also waits for its own rows of the tick before."""
    sums_input = Input(
        TABLES[SUMS],
        ("symbol", "ts", "x", "count"),
        "ts",
        BASE_MS,
        lambda values: ("sums", INSTANCE),
        by_symbol,
        where=f"`symbol` <> '{UNREAD}'",
    )
    own_input = Input(
        TABLES[TOTALS],
        ("symbol", "ts", "seen"),
        "ts",
        BASE_MS,
        lambda values: ("totals", half(str(values[0]))),
        by_symbol,
    )
    own = [Upstream("totals", name, BASE_MS) for name in HALVES]
    return Stage(
        name="totals",
        inputs=(sums_input, own_input),
        upstreams=(Upstream("sums", INSTANCE), *own),
        outputs=(TABLES[TOTALS],),
        instances=HALVES,
        base_ms=BASE_MS,
        patience_ms=None,
        wake=lambda tick: [CLOCK],
        work=partial(work_totals, "total"),
    )


def half(symbol: str) -> str:
    """The instance that a symbol's rows count for."""
    return HALVES[len(symbol) % 2]


def by_symbol(values: Values) -> list[str]:
    """The key of a row."""
    return [str(values[0])]


def work_sums(key: str, state: bytes | None, memory: Memory, bundle: Bundle) -> Worked:
    """Each bar again, and how many there were."""
    count = int(state or b"0")
    out: list[Row] = []
    for row in bundle.rows:
        name = str(row.values[1])
        if name not in memory.facts:  # a bar that is read again changes nothing
            memory.facts[name] = str(bundle.tick)
            count += 1
        counted = None if key == UNREAD else INSTANCE
        out.append(Row(0, (*row.values, count), counted))
        end = count % 3 == 0
        out.append(Row(1, (key, *((None, None) if end else row.values[1:3])), delete=end))
    return Worked(str(count).encode(), out)


def work_totals(said: str, key: str, state: bytes | None, memory: Memory, bundle: Bundle) -> Worked:
    """One row per key and tick: the key's number of calls, and all rows that it got."""
    seen = int(state or b"0") + 1
    rows = [[row.input, *row.values[1:]] for row in sorted(bundle.rows, key=lambda one: one.input)]
    row = (key, bundle.tick, seen, json.dumps([said, rows]))
    return Worked(str(seen).encode(), [Row(0, row, half(key))])
