"""What a feed writes: bars, refused bars, and progress; and how it finds where it stood.

Progress of a tick is written once its bars are in the store. So a feed that was killed goes on
after its newest progress and writes the next tick again, whole: rows that are there stay.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import NamedTuple

from feeds.live.bars import Piece
from feeds.live.lines import BAD_LINE
from jobs.live.stage import INSTANCE
from jobs.store import reading
from jobs.store.client import Client, Row
from jobs.symbol_stage import Reject
from schemas.market import PRICE_1M_HISTORY
from schemas.ops import PROGRESS
from udfs.bar_checks import BAR_CODES
from udfs.errors import Refusal
from udfs.ids import hash_id
from udfs.rows import BarCode

FEED = "feed"
# Bars of one symbol may be in the log a little before those of earlier ticks of another.
SETTLED_ROWS = 100
DETAILS = {
    BarCode.BAD_TS: "ts is not the opening time of a base bar in UTC milliseconds",
    BarCode.PRICE_NOT_FINITE: "a price is no finite number",
    BarCode.PRICE_NOT_POSITIVE: "a price is not above 0",
    BarCode.OHLC_INCONSISTENT: "low lies above, or high below, open or close",
    BarCode.BAD_VOLUME: "volume is no finite number from 0 on",
}


class Stood(NamedTuple):
    """Where the feed stood. `told`: its newest tick, None before the first.

    `rows`: what it told of its last ticks. `ahead`: bars by (symbol, ts) of ticks that it has not
    told, left by a kill.
    """

    told: int | None
    rows: Mapping[int, int]
    ahead: frozenset[tuple[str, int]]


class Tick(NamedTuple):
    """A minute that has passed: the rows to write, and how many count (those that are not late)."""

    tick: int
    rows: Sequence[Row]
    counted: int


def stood(client: Client, base_ms: int) -> Stood:
    """Where the feed of this store stands."""
    told = reading.tail(client, PROGRESS, lambda rows: any(row["stage"] == FEED for row in rows))
    rows = {row["ts"]: row["rows"] for row in told if row["stage"] == FEED}
    newest = max(rows, default=None)

    def settled(bars: Sequence[reading.Record]) -> bool:
        return newest is not None and all(
            bar["ts"] + base_ms <= newest for bar in bars[:SETTLED_ROWS]
        )

    bars = reading.tail(client, PRICE_1M_HISTORY, settled)
    ahead = {
        (bar["symbol"], bar["ts"])
        for bar in bars
        if not bar["late"] and (newest is None or bar["ts"] + base_ms > newest)
    }
    return Stood(newest, rows, frozenset(ahead))


def bar_rows(piece: Piece, symbols: Sequence[str]) -> list[Row]:
    """Bars as rows of price_1m_history, in the store's columns."""
    columns = (piece.ts, piece.open, piece.high, piece.low, piece.close, piece.volume)
    names = (symbols[number] for number in piece.symbol.tolist())
    return [
        (*row, INSTANCE, late)
        for *row, late in zip(
            names, *(column.tolist() for column in columns), piece.late.tolist(), strict=True
        )
    ]


def progress_row(tick: Tick) -> Row:
    """The feed's promise for a tick."""
    return (FEED, INSTANCE, tick.tick, tick.counted)


def reject_row(reject: Reject, run_id: str) -> Row:
    """A refused bar as a row of price_rejects, in the store's columns."""
    code = BAR_CODES[reject.code]
    return refused_row(reject.values, code.value, DETAILS[code], run_id)


def refused_row(values: Sequence[str | None], code: str, detail: str, run_id: str) -> Row:
    """The same of any values (as text, in the order of a bar's columns), code and words."""
    row_id = hash_id(*(value or "" for value in values))
    symbol, *rest = values
    return (row_id, symbol or "", *rest, code, detail, run_id)


def bad_line_row(text: str, problem: str, run_id: str) -> Row:
    """A line that is no row at all, likewise; its text stands in the words."""
    nothing = (None,) * 6
    return (hash_id(text), "", *nothing, BAD_LINE, f"{problem}: {text}", run_id)


class Timeline:
    """Pieces in, ticks out: each one from where the feed stood, without holes.

    `before` counts bars of ticks that were told already, `first` and `last` are the first and last
    tick that the bars have. Refusal where more than `max_gap_ms` have no bars, and where what the
    store was told of its last ticks does not agree with these bars.
    """

    def __init__(self, at: Stood, symbols: Sequence[str], base_ms: int, max_gap_ms: int) -> None:
        self._at, self._symbols = at, symbols
        self._base_ms, self._max_gap_ms = base_ms, max_gap_ms
        self._ahead: dict[int, set[str]] = {}
        for symbol, ts in at.ahead:
            self._ahead.setdefault(ts + base_ms, set()).add(symbol)
        self._known: dict[int, int] = {}
        self._newest = at.told
        self.before = 0
        self.first: int | None = None
        self.last: int | None = None

    def ticks(self, pieces: Iterator[Piece]) -> Iterator[Tick]:
        """All ticks that are to be written."""
        for piece in pieces:
            rows = bar_rows(piece, self._symbols)
            closes, late = piece.tick.tolist(), piece.late.tolist()
            start = 0
            for end in _ends(closes):
                tick, some = closes[start], rows[start:end]
                count = end - start - sum(late[start:end])
                start = end
                yield from self._one(tick, some, count)
        self._check_known()

    def _one(self, tick: int, rows: Sequence[Row], count: int) -> Iterator[Tick]:
        if self.first is None:
            self.first = tick
        self.last = tick
        told = self._at.told
        if told is not None and tick <= told:
            self.before += len(rows)
            if tick in self._at.rows:
                self._known[tick] = count
            return
        self._check_known()
        if self._newest is not None:
            if tick - self._newest > self._max_gap_ms + self._base_ms:
                raise Refusal(self._gap_text(self._newest, tick))
            for empty in range(self._newest + self._base_ms, tick, self._base_ms):
                yield Tick(empty, (), len(self._ahead.pop(empty, ())))
        self._newest = tick
        left = self._ahead.pop(tick, None)
        if left:
            count = len(left | {row[0] for row in rows if not row[-1]})
        yield Tick(tick, rows, count)

    def _gap_text(self, before: int, tick: int) -> str:
        days = (tick - before) / 86_400_000
        return (
            f"no bars for {days:,.1f} days, from {moment(before)} to {moment(tick)}: every minute "
            "between them would be told as empty; --max-gap allows more, another run.id begins anew"
        )

    def _check_known(self) -> None:
        """Refusal where the store was told other counts of ticks that these bars have, too."""
        if self.first is None or self.last is None:
            return
        for tick, rows in sorted(self._at.rows.items()):
            if self.first <= tick <= self.last and self._known.get(tick, 0) != rows:
                raise Refusal(
                    f"the store was fed other bars: {rows} of {moment(tick)}, and these files "
                    f"have {self._known.get(tick, 0)}; give the files that it was fed, or another "
                    "run.id"
                )
        self._at = self._at._replace(rows={})


def _ends(values: Sequence[int]) -> Iterator[int]:
    """Where each stretch of equal values ends."""
    for number in range(1, len(values)):
        if values[number] != values[number - 1]:
            yield number
    if values:
        yield len(values)


def moment(ts: int) -> str:
    """A time as people read it, UTC."""
    found = datetime.fromtimestamp(ts / 1000, UTC)
    return found.strftime("%Y-%m-%d %H:%M" if found.second == 0 else "%Y-%m-%d %H:%M:%S")
