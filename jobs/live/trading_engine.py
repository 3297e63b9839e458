"""The trading engine live: exec reports → position changes, matches, lots, rollup, realized PnL.

Reads exec_report_history and the paper broker's progress; for accounts whose broker is outside the
accepted rows too, as reports may name no strategy. Key: (account, strategy, symbol) for accounts
of the paper broker, whose fills come in the order of events; else the account, see
jobs/live/external_account.py. State: the key's book (udfs/state.py) and, in the memory beside it,
the fills that it knows: (order_id, fill_id) → ts, kept for twice `dedupe.ttlDays` of event time
behind the newest fill.

What the log says of a book's fills, from before a restart, is repeated in the same order: seq is
never given to another fill.
"""

import json
from functools import partial
from typing import NamedTuple

from jobs.live.books import (
    OUTPUTS,
    Key,
    Settings,
    change_row,
    duplicate_row,
    forget,
    latest_rows,
    match_rows,
    pair,
    reject_row,
    stale_row,
)
from jobs.live.external_account import ExternalAccount
from jobs.live.stage import (
    INSTANCE,
    Arrived,
    Bundle,
    Input,
    Journal,
    Memory,
    Row,
    Stage,
    Upstream,
    Worked,
    no_journal,
    state_head,
)
from schemas.codec import Values
from schemas.ops import REJECTS
from schemas.signals import ACCEPTED_TRADE_SIGNAL_HISTORY
from schemas.trading import EXEC_REPORT_HISTORY, POSITION_CHANGE_HISTORY
from udfs import engine
from udfs.engine import EngineState, Verdict
from udfs.ids import SEPARATOR
from udfs.lots import Lot
from udfs.plan import RunPlan
from udfs.reports import REPORT_COLUMNS, BadReport, read_report
from udfs.rows import Fill, Match, fill_order
from udfs.state import dump, load_engine

NAME = "engine"
STATE_VERSION = 1
BROKER = ("broker", INSTANCE)
REPORTS, ORDERS, APPLIED = range(3)
STRATEGY, SYMBOL = map(REPORT_COLUMNS.index, ("strategy_id", "symbol"))
# Patience for ever would never book a fill that nobody promises to be the last.
EXTERNAL_PATIENCE_MS = 5_000


class Held(NamedTuple):
    """A paper book, and fills that wait for those which the log has before them."""

    book: EngineState
    parked: tuple[Fill, ...]


class Changes:
    """Changes of position that the log has already, by book and seq."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._known: dict[tuple[str, str, str], dict[int, tuple[str, str]]] | None = None

    def of(self, key: Key, since_ms: int) -> dict[int, tuple[str, str]]:
        """(order_id, fill_id) by seq."""
        if self._known is None:
            self._known = {}
            for row in self._journal(POSITION_CHANGE_HISTORY, since_ms):
                name = (str(row["account_id"]), str(row["strategy_id"]), str(row["symbol"]))
                pair_of = (str(row["order_id"]), str(row["fill_id"]))
                self._known.setdefault(name, {}).setdefault(int(row["seq"] or 0), pair_of)
        return self._known.get(key[:3], {})


class Accounts(NamedTuple):
    """The objects of outside accounts that this process has read so far; what the log has."""

    external: dict[str, ExternalAccount]
    changes: Changes


def stage(plan: RunPlan, patience_ms: int | None, journal: Journal = no_journal) -> Stage:
    """The stage of the plan's accounts."""
    settings = Settings(
        plan.run_id,
        plan.dedupe_ttl_ms,
        plan.full_output,
        EXTERNAL_PATIENCE_MS if patience_ms is None else patience_ms,
        {symbol.symbol: symbol.quote for symbol in plan.symbols},
    )
    paper = frozenset(one.account_id for one in plan.accounts if one.broker == "paper")
    outside = {one.account_id for one in plan.accounts if one.broker != "paper"}
    reports = Input(
        table=EXEC_REPORT_HISTORY,
        columns=REPORT_COLUMNS,
        ts="ts",
        lag_ms=0,
        instance=lambda values: BROKER if values[0] in paper else None,
        keys=lambda values: keys(values, paper),
    )
    orders = Input(
        table=ACCEPTED_TRADE_SIGNAL_HISTORY,
        columns=("account_id", "order_id", "strategy_id", "ts"),
        ts="ts",
        lag_ms=0,
        instance=lambda values: None,
        keys=lambda values: [str(values[0])] if values[0] in outside else [],
    )
    applied = Input(
        table=REJECTS,
        columns=("row_json", "row_id", "ts"),
        ts="ts",
        lag_ms=0,
        instance=lambda values: None,
        keys=lambda values: [name for name in [account_of(values)] if name in outside],
        where="`source_table` = 'rejects' AND `code` = 'APPLIED'",
    )
    return Stage(
        name=NAME,
        inputs=(reports, orders, applied) if outside else (reports,),
        upstreams=(Upstream(*BROKER),) if paper else (),
        outputs=OUTPUTS,
        instances=(INSTANCE,),
        base_ms=plan.base_ms,
        patience_ms=patience_ms,
        wake=lambda tick: [],
        work=partial(work, settings, Accounts({}, Changes(journal))),
        memory_ttl_ms=plan.dedupe_ttl_ms,
    )


