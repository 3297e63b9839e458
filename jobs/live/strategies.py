"""Strategies live: final rows of features → signals. One job may hold one strategy or many.

Reads indicator_history and the indicators' progress; writes strategy_signal_history and its latest
form, and tells progress for each strategy of the configuration by itself. Key: symbol. State: the
last row of every timeframe (udfs/dense_live.py). Where a strategy has joined it is made anew from
the log's bars, as the rows of the table before lack that one's features.
"""

from functools import partial

import numpy as np

from jobs.live.prices import Log
from jobs.live.stage import (
    INSTANCE,
    Bundle,
    Input,
    Journal,
    Memory,
    Row,
    Stage,
    Upstream,
    Worked,
    no_journal,
)
from schemas.codec import Values, encode, parse_features
from schemas.market import INDICATOR_HISTORY
from schemas.own_code import library
from schemas.signals import STRATEGY_SIGNAL_HISTORY, STRATEGY_SIGNAL_LATEST
from udfs import dense, dense_live, ids
from udfs.dense import OHLCV, Frame, IndicatorRows, LastRow, Signals, SymbolFrames
from udfs.errors import InvariantError
from udfs.library import Library
from udfs.plan import RunPlan
from udfs.rows import SIDE_TEXT

NAME = "strategies"
HISTORY, LATEST = range(2)
INDICATORS = ("indicators", INSTANCE)


def stage(plan: RunPlan, patience_ms: int | None, journal: Journal = no_journal) -> Stage:
    """The stage of the plan's strategies: all of the run's, or those of one job."""
    known = library(plan.own)
    names = {symbol for one in plan.strategies for symbol in one.symbols}
    frames = {name: dense.symbol_frames(plan, name, known) for name in sorted(names)}
    return Stage(
        name=NAME,
        inputs=(
            Input(
                table=INDICATOR_HISTORY,
                columns=("symbol", "timeframe", "ts", "features"),
                ts="ts",
                lag_ms=0,
                instance=lambda values: INDICATORS,
                keys=lambda values: [str(values[0])] if values[0] in frames else [],
            ),
        ),
        upstreams=(Upstream(*INDICATORS),),
        outputs=(STRATEGY_SIGNAL_HISTORY, STRATEGY_SIGNAL_LATEST),
        instances=tuple(sorted({one.family_id for one in plan.strategies})),
        base_ms=plan.base_ms,
        patience_ms=patience_ms,
        wake=lambda tick: [],
        work=partial(work, plan, known, frames, Log(plan, journal)),
    )


def work(
    plan: RunPlan,
    known: Library,
    frames: dict[str, SymbolFrames],
    log: Log,
    symbol: str,
    state: bytes | None,
    memory: Memory,
    bundle: Bundle,
) -> Worked:
    """The signals of all strategies on one symbol at one tick. Late rows count nowhere."""
    own = frames[symbol]
    found = {str(row.values[1]): row.values for row in bundle.rows if not row.late}
    rows = [
        frame_rows(frame, found.get(frame.timeframe), wanted(own, frame)) for frame in own.frames
    ]
    carried = carried_rows(own, log, symbol, state, bundle)
    carried, signals = dense.decide(carried, rows, own)
    out: list[Row] = []
    for at in range(len(signals.ts)):
        out += signal_rows(plan, known, symbol, signals, at)
    return Worked(dense_live.dump_rows(carried, dense_live.shape(own)), out)


def carried_rows(
    own: SymbolFrames, log: Log, symbol: str, state: bytes | None, bundle: Bundle
) -> tuple[LastRow, ...]:
    """The last rows before a tick: those that were kept, unless a strategy has joined since."""
    joined = any(one.plan.from_ts is not None for frame in own.frames for one in frame.strategies)
    if dense_live.has_shape(state, own) if state else not joined:
        return dense_live.load_rows(state) if state else dense.initial_rows(own)
    if bundle.tick is None:
        raise InvariantError(f"strategies: {symbol} is worked without a tick")
    bars = log.bars(symbol, bundle.tick)
    return dense_live.catch_up(bars, own, bundle.tick - own.base_ms)[1]


def wanted(symbol: SymbolFrames, frame: Frame) -> set[str]:
    """The columns of a timeframe that any strategy of the symbol reads."""
    lent = {name.partition(":")[2] for one in symbol.frames for name in one.borrowed}
    return {*OHLCV, *frame.features.names, *lent}


def frame_rows(frame: Frame, values: Values | None, names: set[str]) -> IndicatorRows:
    """A row of the table as columns of length 1, or 0 where there is none."""
    if values is None:
        return IndicatorRows(
            frame.timeframe, np.empty(0, np.int64), {n: np.empty(0) for n in names}
        )
    features = parse_features(str(values[3]))
    columns = {name: np.array([features.get(name, np.nan)]) for name in names}
    return IndicatorRows(frame.timeframe, np.array([values[2]], dtype=np.int64), columns)


def signal_rows(
    plan: RunPlan, known: Library, symbol: str, signals: Signals, at: int
) -> tuple[Row, Row]:
    """A signal as a row of the history and of the latest table."""
    strategy = plan.strategies[signals.strategy[at]]
    action, ts = int(signals.action[at]), int(signals.ts[at])
    buy, sell = known.kinds[strategy.kind].reasons(strategy.params)
    row = {
        "signal_id": ids.signal_id(plan.run_id, strategy.strategy_id, symbol, ts),
        "strategy_id": strategy.strategy_id,
        "symbol": symbol,
        "timeframe": strategy.timeframe,
        "signal_ts": ts,
        "action": SIDE_TEXT[action],
        "close": float(signals.close[at]),
        "size_hint": float(signals.size_hint[at]),
        "confidence": float(signals.confidence[at]),
        "reason": buy if action > 0 else sell,
        "strategy_version": strategy.version,
        "params_hash": strategy.params_hash,
        "run_id": plan.run_id,
        "last_updated": ts,
    }
    history = Row(HISTORY, encode(STRATEGY_SIGNAL_HISTORY, row), strategy.family_id)
    return history, Row(LATEST, encode(STRATEGY_SIGNAL_LATEST, row))
