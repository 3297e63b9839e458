"""`tradeflow ingest`: bars or fills as they come, from outside into a live store."""

import sys
import threading
import time
from collections.abc import Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from cli import live_options, options
from cli.errors import INTERRUPTED, told
from cli.fetch import URL_VARIABLE
from cli.help import examples
from cli.live_options import note, stopping
from udfs.errors import ConfigError

if TYPE_CHECKING:  # they load slowly, and help needs none of them
    from feeds.live.ingest_bars import Ingested as Bars
    from feeds.live.ingest_reports import Ingested as Reports
    from feeds.live.lines import Source as Lines
    from jobs.store.client import Client
    from jobs.store.place import StorePlace
    from schemas.config import Config

EXAMPLES = examples(
    ("my-feed | tradeflow ingest --source stdin", "bars as they come"),
    ("tradeflow ingest --source csv --file bars.csv", "bars of a file, in the order of time"),
    ("tradeflow ingest --source ccxt --exchange binance", "bars of an exchange, live"),
    ("... --source kafka --brokers HOST:9092 --topic bars", "bars of another system's Kafka"),
    ("... --table exec_report_history --file fills.csv", "fills of a broker outside"),
)
SAY_EVERY_S = 5.0


class Source(StrEnum):
    """Where lines come from."""

    STDIN = "stdin"
    CSV = "csv"
    CCXT = "ccxt"
    KAFKA = "kafka"


class Target(StrEnum):
    """What is written."""

    BARS = "price_1m_history"
    REPORTS = "exec_report_history"


SourceName = Annotated[
    Source,
    typer.Option(help="CSV with a header: standard input, or a file. An exchange. A Kafka topic."),
]
File = Annotated[
    Path | None, typer.Option(metavar="FILE", help="The file of --source csv, read to its end.")
]
TableName = Annotated[Target, typer.Option("--table", help="Bars, or fills of a broker outside.")]


EXCHANGE = "An exchange"
KAFKA = "A Kafka topic"
Exchange = Annotated[
    str | None,
    typer.Option(
        metavar="NAME", help="As ccxt names it, for --source ccxt.", rich_help_panel=EXCHANGE
    ),
]
Markets = Annotated[
    list[str] | None,
    typer.Option(
        "--market",
        metavar="SYMBOL=MARKET",
        help="A symbol's market, as BTCUSD=BTC/USD, where it is not found by its name. Repeatable.",
        rich_help_panel=EXCHANGE,
    ),
]
Poll = Annotated[
    bool,
    typer.Option("--poll", help="Ask once a minute; no websocket.", rich_help_panel=EXCHANGE),
]
Brokers = Annotated[
    str | None,
    typer.Option(metavar="HOST:PORT,...", help="For --source kafka.", rich_help_panel=KAFKA),
]
TopicName = Annotated[
    str | None, typer.Option("--topic", metavar="NAME", help="Its name.", rich_help_panel=KAFKA)
]
KafkaSettings = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="Lines key=value: security_protocol, sasl_mechanism, sasl_plain_password, ...",
        rich_help_panel=KAFKA,
    ),
]
# What each source needs, and may have.
NEEDED = {Source.CSV: ("file",), Source.CCXT: ("exchange",), Source.KAFKA: ("brokers", "topic")}
ALLOWED = {Source.CCXT: ("market", "poll"), Source.KAFKA: ("kafka-settings",)}


