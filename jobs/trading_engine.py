"""The trading engine alone, as one bounded Flink job: exec reports → matches, lots, profit.

    flink run -py jobs/trading_engine.py -pyfs code.zip -p 2 --config conf/backtest.yaml \\
        --exec-reports runs/demo/exec_report_history.parquet --out alone
    python -m jobs.trading_engine --config ... --exec-reports ... --out alone

a task per file (rows → checked reports, jobs/engine_files.py)
  → keyed by account: fills put in the order of events, each booked by the engine's step for its
    (account, strategy, symbol) (udfs/engine.py)
  → one writer (all tables of the engine in order, jobs/engine_files.py)

Key: account, which holds its (strategy, symbol) keys. State: its fills until the input has ended,
and then, in RocksDB, the pairs (order_id, fill_id) of the last `dedupe.ttlDays` of event time.
Invariant: the tables are those of `tradeflow engine` over the same reports, and of the traced
backtest that wrote them, at any parallelism; lots add up to signed fills.
"""

import sys
from collections import Counter
from collections.abc import Iterable, Iterator, MutableMapping, Sequence
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

from jobs import engine_files, stage_job
from jobs.engine_files import Booked, Key, Quote
from jobs.report_files import count_reports
from jobs.sources import InputFile, file_sha256
from jobs.stage_job import RUN, Dataflow, Files, Stage, Written
from udfs.engine import EngineState
from udfs.plan import RunPlan
from udfs.rows import Fill, Match

EXEC_REPORTS = "exec-reports"


Packed = list[tuple[Any, ...]]  # columns of rows; empty where there is none


class BookedParts(NamedTuple):
    """What was booked of an account, its matches by column."""

    matches: Packed
    states: dict[Key, EngineState]
    duplicates: int


class Refused(NamedTuple):
    """Reports that failed a check, as rows of rejects in order of arrival, and by code."""

    file: int
    rejects: list[dict[str, Any]]
    codes: Counter[str]


def define(plan: RunPlan, files: Files) -> Dataflow:
    """Exec reports → (account, its fills) → what was booked → the tables."""
    rows = [count_reports(Path(path)) for path in files[EXEC_REPORTS]]
    paths = [str(Path(path).resolve()) for path in files[EXEC_REPORTS]]
    return Dataflow(
        tasks=list(enumerate(paths)),
        read=partial(read, plan),
        fold=partial(book, plan),
        write=partial(tables, plan),
        remembers=True,
        inputs=[
            InputFile(path, count, file_sha256(path))
            for path, count in zip(paths, rows, strict=True)
        ],
    )


def quotes(plan: RunPlan) -> Quote:
    """Each symbol's quote: the plan's, else its last three letters."""
    known = {symbol.symbol: symbol.quote for symbol in plan.symbols}
    return lambda symbol: known.get(symbol, symbol[-3:])


def read(plan: RunPlan, task: tuple[int, str]) -> Iterator[tuple[str, Any]]:
    """A file's fills by account, in order of arrival; its bad rows for the writer."""
    number, path = task
    reports = engine_files.read_reports(Path(path))
    fills, rejects, codes = engine_files.sort_out(reports, quotes(plan), plan.run_id)
    by_account: dict[str, list[Fill]] = {}
    for fill in fills:
        by_account.setdefault(fill.account_id, []).append(fill)
    for account, some in by_account.items():
        yield account, packed(some)
    if rejects:
        yield RUN, Refused(number, rejects, codes)


def book(
    plan: RunPlan, account: str, parts: list[Packed], memory: MutableMapping[str, str]
) -> Iterator[BookedParts]:
    """All fills of an account, booked in the order of events."""
    fills = chain.from_iterable(map(Fill._make, zip(*part, strict=True)) for part in parts)
    booked = engine_files.book_fills(fills, quotes(plan), plan.dedupe_ttl_ms, memory)
    yield BookedParts(packed(booked.matches), booked.states, booked.duplicates)


def packed(rows: Iterable[tuple[Any, ...]]) -> Packed:
    """Rows by column: pickled in a tenth of the time of an object for each row."""
    return list(zip(*rows, strict=True))


def tables(plan: RunPlan, values: list[BookedParts | Refused]) -> Written:
    """The tables of all accounts, rows in order."""
    refused = sorted(
        (value for value in values if isinstance(value, Refused)), key=lambda one: one.file
    )
    booked = [value for value in values if isinstance(value, BookedParts)]
    whole = engine_files.merge_booked(
        Booked(list(map(Match._make, zip(*one.matches, strict=True))), one.states, one.duplicates)
        for one in booked
    )
    rejects: dict[str, dict[str, Any]] = {}
    for row in chain.from_iterable(one.rejects for one in refused):
        rejects.setdefault(row["row_id"], row)
    written = engine_files.engine_tables(
        whole, list(rejects.values()), quotes(plan), plan.run_id, plan.run_tag
    )
    codes: Counter[str] = sum((one.codes for one in refused), Counter())
    counts = {"rejected": dict(sorted(codes.items())), "duplicates": whole.duplicates}
    return Written(written, counts)


STAGE = Stage(
    name="trading_engine",
    doc=__doc__,
    files={EXEC_REPORTS: "exec reports: CSV or Parquet files"},
    define=define,
)


def main(arguments: Sequence[str]) -> int:
    """The command."""
    return stage_job.main(STAGE, arguments)


if __name__ == "__main__":
    from jobs.trading_engine import main as imported  # workers import its functions by module

    sys.exit(imported(sys.argv[1:]))
