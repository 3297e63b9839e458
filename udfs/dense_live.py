"""The dense kernels at one tick of a live run, and what they carry as bytes with a version.

`tick` is `indicate` of udfs/dense.py for the bar that closes at a tick, if there is one, and then
for the windows that end there without it: the feed has told that nothing more will come.
"""

import json
from typing import Any

import numpy as np

from udfs import features as feature_kernels
from udfs import intrabar
from udfs.bars import Bars, Floats
from udfs.dense import IndicatorState, decide, indicate, initial_indicators, initial_rows
from udfs.errors import InvariantError
from udfs.frames import OHLCV, Frame, IndicatorRows, LastRow, SymbolFrames
from udfs.ids import hash_id
from udfs.intrabar import Watch
from udfs.resample import close_window, open_window

STATE_VERSION = 1
NO_BARS = Bars(np.empty(0, np.int64), *(np.empty(0) for _ in range(5)))
INDICATORS = "indicators"
ROWS = "strategies"
WATCHED = "bars that are not finished"


def tick(
    state: tuple[IndicatorState, ...], bars: Bars, symbol: SymbolFrames, tick_ts: int
) -> tuple[tuple[IndicatorState, ...], list[IndicatorRows]]:
    """The state after a tick and its final rows; `bars` is the one that closes there, or empty.

    Every row has ts = tick_ts, provided that each tick at which a window ends is given.
    """
    state, rows = indicate(state, bars, symbol)
    after: list[IndicatorState] = []
    final: list[IndicatorRows] = []
    for frame, carried, own in zip(symbol.frames, state, rows, strict=True):
        if frame.length_ms != symbol.base_ms:
            window, ended = close_window(carried.window, tick_ts, frame.length_ms)
            if len(ended.ts):
                kernels, own = _rows(carried, ended, frame)
                carried = IndicatorState(window, kernels)
        after.append(carried)
        final.append(own)
    return tuple(after), final


def unfinished(state: tuple[IndicatorState, ...], symbol: SymbolFrames) -> list[IndicatorRows]:
    """The bars that are not finished, as they are now; ts is the close to come."""
    return [
        _rows(carried, open_window(carried.window), frame)[1]
        for frame, carried in zip(symbol.frames, state, strict=True)
        if frame.length_ms != symbol.base_ms
    ]


def catch_up(
    bars: Bars, symbol: SymbolFrames, tick_ts: int
) -> tuple[tuple[IndicatorState, ...], tuple[LastRow, ...], tuple[Watch, ...]]:
    """What `tick`, `decide` and `watch` carry after all of these bars and the tick `tick_ts`.

    For a symbol whose timeframes or features are others than those of the state that it has.
    """
    state, rows = indicate(initial_indicators(symbol), bars, symbol)
    start = initial_rows(symbol)
    watched, _ = intrabar.watch(intrabar.initial_state(symbol), bars, symbol, start, rows)
    last, _ = decide(start, rows, symbol)
    state, rows = tick(state, NO_BARS, symbol, tick_ts)
    watched, _ = intrabar.watch(watched, NO_BARS, symbol, last, rows, tick_ts)
    last, _ = decide(last, rows, symbol)
    return state, last, watched


def shape(symbol: SymbolFrames) -> str:
    """The timeframes of a symbol and their features, in short; state fits those of its own."""
    parts = (name for one in symbol.frames for name in (one.timeframe, *one.features.names))
    lent = (name for one in symbol.frames for name in (one.timeframe, *one.borrowed))
    return hash_id(*parts, "", *lent)[:12]


def watched_shape(symbol: SymbolFrames) -> str:
    """The same of what is watched intrabar, with the strategies that do."""
    parts: list[str] = []
    for one in symbol.intrabar:
        parts += [one.timeframe, *one.features.names, "", *one.borrowed, ""]
        parts += [strategy.plan.strategy_id for strategy in one.strategies]
    return hash_id(*parts)[:12]


def fits(data: bytes, symbol: SymbolFrames) -> bool:
    """Whether what `dump_decider` gave is of this symbol's shape."""
    _, _, watched = data.partition(b"\n")
    if not watched or not symbol.intrabar:
        return not watched and not symbol.intrabar and has_shape(data, symbol)
    held = json.loads(watched.partition(b"\n")[0])["shape"]
    return has_shape(data, symbol) and bool(held == watched_shape(symbol))


def has_shape(data: bytes, symbol: SymbolFrames) -> bool:
    """Whether a state that was dumped is one of this symbol's shape; older states don't say."""
    head: dict[str, Any] = json.loads(data.partition(b"\n")[0])
    return bool(head.get("shape", shape(symbol)) == shape(symbol))


def _rows(
    carried: IndicatorState, bars: Bars, frame: Frame
) -> tuple[feature_kernels.State, IndicatorRows]:
    """What a frame's kernels make of bars of its own timeframe."""
    kernels, columns = feature_kernels.compute(carried.kernels, bars, frame.features)
    columns.update({name: getattr(bars, name) for name in OHLCV})
    return kernels, IndicatorRows(frame.timeframe, bars.ts + frame.length_ms, columns)


