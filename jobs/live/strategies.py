"""Strategies live: final rows of features → signals. One job may hold one strategy or many.

Reads indicator_history and the indicators' progress, and where a strategy is intrabar the bars and
the feed's; writes strategy_signal_history and its latest form, and tells progress for each strategy
of the configuration by itself. Key: symbol. State: the last row of every timeframe, and the bars
that are not finished, with their kernels (udfs/dense_live.py). Where a strategy has joined it is
made anew from the log's bars, as the rows of the table before lack that one's features.
"""

from functools import partial

import numpy as np

from jobs.live.prices import FEED, Log, as_bars, bars_input
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
from udfs import dense, dense_live, ids, intrabar
from udfs.errors import InvariantError
from udfs.frames import OHLCV, Frame, IndicatorRows, LastRow, SymbolFrames, symbol_frames
from udfs.intrabar import Watch
from udfs.library import Library
from udfs.plan import RunPlan
from udfs.rows import SIDE_TEXT
from udfs.signal_columns import Signals, concat_signals

NAME = "strategies"
HISTORY, LATEST = range(2)
ROWS, BARS = range(2)  # inputs
INDICATORS = ("indicators", INSTANCE)


def stage(plan: RunPlan, patience_ms: int | None, journal: Journal = no_journal) -> Stage:
    """The stage of the plan's strategies: all of the run's, or those of one job."""
    known = library(plan.own)
    names = {symbol for one in plan.strategies for symbol in one.symbols}
    frames = {name: symbol_frames(plan, name, known) for name in sorted(names)}
    watched = {name for name, one in frames.items() if one.intrabar}
    indicators = Input(
        table=INDICATOR_HISTORY,
        columns=("symbol", "timeframe", "ts", "features"),
        ts="ts",
        lag_ms=0,
        instance=lambda values: INDICATORS,
        keys=lambda values: [str(values[0])] if values[0] in frames else [],
    )
    bars = bars_input(plan)._replace(
        keys=lambda values: [str(values[0])] if values[0] in watched else []
    )
    return Stage(
        name=NAME,
        inputs=(indicators, bars) if watched else (indicators,),
        upstreams=(Upstream(*INDICATORS), *([Upstream(*FEED)] if watched else [])),
        outputs=(STRATEGY_SIGNAL_HISTORY, STRATEGY_SIGNAL_LATEST),
        instances=tuple(sorted({one.family_id for one in plan.strategies})),
        base_ms=plan.base_ms,
        patience_ms=patience_ms,
        wake=lambda tick: [s for s in watched if dense_live.ends_bar(frames[s], tick)],
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
    new = [row for row in bundle.rows if not row.late]
    found = {str(row.values[1]): row.values for row in new if row.input == ROWS}
    rows = [frame_rows(frame, found.get(frame.timeframe), wanted(frame)) for frame in own.frames]
    last, watched = carried_state(own, log, symbol, state, bundle)
    after, signals = dense.decide(last, rows, own)
    if own.intrabar:
        bars = as_bars([row.values for row in new if row.input == BARS])
        watched, more = intrabar.watch(watched, bars, own, last, rows, bundle.tick)
        signals = concat_signals([signals, more])
    out: list[Row] = []
    for at in range(len(signals.ts)):
        out += signal_rows(plan, known, symbol, signals, at)
    return Worked(dense_live.dump_decider(after, watched, own), out)


def carried_state(
    own: SymbolFrames, log: Log, symbol: str, state: bytes | None, bundle: Bundle
) -> tuple[tuple[LastRow, ...], tuple[Watch, ...]]:
    """What is carried to a tick: what was kept, unless a strategy has joined since."""
    joined = any(one.plan.from_ts is not None for one in own.strategies)
    if dense_live.fits(state, own) if state else not joined:
        if state:
            return dense_live.load_decider(state)
        return dense.initial_rows(own), intrabar.initial_state(own)
    if bundle.tick is None:
        raise InvariantError(f"strategies: {symbol} is worked without a tick")
    bars = log.bars(symbol, bundle.tick)
    return dense_live.catch_up(bars, own, bundle.tick - own.base_ms)[1:]


def wanted(frame: Frame) -> set[str]:
    """The columns of a timeframe that any strategy of the symbol reads."""
    return {*OHLCV, *frame.features.names}


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
