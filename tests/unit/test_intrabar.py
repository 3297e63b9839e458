"""Strategies that look at unfinished bars, against a loop over base bars, and cut anywhere."""

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.config import parse_config
from schemas.own_code import library
from schemas.resolve import plan_run
from tests import runs
from tests.unit.test_features import FEATURES, SHORT, assert_same_bits
from udfs import dense, dense_live, intrabar
from udfs.bars import Bars, cut
from udfs.errors import InvariantError
from udfs.features import compute, initial_state
from udfs.frames import SymbolFrames, symbol_frames
from udfs.plan import RunPlan
from udfs.signal_columns import Signals, concat_signals
from udfs.simulate import EXAMPLE_SYMBOLS, simulate

MINUTE = 60_000
SYMBOL = "ALFAUSD"
TREND = {"trend_tf": "15m", "trend_ema": 5, "rsi_period": 4, "low": 45, "high": 55}
STRATEGIES: list[dict[str, Any]] = [
    {"id": "bands", "kind": "bollinger_breakout", "timeframe": "15m",
     "params": {"period": 5, "k": 1}},
    {"id": "channel", "kind": "donchian_breakout", "timeframe": "5m",
     "params": {"entry": 4, "exit": 3}},
    {"id": "cross", "kind": "ema_cross", "timeframe": "5m",
     "grid": {"fast": [2, 3], "slow": [5, 8]}},
    {"id": "own", "module": runs.OWN, "timeframe": "5m",
     "params": {"entry": 3, "mean": 4, "straight": 3, "least": 0.1}},
    {"id": "pull", "kind": "trend_pullback", "timeframe": "5m", "params": TREND},
    {"id": "same", "kind": "trend_pullback", "timeframe": "15m", "params": TREND},
]  # fmt: skip


def planned(strategies: list[dict[str, Any]], **more: Any) -> RunPlan:
    account = {"id": "a", "strategies": [one["id"] for one in strategies]}
    tree = {
        "prices.files": "unused",
        "symbols": {SYMBOL: {}},
        "strategies": strategies,
        "accounts": [account | {"sizing": {"fixed_qty": "1"}}],
        **more,
    }
    return plan_run(parse_config(tree))


def watched(given: list[dict[str, Any]] = STRATEGIES, **more: Any) -> RunPlan:
    return planned([one | {"intrabar": True} for one in given], **more)


def frames_of(plan: RunPlan) -> SymbolFrames:
    return symbol_frames(plan, SYMBOL, library(plan.own))


def gappy_bars(minutes: int, seed: int = 3) -> Bars:
    """Bars with single and long gaps, so that windows end without their last bars."""
    bars = simulate(seed, EXAMPLE_SYMBOLS, runs.START, minutes)[SYMBOL]
    pick = np.random.default_rng(seed)
    kept = pick.random(len(bars.ts)) > 0.2
    for start in pick.integers(0, minutes, 3):
        kept[start : start + 40] = False
    return Bars(*(column[kept] for column in bars))


def signals_of(plan: RunPlan, bars: Bars, cuts: list[int] | None = None) -> Signals:
    frames = frames_of(plan)
    state = dense.initial_state(frames)
    found = []
    for start, stop in pairwise([0, *sorted(cuts or []), len(bars.ts)]):
        state, ready, _ = dense.advance(state, cut(bars, start, stop), frames)
        found.append(ready)
    return concat_signals([*found, dense.finish(state)])


Answer = tuple[str, int, int, float, float]  # strategy, ts, action, close, size_hint


def rows(plan: RunPlan, signals: Signals) -> list[Answer]:
    names = [one.strategy_id for one in plan.strategies]
    columns = [signals.ts, signals.action, signals.close, signals.size_hint]
    values = zip(signals.strategy.tolist(), *(one.tolist() for one in columns), strict=True)
    return sorted((names[number], *rest) for number, *rest in values)


# ---- kernels ---------------------------------------------------------------------------------


