"""The books of an account whose broker is outside: its fills come in any order, and any time.

A fill counts on arrival: its change of position is told at once. Its lots and matches wait until
the account's mark has passed it: the newest fill's ts less the patience, or, once nothing has come
for as long as the patience by the clock, the newest fill's ts itself. A fill at or before the mark
is late: it is booked when it comes. A report without a strategy takes its order's, and waits as
long for an order that is not known.
"""

import heapq
import json
from typing import NamedTuple

from jobs.live.books import (
    Key,
    Settings,
    change_row,
    duplicate_row,
    forget,
    latest_rows,
    match_rows,
    pair,
    reject_row,
    stale_row,
)
from jobs.live.stage import Memory, Row, Values
from udfs import engine
from udfs.engine import EngineState, Verdict
from udfs.errors import InvariantError
from udfs.ids import SEPARATOR
from udfs.lots import Lot
from udfs.reports import REPORT_COLUMNS, BadReport, Report, read_report, row_id
from udfs.rows import Fill, ReportCode, fill_order
from udfs.state import dump, dump_counted, load_engine

CLOCK, WAITING, PARCEL = "clock", "waiting", "parcel"
COUNTED, BOOKED, ORDER, PAIR = "counted", "booked", "order", "pair"
NEVER = -(2**63)
Name = tuple[str, str]  # strategy and symbol


class Waiting(NamedTuple):
    """A report whose order is not known; `refused` once it was written to rejects."""

    report: Report
    since_ms: int
    refused: bool


