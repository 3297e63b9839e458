"""A live stage inside Flink: three operators, one after the other, each a chain of its own.

order (one key) gets rows as texts: kind, tick, id and body (jobs/live/sql.py) and whether it is
    gone. It holds them until their tick is complete -> (key, message) for work, JSON
    [key, tick or null, since_ms, [[input, values, late, ended], ...]], or what tell gets
work (a key each, any parallelism) calls the stage -> rows of tables by side outputs, and to tell,
    JSON as well, [[tick, bundles or null, counts by instance], ...]
tell (one key) writes progress once all of a tick is worked

Each gets lists of what came while it worked, as tradeflow.Gather of jobs/java_classes.py gathers
it, and hands on rows as one text that tradeflow.Rows reads: a call between Java and Python costs
more than most of what it is for, and so does each value that is handed over.

State: all of it text, bytes and numbers, with a version inside. order and tell: a map "kept" of
theirs (jobs/live/shelf.py), and order's "seen" (jobs/live/seen.py). work: "state", one byte of
VERSION and the stage's bytes, and the maps "facts" and "kept". Wall clock only serves patience.
"""

import ctypes
import gc
import json
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain
from typing import Any

from pyflink.common import Time, Types
from pyflink.datastream import KeyedProcessFunction, OutputTag, RuntimeContext
from pyflink.datastream.state import (
    MapStateDescriptor,
    StateTtlConfig,
    ValueStateDescriptor,
)

from jobs.code import check_code, client_code
from jobs.java_classes import GONE
from jobs.live import order, stage, tell
from jobs.live.pulse import pulse
from jobs.live.sent import joined
from jobs.live.sql import PROGRESS, reader
from jobs.live.stage import Arrived, Bundle, Memory, Stage, Value, Worked
from jobs.stored import Keyed, Keys, Later
from schemas.ops import PROGRESS_GAPS
from schemas.table import Kind, Table
from udfs.errors import InvariantError

VERSION = 1
ORDER, WORK, TELL = "order", "work", "tell"  # names of the operators, and of their uids
KEPT, SEEN, FACTS, STATE = "kept", "seen", "facts", "state"  # names of states
ROW_FIELDS = 5  # of a row that order gets
TO_TELL = ""  # the key of messages that work hands on to tell
TTL_FACTOR = 4  # a net far behind what the stage forgets by itself
COMPACTED_ROWS = 1000
SWITCH_S = 0.00005
GARBAGE_OBJECTS = 20_000

Make = Callable[[], Stage]
Out = tuple[OutputTag, str] | str
_JSON = json.JSONEncoder(separators=(",", ":")).encode


def uid(operator: str, mode: str) -> str:
    """The operator's id in savepoints; state of one execution mode can't be read in the other."""
    return f"{operator}-{mode}"


def rows_text(rows: Iterable[Sequence[Value]]) -> str:
    """New rows of a table as `tradeflow.Rows` reads them."""
    return _JSON([(False, *values) for values in rows])


def output_tag(table: Table) -> OutputTag:
    """The side output of the table's rows, as texts."""
    return OutputTag(table.name, Types.STRING())


def now_ms() -> int:
    """The wall clock."""
    return time.time_ns() // 1_000_000


def _later(context: RuntimeContext, name: str) -> Later:
    return Later(context.get_map_state(_texts(name)))


def _texts(name: str, ttl_ms: int | None = None) -> MapStateDescriptor:
    descriptor = MapStateDescriptor(name, Types.STRING(), Types.STRING())
    if ttl_ms is not None:
        # The clean-up that is on by default hangs in thread mode.
        config = (
            StateTtlConfig.new_builder(Time.milliseconds(ttl_ms * TTL_FACTOR))
            .disable_cleanup_in_background()
            .cleanup_in_rocksdb_compact_filter(COMPACTED_ROWS, 1)
            .build()
        )
        descriptor.enable_time_to_live(config)
    return descriptor


def _share_interpreter() -> None:
    """Let threads take turns sooner: by default a small step waits 5 ms for its turn.

    Rows have no cycles, so looking for those seldom costs no memory.
    """
    sys.setswitchinterval(SWITCH_S)
    gc.set_threshold(GARBAGE_OBJECTS)


def _check_thread() -> None:
    """Raise InvariantError where compiled code would wait for ever: see jobs/adapter.py."""
    if not ctypes.pythonapi.PyGILState_Check():
        raise InvariantError("this operator shares its thread with another one of Python")


