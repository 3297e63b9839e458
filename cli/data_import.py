"""`tradeflow data import`: files of bars as venues and vendors offer them, to a folder of bars."""

import json
from collections import Counter
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.errors import failed, told
from cli.help import NO_VALUE, examples

if TYPE_CHECKING:
    from rich.table import Table

    from feeds.imports import FileReport, ImportReport

WHAT, TIMES, WHERE = "What the files hold", "Their times", "Output"
ALL_SHOWN = 24  # more files than this are shown only where something was left out of them
IMPORT_EXAMPLES = examples(
    ("tradeflow data import BTCUSDT-1m-2024-*.zip", "Binance's klines"),
    ("... XBTUSD_1.csv ETHUSD_1.csv", "Kraken's OHLCVT"),
    ("... a.csv --symbol A --map ts=Date", "any table"),
    ("... a.whl --member 'data/*.csv'", "out of a zip"),
)


class Format(StrEnum):
    """How files are laid out; `auto` is told by their rows and names."""

    AUTO = "auto"
    BINANCE = "binance"
    KRAKEN = "kraken"
    BITFINEX = "bitfinex"
    CRYPTODATADOWNLOAD = "cryptodatadownload"
    CSV = "csv"
    PARQUET = "parquet"


class TimeUnit(StrEnum):
    """The unit of times that are numbers; `auto` by their size."""

    AUTO = "auto"
    S = "s"
    MS = "ms"
    US = "us"
    NS = "ns"


Files = Annotated[
    list[str], typer.Argument(metavar="FILE", help="Files, or quoted patterns of them.")
]
Out = Annotated[
    Path, typer.Option(metavar="DIR", help="The folder of bars.", rich_help_panel=WHERE)
]
Layout = Annotated[
    Format,
    typer.Option(
        "--format",
        metavar="LAYOUT",
        help="auto, binance, kraken, bitfinex, cryptodatadownload, csv or parquet.",
        rich_help_panel=WHAT,
    ),
]
Symbol = Annotated[
    str | None,
    typer.Option(metavar="NAME", help="The symbol of all rows.", rich_help_panel=WHAT),
]
Maps = Annotated[
    list[str] | None,
    typer.Option(
        "--map",
        metavar="FIELD=COLUMN",
        help="Which column is symbol, ts, open, high, low, close or volume: its name or its "
        "number from 1; ts=Date+Time joins two, volume=none is for files without. Repeatable.",
        rich_help_panel=WHAT,
    ),
]
Member = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="The member of a zip, or a quoted pattern of members.",
        rich_help_panel=WHAT,
    ),
]
Timeframe = Annotated[
    str | None,
    typer.Option(
        metavar="SPAN",
        help="The length of bars: 1m, 5m, 1h, 1d.",
        show_default="by name and times",
        rich_help_panel=WHAT,
    ),
]
TimeFormat = Annotated[
    str | None,
    typer.Option(
        metavar="FORMAT",
        help="Of times as text, as strptime has it.",
        show_default="ISO 8601",
        rich_help_panel=TIMES,
    ),
]
TimeZone = Annotated[
    str,
    typer.Option(metavar="ZONE", help="Of times that name none.", rich_help_panel=TIMES),
]
Unit = Annotated[TimeUnit, typer.Option(help="Of times as numbers.", rich_help_panel=TIMES)]
AsJson = Annotated[
    bool,
    typer.Option(
        "--json",
        metavar=NO_VALUE,
        help="Print one JSON object only: all counts.",
        rich_help_panel=WHERE,
    ),
]


def import_bars(
    files: Files,
    out: Out = Path("data/bars"),
    layout: Layout = Format.AUTO,
    symbol: Symbol = None,
    mapping: Maps = None,
    member: Member = None,
    timeframe: Timeframe = None,
    time_format: TimeFormat = None,
    time_zone: TimeZone = "UTC",
    time_unit: Unit = TimeUnit.AUTO,
    as_json: AsJson = False,
) -> None:
    """Read files of bars into a folder that a configuration can name.

    Plain files, gzip and zips; rows are checked as a backtest does and merged.

    Rows that are left out are counted by code and kept in the folder's rejects.
    """
    with told("interrupted: what is in the folder is whole; the same command again goes on"):
        from feeds.columns import parse_mapping
        from feeds.imports import Request, import_files
        from feeds.layouts import Choice
        from feeds.times import Times, check_zone

        check_zone(time_zone)
        times = Times(time_unit.value, time_format, time_zone)
        maps = parse_mapping(mapping or [])
        _check(symbol, maps)
        choice = Choice(layout.value, maps, times, symbol)
        report = import_files(Request(tuple(files), out, choice, member, timeframe))
        if as_json:
            print(json.dumps(as_tree(report)))
        else:
            _print(report)
        if not any(one.new + one.unchanged for one in report.files):
            raise failed(_nothing_kept(report))


