"""The features that can be asked for: names, what they are, and how a name is read.

A name is a stem and its parameters, joined by `_`: `ema_20`, `bb_upper_20_2.5`, `vwap_day`. One
feature has one name: no leading zeros, no `2.0` for `2`.
"""

import re
from contextlib import suppress
from decimal import Decimal
from functools import lru_cache
from typing import NamedTuple

from udfs.errors import ConfigError, nearest
from udfs.features.own import NO_OWN, FeatureKind, OwnFeatures

FEATURE_VERSION = "1"
OWN = "own "  # begins the family of a user's feature; no built-in family has a blank
LONGEST_PERIOD = 100_000  # TA-Lib's limit; also what bounds a state's size
WIDEST_BAND = 1_000  # deviations

_WHOLE = re.compile(r"[1-9][0-9]*")
_PLAIN = re.compile(r"(0|[1-9][0-9]*)(\.[0-9]*[1-9])?")


class Feature(NamedTuple):
    """One feature: `bb_upper_20_2.5` is family `bb`, output `upper`, periods (20, 2.5).

    `periods` holds whole numbers, except Bollinger's width, which is a float unless whole.
    """

    name: str
    family: str
    periods: tuple[int | float, ...]
    output: str


class CatalogEntry(NamedTuple):
    """One kind of feature. `parameters` are (letter, smallest value); 0.0 stands for any width > 0.

    `meaning` is for readers; `source` names the TA-Lib function or the formula it agrees with.
    """

    stem: str
    family: str
    output: str
    parameters: tuple[tuple[str, int | float], ...]
    example: str
    meaning: str
    source: str

    @property
    def pattern(self) -> str:
        """The name with letters for parameters: `bb_upper_N_K`."""
        return "_".join((self.stem, *(letter for letter, _ in self.parameters)))


_ANY_WIDTH = 0.0
_N2 = (("N", 2),)
_MACD = (("F", 2), ("S", 2), ("G", 1))
_BANDS = (("N", 2), ("K", _ANY_WIDTH))
_STOCH = (("N", 1), ("S", 1), ("D", 1))

