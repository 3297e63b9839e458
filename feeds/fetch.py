"""Bars of a venue into a folder: asked for page by page, checked, kept month by month.

What is done stays done: a fetch that ended early goes on where it stopped, and one that is
complete asks for nothing. The bars are those of feeds/store.py; beside them are `rejects/` for
rows that a backtest would reject, and the records of feeds/fetch_record.py.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from feeds.fetch_patience import Patience, ask
from feeds.fetch_record import Record, Records, Source, Span, missing, opened, with_bars
from feeds.fetch_venue import Market, Venue, check_exchange
from feeds.fetch_walk import Reject, Step, Tell, Walk, newest_end, steps
from feeds.store import CONFLICT, DUPLICATE, NEW, month_files, open_store, safe_name
from jobs.values import value_text
from schemas.config_values import time_text
from udfs.bar_checks import BAR_CODES
from udfs.bars import Bars, Ints
from udfs.errors import ConfigError, Refusal
from udfs.timeframes import timeframe_ms

FLUSH_ROWS = 10_000  # a kill loses at most so many bars; a write takes some 30 ms
TRIES_AT_FIRST = 4  # nothing is lost yet, and most likely there is no network
REJECTS = "rejects"
REJECT_COLUMNS = ("source", "code", "symbol", *Bars._fields, "text")
CODES = (*(code.value for code in BAR_CODES), "DUPLICATE", "CONFLICT")  # in order of the checks
REJECTED_AS = {DUPLICATE: "DUPLICATE", CONFLICT: "CONFLICT"}
DEFAULT_PATIENCE = Patience()

Report = Callable[[int, int], None]  # bars done, bars in all


class Wanted(NamedTuple):
    """A market by its ccxt symbol, and the symbol of its bars here."""

    symbol: str
    name: str


class FetchRequest(NamedTuple):
    """Which bars to get: open times in [start, end), ms; what is not final yet is left out.

    `url` and `is_paced`: see Venue.
    """

    exchange: str
    wanted: tuple[Wanted, ...]
    timeframe: str
    start: int
    end: int
    out: Path
    url: str | None = None
    is_paced: bool = True


class Gaps(NamedTuple):
    """Bars that are missing between stored ones: stretches, bars, and the longest stretch."""

    stretches: int = 0
    bars: int = 0
    longest_bars: int = 0
    longest_start: int = 0


class Fetched(NamedTuple):
    """What a fetch did for a symbol. `stored` and what follows are of the whole span asked for.

    `received` rows are new, the same as what was there, or rejected: for a check that fails, as a
    repetition (DUPLICATE), or as other values than those of the bar that is there (CONFLICT).
    """

    wanted: Wanted
    market: Market | None  # None where nothing had to be asked for
    received: int
    new: int
    rejected: tuple[tuple[str, int], ...]
    rejects: Path | None
    stored: int
    first_ts: int
    last_ts: int
    gaps: Gaps


class _Plan(NamedTuple):
    wanted: Wanted
    record: Record
    spans: tuple[Span, ...]


def plain_name(symbol: str) -> str:
    """What a market is called here where nothing else is said: BTC/USDT is BTCUSDT."""
    return symbol.replace("/", "")


def fetch(
    request: FetchRequest, report: Report, tell: Tell, patience: Patience = DEFAULT_PATIENCE
) -> list[Fetched]:
    """Get the bars that are missing; what was done for each symbol.

    `report` hears how far it is, `tell` what a person should know on the way. ConfigError or
    Refusal where something is unknown, can't be written, or the venue gives no answer; what came
    before is kept.
    """
    base_ms = _base_ms(request)
    span = _span(request, base_ms, int(patience.clock() * 1000))
    with opened(request.out) as records:
        plans = []
        for wanted in request.wanted:
            record, notes = _record(records, request, wanted)
            for note in notes:
                tell(note)
            plans.append(_Plan(wanted, record, missing(record.done, span)))
        walks = _walks(request, plans, tell, patience)
        progress = _Progress(report, plans, base_ms)
        return [
            _fetched(plan, span, base_ms, _Keeper(records, plan, walk, base_ms), progress)
            for plan, walk in zip(plans, walks, strict=True)
        ]


def _record(
    records: Records, request: FetchRequest, wanted: Wanted
) -> tuple[Record, tuple[str, ...]]:
    source = Source(request.exchange, wanted.symbol, request.timeframe)
    try:
        return records.read(wanted.name, source)
    except Refusal:
        check_exchange(request.exchange)  # bars of another source: perhaps a mistyped one
        raise


def _base_ms(request: FetchRequest) -> int:
    try:
        return timeframe_ms(request.timeframe)
    except ValueError as error:
        raise ConfigError(f"--timeframe: {error}") from None


def _span(request: FetchRequest, base_ms: int, now_ms: int) -> Span:
    """The open times to ask for: whole bars, and none that is not final."""
    if request.start >= request.end:
        raise ConfigError(
            f"--to {time_text(request.end)} is not after --from {time_text(request.start)}"
        )
    start, end = (-(-ts // base_ms) * base_ms for ts in (request.start, request.end))
    end = min(end, newest_end(now_ms, base_ms))
    if start >= end:
        raise ConfigError(
            f"--from {time_text(request.start)}: no bar of {request.timeframe} that opens then or "
            "later is over yet"
        )
    names = Counter(wanted.name for wanted in request.wanted)
    for name, count in names.items():
        safe_name(name)
        if count > 1:
            raise ConfigError(f"two markets would both be stored as {name}; name them by --as")
    return Span(start, end)


def _walks(
    request: FetchRequest, plans: Sequence[_Plan], tell: Tell, patience: Patience
) -> list[Walk | None]:
    """Whom to ask for each plan; None for all of them where nothing is left to ask for."""
    if not any(plan.spans for plan in plans):
        return [None] * len(plans)
    venue = Venue(request.exchange, request.url, request.is_paced)
    venue.check_timeframe(request.timeframe)
    at_first = patience._replace(tries=min(patience.tries, TRIES_AT_FIRST))
    ask(venue.load_markets, f"{venue.name}: its markets", at_first, tell)
    markets = [venue.market(plan.wanted.symbol, plan.wanted.name) for plan in plans]
    return [Walk(venue, market, request.timeframe, patience, tell) for market in markets]


class _Progress:
    """How far all plans are together."""

    def __init__(self, report: Report, plans: Sequence[_Plan], base_ms: int) -> None:
        self.report = report
        self.base_ms = base_ms
        self.done = 0
        self.total = sum(span.end - span.start for plan in plans for span in plan.spans)

    def add(self, length_ms: int) -> None:
        """So much more of the time asked for is behind."""
        self.done += length_ms
        self.report(self.done // self.base_ms, self.total // self.base_ms)


class _Keeper:
    """Collects steps of a symbol and writes them: bars and rejects first, then the record."""

    def __init__(self, records: Records, plan: _Plan, walk: Walk | None, base_ms: int) -> None:
        self.records = records
        self.name = plan.wanted.name
        self.walk = walk
        self.base_ms = base_ms
        self.record = plan.record
        self.rejects_place = f"{REJECTS}/{safe_name(self.name)}.fetch.parquet"
        self.waiting: list[Step] = []
        self.received = 0
        self.new = 0
        self.rejected: Counter[str] = Counter()

    def add(self, step: Step, span: Span) -> None:
        """Take a step over a span; written when there are many."""
        self.waiting.append(step)
        if sum(len(one.rows) for one in self.waiting) >= FLUSH_ROWS:
            self.flush(span)

    def flush(self, span: Span) -> None:
        """Write what came; `span` begins where its asking began."""
        taken, self.waiting = self.waiting, []
        if not taken:
            return
        pages = [step.bars for step in taken]
        bars = Bars._make(np.concatenate(parts) for parts in zip(*pages, strict=True))
        rejects = [reject for step in taken for reject in step.rejects]
        self.received += len(bars.ts) + len(rejects)
        if len(bars.ts) or rejects:
            with open_store(self.records.out) as store:
                fates = store.add(self.name, bars, self.base_ms).tolist()
                rows = [row for step in taken for row in step.rows]
                rejects += [
                    Reject(REJECTED_AS[fate], row)
                    for fate, row in zip(fates, rows, strict=True)
                    if fate in REJECTED_AS
                ]
                if rejects:
                    store.put(self.rejects_place, self._reject_table(rejects))
                store.finish()
            self.new += fates.count(NEW)
            self.rejected.update(reject.code for reject in rejects)
        times = np.unique(bars.ts)
        self.record = with_bars(self.record, times, Span(span.start, taken[-1].done))
        self.records.write(self.name, self.record)

    def _reject_table(self, rejects: Sequence[Reject]) -> pa.Table:
        """The rows rejected so far and these; one that came again is there once."""
        path = self.records.out / self.rejects_place
        before = _read(path, list(REJECT_COLUMNS)).to_pylist() if path.exists() else []
        old = [tuple(row[name] for name in REJECT_COLUMNS) for row in before]
        source = str(self.record.source)
        new = [_reject_row(source, self.name, reject) for reject in rejects]
        rows = list(dict.fromkeys([*old, *new]))
        fields = [(name, pa.string()) for name in REJECT_COLUMNS]
        columns = zip(*rows, strict=True)
        return pa.table([pa.array(one, pa.string()) for one in columns], schema=pa.schema(fields))


def _reject_row(source: str, name: str, reject: Reject) -> tuple[str | None, ...]:
    ts, values, _ = reject.row
    texts = [value_text(value) for value in (ts, *values)]
    return (source, reject.code, name, *texts, reject.row.text)


def _fetched(
    plan: _Plan, wanted: Span, base_ms: int, keeper: _Keeper, progress: _Progress
) -> Fetched:
    for span in plan.spans:
        assert keeper.walk is not None
        _walk_span(keeper.walk, span, keeper, progress)
    market = keeper.walk.market if keeper.walk else None
    ts = _stored_ts(keeper.records.out, keeper.name, wanted)
    rejects = keeper.records.out / keeper.rejects_place
    return Fetched(
        wanted=plan.wanted,
        market=market,
        received=keeper.received,
        new=keeper.new,
        rejected=tuple((code, keeper.rejected[code]) for code in CODES if keeper.rejected[code]),
        rejects=rejects if rejects.exists() else None,
        stored=len(ts),
        first_ts=int(ts[0]) if len(ts) else 0,
        last_ts=int(ts[-1]) if len(ts) else 0,
        gaps=_gaps(ts, base_ms),
    )


def _walk_span(walk: Walk, span: Span, keeper: _Keeper, progress: _Progress) -> None:
    reached = span.start
    try:
        for step in steps(walk, span.start, span.end):
            keeper.add(step, span)
            progress.add(min(step.reached, span.end) - reached)
            reached = step.reached
    except Refusal as error:
        raise Refusal(
            f"{error}. What came before {time_text(reached)} is kept; "
            "the same command goes on there"
        ) from error
    finally:
        keeper.flush(span)


def _stored_ts(out: Path, name: str, span: Span) -> Ints:
    """Open times of the bars in the folder that lie in the span."""
    first, last = (str(np.datetime64(ts, "ms").astype("datetime64[M]")) for ts in span)
    paths = [path for path in month_files(out, name) if first <= path.stem[-7:] <= last]
    parts = [_read(path, ["ts"])["ts"].to_numpy() for path in paths]
    ts: Ints = np.concatenate([np.empty(0, dtype=np.int64), *parts])
    return ts[(ts >= span.start) & (ts < span.end)]


def _read(path: Path, columns: list[str]) -> pa.Table:
    """Columns of a file that a fetch wrote."""
    try:
        return pq.read_table(path, columns=columns).select(columns)
    except (pa.ArrowException, KeyError, OSError) as error:
        raise ConfigError(
            f"{path}: is in the way: it can't be read: {error}; move it away or give another --out"
        ) from None


def _gaps(ts: Ints, base_ms: int) -> Gaps:
    between = np.diff(ts) // base_ms - 1
    holes = np.flatnonzero(between)
    if not len(holes):
        return Gaps()
    longest = int(holes[np.argmax(between[holes])])
    start = int(ts[longest]) + base_ms
    return Gaps(len(holes), int(between.sum()), int(between[longest]), start)
