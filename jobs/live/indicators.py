"""Indicators live: bars → final rows of every timeframe.

Reads price_1m_history and the feed's progress; writes indicator_history, and indicator_latest with
the bars that are not finished yet. Key: symbol. State: windows and kernels (udfs/dense_live.py);
where a strategy has joined whose features it lacks, it is made anew from the log's first bar.
"""

from functools import partial

from jobs.live.prices import FEED, Log, as_bars, bars_input
from jobs.live.stage import (
    INSTANCE,
    Bundle,
    Clock,
    Journal,
    Memory,
    Row,
    Stage,
    Upstream,
    Worked,
    no_journal,
)
from schemas.codec import Values, encode, features_text
from schemas.market import INDICATOR_HISTORY, INDICATOR_LATEST
from schemas.own_code import library
from udfs import dense, dense_live
from udfs.features import FEATURE_VERSION
from udfs.frames import IndicatorRows, SymbolFrames, symbol_frames
from udfs.plan import RunPlan

NAME = "indicators"
HISTORY, LATEST = range(2)
SHOWN_EVERY_MS = 500


def stage(
    plan: RunPlan, patience_ms: int | None, clock: Clock, journal: Journal = no_journal
) -> Stage:
    """The stage of a traced plan: all features for every symbol."""
    known = library(plan.own)
    frames = {one.symbol: symbol_frames(plan, one.symbol, known) for one in plan.symbols}
    return Stage(
        name=NAME,
        inputs=(bars_input(plan),),
        upstreams=(Upstream(*FEED),),
        outputs=(INDICATOR_HISTORY, INDICATOR_LATEST),
        instances=(INSTANCE,),
        base_ms=plan.base_ms,
        patience_ms=patience_ms,
        wake=lambda tick: [s for s in frames if dense_live.ends_window(frames[s], tick)],
        work=partial(work, frames, Log(plan, journal), clock),
    )


def work(
    frames: dict[str, SymbolFrames],
    log: Log,
    clock: Clock,
    symbol: str,
    state: bytes | None,
    memory: Memory,
    bundle: Bundle,
) -> Worked:
    """The rows of one symbol at one tick. A late bar was passed by, so it counts nowhere."""
    own = frames[symbol]
    calculated = clock()
    if state and not dense_live.has_shape(state, own):
        if bundle.tick is None:
            return Worked(state, [])  # the next tick makes it anew
        bars = log.bars(symbol, bundle.tick)
        carried, *_ = dense_live.catch_up(bars, own, bundle.tick - own.base_ms)
    else:
        carried = dense_live.load_indicators(state) if state else dense.initial_indicators(own)
    if bundle.tick is None:
        rows = dense_live.unfinished(carried, own)
        return Worked(
            state, [Row(LATEST, one) for one in values_of(symbol, rows, False, calculated)]
        )
    bars = as_bars([row.values for row in bundle.rows if not row.late])
    carried, rows = dense_live.tick(carried, bars, own, bundle.tick)
    values = values_of(symbol, rows, True, calculated)
    out = [Row(HISTORY, one, INSTANCE) for one in values]
    out += [Row(LATEST, one) for one in values]
    # Bars that are not finished can wait until those for which a strategy waits are on their way.
    later = (bundle.now_ms // SHOWN_EVERY_MS + 1) * SHOWN_EVERY_MS if len(own.frames) > 1 else None
    return Worked(dense_live.dump_indicators(carried, dense_live.shape(own)), out, later)


def values_of(symbol: str, rows: list[IndicatorRows], final: bool, calculated: int) -> list[Values]:
    """The rows of all timeframes as values of either table."""
    return [
        row_values(symbol, piece, at, final, calculated)
        for piece in rows
        for at in range(len(piece.ts))
    ]


def row_values(
    symbol: str, rows: IndicatorRows, at: int, final: bool, calculated_ts: int
) -> Values:
    """One row of either table; both have the same columns but for their keys."""
    features = {name: float(column[at]) for name, column in rows.columns.items()}
    row = {
        "symbol": symbol,
        "timeframe": rows.timeframe,
        "ts": int(rows.ts[at]),
        "final": final,
        "features": features_text(features),
        "calc_ts": calculated_ts,
        "indicator_version": FEATURE_VERSION,
    }
    return encode(INDICATOR_HISTORY, row)
