"""The engine's books, made again from what a live store's history says of them.

position_change_history tells which fills were applied, and in what order they came; the reports
tell prices and fees. Fills of the paper broker are booked as they came. Those of outside brokers
are booked in the order of their times, late ones when they came (jobs/live/external_account.py).
What the log does not tell is how far booking was when a late fill came: here, as far as it can
have been.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from jobs.engine_files import quotes_of
from jobs.positions import Book
from jobs.store import reading
from jobs.store.client import Client
from schemas.config import Config
from schemas.ops import REJECTS
from schemas.resolve import plan_run
from schemas.trading import (
    EXEC_REPORT_HISTORY,
    PAPER_TRADE_MATCH_HISTORY,
    POSITION_CHANGE_HISTORY,
    TRADE_MATCH_HISTORY,
)
from udfs import engine
from udfs.errors import ConfigError
from udfs.money import units
from udfs.rows import SIDE_OF_TEXT, Fill, fill_order

APPLIED = "APPLIED"  # the code of a reject that a person applied, see feeds/live/rejects.py
INPUTS = (POSITION_CHANGE_HISTORY, EXEC_REPORT_HISTORY, REJECTS)
Key = tuple[str, str, str]
Name = tuple[str, str, str, int]  # account, order, fill, ts


class Change(NamedTuple):
    """A fill that was applied; `late` as the engine told it."""

    seq: int
    fill: Fill
    late: bool


class Books(NamedTuple):
    """All books. `other_matches` counts matches that they have and history has not, or reverse."""

    books: list[Book]
    other_matches: int


def read_books(client: Client, config: Config) -> Books:
    """All books of a store. ConfigError where a fill that was applied has no report."""
    quote = quotes_of(config)
    paper = {one.account_id for one in plan_run(config).accounts if one.broker == "paper"}
    # First what was applied: the reports of all that are there by then.
    changes = reading.log(client, POSITION_CHANGE_HISTORY)
    reports = {_name(row): row for row in reading.log(client, EXEC_REPORT_HISTORY)}
    for row in reading.log(client, REJECTS):
        if row["source_table"] == REJECTS.name and row["code"] == APPLIED:
            report = json.loads(row["row_json"])
            report["ts"] = int(report["ts"])
            reports[_name(report)] = report
    by_key: dict[Key, list[Change]] = {}
    for row in changes:
        key = (row["account_id"], row["strategy_id"], row["symbol"])
        found = reports.get(_name(row))
        if found is None:
            raise ConfigError(
                f"{POSITION_CHANGE_HISTORY.name}: fill {row['fill_id']!r} of order "
                f"{row['order_id']!r} of {row['account_id']!r} has no report in "
                f"{EXEC_REPORT_HISTORY.name}; its book can't be made again"
            )
        fill = _fill(row, found, quote(row["symbol"]))
        by_key.setdefault(key, []).append(Change(row["seq"], fill, row["late"]))
    books, matches = [], set()
    for key, some in sorted(by_key.items()):
        state = engine.EMPTY
        for fill in booking_order(some, key[0] in paper):
            state, booked = engine.apply(state, fill, quote(key[2]))
            matches.update(match.match_id for match in booked.matches)
        books.append(Book(*key, quote(key[2]), state))
    told = {
        row["match_id"]
        for table in (TRADE_MATCH_HISTORY, PAPER_TRADE_MATCH_HISTORY)
        for row in reading.log(client, table)
    }
    return Books(books, len(matches ^ told))


def booking_order(changes: Iterable[Change], as_told: bool) -> list[Fill]:
    """Fills of one book in the order in which they were booked; `as_told`: by seq alone."""
    by_seq = sorted(changes, key=lambda change: change.seq)
    if as_told:
        return [change.fill for change in by_seq]
    booked: list[Fill] = []
    pending: list[Fill] = []
    for number, change in enumerate(by_seq):
        if not change.late:
            pending.append(change.fill)
            continue
        # What came in time after this one lies behind the mark of booking.
        later = [one.fill.ts for one in by_seq[number:] if not one.late]
        before = min(later, default=None)
        done = [fill for fill in pending if before is None or fill.ts < before]
        pending = [fill for fill in pending if fill not in done]
        booked += [*sorted(done, key=fill_order), change.fill]
    return booked + sorted(pending, key=fill_order)


def _name(row: Mapping[str, Any]) -> Name:
    return (row["account_id"], row["order_id"], row["fill_id"], row["ts"])


def _fill(change: Mapping[str, Any], report: Mapping[str, Any], quote: str) -> Fill:
    fee = report["fee"]
    return Fill(
        account_id=change["account_id"],
        strategy_id=change["strategy_id"],
        order_id=change["order_id"],
        fill_id=change["fill_id"],
        symbol=change["symbol"],
        side=SIDE_OF_TEXT[change["side"]],
        qty=units(change["fill_qty"]),
        price=units(report["fill_price"]),
        ts=change["ts"],
        fee=0 if fee in (None, "") else units(fee),
        fee_currency=report["fee_currency"] or quote,
        venue=report["venue"] or "",
    )


def newest(rows: Iterable[Mapping[str, Any]], key: Sequence[str], ts: str) -> dict[Any, Any]:
    """The row with the largest `ts` of each key."""
    found: dict[Any, Any] = {}
    for row in rows:
        name = tuple(row[column] for column in key)
        if name not in found or row[ts] > found[name][ts]:
            found[name] = row
    return found
