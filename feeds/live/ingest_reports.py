"""Fills of an outside broker as they come into a live store, checked before they are written."""

import json
import threading
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from feeds.live.lines import BAD_LINE, Columns, Line, Source
from jobs.engine_files import quotes_of
from jobs.store import reading
from jobs.store.client import Client, Row, Writing
from jobs.store.making import make_tables
from schemas.config import Config
from schemas.ops import REJECTS
from schemas.resolve import plan_run
from schemas.trading import EXEC_REPORT_HISTORY
from udfs.errors import nearest
from udfs.ids import hash_id
from udfs.money import to_decimal
from udfs.plan import RunPlan
from udfs.reports import (
    REPORT_COLUMNS,
    REQUIRED_COLUMNS,
    BadReport,
    Report,
    read_report,
    row_id,
    whole_number,
)
from udfs.rows import SIDE_TEXT, FeedCode

KNOWN_ROWS = 100_000  # rows of the table's end that are looked through for repetitions
SOME = "?"  # stands for a strategy that the engine finds by the order


@dataclass(slots=True)
class Ingested:
    """What became of the lines so far."""

    lines: int = 0
    written: int = 0
    repeated: int = 0
    without_strategy: int = 0
    rejects: Counter[str] = field(default_factory=Counter)
    stopped: bool = False


Show = Callable[[Ingested], None]


class Refused(Exception):
    """Why a report is not for this run: a code, and words."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        self.code, self.detail = code, detail


def ingest_reports(
    client: Client, config: Config, source: Source, stop: threading.Event, show: Show
) -> Ingested:
    """Write reports as they come until the input ends or `stop`; what became of them."""
    plan = plan_run(config)
    make_tables(client, config.store.retention_days)
    checks = Checks(config, plan)
    known = reading.tail(client, EXEC_REPORT_HISTORY, lambda rows: len(rows) >= KNOWN_ROWS)
    seen = {tuple(row[name] for name in EXEC_REPORT_HISTORY.key) for row in known}
    done = Ingested()
    columns = Columns("exec reports", REQUIRED_COLUMNS, REPORT_COLUMNS)
    for lines in source.batches(stop, columns):
        rows: list[Row] = []
        refused: list[Row] = []
        for line in lines:
            done.lines += 1
            try:
                row = checks.row(line)
            except Refused as why:
                done.rejects[why.code] += 1
                refused.append(reject_row(line, why, plan.run_id))
                continue
            key = row[: len(EXEC_REPORT_HISTORY.key)]
            done.repeated += key in seen
            done.written += key not in seen
            done.without_strategy += key not in seen and row[4] is None
            seen.add(key)
            rows.append(row)
        client.write(Writing(EXEC_REPORT_HISTORY, rows), Writing(REJECTS, refused))
        show(done)
    done.stopped = stop.is_set()
    return done


class Checks:
    """Which reports are for a run's accounts of outside brokers."""

    def __init__(self, config: Config, plan: RunPlan) -> None:
        self._quote = quotes_of(config)
        self._run_id = plan.run_id
        self._brokers = {account.account_id: account.broker for account in plan.accounts}
        self._symbols = [symbol.symbol for symbol in plan.symbols]

    def row(self, line: Line) -> tuple[object, ...]:
        """A report as a row of exec_report_history, in the store's columns; else Refused."""
        if line.values is None:
            raise Refused(BAD_LINE, f"{line.problem}: {line.text}")
        report = {name: line.values.get(name) for name in REPORT_COLUMNS}
        return self.report_row(report)

    def report_row(self, report: Report) -> tuple[object, ...]:
        """The same of a report's values as text."""
        strategy = report.get("strategy_id") or None
        symbol = report.get("symbol") or ""
        found = read_report({**report, "strategy_id": strategy or SOME}, self._quote(symbol))
        if isinstance(found, BadReport):
            raise Refused(found.code.value, found.detail)
        self._check_names(found.account_id, symbol)
        fee = to_decimal(found.fee) if report.get("fee") else None
        return (
            found.account_id,
            found.order_id,
            found.fill_id,
            found.ts,
            strategy,
            symbol,
            SIDE_TEXT[found.side],
            to_decimal(found.qty),
            to_decimal(found.price),
            fee,
            report.get("fee_currency") or None,
            report.get("venue") or None,
            self._run_id,
        )

    def _check_names(self, account: str, symbol: str) -> None:
        if account not in self._brokers:
            raise Refused(
                FeedCode.UNKNOWN_ACCOUNT.value,
                f"account_id {account!r} is not an account of the configuration"
                f"{nearest(account, self._brokers)}",
            )
        if self._brokers[account] == "paper":
            raise Refused(
                FeedCode.PAPER_ACCOUNT.value,
                f"account_id {account!r} is filled by the paper broker; only accounts with "
                "broker: external take reports",
            )
        if symbol not in self._symbols:
            raise Refused(
                FeedCode.UNKNOWN_SYMBOL.value,
                f"symbol {symbol!r} is not a symbol of the configuration"
                f"{nearest(symbol, self._symbols)}",
            )


def reject_row(line: Line, why: Refused, run_id: str) -> Row:
    """A refused line as a row of rejects, in the store's columns."""
    values: Mapping[str, str | None] = {"line": line.text}
    name, ts = hash_id(line.text), None
    if line.values is not None:
        values = {name: line.values.get(name) for name in REPORT_COLUMNS}
        name, ts = row_id(values), whole_number(values.get("ts"))
    text = json.dumps(values, ensure_ascii=False)
    return (EXEC_REPORT_HISTORY.name, name, why.code, why.detail, text, ts, run_id)
