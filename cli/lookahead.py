"""`tradeflow lookahead`: whether anything in a run reads the future."""

import contextlib
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli import options
from cli.errors import told
from cli.help import NO_VALUE, examples
from cli.overrides import load
from cli.progress import progress_of
from udfs.errors import ConfigError

if TYPE_CHECKING:  # they load slowly, and help needs none of them
    from jobs.lookahead.check import Checked
    from jobs.lookahead.cuts import Asked

FOUND = 1
SHOWN = 10
CUTS = "Where the input is cut"
EXAMPLES = examples(
    ("tradeflow lookahead", "conf/backtest.yaml"),
    ("... --config mine.yaml --strategy trend", "one strategy of it"),
    ("... --from 2019-06-03 --consecutive 5000", "another stretch, a longer one"),
    ("... --seed 2", "other cuts at random"),
)


Consecutive = Annotated[
    int, typer.Option(metavar="N", min=0, help="Cuts at bars in a row.", rich_help_panel=CUTS)
]
From = Annotated[
    str | None,
    typer.Option(
        "--from",
        metavar="TIME",
        help="Where those in a row begin, instead of in the middle of the run.",
        rich_help_panel=CUTS,
    ),
]
Random = Annotated[
    int, typer.Option(metavar="N", min=0, help="Cuts at random bars.", rich_help_panel=CUTS)
]
Seed = Annotated[
    int, typer.Option(metavar="N", min=0, help="Decides what is random.", rich_help_panel=CUTS)
]
AsJson = Annotated[
    bool,
    typer.Option(
        "--json",
        metavar=NO_VALUE,
        help="Print one JSON object only: what was checked and all that was found.",
        rich_help_panel=options.OUTPUT,
    ),
]


def lookahead(
    config: options.ConfigFile = Path("conf/backtest.yaml"),
    prices: options.Prices = None,
    start: options.Start = None,
    end: options.End = None,
    strategy: options.Strategies = None,
    settings: options.Settings = None,
    consecutive: Consecutive = 2_000,
    from_: From = None,
    random: Random = 200,
    seed: Seed = 1,
    as_json: AsJson = False,
) -> None:
    """Cut a run's bars off at many times and see that nothing before the cut changes.

    Features, signals, decisions and matches up to each cut must be those of the whole run, bit for
    bit. Exit code 1 where one is not. Nothing is written.
    """
    began = time.monotonic()
    with told("interrupted"):
        given = {"--prices": prices, "--start": start, "--end": end}
        with prints_aside(as_json):
            checked = _checked(
                config, settings or [], given, strategy or [],
                {"consecutive": consecutive, "random": random, "seed": seed, "from_": from_},
                not as_json,
            )  # fmt: skip
        seconds = time.monotonic() - began
        if as_json:
            import json

            json.dump(as_dict(checked, seconds), sys.stdout, allow_nan=False)
            print()
        else:
            _show(checked, seconds)
    if not checked.is_fine:
        raise typer.Exit(FOUND)


@contextlib.contextmanager
def prints_aside(wanted: bool) -> Iterator[None]:
    """What a user's module prints goes to standard error, where `wanted`: JSON stays whole."""
    with contextlib.redirect_stdout(sys.stderr) if wanted else contextlib.nullcontext():
        yield


def _checked(
    path: Path,
    settings: list[str],
    given: dict[str, object],
    strategies: list[str],
    cuts: dict[str, Any],
    shown: bool,
) -> "Checked":
    """The configuration's run, cut and compared."""
    config = load(path, settings, given)
    from jobs import sources
    from jobs.lookahead.check import look_ahead
    from schemas.resolve import plan_run

    plan = plan_run(config, trace=True, only_strategies=tuple(strategies))
    files = sources.list_files(config.prices.files)
    tasks, inputs = sources.plan_tasks(files, [symbol.symbol for symbol in plan.symbols])
    rows = sum(file.rows for file in inputs)
    with progress_of(shown, "starting", "bars and signals") as progress:
        return look_ahead(plan, tasks, rows, _asked(**cuts), progress)


def _asked(consecutive: int, random: int, seed: int, from_: str | None) -> "Asked":
    from jobs.lookahead.cuts import Asked
    from schemas.config_values import epoch_ms
    from schemas.overrides import yaml_value

    from_ts = None
    if from_ is not None:
        try:
            from_ts = epoch_ms(yaml_value("--from", from_))
        except ValueError as error:
            raise ConfigError(f"--from: {error}") from None
    return Asked(consecutive, random, seed, from_ts)


# ---- what is shown ---------------------------------------------------------------------------


