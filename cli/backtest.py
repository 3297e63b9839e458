"""`tradeflow backtest`: run a configuration over files of bars and show what came out."""

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from cli import options
from cli.errors import told
from cli.help import examples
from cli.overrides import by_option, overrides
from cli.progress import progress_of
from udfs.errors import ConfigError

if TYPE_CHECKING:  # they load slowly, and help needs none of them
    from jobs.run import RunReport
    from schemas.config_models import Config

EXAMPLES = examples(
    ("tradeflow backtest", "conf/backtest.yaml on Flink"),
    ("... --runner local --strategy sweep", "one grid, in this process"),
    ("... --set accounts.main.fee_bps=5", "another value for one run"),
    ("... --prices 'bars/*.csv' --start 2019-06-01", "other bars, from June on"),
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
    quiet: options.Quiet = False,
    as_json: options.AsJson = False,
) -> None:
    """Run strategies over files of bars and show what each earned.

    Writes DIR/ID/ with trade_match_history.parquet, equity_daily.parquet and manifest.json; equal
    input, code and configuration give equal tables. `tradeflow tables` says what is in them.
    """
    began = time.monotonic()
    with told():
        if quiet and as_json:
            raise ConfigError("--quiet and --json: choose one of them")
        checked = _load(
            config,
            settings or [],
            {"--prices": prices, "--start": start, "--end": end, "--run-id": run_id},
        )
        from jobs.run import RunRequest, execute

        request = RunRequest(
            config=checked,
            only_strategies=tuple(strategy or ()),
            out=out,
            overwrite=overwrite,
            trace=trace,
            runner=runner.value,
            parallelism=parallelism,
        )
        starting = "starting Flink" if runner is options.Runner.FLINK else "starting"
        with progress_of(not (quiet or as_json), starting) as progress:
            report = execute(request, progress)
    with told(f"interrupted; the run is whole: {report.folder}"):
        _show(report, time.monotonic() - began, quiet, as_json)


def _load(path: Path, settings: list[str], given: dict[str, object]) -> "Config":
    """The checked configuration with what the command line says."""
    from schemas.config import load_config

    found = overrides(settings, given)
    try:
        return load_config(path, found)
    except ConfigError as error:
        raise ConfigError(by_option(str(error), given)) from None


def _show(report: "RunReport", seconds: float, quiet: bool, as_json: bool) -> None:
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

        render_report(stdout_console(), report, seconds)
