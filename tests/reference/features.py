"""Features by canonical name, computed by TA-Lib over the whole history at once."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import talib

from .bars import DAY_MS, Bar

Column = list[float | None]


def number_in_name(value: float) -> str:
    """A parameter as a feature's name shows it: 2 and 2.0 as 2, 2.5 as 2.5."""
    return str(int(value)) if value == int(value) else repr(float(value))


def donchian(values: Sequence[float], period: int, highest: bool) -> Column:
    """The extreme of the `period` bars before each bar; null until there are so many."""
    extreme = max if highest else min
    result: Column = []
    for i in range(len(values)):
        result.append(extreme(values[i - period : i]) if i >= period else None)
    return result


def mean_of_last(values: Sequence[float], period: int) -> Column:
    result: Column = []
    for i in range(len(values)):
        full = i + 1 >= period
        result.append(math.fsum(values[i + 1 - period : i + 1]) / period if full else None)
    return result


def vwap_day(bars: Sequence[Bar]) -> Column:
    """The volume-weighted typical price of the UTC day so far, by the bar's open time."""
    result: Column = []
    day: int | None = None
    traded, volume = 0.0, 0.0
    for bar in bars:
        if bar.ts // DAY_MS != day:
            day, traded, volume = bar.ts // DAY_MS, 0.0, 0.0
        traded += (bar.high + bar.low + bar.close) / 3 * bar.volume
        volume += bar.volume
        result.append(traded / volume if volume > 0 else None)
    return result


def from_talib(name: str, bars: Sequence[Bar]) -> np.ndarray[Any, Any]:
    """The TA-Lib output of one feature; NaN before its first value. Raises on unknown names."""
    high = np.array([bar.high for bar in bars], dtype=float)
    low = np.array([bar.low for bar in bars], dtype=float)
    close = np.array([bar.close for bar in bars], dtype=float)
    volume = np.array([bar.volume for bar in bars], dtype=float)
    words = name.split("_")
    n = [int(word) for word in words if word.isdecimal()]
    if name == "obv":
        return talib.OBV(close, volume)
    if words[0] in ("sma", "ema", "rsi", "roc"):
        function = {"sma": talib.SMA, "ema": talib.EMA, "rsi": talib.RSI, "roc": talib.ROC}
        return function[words[0]](close, n[0])
    if words[0] == "atr":
        return talib.ATR(high, low, close, n[0])
    if words[0] == "adx":
        return talib.ADX(high, low, close, n[0])
    if words[0] == "macd":
        output = {"signal": 1, "hist": 2}.get(words[1], 0)
        return talib.MACD(close, n[0], n[1], n[2])[output]
    if words[0] == "bb":
        k = float(words[3])
        output = ("upper", "middle", "lower").index(words[1])
        return talib.BBANDS(close, int(words[2]), k, k)[output]
    if words[0] == "stoch":
        lines = talib.STOCH(
            high, low, close, fastk_period=n[0], slowk_period=n[1], slowd_period=n[2]
        )
        return lines[("k", "d").index(words[1])]
    raise ValueError(f"unknown feature {name!r}")


def feature(name: str, bars: Sequence[Bar]) -> Column:
    """One feature over all bars of a symbol and timeframe, one value per bar, None where null."""
    if name in ("open", "high", "low", "close", "volume"):
        return [getattr(bar, name) for bar in bars]
    if name.startswith("donchian_high_"):
        return donchian([bar.high for bar in bars], int(name.split("_")[2]), True)
    if name.startswith("donchian_low_"):
        return donchian([bar.low for bar in bars], int(name.split("_")[2]), False)
    if name.startswith("volume_sma_"):
        return mean_of_last([bar.volume for bar in bars], int(name.split("_")[2]))
    if name == "vwap_day":
        return vwap_day(bars)
    if not bars:
        return []
    values = from_talib(name, bars).tolist()
    return [None if math.isnan(value) else value for value in values]