def _show(checked: "Checked", seconds: float) -> None:
    """What was checked, then what was found."""
    from jobs.lookahead.leaks import counted
    from jobs.lookahead.leaks import told as sentence

    for name, text in _lines(checked):
        print(f"{name:<12}{text}")
    print(f"{'compared':<12}{checked.values:,} values in {seconds:.1f} s")
    print()
    if checked.silent:
        names = ", ".join(checked.silent[:5]) + (", ..." if len(checked.silent) > 5 else "")
        silent = _number(len(checked.silent), "strategies", "strategy")
        print(f"warning: {silent} gave no signal, so nothing is known of it: {names}")
    if checked.is_fine:
        print("no look-ahead found")
        return
    for leak in checked.leaks[:SHOWN]:
        print(f"LEAK: {sentence(leak)}")
        print(f"      {counted(leak)}")
    if len(checked.leaks) > SHOWN:
        print(f"{len(checked.leaks) - SHOWN} more features and strategies leak; --json has all")
    for line in _match_lines(checked):
        print(line)


def _lines(checked: "Checked") -> list[tuple[str, str]]:
    from schemas.config_values import time_text

    cuts, folded = checked.cuts, checked.folded
    timeframes = ", ".join(dict.fromkeys(timeframe for timeframe, _ in checked.features))
    row = f"{len(cuts.consecutive):,} in a row"
    if len(cuts.consecutive):
        ends = (time_text(int(cuts.consecutive[at])) for at in (0, -1))
        row += f" ({' to '.join(ends)})"
    span = f"{time_text(checked.first_ts)} to {time_text(checked.last_ts)}"
    symbols = _number(len(checked.symbols), "symbols", "symbol")
    done = f"{folded.folded:,} folds"
    if folded.folded < folded.different:
        done += f" of {folded.different:,} (all of them would take too long)"
    return [
        ("bars", f"{checked.bars:,} of {symbols}, {span}"),
        ("cuts", f"{row}, {len(cuts.random):,} at random,"),
        ("", f"{len(cuts.after_signals):,} more right after signals, "
             f"{len(cuts.whole):,} whole runs from the first bar on"),
        ("features", f"{len(checked.features):,}" + (f" on {timeframes}" if timeframes else "")),
        ("strategies", f"{len(checked.strategies):,} with {checked.signals:,} signals"),
        ("accounts", f"{folded.decisions:,} decisions, {folded.matches:,} matches; {done}"),
    ]  # fmt: skip


def _number(number: int, things: str, thing: str) -> str:
    return f"{number:,} {thing if number == 1 else things}"


def _match_lines(checked: "Checked") -> list[str]:
    """The first match or decision of each account and strategy that is another one."""
    from schemas.config_values import time_text

    first: dict[tuple[str, str], str] = {}
    for leak in checked.match_leaks:
        text = (
            f"LEAK: {leak.what} of account {leak.account}, strategy {leak.strategy}, "
            f"{leak.symbol} at {time_text(leak.ts)}: {leak.whole or 'none'} in the run, "
            f"{leak.without or 'none'} without the bars from {time_text(leak.cut_ts)} on"
        )
        first.setdefault((leak.account, leak.strategy), text)
    lines = list(first.values())
    more = [f"{len(lines) - SHOWN} more; --json has all"] if len(lines) > SHOWN else []
    return lines[:SHOWN] + more


def as_dict(checked: "Checked", seconds: float) -> dict[str, Any]:
    """All of it, for scripts. Times are epoch milliseconds."""
    from jobs.lookahead.leaks import told as sentence

    cuts = checked.cuts
    return {
        "fine": checked.is_fine,
        "seconds": round(seconds, 3),
        "symbols": list(checked.symbols),
        "bars": checked.bars,
        "first_ts": checked.first_ts,
        "last_ts": checked.last_ts,
        "cuts": {name: len(times) for name, times in cuts._asdict().items()},
        "consecutive_from_ts": int(cuts.consecutive[0]) if len(cuts.consecutive) else None,
        "features": [f"{timeframe}:{name}" for timeframe, name in checked.features],
        "strategies": list(checked.strategies),
        "strategies_without_signals": list(checked.silent),
        "signals": checked.signals,
        "decisions": checked.folded.decisions,
        "matches": checked.folded.matches,
        "folds": checked.folded.folded,
        "folds_that_differ": checked.folded.different,
        "values": checked.values,
        "leaks": [
            {
                **leak._asdict(),
                "fault": leak.fault.value,
                "features": [one.as_dict() for one in leak.features],
                "text": sentence(leak),
            }
            for leak in checked.leaks
        ],
        "match_leaks": [leak._asdict() for leak in checked.match_leaks],
    }
