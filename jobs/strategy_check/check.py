"""Whether a user's file of strategies and features keeps the rules, tried on bars.

What is checked of each kind: its parameters, its answers, that its values are the same again, in
another order, in other pieces and in another process, and that nothing reads the future. A rule
that holds on these bars may still be broken on others.
"""

from collections.abc import Mapping
from typing import NamedTuple

from jobs import sources
from jobs.strategy_check.features import check_feature
from jobs.strategy_check.lines import BASE, Given, Part
from jobs.strategy_check.process import OtherProcess
from jobs.strategy_check.strategies import check_strategy
from jobs.symbol_stage import Intake
from schemas.own_code import library, own_module, read_source
from udfs.bars import Bars, cut
from udfs.errors import ConfigError
from udfs.plan import GatePlan, RunPlan, SymbolPlan
from udfs.simulate import EXAMPLE_SYMBOLS, simulate
from udfs.timeframes import MINUTE_MS

SEED = 1
START = 1_709_251_200_000  # 2024-03-01
MINUTES = 6_000
SYMBOLS = ("ALFAUSD", "DELTAUSD", "ECHOUSD")  # from few gaps to many
MOST_BARS = 20_000  # of a user's own


class FileCheck(NamedTuple):
    """All checks of a file; `bars` per symbol what they ran on."""

    path: str
    bars: Mapping[str, int]
    parts: tuple[Part, ...]

    @property
    def is_fine(self) -> bool:
        """Whether no check failed."""
        return all(part.is_fine for part in self.parts)


def simulated_bars(minutes: int = MINUTES) -> dict[str, Bars]:
    """Bars of three symbols, the same each time."""
    specs = [spec for spec in EXAMPLE_SYMBOLS if spec.symbol in SYMBOLS]
    return simulate(SEED, specs, START, minutes)


def file_bars(patterns: list[str], symbol: str) -> dict[str, Bars]:
    """The first bars of a symbol that count. ConfigError where there are none."""
    files = sources.list_files(patterns, "--prices")
    try:
        tasks, _ = sources.plan_tasks(files, [symbol])
    except ConfigError as error:
        text = str(error).replace("prices.files", "--prices")
        text = text.replace(f"a symbol of the configuration ({symbol})", f"--symbol {symbol}")
        raise ConfigError(text) from None
    task = next(one for one in tasks if one.symbol == symbol)
    unit = 10**10
    plan = RunPlan(
        run_id="check", run_tag="CHECK", start_ts=None, end_ts=None, first_ts=None,
        base_timeframe=BASE, base_ms=MINUTE_MS, symbols=(SymbolPlan(symbol, unit, unit, ""),),
        strategies=(), accounts=(), gate=GatePlan(0, True, True, 0), dedupe_ttl_ms=0, zone="UTC",
        periods=365, full_output=False, trace=False, grid_left_out=0,
    )  # fmt: skip
    for bars in Intake(plan, task).read(lambda rows: None, MOST_BARS):
        if len(bars.ts):
            return {symbol: cut(bars, 0, MOST_BARS)}
    raise ConfigError(f"--prices: none of the bars of {symbol} counts; see `tradeflow data check`")


def check_file(path: str, bars: Mapping[str, Bars], other_process: bool = True) -> FileCheck:
    """Tries all that a file has. ConfigError where it can't be loaded."""
    source = read_source(path)
    module = own_module(source)
    given = Given(module, library((source,)), bars)
    other = OtherProcess(given) if other_process else None
    parts = []
    broken = set()
    for feature in module.features:
        part = check_feature(given, feature)
        if not part.is_fine:
            broken.add(feature.stem)
        elif other is not None:
            part = part._replace(lines=(*part.lines, other.feature(feature)))
        parts.append(part)
    for kind in module.kinds:
        part = check_strategy(given, kind, frozenset(broken))
        if part.is_fine and part.was_asked and other is not None:
            part = part._replace(lines=(*part.lines, other.strategy(kind)))
        parts.append(part)
    return FileCheck(path, {symbol: len(one.ts) for symbol, one in bars.items()}, tuple(parts))
