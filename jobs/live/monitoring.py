"""The monitor live: bars and changes of open positions → what positions are worth.

Reads price_1m_history, the feed's and the engine's progress, so that a minute's closes mark what
its fills have left, and open_positions_rollup, each row as it comes. Writes unrealized_pnl_latest;
a row goes when its position is flat. Nobody waits for it; its progress only tells how far it is.
Key: symbol. State: the last close and the open positions (udfs/monitoring.py).
"""

import json
from functools import partial

from jobs.live.prices import FEED, bars_input
from jobs.live.stage import (
    INSTANCE,
    Arrived,
    Bundle,
    Input,
    Memory,
    Row,
    Stage,
    Upstream,
    Worked,
    state_head,
)
from schemas.codec import amount, encode, key_values
from schemas.trading import OPEN_POSITIONS_ROLLUP, UNREALIZED_PNL_LATEST
from udfs import monitoring, sizing
from udfs.monitoring import Mark, Position, SymbolState
from udfs.plan import RunPlan, SymbolPlan

NAME = "monitor"
ENGINE = ("engine", INSTANCE)
BARS, POSITIONS = range(2)
UNREALIZED = 0


def stage(plan: RunPlan, patience_ms: int | None) -> Stage:
    """The stage of the plan's symbols."""
    engine = [Upstream(*ENGINE, is_input=False)] if plan.has_paper else []
    symbols = {one.symbol: one for one in plan.symbols}
    return Stage(
        name=NAME,
        inputs=(
            bars_input(plan),
            Input(
                table=OPEN_POSITIONS_ROLLUP,
                columns=(
                    *("account_id", "strategy_id", "symbol"),
                    *("net_qty", "avg_price", "open_cost", "updated_ts"),
                ),
                ts="updated_ts",
                lag_ms=0,
                instance=lambda values: None,
                keys=lambda values: [str(values[2])] if values[2] in symbols else [],
            ),
        ),
        upstreams=(Upstream(*FEED), *engine),
        outputs=(UNREALIZED_PNL_LATEST,),
        instances=(INSTANCE,),
        base_ms=plan.base_ms,
        patience_ms=patience_ms,
        wake=lambda tick: [],
        work=partial(work, plan.run_id, plan.base_ms, symbols),
    )


def work(
    run_id: str,
    base_ms: int,
    symbols: dict[str, SymbolPlan],
    symbol: str,
    state: bytes | None,
    memory: Memory,
    bundle: Bundle,
) -> Worked:
    """The marks of a symbol after a bar, or after a change of a position in it."""
    held = load(state)
    out: list[Row] = []
    for row in bundle.rows:
        if row.input == BARS:
            close = sizing.rounded_close(float(row.values[5] or 0), symbols[symbol])
            held, found = monitoring.on_close(held, close, int(row.values[1] or 0) + base_ms)
            out += [mark_row(symbol, one, run_id) for one in found]
        else:
            held, rows = position(held, symbol, row, run_id)
            out += rows
    return Worked(save(held), out)


def position(
    held: SymbolState, symbol: str, row: Arrived, run_id: str
) -> tuple[SymbolState, list[Row]]:
    """A row of the rollup that is new, has changed, or has ended."""
    account, strategy, _, net_qty, avg_price, open_cost, ts = row.values
    owner = (str(account), str(strategy))
    if row.ended:
        held, _ = monitoring.on_position(held, owner, None)
        name = {"account_id": account, "strategy_id": strategy, "symbol": symbol}
        return held, [Row(UNREALIZED, key_values(UNREALIZED_PNL_LATEST, name), None, True)]
    new = Position(amount(net_qty), amount(avg_price), amount(open_cost), int(ts or 0))
    held, mark = monitoring.on_position(held, owner, new)
    return held, [] if mark is None else [mark_row(symbol, mark, run_id)]


def mark_row(symbol: str, mark: Mark, run_id: str) -> Row:
    """A mark as a row of unrealized_pnl_latest."""
    account, strategy = mark.owner
    row = {
        "account_id": account,
        "strategy_id": strategy,
        "symbol": symbol,
        "unrealized_pnl": mark.unrealized,
        "current_price": mark.close,
        "avg_price": mark.position.avg_price,
        "net_qty": mark.position.net_qty,
        "ts": mark.ts,
        "run_id": run_id,
    }
    return Row(UNREALIZED, encode(UNREALIZED_PNL_LATEST, row))


def save(held: SymbolState) -> bytes:
    """The state as bytes, positions by owner."""
    positions = [[*owner, *one] for owner, one in sorted(held.positions.items())]
    return json.dumps(
        {
            "kind": NAME,
            "version": monitoring.STATE_VERSION,
            "close": held.close,
            "close_ts": held.close_ts,
            "positions": positions,
        }
    ).encode()


def load(data: bytes | None) -> SymbolState:
    """What `save` wrote; InvariantError where it was something else."""
    if data is None:
        return monitoring.EMPTY
    held = state_head(data, NAME, monitoring.STATE_VERSION)
    positions = {
        (account, strategy): Position(*values) for account, strategy, *values in held["positions"]
    }
    return SymbolState(held["close"], held["close_ts"], positions)
