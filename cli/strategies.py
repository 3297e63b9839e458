"""`tradeflow strategies`: the kinds of strategies, and whether one's own keep the rules."""

import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.errors import told
from cli.help import NO_VALUE, examples
from cli.lookahead import prints_aside
from udfs.errors import ConfigError

if TYPE_CHECKING:  # they load slowly, and help needs none of them
    from rich.console import Console

    from jobs.strategy_check.check import FileCheck
    from jobs.strategy_check.lines import Part
    from udfs.features import FeatureKind
    from udfs.strategies import Kind

TYPES = {"period": "whole, 2 or more", "number": "number", "timeframe": "timeframe"}
FOUND = 1
OWN = "Your own"
COLOURS = {"ok": "green", "warning": "yellow", "FAILED": "bold red", "not checked": "dim"}
EXAMPLES = examples(
    ("tradeflow strategies", "the built-in kinds"),
    ("... --module my_strategy.py", "the kinds of a file"),
    ("... --check my_strategy.py", "whether they keep the rules"),
    ("... --check my_strategy.py --prices 'bars/*.csv' --symbol BTCUSD", "on bars of your own"),
)


def strategies(
    module: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="List the kinds of this file.", rich_help_panel=OWN),
    ] = None,
    check: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            help="Try all kinds of this file: no look-ahead, no state, pieces cut anywhere.",
            rich_help_panel=OWN,
        ),
    ] = None,
    prices: Annotated[
        list[str] | None,
        typer.Option(
            metavar="GLOB",
            help="Bars to try them on instead of simulated ones. Repeatable.",
            rich_help_panel=OWN,
        ),
    ] = None,
    symbol: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Whose of these bars.", rich_help_panel=OWN),
    ] = None,
    as_json: Annotated[
        bool,
        typer.Option(
            "--json",
            metavar=NO_VALUE,
            help="Print what --check found as one JSON object.",
            rich_help_panel=OWN,
        ),
    ] = False,
) -> None:
    """List the kinds of strategies, or check those of a file of your own.

    A listing says what each does, its parameters and the features it needs. A check tries each
    kind with the examples of its parameters; exit code 1 where one breaks a rule.
    """
    with told("interrupted"):
        _options(module, check, prices, symbol, as_json)
        if check is None:
            _list(module)
            return
        with prints_aside(as_json):
            checked = _checked(check, prices, symbol)
        if as_json:
            import json

            json.dump(as_dict(checked), sys.stdout)
            print()
        else:
            _show(checked, is_simulated=not prices)
    if not checked.is_fine:
        raise typer.Exit(FOUND)


def _options(
    module: str | None,
    check: str | None,
    prices: list[str] | None,
    symbol: str | None,
    as_json: bool,
) -> None:
    """ConfigError where options do not go together."""
    if check is not None and module is not None:
        raise ConfigError("--check and --module: choose one of them")
    if check is None and (prices or symbol or as_json):
        raise ConfigError("--prices, --symbol and --json go with --check FILE")
    if bool(prices) != bool(symbol):
        raise ConfigError("--prices and --symbol go together: which bars, and whose of them")


# ---- the check -------------------------------------------------------------------------------


def _checked(path: str, prices: list[str] | None, symbol: str | None) -> "FileCheck":
    from jobs.strategy_check.check import check_file, file_bars, simulated_bars
    from schemas.own_code import own_module, read_source

    own_module(read_source(path))  # so that a file that can't be loaded is told first
    bars = file_bars(prices, symbol) if prices and symbol else simulated_bars()
    return check_file(path, bars)


