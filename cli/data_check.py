"""`tradeflow data check`: what bars are worth before a backtest runs over them."""

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.errors import told
from cli.help import NO_VALUE, examples

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from feeds.checkup import Checkup

BAD_EXIT = 1
STYLES = {"OK": "green", "WARN": "yellow", "BAD": "bold red"}
CHECK_EXAMPLES = examples(
    ("tradeflow data check 'data/bars/*.parquet'", "a whole folder"),
    ("... --max-gap 3d --max-jump 20", "a market with weekends"),
    ("... --strict --json", "for scripts"),
)

Files = Annotated[
    list[str], typer.Argument(metavar="GLOB", help="Files of bars, or quoted patterns.")
]
Timeframe = Annotated[
    str | None,
    typer.Option(
        metavar="SPAN", help="The length of bars: 1m, 5m, 1h, 1d.", show_default="by the times"
    ),
]
MaxGap = Annotated[
    str | None,
    typer.Option(
        metavar="SPAN",
        help="Longer gaps are told: 90m, 6h, 3d.",
        show_default="60 bars",
    ),
]
MaxJump = Annotated[
    float,
    typer.Option(
        metavar="PERCENT",
        min=0.01,
        help="Larger moves from close to close are told, where they are also 20 times the "
        "usual one.",
    ),
]
MaxSpike = Annotated[
    float,
    typer.Option(
        metavar="PERCENT",
        min=0.01,
        help="Larger moves that revert within a bar are bad, where they are also 20 times "
        "the usual one.",
    ),
]
Strict = Annotated[
    bool, typer.Option("--strict", metavar=NO_VALUE, help="Exit code 1 for warnings too.")
]
AsJson = Annotated[
    bool, typer.Option("--json", metavar=NO_VALUE, help="Print one JSON object only.")
]


def check(
    files: Files,
    timeframe: Timeframe = None,
    max_gap: MaxGap = None,
    max_jump: MaxJump = 5.0,
    max_spike: MaxSpike = 5.0,
    is_strict: Strict = False,
    as_json: AsJson = False,
) -> None:
    """Measure bars as a backtest reads them; per symbol ok, warn or bad, and why.

    Bad is what a backtest would suffer from without a word. Exit code 1 then.
    """
    with told():
        from feeds.checkup import check_files
        from feeds.quality import Limits
        from feeds.verdict import Level, worst
        from udfs.timeframes import span_ms, timeframe_ms

        gap_ms = _length("--max-gap", max_gap, span_ms)
        base_ms = _length("--timeframe", timeframe, timeframe_ms)
        limits = Limits(gap_ms, max_jump / 100, max_spike / 100)
        found = check_files(files, limits, base_ms)
        level = worst([one.verdict for one in found])
        if as_json:
            print(json.dumps({"verdict": level.name.lower(), "symbols": [_tree(o) for o in found]}))
        else:
            _print(found)
        if level >= (Level.WARN if is_strict else Level.BAD):
            raise typer.Exit(BAD_EXIT)


def _length(option: str, text: str | None, read: Callable[[str], int]) -> int | None:
    from udfs.errors import ConfigError

    try:
        return None if text is None else read(text)
    except ValueError as error:
        raise ConfigError(f"{option}: {error}") from None


def _tree(one: "Checkup") -> dict[str, Any]:
    from feeds.times import length_text

    tree = _plain(one.quality)
    del tree["base_ms"]
    for rejected in tree["rejected"]:
        del rejected["first"]  # the file and the row in it tell more
    return {
        "symbol": tree.pop("symbol"),
        "verdict": one.verdict.level.name.lower(),
        "reasons": [
            {"level": reason.level.name.lower(), "text": reason.text}
            for reason in one.verdict.reasons
        ],
        "timeframe": length_text(one.quality.base_ms),
        **tree,
    }


def _plain(value: Any) -> Any:
    """Named values as JSON has them."""
    if isinstance(value, tuple) and hasattr(value, "_asdict"):
        return {name: _plain(part) for name, part in value._asdict().items()}
    return [_plain(part) for part in value] if isinstance(value, tuple) else value


def _print(found: "tuple[Checkup, ...]") -> None:
    from rich.text import Text

    from cli.render import stdout_console

    console = stdout_console()
    console.print()
    console.print(_table(found))
    for one in found:
        if one.verdict.reasons:
            name = one.quality.symbol or "(rows without a symbol)"
            console.print()
            console.print(Text(name, style="bold"))
            _reasons(console, one)


def _reasons(console: "Console", one: "Checkup") -> None:
    from rich.text import Text

    for reason in one.verdict.reasons:
        level = Text(f"  {reason.level.name.lower():<5}", style=STYLES[reason.level.name])
        console.print(level + Text(reason.text, style="default"), soft_wrap=True)


def _table(found: "tuple[Checkup, ...]") -> "Table":
    from rich.markup import escape

    from cli.figures import plain_table
    from feeds.times import length_text
    from feeds.verdict import at

    table = plain_table(None, 1)
    table.add_column("\nsymbol", overflow="fold")
    for name in ("\nverdict", "first bar\n(UTC)", "last bar\n(UTC)"):
        table.add_column(name, no_wrap=True)
    headers = ("\nrows", "left\nout", "\ngaps", "missing\n%", "longest\ngap", "largest\nmove %")
    for name in (*headers, "no vol-\nume %", "frozen\nbars"):
        table.add_column(name, justify="right", no_wrap=True)
    for quality, verdict in found:
        level = verdict.level.name
        gaps = quality.gaps
        table.add_row(
            escape(quality.symbol),
            f"[{STYLES[level]}]{level.lower()}[/]",
            at(quality.first_ts),
            at(quality.last_ts),
            f"{quality.rows:,}",
            f"{quality.rows - quality.bars:,}",
            f"{gaps.count:,}",
            f"{100 * gaps.missing_share:.1f}",
            length_text(gaps.longest_ms) if gaps.count else "",
            "" if quality.largest is None else f"{100 * quality.largest.change:+.1f}",
            f"{100 * quality.no_volume_share:.0f}",
            f"{quality.frozen_bars:,}",
        )
    return table