def ends_window(symbol: SymbolFrames, tick_ts: int) -> bool:
    """Whether a window longer than a base bar ends at a tick."""
    lengths = (f.length_ms for f in symbol.frames if f.length_ms != symbol.base_ms)
    return any(tick_ts % length == 0 for length in lengths)


def ends_bar(symbol: SymbolFrames, tick_ts: int) -> bool:
    """Whether a bar that strategies look at before it is finished ends at a tick."""
    return any(tick_ts % frame.length_ms == 0 for frame in symbol.intrabar)


def dump_indicators(state: tuple[IndicatorState, ...], of: str) -> bytes:
    """The state of `tick`, of that `shape`, as bytes: a line of JSON, then all its doubles."""
    return _dump(INDICATORS, of, [[one.window, *one.kernels] for one in state], {})


def load_indicators(data: bytes) -> tuple[IndicatorState, ...]:
    """What `dump_indicators` wrote; InvariantError where it was something else."""
    _, vectors = _load(INDICATORS, data)
    return tuple(IndicatorState(window, tuple(kernels)) for window, *kernels in vectors)


def dump_decider(
    last: tuple[LastRow, ...], watched: tuple[Watch, ...], symbol: SymbolFrames
) -> bytes:
    """The states of `decide` and `watch` as bytes; the latter only where there is one."""
    rows = dump_rows(last, shape(symbol))
    if not watched:
        return rows
    more = {
        "previous": [[one.previous.close_ts, dict(one.previous.columns)] for one in watched],
        "given": [one.given.tolist() for one in watched],
    }
    vectors = [[one.window, *one.kernels] for one in watched]
    return rows + b"\n" + _dump(WATCHED, watched_shape(symbol), vectors, more)


def load_decider(data: bytes) -> tuple[tuple[LastRow, ...], tuple[Watch, ...]]:
    """What `dump_decider` wrote; InvariantError where it was something else."""
    rows, _, watched = data.partition(b"\n")
    return load_rows(rows), _load_watched(watched) if watched else ()


def _load_watched(data: bytes) -> tuple[Watch, ...]:
    head, vectors = _load(WATCHED, data)
    return tuple(
        Watch(
            window=window,
            kernels=tuple(kernels),
            previous=LastRow(int(close_ts), columns),
            given=np.array(given, dtype=np.int64),
        )
        for (window, *kernels), (close_ts, columns), given in zip(
            vectors, head["previous"], head["given"], strict=True
        )
    )


def dump_rows(state: tuple[LastRow, ...], of: str) -> bytes:
    """The state of `decide`, of that `shape`, as bytes: JSON, doubles by their shortest text."""
    rows = [[row.close_ts, dict(row.columns)] for row in state]
    held = {"kind": ROWS, "version": STATE_VERSION, "shape": of, "rows": rows}
    return json.dumps(held).encode()


def load_rows(data: bytes) -> tuple[LastRow, ...]:
    """What `dump_rows` wrote; InvariantError where it was something else."""
    rows = _checked(data, ROWS)["rows"]
    return tuple(LastRow(int(close_ts), columns) for close_ts, columns in rows)


def _dump(kind: str, of: str, vectors: list[list[Floats]], more: dict[str, Any]) -> bytes:
    """Vectors as a line of JSON with their sizes and `more`, and then all their doubles."""
    sizes = [[len(vector) for vector in frame] for frame in vectors]
    held = {"kind": kind, "version": STATE_VERSION, "shape": of, "sizes": sizes, **more}
    doubles = [vector.astype("<f8").tobytes() for frame in vectors for vector in frame]
    return json.dumps(held).encode() + b"\n" + b"".join(doubles)


def _load(kind: str, data: bytes) -> tuple[dict[str, Any], list[list[Floats]]]:
    """(the JSON, the vectors) that `_dump` wrote."""
    line, _, body = data.partition(b"\n")
    head = _checked(line, kind)
    sizes = head["sizes"]
    if len(body) != 8 * sum(sum(frame) for frame in sizes):
        raise InvariantError(f"the state of the {kind} is damaged: its length is wrong")
    doubles = np.frombuffer(body, dtype="<f8").astype(np.float64)
    vectors: list[list[Floats]] = []
    at = 0
    for frame in sizes:
        vectors.append([])
        for size in frame:
            vectors[-1].append(doubles[at : at + size].copy())
            at += size
    return head, vectors


def _checked(data: bytes, kind: str) -> dict[str, Any]:
    held = json.loads(data)
    if not isinstance(held, dict) or (held.get("kind"), held.get("version")) != (
        kind,
        STATE_VERSION,
    ):
        raise InvariantError(
            f"no state of {kind!r}, version {STATE_VERSION}: start from a savepoint that this "
            "code wrote"
        )
    return held
