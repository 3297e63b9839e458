"""The live stages in one process: tables in memory, rows delivered in any order, crashes.

History keeps the first row of a key, latest tables the last, as the store does. A log may keep the
repeats, as Kafka's topics do. A crash takes a stage back to its last snapshot, and the tables keep
what it had written since, each up to another row: they have writers of their own.
"""

import random
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

import pyarrow as pa

from jobs.live.order import Gap, Order, ToTell, ToWork
from jobs.live.sent import Sent, joined
from jobs.live.stage import Bundle, Input, Memory, Stage
from jobs.live.tell import Tell, Told
from schemas.codec import encode
from schemas.market import PRICE_1M_HISTORY
from schemas.ops import PROGRESS, PROGRESS_GAPS
from schemas.table import Kind, Table

Row = dict[str, Any]
SENT = 0.2  # how likely a table gets its rows after a step
ENDED = "ended"  # marks a latest table's row in the log that is gone


class Tables:
    """All tables by name; a history table is a log, too, with `repeats` of each row or without."""

    def __init__(self, repeats: bool = False) -> None:
        self.repeats = repeats
        self.logs: dict[str, list[Row]] = {}
        self.rows: dict[str, dict[tuple[Any, ...], Row]] = {}

    def write(self, table: Table, values: Iterable[Any], delete: bool = False) -> None:
        """A row in the order of the store's columns."""
        names = [column.name for column in table.stored]
        row = dict(zip(names, values, strict=True))
        key = tuple(row[name] for name in table.key)
        rows = self.rows.setdefault(table.name, {})
        if delete:
            ended = rows.pop(key, None)
            if ended is not None:
                self.logs[table.name].append(ended | {ENDED: True})
        elif table.kind is Kind.LATEST or key not in rows:
            rows[key] = row
            self.logs.setdefault(table.name, []).append(row)
        elif self.repeats:
            self.logs[table.name].append(row)

    def journal(self, table: Table, since_ms: int) -> list[Row]:
        """A history from the start: more than is asked for does no harm."""
        return self.logs.get(table.name, [])


class Node:
    """One stage with all that it keeps, and how far it has read each of its inputs."""

    def __init__(self, make: Callable[[], Stage], tables: Tables) -> None:
        self.make, self.tables = make, tables
        self.kept: dict[str, str] = {}
        self.seen: dict[str, str] = {}
        self.told: dict[str, str] = {}
        self.states: dict[str, bytes | None] = {}
        self.memory: dict[str, Memory] = {}
        self.wakes: dict[str, int] = {}
        self.read = [0] * (len(make().inputs) + 1)
        self.gaps: list[Gap] = []
        self.unsent: dict[str, list[tuple[Table, Iterable[Any], bool]]] = {}
        self.start()

    def start(self) -> None:
        """As a new process finds what was kept."""
        self.stage = self.make()
        self.order = Order(self.stage, self.kept, self.seen)
        self.tell = Tell(self.stage, self.told)

    def snapshot(self) -> Any:
        """What a checkpoint holds, once all rows from before it are in the tables."""
        for name in self.unsent:
            self._send(name)
        memory = {key: Memory({**one.facts}, {**one.kept}) for key, one in self.memory.items()}
        held = (self.kept, self.seen, self.told, self.states)
        return (*({**one} for one in held), memory, [*self.read])

    def crash(self, snapshot: Any) -> None:
        """Go back to a checkpoint."""
        self.unsent.clear()
        self.kept, self.seen, self.told, self.states, self.memory, self.read = snapshot
        self.start()

    def step(self, pick: random.Random, now_ms: int) -> int:
        """Read some rows of one input, picked at random; how many."""
        number = pick.randrange(len(self.read))
        progress = number == len(self.stage.inputs)
        table = PROGRESS if progress else self.stage.inputs[number].table
        log = self.tables.logs.get(table.name, [])
        start = self.read[number]
        rows = log[start : start + pick.randint(1, 40)]
        self.read[number] += len(rows)
        sent: list[Sent] = []
        for row in rows:
            if progress:
                sent += self._progress(row, now_ms)
            elif keeps(self.stage.inputs[number], row):
                sent += self._row(number, row, now_ms)
        self._do(sent, now_ms)
        self._do(self.order.expired(now_ms, now_ms), now_ms)
        for key in [key for key, at in self.wakes.items() if at <= now_ms]:
            del self.wakes[key]
            self._work(ToWork(key, None, ()), now_ms)
        for name in self.unsent:
            if pick.random() < SENT:
                self._send(name)
        return len(rows)

    def _write(self, table: Table, values: Iterable[Any], delete: bool = False) -> None:
        self.unsent.setdefault(table.name, []).append((table, values, delete))

    def _send(self, name: str) -> None:
        rows, self.unsent[name] = self.unsent[name], []
        for row in rows:
            self.tables.write(*row)

    def _progress(self, row: Row, now_ms: int) -> list[Sent]:
        sent: list[Sent] = []
        for one in self.stage.upstreams:
            if (one.stage, one.instance) == (row["stage"], row["instance"]):
                name = (one.stage, one.instance)
                sent += self.order.progress(row["ts"] + one.lag_ms, name, row["rows"], now_ms)
        return sent

    def _row(self, number: int, row: Row, now_ms: int) -> list[Sent]:
        given = self.stage.inputs[number]
        values = tuple(row[name] for name in given.columns)
        row_id = "\x1f".join(str(row[name]) for name in given.table.key)
        tick = row[given.ts] + given.lag_ms
        return self.order.row(number, tick, row_id, values, now_ms, ENDED in row)

    def _do(self, sent: Iterable[Sent], now_ms: int) -> None:
        for one in joined(sent):
            if isinstance(one, ToWork):
                self._work(one, now_ms)
            elif isinstance(one, ToTell):
                self._tell(self.tell.expect(one.tick, one.bundles))
            else:
                self.gaps.append(one)
                row = {"stage": self.stage.name, **one._asdict()}
                self._write(PROGRESS_GAPS, encode(PROGRESS_GAPS, row))

    def _work(self, one: ToWork, now_ms: int) -> None:
        memory = self.memory.setdefault(one.key, Memory({}, {}))
        bundle = Bundle(one.tick, one.rows, now_ms, one.since_ms)
        worked = self.stage.work(one.key, self.states.get(one.key), memory, bundle)
        self.states[one.key] = worked.state
        if worked.wake_at_ms is not None:
            self.wakes[one.key] = worked.wake_at_ms
        counts: dict[str, int] = {}
        for row in worked.rows:
            self._write(self.stage.outputs[row.table], row.values, row.delete)
            if row.instance is not None:
                counts[row.instance] = counts.get(row.instance, 0) + 1
        if one.tick is not None:
            self._tell(self.tell.worked(one.tick, counts))

    def _tell(self, told: Iterable[Told]) -> None:
        for one in told:
            values = (self.stage.name, one.instance, one.tick, one.rows)
            self._write(PROGRESS, values)


