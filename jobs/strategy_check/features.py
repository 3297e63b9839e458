"""The contract of a user's kind of feature, tried on bars."""

from collections.abc import Mapping

import numpy as np

from jobs.lookahead.check import Asked, Checked, Meter, check_walks
from jobs.lookahead.leaks import Fault, told, value_text
from jobs.strategy_check.lines import (
    BASE,
    CHUNK,
    Given,
    Line,
    Part,
    chunks,
    cuts_text,
    failed,
    ok,
    place,
    random_chunks,
    skipped,
    timed,
    tried,
    unlike,
    warning,
)
from udfs.bars import Bars, Floats, cut
from udfs.errors import ConfigError
from udfs.features import FeatureKind, parse_feature
from udfs.library import Library
from udfs.strategies import Kind
from udfs.timeframes import MINUTE_MS

Columns = dict[str, Floats]  # by symbol
ASKED = Asked(consecutive=100, random=24, after_signals=40, whole=0)
SINGLE_BARS = 1_500  # bars that are given one by one
AFTER_ANSWERS = ("inputs", "repeats", "no look-ahead", "pieces", "values", "speed")


def check_feature(given: Given, kind: FeatureKind) -> Part:
    """All checks of a kind of feature with its example's parameters."""
    lines = _lines(given, kind)
    return Part("feature", kind.stem, tuple(lines))


def _lines(given: Given, kind: FeatureKind) -> list[Line]:
    first = _parameters(given, kind)
    if first.has_failed:
        return [first, *skipped("mend the parameters first", "answers", *AFTER_ANSWERS)]
    own = {symbol: _copied(bars) for symbol, bars in given.bars.items()}
    whole = tried(lambda: _columns(kind, given.bars), given.path)
    if not isinstance(whole, Line):
        whole = _without_bars(given, kind) or whole
    if isinstance(whole, Line):
        rest = [name for name in AFTER_ANSWERS if name != whole.check]
        return [first, whole, *skipped(f"mend {whole.check!r} first", *rest)]
    lines = [first, ok("answers", "a number or null for each bar"), _inputs(given, own)]
    repeats = _repeats(given, kind, whole)
    lines.append(repeats)
    if repeats.has_failed:
        lines += skipped(
            "values are not the same twice: mend that first", "no look-ahead", "pieces"
        )
    else:
        lines += _bars_lines(given, kind, whole)
    return [*lines, _values(whole), _speed(given, kind)]


def _without_bars(given: Given, kind: FeatureKind) -> Line | None:
    """The line where it fails on no bars: a piece may hold none of a higher timeframe."""
    bars = next(iter(given.bars.values()))
    line = tried(lambda: _run(kind, bars, [(0, 0)]), given.path)
    if not isinstance(line, Line):
        return None
    text = f"fails with 0 bars, which a run may hand over on a higher timeframe: {line.text}"
    return failed("answers", text)


def _parameters(given: Given, kind: FeatureKind) -> Line:
    """Whether the example makes a name that can be read."""
    check = "parameters"
    try:
        wanted, got = len(kind.parameters), len(kind.example)
        if wanted != got:
            return failed(check, f"`example` has {got} values for {wanted} parameters")
        for name, least in kind.parameters:
            if not isinstance(name, str) or not isinstance(least, int):
                return failed(check, f"`parameters` holds {(name, least)!r}; write (name, least)")
        parse_feature(kind.example_name, given.library.features)
    except (TypeError, ValueError):
        return failed(
            check, "`parameters` takes pairs (name, least value), `example` whole numbers"
        )
    except ConfigError as error:
        return failed(check, f"the example's name can't be read: {error}")
    return ok(check)


def _copied(bars: Bars) -> Bars:
    return Bars(*(column.copy() for column in bars))


def _columns(kind: FeatureKind, bars: Mapping[str, Bars]) -> Columns:
    """The feature over all bars of each symbol at once."""
    return {symbol: _run(kind, one, [(0, len(one.ts))]) for symbol, one in bars.items()}


def _run(kind: FeatureKind, bars: Bars, pieces: list[tuple[int, int]]) -> Floats:
    """The feature over these pieces of a symbol's bars, the state carried on."""
    state = kind.initial(kind.example)
    found = []
    for start, stop in pieces:
        state, column = kind.kernel(state.copy(), cut(bars, start, stop), kind.example)
        found.append(column)
    return np.concatenate(found)


def _inputs(given: Given, before: dict[str, Bars]) -> Line:
    """Whether the bars are as they were."""
    for symbol, bars in given.bars.items():
        for name, column in bars._asdict().items():
            if not np.array_equal(column, getattr(before[symbol], name)):
                return failed("inputs", f"changes {name} of the bars that it is given; use a copy")
    return ok("inputs", "left as they were")