def keys(values: Values, paper: frozenset[str]) -> list[str]:
    """Whose report it is."""
    account = str(values[0])
    if account not in paper:
        return [account]
    return [SEPARATOR.join((account, str(values[STRATEGY]), str(values[SYMBOL])))]


def account_of(values: Values) -> str:
    """The account of a report that a person has applied."""
    return str(json.loads(str(values[0])).get("account_id"))


def work(
    settings: Settings,
    accounts: Accounts,
    name: str,
    state: bytes | None,
    memory: Memory,
    bundle: Bundle,
) -> Worked:
    """What a book makes of the fills of a tick, or an account of a row that came by itself."""
    account, *rest = name.split(SEPARATOR)
    if not rest:
        return work_external(settings, accounts, account, state, memory, bundle)
    strategy, symbol = rest
    key = Key(account, strategy, symbol, settings.quote(symbol), True)
    return work_paper(settings, accounts.changes, key, state, memory, bundle)


def work_external(
    settings: Settings,
    accounts: Accounts,
    account_id: str,
    state: bytes | None,
    memory: Memory,
    bundle: Bundle,
) -> Worked:
    """Rows that arrival decides, or what the clock does."""
    if account_id not in accounts.external:
        accounts.external[account_id] = ExternalAccount(account_id, settings, memory)
    account = accounts.external[account_id]
    out: list[Row] = []
    for row in bundle.rows:
        if row.input == ORDERS:
            out += account.order(str(row.values[1]), str(row.values[2]), bundle.now_ms)
        elif row.input == APPLIED:
            out += account.applied(str(row.values[0]), bundle.now_ms)
        else:
            out += account.arrive(row.values, bundle.now_ms)
    if not bundle.rows:
        out += account.wake(bundle.now_ms)
    out += account.settle()
    return Worked(state, out, account.wake_at_ms())


def work_paper(
    settings: Settings,
    changes: Changes,
    key: Key,
    state: bytes | None,
    memory: Memory,
    bundle: Bundle,
) -> Worked:
    """Fills of one book at one tick, in the order of events."""
    held = load(state)
    known = changes.of(key, bundle.since_ms)
    fills, out = read(settings, key, bundle.rows)
    waiting = [*held.parked, *fills]
    waiting.sort(key=fill_order)
    book = held.book
    matches: list[Match] = []
    ended: list[Lot] = []
    while waiting:
        at = next_fill(waiting, known.get(book.seq + 1))
        if at is None:
            break
        fill = waiting.pop(at)
        found = engine.verdict(book, fill, seen_ts(memory, fill), settings.ttl_ms)
        if found is not Verdict.APPLY:
            refused = stale_row if found is Verdict.STALE else duplicate_row
            out.append(refused(settings, fill))
            continue
        memory.facts[pair(fill)] = str(fill.ts)
        forget(memory.facts, book.newest_ts, fill.ts, settings.ttl_ms)
        book, booked = engine.apply(book, fill, key.quote)
        late = fill.ts != bundle.tick
        out.append(change_row(settings, booked.change, None if late else INSTANCE, late))
        matches += booked.matches
        ended += booked.ended
    if book is not held.book:
        out += match_rows(settings, key, matches)
        out += latest_rows(settings, key, held.book, book, ended)
    return Worked(save(Held(book, tuple(waiting))), out)


def next_fill(waiting: list[Fill], logged: tuple[str, str] | None) -> int | None:
    """The number of the fill to take next: the first, or the one that the log has next."""
    if logged is None:
        return 0
    pairs = [(fill.order_id, fill.fill_id) for fill in waiting]
    return pairs.index(logged) if logged in pairs else None


def seen_ts(memory: Memory, fill: Fill) -> int | None:
    """When a fill was seen first, None where it was not."""
    known = memory.facts.get(pair(fill))
    return None if known is None else int(known)


def save(held: Held) -> bytes:
    """The state as bytes: a line of JSON, then the book's own."""
    head = {"kind": NAME, "version": STATE_VERSION, "parked": held.parked}
    return json.dumps(head).encode() + b"\n" + dump(held.book)


def load(data: bytes | None) -> Held:
    """What `save` wrote; InvariantError where it was something else."""
    if data is None:
        return Held(engine.EMPTY, ())
    line, _, book = data.partition(b"\n")
    head = state_head(line, NAME, STATE_VERSION)
    return Held(load_engine(book), tuple(Fill(*row) for row in head["parked"]))


def read(settings: Settings, key: Key, rows: tuple[Arrived, ...]) -> tuple[list[Fill], list[Row]]:
    """Reports as fills, and those that fail a check as rows of rejects."""
    fills: list[Fill] = []
    refused: list[Row] = []
    for row in rows:
        texts = (None if value is None else str(value) for value in row.values)
        report = dict(zip(REPORT_COLUMNS, texts, strict=True))
        found = read_report(report, key.quote)
        if isinstance(found, BadReport):
            refused.append(reject_row(settings, report, found))
        else:
            fills.append(found)
    return fills, refused