@settings(max_examples=20, deadline=None, derandomize=True)
@given(kind=st.sampled_from(sorted(SHORT)), seed=st.integers(0, 1000), edge=st.integers(0, 260))
def test_bars_that_are_not_final_leave_no_trace(kind: str, seed: int, edge: int) -> None:
    bars = cut(SHORT[kind], 0, 120)
    final = np.random.default_rng(seed).random(len(bars.ts)) < 0.3
    state, expected = initial_state(FEATURES), []
    for at in range(len(bars.ts)):
        after, values = compute(state, cut(bars, at, at + 1), FEATURES)
        expected.append(values)
        state = after if final[at] else state
    joined = {name: np.concatenate([one[name] for one in expected]) for name in FEATURES.names}
    found, columns = initial_state(FEATURES), []
    for start, stop in ((0, edge), (edge, len(bars.ts))):
        piece = cut(bars, start, stop)
        found, values = compute(found, piece, FEATURES, final[start:stop])
        columns.append(values)
    assert_same_bits({n: np.concatenate([one[n] for one in columns]) for n in joined}, joined)
    assert [one.tobytes() for one in found] == [one.tobytes() for one in state]


# ---- rules -----------------------------------------------------------------------------------


class Loop:
    """The rules in words: base bar by base bar, each feature by its kernel on a copy of the state.

    A strategy is asked with two rows, the last final bar and the one so far.
    """

    def __init__(self, plan: RunPlan) -> None:
        self.plan, self.frames = plan, frames_of(plan)
        self.found: list[Answer] = []
        self.given: set[tuple[int, int, int]] = set()

    def run(self, bars: Bars) -> list[Answer]:
        for frame in self.frames.intrabar:
            self.window: list[int] = []
            self.state = initial_state(frame.features)
            self.previous: dict[str, float] = {}
            for at in range(len(bars.ts)):
                start = int(bars.ts[at]) // frame.length_ms * frame.length_ms
                if self.window and int(bars.ts[self.window[0]]) < start:
                    first = int(bars.ts[self.window[0]])
                    end = first - first % frame.length_ms + frame.length_ms
                    self.moment(frame, bars, end, True)
                self.window.append(at)
                close_ts = int(bars.ts[at]) + MINUTE
                self.moment(frame, bars, close_ts, close_ts == start + frame.length_ms)
        return sorted(self.found)

    def moment(self, frame: Any, bars: Bars, ts: int, final: bool) -> None:
        inside = cut(bars, self.window[0], self.window[-1] + 1)
        start = int(inside.ts[0]) // frame.length_ms * frame.length_ms
        volume = 0.0
        for one in inside.volume.tolist():
            volume += one
        values = [inside.open[0], inside.high.max(), inside.low.min(), inside.close[-1], volume]
        bar = Bars(np.array([start]), *(np.array([one]) for one in values))
        after, columns = compute(self.state, bar, frame.features)
        now = {name: float(column[0]) for name, column in columns.items()}
        now |= dict(
            zip(("open", "high", "low", "close", "volume"), map(float, values), strict=True)
        )
        now |= {f"{frame.timeframe}:{name}": value for name, value in now.items()}
        now |= {name: self.borrowed(name, bars, ts) for name in frame.borrowed}
        for one in frame.strategies:
            pair = {n: np.array([self.previous.get(n, np.nan), now[n]]) for n in one.features}
            action = int(one.kind.signals(pair, one.plan.params)[1])
            if not action or any(np.isnan(pair[name][1]) for name in one.features):
                continue
            key = (one.number, start, action)
            if key not in self.given:
                self.given.add(key)
                if self.plan.start_ts is None or ts > self.plan.start_ts:
                    row = (one.plan.strategy_id, ts, action, now["close"], 1.0)
                    self.found.append(row)
        if final:
            self.state, self.previous, self.window = after, now, []

    def borrowed(self, name: str, bars: Bars, ts: int) -> float:
        timeframe, _, feature = name.rpartition(":")
        (other,) = [one for one in self.frames.frames if one.timeframe == timeframe]
        if (ts, timeframe) not in (kept := self.__dict__.setdefault("kept", {})):
            state, count = dense.initial_indicators(self.frames), int((bars.ts < ts).sum())
            _, rows = dense_live.tick(state, cut(bars, 0, count), self.frames, ts)
            (kept[ts, timeframe],) = [one for one in rows if one.timeframe == other.timeframe]
            if not len(kept[ts, timeframe].ts):  # `tick` shows the window that it closed alone
                _, rows = dense.indicate(state, cut(bars, 0, count), self.frames)
                (kept[ts, timeframe],) = [one for one in rows if one.timeframe == other.timeframe]
        column = kept[ts, timeframe].columns[feature]
        return float(column[-1]) if len(column) else float("nan")


