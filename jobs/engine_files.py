"""The trading engine alone over a file of exec reports: what `tradeflow engine` runs."""

import json
import time
from collections import Counter
from collections.abc import Callable, Iterable, MutableMapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa

from jobs import columns, positions
from jobs.positions import Book
from jobs.report_files import read_reports
from jobs.run_folder import RunFolder, write_tables
from jobs.sources import InputFile, file_sha256
from schemas import ops, trading
from schemas.config import Config, config_as_dict
from schemas.config_checks import quote_of
from schemas.config_values import folder_name
from udfs import engine
from udfs.engine import EngineState, Verdict
from udfs.errors import ConfigError
from udfs.ids import SEPARATOR
from udfs.money import fitting
from udfs.reports import (
    REPORT_COLUMNS,
    BadReport,
    Report,
    read_report,
    row_id,
    whole_number,
)
from udfs.rows import Fill, Match, fill_order

DAY_MS = 86_400_000
DEFAULT_TTL_DAYS = 7
DEFAULT_RUN_ID = "demo"
SOURCE = "exec_report_history"
Key = tuple[str, str, str]
Quote = Callable[[str], str]


class EngineReport(NamedTuple):
    """The folder of a finished run of the engine, and its manifest."""

    folder: Path
    manifest: dict[str, Any]


class Booked(NamedTuple):
    """What the engine made of fills: matches in order, each key's state, copies not applied."""

    matches: list[Match]
    states: dict[Key, EngineState]
    duplicates: int


def book_fills(
    fills: Iterable[Fill], quote: Quote, ttl_ms: int, memory: MutableMapping[str, str] | None = None
) -> Booked:
    """Applies fills in the order of events, whatever order they come in; copies are counted.

    `memory` is empty and holds, while this runs, when each pair of the last `ttl_ms` was applied;
    of those that come more than once, as nobody asks for the others.
    """
    ordered = sorted(fills, key=fill_order)
    names = [_pair(fill) for fill in ordered]
    copied = {name for name, times in Counter(names).items() if times > 1}
    seen: MutableMapping[str, str] = {} if memory is None else memory
    states: dict[Key, EngineState] = {}
    matches: list[Match] = []
    applied = bytearray(len(ordered))
    oldest = 0  # the first fill that may be remembered
    for number, fill in enumerate(ordered):
        while ordered[oldest].ts < fill.ts - ttl_ms:
            if applied[oldest] and names[oldest] in copied:
                del seen[names[oldest]]
            oldest += 1
        key = (fill.account_id, fill.strategy_id, fill.symbol)
        state = states.get(key, engine.EMPTY)
        is_copied = names[number] in copied
        known = seen.get(names[number]) if is_copied else None
        found = engine.verdict(state, fill, None if known is None else int(known), ttl_ms)
        if found is not Verdict.APPLY:
            continue
        applied[number] = True
        if is_copied:
            seen[names[number]] = str(fill.ts)
        states[key], booked = engine.apply(state, fill, quote(fill.symbol))
        matches.extend(booked.matches)
    return Booked(matches, states, len(ordered) - sum(applied))


def _pair(fill: Fill) -> str:
    parts = (fill.account_id, fill.strategy_id, fill.symbol, fill.order_id, fill.fill_id)
    return SEPARATOR.join(parts)


def merge_booked(parts: Iterable[Booked]) -> Booked:
    """What several accounts booked, matches in order: each account's own order is kept."""
    parts = list(parts)
    matches = [match for part in parts for match in part.matches]
    return Booked(
        sorted(matches, key=lambda match: (match.match_ts, match.account_id)),
        {key: state for part in parts for key, state in part.states.items()},
        sum(part.duplicates for part in parts),
    )