def _check(symbol: str | None, maps: Any) -> None:
    from feeds.reading import is_symbol
    from udfs.errors import ConfigError

    if symbol is None:
        return
    if any(one.field == "symbol" for one in maps):
        raise ConfigError("--symbol names the symbol of all rows: leave out --map symbol=...")
    if not is_symbol(symbol):
        raise ConfigError(f"--symbol {symbol!r}: write a name such as BTCUSD")


def as_tree(report: "ImportReport") -> dict[str, Any]:
    """The report as JSON has it."""
    from feeds.times import length_text

    files = [
        {
            **one._asdict(),
            "kept": one.new + one.unchanged,
            "rejected": {count.code: count.rows for count in one.rejected},
            "rejects": None if one.rejects is None else str(one.rejects),
        }
        for one in report.files
    ]
    counts = ("rows", "kept", "new", "unchanged", "out_of_order")
    total: dict[str, Any] = {name: sum(one[name] for one in files) for name in counts}
    total["rejected"] = _codes(report.files)
    return {
        "out": str(report.out),
        "timeframe": length_text(report.base_ms),
        "files": files,
        "total": total,
        "written": [str(path) for path in report.written],
    }


def _codes(files: "tuple[FileReport, ...]") -> dict[str, int]:
    counts: Counter[str] = Counter()
    for one in files:
        counts.update({count.code: count.rows for count in one.rejected})
    return dict(counts)


def _print(report: "ImportReport") -> None:
    from cli.render import stdout_console

    tree = as_tree(report)
    total = tree["total"]
    console = stdout_console()
    console.print()
    console.print(_table(report))
    console.print()
    for layout, by in dict.fromkeys((one.layout, one.told) for one in report.files):
        console.print(f"{layout}: told by {by}", style="dim", markup=False)
    rejected = sum(total["rejected"].values())
    if total["out_of_order"]:
        console.print(f"rows out of order, now sorted: {total['out_of_order']:,}")
    if rejected:
        codes = ", ".join(f"{code} {rows:,}" for code, rows in total["rejected"].items())
        console.print(f"rows left out: {rejected:,} ({codes})", style="yellow")
        for one in [one for one in report.files if one.rejects][:ALL_SHOWN]:
            console.print(f"  {one.rejects}", markup=False, soft_wrap=True)
    changed = f"files written: {len(report.written)}" if report.written else "no bars changed"
    console.print(
        f"{report.out}: rows read {total['rows']:,}, kept {total['kept']:,} (new "
        f"{total['new']:,}, unchanged {total['unchanged']:,}), left out {rejected:,}; {changed}",
        markup=False,
        soft_wrap=True,
    )
    if total["kept"]:
        print(f"prices.files: {report.out}/*.parquet   prices.timeframe: {tree['timeframe']}")


def _table(report: "ImportReport") -> "Table":
    from rich.markup import escape

    from cli.figures import plain_table
    from feeds.verdict import at

    table = plain_table(None, 1)
    for name in ("file", "layout", "symbols"):
        table.add_column(name, overflow="fold")
    for name in ("rows", "new", "unchanged", "left out"):
        table.add_column(name, justify="right", no_wrap=True)
    for name in ("first", "last"):
        table.add_column(f"{name} (UTC)", no_wrap=True)
    files = report.files
    if len(files) > ALL_SHOWN:
        files = tuple(one for one in files if one.rejected)[:ALL_SHOWN]
    for one in files:
        symbols = ", ".join(one.symbols[:3]) + (", ..." if len(one.symbols) > 3 else "")
        table.add_row(
            escape(Path(one.source).name),
            one.layout,
            escape(symbols),
            *[f"{count:,}" for count in (one.rows, one.new, one.unchanged)],
            f"{sum(count.rows for count in one.rejected):,}",
            *[at(ts) for ts in (one.first_ts, one.last_ts)],
        )
    if len(files) < len(report.files):
        table.add_row(f"... and {len(report.files) - len(files):,} more files")
    return table


def _nothing_kept(report: "ImportReport") -> str:
    rows = sum(one.rows for one in report.files)
    if not rows:
        return f"{report.files[0].source}: has a header and no rows; expected bars"
    codes = ", ".join(f"{code} {count:,}" for code, count in _codes(report.files).items())
    told = {f"{one.layout} (told by {one.told})" for one in report.files}
    return (
        f"none of the {rows:,} rows can be kept: {codes}. Read as "
        f"{', '.join(sorted(told))}; give --format, --map, --time-format or --time-unit if that is "
        "wrong"
    )
