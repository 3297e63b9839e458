"""A set of features as one kernel with carried state: compute(state, bars) -> (state, columns).

Features that share a kernel form a group: all ema_N of a set are one group, as are the three
outputs of a MACD, the bands of one Bollinger period, the two lines of a stochastic. A group carries
one float64 vector; the state of a set is the tuple of its groups' vectors.
"""

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from udfs.bars import Bars, Floats, cut
from udfs.errors import InvariantError
from udfs.features.catalog import OWN, Feature, parse_feature
from udfs.features.moving import (
    ema,
    ema_state,
    macd,
    macd_state,
    roc,
    roc_state,
    sma,
    sma_state,
)
from udfs.features.own import NO_OWN, FeatureKind, OwnFeatures
from udfs.features.range import donchian, donchian_state, stoch, stoch_state
from udfs.features.unfinished import Final
from udfs.features.volume import obv, obv_state, vwap_day, vwap_day_state
from udfs.features.wilder import adx, adx_state, atr, atr_state, rsi, rsi_state
from udfs.features.windows import bollinger, bollinger_state, mean, mean_state

State = tuple[Floats, ...]
Members = tuple[Feature, ...]
Columns = tuple[Floats, ...]  # one per member, in its order


class Family(NamedTuple):
    """How a family starts and runs; `run` returns a new state and leaves its own as it was."""

    inputs: tuple[str, ...]
    initial: Callable[[Members], Floats]
    run: Callable[[Floats, Bars, Members, Final], tuple[Floats, Columns]]


class Group(NamedTuple):
    """Features that one kernel computes. `inputs` are the columns of the bars that it reads."""

    family: Family
    members: Members
    inputs: tuple[str, ...]
    state_size: int


class FeatureSet(NamedTuple):
    """Features in the order asked for, and the groups that compute them (prices need none)."""

    names: tuple[str, ...]
    groups: tuple[Group, ...]
    prices: tuple[str, ...]
    inputs: tuple[str, ...]


def feature_set(names: Sequence[str], own: OwnFeatures = NO_OWN) -> FeatureSet:
    """The set of these features, each once. ConfigError for a name that is none."""
    if own:
        return _feature_set(tuple(names), own)
    return _built_in_set(tuple(names))


@lru_cache(maxsize=256)  # a live stage asks for the same few sets at every bar
def _built_in_set(names: tuple[str, ...]) -> FeatureSet:
    return _feature_set(names, NO_OWN)


def _feature_set(names: tuple[str, ...], own: OwnFeatures) -> FeatureSet:
    features = [parse_feature(name, own) for name in dict.fromkeys(names)]
    shared: dict[tuple[object, ...], list[Feature]] = {}
    for feature in features:
        if feature.family != "price":
            shared.setdefault(_group_key(feature), []).append(feature)
    groups = tuple(_group(tuple(members), own) for members in shared.values())
    read = {column for group in groups for column in group.inputs}
    return FeatureSet(
        names=tuple(feature.name for feature in features),
        groups=groups,
        prices=tuple(feature.name for feature in features if feature.family == "price"),
        inputs=tuple(column for column in Bars._fields if column in read),
    )


def initial_state(features: FeatureSet) -> State:
    """The state before the first bar."""
    return tuple(group.family.initial(group.members) for group in features.groups)


def compute(
    state: State, bars: Bars, features: FeatureSet, final: Final = None
) -> tuple[State, dict[str, Floats]]:
    """Features of the next bars of a symbol: (new state, {name: float64[n]}), NaN where null.

    Bars follow those that made `state`; how they are cut into calls changes no bit of any value.
    `final` bool[n] tells which bars are final: the others have values as if they ended now, and
    those after them know nothing of them. None: all are.
    Nothing that is given is changed. Prices are the bars' own columns, not copies.
    """
    if len(state) != len(features.groups):
        raise InvariantError(
            f"a state of {len(state)} groups was given to a set of {len(features.groups)}"
        )
    columns: dict[str, Floats] = {name: getattr(bars, name) for name in features.prices}
    usable = _usable(bars, features.inputs)
    states = []
    for before, group in zip(state, features.groups, strict=True):
        if before.shape != (group.state_size,):
            raise InvariantError(
                f"state of {group.members[0].name} has the shape {before.shape},"
                f" not ({group.state_size},)"
            )
        after, values = group.family.run(before, usable, group.members, final)
        states.append(after)
        for feature, column in zip(group.members, values, strict=True):
            columns[feature.name] = column
    return tuple(states), {name: columns[name] for name in features.names}


def _group_key(feature: Feature) -> tuple[object, ...]:
    if feature.family == "ema":
        return ("ema",)
    if feature.family == "bb":
        return ("bb", feature.periods[0])
    if feature.family == "donchian":
        return ("donchian", feature.output, feature.periods)
    return (feature.family, feature.periods)


def _group(members: Members, own: OwnFeatures) -> Group:
    name = members[0].family
    family = _own_family(own[name.removeprefix(OWN)]) if name.startswith(OWN) else FAMILIES[name]
    inputs = family.inputs
    if name == "donchian":
        inputs = (members[0].output,)
    return Group(family, members, inputs, family.initial(members).shape[0])


def _own_family(kind: FeatureKind) -> Family:
    """A user's kernel, called as the others are; it may change the state that it is given."""

    def initial(members: Members) -> Floats:
        return kind.initial(_whole(members))

    def run(state: Floats, bars: Bars, members: Members, final: Final) -> tuple[Floats, Columns]:
        periods = _whole(members)
        if final is None:
            after, column = kind.kernel(state.copy(), bars, periods)
            return after, (column,)
        column = np.empty(len(final))
        for i, is_final in enumerate(final.tolist()):
            after, column[i : i + 1] = kind.kernel(state.copy(), cut(bars, i, i + 1), periods)
            state = after if is_final else state
        return state, (column,)

    return Family(Bars._fields, initial, run)