class OrderOperator(KeyedProcessFunction):  # type: ignore[misc]
    """Runs jobs.live.order.Order: rows and progress in, messages for keys out."""

    def __init__(self, make: Make) -> None:
        self._make = make
        self._code = client_code()
        self._gaps = output_tag(PROGRESS_GAPS)
        self._order: order.Order | None = None
        self._timer: int | None = None

    def open(self, runtime_context: RuntimeContext) -> None:
        """Refuse to run with other code than the client's; build the stage."""
        check_code(self._code)
        _share_interpreter()
        self._kept = _later(runtime_context, KEPT)
        self._seen = _later(runtime_context, SEEN)
        self._stage = self._make()
        self._readers = [reader(given) for given in self._stage.inputs]
        # Python has no access of its own to how long the task has waited for input.
        metrics = runtime_context._runtime_context.getMetricGroup().getTaskIOMetricGroup()
        self._idle = metrics.getIdleTimeMsPerSecond()

    def process_element(
        self, value: Sequence[str], ctx: KeyedProcessFunction.Context
    ) -> Iterator[Out]:
        """Rows of inputs and of progress, in the order in which they came."""
        now = now_ms()
        fields = iter(value)
        sent: list[order.Sent] = []
        for row in zip(*[fields] * ROW_FIELDS, strict=True):
            sent += self._take(now, *row)
        return self._messages(sent, ctx)

    def _take(
        self, now: int, kind: str, tick: str, row_id: str, body: str, gone: str
    ) -> list[order.Sent]:
        if int(kind) == PROGRESS:
            name, instance, rows = json.loads(body)
            return self._keeper().progress(int(tick), (name, instance), rows, now)
        values = self._readers[int(kind)](body)
        return self._keeper().row(int(kind), int(tick), row_id, values, now, gone == GONE)

    def on_timer(self, timestamp: int, ctx: KeyedProcessFunction.OnTimerContext) -> Iterator[Out]:
        """Patience may have ended."""
        self._timer = None
        sent = self._keeper().expired(now_ms(), self._idle.getAccumulatedCount())
        return self._messages(sent, ctx)

    def _keeper(self) -> order.Order:
        """Read once its key is known, which it is not in `open`."""
        if self._order is None:
            self._order = order.Order(self._stage, self._kept, self._seen)
        return self._order

    def _set_timer(self, ctx: KeyedProcessFunction.Context) -> None:
        # One that fires too early costs little: what it was for gets another.
        until = self._keeper().wait_until()
        if until is not None and (self._timer is None or until < self._timer):
            self._timer = until
            ctx.timer_service().register_processing_time_timer(until)

    def _messages(self, sent: list[order.Sent], ctx: KeyedProcessFunction.Context) -> Iterator[Out]:
        self._kept.flush()
        self._seen.flush()
        self._set_timer(ctx)
        messages, gaps = [], []
        for one in joined(sent):
            if isinstance(one, order.ToWork):
                # The key once more: a list of messages is for several.
                text = json.dumps([one.key, one.tick, one.since_ms, one.rows])
                messages.append((one.key, text))
            elif isinstance(one, order.ToTell):
                text = json.dumps([TO_TELL, one.tick, one.bundles, {}])
                messages.append((TO_TELL, text))
            else:
                gap = (self._stage.name, one.instance, one.ts, one.missing, one.waited_ms)
                gaps.append(gap)
        if gaps:
            yield self._gaps, rows_text(gaps)
        if messages:
            yield rows_text(messages)