class ExternalAccount:
    """All books of one account. What it knows is in `memory`, with a copy here but for `facts`.

    Rows of histories are given as things happen. `settle` ends a bundle of them: it keeps what has
    changed and gives the rows of latest tables, one for each thing and not one for each fill. The
    fills of a bundle that wait are kept as one parcel, until the last of them is booked.
    """

    def __init__(self, account_id: str, settings: Settings, memory: Memory) -> None:
        self._account, self._settings, self._memory = account_id, settings, memory
        self._newest, self._mark, self._arrived_ms = NEVER, NEVER, 0
        self._counted: dict[Name, EngineState] = {}
        self._booked: dict[Name, EngineState] = {}
        self._pending: list[tuple[tuple[object, ...], int, Fill]] = []  # a heap; with their parcels
        self._parcels: dict[int, int] = {}  # how many of each are pending
        self._parcel = 0  # of the bundle that is worked
        self._waiting: dict[str, Waiting] = {}
        # What the bundle has changed: books with their newest ts before it; facts; `_pending`.
        self._recounted: dict[Name, int | None] = {}
        self._found: dict[str, str] = {}
        self._unkept: dict[Fill, None] = {}
        # Books as they were before the bundle, and their lots that have ended since.
        self._rebooked: dict[Name, tuple[EngineState, list[Lot]]] = {}
        self._clock = (NEVER, NEVER)  # as it is kept
        kept = dict(memory.kept.items())
        if CLOCK in kept:
            self._clock = self._newest, self._mark = tuple(json.loads(kept.pop(CLOCK)))
        for key, text in kept.items():
            self._load(key, text)

    def arrive(self, values: Values, now_ms: int) -> list[Row]:
        """A report."""
        texts = [value if value is None else str(value) for value in values]
        return self._take(dict(zip(REPORT_COLUMNS, texts, strict=True)), now_ms, False)

    def order(self, order_id: str, strategy_id: str, now_ms: int) -> list[Row]:
        """An order of the account, and the reports that waited for it."""
        self._found[_name(ORDER, order_id)] = strategy_id
        out: list[Row] = []
        for key, one in list(self._waiting.items()):
            if one.report.get("order_id") == order_id:
                self._drop(WAITING, key)
                del self._waiting[key]
                out += self._take(one.report, now_ms, one.refused)
        return out

    def applied(self, text: str, now_ms: int) -> list[Row]:
        """A report that was refused, as a person has decided that it counts: stale or not."""
        report = json.loads(text)
        one_fill = (report.get("order_id"), report.get("fill_id"))
        for key, one in list(self._waiting.items()):
            if (one.report.get("order_id"), one.report.get("fill_id")) == one_fill:
                self._drop(WAITING, key)
                del self._waiting[key]
        return self._take(report, now_ms, True, by_hand=True)

    def wake(self, now_ms: int) -> list[Row]:
        """What the clock decides."""
        if self.wake_at_ms() is None or now_ms < self._arrived_ms + self._patience():
            return []
        out = self._pass(self._newest)
        for key, one in list(self._waiting.items()):
            if not one.refused:
                out.append(self._unknown(one.report))
                self._wait(key, one._replace(refused=True))
        return out

    def wake_at_ms(self) -> int | None:
        """When the clock may decide something; None where nothing is open."""
        unknown = any(not one.refused for one in self._waiting.values())
        return self._arrived_ms + self._patience() if self._pending or unknown else None

    def settle(self) -> list[Row]:
        """Keep what has changed since this was called last; rows of latest tables."""
        out: list[Row] = []
        changed: dict[str, str] = {}
        for name in self._recounted:
            changed[_name(COUNTED, *name)] = dump_counted(self._counted[name])
        for name, (before, ended) in self._rebooked.items():
            after = self._booked[name]
            changed[_name(BOOKED, *name)] = dump(after).decode()
            out += latest_rows(self._settings, self._key(name), before, after, ended)
        if self._unkept:
            self._parcels[self._parcel] = len(self._unkept)
            changed[_name(PARCEL, str(self._parcel))] = json.dumps(list(self._unkept))
            self._parcel += 1
        if self._clock != (self._newest, self._mark):
            self._clock = (self._newest, self._mark)
            changed[CLOCK] = json.dumps(self._clock)
        # Each at once: a call into Flink costs more than what it carries.
        if changed:
            self._memory.kept.update(changed)
        if self._found:
            self._memory.facts.update(self._found)
        for name, before_ts in self._recounted.items():
            newest_ts = self._counted[name].newest_ts
            if newest_ts is not None:
                forget(self._memory.facts, before_ts, newest_ts, self._settings.ttl_ms, PAIR)
        for changes in (self._recounted, self._rebooked, self._unkept, self._found):
            changes.clear()
        return out

    def _key(self, name: Name) -> Key:
        return Key(self._account, *name, self._settings.quote(name[1]), False)

    def _patience(self) -> int:
        return self._settings.patience_ms

    def _take(self, report: Report, now_ms: int, late: bool, by_hand: bool = False) -> list[Row]:
        self._arrived_ms = now_ms
        symbol = report.get("symbol") or ""
        quote = self._settings.quote(symbol)
        found = read_report(self._with_strategy(report), quote)
        if isinstance(found, BadReport) and found.code is ReportCode.UNKNOWN_ORDER:
            key = row_id(report)
            if key not in self._waiting:
                self._wait(key, Waiting(report, now_ms, False))
            return []
        if isinstance(found, BadReport):
            return [reject_row(self._settings, report, found)]
        return self._count(found, late, by_hand)

    def _with_strategy(self, report: Report) -> Report:
        """The report with its order's strategy, where it names none and the order is known."""
        if report.get("strategy_id"):
            return report
        return {**report, "strategy_id": self._fact(_name(ORDER, report.get("order_id") or ""))}

    def _fact(self, name: str) -> str | None:
        return self._found.get(name) or self._memory.facts.get(name)

    def _count(self, fill: Fill, late: bool, by_hand: bool) -> list[Row]:
        """A fill on arrival: its change of position, and its booking if it must not wait.

        One that a person applies may be as old as it likes, but not known already.
        """
        name = (fill.strategy_id, fill.symbol)
        before = self._counted.get(name, engine.EMPTY)
        fact = _name(PAIR, *name, pair(fill))
        known = self._fact(fact)
        seen = None if known is None else int(known)
        found = engine.verdict(before, fill, seen, self._settings.ttl_ms)
        if found is Verdict.STALE and by_hand:
            found = Verdict.APPLY if seen is None else Verdict.DUPLICATE
        if found is Verdict.STALE:
            return [stale_row(self._settings, fill)]
        if found is Verdict.DUPLICATE:
            return [duplicate_row(self._settings, fill)]
        self._found[fact] = str(fill.ts)
        self._counted[name], change = engine.count(before, fill)
        self._recounted.setdefault(name, before.newest_ts)
        late = late or fill.ts <= self._mark
        out = [change_row(self._settings, change, None, late)]
        if late:
            out += self._book(fill)
        else:
            heapq.heappush(self._pending, (fill_order(fill), self._parcel, fill))
            self._unkept[fill] = None
        self._newest = max(self._newest, fill.ts)
        return out + self._pass(self._newest - self._patience())

    def _pass(self, mark: int) -> list[Row]:
        """Book what waits for a time up to the mark, in order."""
        self._mark = max(mark, self._mark)
        out: list[Row] = []
        while self._pending and self._pending[0][2].ts <= self._mark:
            _, parcel, fill = heapq.heappop(self._pending)
            out += self._book(fill)
            if parcel == self._parcel:
                del self._unkept[fill]
            else:
                self._unpack(parcel)
        return out

    def _unpack(self, parcel: int) -> None:
        """One of its fills is booked."""
        self._parcels[parcel] -= 1
        if not self._parcels[parcel]:
            del self._parcels[parcel]
            self._drop(PARCEL, str(parcel))

    def _book(self, fill: Fill) -> list[Row]:
        name = (fill.strategy_id, fill.symbol)
        key = self._key(name)
        before = self._booked.get(name, engine.EMPTY)
        self._booked[name], booked = engine.apply(before, fill, key.quote)
        _, ended = self._rebooked.setdefault(name, (before, []))
        ended += booked.ended
        return match_rows(self._settings, key, booked.matches)

    def _unknown(self, report: Report) -> Row:
        seconds = self._patience() / 1000
        text = f"no strategy, and order {report.get('order_id')!r} is not known after {seconds:g} s"
        return reject_row(self._settings, report, BadReport(ReportCode.UNKNOWN_ORDER, text))

    def _wait(self, key: str, waiting: Waiting) -> None:
        self._waiting[key] = waiting
        self._keep(WAITING, key, json.dumps([dict(waiting.report), *waiting[1:]]))

    def _keep(self, kind: str, key: str, text: str) -> None:
        self._memory.kept[_name(kind, key)] = text

    def _drop(self, kind: str, key: str) -> None:
        del self._memory.kept[_name(kind, key)]

    def _load(self, name: str, text: str) -> None:
        """One entry of what was kept."""
        kind, _, key = name.partition(SEPARATOR)
        if kind == WAITING:
            self._waiting[key] = Waiting(*json.loads(text))
        elif kind == PARCEL:
            fills = [Fill(*values) for values in json.loads(text)]
            pending = [fill for fill in fills if fill.ts > self._mark]  # the others are booked
            self._parcel = max(self._parcel, int(key) + 1)
            self._parcels[int(key)] = len(pending)
            for fill in pending:
                heapq.heappush(self._pending, (fill_order(fill), int(key), fill))
        elif kind in (COUNTED, BOOKED):
            strategy, symbol = key.split(SEPARATOR)
            books = self._counted if kind == COUNTED else self._booked
            books[strategy, symbol] = load_engine(text.encode())
        else:
            raise InvariantError(
                f"{kind!r} in the memory of account {self._account!r} is not this version's: "
                "start from a savepoint that this code wrote"
            )


def _name(*parts: str) -> str:
    return SEPARATOR.join(parts)