def _repeats(given: Given, kind: FeatureKind, whole: Columns) -> Line:
    """Whether values are the same again, in another order, and with symbols taking turns."""
    symbols = sorted(given.bars, reverse=True)
    again = {
        symbol: _run(kind, given.bars[symbol], [(0, len(whole[symbol]))]) for symbol in symbols
    }
    found = _first_other(given, whole, again)
    if found is None:
        alone = {s: _run(kind, given.bars[s], chunks(len(given.bars[s].ts))) for s in symbols}
        found = _first_other(given, alone, _taking_turns(given, kind))
    if found is None:
        return ok("repeats", "the same again, in another order, with symbols taking turns")
    where, one, other = found
    return failed(
        "repeats",
        f"is {one} {where} and {other} when it is computed once more: it keeps something outside "
        "of its state (a global?); put that into the state",
    )


def _taking_turns(given: Given, kind: FeatureKind) -> Columns:
    """The feature with a piece of each symbol at a time."""
    states = {symbol: kind.initial(kind.example) for symbol in given.bars}
    found: dict[str, list[Floats]] = {symbol: [] for symbol in given.bars}
    longest = max(len(bars.ts) for bars in given.bars.values())
    for start, stop in chunks(longest):
        for symbol, bars in given.bars.items():
            if start < len(bars.ts):
                state, column = kind.kernel(
                    states[symbol].copy(), cut(bars, start, stop), kind.example
                )
                states[symbol] = state
                found[symbol].append(column)
    return {symbol: np.concatenate(columns) for symbol, columns in found.items()}


def _first_other(given: Given, one: Columns, other: Columns) -> tuple[str, str, str] | None:
    """(which bar, one value, the other) where columns differ first."""
    for symbol, column in one.items():
        at = unlike(column, other[symbol])
        if at is not None:
            where = place(given.bars[symbol].ts[at] + MINUTE_MS, symbol)
            return where, value_text(column[at]), value_text(other[symbol][at])
    return None


# ---- other pieces, and cut input -------------------------------------------------------------


def _looked_ahead(given: Given, kind: FeatureKind) -> Checked:
    """The look-ahead check of the feature, on two timeframes."""
    name = "features"
    shown = Kind(
        name=name,
        doc="",
        version="",
        params=(),
        problem=lambda params: None,
        features=lambda params: (kind.example_name, f"15m:{kind.example_name}"),
        signals=lambda columns, params: np.zeros(len(columns[kind.example_name]), dtype=np.int8),
        reasons=lambda params: ("", ""),
    )
    library = Library({**given.library.kinds, name: shown}, given.library.features)
    given = given._replace(library=library)
    plan = given.plan((given.strategy(name, BASE, {}),))
    walks = [given.walk(plan, symbol) for symbol in sorted(given.bars)]
    return check_walks(plan, walks, ASKED, Meter(lambda done, total: None, 0))


def _bars_lines(given: Given, kind: FeatureKind, whole: Columns) -> list[Line]:
    """No look-ahead, and pieces cut anywhere."""
    checked = tried(lambda: _looked_ahead(given, kind), given.path, "no look-ahead")
    if isinstance(checked, Line):
        return [checked, *skipped("mend the look-ahead first", "pieces")]
    future = [leak for leak in checked.leaks if leak.fault is Fault.FUTURE]
    if future:
        text = told(future[0]).removeprefix(f"feature {future[0].name} ")
        return [failed("no look-ahead", text), *skipped("mend the look-ahead first", "pieces")]
    pieces = tried(lambda: _pieces(given, kind, whole), given.path, "pieces")
    if checked.leaks and not pieces.has_failed:
        pieces = failed("pieces", told(checked.leaks[0]))
    return [ok("no look-ahead", cuts_text(checked)), pieces]


def _pieces(given: Given, kind: FeatureKind, whole: Columns) -> Line:
    """Whether values are the same bits however the bars are cut into calls."""
    for symbol, bars in given.bars.items():
        rows = len(bars.ts)
        single = min(rows, SINGLE_BARS)
        ways = (
            ("one by one", [(at, at + 1) for at in range(single)]),
            (f"in pieces of {CHUNK} bars", chunks(rows)),
            ("in pieces of random lengths", random_chunks(rows)),
        )
        for way, pieces in ways:
            column = _run(kind, bars, pieces)
            own = {symbol: whole[symbol][: len(column)]}
            found = _first_other(given, own, {symbol: column})
            if found is not None:
                where, one, other = found
                return failed(
                    "pieces",
                    f"is {one} {where} where all bars come at once, and {other} where they come "
                    f"{way}: what it needs of earlier bars belongs into its state, and sums into "
                    "one fixed order",
                )
    return ok("pieces", "one by one, many, random numbers of bars: the same bits")


# ---- values ----------------------------------------------------------------------------------


def _values(whole: Columns) -> Line:
    """How often it is null."""
    values = np.concatenate(list(whole.values()))
    null = float(np.isnan(values).mean())
    if null == 1.0:
        text = "is null at every bar: a strategy that reads it never answers"
        return warning("values", text)
    if null > 0.5:
        return warning("values", f"is null at {100 * null:.0f} % of the bars")
    return ok("values", f"null at {100 * null:.1f} % of the bars")


def _speed(given: Given, kind: FeatureKind) -> Line:
    """Nanoseconds per bar, the best of three."""
    bars = max(given.bars.values(), key=lambda one: len(one.ts))
    return timed(lambda: _run(kind, bars, [(0, len(bars.ts))]), len(bars.ts))
