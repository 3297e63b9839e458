"""What the contract check says: a line for each check of each kind; and what it runs on."""

import itertools
import time
from collections.abc import Callable, Iterator, Mapping
from enum import StrEnum
from typing import NamedTuple, TypeVar

import numpy as np

from jobs.lookahead.check import Checked
from jobs.lookahead.walk import Walk, walk_bars
from jobs.sources import PIECE_ROWS
from schemas.config_values import time_text
from schemas.own_code import OwnModule, UndeclaredColumn
from udfs.bars import Bars, cut
from udfs.errors import ConfigError
from udfs.library import Library
from udfs.plan import GatePlan, Params, RunPlan, StrategyPlan, SymbolPlan
from udfs.timeframes import MINUTE_MS, timeframe_ms

T = TypeVar("T")
BASE = "1m"
SLOW_NS = 2_000  # per bar: what a plain Python loop takes
CHUNK = 97  # bars of a piece where pieces are tried: no multiple of any timeframe


class Verdict(StrEnum):
    """How a check ended."""

    OK = "ok"
    WARNING = "warning"
    FAILED = "FAILED"
    SKIPPED = "not checked"


class Line(NamedTuple):
    """One check: what was found, and what to do."""

    check: str
    verdict: Verdict
    text: str

    @property
    def has_failed(self) -> bool:
        """Whether there is something to mend."""
        return self.verdict is Verdict.FAILED


class Part(NamedTuple):
    """All checks of a kind: `what` is feature or strategy."""

    what: str
    name: str
    lines: tuple[Line, ...]

    @property
    def is_fine(self) -> bool:
        """Whether no check failed."""
        return not any(line.has_failed for line in self.lines)

    @property
    def was_asked(self) -> bool:
        """Whether every check could be made."""
        return not any(line.verdict is Verdict.SKIPPED for line in self.lines)


class Given(NamedTuple):
    """What kinds are tried on: the module, all that may be named, valid 1m bars by symbol."""

    module: OwnModule
    library: Library
    bars: Mapping[str, Bars]

    @property
    def path(self) -> str:
        """The user's file."""
        return self.module.source.path

    def plan(self, strategies: tuple[StrategyPlan, ...]) -> RunPlan:
        """A run of these strategies on all symbols, without accounts."""
        unit = 10**10
        return RunPlan(
            run_id="check", run_tag="CHECK", start_ts=None, end_ts=None, first_ts=None,
            base_timeframe=BASE, base_ms=MINUTE_MS,
            symbols=tuple(SymbolPlan(name, unit, unit, "USD") for name in sorted(self.bars)),
            strategies=strategies, accounts=(), gate=GatePlan(0, True, True, 0),
            dedupe_ttl_ms=0, zone="UTC", periods=365, full_output=False, trace=False,
            grid_left_out=0, own=(self.module.source,),
        )  # fmt: skip

    def strategy(self, kind: str, timeframe: str, params: Params) -> StrategyPlan:
        """A strategy of a kind on all symbols."""
        return StrategyPlan(
            strategy_id=f"{kind}-{timeframe}", family_id=kind, kind=kind, timeframe=timeframe,
            timeframe_ms=timeframe_ms(timeframe), params=params, params_hash="", version="",
            symbols=tuple(sorted(self.bars)),
        )  # fmt: skip

    def walk(self, plan: RunPlan, symbol: str) -> Walk:
        """The run of a symbol, in the pieces that a backtest would make of these bars."""
        bars = self.bars[symbol]
        starts = range(0, len(bars.ts), PIECE_ROWS)
        pieces = (cut(bars, start, start + PIECE_ROWS) for start in starts)
        walk = walk_bars(plan, symbol, self.library, pieces)
        assert walk is not None  # bars were looked for before
        return walk


def ok(check: str, text: str = "") -> Line:
    """A check that passed."""
    return Line(check, Verdict.OK, text)


def failed(check: str, text: str) -> Line:
    """A check that did not."""
    return Line(check, Verdict.FAILED, text)


def warning(check: str, text: str) -> Line:
    """Something to look at."""
    return Line(check, Verdict.WARNING, text)


def skipped(text: str, *checks: str) -> list[Line]:
    """Checks that could tell nothing."""
    return [Line(check, Verdict.SKIPPED, text) for check in checks]


def raised(error: ConfigError, path: str, check: str = "answers") -> Line:
    """The line for what a user's function did, under the check that it belongs to."""
    text = str(error).removeprefix(f"{path}: ")
    for cause in _causes(error):
        if isinstance(cause, UndeclaredColumn):
            return failed("declared features", text)
        if isinstance(cause, ValueError | TypeError) and "read-only" in str(cause).lower():
            return failed("inputs", f"changes what it is given ({text}); work on a copy")
        if "readonly" in str(cause):
            where = text.partition("TypingError")[0]
            return failed("inputs", f"{where}changes what it is given; work on a copy")
    return failed(check, text)


def _causes(error: BaseException) -> Iterator[BaseException]:
    cause: BaseException | None = error
    while cause is not None:
        yield cause
        cause = cause.__cause__


def tried(call: Callable[[], T], path: str, check: str = "answers") -> T | Line:
    """The call's answer, or the line that says what went wrong."""
    try:
        return call()
    except ConfigError as error:
        return raised(error, path, check)


def timed(call: Callable[[], object], rows: int) -> Line:
    """The line for the speed of a call over so many bars, the best of three."""
    best = float("inf")
    for _ in range(3):
        began = time.perf_counter()
        call()
        best = min(best, time.perf_counter() - began)
    each = best / rows * 1e9
    if each > SLOW_NS:
        return warning("speed", f"{each:,.0f} ns a bar; put the loop into a function under @njit")
    return ok("speed", f"{each:,.0f} ns a bar")


def place(ts: int, symbol: str) -> str:
    """A bar, by its close time."""
    return f"at {time_text(int(ts))} of {symbol}"


def cuts_text(checked: Checked) -> str:
    """How often the bars were cut."""
    number = sum(len(times) for times in checked.cuts)
    return f"cut at {number} bars of each symbol, nothing before changes"


def unlike(one: np.ndarray, other: np.ndarray) -> int | None:
    """The first place where two float columns differ in a bit, NaN being equal to NaN."""
    left, right = np.ascontiguousarray(one), np.ascontiguousarray(other)
    if left.shape != right.shape:
        return 0
    mask = left.view(np.int64) != right.view(np.int64)
    mask &= ~(np.isnan(left) & np.isnan(right))
    return int(np.argmax(mask)) if mask.any() else None


def chunks(rows: int) -> list[tuple[int, int]]:
    """(start, stop) of pieces of CHUNK rows."""
    return [(start, min(start + CHUNK, rows)) for start in range(0, rows, CHUNK)]


def random_chunks(rows: int) -> list[tuple[int, int]]:
    """(start, stop) of pieces of random lengths, the same each time."""
    generator = np.random.default_rng(rows)
    ends = np.unique(generator.integers(1, rows, rows // 150 + 1)) if rows > 1 else []
    edges = [0, *map(int, ends), rows]
    return list(itertools.pairwise(edges))
