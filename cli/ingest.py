"""`tradeflow ingest`: bars or fills as they come, from a pipe or a file, into a live store."""

import sys
import time
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli import live_options, options
from cli.errors import INTERRUPTED, told
from cli.help import examples
from cli.live_options import note, stopping
from udfs.errors import ConfigError

if TYPE_CHECKING:  # they load slowly, and help needs none of them
    from feeds.live.ingest_bars import Ingested as Bars
    from feeds.live.ingest_reports import Ingested as Reports

EXAMPLES = examples(
    ("my-feed | tradeflow ingest --source stdin", "bars as they come"),
    ("tradeflow ingest --source csv --file bars.csv", "bars of a file, in the order of time"),
    ("... --table exec_report_history --file fills.csv", "fills of a broker outside"),
)
HOW = "How"
SAY_EVERY_S = 5.0


class Source(StrEnum):
    """Where lines come from."""

    STDIN = "stdin"
    CSV = "csv"


class Target(StrEnum):
    """What is written."""

    BARS = "price_1m_history"
    REPORTS = "exec_report_history"


SourceName = Annotated[
    Source, typer.Option(help="Lines of CSV with a header: of standard input, or of a file.")
]
File = Annotated[
    Path | None, typer.Option(metavar="FILE", help="The file of --source csv, read to its end.")
]
TableName = Annotated[Target, typer.Option("--table", help="Bars, or fills of a broker outside.")]


def ingest(
    config: live_options.Configuration = None,
    source: SourceName = Source.STDIN,
    file: File = None,
    table: TableName = Target.BARS,
    settings: options.Settings = None,
    run_id: options.RunId = None,
    max_gap: live_options.MaxGap = "30d",
    folder: live_options.Stack = None,
    store: live_options.StoreAddress = None,
    database: live_options.Database = None,
) -> None:
    """Write bars or fills into a live store as they come, each line checked.

    A line that fails a check is counted and kept in price_rejects or rejects. Bars of a minute
    that was told already are written as late. The same file again changes nothing.
    """
    began = time.monotonic()
    with told("interrupted"):
        if (source is Source.CSV) != (file is not None):
            raise ConfigError("--source csv needs --file FILE, and --source stdin has none")
        checked = live_options.load(config, folder, settings, {"--run-id": run_id})
        from feeds.live.place import BARS, only_feed, place
        from jobs.store.client import Stopped, open_client

        gap_ms = live_options.gap_ms(max_gap)
        where = place(checked, folder, store, database)
        # Reports of several brokers may come at once.
        writer = None if table is Target.REPORTS else BARS
        lines = _Lines()
        with stopping() as stop:
            try:
                with open_client(
                    where, retry_s=None, note=note, stop=stop, writer=writer
                ) as client:
                    from feeds.live.ingest_bars import ingest_bars
                    from feeds.live.ingest_reports import ingest_reports
                    from feeds.live.lines import Chunks

                    chunks = Chunks(file)
                    if table is Target.REPORTS:
                        reports = ingest_reports(client, checked, chunks, stop, lines.reports)
                    else:
                        with only_feed(where):
                            bars = ingest_bars(
                                client, checked, chunks, gap_ms, stop, _now_ms, lines.bars
                            )
            except Stopped:
                print(live_options.GOES_ON, file=sys.stderr)
                raise typer.Exit(INTERRUPTED) from None
    seconds = time.monotonic() - began
    if table is Target.REPORTS:
        _show_reports(reports, seconds)
    else:
        _show_bars(bars, seconds)
    if stop.is_set():
        print("interrupted", file=sys.stderr)
        raise typer.Exit(INTERRUPTED)


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


class _Lines:
    """A line now and then on standard error."""

    def __init__(self) -> None:
        self._last = time.monotonic()

    def bars(self, done: "Bars") -> None:
        """How far bars are."""
        if self._due():
            from feeds.live.feed import moment

            at = "" if done.told is None else f", the feed stands at {moment(done.told)}"
            self._say(f"{done.lines:,} lines, {done.written:,} bars{at}", done)

    def reports(self, done: "Reports") -> None:
        """How far reports are."""
        if self._due():
            self._say(f"{done.lines:,} lines, {done.written:,} reports", done)

    def _due(self) -> bool:
        if time.monotonic() - self._last < SAY_EVERY_S:
            return False
        self._last = time.monotonic()
        return True

    def _say(self, text: str, done: "Bars | Reports") -> None:
        refused = done.rejects.total()
        more = f", {refused:,} rejected" if refused else ""
        print(text + more, file=sys.stderr, flush=True)


def _show_bars(done: "Bars", seconds: float) -> None:
    from feeds.live.feed import moment

    print(f"{done.written:,} bars in {done.ticks:,} ticks of {done.lines:,} lines, {seconds:.1f} s")
    if done.told is not None:
        print(f"the feed stands at {moment(done.told)} UTC")
    rejects = {f"rejected as {code}": count for code, count in sorted(done.rejects.items())}
    counts = {"late, written as such": done.late, "repeated": done.repeated}
    _show_counts({**counts, **done.skipped, **rejects})
    if done.late > 0.001 * done.lines:
        print(
            f"warning: LATE BARS: {done.late:,} came behind minutes that were told; lines must be "
            "in the order of time, and `tradeflow replay` reads files in any order of symbols",
            file=sys.stderr,
        )


def _show_reports(done: "Reports", seconds: float) -> None:
    print(f"{done.written:,} reports of {done.lines:,} lines, {seconds:.1f} s")
    rejects = {f"rejected as {code}": count for code, count in sorted(done.rejects.items())}
    counts = {"repeated": done.repeated, "to be joined by their orders": done.without_strategy}
    _show_counts({**counts, **rejects})


def _show_counts(counts: dict[str, int]) -> None:
    for what, count in counts.items():
        if count:
            print(f"  {what}: {count:,}")
