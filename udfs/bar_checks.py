"""Which bars of one symbol count: the checks, and what is late or repeated."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from udfs.bars import Bars, Bools, Ints
from udfs.rows import BarCode

BAR_CODES: tuple[BarCode, ...] = tuple(BarCode)
VALID = -1
# The calendar of local days ends there: 1 January of the years 2 and 9999.
EARLIEST_TS = -62_104_060_800_000
LATEST_TS = 253_370_764_800_000
_NEVER = np.iinfo(np.int64).min


class BarState(NamedTuple):
    """What the checks carry for one symbol: the time of its last kept bar, if any."""

    last_ts: int = int(_NEVER)


class Checked(NamedTuple):
    """Kept bars, and what became of the rest: `code` int8[n] (index into BAR_CODES or -1).

    `late` and `duplicate` are masks over all n rows.
    """

    bars: Bars
    code: npt.NDArray[np.int8]
    late: Bools
    duplicate: Bools


def bar_codes(bars: Bars, whole_ts: Bools, base_ms: int) -> npt.NDArray[np.int8]:
    """The first check that each bar fails, as an index into BAR_CODES; -1 where it is valid.

    `whole_ts` says whether the ts was a whole number at all.
    """
    prices = (bars.open, bars.high, bars.low, bars.close)
    failed: tuple[Bools, ...] = (
        ~whole_ts | (bars.ts % base_ms != 0) | (bars.ts < EARLIEST_TS) | (bars.ts >= LATEST_TS),
        ~np.logical_and.reduce([np.isfinite(price) for price in prices]),
        np.logical_or.reduce([price <= 0 for price in prices]),
        (bars.low > np.minimum(bars.open, bars.close))
        | (bars.high < np.maximum(bars.open, bars.close)),
        ~np.isfinite(bars.volume) | (bars.volume < 0),
    )
    code = np.full(len(bars.ts), VALID, dtype=np.int8)
    for index in range(len(failed) - 1, -1, -1):
        code[failed[index]] = index
    return code


def check_bars(
    state: BarState, bars: Bars, whole_ts: Bools, base_ms: int
) -> tuple[BarState, Checked]:
    """Checks bars in order of arrival: validity first, then against the symbol's last bar."""
    code = bar_codes(bars, whole_ts, base_ms)
    valid = code == VALID
    newest = _newest_before(state, bars.ts, valid)
    late = valid & (bars.ts < newest)
    duplicate = valid & (bars.ts == newest)
    kept = valid & (bars.ts > newest)
    ts = bars.ts[kept]
    last = int(ts[-1]) if len(ts) else state.last_ts
    columns = Bars._make(column[kept] for column in bars)
    return BarState(last), Checked(columns, code, late, duplicate)


def _newest_before(state: BarState, ts: Ints, valid: Bools) -> Ints:
    """For each row the largest valid ts before it."""
    seen = np.where(valid, ts, _NEVER)
    newest = np.empty(len(ts) + 1, dtype=np.int64)
    newest[0] = state.last_ts
    newest[1:] = seen
    return np.maximum.accumulate(newest)[:-1]
