"""`tradeflow engine`: the trading engine alone, over a file of exec reports."""

from enum import StrEnum
from pathlib import Path
from typing import Any

import typer

from cli.errors import told
from cli.help import NO_VALUE, examples
from cli.overrides import load

EXAMPLES = examples(
    ("tradeflow engine --exec-reports a.csv --out runs", "what fills amount to"),
    ("... --config conf/backtest.yaml --run-id fills", "with its symbols' quotes"),
)


class RunTag(StrEnum):
    """What kind of trading the exec reports tell of."""

    LIVE = "LIVE"
    PAPER_LIVE = "PAPER_LIVE"
    BACKTEST = "BACKTEST"


def engine(
    exec_reports: Path = typer.Option(
        ...,
        metavar="FILE",
        help="Exec reports, CSV or Parquet: see `tradeflow tables exec_report_history`.",
    ),
    out: Path = typer.Option(..., metavar="DIR", help="The folder that gets a folder per run."),
    run_tag: RunTag = typer.Option(RunTag.LIVE, help="The run_tag of the matches."),
    config: Path | None = typer.Option(
        None, metavar="FILE", help="A configuration; without one, the defaults of its keys hold."
    ),
    run_id: str | None = typer.Option(
        None, metavar="ID", help="The run's name, instead of the configuration's run.id."
    ),
    overwrite: bool = typer.Option(
        False, "--overwrite", metavar=NO_VALUE, help="Replace the run's folder if there is one."
    ),
) -> None:
    """Match a file of exec reports first in, first out, and show what was written.

    Writes matches, lots, rollup, realized profit and rejects; duplicates are counted in
    manifest.json.
    """
    with told():
        checked = None if config is None else load(config, (), {"--run-id": run_id})
        from jobs.engine_files import run_engine

        report = run_engine(exec_reports, out, run_tag.value, checked, overwrite, run_id)
    _show(report.folder, report.manifest)


def _show(folder: Path, manifest: dict[str, Any]) -> None:
    """Print what was written, then where."""
    from rich import box
    from rich.table import Table

    from cli.render import stdout_console

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    table.add_column("written")
    table.add_column("rows", justify="right")
    for name, count in manifest["rows"].items():
        table.add_row(name, f"{count:,}")
    table.add_section()
    table.add_row("duplicates, not applied", f"{manifest['duplicates']:,}")
    for code, count in manifest["rejected"].items():
        table.add_row(f"rejected as {code}", f"{count:,}")
    console = stdout_console()
    console.print(table)
    console.print()
    console.print(str(folder), markup=False, soft_wrap=True)
