"""Indicator history and signals of every strategy on every one of its symbols."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from .bars import Bar, Market, span_ms, windows
from .exact import hash_of
from .features import Column, feature
from .kinds import answers, features_named
from .settings import Settings, Strategy

BAR_COLUMNS = ("open", "high", "low", "close", "volume")


class Signal(NamedTuple):
    signal_id: str
    strategy_id: str
    symbol: str
    signal_ts: int
    action: str
    close: float
    size_hint: float


class Indicators(NamedTuple):
    """Per (symbol, timeframe): the final bars, and the columns of the features used there."""

    bars: dict[tuple[str, str], list[Bar]]
    columns: dict[tuple[str, str], dict[str, Column]]


def features_used(settings: Settings) -> dict[str, set[str]]:
    """The features that any strategy names, by timeframe; open to volume not among them."""
    used: dict[str, set[str]] = {}
    for strategy in settings.strategies.values():
        used.setdefault(strategy.timeframe, set())
        for timeframe, name in features_named(strategy.kind, strategy.params).values():
            used.setdefault(timeframe or strategy.timeframe, set()).add(name)
    return {timeframe: names - set(BAR_COLUMNS) for timeframe, names in used.items()}


def compute_indicators(market: Market, settings: Settings) -> Indicators:
    bars: dict[tuple[str, str], list[Bar]] = {}
    columns: dict[tuple[str, str], dict[str, Column]] = {}
    for timeframe, names in features_used(settings).items():
        for symbol in settings.symbols:
            final = windows(market.bars[symbol], span_ms(timeframe))
            bars[symbol, timeframe] = final
            columns[symbol, timeframe] = {
                name: feature(name, final) for name in {*BAR_COLUMNS, *names}
            }
    return Indicators(bars, columns)


def indicator_history(indicators: Indicators, settings: Settings) -> list[dict[str, Any]]:
    """Rows in order of (close time, symbol, timeframe), one column per feature used anywhere."""
    every = sorted(set().union(*features_used(settings).values()))
    rows = []
    for (symbol, timeframe), final in indicators.bars.items():
        columns = indicators.columns[symbol, timeframe]
        nothing: Column = [None] * len(final)
        by_name = {name: columns.get(name, nothing) for name in (*BAR_COLUMNS, *every)}
        for i, bar in enumerate(final):
            row = {"symbol": symbol, "timeframe": timeframe, "ts": bar.close_ts, "final": True}
            row.update((name, column[i]) for name, column in by_name.items())
            row["run_id"] = settings.run_id
            rows.append(row)
    rows.sort(key=lambda row: (row["ts"], row["symbol"], row["timeframe"]))
    return rows


def aligned(anchor: list[Bar], higher: list[Bar], column: Column) -> Column:
    """For each anchor bar the value of the newest higher bar that closes no later, or None."""
    result: Column = []
    seen = 0
    for bar in anchor:
        while seen < len(higher) and higher[seen].close_ts <= bar.close_ts:
            seen += 1
        result.append(column[seen - 1] if seen else None)
    return result


def signals_of(
    strategy: Strategy, symbol: str, indicators: Indicators, settings: Settings
) -> list[Signal]:
    anchor = indicators.bars[symbol, strategy.timeframe]
    columns: dict[str, Column] = {}
    for role, (timeframe, name) in features_named(strategy.kind, strategy.params).items():
        key = (symbol, timeframe or strategy.timeframe)
        column = indicators.columns[key][name]
        columns[role] = (
            column if timeframe is None else aligned(anchor, indicators.bars[key], column)
        )
    result = []
    actions = answers(strategy.kind, strategy.params, columns, len(anchor))
    for bar, action in zip(anchor, actions, strict=True):
        if action is None:
            continue
        if settings.start is not None and bar.close_ts <= settings.start:
            continue  # the warm-up gives no signals
        signal_id = hash_of(settings.run_id, strategy.id, symbol, bar.close_ts)
        result.append(Signal(signal_id, strategy.id, symbol, bar.close_ts, action, bar.close, 1.0))
    return result


def moments(base: list[Bar], timeframe_ms: int) -> Iterator[tuple[int, list[Bar]]]:
    """(time, the final bars before it and the one so far) at each base close.

    A bar whose last minutes are missing has a last moment at its end, once a later bar is there.
    """
    final: list[Bar] = []
    current: Bar | None = None
    for bar in base:
        start = bar.ts - bar.ts % timeframe_ms
        if current is not None and current.ts != start:
            yield current.close_ts, [*final, current]
            final.append(current)
            current = None
        if current is None:
            current = bar._replace(ts=start, close_ts=start + timeframe_ms)
        else:
            current = current._replace(
                high=max(current.high, bar.high),
                low=min(current.low, bar.low),
                close=bar.close,
                volume=current.volume + bar.volume,
            )
        yield bar.close_ts, [*final, current]
        if bar.close_ts == current.close_ts:
            final.append(current)
            current = None


def known_at(ts: int, bars: list[Bar], column: Column) -> float | None:
    """The value of the newest bar that closes no later, or None."""
    value = None
    for bar, found in zip(bars, column, strict=True):
        if bar.close_ts > ts:
            break
        value = found
    return value


def intrabar_signals(
    strategy: Strategy, symbol: str, base: list[Bar], indicators: Indicators, settings: Settings
) -> list[Signal]:
    """The strategy at every base close, asked with the last final bar and the one so far."""
    result = []
    given = set()
    named = features_named(strategy.kind, strategy.params)
    for ts, bars in moments(base, span_ms(strategy.timeframe)):
        columns: dict[str, Column] = {}
        for role, (timeframe, name) in named.items():
            if timeframe in (None, strategy.timeframe):
                columns[role] = [None, *feature(name, bars)][-2:]
            else:
                key = (symbol, timeframe)
                higher, column = indicators.bars[key], indicators.columns[key][name]
                before = known_at(bars[-2].close_ts, higher, column) if len(bars) > 1 else None
                columns[role] = [before, known_at(ts, higher, column)]
        action = answers(strategy.kind, strategy.params, columns, 2)[1]
        if action is None or (bars[-1].ts, action) in given:
            continue
        given.add((bars[-1].ts, action))
        if settings.start is not None and ts <= settings.start:
            continue  # given before the run began
        signal_id = hash_of(settings.run_id, strategy.id, symbol, ts)
        result.append(Signal(signal_id, strategy.id, symbol, ts, action, bars[-1].close, 1.0))
    return result


def order_of(signal: Signal) -> tuple[Any, ...]:
    """Order among signals: event time, SELL before BUY, strategy, symbol."""
    return (signal.signal_ts, signal.action != "SELL", signal.strategy_id, signal.symbol)


def compute_signals(market: Market, indicators: Indicators, settings: Settings) -> list[Signal]:
    """All signals of the run in order."""
    signals: list[Signal] = []
    for strategy in settings.strategies.values():
        for symbol in strategy.symbols:
            if strategy.intrabar:
                base = market.bars[symbol]
                signals += intrabar_signals(strategy, symbol, base, indicators, settings)
            else:
                signals += signals_of(strategy, symbol, indicators, settings)
    return sorted(signals, key=order_of)


def signal_row(signal: Signal, settings: Settings) -> dict[str, Any]:
    strategy = settings.strategies[signal.strategy_id]
    return {
        "signal_id": signal.signal_id,
        "strategy_id": signal.strategy_id,
        "symbol": signal.symbol,
        "timeframe": strategy.timeframe,
        "signal_ts": signal.signal_ts,
        "action": signal.action,
        "close": signal.close,
        "size_hint": signal.size_hint,
        "confidence": 1.0,
        "reason": strategy.kind,
        "strategy_version": "1+intrabar" if strategy.intrabar else "1",
        "params_hash": strategy.params_hash,
        "run_id": settings.run_id,
    }
