"""Simulated 1-minute bars: a stated model, no market's data.

The model, per minute t and symbol i (all of it drawn from the given seed):

- volatility(t) = exp(slow + fast), two AR(1) processes with half-lives of a day and of 40 minutes,
  times a day's rhythm (quiet at 03:00 UTC, busy at 15:00): volatility comes in clusters.
- drift(t) is constant within a regime; regimes last 6 hours on average: trends.
- return(t) = drift + daily_volatility / sqrt(1440) x volatility x
  (sqrt(common) x market shock + sqrt(1 - common) x own shock), Student-t shocks of 5 degrees of
  freedom: symbols move together and tails are fat. Volatility and drift mix a market's and an
  own process in the same way.
- high and low are drawn as the extremes of a Brownian bridge from open to close.
- trades(t) is Poisson around trades_per_minute x rhythm x volatility. A minute without trades has
  no bar: illiquid symbols and nights have gaps. Volume is trades x a lognormal mean quantity, so
  that it grows with volatility.
- outages: hours in which no symbol trades, one per ten days; halts of one symbol, one per twenty.
  The price goes on moving meanwhile, so that trade resumes with a jump.

The same seed, symbols, start and length give the same bytes (with the locked numpy). A symbol's
bars depend on its own specification only, not on which other symbols are asked for.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from udfs.bars import Bars, Bools, Floats, Ints
from udfs.compiled import njit
from udfs.errors import ConfigError
from udfs.timeframes import DAY_MS, MINUTE_MS

SIMULATION_VERSION = "1"
MINUTES_PER_DAY = DAY_MS // MINUTE_MS
_REGIME_MINUTES = 360
_OUTAGE_EVERY_DAYS = 10
_HALT_EVERY_DAYS = 20
_LOG_VOLATILITY_VARIANCE = 0.245


class SymbolSpec(NamedTuple):
    """What is simulated of one symbol; `common` is the share of its variance that is the market's.

    Prices have `price_decimals`, volumes `quantity_decimals`; `daily_volatility` is a fraction;
    `trades_per_minute` is the mean of an average minute and decides how many minutes are missing.
    """

    symbol: str
    price: float
    price_decimals: int
    daily_volatility: float
    common: float
    trades_per_minute: float
    trade_quantity: float
    quantity_decimals: int


EXAMPLE_SYMBOLS = (
    SymbolSpec("ALFAUSD", 60_000.0, 2, 0.035, 0.75, 40.0, 0.05, 5),
    SymbolSpec("BRAVOUSD", 3_200.0, 2, 0.042, 0.65, 16.0, 0.6, 4),
    SymbolSpec("CHARLIEUSD", 81.0, 2, 0.050, 0.45, 12.0, 6.0, 3),
    SymbolSpec("DELTAUSD", 0.62, 4, 0.048, 0.50, 8.0, 900.0, 1),
    SymbolSpec("ECHOUSD", 1.15, 4, 0.060, 0.40, 5.0, 350.0, 0),
)


class _Market(NamedTuple):
    """What all symbols share, per minute."""

    rhythm: Floats
    log_volatility: Floats
    drift: Floats
    shock: Floats
    outage: Bools


def simulate(
    seed: int, symbols: Sequence[SymbolSpec], start_ts: int, minutes: int
) -> dict[str, Bars]:
    """Bars of each symbol over [start_ts, start_ts + minutes), without those that did not trade.

    `start_ts` is UTC epoch ms on a whole minute. ConfigError where an argument makes no sense.
    """
    _check(seed, symbols, start_ts, minutes)
    market = _market(_generator(seed, ""), start_ts, minutes)
    return {
        spec.symbol: _bars(_generator(seed, spec.symbol), spec, market, start_ts)
        for spec in symbols
    }


def _check(seed: int, symbols: Sequence[SymbolSpec], start_ts: int, minutes: int) -> None:
    if seed < 0:
        raise ConfigError(f"seed {seed} must be 0 or more")
    if start_ts % MINUTE_MS:
        raise ConfigError(f"start {start_ts} must be a whole minute in epoch milliseconds")
    if minutes < 1:
        raise ConfigError(f"minutes {minutes} must be 1 or more")
    names = [spec.symbol for spec in symbols]
    if len(set(names)) != len(names):
        raise ConfigError(f"symbols {', '.join(names)}: each may be named once")


def _generator(seed: int, name: str) -> np.random.Generator:
    """A stream of its own per name, the same for the same seed."""
    return np.random.default_rng([seed, *name.encode()])


def _market(generator: np.random.Generator, start_ts: int, minutes: int) -> _Market:
    minute_of_day = (start_ts // MINUTE_MS + np.arange(minutes)) % MINUTES_PER_DAY
    return _Market(
        rhythm=1.0 - 0.5 * np.cos(2.0 * np.pi * (minute_of_day - 180) / MINUTES_PER_DAY),
        log_volatility=_log_volatility(generator, minutes),
        drift=_regimes(generator, minutes),
        shock=_shocks(generator, minutes),
        outage=_closed(generator, minutes, _OUTAGE_EVERY_DAYS, 240),
    )


def _bars(generator: np.random.Generator, spec: SymbolSpec, market: _Market, start_ts: int) -> Bars:
    """One symbol's bars: its own draws mixed with the market's."""
    minutes = len(market.rhythm)
    own_share, common_share = np.sqrt(1.0 - spec.common), np.sqrt(spec.common)
    log_volatility = common_share * market.log_volatility
    log_volatility += own_share * _log_volatility(generator, minutes)
    # Less its variance, the square of the exponential averages 1.
    volatility = np.sqrt(market.rhythm) * np.exp(log_volatility - _LOG_VOLATILITY_VARIANCE)
    drift = common_share * market.drift + own_share * _regimes(generator, minutes)
    shock = common_share * market.shock + own_share * _shocks(generator, minutes)
    per_minute = spec.daily_volatility / np.sqrt(MINUTES_PER_DAY)
    spread = per_minute * volatility
    log_price = np.log(spec.price) + np.cumsum(per_minute * drift + spread * shock)

    activity = np.clip(market.rhythm * volatility, 0.1, 8.0)
    trades = generator.poisson(spec.trades_per_minute * activity)
    quantity = trades * spec.trade_quantity * generator.lognormal(-0.125, 0.5, minutes)
    traded = (trades > 0) & ~market.outage
    traded &= ~_closed(generator, minutes, _HALT_EVERY_DAYS, 120)
    paths = _paths(generator, log_price, np.log(spec.price), spread, trades)
    columns = [_rounded(np.exp(path), spec.price_decimals) for path in paths]
    volume = _rounded(quantity, spec.quantity_decimals)
    ts = start_ts + MINUTE_MS * np.arange(minutes, dtype=np.int64)
    return Bars(ts[traded], *(column[traded] for column in (*columns, volume)))


def _paths(
    generator: np.random.Generator, close: Floats, first: float, spread: Floats, trades: Ints
) -> tuple[Floats, Floats, Floats, Floats]:
    """Log open, high, low, close. The extremes are those of a Brownian bridge (inverse method)."""
    open_ = np.concatenate(([first], close[:-1]))
    extremes = []
    for _ in range(2):
        uniform = 1.0 - generator.random(len(close))  # (0, 1]: its logarithm is finite
        reach = np.sqrt((close - open_) ** 2 - 2.0 * spread**2 * np.log(uniform))
        # Two trades have no extremes between them, few trades miss most of the path.
        extremes.append((reach - np.abs(close - open_)) / 2.0 * (1.0 - 2.0 / np.maximum(trades, 2)))
    open_ = np.where(trades == 1, close, open_)
    high = np.maximum(open_, close) + extremes[0]
    low = np.minimum(open_, close) - extremes[1]
    return open_, high, low, close


def _log_volatility(generator: np.random.Generator, minutes: int) -> Floats:
    """Logarithm of a volatility that clusters, of mean 0 and _LOG_VOLATILITY_VARIANCE."""
    deviation = np.sqrt(_LOG_VOLATILITY_VARIANCE / 2.0)
    slow = _autoregression(generator, minutes, half_life=MINUTES_PER_DAY, deviation=deviation)
    fast = _autoregression(generator, minutes, half_life=40, deviation=deviation)
    return slow + fast


def _autoregression(
    generator: np.random.Generator, minutes: int, half_life: float, deviation: float
) -> Floats:
    """A stationary AR(1) process of the given standard deviation."""
    memory = 0.5 ** (1.0 / half_life)
    steps: Floats = generator.standard_normal(minutes) * deviation * np.sqrt(1.0 - memory**2)
    steps[0] = generator.standard_normal() * deviation
    _accumulate(steps, memory)
    return steps


@njit
def _accumulate(steps: Floats, memory: float) -> None:
    """Each step plus `memory` times the sum so far, in place (scipy.signal takes 0.7 s to load)."""
    for i in range(1, steps.shape[0]):
        steps[i] += memory * steps[i - 1]


def _regimes(generator: np.random.Generator, minutes: int) -> Floats:
    """Drift in standard deviations per minute, constant within regimes of random length."""
    count = minutes // 30 + 2  # more than can be used: none is shorter than 30 minutes
    lengths = 30 + generator.exponential(_REGIME_MINUTES - 30, count).astype(np.int64)
    drifts = 0.05 * generator.standard_normal(count)
    return np.repeat(drifts, lengths)[:minutes]


def _shocks(generator: np.random.Generator, minutes: int) -> Floats:
    """Student-t of 5 degrees of freedom, scaled to variance 1."""
    shocks: Floats = generator.standard_t(5, minutes) * np.sqrt(3.0 / 5.0)
    return shocks


def _closed(generator: np.random.Generator, minutes: int, every_days: int, longest: int) -> Bools:
    """True in minutes of an outage; each lasts between a quarter and all of `longest` minutes."""
    closed = np.zeros(minutes, dtype=np.bool_)
    for _ in range(minutes // (every_days * MINUTES_PER_DAY)):
        length = int(generator.integers(longest // 4, longest + 1))
        first = int(generator.integers(0, minutes - length))
        closed[first : first + length] = True
    return closed


def _rounded(values: Floats, decimals: int) -> Floats:
    """To `decimals` places, at least one unit of the last; each the double nearest its decimal.

    Division by a power of ten is correctly rounded, multiplication by 0.01 would not be.
    """
    scale = 10.0**decimals
    rounded: Floats = np.maximum(np.rint(values * scale), 1.0) / scale
    return rounded
