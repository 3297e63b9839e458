"""`tradeflow backtest`: run a configuration over files of bars and show what came out."""

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from cli import options
from cli.errors import told
from cli.help import examples
from cli.overrides import load
from cli.progress import progress_of
from jobs.sweep.ranking import RankBy
from udfs.errors import ConfigError

if TYPE_CHECKING:  # they load slowly, and help needs none of them
    from jobs.run import RunReport, RunRequest
    from jobs.sweep.run import SweepStopped

EXAMPLES = examples(
    ("tradeflow backtest", "conf/backtest.yaml on Flink"),
    ("... --runner local --strategy sweep", "one grid, in this process"),
    ("... --set accounts.main.fee_bps=5", "another value for one run"),
    ("... --prices 'bars/*.csv' --start 2019-06-01", "other bars, from June on"),
    ("... --top 5 --rank-by sharpe", "the five best sets of each grid"),
    ("... --run-id traced --trace", "a run with every table"),
    ("... --json | jq '.summary[].net_pnl'", "for scripts"),
)


def backtest(
    config: options.ConfigFile = Path("conf/backtest.yaml"),
    prices: options.Prices = None,
    start: options.Start = None,
    end: options.End = None,
    strategy: options.Strategies = None,
    settings: options.Settings = None,
    run_id: options.RunId = None,
    out: options.Out = Path("runs"),
    overwrite: options.Overwrite = False,
    runner: options.RunnerName = options.Runner.FLINK,
    parallelism: options.Parallelism = 1,
    trace: options.Trace = False,
    top: options.Top = 20,
    rank_by: options.Ranking = RankBy.NET_PNL,
    quiet: options.Quiet = False,
    as_json: options.AsJson = False,
) -> None:
    """Run strategies over files of bars and show what each earned.

    Writes DIR/ID/ with trade_match_history.parquet, equity_daily.parquet, manifest.json and, with
    a grid, sweep.parquet; equal input, code and configuration give equal tables. `tradeflow tables`
    says what is in them. A long run of many sets that is interrupted goes on by the same command.
    """
    began = time.monotonic()
    with told():
        if quiet and as_json:
            raise ConfigError("--quiet and --json: choose one of them")
        checked = load(
            config,
            settings or [],
            {"--prices": prices, "--start": start, "--end": end, "--run-id": run_id},
        )
        from jobs.run import RunRequest

        request = RunRequest(
            config=checked,
            only_strategies=tuple(strategy or ()),
            out=out,
            overwrite=overwrite,
            trace=trace,
            runner=runner.value,
            parallelism=parallelism,
            rank_by=rank_by,
        )
        report = _run(request, not (quiet or as_json), top)
    with told(f"interrupted; the run is whole: {report.folder}"):
        _show(report, time.monotonic() - began, quiet, as_json, top)


def _run(request: "RunRequest", shown: bool, top: int) -> "RunReport":
    """The run, its progress `shown`."""
    from jobs.run import execute
    from jobs.sweep.run import SweepStopped

    starting = "starting Flink" if request.runner == "flink" else "starting"
    try:
        with progress_of(shown, starting) as progress:
            told_to = request._replace(sets_done=progress.sets, note=progress.note)
            return execute(told_to, progress)
    except SweepStopped as stopped:
        _show_stopped(stopped, shown, top)
        raise typer.Exit(stopped.code) from None


def _show_stopped(stopped: "SweepStopped", shown: bool, top: int) -> None:
    """Rank what is done, and say how to go on."""
    if shown:
        from cli.ranking import render_ranking
        from cli.render import gap_of, stdout_console

        console = stdout_console()
        for family in stopped.families:
            render_ranking(console, family, stopped.folder, top, gap_of(console))
    print(f"\n{stopped}", file=sys.stderr)


def _show(report: "RunReport", seconds: float, quiet: bool, as_json: bool, top: int) -> None:
    """Print the run's folder, all of it as JSON, or the tables for people."""
    if quiet:
        print(report.folder)
    elif as_json:
        import json

        shown = {
            "folder": str(report.folder),
            "seconds": round(seconds, 3),
            "summary": report.summary,
            "warnings": report.warnings,
            "manifest": report.manifest,
        }
        json.dump(shown, sys.stdout, allow_nan=False)
        print()
    else:
        from cli.render import render_report, stdout_console

        render_report(stdout_console(), report, seconds, top)
