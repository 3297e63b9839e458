"""The order keeper of a live stage: holds rows until their tick is complete, releases in order.

`Order` says which rows go to which keys when; jobs/live/tell.py when a tick is done with. All that
it knows is kept on disk, entry by entry (jobs/live/shelf.py), and a copy of it in memory: a row
costs one write and no read. Only which rows were handed on already (jobs/live/seen.py) is read
where a row comes late: it may be a repeat.
"""

import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from jobs.live.seen import Seen
from jobs.live.sent import Gap, Sent, ToTell, ToWork
from jobs.live.shelf import BOOK, Kept, Shelf, check_version
from jobs.live.stage import Arrived, Stage, Upstream, Values
from udfs.errors import InvariantError

VERSION = 3
QUIET_MS = 100
START_FACTOR = 6  # after a start others may be starting, too: so many times the patience
# Kinds of entries: a row of a tick, how many were promised to it, one that was handed on before
# but counts for it, one that goes with the next tick.
ROW, DUE, SEEN, NEXT = "row", "due", "seen", "next"
Name = tuple[str, str]  # stage and instance


@dataclass(slots=True)
class _Tick:
    """What is there for a tick: rows by (input, id) with their number in the order of arrival,
    the counts told and the rows counted, ids of those that went with a tick before. `places` of
    all that on the shelf."""

    rows: dict[tuple[int, str], tuple[int, Arrived]] = field(default_factory=dict)
    gone: set[tuple[int, str]] = field(default_factory=set)
    due: dict[Name, int] = field(default_factory=dict)
    counted: Counter[Name] = field(default_factory=Counter)
    places: list[str] = field(default_factory=list)