def _show(checked: "FileCheck", is_simulated: bool) -> None:
    from cli.render import stdout_console

    console = stdout_console()
    bars = ", ".join(f"{number:,} of {symbol}" for symbol, number in checked.bars.items())
    which = "simulated bars" if is_simulated else "bars"
    console.print(f"{checked.path}, tried on {which}: {bars}", markup=False, soft_wrap=True)
    for part in checked.parts:
        _show_part(console, part)
    lines = [line for part in checked.parts for line in part.lines]
    count = {name: sum(line.verdict == name for line in lines) for name in COLOURS}
    told_of = [f"{number} {name}" for name, number in count.items() if number]
    console.print(f"\n{', '.join(told_of)}", markup=False)


def _show_part(console: "Console", part: "Part") -> None:
    """A line per check; those that were not made together."""
    from rich.padding import Padding
    from rich.table import Table
    from rich.text import Text

    console.print(Text(f"\n{part.what} {part.name}", style="bold"))
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0), pad_edge=False)
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    left: dict[str, list[str]] = {}
    for line in part.lines:
        if line.verdict == "not checked":
            left.setdefault(line.text, []).append(line.check)
        else:
            verdict = Text(line.verdict, style=COLOURS[line.verdict])
            table.add_row(verdict, line.check, Text(line.text))
    for why, checks in left.items():
        text = Text(f"{', '.join(checks)}: {why}", style="dim")
        table.add_row(Text("not checked", style="dim"), "", text)
    console.print(Padding(table, (0, 0, 0, 2)))


def as_dict(checked: "FileCheck") -> dict[str, Any]:
    """All of it, for scripts."""
    return {
        "fine": checked.is_fine,
        "path": checked.path,
        "bars": dict(checked.bars),
        "kinds": [
            {
                "what": part.what,
                "name": part.name,
                "fine": part.is_fine,
                "checks": [line._asdict() for line in part.lines],
            }
            for part in checked.parts
        ],
    }


# ---- the listing -----------------------------------------------------------------------------


def _list(path: str | None) -> None:
    """The built-in kinds, or those of a file."""
    from cli.render import stdout_console
    from schemas.own_code import own_module, read_source
    from udfs.strategies import KINDS

    console = stdout_console()
    if path is None:
        _list_kinds(console, KINDS.values(), None)
    else:
        own = own_module(read_source(path))
        _list_features(console, own.features)
        _list_kinds(console, own.kinds, path)
    if path is None or own.kinds:
        console.print(
            "\nInstead of params, `grid: {fast: [5, 6], slow: [20, 30]}` runs every combination "
            "that makes sense,\nand `sets: [{fast: 5, slow: 13}, ...]` the listed ones.",
            markup=False,
        )


def _list_kinds(console: "Console", kinds: Iterable["Kind"], module: str | None) -> None:
    """What each does, its parameters, its features, and a line to copy."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    from udfs.strategies import example_params

    for kind in kinds:
        console.print(Text(f"\n{kind.name}", style="bold"))
        console.print(f"  {kind.doc}", markup=False)
        table = Table(box=box.SIMPLE, show_header=False, show_edge=False, padding=(0, 1))
        for param in kind.params:
            table.add_row(f"  {param.name}", TYPES.get(param.type, param.type), param.doc)
        if kind.params:
            console.print(table)
        params = example_params(kind)
        console.print(f"  needs {', '.join(kind.features(params))}", markup=False)
        console.print(example_line(kind.name, params, module), markup=False, soft_wrap=True)


def _list_features(console: "Console", features: Iterable["FeatureKind"]) -> None:
    """The name of each, and what it is."""
    from rich.text import Text

    for feature in features:
        console.print(Text(f"\n{feature.pattern}", style="bold"))
        console.print(f"  {feature.doc}", markup=False)
        console.print(f"  a feature, such as {feature.example_name}", markup=False)


def example_line(kind: str, params: dict[str, int | float | str], module: str | None = None) -> str:
    """A line of `strategies:` as a configuration has it."""
    values = ", ".join(f"{name}: {value}" for name, value in params.items())
    where = f"module: {module}, " if module else ""
    name = kind.replace("_", "-")
    return f"  - {{id: my-{name}, {where}kind: {kind}, params: {{{values}}}}}"
