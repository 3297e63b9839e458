"""`tradeflow watch`: a live view of a run in the terminal."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli import live_options, options
from cli.errors import INTERRUPTED, told
from cli.help import examples
from cli.live_options import stopping

if TYPE_CHECKING:  # they load slowly, and help needs none of them
    from rich.console import Group

    from feeds.live.view import View
    from jobs.store.place import StorePlace
    from schemas.config import Config

EXAMPLES = examples(
    ("tradeflow watch", "the run of conf/live.yaml"),
    ("tradeflow watch --replay 60x", "and feed its bars meanwhile, an hour in a minute"),
)
REFRESH_S = 1.0
AVERAGE_DECIMALS = 6
RUNS_ON = "the jobs run on: `tradeflow status` shows them, `tradeflow down` ends them"
MS = 1000
STAGES = ("feed", "indicators", "strategies", "tradepicker", "broker", "engine")

Replay = Annotated[
    str | None,
    typer.Option(metavar="FACTORx", help="Feed the configuration's bars meanwhile: 60x, or max."),
]
Seconds = Annotated[
    float | None, typer.Option(metavar="SECONDS", min=0.0, help="End after so long.")
]


def watch(
    config: live_options.Configuration = None,
    settings: options.Settings = None,
    run_id: options.RunId = None,
    replay: Replay = None,
    seconds: Seconds = None,
    folder: live_options.Stack = None,
    store: live_options.StoreAddress = None,
    database: live_options.Database = None,
) -> None:
    """Show bars, signals, refusals, open positions and profit of a run as it goes on.

    Ctrl-C ends the view, and the replay if it began one; the jobs run on.
    """
    with told("interrupted"):
        checked = live_options.load(config, folder, settings, {"--run-id": run_id})
        from feeds.live.place import place

        where = place(checked, folder, store, database)
        with stopping() as stop, _feeding(checked, where, replay, stop) as feeding:
            _show(checked, where, seconds, stop, feeding)
        typer.echo(RUNS_ON)
        if stop.is_set():
            raise typer.Exit(INTERRUPTED)


@contextmanager
def _feeding(
    config: "Config", where: "StorePlace", speed: str | None, stop: threading.Event
) -> Iterator[threading.Thread | None]:
    """A replay in a thread of its own, if one is asked for; it ends with the block."""
    if speed is None:
        yield None
        return
    from cli.replay import factor
    from feeds.live.place import BARS, only_feed
    from feeds.live.replay import Pace
    from feeds.live.replay import replay as feed
    from jobs.store.client import Stopped, open_client

    pace = Pace(factor(speed))
    done = threading.Event()

    def run() -> None:
        with suppress(Stopped), open_client(where, retry_s=None, stop=done, writer=BARS) as client:
            feed(client, config, pace, done, lambda progress: None)

    with only_feed(where):
        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        try:
            yield thread
        finally:
            done.set()
            thread.join(10)


def _show(
    config: "Config",
    where: "StorePlace",
    seconds: float | None,
    stop: threading.Event,
    feeding: threading.Thread | None,
) -> None:
    """Refresh until asked to stop, until the time is over, or the replay is done and worked."""
    from rich.live import Live

    from cli.render import stdout_console
    from feeds.live.view import Viewer
    from jobs.store.client import open_client
    from schemas.resolve import plan_run

    plan = plan_run(config)
    began = time.monotonic()
    with (
        open_client(where, stop=stop) as client,
        Live(console=stdout_console(), auto_refresh=False, vertical_overflow="visible") as live,
    ):
        viewer = Viewer(client, plan)
        while not stop.is_set():
            view = viewer.refresh()
            live.update(rendered(plan.run_id, view), refresh=True)
            if seconds is not None and time.monotonic() - began >= seconds:
                break
            if feeding is not None and not feeding.is_alive() and _caught_up(view):
                break
            stop.wait(REFRESH_S)


def _caught_up(view: "View") -> bool:
    return len({view.ticks.get(stage) for stage in STAGES}) == 1


def rendered(run_id: str, view: "View") -> "Group":
    """The view as tables one below the other."""
    from rich.console import Group
    from rich.text import Text

    newest = max(view.ticks.values(), default=0)
    refused = ", ".join(f"{code} {n:,}" for code, n in view.refused.most_common())
    behind = [
        f"{stage} {(newest - view.ticks[stage]) // MS} s"
        for stage in STAGES
        if view.ticks.get(stage, newest) < newest
    ]
    lines = [
        f"{run_id}: {moment(newest)} UTC, {view.bars:,} bars, {view.signals:,} signals, "
        f"{view.accepted:,} accepted, {sum(view.refused.values()):,} refused"
        + (f" ({refused})" if refused else ""),
        f"behind: {', '.join(behind) or 'nobody'}; went on without another: {view.gaps}",
    ]
    return Group(
        Text(lines[0], style="bold"),
        Text(lines[1]),
        Text(),
        _closes(view),
        _decisions(view),
        _positions(view),
        _accounts(view),
    )


def _closes(view: "View") -> Any:
    grid = _grid("bars", ("symbol", "left"), ("last bar", "left"), ("close", "right"))
    for symbol, (ts, close) in sorted(view.closes.items()):
        grid.add_row(symbol, moment(ts), f"{close:,.10g}")
    return grid


def _decisions(view: "View") -> Any:
    columns = ("time", "account", "strategy", "symbol", "action")
    grid = _grid(
        "newest decisions",
        *((name, "left") for name in columns),
        ("qty", "right"),
        ("", "left"),
    )
    for row in view.decisions:
        texts = [row["account_id"], row["strategy_id"], row["symbol"], row["action"]]
        code = row.get("code") or "accepted"
        grid.add_row(moment(row["ts"]), *texts, amount(row["qty"]), code)
    return grid


def _positions(view: "View") -> Any:
    columns = ("qty", "avg price", "last", "unrealized")
    grid = _grid(
        "open positions",
        *((name, "left") for name in ("account", "strategy", "symbol")),
        *((name, "right") for name in columns),
    )
    for one in view.positions:
        grid.add_row(
            one.account_id,
            one.strategy_id,
            one.symbol,
            amount(one.net_qty),
            amount(round(one.avg_price, AVERAGE_DECIMALS)),
            f"{one.last_close:,.10g}",
            f"{one.unrealized:,.2f}",
        )
    return grid


def _accounts(view: "View") -> Any:
    names = ("open", "realized net", "unrealized", "together")
    grid = _grid("profit", ("account", "left"), *((name, "right") for name in names))
    accounts = sorted({*view.realized, *(one.account_id for one in view.positions)})
    for account in accounts:
        own = [one for one in view.positions if one.account_id == account]
        realized = view.realized.get(account, Decimal(0))
        unrealized = sum((one.unrealized for one in own), Decimal(0))
        amounts = (realized, unrealized, realized + unrealized)
        grid.add_row(account, str(len(own)), *(f"{value:,.2f}" for value in amounts))
    return grid


def _grid(title: str, *columns: tuple[str, str]) -> Any:
    from rich import box
    from rich.table import Table

    grid = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    for name, side in columns:
        grid.add_column(name, justify=side, no_wrap=True)  # type: ignore[arg-type]
    return grid


def moment(ts: int) -> str:
    """A time to the minute."""
    return datetime.fromtimestamp(ts / MS, UTC).strftime("%Y-%m-%d %H:%M") if ts else "-"


def amount(value: Decimal | None) -> str:
    """A quantity without zeros at its end."""
    if value is None:
        return "-"
    text = f"{value:,f}"
    return text.rstrip("0").rstrip(".") if "." in text else text
