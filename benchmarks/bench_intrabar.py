"""What intrabar costs: processor time of bars to signals, per base bar, with it and without.

    python benchmarks/bench_intrabar.py [--bars N] [--only-final]

Simulated minutes of one symbol, in the pieces of a backtest; every case RUNS times in turn, so that
other work on the machine meets all of them; medians. `--only-final` leaves out what is intrabar, so
that two versions of the code can be held against each other.
"""

import argparse
import statistics
import time
from typing import Any

from jobs.sources import PIECE_ROWS
from schemas.config import parse_config
from schemas.own_code import library
from schemas.resolve import plan_run
from udfs import dense
from udfs.bars import Bars, cut
from udfs.plan import RunPlan
from udfs.simulate import EXAMPLE_SYMBOLS, simulate

RUNS = 7
START = 1_704_067_200_000  # 2024-01-01
KINDS: dict[str, dict[str, Any]] = {
    "ema_cross": {"params": {"fast": 20, "slow": 50}},
    "20 ema_cross": {"grid": {"fast": [5, 7, 9, 11, 13], "slow": [21, 34, 55, 89]}},
    "rsi_reversion": {"params": {"period": 14, "low": 30, "high": 70}},
    "bollinger_breakout": {"params": {"period": 20, "k": 2}},
    "donchian_breakout": {"params": {"entry": 20, "exit": 10}},
}
OWN = {
    "module": "examples/my_strategy.py",
    "params": {"entry": 20, "mean": 30, "straight": 10, "least": 0.3},
}


def planned(symbol: str, strategy: dict[str, Any]) -> RunPlan:
    """A run of one strategy."""
    account = {"id": "a", "strategies": ["s"], "sizing": {"fixed_qty": "1"}}
    tree = {"symbols": {symbol: {}}, "strategies": [{"id": "s", **strategy}], "accounts": [account]}
    return plan_run(parse_config(tree))


def seconds(plan: RunPlan, symbol: str, bars: Bars) -> float:
    """Processor time of the dense stage over all bars."""
    frames = dense_frames(plan, symbol)
    state = dense.initial_state(frames)
    started = time.process_time()
    for start in range(0, len(bars.ts), PIECE_ROWS):
        state, _, _ = dense.advance(state, cut(bars, start, start + PIECE_ROWS), frames)
    return time.process_time() - started


def dense_frames(plan: RunPlan, symbol: str) -> Any:
    """The symbol's timeframes; older code has them in udfs/dense.py."""
    try:
        from udfs.frames import symbol_frames
    except ImportError:
        symbol_frames = dense.symbol_frames
    return symbol_frames(plan, symbol, library(plan.own))


def cases(only_final: bool) -> dict[str, dict[str, Any]]:
    """Strategies by what they are called here."""
    found = {}
    for name, given in {**KINDS, "own feature": OWN}.items():
        kind = given if "module" in given else {"kind": name.split()[-1], **given}
        found[f"{name}, 1m"] = kind
        for timeframe in ("5m", "15m", "1h"):
            found[f"{name}, {timeframe}"] = {**kind, "timeframe": timeframe}
            if not only_final:
                early = {**kind, "timeframe": timeframe, "intrabar": True}
                found[f"{name}, {timeframe} intrabar"] = early
    return found


def main() -> None:
    """All cases."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bars", type=int, default=500_000)
    parser.add_argument("--only-final", action="store_true")
    given = parser.parse_args()
    symbol = EXAMPLE_SYMBOLS[0].symbol
    bars = simulate(1, EXAMPLE_SYMBOLS[:1], START, given.bars)[symbol]
    plans = {name: planned(symbol, one) for name, one in cases(given.only_final).items()}
    for plan in plans.values():
        seconds(plan, symbol, cut(bars, 0, 5_000))  # compiles
    times: dict[str, list[float]] = {name: [] for name in plans}
    for _ in range(RUNS):
        for name, plan in plans.items():
            part = cut(bars, 0, len(bars.ts) // 20) if "own" in name else bars
            times[name].append(seconds(plan, symbol, part) / len(part.ts))
    for name, found in times.items():
        print(f"{name:<40}{statistics.median(found) * 1e9:>10.1f} ns per base bar")


if __name__ == "__main__":
    main()
