"""What must hold of the tables after all faults."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from feeds.live.rebuild import RECIPES, rebuild
from jobs.live.replay_gate import change_of
from jobs.live.replay_gate import replay as replay_gate
from jobs.store import reading
from jobs.store.client import Client
from schemas.resolve import plan_run
from schemas.table import Kind
from schemas.tables import TABLES
from tests import live_equal
from tests.chaos.site import Site
from udfs import tradepicker
from udfs.plan import NO_CAP, RunPlan
from udfs.tradepicker import GateParams, GateState

Row = Mapping[str, Any]


class Verdict(NamedTuple):
    """`wrong`: what does not hold, a line each; `refused` counts writes of rows that were there.

    `gaps` counts ticks by the stage that went on alone, `over_cap` openings above the cap.
    """

    wrong: list[str]
    rows: dict[str, int]
    refused: dict[str, int]
    gaps: dict[str, int]
    over_cap: int


def judge(site: Site, bounded: Path | None, ends: Mapping[str, int]) -> Verdict:
    """Read every table and hold it against the rules, and against the bounded run where given."""
    wrong: list[str] = []
    rows: dict[str, list[Row]] = {}
    refused: dict[str, int] = {}
    with site.client() as client:
        for name, table in TABLES.items():
            rows[name] = list(reading.read(client, table).to_pylist())
            if table.kind is Kind.HISTORY:
                wrong += twice(name, table.key, rows[name])
                refused[name] = max(0, reading.end(client, table) - len(rows[name]))
        wrong += latest(client, site)
    if bounded is not None:
        wrong += live_equal.differences(bounded, rows.__getitem__, ends)
        if rows["progress_gaps"]:
            wrong.append(
                f"progress_gaps: {len(rows['progress_gaps'])} rows, with patience for ever"
            )
    plan = plan_run(site.config, trace=True)
    wrong += decided_once(plan, rows)
    over_cap = passed_cap(plan, rows["position_change_history"])
    if over_cap:
        wrong.append(f"the cap was passed {over_cap} times")
    gaps: dict[str, int] = {}
    for row in rows["progress_gaps"]:
        gaps[row["stage"]] = gaps.get(row["stage"], 0) + 1
    counts = {name: len(found) for name, found in rows.items() if found}
    return Verdict(wrong, counts, {k: n for k, n in refused.items() if n}, gaps, over_cap)


def twice(name: str, key: Iterable[str], rows: Iterable[Row]) -> list[str]:
    """A line where a history holds two rows of one key."""
    ids = [tuple(row[column] for column in key) for row in rows]
    more = len(ids) - len(set(ids))
    return [f"{name}: {more} rows are there twice"] if more else []


def latest(client: Client, site: Site) -> list[str]:
    """A line for each latest table that is not what history gives."""
    found = []
    for name in RECIPES:
        done = rebuild(client, site.config, name, dry_run=True)
        if done.differences:
            count, first = len(done.differences), done.differences[0]
            found.append(f"{name}: {count} rows are not as history says, the first {first}")
    return found


def decided_once(plan: RunPlan, rows: Mapping[str, list[Row]]) -> list[str]:
    """Lines where a signal was decided twice or never, or would be decided otherwise by its seq."""
    accepted, rejected = (
        rows[name] for name in ("accepted_trade_signal_history", "rejected_trade_signal_history")
    )
    decisions = [*accepted, *rejected]
    found = twice("accepted and rejected", ("account_id", "signal_id"), decisions)
    found += twice("seq of decisions", ("account_id", "seq"), decisions)
    followed = {
        (account.account_id, row["signal_id"])
        for row in rows["strategy_signal_history"]
        for account in plan.accounts
        if row["strategy_id"] in account.strategies
    }
    never = followed - {(row["account_id"], row["signal_id"]) for row in decisions}
    if never:
        found.append(f"{len(never)} signals were never decided, one of them {min(never)}")
    signals, changes = rows["strategy_signal_history"], rows["position_change_history"]
    differ = replay_gate(plan, signals, decisions, changes)
    if differ:
        found.append(f"{len(differ)} decisions differ when made again by seq, first {differ[0]}")
    orders = {row["order_id"] for row in accepted}
    fills = [row["order_id"] for row in changes]
    if set(fills) - orders or len(fills) != len(set(fills)):
        found.append("fills are there twice, or without an accepted order")
    return found


def passed_cap(plan: RunPlan, changes: Iterable[Row]) -> int:
    """How many changes opened a symbol while the open ones were above the account's cap."""
    symbols = {symbol.symbol: symbol for symbol in plan.symbols}
    rows = list(changes)
    found = 0
    for account in plan.accounts:
        if account.max_open_positions == NO_CAP:
            continue
        params, gate = GateParams(account, plan.gate, symbols), GateState()
        for row in rows:
            if row["account_id"] == account.account_id:
                gate, passed = tradepicker.apply_change(gate, change_of(row), params)
                found += passed
    return found