def _whole(members: Members) -> tuple[int, ...]:
    return tuple(int(period) for period in members[0].periods)


def _usable(bars: Bars, inputs: tuple[str, ...]) -> Bars:
    """The bars with plain columns where kernels read them.

    A read-only or strided column is another type to the compiler; copying it costs far less than
    compiling every kernel once more.
    """
    plain = {}
    for name in inputs:
        column = getattr(bars, name)
        flags = column.flags
        if not (flags.writeable and flags.c_contiguous):
            plain[name] = np.array(column)
    return bars._replace(**plain) if plain else bars


def _period(members: Members) -> int:
    return int(members[0].periods[0])


def _periods(members: Members) -> tuple[int, int, int]:
    first, second, third = members[0].periods
    return int(first), int(second), int(third)


def _run_sma(state: Floats, bars: Bars, members: Members, final: Final) -> tuple[Floats, Columns]:
    state, column = sma(state, bars.close, _period(members), final)
    return state, (column,)


def _run_ema(state: Floats, bars: Bars, members: Members, final: Final) -> tuple[Floats, Columns]:
    state, columns = ema(state, bars.close, final)
    return state, tuple(columns)


def _run_macd(state: Floats, bars: Bars, members: Members, final: Final) -> tuple[Floats, Columns]:
    state, line, signals, histogram = macd(state, bars.close, *_periods(members), final)
    outputs = {"line": line, "signal": signals, "hist": histogram}
    return state, tuple(outputs[feature.output] for feature in members)


def _run_bollinger(
    state: Floats, bars: Bars, members: Members, final: Final
) -> tuple[Floats, Columns]:
    state, middle, deviation = bollinger(state, bars.close, _period(members), final)
    columns = []
    for feature in members:
        if feature.output == "middle":
            columns.append(middle)
        elif feature.output == "upper":
            columns.append(middle + deviation * feature.periods[1])
        else:
            columns.append(middle - deviation * feature.periods[1])
    return state, tuple(columns)


def _run_roc(state: Floats, bars: Bars, members: Members, final: Final) -> tuple[Floats, Columns]:
    state, column = roc(state, bars.close, _period(members), final)
    return state, (column,)


def _run_volume_sma(
    state: Floats, bars: Bars, members: Members, final: Final
) -> tuple[Floats, Columns]:
    state, column = mean(state, bars.volume, _period(members), final)
    return state, (column,)


def _run_rsi(state: Floats, bars: Bars, members: Members, final: Final) -> tuple[Floats, Columns]:
    state, column = rsi(state, bars.close, _period(members), final)
    return state, (column,)


def _run_atr(state: Floats, bars: Bars, members: Members, final: Final) -> tuple[Floats, Columns]:
    state, column = atr(state, bars.high, bars.low, bars.close, _period(members), final)
    return state, (column,)


def _run_adx(state: Floats, bars: Bars, members: Members, final: Final) -> tuple[Floats, Columns]:
    state, column = adx(state, bars.high, bars.low, bars.close, _period(members), final)
    return state, (column,)


def _run_stoch(state: Floats, bars: Bars, members: Members, final: Final) -> tuple[Floats, Columns]:
    state, line, signals = stoch(state, bars.high, bars.low, bars.close, *_periods(members), final)
    return state, tuple(line if feature.output == "k" else signals for feature in members)


def _run_donchian(
    state: Floats, bars: Bars, members: Members, final: Final
) -> tuple[Floats, Columns]:
    is_high = members[0].output == "high"
    values, sign = (bars.high, 1.0) if is_high else (bars.low, -1.0)
    state, column = donchian(state, values, _period(members), sign, final)
    return state, (column,)


def _run_obv(state: Floats, bars: Bars, members: Members, final: Final) -> tuple[Floats, Columns]:
    state, column = obv(state, bars.close, bars.volume, final)
    return state, (column,)


def _run_vwap_day(
    state: Floats, bars: Bars, members: Members, final: Final
) -> tuple[Floats, Columns]:
    state, column = vwap_day(state, bars.ts, bars.high, bars.low, bars.close, bars.volume, final)
    return state, (column,)


_CLOSE = ("close",)
_RANGE = ("high", "low", "close")

FAMILIES: dict[str, Family] = {
    "sma": Family(_CLOSE, lambda members: sma_state(_period(members)), _run_sma),
    "ema": Family(
        _CLOSE, lambda members: ema_state(tuple(int(m.periods[0]) for m in members)), _run_ema
    ),
    "macd": Family(_CLOSE, lambda members: macd_state(), _run_macd),
    "bb": Family(_CLOSE, lambda members: bollinger_state(_period(members)), _run_bollinger),
    "roc": Family(_CLOSE, lambda members: roc_state(_period(members)), _run_roc),
    "volume_sma": Family(
        ("volume",), lambda members: mean_state(_period(members)), _run_volume_sma
    ),
    "rsi": Family(_CLOSE, lambda members: rsi_state(), _run_rsi),
    "atr": Family(_RANGE, lambda members: atr_state(), _run_atr),
    "adx": Family(_RANGE, lambda members: adx_state(), _run_adx),
    "stoch": Family(_RANGE, lambda members: stoch_state(*_periods(members)), _run_stoch),
    "donchian": Family(_RANGE, lambda members: donchian_state(_period(members)), _run_donchian),
    "obv": Family(("close", "volume"), lambda members: obv_state(), _run_obv),
    "vwap_day": Family(
        ("ts", "high", "low", "close", "volume"), lambda members: vwap_day_state(), _run_vwap_day
    ),
}
