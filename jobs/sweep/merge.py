"""Finished chunks put together as the tables, counts and summary of the whole run.

Memory is bounded: rows pass in slices of time. What comes out equals what one chunk of everything
gives, floats to the last bit: sums are taken in the same order. An account's own row of the summary
keeps 8 bytes per round trip for that.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from jobs.assemble import match_table
from jobs.equity import EquityLine, equity_table
from jobs.group_stage import Columns
from jobs.merge import joined
from jobs.run_folder import TableWriter, write_tables
from jobs.summary import ALL, Key, all_figures, net_floats, without_dust
from jobs.sweep.parts import AMOUNTS, EQUITY, SLICES, ChunkOut, Part, read_array, run_span
from udfs import bulk_ids, wide
from udfs.account_fold import CODES
from udfs.errors import ConfigError
from udfs.figures import FLAT, FigureInput
from udfs.money import UNIT
from udfs.plan import RunPlan

MERGE_ROWS = 250_000  # rows in memory at a time, and in a row group of the matches
INT64 = np.dtype(np.int64)
Total = tuple[int, str]  # account, currency


class Merged(NamedTuple):
    """Rows by table, counts of the manifest, the summary."""

    rows: dict[str, int]
    counts: dict[str, Any]
    summary: list[dict[str, Any]]


class Source(NamedTuple):
    """A finished chunk, and what its accounts and strategies are in the whole plan."""

    folder: Path
    out: ChunkOut
    accounts: np.ndarray
    strategies: np.ndarray


class _Piece(NamedTuple):
    """Rows of one account, as `joined` takes them."""

    account: int
    columns: Columns


def merge(plan: RunPlan, chunks: Sequence[tuple[Path, ChunkOut]], staging: Path) -> Merged:
    """Write the run's tables to `staging`. ConfigError where a sum does not fit its column."""
    accounts = {account.account_id: i for i, account in enumerate(plan.accounts)}
    strategies = {strategy.strategy_id: i for i, strategy in enumerate(plan.strategies)}
    sources = [
        Source(
            folder,
            out,
            np.array([accounts[name] for name in out.accounts], dtype=np.int32),
            np.array([strategies[name] for name in out.strategies], dtype=np.int32),
        )
        for folder, out in sorted(chunks, key=lambda chunk: chunk[1].strategies)
    ]
    try:
        matches, net_pnl = _matches(plan, sources, staging)
        days, equity = _equity(plan, sources, staging)
    except OverflowError as error:
        raise ConfigError(f"{error}: it holds 20 digits before the point") from None
    rows = write_tables(staging, _state_tables(sources))
    rows |= {"trade_match_history": matches, "equity_daily": days}
    figures = _Figures(net_pnl, equity, _usage(plan, sources))
    return Merged(
        dict(sorted(rows.items())), _counts(plan, sources), _summary(plan, sources, figures)
    )


# ---- rows in order of time -------------------------------------------------------------------


def _in_order(plan: RunPlan, parts: Sequence[tuple[Source, Part]], time: str) -> Iterator[Columns]:
    """The records of all parts as columns, some MERGE_ROWS at a time, as `joined` orders them."""
    counts = np.zeros(SLICES, dtype=np.int64)
    for _, part in parts:
        counts += np.diff(part.starts)
    for begin, end in _spans(counts):
        pieces = []
        for source, part in parts:
            start, stop = int(part.starts[begin]), int(part.starts[end])
            if start < stop:
                records = read_array(source.folder / part.name, part.dtype, start, stop)
                columns = {name: records[name] for name in part.dtype.names or ()}
                columns["strategy"] = source.strategies[columns["strategy"]]
                pieces.append(_Piece(int(source.accounts[part.account]), columns))
        yield joined(plan, pieces, "columns", time)


def _spans(counts: np.ndarray) -> Iterator[tuple[int, int]]:
    """Runs of slices [begin, end) with rows, as few as MERGE_ROWS allows."""
    begin, rows = 0, 0
    for end, count in enumerate(counts.tolist()):
        if rows and rows + count > MERGE_ROWS:
            yield begin, end
            begin, rows = end, 0
        rows += count
    if rows:
        yield begin, SLICES


def _matches(
    plan: RunPlan, sources: Sequence[Source], staging: Path
) -> tuple[int, dict[Total, np.ndarray]]:
    """Write trade_match_history; its rows, and net profits by account and currency in its order."""
    found: dict[Total, list[np.ndarray]] = {}
    parts = [(source, part) for source in sources for part in source.out.matches]
    with TableWriter(staging / "trade_match_history.parquet") as writer:
        for columns in _in_order(plan, parts, "match_ts"):
            writer.write(match_table(plan, columns))
            net = net_floats(columns)
            for key, mine in _by_total(plan, columns):
                found.setdefault(key, []).append(net[mine])
        if not writer.rows:
            writer.write(match_table(plan, None))
    return writer.rows, {key: np.concatenate(values) for key, values in found.items()}


