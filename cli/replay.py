"""`tradeflow replay`: files of bars as the feed of a live store."""

import re
import sys
import time
from typing import TYPE_CHECKING, Annotated

import typer

from cli import live_options, options
from cli.errors import INTERRUPTED, told
from cli.help import NO_VALUE, examples
from cli.live_options import note, stopping
from udfs.errors import ConfigError

if TYPE_CHECKING:  # they load slowly, and help needs none of them
    from feeds.live.replay import Progress, Replayed

EXAMPLES = examples(
    ("tradeflow replay --speed max --wait", "all bars of the configuration, until all is done"),
    ("... --speed 60x", "an hour of bars in a minute"),
    ("... --prices 'bars/*.csv' --start 2019-06-01", "other bars, from June on"),
)
HOW = "How"
SAY_EVERY_S = 5.0
LATE_SHARE = 0.001

Speed = Annotated[
    str,
    typer.Option(
        metavar="FACTORx",
        help="60x: a minute of bars each second. max: without a pause.",
        rich_help_panel=HOW,
    ),
]
Wait = Annotated[
    bool,
    typer.Option(
        "--wait",
        metavar=NO_VALUE,
        help="Return once every stage has done the last minute.",
        rich_help_panel=HOW,
    ),
]
Patience = Annotated[
    float,
    typer.Option(
        metavar="SECONDS",
        min=1.0,
        help="With --wait: give up when no stage has moved for so long.",
        rich_help_panel=HOW,
    ),
]


def replay(
    config: live_options.Configuration = None,
    prices: options.Prices = None,
    start: options.Start = None,
    end: options.End = None,
    settings: options.Settings = None,
    run_id: options.RunId = None,
    speed: Speed = "60x",
    wait: Wait = False,
    patience: Patience = 120.0,
    max_gap: live_options.MaxGap = "30d",
    folder: live_options.Stack = None,
    store: live_options.StoreAddress = None,
    database: live_options.Database = None,
) -> None:
    """Write files of bars into a live store, minute by minute, as a feed would.

    The same command goes on where it stood, after Ctrl-C and kill -9, too. Minutes without bars
    are told as such. The checks and counts are those of a backtest.
    """
    began = time.monotonic()
    with told("interrupted"):
        given = {"--prices": prices, "--start": start, "--end": end, "--run-id": run_id}
        checked = live_options.load(config, folder, settings, given)
        from feeds.live.place import BARS, only_feed, place
        from feeds.live.replay import Pace, replay
        from jobs.store.client import Stopped, open_client

        pace = Pace(factor(speed), live_options.gap_ms(max_gap), wait, patience)
        where = place(checked, folder, store, database)

        def show(done: "Replayed") -> None:
            _show(done, time.monotonic() - began)

        with only_feed(where), stopping() as stop:
            try:
                with open_client(where, retry_s=None, note=note, stop=stop, writer=BARS) as client:
                    done = replay(client, checked, pace, stop, _Lines(), show)
            except Stopped:
                raise _interrupted() from None
    if done.stopped:
        raise _interrupted()
    if wait:
        print(f"every stage has done it, {time.monotonic() - began:.1f} s")


def _interrupted() -> typer.Exit:
    print(live_options.GOES_ON, file=sys.stderr)
    return typer.Exit(INTERRUPTED)


def factor(text: str) -> float | None:
    """The factor of a speed; None for max."""
    if text == "max":
        return None
    match = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?)x?", text)
    if not match or float(match[1]) <= 0:
        raise ConfigError(f"--speed: {text!r} is no speed; write one such as 60x, 1.5x or max")
    return float(match[1])


class _Lines:
    """A line now and then on standard error: how far it is."""

    def __init__(self) -> None:
        self._began = self._last = time.monotonic()

    def __call__(self, progress: "Progress") -> None:
        now = time.monotonic()
        if now - self._last < SAY_EVERY_S:
            return
        from feeds.live.feed import moment

        self._last = now
        tick = "" if progress.tick is None else f", at {moment(progress.tick)}"
        share = 100 * progress.bars // max(progress.total, 1)
        text = f"{progress.bars:,} of {progress.total:,} bars ({share} %){tick}"
        print(f"{text}, after {now - self._began:.0f} s", file=sys.stderr, flush=True)


def _show(done: "Replayed", seconds: float) -> None:
    """The summary."""
    from feeds.live.feed import moment

    rate = f", {done.bars / seconds:,.0f} bars a second" if done.bars >= 10_000 else ""
    print(f"{done.bars:,} bars in {done.ticks:,} ticks, {seconds:.1f} s{rate}")
    if done.last is not None:
        print(f"the feed stands at {moment(done.last)} UTC")
    counts = done.counts
    lines = {
        "in the store before": done.before,
        "out of range": counts.out_of_range,
        "of unknown symbols": counts.unknown_symbol,
        "late, written as such": counts.late,
        "repeated": counts.duplicates,
        **{f"rejected as {code}": count for code, count in done.rejects.items()},
    }
    for what, count in lines.items():
        if count:
            print(f"  {what}: {count:,}")
    if counts.first_late is not None and counts.late > LATE_SHARE * counts.rows:
        _, row, symbol, ts = counts.first_late
        first = f"{symbol} at {moment(ts)}, row {row + 1} of its file"
        print(f"warning: LATE BARS: {counts.late:,}; the first: {first}", file=sys.stderr)