class Order:
    """Rows and progress in, complete ticks out.

    A tick is complete once every upstream instance has told its progress and the rows that it
    counted are there, told apart by their ids. A row that comes after its tick was released is
    handed on with the next tick, as late, and a row that was handed on before never again: a job
    that was started again writes once more what it had written since its last checkpoint, and not
    every store drops that. `seen` is kept as `kept` is, but never read whole.

    `now_ms` is the wall clock; it only serves patience: an instance is given up once neither
    progress nor a row of it has come for so long although someone has told the tick, and then
    nothing comes at all. After a start one that was not heard of yet may be starting, too, and gets
    START_FACTOR times as long.
    """

    def __init__(self, stage: Stage, kept: Kept, seen: Kept) -> None:
        self._stage, self._kept = stage, kept
        self._seen = Seen(seen, stage.base_ms)
        self._unread = {(o.stage, o.instance) for o in stage.upstreams if not o.is_input}
        self._ticks: dict[int, _Tick] = {}
        self._start: int | None = None
        self._released: int | None = None
        self._absent: set[Name] = set()
        self._waiting_since: int | None = None
        self._began_ms = 0  # when this process waited first
        self._heard: dict[Name, int] = {}  # when progress or a row of an instance came
        self._quiet: tuple[int, int] | None = None  # since when nothing has come, and idle_ms then
        self._arrivals = 0
        self._next: dict[str, tuple[int, Arrived]] = {}
        self._next_places: list[str] = []
        self._handed = 0  # the arrival up to which rows were handed on
        self._kept_ms = 0
        self._load_book()
        self._shelf = Shelf(kept)
        for place, entry in self._shelf.load(self._is_over):
            self._load(place, entry)
        self._since_ms = self._kept_ms

    def row(
        self,
        number: int,
        tick: int,
        row_id: str,
        values: Values,
        now_ms: int,
        ended: bool = False,
    ) -> list[Sent]:
        """Take in a row of the input of that number; `ended`: of a latest table, and it is gone."""
        self._quiet = None
        given = self._stage.inputs[number]
        counted_by = given.instance(values)
        if counted_by is None:
            self._now(now_ms)
            rows = (Arrived(number, values, ended=ended),)
            return [ToWork(key, None, rows, self._since_ms) for key in given.keys(values)]
        self._heard[counted_by] = now_ms
        late = self._released is not None and tick <= self._released
        if self._is_repeat(number, tick, row_id, late):
            return []
        if given.prompt:
            return self._next_row(Arrived(number, values, late), tick, row_id, counted_by, now_ms)
        if late:
            tick = self._candidate()
        self._arrivals += 1
        self._file(tick, self._arrivals, Arrived(number, values, late), row_id, counted_by)
        held = [number, row_id, self._arrivals, late, counted_by, values]
        self._put(tick, [ROW, tick, *held])
        return [] if late else self._release(now_ms)

    def _next_row(
        self, arrived: Arrived, tick: int, row_id: str, counted_by: Name, now_ms: int
    ) -> list[Sent]:
        """Take in a row that goes with the next tick; it counts for its own."""
        key = f"{arrived.input}|{row_id}"
        self._arrivals += 1
        self._next[key] = (self._arrivals, arrived)
        self._next_places.append(self._shelf.put([NEXT, self._arrivals, key, *arrived]))
        if not arrived.late:
            self._count_gone(tick, counted_by, arrived.input, row_id)
            self._put(tick, [SEEN, tick, counted_by, arrived.input, row_id])
        return self._release(now_ms)

    def _count_gone(self, tick: int, counted_by: Name, number: int, row_id: str) -> None:
        """Note a row of a tick to come that goes with one before."""
        held = self._tick(tick)
        held.counted[counted_by] += 1
        held.gone.add((number, row_id))

    def _is_repeat(self, number: int, tick: int, row_id: str, late: bool) -> bool:
        """Whether a row was taken in before; one that comes late is noted as taken in."""
        one = (number, row_id)
        if not late:
            held = self._tick(tick)
            return one in held.rows or one in held.gone
        if self._seen.is_old(tick, self._candidate()) or self._seen.knows(tick, one):
            return True
        self._seen.add(tick, one)
        return False

    def progress(self, tick: int, name: Name, rows: int, now_ms: int) -> list[Sent]:
        """Take in an upstream's progress row, `tick` being its ts and the upstream's lag."""
        self._quiet = None
        self._heard[name] = now_ms
        if name in self._absent:
            self._absent.discard(name)
            self._keep_book()
        if self._released is not None and tick <= self._released:
            return self._release(now_ms)
        rows = 0 if name in self._unread else rows
        if name not in self._tick(tick).due:
            self._tick(tick).due[name] = rows
            self._put(tick, [DUE, tick, name, rows])
        if self._start is None:
            self._start = tick
            self._keep_book()
        return self._release(now_ms)

    def wait_until(self) -> int | None:
        """The wall clock at which patience ends; None where nothing is waited for."""
        if self._waiting_since is None or self._stage.patience_ms is None:
            return None
        if self._quiet is not None:
            return self._quiet[0] + QUIET_MS
        missing = self._missing(self._candidate())
        silent = [self._heard[name] for name in missing if name in self._heard]
        until = max(self._waiting_since, *silent, 0) + self._stage.patience_ms
        if len(silent) < len(missing):
            until = max(until, self._began_ms + START_FACTOR * self._stage.patience_ms)
        return until

    def expired(self, now_ms: int, idle_ms: int) -> list[Sent]:
        """Go on without those that are missing, if patience has ended by now.

        While there is a backlog, those that are missing may be in it. So between two calls some
        QUIET_MS apart nothing at all must have come, and half that time must have been spent on
        waiting for input: `idle_ms` is all such time so far. Time in which nothing can be taken
        in, because those who get what was released are behind, does not count.
        """
        self._wait(now_ms)  # what was kept says nothing of waiting
        until = self.wait_until()
        if until is None or now_ms < until or self._waiting_since is None:
            return []
        if self._quiet is None or idle_ms - self._quiet[1] < QUIET_MS // 2:
            self._quiet = (now_ms, idle_ms)
            return []
        self._quiet = None
        waited_ms = now_ms - self._waiting_since
        self._kept_ms = now_ms
        missing = self._missing(self._candidate())
        self._absent.update(missing)
        self._keep_book()
        gaps = self._gaps(self._candidate(), missing, waited_ms)
        return [*gaps, *self._hand_out(self._candidate()), *self._release(now_ms)]

    def _release(self, now_ms: int) -> list[Sent]:
        """All ticks that are complete, and what is waited for after them."""
        self._kept_ms = now_ms
        sent: list[Sent] = []
        while self._start is not None:
            tick = self._candidate()
            missing = self._missing(tick)
            if not self._told_now(tick) or any(name not in self._absent for name in missing):
                break
            sent += self._gaps(tick, missing, 0)
            sent += self._hand_out(tick)
        if sent:
            self._waiting_since = None
        self._wait(now_ms)
        return sent

    def _wait(self, now_ms: int) -> None:
        """Note since when a tick is waited for that somebody has told."""
        idle = self._waiting_since is None and self._start is not None
        if idle and self._told_now(self._candidate()):
            self._waiting_since = now_ms
            self._began_ms = self._began_ms or now_ms

    def _now(self, now_ms: int) -> None:
        """Keep the wall clock with rows that no tick keeps it for, each second at most."""
        if now_ms - self._kept_ms >= 1_000:
            self._kept_ms = now_ms
            self._keep_book()

    def _candidate(self) -> int:
        """The next tick to release."""
        if self._released is not None:
            return self._released + self._stage.base_ms
        if self._start is None:
            raise InvariantError(f"{self._stage.name} has released nothing and knows no first tick")
        return self._start

    def _needed(self, tick: int) -> list[Upstream]:
        """Before the first tick there was none, and who joins later has told nothing before."""
        return [
            one
            for one in self._stage.upstreams
            if not (one.lag_ms and tick == self._start)
            and (one.from_ts is None or tick > one.from_ts)
        ]

    def _missing(self, tick: int) -> list[Name]:
        """Upstream instances whose progress, or some of whose rows, are not there."""
        held = self._ticks.get(tick) or _Tick()
        names = [(one.stage, one.instance) for one in self._needed(tick)]
        return [name for name in names if held.counted[name] < held.due.get(name, 1 << 62)]

    def _told_now(self, tick: int) -> bool:
        """Whether anyone has told progress of that very tick: from then on others are late."""
        held = self._ticks.get(tick)
        if held is None:
            return False
        return any((o.stage, o.instance) in held.due for o in self._needed(tick) if not o.lag_ms)

    def _gaps(self, tick: int, missing: Iterable[Name], waited_ms: int) -> list[Gap]:
        return [Gap("main", tick, f"{stage}/{one}", waited_ms) for stage, one in missing]

    def _hand_out(self, tick: int) -> list[Sent]:
        """The tick's rows to their keys, and the tick to Tell; it is forgotten here."""
        held = self._ticks.pop(tick, None) or _Tick()
        bundles: dict[str, list[Arrived]] = {key: [] for key in self._stage.wake(tick)}
        rows = [*held.rows.values(), *self._next.values()]
        for _, arrived in sorted(rows, key=lambda numbered: numbered[0]):
            for key in self._stage.inputs[arrived.input].keys(arrived.values):
                bundles.setdefault(key, []).append(arrived)
        in_time = [one for one, (_, arrived) in held.rows.items() if not arrived.late]
        self._seen.keep(tick, [*in_time, *held.gone])
        self._released, self._handed = tick, self._arrivals
        self._shelf.free([*held.places, *self._next_places])
        self._next.clear()
        self._next_places.clear()
        self._waiting_since = None
        self._keep_book()
        sent: list[Sent] = [
            ToWork(key, tick, tuple(rows), self._since_ms) for key, rows in sorted(bundles.items())
        ]
        return [*sent, ToTell(tick, len(bundles))]

    def _tick(self, tick: int) -> _Tick:
        return self._ticks.setdefault(tick, _Tick())

    def _file(
        self, tick: int, arrival: int, arrived: Arrived, row_id: str, counted_by: Name
    ) -> None:
        held = self._tick(tick)
        held.rows[arrived.input, row_id] = (arrival, arrived)
        if not arrived.late:
            held.counted[counted_by] += 1

    def _put(self, tick: int, entry: list[Any]) -> None:
        self._tick(tick).places.append(self._shelf.put(entry))

    def _keep_book(self) -> None:
        book = [VERSION, self._stage.name, self._start, self._released, sorted(self._absent)]
        self._kept[BOOK] = json.dumps([*book, self._kept_ms, self._handed])

    def _load_book(self) -> None:
        """What was kept of the whole; InvariantError where another version kept it."""
        if BOOK not in self._kept:
            return
        version, name, *rest = json.loads(self._kept[BOOK])
        check_version(self._stage.name, VERSION, version, name)
        self._start, self._released, absent, self._kept_ms, self._handed = rest
        self._absent = {(stage, instance) for stage, instance in absent}
        self._arrivals = self._handed

    def _is_over(self, entry: list[Any]) -> bool:
        """Whether what the entry tells was handed on, or its tick was."""
        kind, number, *_ = entry
        if kind == NEXT:
            return bool(number <= self._handed)
        return self._released is not None and number <= self._released

    def _load(self, place: str, entry: list[Any]) -> None:
        """Take in an entry as it was kept."""
        kind, tick, *held = entry
        if kind == NEXT:
            key, number, values, *marks = held
            self._next[key] = (tick, Arrived(number, tuple(values), *marks))
            self._next_places.append(place)
            self._arrivals = max(self._arrivals, tick)
            return
        self._tick(tick).places.append(place)
        if kind == ROW:
            number, row_id, arrival, late, (stage, instance), values = held
            arrived = Arrived(number, tuple(values), late)
            self._file(tick, arrival, arrived, row_id, (stage, instance))
            self._arrivals = max(self._arrivals, arrival)
        elif kind == SEEN:
            # Those that were kept before repeats were told apart have no id.
            (stage, instance), number, row_id = held if len(held) > 1 else (held[0], -1, place)
            self._count_gone(tick, (stage, instance), number, row_id)
        else:
            (stage, instance), rows = held
            self._tick(tick).due[stage, instance] = rows
