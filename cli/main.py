"""The command `tradeflow`. Commands import what they need when they run, so that help is quick."""

import io
import os
import signal
import sys

import typer

from cli.attach import EXAMPLES as ATTACH_EXAMPLES
from cli.attach import attach
from cli.backtest import EXAMPLES as BACKTEST_EXAMPLES
from cli.backtest import backtest
from cli.data import SIMULATE_EXAMPLES, simulate
from cli.data_check import CHECK_EXAMPLES, check
from cli.data_import import IMPORT_EXAMPLES, import_bars
from cli.doctor import doctor
from cli.down import EXAMPLES as DOWN_EXAMPLES
from cli.down import down
from cli.engine import EXAMPLES as ENGINE_EXAMPLES
from cli.engine import engine
from cli.fetch import EXAMPLES as FETCH_EXAMPLES
from cli.fetch import fetch
from cli.help import NO_VALUE, examples
from cli.ingest import EXAMPLES as INGEST_EXAMPLES
from cli.ingest import ingest
from cli.logs import EXAMPLES as LOGS_EXAMPLES
from cli.logs import logs
from cli.lookahead import EXAMPLES as LOOKAHEAD_EXAMPLES
from cli.lookahead import lookahead
from cli.rebuild import EXAMPLES as REBUILD_EXAMPLES
from cli.rebuild import rebuild
from cli.rejects import EXAMPLES as REJECTS_EXAMPLES
from cli.rejects import rejects
from cli.replay import EXAMPLES as REPLAY_EXAMPLES
from cli.replay import replay
from cli.status import EXAMPLES as STATUS_EXAMPLES
from cli.status import status
from cli.strategies import EXAMPLES as STRATEGIES_EXAMPLES
from cli.strategies import strategies
from cli.submit import EXAMPLES as SUBMIT_EXAMPLES
from cli.submit import submit
from cli.table import EXAMPLES as TABLE_EXAMPLES
from cli.table import table
from cli.tables import tables
from cli.top import EXAMPLES as TOP_EXAMPLES
from cli.top import top
from cli.up import EXAMPLES as UP_EXAMPLES
from cli.up import up
from cli.watch import EXAMPLES as WATCH_EXAMPLES
from cli.watch import watch

RUN = "Run"
LIVE = "Live"
LOOK_UP = "Look up"
SET_UP = "Set up"
STORE_CLIENT = "fluss"  # the module

app = typer.Typer(
    name="tradeflow",
    help="Bars to signals to trades to profit and loss, exact and repeatable, on Apache Flink.",
    epilog=examples(
        ("tradeflow data simulate", "a month of simulated bars in data/example"),
        ("tradeflow backtest", "run conf/backtest.yaml over them"),
        ("tradeflow strategies", "what can be configured"),
        ("tradeflow backtest --help", "every option of a command"),
    ),
    rich_markup_mode="rich",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
data = typer.Typer(help="Bars: fetch, import, check or simulate them.", no_args_is_help=True)


def _version(wanted: bool) -> None:
    if not wanted:
        return
    from importlib.metadata import PackageNotFoundError, version

    try:
        print(f"tradeflow {version('tradeflow')}")
    except PackageNotFoundError:
        print("tradeflow (not installed: run make setup)")
    raise typer.Exit


@app.callback()
def _options(
    version: bool = typer.Option(
        False,
        "--version",
        metavar=NO_VALUE,
        callback=_version,
        is_eager=True,
        help="Print the version and exit.",
    ),
) -> None:
    """The options of `tradeflow` itself."""


app.command(rich_help_panel=RUN, epilog=BACKTEST_EXAMPLES)(backtest)
app.command(rich_help_panel=RUN, epilog=ENGINE_EXAMPLES)(engine)
app.command(rich_help_panel=RUN, epilog=LOOKAHEAD_EXAMPLES)(lookahead)
app.command(rich_help_panel=LIVE, epilog=UP_EXAMPLES)(up)
app.command(rich_help_panel=LIVE, epilog=ATTACH_EXAMPLES)(attach)
app.command(rich_help_panel=LIVE, epilog=STATUS_EXAMPLES)(status)
app.command(rich_help_panel=LIVE, epilog=SUBMIT_EXAMPLES)(submit)
app.command(rich_help_panel=LIVE, epilog=LOGS_EXAMPLES)(logs)
app.command(rich_help_panel=LIVE, epilog=DOWN_EXAMPLES)(down)
app.command(rich_help_panel=LIVE, epilog=REPLAY_EXAMPLES)(replay)
app.command(rich_help_panel=LIVE, epilog=WATCH_EXAMPLES)(watch)
app.command(rich_help_panel=LIVE, epilog=TOP_EXAMPLES)(top)
app.command(rich_help_panel=LIVE, epilog=INGEST_EXAMPLES)(ingest)
app.command(rich_help_panel=LIVE, epilog=TABLE_EXAMPLES)(table)
app.command(rich_help_panel=LIVE, epilog=REBUILD_EXAMPLES)(rebuild)
app.command(rich_help_panel=LIVE, epilog=REJECTS_EXAMPLES)(rejects)
app.command(rich_help_panel=LOOK_UP, epilog=STRATEGIES_EXAMPLES)(strategies)
app.command(rich_help_panel=LOOK_UP)(tables)
app.command(rich_help_panel=SET_UP)(doctor)
app.add_typer(data, name="data", rich_help_panel=SET_UP)
data.command(epilog=SIMULATE_EXAMPLES)(simulate)
data.command("import", epilog=IMPORT_EXAMPLES)(import_bars)
data.command(epilog=CHECK_EXAMPLES)(check)
data.command(epilog=FETCH_EXAMPLES)(fetch)


@data.callback()
def _data() -> None:
    """A group even while it has one command."""


class WithoutPandas:
    """Says that there is no pandas: pyarrow would load it (0.2 s) at its first array, unused.

    A user's own strategy may import it.
    """

    def find_spec(self, name: str, path: object, target: object = None) -> None:
        """Refuse pandas, pass on everything else."""
        if name == "pandas" and not _asked_by_own_code():
            raise ModuleNotFoundError(f"{name} is not for the command line", name=name)


def _asked_by_own_code() -> bool:
    """Whether a module of the user is being imported; who does that has imported the loader."""
    loader = sys.modules.get("schemas.own_code")
    return loader is not None and bool(loader.is_loading())


def _stop(number: int, frame: object) -> None:
    """End as shells count it, by an exception: so that what was begun is removed."""
    raise SystemExit(128 + number)


def _open_streams() -> None:
    """Standard streams that take any text, also where the caller closed them."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115
        elif isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def main() -> None:
    """The entry point of the command."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) != signal.SIG_IGN:  # nohup ignores SIGHUP
            signal.signal(number, _stop)
    _open_streams()
    sys.meta_path.insert(0, WithoutPandas())
    try:
        app()
    except SystemExit as end:
        if STORE_CLIENT in sys.modules:
            from jobs.store.leaving import leave

            leave(end.code)
        raise


if __name__ == "__main__":
    main()
