"""`tradeflow data fetch`: bars of an exchange, by its public REST interface."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from cli.errors import told
from cli.help import examples
from udfs.errors import ConfigError
from udfs.timeframes import DAY_MS

if TYPE_CHECKING:
    from rich.table import Table

    from feeds.fetch import Fetched, FetchRequest

EXAMPLES = examples(
    (
        "tradeflow data fetch --exchange binance --symbol BTC/USDT --from 2024-01-01",
        "all minutes until now",
    ),
    (
        "... --symbol BTC/USDT --symbol ETH/USDT --from 2024-01-01 --to 2024-04-01",
        "a quarter of two",
    ),
    ("... --timeframe 1h --out data/hours --as BTC-HOURS", "other bars, under a name of one's own"),
)
INTERRUPTED = "interrupted: what came is kept; the same command goes on where this one stopped"
URL_VARIABLE = "TRADEFLOW_EXCHANGE_URL"


def fetch(
    exchange: str = typer.Option(..., metavar="NAME", help="An exchange as ccxt names it."),
    symbol: list[str] = typer.Option(
        ..., metavar="SYMBOL", help="A market as ccxt writes it: BTC/USDT. Repeatable."
    ),
    start: str = typer.Option(
        ..., "--from", metavar="TIME", help="From this open time on; a date is its midnight, UTC."
    ),
    end: str | None = typer.Option(
        None, "--to", metavar="TIME", help="Bars before this open time.", show_default="now"
    ),
    timeframe: str = typer.Option("1m", metavar="LENGTH", help="The bars' length: 1m, 5m, 1h, 1d."),
    out: Path = typer.Option(Path("data/bars"), metavar="DIR", help="The folder of bars."),
    names: list[str] | None = typer.Option(
        None,
        "--as",
        metavar="NAME",
        help="The symbol of its bars here, one for each --symbol.",
        show_default="BTCUSDT for BTC/USDT",
    ),
    url: str | None = typer.Option(None, "--url", envvar=URL_VARIABLE, hidden=True),
) -> None:
    """Get bars of an exchange into a folder, a Parquet file per symbol and month; no key needed.

    What came is kept: after Ctrl-C the same command goes on where it stopped.
    """
    with told(INTERRUPTED):
        from cli.progress import progress_of
        from cli.render import stdout_console
        from feeds.fetch import fetch as fetch_bars

        request = _request(exchange, symbol, names, timeframe, start, end, out, url)
        with progress_of(True, "loading ccxt and the list of markets") as report:
            fetched = fetch_bars(request, report, _tell)
        console = stdout_console()
        console.print(_table(fetched))
        stored = [one for one in fetched if one.stored]
        for lines in (_notes(request, fetched), _configuration(request, stored)):
            if lines:
                console.print("\n" + "\n".join(lines), markup=False, soft_wrap=True)
        without = [one.wanted.symbol for one in fetched if not one.stored]
        if without:
            raise ConfigError(
                f"{', '.join(without)}: {exchange} gives no bars of {timeframe} between {start} "
                f"and {end or 'now'}; it has none, or gives its newest only"
            )


def _request(
    exchange: str,
    symbols: list[str],
    names: list[str] | None,
    timeframe: str,
    start: str,
    end: str | None,
    out: Path,
    url: str | None,
) -> "FetchRequest":
    import time

    from feeds.fetch import FetchRequest, Wanted, plain_name

    given = names or [plain_name(symbol) for symbol in symbols]
    if len(given) != len(symbols):
        raise ConfigError(f"--as is given {len(given)} times for {len(symbols)} symbols")
    wanted = tuple(Wanted(*pair) for pair in zip(symbols, given, strict=True))
    start_ms = _time("--from", start)
    end_ms = _time("--to", end) if end else max(int(time.time() * 1000), start_ms + 1)
    return FetchRequest(exchange, wanted, timeframe, start_ms, end_ms, out, url or None)


def _time(option: str, text: str) -> int:
    from schemas.config_values import epoch_ms

    try:
        is_ms = text.isdecimal() and len(text) > len("20240101")
        return epoch_ms(int(text) if is_ms else text)
    except ValueError as error:
        raise ConfigError(f"{option}: {error}") from None


def _tell(note: str) -> None:
    print(note, file=sys.stderr, flush=True)


def _table(fetched: "list[Fetched]") -> "Table":
    """What came by this command, then what is there of the whole time asked for."""
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    table.add_column("symbol", overflow="fold")
    table.add_column("stored as", overflow="fold")
    for header in ("received", "new", "rejected", "stored", "gaps", "missing"):
        table.add_column(header, justify="right", no_wrap=True)
    for header in ("first", "last"):
        table.add_column(header, no_wrap=True)
    for one in fetched:
        rejected = sum(count for _, count in one.rejected)
        counts = (one.received, one.new, rejected, one.stored, one.gaps.stretches, one.gaps.bars)
        ends = [_shown(ts) if one.stored else "-" for ts in (one.first_ts, one.last_ts)]
        table.add_row(*one.wanted, *(f"{count:,}" for count in counts), *ends)
    return table


def _shown(ts: int) -> str:
    from schemas.config_values import time_text

    return time_text(ts)[:16].replace("T", " ")


def _notes(request: "FetchRequest", fetched: "list[Fetched]") -> list[str]:
    """What the table has no room for."""
    lines = []
    for one in fetched:
        name = one.wanted.symbol
        codes = ", ".join(f"{code} {count:,}" for code, count in one.rejected)
        if codes:
            lines.append(f"{name}: rejected: {codes}: {one.rejects}")
        if one.gaps.stretches:
            plural = "" if one.gaps.longest_bars == 1 else "s"
            lines.append(
                f"{name}: the longest gap is {one.gaps.longest_bars:,} bar{plural} from "
                f"{_shown(one.gaps.longest_start)}"
            )
        if one.stored and one.first_ts - request.start >= DAY_MS:
            lines.append(
                f"warning: {name}: no bars before {_shown(one.first_ts)}: {request.exchange} has "
                "none, or gives its newest only"
            )
    return lines


def _configuration(request: "FetchRequest", fetched: "list[Fetched]") -> list[str]:
    """The bars as a configuration names them; tick and step are what the exchange has now."""
    from feeds.store import safe_name

    if not fetched:
        return []
    files = ", ".join(f'"{request.out}/{safe_name(one.wanted.name)}-*.parquet"' for one in fetched)
    lines = [
        "for a configuration:",
        f"prices.files: [{files}]",
        f"prices.timeframe: {request.timeframe}",
    ]
    markets = [one.market for one in fetched if one.market is not None]
    if markets:
        lines.append("symbols:")
    for market in markets:
        settings = {
            "price_tick": market.price_tick and f'"{market.price_tick}"',
            "qty_step": market.qty_step and f'"{market.qty_step}"',
            "quote": market.quote,
        }
        shown = ", ".join(f"{key}: {value}" for key, value in settings.items() if value)
        lines.append(f"  {market.name}: {{{shown}}}")
    return lines
