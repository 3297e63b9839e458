"""`tradeflow top`: positions, profit, freshness and health of a stack, from its metrics."""

import threading
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli import live_options
from cli.errors import INTERRUPTED, told
from cli.help import NO_VALUE, examples
from cli.live_options import stopping

if TYPE_CHECKING:  # they load slowly, and help needs none of them
    from rich.console import Group

    from jobs.stack.scrape import Samples

EXAMPLES = examples(
    ("tradeflow top", "refreshed every second, until Ctrl-C"),
    ("... --once", "once, for a log or a script"),
)
REFRESH_S = 1.0
STAGES = ("indicators", "strategies", "tradepicker", "broker", "engine", "monitor")

Once = Annotated[bool, typer.Option("--once", metavar=NO_VALUE, help="Print once and end.")]


def top(folder: live_options.Stack = None, once: Once = False) -> None:
    """Show what is open, what it is worth, how fresh the data is and whether all runs.

    The figures are those that Prometheus gets; it need not run. Exit code 1 where nothing answers.
    """
    with told("interrupted"):
        from jobs.stack.place import find
        from jobs.stack.report import metrics_of
        from jobs.stack.scrape import scrape

        where = find(folder)
        address = metrics_of(where)
        if once:
            from cli.render import stdout_console

            stdout_console().print(view(str(where.name), scrape(address)))
            return
        with stopping() as stop:
            _refresh(str(where.name), address, stop)
        raise typer.Exit(INTERRUPTED)


def _refresh(name: str, address: str, stop: threading.Event) -> None:
    from rich.live import Live
    from rich.text import Text

    from jobs.stack.scrape import scrape
    from udfs.errors import Refusal

    with Live(auto_refresh=False, screen=True) as live:
        while not stop.is_set():
            try:
                shown: Any = view(name, scrape(address))
            except Refusal as error:
                shown = Text(f"{error}; `tradeflow status` says why", style="bold red")
            live.update(shown, refresh=True)
            stop.wait(REFRESH_S)


def view(name: str, found: "Samples") -> "Group":
    """One picture of all of it."""
    from rich.console import Group
    from rich.text import Text

    parts: list[Any] = [_health(name, found), Text()]
    if found.one("tradeflow_store_up") != 1.0:
        parts.append(Text("the store does not answer: no figure of it is shown", style="bold red"))
    else:
        for grid in (_accounts(found), _pairs(found), _symbols(found), _refused(found)):
            if grid.row_count:
                parts += [grid, Text()]
    return Group(*parts)


def _health(name: str, found: "Samples") -> Any:
    from rich.text import Text

    text = Text(f"{name}  ", style="bold")
    for kind in ("process", "job"):
        values = list(found.by(f"tradeflow_{kind}_up", kind))
        down = [labels[0] for labels, value in values if value != 1.0]
        words = f"{len(values) - len(down)} of {len(values)} {kind}{'e' * (kind == 'process')}s run"
        text.append(words, style="bold red" if down else "green")
        text.append(f" (not {', '.join(down)})" if down else "", style="bold red")
        text.append("  ")
    age = found.one("prices_feed_age_seconds")
    text.append(f"feed {span(age)} ago" if age is not None else "no feed yet")
    stale = [value for _, value in found.by("te_rollup_staleness_seconds", "symbol")]
    if stale:
        text.append(f"  oldest bar waits {span(max(stale))}")
    lag = {labels[0]: value for labels, value in found.by("stage_lag_seconds", "stage")}
    late = [f"{stage} {span(lag[stage])}" for stage in STAGES if lag.get(stage)]
    text.append(f"\nbehind: {', '.join(late) or 'nobody'}")
    active = [
        f"{code} {subject}"
        for (code, subject), value in found.by("risk_alert_active", "code", "subject")
        if value
    ]
    if active:
        text.append(f"\nalerts: {', '.join(active)}", style="bold red")
    return text


def _accounts(found: "Samples") -> Any:
    grid = _grid("accounts", "account", numbers=("equity", "drawdown %", "exposure %", "open"))
    for (account,), equity in found.by("te_equity", "account"):
        drawdown = found.one("te_unrealized_drawdown_ratio", account=account)
        exposure = found.one("te_exposure_ratio", account=account)
        open_ = found.one("tp_open_symbols", account=account)
        grid.add_row(
            account,
            money(equity),
            "-" if drawdown is None else f"{drawdown * 100:.2f}",
            "-" if exposure is None else f"{exposure * 100:.1f}",
            "-" if open_ is None else f"{open_:.0f}",
        )
    return grid


def _pairs(found: "Samples") -> Any:
    names = {
        "open": "te_open_positions_count",
        "exposure": "te_net_exposure",
        "unrealized": "te_unrealized_pnl_total",
        "realized": "te_realized_pnl_total",
        "net": "te_net_pnl_total",
    }
    grid = _grid("profit", "account", "strategy", numbers=tuple(names))
    columns = [dict(found.by(name, "account", "strategy")) for name in names.values()]
    for pair in sorted({pair for column in columns for pair in column}):
        first, *rest = (column.get(pair) for column in columns)
        grid.add_row(*pair, "-" if first is None else f"{first:.0f}", *map(money, rest))
    return grid


def _symbols(found: "Samples") -> Any:
    grid = _grid("largest open", "account", "symbol", numbers=("unrealized", "bar behind"))
    for (account, symbol), value in found.by("te_unrealized_pnl_topk", "account", "symbol"):
        delay = found.one("prices_bar_delay_seconds", symbol=symbol)
        grid.add_row(account, symbol, money(value), "-" if delay is None else span(delay))
    return grid


def _refused(found: "Samples") -> Any:
    grid = _grid("gate", "account", numbers=("accepted", "refused"), last=("why",))
    for (account, _), accepted in found.by("tp_signals_accepted_total", "account", "reason"):
        codes = {
            code: value
            for (own, code), value in found.by("tp_signals_rejected_total", "account", "code")
            if own == account and value
        }
        why = ", ".join(f"{code} {codes[code]:,.0f}" for code in sorted(codes))
        grid.add_row(account, f"{accepted:,.0f}", f"{sum(codes.values()):,.0f}", why)
    return grid


def _grid(title: str, *names: str, numbers: tuple[str, ...], last: tuple[str, ...] = ()) -> Any:
    from cli.figures import plain_table

    grid = plain_table(title, 1, *names)
    for name in numbers:
        grid.add_column(name, justify="right", no_wrap=True)
    for name in last:
        grid.add_column(name)
    return grid


def money(value: float | None) -> str:
    """An amount to the cent."""
    return "-" if value is None else f"{value:,.2f}"


def span(seconds: float) -> str:
    """A span in the unit that says it shortest: 3 s, 12 min, 5 h, 3 days."""
    for limit, size, unit in ((120, 1, "s"), (7200, 60, "min"), (172_800, 3600, "h")):
        if seconds < limit:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds / 86_400:.0f} days"