def keeps(given: Input, row: Row) -> bool:
    """What the input's condition says in SQL."""
    if "late" in given.where:
        return not row["late"]
    return "status" not in given.where or row["status"] in given.where


def feed(tables: Tables, bars: pa.Table, base_ms: int) -> Iterator[int]:
    """Write the bars of each minute from the first to the last, and then its progress row."""
    minutes: dict[int, list[Row]] = {}
    for row in sorted(bars.to_pylist(), key=lambda row: (row["ts"], row["symbol"])):
        minutes.setdefault(row["ts"] + base_ms, []).append(row)
    for tick in range(min(minutes), max(minutes) + base_ms, base_ms):
        for row in minutes.get(tick, []):
            bar = row | {"feed": "main", "late": False}
            tables.write(PRICE_1M_HISTORY, encode(PRICE_1M_HISTORY, bar))
        tables.write(PROGRESS, ("feed", "main", tick, len(minutes.get(tick, []))))
        yield tick


class Disturbed(NamedTuple):
    """What happens to stages, and how often: each so many rows that were read, 0 for never.

    `pace` is the time between two minutes of the feed in ms; 0: all are there at once.
    """

    crash_every: int = 0
    freeze_every: int = 0
    pace: int = 0


def run(nodes: list[Node], feeding: Iterator[int], seed: int, disturbed: Disturbed) -> None:
    """Deliver rows at random until nothing is left to read; a delivery takes a millisecond."""
    pick = random.Random(seed)
    held = [node.snapshot() for node in nodes]
    idle, now_ms, frozen, until, more = 0, 0, -1, 0, True
    while more or idle < 400 * len(nodes):
        now_ms += 1
        while more and (not disturbed.pace or now_ms % disturbed.pace == 0):
            more = next(feeding, None) is not None
            if disturbed.pace:
                break
        at = pick.randrange(len(nodes))
        if disturbed.freeze_every and now_ms % disturbed.freeze_every == 0:
            frozen, until = at, now_ms + disturbed.freeze_every // 2
        if at == frozen and now_ms < until:
            continue
        idle = 0 if nodes[at].step(pick, now_ms) else idle + 1
        if now_ms % 50 == 0:
            held[at] = nodes[at].snapshot()
        if disturbed.crash_every and now_ms % disturbed.crash_every == 0:
            at = pick.randrange(len(nodes))
            nodes[at].crash(held[at])
            held[at] = nodes[at].snapshot()