def _by_total(plan: RunPlan, columns: Columns) -> Iterator[tuple[Total, np.ndarray]]:
    """The rows of each account and currency, ascending."""
    currencies = sorted({symbol.quote for symbol in plan.symbols})
    quote = np.array([currencies.index(symbol.quote) for symbol in plan.symbols])
    cell = columns["account"].astype(np.int64) * len(currencies) + quote[columns["symbol"]]
    for one in np.unique(cell).tolist():
        account, number = divmod(one, len(currencies))
        yield (account, currencies[number]), np.flatnonzero(cell == one)


# ---- equity ----------------------------------------------------------------------------------


def _equity(
    plan: RunPlan, sources: Sequence[Source], staging: Path
) -> tuple[int, dict[Total, np.ndarray]]:
    """Write equity_daily; its rows, and the equity of each account and currency by day."""
    lines_of = [[_key(source, line) for line in source.out.lines] for source in sources]
    keys = sorted(key for lines in lines_of for key in lines)
    place = {key: at for at, key in enumerate(keys)}
    places = [np.array([place[key] for key in lines], dtype=np.int64) for lines in lines_of]
    members: dict[Total, list[int]] = {}
    for at, (account, _, currency) in enumerate(keys):
        members.setdefault((account, currency), []).append(at)
    totals: dict[Total, list[np.ndarray]] = {total: [] for total in members}
    days, first_day = max((source.out.days, source.out.first_day) for source in sources)
    block = max(1, MERGE_ROWS // max(1, len(keys)))
    with TableWriter(staging / "equity_daily.parquet") as writer:
        for start in range(0, days, block):
            amounts = _read_days(sources, places, start, min(start + block, days))
            lines = [
                EquityLine(*key, first_day + start, *(amounts[k, at] for k in range(len(AMOUNTS))))
                for at, key in enumerate(keys)
            ]
            writer.write(equity_table(plan, lines))
            for total, at in members.items():
                floats = (wide.to_floats(lines[i].equity, float(UNIT)) for i in at)
                totals[total].append(np.asarray(sum(floats)))
        if not writer.rows:
            writer.write(equity_table(plan, []))
    return writer.rows, {total: np.concatenate(parts) for total, parts in totals.items()}


def _key(source: Source, line: tuple[int, int, str]) -> Key:
    account, strategy, currency = line
    return int(source.accounts[account]), int(source.strategies[strategy]), currency


def _read_days(
    sources: Sequence[Source], places: Sequence[np.ndarray], start: int, stop: int
) -> np.ndarray:
    """int64[4, lines, days, 2] of the days [start, stop); `places` are those of a chunk's lines."""
    width = sum(map(len, places))
    amounts = np.empty((len(AMOUNTS), width, stop - start, 2), dtype=np.int64)
    for source, mine in zip(sources, places, strict=True):
        size = len(mine) * len(AMOUNTS) * 2
        found = read_array(source.folder / EQUITY, INT64, start * size, stop * size)
        by_day = found.reshape(stop - start, len(mine), len(AMOUNTS), 2)
        amounts[:, mine] = by_day.transpose(2, 1, 0, 3)
    return amounts


# ---- what is small ---------------------------------------------------------------------------


def _state_tables(sources: Sequence[Source]) -> dict[str, pa.Table]:
    """Tables of positions, in order of (time, account, strategy, symbol)."""
    tables = {}
    for name in sorted({name for source in sources for name in source.out.tables}):
        found = [source.out.tables[name] for source in sources if name in source.out.tables]
        time = "ts" if name == "unrealized_snapshot" else "updated_ts"
        keys = (time, "account_id", "strategy_id", "symbol")
        tables[name] = pa.concat_tables(found).sort_by([(key, "ascending") for key in keys])
    return tables


def _counts(plan: RunPlan, sources: Sequence[Source]) -> dict[str, Any]:
    """What manifest.json counts. Of the rows of bars every chunk has counted the same."""
    counts = dict(sources[0].out.counts)
    rejected: Counter[str] = Counter()
    for source in sources:
        rejected.update(source.out.counts["rejected"])
    counts["rejected"] = {
        code.value: rejected[code.value] for code in CODES if rejected[code.value]
    }
    counts["over_cap"] = sum(source.out.counts["over_cap"] for source in sources)
    pieces = []
    for source in sources:
        unfilled = source.out.unfilled
        for account, whole in enumerate(source.accounts.tolist() if "account" in unfilled else ()):
            mine = unfilled["account"] == account
            columns = {n: values[mine] for n, values in unfilled.items() if n != "account"}
            columns["strategy"] = source.strategies[columns["strategy"]]
            pieces.append(_Piece(whole, columns))
    orders = joined(plan, pieces, "columns", "ts")["order_id"] if pieces else ()
    counts["unfilled"] = bulk_ids.texts(orders)
    return counts


# ---- accounts' own rows of the summary -------------------------------------------------------


class _Figures(NamedTuple):
    """What an account's own row is made of, by account and currency."""

    net_pnl: dict[Total, np.ndarray]
    equity: dict[Total, np.ndarray]
    usage: dict[Total, "_Usage"]


class _Usage:
    """An account's open cost after each of its fills, thinned out to what the figures read.

    Kept are the fills at which it may have begun or ceased to be 0, and the highest one.
    `largest` is the largest cost of a strategy and symbol, `bound` what no total exceeds.
    """

    def __init__(self, largest: float, bound: float) -> None:
        self.largest, self.surely_open = largest, 2 * FLAT * bound
        self.total, self.peak, self.last = 0.0, 0.0, -1
        self.ts: list[np.ndarray] = []
        self.cost: list[np.ndarray] = []

    def add(self, ts: np.ndarray, change: np.ndarray) -> None:
        """Take in fills in order of time."""
        change[0] += self.total
        total = np.cumsum(change)
        self.total = float(total[-1])
        cost = without_dust(total, self.largest)
        state = np.where(cost > self.surely_open, 1, np.where(cost <= 0.0, 0, -1))
        keep = (np.append(self.last, state[:-1]) != state) | (state < 0)
        self.last = int(state[-1])
        top = int(np.argmax(cost))
        if cost[top] > self.peak:
            self.peak = float(cost[top])
            keep[top] = True
        self.ts.append(ts[keep])
        self.cost.append(cost[keep])

    def columns(self) -> dict[str, np.ndarray]:
        """The fills that were kept."""
        none = np.empty(0, dtype=np.int64)
        return {
            "usage_ts": np.concatenate([none, *self.ts]),
            "usage_cost": np.concatenate([none.astype(np.float64), *self.cost]),
        }


def _usage(plan: RunPlan, sources: Sequence[Source]) -> dict[Total, _Usage]:
    """Of every account and currency."""
    limits: dict[Total, tuple[float, float]] = {}
    for source in sources:
        for (account, currency), (largest, bound) in source.out.limits.items():
            key = (int(source.accounts[account]), currency)
            before = limits.get(key, (0.0, 0.0))
            limits[key] = (max(before[0], largest), before[1] + bound)
    found = {key: _Usage(*limit) for key, limit in limits.items()}
    parts = [(source, part) for source in sources for part in source.out.usage]
    for columns in _in_order(plan, parts, "ts"):
        for key, mine in _by_total(plan, columns):
            found[key].add(columns["ts"][mine], columns["change"][mine])
    return found


def _summary(plan: RunPlan, sources: Sequence[Source], figures: _Figures) -> list[dict[str, Any]]:
    """The rows of strategies and, after an account's, its own."""
    rows: dict[tuple[str, str, str], dict[str, Any]] = {}
    for source in sources:
        rows |= {(r["account_id"], r["strategy_id"], r["currency"]): r for r in source.out.rows}
    found = []
    for number, account in enumerate(plan.accounts):
        mine = [rows[key] for key in sorted(rows) if key[0] == account.account_id]
        found.extend(mine)
        for currency in sorted({row["currency"] for row in mine}):
            part = [row for row in mine if row["currency"] == currency]
            span = run_span(sources[0].out.closes)
            found.append(_total_row(plan, number, part, figures, span))
    return found


def _total_row(
    plan: RunPlan,
    account: int,
    rows: Sequence[dict[str, Any]],
    figures: _Figures,
    span: tuple[int, int],
) -> dict[str, Any]:
    """The row of an account in one currency, from those of its strategies."""
    total = (account, rows[0]["currency"])
    rejected: Counter[str] = Counter()
    for row in rows:
        rejected.update(row["rejected"])
    return all_figures(
        FigureInput(
            account_id=plan.accounts[account].account_id,
            strategy_id=ALL,
            currency=total[1],
            signals=sum(row["signals"] for row in rows),
            accepted=sum(row["accepted"] for row in rows),
            rejected=rejected,
            gross=sum(_units(row["gross_pnl"]) for row in rows),
            fees=sum(_units(row["fees"]) for row in rows),
            net_pnl=figures.net_pnl.get(total, np.empty(0)),
            equity=figures.equity[total],
            start_capital=plan.accounts[account].start_capital / UNIT,
            periods=plan.periods,
            **figures.usage[total].columns(),
            first_ts=span[0],
            last_ts=span[1],
        )
    )


def _units(text: str) -> int:
    """Decimal text of any size in units of 10^-18."""
    return int(Fraction(text) * UNIT)