CATALOG: tuple[CatalogEntry, ...] = (
    CatalogEntry("open", "price", "open", (), "open", "the bar's open", "the bar"),
    CatalogEntry("high", "price", "high", (), "high", "the bar's high", "the bar"),
    CatalogEntry("low", "price", "low", (), "low", "the bar's low", "the bar"),
    CatalogEntry("close", "price", "close", (), "close", "the bar's close", "the bar"),
    CatalogEntry("volume", "price", "volume", (), "volume", "the bar's volume", "the bar"),
    CatalogEntry(
        "sma", "sma", "value", _N2, "sma_50", "mean of the last N closes", "TA-Lib SMA(N)"
    ),
    CatalogEntry(
        "ema",
        "ema",
        "value",
        _N2,
        "ema_20",
        "exponential mean of the closes, from the mean of the first N",
        "TA-Lib EMA(N)",
    ),
    CatalogEntry(
        "rsi",
        "rsi",
        "value",
        _N2,
        "rsi_14",
        "relative strength index by Wilder, 0 to 100; 0 where nothing moved",
        "TA-Lib RSI(N)",
    ),
    CatalogEntry(
        "atr",
        "atr",
        "value",
        (("N", 1),),
        "atr_14",
        "average true range by Wilder",
        "TA-Lib ATR(N)",
    ),
    CatalogEntry(
        "adx",
        "adx",
        "value",
        _N2,
        "adx_14",
        "average directional index by Wilder, 0 to 100",
        "TA-Lib ADX(N)",
    ),
    CatalogEntry(
        "roc",
        "roc",
        "value",
        (("N", 1),),
        "roc_10",
        "change of the close over N bars in percent",
        "TA-Lib ROC(N)",
    ),
    CatalogEntry(
        "obv", "obv", "value", (), "obv", "on-balance volume since the first bar", "TA-Lib OBV"
    ),
    CatalogEntry(
        "macd",
        "macd",
        "line",
        _MACD,
        "macd_12_26_9",
        "fast minus slow exponential mean",
        "TA-Lib MACD(F, S, G)",
    ),
    CatalogEntry(
        "macd_signal",
        "macd",
        "signal",
        _MACD,
        "macd_signal_12_26_9",
        "exponential mean of macd_F_S_G over G bars",
        "TA-Lib MACD(F, S, G)",
    ),
    CatalogEntry(
        "macd_hist",
        "macd",
        "hist",
        _MACD,
        "macd_hist_12_26_9",
        "macd_F_S_G minus macd_signal_F_S_G",
        "TA-Lib MACD(F, S, G)",
    ),
    CatalogEntry(
        "bb_upper",
        "bb",
        "upper",
        _BANDS,
        "bb_upper_20_2",
        "sma_N plus K population deviations of the last N closes",
        "TA-Lib BBANDS(N, K, K)",
    ),
    CatalogEntry(
        "bb_middle", "bb", "middle", _BANDS, "bb_middle_20_2", "sma_N", "TA-Lib BBANDS(N, K, K)"
    ),
    CatalogEntry(
        "bb_lower",
        "bb",
        "lower",
        _BANDS,
        "bb_lower_20_2",
        "sma_N minus K population deviations of the last N closes",
        "TA-Lib BBANDS(N, K, K)",
    ),
    CatalogEntry(
        "stoch_k",
        "stoch",
        "k",
        _STOCH,
        "stoch_k_14_3_3",
        "where the close stands in the range of the last N bars, 0 to 100, mean of S",
        "TA-Lib STOCH(N, S, SMA, D, SMA)",
    ),
    CatalogEntry(
        "stoch_d",
        "stoch",
        "d",
        _STOCH,
        "stoch_d_14_3_3",
        "mean of the last D of stoch_k_N_S_D",
        "TA-Lib STOCH(N, S, SMA, D, SMA)",
    ),
    CatalogEntry(
        "donchian_high",
        "donchian",
        "high",
        _N2,
        "donchian_high_20",
        "highest high of the N bars before this one",
        "max(high[t-N .. t-1])",
    ),
    CatalogEntry(
        "donchian_low",
        "donchian",
        "low",
        _N2,
        "donchian_low_20",
        "lowest low of the N bars before this one",
        "min(low[t-N .. t-1])",
    ),
    CatalogEntry(
        "volume_sma",
        "volume_sma",
        "value",
        _N2,
        "volume_sma_20",
        "mean of the last N volumes",
        "mean(volume[t-N+1 .. t])",
    ),
    CatalogEntry(
        "vwap_day",
        "vwap_day",
        "value",
        (),
        "vwap_day",
        "volume-weighted typical price of the bar's UTC day so far; null while its volume is 0",
        "sum((high + low + close) / 3 x volume) / sum(volume)",
    ),
)

_BY_STEM = {entry.stem: entry for entry in CATALOG}


def parse_feature(name: str, own: OwnFeatures = NO_OWN) -> Feature:
    """Reads a canonical name, of the catalog or of `own`.

    Raises ConfigError for an unknown one (naming the nearest that exists) and for parameters that
    make no sense.
    """
    stem, texts = _split(name)
    entry = _BY_STEM.get(stem) or _own_entry(own.get(stem))
    if entry is None:
        hint = nearest(str(name).lower(), _names_like(texts, own))
        raise ConfigError(f"unknown feature '{name}'{hint}")
    if len(texts) != len(entry.parameters):
        raise ConfigError(
            f"feature '{name}' does not have the form {entry.pattern}; write one such as"
            f" '{entry.example}'"
        )
    values = tuple(
        _parameter(name, text, letter, smallest)
        for text, (letter, smallest) in zip(texts, entry.parameters, strict=True)
    )
    return Feature(name, entry.family, values, entry.output)


def _own_entry(kind: FeatureKind | None) -> CatalogEntry | None:
    """A user's feature as an entry of the catalog."""
    if kind is None:
        return None
    parameters = tuple((letter.upper(), smallest) for letter, smallest in kind.parameters)
    family = OWN + kind.stem
    return CatalogEntry(kind.stem, family, "value", parameters, kind.example_name, kind.doc, "")


