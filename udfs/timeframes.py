"""Timeframes, and the resampling of base bars to higher ones with carried state."""

import re

DAY_MS = 86_400_000
MINUTE_MS = 60_000
_UNITS = {"s": 1_000, "m": MINUTE_MS, "h": 3_600_000, "d": DAY_MS}


def span_ms(text: object) -> int:
    """A span such as `90m`, `6h`, `2d`, `5s` or `0`, in ms. ValueError where it is none."""
    match = re.fullmatch(r"([1-9][0-9]*)([smhd])", str(text))
    if match:
        return int(match[1]) * _UNITS[match[2]]
    if str(text) == "0":
        return 0
    raise ValueError(f"{text!r} is no span of time; write one such as 90m, 6h or 2d")


def timeframe_ms(text: object) -> int:
    """A bar's length such as `1m`, `15m`, `1h` or `1d`, in ms: whole minutes that divide a day."""
    try:
        length = span_ms(text)
    except ValueError:
        length = 0
    if length <= 0 or length % MINUTE_MS or DAY_MS % length:
        raise ValueError(f"{text!r} is no timeframe; write one such as 1m, 5m, 15m, 1h or 1d")
    return length