def ingest(
    config: live_options.Configuration = None,
    source: SourceName = Source.STDIN,
    file: File = None,
    table: TableName = Target.BARS,
    settings: options.Settings = None,
    run_id: options.RunId = None,
    max_gap: live_options.MaxGap = "30d",
    exchange: Exchange = None,
    market: Markets = None,
    poll: Poll = False,
    url: str | None = typer.Option(None, "--url", envvar=URL_VARIABLE, hidden=True),
    brokers: Brokers = None,
    topic: TopicName = None,
    kafka_settings: KafkaSettings = None,
    folder: live_options.Stack = None,
    store: live_options.StoreAddress = None,
    database: live_options.Database = None,
) -> None:
    """Write bars or fills into a live store as they come, each one checked.

    A line that fails a check is counted and kept in price_rejects or rejects. Bars of a minute
    that was told already are written as late. The same file again changes nothing.
    """
    began = time.monotonic()
    with told("interrupted"):
        given = {"file": file, "exchange": exchange, "market": market, "poll": poll or None}
        given |= {"brokers": brokers, "topic": topic, "kafka-settings": kafka_settings}
        _check(source, table, given)
        checked = live_options.load(config, folder, settings, {"--run-id": run_id})
        from feeds.live.place import BARS, place
        from jobs.store.client import Stopped, open_client

        wanted = _Wanted(
            source, table, live_options.gap_ms(max_gap), file, exchange,
            _markets(market or []), poll, url, brokers, topic, kafka_settings,
        )  # fmt: skip
        where = place(checked, folder, store, database)
        # Reports of several brokers may come at once.
        writer = None if table is Target.REPORTS else BARS
        with stopping() as stop:
            try:
                with open_client(
                    where, retry_s=None, note=note, stop=stop, writer=writer
                ) as client:
                    done = _ingested(client, checked, wanted, where, stop)
            except Stopped:
                print(live_options.GOES_ON, file=sys.stderr)
                raise typer.Exit(INTERRUPTED) from None
    seconds = time.monotonic() - began
    if table is Target.REPORTS:
        _show_reports(done, seconds)
    else:
        _show_bars(done, seconds)
    if stop.is_set():
        print("interrupted", file=sys.stderr)
        raise typer.Exit(INTERRUPTED)


class _Wanted(NamedTuple):
    """What the command line says."""

    source: Source
    table: Target
    max_gap_ms: int
    file: Path | None
    exchange: str | None
    markets: dict[str, str]
    poll: bool
    url: str | None
    brokers: str | None
    topic: str | None
    kafka_settings: Path | None


def _check(source: Source, table: Target, given: Mapping[str, object]) -> None:
    """ConfigError where an option is missing, or is of another source."""
    needed = NEEDED.get(source, ())
    for name in needed:
        if given[name] is None:
            raise ConfigError(f"--source {source} needs --{name}")
    for name, value in given.items():
        if value is not None and name not in (*needed, *ALLOWED.get(source, ())):
            owner = next(
                one for one in Source if name in (*NEEDED.get(one, ()), *ALLOWED.get(one, ()))
            )
            raise ConfigError(f"--{name} is for --source {owner}; this is --source {source}")
    if source is Source.CCXT and table is Target.REPORTS:
        raise ConfigError("--source ccxt gives bars; fills come by --source stdin, csv or kafka")


def _markets(given: Sequence[str]) -> dict[str, str]:
    found = {}
    for text in given:
        name, equals, symbol = text.partition("=")
        if not (name and equals and symbol):
            raise ConfigError(f"--market {text}: expected SYMBOL=MARKET, such as BTCUSD=BTC/USD")
        found[name] = symbol
    return found


def _ingested(
    client: "Client", config: "Config", wanted: _Wanted, where: "StorePlace", stop: threading.Event
) -> Any:
    """Write what comes until it ends; what became of it."""
    from feeds.live.ingest_bars import ingest_bars
    from feeds.live.ingest_reports import ingest_reports
    from feeds.live.place import only_feed

    lines = _Lines()
    if wanted.table is Target.REPORTS:
        return ingest_reports(client, config, _source(client, config, wanted), stop, lines.reports)
    with only_feed(where):
        if wanted.source is Source.CCXT:
            from feeds.live.venue_feed import Link, ingest_venue

            link = Link(str(wanted.exchange), wanted.markets, wanted.poll, wanted.url or None)
            gap_ms = wanted.max_gap_ms
            return ingest_venue(client, config, link, gap_ms, stop, note, lines.bars)
        source = _source(client, config, wanted)
        return ingest_bars(client, config, source, wanted.max_gap_ms, stop, _now_ms, lines.bars)


def _source(client: "Client", config: "Config", wanted: _Wanted) -> "Lines":
    """Where lines come from."""
    if wanted.source is not Source.KAFKA:
        from feeds.live.lines import Chunks

        return Chunks(wanted.file)
    from feeds.live.kafka_lines import Topic, settings_of, since
    from jobs.store.making import make_tables

    settings = settings_of(wanted.kafka_settings)
    make_tables(client, config.store.retention_days)
    since_ms = since(client, wanted.table is Target.REPORTS)
    return Topic(str(wanted.brokers), str(wanted.topic), settings, since_ms, note)


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
