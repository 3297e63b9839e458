"""Raw rows to bars, and 1m bars to the bars of higher timeframes."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable
from typing import Any, NamedTuple

from .exact import as_text, double, whole_number

DAY_MS = 86_400_000
CALENDAR_MS = (-62_104_060_800_000, 253_370_764_800_000)  # the years 2 to 9998
UNIT_MS = {"m": 60_000, "h": 3_600_000, "d": DAY_MS}


class Bar(NamedTuple):
    """One bar; ts and close_ts in epoch milliseconds UTC, ts is the open time."""

    ts: int
    close_ts: int
    open: float
    high: float
    low: float
    close: float
    volume: float


class Market(NamedTuple):
    """The kept bars by symbol, in order of time, and what was not kept."""

    bars: dict[str, list[Bar]]
    rejects: list[dict[str, Any]]
    skipped: dict[str, int]
    late: int
    duplicates: int


def span_ms(text: str) -> int:
    """Milliseconds of a span such as 90m, 6h or 2d; raises ValueError on anything else."""
    if text[-1:] not in UNIT_MS or not text[:-1].isdecimal() or int(text[:-1]) == 0:
        raise ValueError(f"not a span like 5m, 1h or 1d: {text!r}")
    return int(text[:-1]) * UNIT_MS[text[-1]]


def check(row: dict[str, Any], ts: int | None, base_ms: int) -> str | None:
    """The code of the first check that the row fails, or None for a valid row."""
    if ts is None or ts % base_ms != 0 or not CALENDAR_MS[0] <= ts < CALENDAR_MS[1]:
        return "BAD_TS"
    open_, high, low, close = (double(row.get(name)) for name in ("open", "high", "low", "close"))
    if not all(math.isfinite(price) for price in (open_, high, low, close)):
        return "PRICE_NOT_FINITE"
    if min(open_, high, low, close) <= 0:
        return "PRICE_NOT_POSITIVE"
    if low > min(open_, close) or high < max(open_, close):
        return "OHLC_INCONSISTENT"
    volume = double(row.get("volume"))
    if not math.isfinite(volume) or volume < 0:
        return "BAD_VOLUME"
    return None


def read_bars(
    rows: Iterable[dict[str, Any]],
    symbols: Iterable[str],
    first_ts: int | None,
    end_ts: int | None,
    base_ms: int,
    run_id: str,
) -> Market:
    """Sort raw rows, in their order of arrival, into kept bars, rejects, skipped, late, copies.

    `first_ts` is the start of the run less its warm-up; both limits may be None.
    """
    bars: dict[str, list[Bar]] = {symbol: [] for symbol in symbols}
    rejects: list[dict[str, Any]] = []
    counts: Counter[str] = Counter()
    for row in rows:
        ts = whole_number(row.get("ts"))
        if ts is not None and first_ts is not None and ts < first_ts:
            counts["out_of_range"] += 1
            continue
        if ts is not None and end_ts is not None and ts >= end_ts:
            counts["out_of_range"] += 1
            continue
        kept = bars.get(row.get("symbol"))  # type: ignore[arg-type]
        if kept is None:
            counts["unknown_symbol"] += 1
            continue
        code = check(row, ts, base_ms)
        if code is not None:
            names = ("symbol", "ts", "open", "high", "low", "close", "volume")
            texts = {name: as_text(row.get(name)) for name in names}
            rejects.append({**texts, "code": code, "run_id": run_id})
            continue
        assert ts is not None
        if kept and ts == kept[-1].ts:
            counts["duplicates"] += 1
        elif kept and ts < kept[-1].ts:
            counts["late"] += 1
        else:
            values = [double(row[name]) for name in ("open", "high", "low", "close", "volume")]
            kept.append(Bar(ts, ts + base_ms, *values))
    skipped = {name: counts[name] for name in ("out_of_range", "unknown_symbol")}
    return Market(bars, rejects, skipped, counts["late"], counts["duplicates"])


def windows(bars: list[Bar], timeframe_ms: int) -> list[Bar]:
    """The final bars of a timeframe, made from one symbol's base bars in order of time.

    A window is final once a base bar that closes at its end or later was seen, so a window that
    the input leaves unfinished gives no bar.
    """
    final: list[Bar] = []
    current: Bar | None = None
    for bar in bars:
        start = bar.ts - bar.ts % timeframe_ms
        if current is not None and current.ts != start:
            final.append(current)
            current = None
        if current is None:
            current = bar._replace(ts=start, close_ts=start + timeframe_ms)
        else:
            current = Bar(
                ts=current.ts,
                close_ts=current.close_ts,
                open=current.open,
                high=max(current.high, bar.high),
                low=min(current.low, bar.low),
                close=bar.close,
                volume=current.volume + bar.volume,
            )
        if bar.close_ts == current.close_ts:
            final.append(current)
            current = None
    return final
