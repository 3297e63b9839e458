"""What a live stage is: which tables it reads, for whom it waits, what it does at each tick.

A tick is the close of a base bar; the feed tells progress at every one, so ticks have no holes. A
stage releases tick t once each upstream instance has told its progress of t and the rows that it
counted are there (jobs/live/order.py); then every key that has rows gets them as one Bundle. No
Flink here: jobs/live/operators.py runs a Stage inside Flink, a for-loop runs it in tests.

Values of rows are what JSON knows: text, numbers, booleans, None. Decimals are plain text, maps are
text as well ({"a":"1.5"} for decimals; features as `name=value,name=value`).
"""

import json
from collections.abc import Callable, Iterable, Mapping, MutableMapping, Sequence
from typing import Any, NamedTuple

from schemas.table import Table
from udfs.errors import InvariantError

Value = str | int | float | bool | None
Values = tuple[Value, ...]
Clock = Callable[[], int]  # the wall clock, ms
# Rows that a table got since a wall clock, in the order of its log, values as in rows.
Journal = Callable[[Table, int], Sequence[Mapping[str, Value]]]

INSTANCE = "main"  # of a stage that has one


def no_journal(table: Table, since_ms: int) -> Sequence[Mapping[str, Value]]:
    """Nothing was written before."""
    return ()


def state_head(line: bytes, kind: str, version: int) -> dict[str, Any]:
    """The JSON that a stage's state begins with; InvariantError where it is another's."""
    head: dict[str, Any] = json.loads(line)
    if (head.get("kind"), head.get("version")) != (kind, version):
        raise InvariantError(f"no state of the {kind}, version {version}: {line[:80]!r}")
    return head


class Memory(NamedTuple):
    """Maps on disk beside a key's state: `facts` is asked one by one, `kept` is read whole once."""

    facts: MutableMapping[str, str]
    kept: MutableMapping[str, str]


class Upstream(NamedTuple):
    """An instance whose progress is waited for. `lag_ms`: its time t - lag_ms is needed for t.

    `is_input` False: its word is waited for, but the rows that it counted are none of the inputs.
    `from_ts`: it is waited for at ticks after that time alone; None: at all.
    """

    stage: str
    instance: str
    lag_ms: int = 0
    is_input: bool = True
    from_ts: int | None = None


class Input(NamedTuple):
    """A table that a stage reads.

    `columns` are read in this order, `where` is an SQL condition on the table or empty. A row
    belongs to the tick `ts + lag_ms` of its column `ts`. `instance` gives the stage and the
    instance that counted the row; None: nobody did, it goes to its keys on arrival. `keys` gives
    the keys of the stage's work that get the row. `prompt`: rows go with the next tick that is
    released, in the order of their log, whatever their own tick is. Rows of a latest table are
    counted by nobody; who was not there from the start gets each as it is now.
    """

    table: Table
    columns: tuple[str, ...]
    ts: str
    lag_ms: int
    instance: Callable[[Values], tuple[str, str] | None]
    keys: Callable[[Values], Sequence[str]]
    where: str = ""
    prompt: bool = False


class Arrived(NamedTuple):
    """A row of the input of that number. `late`: its tick had been released without it.

    `ended`: the row of a latest table is gone; its values are the last that it had.
    """

    input: int
    values: Values
    late: bool = False
    ended: bool = False


class Bundle(NamedTuple):
    """What a key gets at once; `tick` is None for rows that arrival decides, and at a wake-up.

    Rows are in the order in which they came, those of one table in the order of its log. `now_ms`
    is the wall clock, which serves patience alone. `since_ms` is the wall clock of what the stage
    remembers: what it wrote later, before it was started again, it may write once more.
    """

    tick: int | None
    rows: tuple[Arrived, ...]
    now_ms: int = 0
    since_ms: int = 0


class Row(NamedTuple):
    """A row to write: `table` indexes the stage's outputs, values in its store columns' order.

    `delete` ends the row of a latest table. `instance`: the progress row that counts it, None for
    a row that nobody downstream waits for.
    """

    table: int
    values: Values
    instance: str | None = None
    delete: bool = False


class Worked(NamedTuple):
    """A key's new state (None: nothing to keep) and the rows to write.

    `wake_at_ms`: the wall clock at which the key wants to be called again, without rows.
    """

    state: bytes | None
    rows: Sequence[Row]
    wake_at_ms: int | None = None


class Stage(NamedTuple):
    """One live job. `work(key, state, memory, bundle)` is called once per key and tick.

    `wake(tick)` names keys that are called at that tick even without rows. `instances` are the
    stage's own, each telling progress at every tick. `patience_ms` None: wait for ever.
    `memory_ttl_ms`: after some times as long by the clock, facts go by themselves; None: never.
    """

    name: str
    inputs: tuple[Input, ...]
    upstreams: tuple[Upstream, ...]
    outputs: tuple[Table, ...]
    instances: tuple[str, ...]
    base_ms: int
    patience_ms: int | None
    wake: Callable[[int], Iterable[str]]
    work: Callable[[str, bytes | None, Memory, Bundle], Worked]
    memory_ttl_ms: int | None = None