@pytest.mark.parametrize("seed", range(3))
def test_the_signals_are_those_of_a_loop_over_base_bars(seed: int) -> None:
    bars = gappy_bars(600, seed)
    plan = watched()
    found = rows(plan, signals_of(plan, bars))
    assert found == Loop(plan).run(bars)
    assert {name.partition("/")[0] for name, *_ in found} == {one["id"] for one in STRATEGIES}
    assert len(found) > 60


@settings(max_examples=20, deadline=None, derandomize=True)
@given(cuts=st.lists(st.integers(0, 300), max_size=12), seed=st.integers(0, 5))
def test_pieces_cut_anywhere_give_the_same_signals(cuts: list[int], seed: int) -> None:
    bars, plan = gappy_bars(400, seed), watched()
    inside = [min(edge, len(bars.ts)) for edge in cuts]
    assert rows(plan, signals_of(plan, bars, inside)) == rows(plan, signals_of(plan, bars))


def test_bars_one_by_one_give_the_same_signals() -> None:
    bars, plan = gappy_bars(300), watched()
    every = list(range(1, len(bars.ts)))
    assert rows(plan, signals_of(plan, bars, every)) == rows(plan, signals_of(plan, bars))


def test_an_answer_at_the_end_of_a_bar_was_given_by_then() -> None:
    """Whatever a strategy says of final bars it says intrabar too: then, or earlier in that bar."""
    bars, lengths = gappy_bars(1200), {"15m": 15 * MINUTE, "5m": 5 * MINUTE}
    final, early = planned(STRATEGIES), watched()
    length = {one.strategy_id: lengths[one.timeframe] for one in final.strategies}
    given: dict[tuple[str, int, int], int] = {}
    for name, ts, action, *_ in rows(early, signals_of(early, bars)):
        key = (name, (ts - 1) // length[name], action)
        assert key not in given, "one per bar and action"
        given[key] = ts
    ends = rows(final, signals_of(final, bars))
    for name, ts, action, *_ in ends:
        assert given[name, (ts - 1) // length[name], action] <= ts
    assert len(given) > len(ends) > 60
    assert any(ts % (5 * MINUTE) for ts in given.values())


def test_what_fell_into_the_warm_up_is_not_given_again() -> None:
    bars = gappy_bars(900)
    whole = watched()
    start = int(bars.ts[len(bars.ts) // 2])
    late = watched(**{"run.start": start, "run.warmup": "1d"})
    everything = rows(whole, signals_of(whole, bars))
    assert rows(late, signals_of(late, bars)) == [row for row in everything if row[1] > start]


def test_on_the_base_timeframe_it_changes_nothing() -> None:
    one = [{"id": "s", "kind": "ema_cross", "timeframe": "1m", "params": {"fast": 3, "slow": 8}}]
    assert watched(one) == planned(one)
    assert not watched(one).strategies[0].intrabar


def test_signals_tell_that_they_are_intrabar() -> None:
    (final,) = planned(STRATEGIES[:1]).strategies
    (early,) = watched(STRATEGIES[:1]).strategies
    assert (final.version, early.version) == ("1", "1+intrabar")
    assert final.params_hash == early.params_hash


def test_final_rows_are_those_of_the_same_run_without() -> None:
    bars = gappy_bars(300)
    found = []
    for plan in (planned(STRATEGIES), watched()):
        frames = frames_of(plan._replace(trace=True))
        _, final = dense.indicate(dense.initial_indicators(frames), bars, frames)
        found.append({one.timeframe: one for one in final})
    one, other = found
    assert set(one) == set(other)
    for timeframe, own in one.items():
        assert_same_bits(own.columns, other[timeframe].columns)


def test_without_a_trace_only_other_timeframes_are_computed_at_final_bars() -> None:
    frames = frames_of(watched())
    assert [one.timeframe for one in frames.frames] == ["15m"]  # of `pull`
    assert [one.timeframe for one in frames.intrabar] == ["5m", "15m"]
    assert [one.borrowed for one in frames.intrabar] == [("15m:ema_5",), ()]


# ---- live ------------------------------------------------------------------------------------


def test_ticks_give_the_same_signals_with_a_state_that_is_saved() -> None:
    """As the live stage does it: a tick a minute, the windows that end there, state as bytes."""
    bars, plan = gappy_bars(600), watched()
    frames = frames_of(plan)
    indicators, state = dense.initial_indicators(frames), None
    found = []
    for tick in range(int(bars.ts[0]) + MINUTE, int(bars.ts[-1]) + MINUTE + 1, MINUTE):
        at = int(np.searchsorted(bars.ts, tick - MINUTE))
        here = cut(bars, at, at + 1 if bars.ts[at] == tick - MINUTE else at)
        indicators, own = dense_live.tick(indicators, here, frames, tick)
        last, watching = (
            dense_live.load_decider(state)
            if state
            else (dense.initial_rows(frames), intrabar.initial_state(frames))
        )
        after, _ = dense.decide(last, own, frames)
        watching, signals = intrabar.watch(watching, here, frames, last, own, tick)
        state = dense_live.dump_decider(after, watching, frames)
        assert dense_live.fits(state, frames)
        found.append(signals)
    assert rows(plan, concat_signals(found)) == rows(plan, signals_of(plan, bars))


def test_a_state_says_whose_it_is() -> None:
    watching, plain = frames_of(watched()), frames_of(planned(STRATEGIES))
    fewer = frames_of(watched(STRATEGIES[:-1]))
    kept = dense_live.dump_decider(
        dense.initial_rows(watching), intrabar.initial_state(watching), watching
    )
    assert dense_live.fits(kept, watching)
    assert not dense_live.fits(kept, plain)
    assert not dense_live.fits(kept, fewer)
    bare = dense_live.dump_decider(dense.initial_rows(plain), (), plain)
    assert dense_live.fits(bare, plain)
    assert not dense_live.fits(bare, watching)
    with pytest.raises(InvariantError, match="damaged"):
        dense_live.load_decider(kept[:-8])


def test_what_is_made_anew_from_the_log_is_what_was_carried() -> None:
    bars, plan = gappy_bars(200), watched()
    frames = frames_of(plan)
    tick = int(bars.ts[-1]) + 8 * MINUTE
    _, _, anew = dense_live.catch_up(bars, frames, tick)
    state, (indicators, last) = (
        intrabar.initial_state(frames),
        (
            dense.initial_indicators(frames),
            dense.initial_rows(frames),
        ),
    )
    for one in range(int(bars.ts[0]) + MINUTE, tick + 1, MINUTE):
        at = int(np.searchsorted(bars.ts, one - MINUTE))
        there = at < len(bars.ts) and bars.ts[at] == one - MINUTE
        here = cut(bars, at, at + there)
        indicators, own = dense_live.tick(indicators, here, frames, one)
        state, _ = intrabar.watch(state, here, frames, last, own, one)
        last, _ = dense.decide(last, own, frames)
    for left, right in zip(anew, state, strict=True):
        assert left.window.tobytes() == right.window.tobytes()
        assert [v.tobytes() for v in left.kernels] == [v.tobytes() for v in right.kernels]
        assert repr(left.previous) == repr(right.previous)
        assert np.array_equal(left.given, right.given)
