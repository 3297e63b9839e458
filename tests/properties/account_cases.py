"""Random accounts and signals for the properties of the bounded fold."""

import random

import numpy as np

from udfs.account import AccountInput, DayGrid, account_input
from udfs.days import day_starts, local_day
from udfs.money import units
from udfs.plan import AccountPlan, GatePlan, RunPlan, StrategyPlan, SymbolPlan
from udfs.signal_columns import Signals

START = 1_550_000_040_000
MINUTE = 60_000
TICKS = ("0.01", "0.00000001", "0.5", "0.0025")
STEPS = ("0.0001", "0.00000001", "1", "0.3")


def random_plan(rng: random.Random) -> RunPlan:
    """A plan with up to four strategies, four symbols and one account of any kind."""
    symbols = tuple(
        SymbolPlan(f"S{i}USD", units(rng.choice(TICKS)), units(rng.choice(STEPS)), "USD")
        for i in range(rng.randint(1, 4))
    )
    names = tuple(symbol.symbol for symbol in symbols)
    strategies = tuple(
        StrategyPlan(f"s{i}", f"s{i}", "ema_cross", "1m", MINUTE, {}, "0" * 12, "1", names)
        for i in range(rng.randint(1, 4))
    )
    fixed = rng.random() < 0.5
    shorts = rng.random() < 0.4
    account = AccountPlan(
        account_id="acct-1",
        strategies=tuple(s.strategy_id for s in strategies),
        fixed_qty=units(rng.choice(("1", "0.7", "12"))) if fixed else None,
        notional=None if fixed else units(rng.choice(("1000", "25.5", "1"))),
        weights={s.strategy_id: units(rng.choice(("1", "0.5", "0.333"))) for s in strategies},
        max_open_positions=rng.choice((-1, 0, 1, 2, 3)),
        max_notional=units(rng.choice(("1500", "30"))) if rng.random() < 0.3 else None,
        fee_bps=units(rng.choice(("0", "10", "-2.5", "7.77"))),
        slippage_bps=units(rng.choice(("0", "1", "33.3"))),
        start_capital=units("1000"),
        broker="paper",
        is_shadow=False,
    )
    gate = GatePlan(
        max_entries=rng.choice((0, 0, 1, 2)),
        sell_requires_long=not shorts,
        reserve_on_open=rng.random() < 0.7,
        reservation_ttl_ms=rng.choice((0, 60_000, 120_000, 300_000)),
    )
    return RunPlan(
        run_id="r",
        run_tag="BACKTEST",
        start_ts=None,
        end_ts=None,
        first_ts=None,
        base_timeframe="1m",
        base_ms=MINUTE,
        symbols=symbols,
        strategies=strategies,
        accounts=(account,),
        gate=gate,
        dedupe_ttl_ms=7 * 86_400_000,
        zone="Europe/Oslo",
        periods=365,
        full_output=True,
        trace=True,
        grid_left_out=0,
    )


def random_input(rng: random.Random, plan: RunPlan, minutes: int) -> AccountInput:
    """Signals of random strategies on random walks with gaps."""
    pieces: dict[str, Signals] = {}
    closes = []
    last_ts = START + minutes * 37 * MINUTE
    first_day, last_day = local_day(START, plan.zone), local_day(last_ts, plan.zone)
    starts = day_starts(first_day, last_day, plan.zone)
    for symbol in plan.symbols:
        present = [m for m in range(minutes) if rng.random() < 0.8]
        ts = np.array([START + m * 37 * MINUTE for m in present], dtype=np.int64)
        price = rng.choice((0.31, 7.0, 312.0))
        walk = np.array([round(price * (1 + rng.gauss(0, 0.05)), 4) for _ in present])
        pieces[symbol.symbol] = _signals(rng, plan, ts, np.maximum(walk, 0.02))
        closes.append(_day_closes(ts, np.maximum(walk, 0.02), starts))
    grid = DayGrid(first_day, starts, np.array(closes))
    return account_input(plan, plan.accounts[0], plan.symbols, pieces, grid)


def _signals(rng: random.Random, plan: RunPlan, ts: np.ndarray, close: np.ndarray) -> Signals:
    rows = []
    for number in range(len(plan.strategies)):
        for i in range(len(ts)):
            if rng.random() < 0.5:
                has_next = i + 1 < len(ts)
                action = rng.choice((1, 1, -1))
                rows.append(
                    (
                        number,
                        ts[i] + MINUTE,
                        action,
                        close[i],
                        1.0,
                        1.0,
                        ts[i + 1] if has_next else -1,
                        close[i + 1] if has_next else np.nan,
                    )
                )
    columns = list(zip(*rows, strict=True)) if rows else [()] * 8
    types = (np.int32, np.int64, np.int8, *[np.float64] * 3, np.int64, np.float64)
    return Signals(*(np.array(c, dtype=t) for c, t in zip(columns, types, strict=True)))


def _day_closes(ts: np.ndarray, close: np.ndarray, starts: np.ndarray) -> np.ndarray:
    at = np.searchsorted(ts + MINUTE, starts[1:], side="left") - 1
    return np.where(at >= 0, close[np.maximum(at, 0)], np.nan) if len(ts) else at * np.nan