@lru_cache(maxsize=4096)  # live strategies ask at every bar
def feature_name(stem: str, *parameters: int | float) -> str:
    """The canonical name: feature_name('ema', 20) is `ema_20`. ConfigError where there is none."""
    return parse_feature("_".join((stem, *map(_plain_text, parameters)))).name


def bb_name(output: str, period: int, width: int | float) -> str:
    """Name of a Bollinger band: bb_name('upper', 20, 2.0) is `bb_upper_20_2`."""
    return feature_name(f"bb_{output}", period, width)


def macd_name(output: str, fast: int, slow: int, signal: int) -> str:
    """Name of a MACD output: 'line' is `macd_12_26_9`, 'signal' `macd_signal_12_26_9`, 'hist'."""
    stem = "macd" if output == "line" else f"macd_{output}"
    return feature_name(stem, fast, slow, signal)


def stoch_name(output: str, period: int, slow: int, signal: int) -> str:
    """Name of a stochastic output ('k' or 'd'): stoch_name('k', 14, 3, 3) is `stoch_k_14_3_3`."""
    return feature_name(f"stoch_{output}", period, slow, signal)


def donchian_name(output: str, period: int) -> str:
    """Name of a Donchian channel's side ('high' or 'low'): `donchian_high_20`."""
    return feature_name(f"donchian_{output}", period)


def lookback(name: str) -> int | None:
    """Bars before a feature's first value; None for vwap_day, whose first value is not fixed."""
    feature = parse_feature(name)
    periods = [int(period) for period in feature.periods]
    match feature.family:
        case "vwap_day":
            return None
        case "price" | "obv":
            return 0
        case "sma" | "ema" | "bb" | "volume_sma":
            return periods[0] - 1
        case "adx":
            return 2 * periods[0] - 1
        case "macd":
            return max(periods[0], periods[1]) + periods[2] - 2
        case "stoch":
            return sum(periods) - 3
        case _:  # rsi, atr, roc, donchian need the bar before their first window too
            return periods[0]


def _split(name: str) -> tuple[str, list[str]]:
    """`bb_upper_20_2` as (`bb_upper`, [`20`, `2`]): parameters begin at the first non-letter."""
    parts = str(name).split("_")
    count = next((i for i, part in enumerate(parts) if not part.isalpha()), len(parts))
    return "_".join(parts[:count]), parts[count:]


def _names_like(texts: list[str], own: OwnFeatures) -> list[str]:
    """Names that exist: with these very parameters where a stem takes them, and all examples."""
    alike = []
    for entry in CATALOG:
        if texts and len(entry.parameters) == len(texts):
            name = "_".join((entry.stem, *texts))
            with suppress(ConfigError):
                alike.append(parse_feature(name).name)
    return alike + [entry.example for entry in CATALOG] + [k.example_name for k in own.values()]


def _parameter(name: str, text: str, letter: str, smallest: int | float) -> int | float:
    if smallest == _ANY_WIDTH:
        return _width(name, text, letter)
    number = int(text) if _WHOLE.fullmatch(text) and len(text) < 10 else 0
    if not smallest <= number <= LONGEST_PERIOD:
        raise ConfigError(
            f"feature '{name}': {letter} is '{text}' but must be a whole number from {smallest}"
            f" to {LONGEST_PERIOD}"
        )
    return number


def _width(name: str, text: str, letter: str) -> int | float:
    if not _PLAIN.fullmatch(text) or not 0.0 < float(text) <= WIDEST_BAND:
        raise ConfigError(
            f"feature '{name}': {letter} is '{text}' but must be a plain number above 0 and up to"
            f" {WIDEST_BAND}, written like 2 or 2.5"
        )
    return float(text) if "." in text else int(text)


def _plain_text(number: int | float) -> str:
    """Shortest decimal text without exponent: 2.0 is `2`, 2.5 is `2.5`."""
    if not isinstance(number, float):
        return str(number)
    text = format(Decimal(repr(float(number))), "f")
    return text.rstrip("0").rstrip(".") if "." in text else text