def sort_out(
    reports: Iterable[Report], quote: Quote, run_id: str
) -> tuple[list[Fill], list[dict[str, Any]], Counter[str]]:
    """Reports as fills; the bad ones as rows of rejects (each distinct row once) and by code."""
    fills: list[Fill] = []
    rejects: dict[str, dict[str, Any]] = {}
    codes: Counter[str] = Counter()
    for report in reports:
        read = read_report(report, quote(report.get("symbol") or ""))
        if isinstance(read, BadReport):
            codes[read.code.value] += 1
            row = _reject_row(report, read, run_id)
            rejects.setdefault(row["row_id"], row)
        else:
            fills.append(read)
    return fills, list(rejects.values()), codes


def _reject_row(report: Report, bad: BadReport, run_id: str) -> dict[str, Any]:
    values = {name: report.get(name) for name in REPORT_COLUMNS}
    return {
        "source_table": SOURCE,
        "row_id": row_id(report),
        "code": bad.code.value,
        "detail": bad.detail,
        "row_json": json.dumps(values, ensure_ascii=False),
        "ts": whole_number(report.get("ts")),
        "run_id": run_id,
    }


def engine_tables(
    booked: Booked, rejects: Sequence[dict[str, Any]], quote: Quote, run_id: str, run_tag: str
) -> dict[str, pa.Table]:
    """All tables of the engine in full mode."""
    books = [Book(*key, quote(key[2]), state) for key, state in booked.states.items()]
    return {
        "trade_match_history": match_table(booked.matches, run_id, run_tag),
        "open_positions_lots": columns.rows_table(
            trading.OPEN_POSITIONS_LOTS, positions.lot_rows(books, run_id)
        ),
        "open_positions_rollup": columns.rows_table(
            trading.OPEN_POSITIONS_ROLLUP, positions.rollup_rows(books, run_id)
        ),
        "realized_pnl_latest": columns.rows_table(
            trading.REALIZED_PNL_LATEST, positions.realized_rows(books, run_id)
        ),
        "rejects": columns.rows_table(ops.REJECTS, rejects),
    }


def match_table(matches: Sequence[Match], run_id: str, run_tag: str) -> pa.Table:
    """trade_match_history of matches in their order."""
    rows = [positions.match_row(match, run_id, run_tag, fitting) for match in matches]
    return columns.rows_table(trading.TRADE_MATCH_HISTORY, rows)


def quotes_of(config: Config | None) -> Quote:
    """Each symbol's quote: the configuration's, else its last three letters."""
    known = {} if config is None else {name: quote_of(name, config) for name in config.symbols}
    return lambda symbol: known.get(symbol, symbol[-3:])


def run_engine(
    exec_reports: Path,
    out: Path,
    run_tag: str,
    config: Config | None,
    overwrite: bool,
    run_id: str | None = None,
) -> EngineReport:
    """Reads exec reports, books them, and writes the engine's tables to `<out>/<run id>`."""
    started = time.perf_counter()
    if run_id is None:
        run_id = DEFAULT_RUN_ID if config is None else config.run.id
    try:
        folder_name(run_id)
    except ValueError as error:
        raise ConfigError(f"--run-id: {error}") from None
    days = DEFAULT_TTL_DAYS if config is None else config.dedupe.ttl_days
    quote = quotes_of(config)
    with RunFolder(out, run_id, overwrite) as folder:
        reports = read_reports(exec_reports)
        if not reports:
            raise ConfigError(f"{exec_reports}: no rows; expected exec reports")
        fills, rejects, codes = sort_out(reports, quote, run_id)
        booked = book_fills(fills, quote, days * DAY_MS)
        try:
            tables = engine_tables(booked, rejects, quote, run_id, run_tag)
        except OverflowError as error:
            raise ConfigError(f"{error}: it holds 20 digits before the point") from None
        rows = write_tables(folder.staging, tables)
        digest = file_sha256(str(exec_reports))
        manifest = {
            "run_id": run_id,
            "config": None if config is None else config_as_dict(config),
            "inputs": [InputFile(str(exec_reports), len(reports), digest)._asdict()],
            "rows": rows,
            "rejected": dict(sorted(codes.items())),
            "duplicates": booked.duplicates,
            "timings": {"total_s": round(time.perf_counter() - started, 3)},
        }
        return EngineReport(folder.finish(manifest), manifest)
