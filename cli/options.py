"""The options of `tradeflow backtest`, as its help groups them."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from cli.help import NO_VALUE
from jobs.sweep.ranking import RankBy

WHAT = "What runs"
WHERE = "Where and how"
OUTPUT = "Output"


class Runner(StrEnum):
    """Where the stages run; both give the same tables."""

    FLINK = "flink"
    LOCAL = "local"


ConfigFile = Annotated[
    Path,
    typer.Option(
        metavar="FILE",
        help="The configuration: bars, symbols, strategies, accounts.",
        rich_help_panel=WHAT,
    ),
]
Prices = Annotated[
    list[str] | None,
    typer.Option(
        metavar="GLOB",
        help="Bars to read instead of prices.files; quote the pattern. Repeatable.",
        rich_help_panel=WHAT,
    ),
]
Start = Annotated[
    str | None,
    typer.Option(
        metavar="TIME",
        help="Bars from this open time on, such as 2019-06-01T00:00:00Z or 2019-06-01.",
        rich_help_panel=WHAT,
    ),
]
End = Annotated[
    str | None,
    typer.Option(metavar="TIME", help="Bars before this open time.", rich_help_panel=WHAT),
]
Strategies = Annotated[
    list[str] | None,
    typer.Option(
        metavar="ID", help="Only this strategy or grid. Repeatable.", rich_help_panel=WHAT
    ),
]
Settings = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="Override a key; items of lists by index or id: accounts.main.fee_bps=5. Repeatable.",
        rich_help_panel=WHAT,
    ),
]
RunId = Annotated[
    str | None,
    typer.Option(metavar="ID", help="The run's name, instead of run.id.", rich_help_panel=WHERE),
]
Out = Annotated[
    Path,
    typer.Option(
        metavar="DIR", help="The folder that gets a folder per run.", rich_help_panel=WHERE
    ),
]
Overwrite = Annotated[
    bool,
    typer.Option(
        "--overwrite",
        metavar=NO_VALUE,
        help="Replace the run's folder if there is one.",
        rich_help_panel=WHERE,
    ),
]
RunnerName = Annotated[
    Runner,
    typer.Option(
        help="local: in this process, without Java. The tables are the same.",
        rich_help_panel=WHERE,
    ),
]
Parallelism = Annotated[
    int,
    typer.Option(
        metavar="N", min=1, help="Flink's; pays above some 20 million bars.", rich_help_panel=WHERE
    ),
]
Trace = Annotated[
    bool,
    typer.Option(
        "--trace",
        metavar=NO_VALUE,
        help="Write every table, from features to lots; slower and larger.",
        rich_help_panel=OUTPUT,
    ),
]
Top = Annotated[
    int,
    typer.Option(
        metavar="N",
        min=1,
        help="Sets of a grid to show, best first; all are in sweep.parquet.",
        rich_help_panel=OUTPUT,
    ),
]
Ranking = Annotated[
    RankBy,
    typer.Option("--rank-by", help="The figure that puts sets in order.", rich_help_panel=OUTPUT),
]
Quiet = Annotated[
    bool,
    typer.Option(
        "--quiet",
        metavar=NO_VALUE,
        help="Print the run's folder only.",
        rich_help_panel=OUTPUT,
    ),
]
AsJson = Annotated[
    bool,
    typer.Option(
        "--json",
        metavar=NO_VALUE,
        help="Print one JSON object only: folder, manifest, summary, warnings.",
        rich_help_panel=OUTPUT,
    ),
]
