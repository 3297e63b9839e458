"""One Flink dataflow for bounded runs: blobs of columns between operators, never single rows.

tasks -> dense, at any parallelism -> (key, blob)
      -> keyed by key: fold, once per key when the input has ended -> (key, blob)
      -> one operator: write, once when all folds are done -> (key, blob), the run's result
"""

import ctypes
import os
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

from pyflink.common import Configuration, Types
from pyflink.common.typeinfo import TypeInformation
from pyflink.datastream import (
    DataStream,
    FlatMapFunction,
    KeyedProcessFunction,
    RuntimeContext,
    StreamExecutionEnvironment,
)
from pyflink.datastream.state import (
    ListState,
    ListStateDescriptor,
    MapStateDescriptor,
)

from jobs.code import check_code, client_code
from jobs.jvm import TEMPORARY
from jobs.signals import held
from jobs.stored import Stored
from udfs.errors import InvariantError

Blobs = Iterable[tuple[str, bytes]]
Dense = Callable[[bytes], Blobs]
Fold = Callable[..., Blobs]  # of a key, its blobs, and perhaps a memory
# Flink's watermark at the end of a bounded input: a timer at this time fires after all input.
END_OF_INPUT = 2**63 - 1
WRITER = "run"  # the one key of the last stage
# State of a job that remembers. A slot's share of the memory that Flink manages would be too small.
ROCKSDB = {
    "state.backend.type": "rocksdb",
    "state.backend.rocksdb.memory.managed": "false",
    "state.backend.rocksdb.memory.fixed-per-slot": "128m",
}


class Stages(NamedTuple):
    """Functions at the top level of a module, which the workers import.

    dense  task -> its blobs, each for a key; called once per task
    fold   key, all blobs of the key -> blobs for the writer; called once per key that got any
    write  "run", all blobs of all folds -> the result; called once, unless no fold gave a blob

    With `remembers` fold gets a third argument: a mapping of texts, empty at first, in RocksDB.

    Blobs reach fold and write in one order whatever the parallelism: of (number of the task, place
    in the task) for fold, of (key, place in the key) for write.
    """

    dense: Dense
    fold: Fold
    write: Fold
    remembers: bool = False


class Record(NamedTuple):
    """A blob on its way: for whom, from where, and its place among those from there."""

    key: str
    origin: str
    place: int
    blob: bytes


def record_type() -> TypeInformation:
    """Flink's type of a Record. A new one each time: it can't be pickled once it was used."""
    return Types.TUPLE(
        [Types.STRING(), Types.STRING(), Types.LONG(), Types.PRIMITIVE_ARRAY(Types.BYTE())]
    )


class DenseTask(FlatMapFunction):  # type: ignore[misc]
    """Runs `dense` on each (number, task); hands on every blob as soon as it is yielded."""

    def __init__(self, dense: Dense) -> None:
        self._dense = dense
        self._code = client_code()

    def open(self, runtime_context: RuntimeContext) -> None:
        """Refuse to run with other code than the client's."""
        check_code(self._code)

    def flat_map(self, value: tuple[int, bytes]) -> Iterator[Record]:
        """Blobs of one task."""
        _check_thread()
        number, task = value
        for place, (key, blob) in enumerate(self._dense(task)):
            yield Record(key, f"{number:09d}", place, blob)


class FoldAtEnd(KeyedProcessFunction):  # type: ignore[misc]
    """Keeps a key's blobs until its input has ended, then runs `fold` on all of them.

    State "blobs": list of Record; "memory", where the fold remembers: map of texts.
    """

    def __init__(self, fold: Fold, remembers: bool = False) -> None:
        self._fold, self._remembers = fold, remembers
        self._memory: tuple[Stored, ...] = ()
        self._code = client_code()
        self._blobs: ListState

    def open(self, runtime_context: RuntimeContext) -> None:
        """Refuse to run with other code than the client's."""
        check_code(self._code)
        self._blobs = runtime_context.get_list_state(ListStateDescriptor("blobs", record_type()))
        if self._remembers:
            texts = MapStateDescriptor("memory", Types.STRING(), Types.STRING())
            self._memory = (Stored(runtime_context.get_map_state(texts)),)

    def process_element(self, value: Record, ctx: KeyedProcessFunction.Context) -> None:
        """Keep the blob."""
        self._blobs.add(value)
        ctx.timer_service().register_event_time_timer(END_OF_INPUT)

    def on_timer(
        self, timestamp: int, ctx: KeyedProcessFunction.OnTimerContext
    ) -> Iterator[Record]:
        """All blobs are there: sort, fold, and free the state."""
        _check_thread()
        records = sorted((Record(*record) for record in self._blobs.get()), key=_arrival)
        self._blobs.clear()
        key = ctx.get_current_key()
        blobs = [record.blob for record in records]
        for place, (to, blob) in enumerate(self._fold(key, blobs, *self._memory)):
            yield Record(to, key, place, blob)
        for memory in self._memory:
            memory.clear()


def _check_thread() -> None:
    """Raise InvariantError where compiled code would wait for ever.

    Flink makes a Python thread state per operator, in the thread that opens it. Code that asks for
    the interpreter lock by thread (numba, to let go of an array) finds it only if the operator also
    runs in that thread, and no other Python operator was opened there before.
    """
    if not ctypes.pythonapi.PyGILState_Check():
        raise InvariantError("this operator needs a chain of its own: call start_new_chain() on it")


def _arrival(record: Record) -> tuple[str, int]:
    return record.origin, record.place


def _source(env: StreamExecutionEnvironment, values: list[tuple[int, bytes]]) -> DataStream:
    """The values as a stream, without the empty temporary folder that PyFlink leaves behind."""
    before = tempfile.tempdir
    with tempfile.TemporaryDirectory(prefix=f"{TEMPORARY}{os.getpid()}-") as folder:
        tempfile.tempdir = folder
        try:
            return env.from_collection(values)
        finally:
            tempfile.tempdir = before


def define(env: StreamExecutionEnvironment, tasks: Sequence[bytes], stages: Stages) -> DataStream:
    """The dataflow from tasks to the writer's result, a stream of bytes."""
    if stages.remembers:
        settings = Configuration()
        for name, value in ROCKSDB.items():
            settings.set_string(name, value)
        env.configure(settings)
    with held():
        numbered = _source(env, list(enumerate(tasks)))
        records = numbered.flat_map(DenseTask(stages.dense), record_type())
        # A chain with the source would run in the source's thread: see _check_thread.
        records.uid("dense").name("dense").start_new_chain()
        folded = records.key_by(lambda record: record[0], Types.STRING()).process(
            FoldAtEnd(stages.fold, stages.remembers), record_type()
        )
        folded.uid("fold").name("fold")
        written = folded.key_by(lambda record: WRITER, Types.STRING()).process(
            FoldAtEnd(stages.write), record_type()
        )
        written.uid("write").name("write").set_parallelism(1)
        result = written.map(lambda record: bytes(record[3]))
        result.uid("result").name("result").set_parallelism(1)
    return result