class WorkOperator(KeyedProcessFunction):  # type: ignore[misc]
    """Calls the stage for a key and a tick; its rows go straight to their tables.

    Messages come some at a time. What all of them give is kept and sent in a call or two.
    """

    def __init__(self, make: Make) -> None:
        self._make = make
        self._code = client_code()
        self._tags: list[OutputTag] = [output_tag(table) for table in make().outputs]
        self._keys: Keys

    def open(self, runtime_context: RuntimeContext) -> None:
        """Refuse to run with other code than the client's; build the stage."""
        check_code(self._code)
        _share_interpreter()
        self._stage = self._make()
        state = runtime_context.get_state(ValueStateDescriptor(STATE, Types.PICKLED_BYTE_ARRAY()))
        backend = runtime_context.get_keyed_state_backend()._keyed_state_backend
        self._keys = Keys(backend, state)
        self._pulse = pulse()
        self._stops = self._pulse.stops()
        facts = runtime_context.get_map_state(_texts(FACTS, self._stage.memory_ttl_ms))
        kept = runtime_context.get_map_state(_texts(KEPT))
        self._memory = Memory(Keyed(facts, self._keys), Keyed(kept, self._keys))
        self._timers: dict[str, int] = {}  # the next one of each key that has any
        self._held: dict[str, bytes | None] = {}  # each key's state, as it was kept last

    def process_element(
        self, value: Sequence[str], ctx: KeyedProcessFunction.Context
    ) -> Iterator[Out]:
        """Bundles, and what order has to say to tell."""
        self._keys.enter(None)
        rows: list[stage.Row] = []
        told: list[list[Any]] = []
        for key, *rest in map(json.loads, value):
            if key == TO_TELL:
                told.append(rest)
                continue
            tick, since_ms, given = rest
            arrived = tuple(Arrived(one, tuple(values), *marks) for one, values, *marks in given)
            worked = self._work(key, Bundle(tick, arrived, now_ms(), since_ms), ctx)
            rows += worked.rows
            if tick is not None:
                told.append([tick, None, _counts(worked)])
        return self._sent(rows, told)

    def on_timer(self, timestamp: int, ctx: KeyedProcessFunction.OnTimerContext) -> Iterator[Out]:
        """The key wanted to be called."""
        key = ctx.get_current_key()
        self._keys.enter(key)
        self._timers.pop(key, None)
        worked = self._work(key, Bundle(None, (), now_ms()), ctx)
        return self._sent(worked.rows, [])

    def _work(self, key: str, bundle: Bundle, ctx: KeyedProcessFunction.Context) -> Worked:
        _check_thread()
        self._pulse.check(self._stops)
        self._keys.work(key)
        if key not in self._held:
            self._held[key] = unstamped(self._keys.value(), self._stage.name)
        held = self._held[key]
        worked = self._stage.work(key, held, self._memory, bundle)
        if worked.state != held:
            self._keys.update(stamped(worked.state))
            self._held[key] = worked.state
        wake_at_ms = worked.wake_at_ms
        if wake_at_ms is not None and self._timers.get(key, wake_at_ms + 1) > wake_at_ms:
            # A key that is called earlier than it wants says so, and gets another timer.
            self._timers[key] = wake_at_ms
            self._keys.use()
            ctx.timer_service().register_processing_time_timer(wake_at_ms)
        return worked

    def _sent(self, rows: Sequence[stage.Row], told: list[list[Any]]) -> Iterator[Out]:
        """Rows that another stage waits for go first, and those that people read last."""
        self._keys.flush()
        yield from self._rows([row for row in rows if row.instance is not None])
        if told:
            yield json.dumps(told)
        yield from self._rows([row for row in rows if row.instance is None])

    def _rows(self, rows: Sequence[stage.Row]) -> Iterator[Out]:
        """Those of a table with one call into Java."""
        by_table: dict[int, list[tuple[Value, ...]]] = {}
        for row in rows:
            by_table.setdefault(row.table, []).append((row.delete, *row.values))
        for number, some in by_table.items():
            table = self._stage.outputs[number]
            if table.kind is not Kind.LATEST and any(gone for gone, *_ in some):
                raise InvariantError(f"{table.name} is a history: its rows are never deleted")
            self._pulse.check(self._stops)
            yield self._tags[number], _JSON(some)


def _counts(worked: Worked) -> dict[str, int]:
    counts: dict[str, int] = {}
    for row in worked.rows:
        if row.instance is not None:
            counts[row.instance] = counts.get(row.instance, 0) + 1
    return counts


def stamped(state: bytes | None) -> bytes | None:
    """A stage's bytes as they are kept."""
    return None if state is None else bytes([VERSION]) + state


def unstamped(held: bytes | None, name: str) -> bytes | None:
    """The stage's bytes of what was kept; InvariantError for those of another version."""
    if held is None:
        return None
    if held[0] != VERSION:
        raise InvariantError(
            f"state of {name!r} in work, version {held[0]}, where version {VERSION} is read: "
            "start from a savepoint that this code wrote"
        )
    return held[1:]


class TellOperator(KeyedProcessFunction):  # type: ignore[misc]
    """Runs jobs.live.tell.Tell: counts of worked bundles in, progress rows out."""

    def __init__(self, make: Make) -> None:
        self._make = make
        self._code = client_code()
        self._tell: tell.Tell | None = None

    def open(self, runtime_context: RuntimeContext) -> None:
        """Refuse to run with other code than the client's; build the stage."""
        check_code(self._code)
        _share_interpreter()
        self._kept = _later(runtime_context, KEPT)
        self._stage = self._make()

    def process_element(
        self, value: Sequence[str], ctx: KeyedProcessFunction.Context
    ) -> Iterator[str]:
        """Ticks that were released, and bundles that were worked."""
        if self._tell is None:
            self._tell = tell.Tell(self._stage, self._kept)
        told: list[tell.Told] = []
        for tick, bundles, counts in chain.from_iterable(map(json.loads, value)):
            if bundles is None:
                told += self._tell.worked(tick, counts)
            else:
                told += self._tell.expect(tick, bundles)
        self._kept.flush()
        if told:
            yield rows_text((self._stage.name, *one) for one in told)
