"""The six built-in kinds: what their parameters must be, what they name, what they answer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .bars import DAY_MS, span_ms
from .features import Column, number_in_name

Params = dict[str, Any]
Columns = dict[str, Column]

PARAMETERS = {
    "ema_cross": {"fast", "slow"},
    "rsi_reversion": {"period", "low", "high"},
    "macd_trend": {"fast", "slow", "signal"},
    "bollinger_breakout": {"period", "k"},
    "donchian_breakout": {"entry", "exit"},
    "trend_pullback": {"trend_tf", "trend_ema", "rsi_period", "low", "high"},
}
PERIODS = {"fast", "slow", "signal", "period", "entry", "exit", "trend_ema", "rsi_period"}
TREND = "trend"


def is_number(value: object) -> bool:
    """A finite number as YAML reads it; text and booleans are none."""
    return (
        isinstance(value, (int, float))
        and not isinstance(value, bool)
        and abs(value) < float("inf")
    )


def complaint(kind: str, params: Params, base_ms: int) -> str | None:
    """Why the parameters make no sense, or None. Raises ValueError for an unknown kind."""
    if kind not in PARAMETERS:
        raise ValueError(f"unknown kind {kind!r}")
    if set(params) != PARAMETERS[kind]:
        return f"{kind} needs exactly {sorted(PARAMETERS[kind])}, not {sorted(params)}"
    for name, value in params.items():
        if name == "trend_tf":
            if not good_timeframe(value, base_ms):
                return f"trend_tf is no timeframe: {value!r}"
        elif not is_number(value):
            return f"{name} is no number: {value!r}"
        elif name in PERIODS and (value != int(value) or value < 2):
            return f"{name} must be a whole number >= 2: {value!r}"
    if "fast" in params and params["fast"] >= params["slow"]:
        return "fast must be below slow"
    if "low" in params and params["low"] >= params["high"]:
        return "low must be below high"
    if "k" in params and params["k"] <= 0:
        return "k must be above 0"
    return None


def good_timeframe(value: object, base_ms: int) -> bool:
    """Whether the value names a multiple of the base that divides a day."""
    try:
        length = span_ms(str(value))
    except ValueError:
        return False
    return length % base_ms == 0 and DAY_MS % length == 0


def whole(value: float) -> str:
    return str(int(value))


def features_named(kind: str, params: Params) -> dict[str, tuple[str | None, str]]:
    """The features that the kind names: role -> (timeframe or None for the anchor, name)."""
    p = params
    if kind == "ema_cross":
        return {
            "fast": (None, f"ema_{whole(p['fast'])}"),
            "slow": (None, f"ema_{whole(p['slow'])}"),
        }
    if kind == "rsi_reversion":
        return {"rsi": (None, f"rsi_{whole(p['period'])}")}
    if kind == "macd_trend":
        periods = "_".join(whole(p[name]) for name in ("fast", "slow", "signal"))
        return {
            "macd": (None, f"macd_{periods}"),
            "line": (None, f"macd_signal_{periods}"),
            "close": (None, "close"),
        }
    if kind == "bollinger_breakout":
        band = f"{whole(p['period'])}_{number_in_name(p['k'])}"
        return {
            "close": (None, "close"),
            "upper": (None, f"bb_upper_{band}"),
            "middle": (None, f"bb_middle_{band}"),
        }
    if kind == "donchian_breakout":
        return {
            "close": (None, "close"),
            "high": (None, f"donchian_high_{whole(p['entry'])}"),
            "low": (None, f"donchian_low_{whole(p['exit'])}"),
        }
    if kind == "trend_pullback":
        return {
            "close": (None, "close"),
            "rsi": (None, f"rsi_{whole(p['rsi_period'])}"),
            TREND: (str(p["trend_tf"]), f"ema_{whole(p['trend_ema'])}"),
        }
    raise ValueError(f"unknown kind {kind!r}")


def greater(a: float, b: float, noise: float | None = None) -> bool:
    """a > b by more than noise, which is 1e-9 of the larger one unless it is given."""
    if noise is None:
        noise = 1e-9 * max(abs(a), abs(b))
    return a - b > noise


Comparison = Callable[[int], bool | None]


def is_above(a: Column, b: Column, noise: Column | None = None) -> Comparison:
    """A function of the bar's index: a > b there, None where either is null."""

    def compare(i: int) -> bool | None:
        first, second = a[i], b[i]
        if first is None or second is None:
            return None
        return greater(first, second, None if noise is None else noise[i])

    return compare


def begins(comparison: Comparison, i: int) -> bool:
    """True at this bar, false and not null at the bar before: a crossing, or a first time."""
    return i > 0 and comparison(i) is True and comparison(i - 1) is False


def entry_and_exit(
    kind: str, params: Params, columns: Columns, count: int
) -> tuple[Comparison, Comparison]:
    """The comparison whose beginning is the BUY, and the one whose beginning is the SELL."""
    c = columns
    if kind == "ema_cross":
        return is_above(c["fast"], c["slow"]), is_above(c["slow"], c["fast"])
    if kind == "macd_trend":
        noise: Column = [None if close is None else 1e-12 * close for close in c["close"]]
        return is_above(c["macd"], c["line"], noise), is_above(c["line"], c["macd"], noise)
    if kind == "bollinger_breakout":
        return is_above(c["close"], c["upper"]), is_above(c["middle"], c["close"])
    if kind == "donchian_breakout":
        return is_above(c["close"], c["high"]), is_above(c["low"], c["close"])
    low: Column = [float(params["low"])] * count
    high: Column = [float(params["high"])] * count
    return is_above(c["rsi"], low), is_above(high, c["rsi"])


def answers(kind: str, params: Params, columns: Columns, count: int) -> list[str | None]:
    """BUY, SELL or None for each of the anchor's bars; columns by role, aligned to the anchor."""
    entry, exit_ = entry_and_exit(kind, params, columns, count)
    result: list[str | None] = []
    for i in range(count):
        action = None
        if all(column[i] is not None for column in columns.values()):
            if begins(entry, i) and in_trend(columns, i):
                action = "BUY"
            elif begins(exit_, i):
                action = "SELL"
        result.append(action)
    return result


def in_trend(columns: Columns, i: int) -> bool:
    """Whether the close is above the trend; true for the kinds that have none."""
    if TREND not in columns:
        return True
    return is_above(columns["close"], columns[TREND])(i) is True
