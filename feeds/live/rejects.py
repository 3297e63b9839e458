"""Rows that were refused, and what a person decides about them, which is a row, too.

A decision is a row of `rejects` about another one: source_table `rejects`, the row_id of the row
that it is about, and the code APPLIED or DROPPED. The first one counts. The row_json of APPLIED is
the exec report as it is to be booked; it is written to exec_report_history as well, where that
lacks it. The engine takes the report up from the decision.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from feeds.live.books import APPLIED
from feeds.live.ingest_reports import Checks, Refused
from jobs.store import reading
from jobs.store.client import Client, Writing
from schemas.config import Config
from schemas.market import PRICE_REJECTS
from schemas.ops import REJECTS
from schemas.resolve import plan_run
from schemas.trading import EXEC_REPORT_HISTORY
from udfs.errors import ConfigError, Refusal, nearest
from udfs.reports import REPORT_COLUMNS

DROPPED = "DROPPED"
LEAST_ID = 4  # characters of an id that name a row


class Rejected(NamedTuple):
    """A row that was refused. `values` as they came; `decision` APPLIED, DROPPED or None."""

    row_id: str
    source_table: str
    code: str
    detail: str
    ts: int | None
    values: Mapping[str, Any]
    decision: str | None


def rejected_rows(client: Client) -> list[Rejected]:
    """All of them, in the order in which they came; bars first."""
    reading.check(client, REJECTS)
    rows = reading.log(client, REJECTS)
    decisions = {row["row_id"]: row["code"] for row in rows if row["source_table"] == REJECTS.name}
    bars = [
        Rejected(
            row["row_id"],
            PRICE_REJECTS.name,
            row["code"],
            row["detail"],
            None,
            {name: row[name] for name in PRICE_REJECTS.names[:7]},
            decisions.get(row["row_id"]),
        )
        for row in reading.log(client, PRICE_REJECTS)
    ]
    others = [
        Rejected(
            row["row_id"],
            row["source_table"],
            row["code"],
            row["detail"],
            row["ts"],
            json.loads(row["row_json"]),
            decisions.get(row["row_id"]),
        )
        for row in rows
        if row["source_table"] != REJECTS.name
    ]
    return bars + others


def find(rows: Sequence[Rejected], name: str) -> Rejected:
    """The row of an id or of the beginning of one. ConfigError unless it names just one."""
    found = [row for row in rows if row.row_id.startswith(name)]
    if len(name) >= LEAST_ID and len(found) == 1:
        return found[0]
    if len(name) < LEAST_ID or len(found) > 1:
        many = f"{len(found)} rows have an id that begins with" if found else "no row begins with"
        raise ConfigError(f"{many} {name!r}; give at least {LEAST_ID} characters, and enough")
    hint = nearest(name, [row.row_id for row in rows])
    raise ConfigError(f"no rejected row has the id {name!r}{hint}; `tradeflow rejects` lists them")


def drop(client: Client, config: Config, row: Rejected) -> None:
    """Say that a row is of no use. Refusal where something was decided already."""
    _refuse_second(row)
    values = json.dumps({"source_table": row.source_table, "row_id": row.row_id})
    _decide(client, config, row, DROPPED, f"dropped by hand; it was {row.code}", values)


def apply(client: Client, config: Config, row: Rejected, changes: Mapping[str, str]) -> None:
    """Have an exec report booked, with some of its values changed.

    Refusal where something was decided already, or the report still fails a check.
    """
    _refuse_second(row)
    if row.source_table != EXEC_REPORT_HISTORY.name:
        raise Refusal(
            f"{row.row_id} is of {row.source_table}: only exec reports can be applied. A bar "
            "behind the feed's progress is used by nobody; mend the files and replay them under "
            "another run.id, or --drop the row"
        )
    for name in changes:
        if name not in REPORT_COLUMNS:
            raise ConfigError(
                f"--change: an exec report has no column {name!r}{nearest(name, REPORT_COLUMNS)}"
            )
    values = {**row.values, **changes}
    report = {name: values.get(name) for name in REPORT_COLUMNS}
    if not report["strategy_id"]:
        raise Refusal(
            f"{row.row_id} names no strategy, and its order is not known; give it by "
            "--change strategy_id=ID"
        )
    try:
        stored = Checks(config, plan_run(config)).report_row(report)
    except Refused as why:
        raise Refusal(
            f"{row.row_id} is refused still, {why.code}: {why.detail}; mend it by --change"
        ) from None
    client.write(Writing(EXEC_REPORT_HISTORY, [stored]))
    changed = "".join(f", {name} set to {value!r}" for name, value in changes.items())
    text = json.dumps(report, ensure_ascii=False)
    _decide(client, config, row, APPLIED, f"applied by hand; it was {row.code}{changed}", text)


def _refuse_second(row: Rejected) -> None:
    if row.decision is not None:
        raise Refusal(f"{row.row_id} was {row.decision.lower()} already; that can't be undone")


def _decide(
    client: Client, config: Config, row: Rejected, code: str, detail: str, text: str
) -> None:
    decision = (REJECTS.name, row.row_id, code, detail, text, row.ts, config.run.id)
    client.write(Writing(REJECTS, [decision]))
