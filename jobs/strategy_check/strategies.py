"""The contract of a user's kind of strategy, tried on bars."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from jobs.lookahead.check import Asked, Meter, check_walks
from jobs.lookahead.leaks import Fault, answer_text, told
from jobs.lookahead.walk import Reference
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
    raised,
    random_chunks,
    skipped,
    timed,
    tried,
    unlike,
    warning,
)
from udfs.bars import Floats
from udfs.errors import ConfigError
from udfs.features import parse_feature
from udfs.features.catalog import LONGEST_PERIOD, OWN
from udfs.library import Library
from udfs.plan import Params
from udfs.strategies import Kind, example_params, params_problem
from udfs.strategies.kind import Actions, Columns
from udfs.timeframes import timeframe_ms

ANCHORS = (BASE, "15m")
ASKED = Asked(consecutive=100, random=24, after_signals=40, whole=0)
SINGLE_ROWS = 400  # rows of a symbol that are given one by one, beside those with an answer
ODD: Mapping[str, tuple[Any, ...]] = {
    "period": (2, 3, LONGEST_PERIOD),
    "number": (0, 0.0, -1, 0.5, 1e-9, 1e9),
    "timeframe": (BASE, "1d"),
}
ALL = (
    "features", "reasons", "answers", "declared features", "inputs", "repeats", "no look-ahead",
    "pieces", "null features", "signals", "speed",
)  # fmt: skip


class _Rows(NamedTuple):
    """A symbol's rows on an anchor: `columns` float64[n + 1], the first the bar before; `ts`."""

    symbol: str
    timeframe: str
    columns: Mapping[str, Floats]
    ts: np.ndarray

    def part(self, start: int, stop: int) -> dict[str, Floats]:
        """What a kind is given for the rows [start, stop)."""
        return {name: column[start : stop + 1] for name, column in self.columns.items()}


def check_strategy(given: Given, kind: Kind, broken: frozenset[str]) -> Part:
    """All checks of a kind with its examples as parameters.

    `broken` are stems of the module's features that failed their own check.
    """
    lines: list[Line] = []
    for step in (_parameters, _features, _reasons):
        line = tried(lambda step=step: step(given, kind), given.path, step.__name__[1:])
        lines.append(line)
        if line.has_failed:
            return _done(kind, lines, f"mend {line.check!r} first")
    used = {name.rpartition(":")[2] for name in kind.features(example_params(kind))}
    families = {parse_feature(name, given.library.features).family for name in used}
    wrong = sorted(broken & {family.removeprefix(OWN) for family in families})
    if wrong:
        return _done(kind, lines, f"mend the feature {wrong[0]} first")
    rows = tried(lambda: _all_rows(given, kind), given.path)
    if isinstance(rows, Line):
        return _done(kind, [*lines, rows], f"mend {rows.check!r} first")
    whole = tried(lambda: _answers(kind, rows), given.path)
    if isinstance(whole, Line):
        return _done(kind, [*lines, whole], f"mend {whole.check!r} first")
    lines += [
        ok("answers", "BUY, SELL or nothing for each bar"),
        ok("declared features", "reads no others"),
        _inputs(kind, rows),
    ]
    if lines[-1].has_failed:
        return _done(kind, lines, "mend 'inputs' first")
    lines.append(_repeats(kind, rows, whole))
    if lines[-1].has_failed:
        return _done(kind, lines, "answers are not the same twice: mend that first")
    lines += _bars_lines(given, kind, rows, whole)
    lines += [_null(kind, rows), _signals(whole), _speed(kind, rows)]
    return _done(kind, lines, "")


def _done(kind: Kind, lines: list[Line], why: str) -> Part:
    """The lines, with those that could not be checked."""
    told_of = {line.check for line in lines}
    missing = skipped(why, *(check for check in ALL if check not in told_of))
    return Part("strategy", kind.name, (*lines, *missing))


# ---- what it declares ------------------------------------------------------------------------


def _parameters(given: Given, kind: Kind) -> Line:
    """Examples that make sense, and a `problem` that answers for any values."""
    check = "parameters"
    for param in kind.params:
        if param.type not in ODD:
            return failed(check, f"{param.name} is of type {param.type!r}; use {', '.join(ODD)}")
    examples = example_params(kind)
    text = params_problem(kind, examples)
    if text is not None:
        return failed(check, f"the examples make no sense together: {text}")
    for param in kind.params:
        for value in ODD[param.type]:
            params = {**examples, param.name: value}
            shown = f"with {param.name} {value}"
            try:
                text = kind.problem(params)
                if text is not None and not (isinstance(text, str) and text):
                    return failed(check, f"`problem` answers {text!r} {shown}; text or None")
                for name in kind.features(params) if text is None else ():
                    parse_feature(name.rpartition(":")[2], given.library.features)
            except ConfigError as error:
                return failed(check, f"{shown}: {error}; `problem` should say what is wrong")
    return ok(check, ", ".join(f"{name} {value}" for name, value in examples.items()))


def _features(given: Given, kind: Kind) -> Line:
    """Features that exist, each once."""
    names = kind.features(example_params(kind))
    if not names:
        return failed("features", "names none, so it gets no bars; name close at least")
    for name in names:
        if not isinstance(name, str):
            return failed("features", f"names {name!r}; write text such as 'close'")
        if names.count(name) > 1:
            return failed("features", f"names {name!r} twice")
        timeframe, _, feature = name.rpartition(":")
        try:
            parse_feature(feature, given.library.features)
            if timeframe:
                timeframe_ms(timeframe)
        except (ConfigError, ValueError) as error:
            return failed("features", str(error))
    return ok("features", ", ".join(names))


def _reasons(given: Given, kind: Kind) -> Line:
    """Two texts, the same each time."""
    params = example_params(kind)
    first, again = kind.reasons(params), kind.reasons(params)
    texts = isinstance(first, tuple) and len(first) == 2 and all(isinstance(x, str) for x in first)
    if not texts or not all(first):
        return failed("reasons", f"answers {first!r}; write (text of a BUY, text of a SELL)")
    if first != again:
        return failed("reasons", f"answers {first!r}, and then {again!r}")
    return ok("reasons", "; ".join(first))


# ---- what it answers -------------------------------------------------------------------------


def _all_rows(given: Given, kind: Kind) -> list[_Rows]:
    """What a backtest would hand to the kind, on each anchor and symbol."""
    found = []
    for timeframe in ANCHORS:
        plan = given.plan((given.strategy(kind.name, timeframe, example_params(kind)),))
        for symbol in sorted(given.bars):
            parts: list[dict[str, Floats]] = []
            library = Library({kind.name: _recording(kind, parts)}, given.library.features)
            walk = given._replace(library=library).walk(plan, symbol)
            columns = {  # of the first piece all rows, of others without the bar before
                name: np.concatenate([parts[0][name], *(part[name][1:] for part in parts[1:])])
                for name in parts[0]
            }
            frame = [one.timeframe for one in walk.frames.frames].index(timeframe)
            pieces = range(len(walk.pieces.starts))
            ts = np.concatenate([Reference(walk).computed(n)[frame].ts for n in pieces])
            found.append(_Rows(symbol, timeframe, columns, ts))
    return found


def _recording(kind: Kind, parts: list[dict[str, Floats]]) -> Kind:
    """The kind with `signals` that notes its columns and answers nothing."""

    def record(columns: Columns, params: Params) -> Actions:
        parts.append(dict(columns))
        return np.zeros(len(next(iter(columns.values()))), dtype=np.int8)

    return kind._replace(signals=record, sizes=None, confidences=None)


def _answer(kind: Kind, columns: Mapping[str, Floats]) -> Floats:
    """float64[3, n]: action, size hint and confidence as they count, the first row left out."""
    params = example_params(kind)
    actions = kind.signals(columns, params)[1:].astype(np.float64)
    null = np.zeros(len(actions), dtype=np.bool_)
    for column in columns.values():
        null |= np.isnan(column[1:])
    actions[null] = 0.0
    given = [np.ones(len(actions)) if f is None else f(columns, params)[1:]
             for f in (kind.sizes, kind.confidences)]  # fmt: skip
    return np.stack([actions, *(np.where(actions != 0, factor, 0.0) for factor in given)])


def _answers(kind: Kind, rows: list[_Rows]) -> list[Floats]:
    return [_answer(kind, one.columns) for one in rows]


def _inputs(kind: Kind, rows: list[_Rows]) -> Line:
    """Whether columns and parameters are as they were."""
    for one in rows:
        before = {name: column.copy() for name, column in one.columns.items()}
        params = example_params(kind)
        kind.signals(one.columns, params)
        if params != example_params(kind):
            return failed("inputs", "changes its parameters; use a copy")
        for name, column in one.columns.items():
            if unlike(column, before[name]) is not None:
                return failed("inputs", f"changes the column {name}; use a copy")
    return ok("inputs", "left as they were")


def _repeats(kind: Kind, rows: list[_Rows], whole: list[Floats]) -> Line:
    """Whether answers are the same again, in another order, and with symbols taking turns."""
    again = [_answer(kind, one.columns) for one in reversed(rows)][::-1]
    turns: list[list[Floats]] = [[] for _ in rows]
    for start, stop in chunks(max(len(one.ts) for one in rows)):
        for at, one in enumerate(rows):
            if start < len(one.ts):
                turns[at].append(_answer(kind, one.part(start, min(stop, len(one.ts)))))
    alone = [
        np.concatenate([_answer(kind, one.part(*part)) for part in chunks(len(one.ts))], axis=1)
        for one in rows
    ]
    joined = [np.concatenate(parts, axis=1) for parts in turns]
    for left, right in ((whole, again), (alone, joined)):
        found = _first_other(rows, left, right)
        if found is not None:
            where, first, second = found
            return failed(
                "repeats",
                f"answers {first} {where} and {second} when it is asked once more: it keeps "
                "something from call to call (a global?); make that a feature",
            )
    return ok("repeats", "the same again, in another order, with symbols taking turns")


def _first_other(
    rows: list[_Rows], left: list[Floats], right: list[Floats]
) -> tuple[str, str, str] | None:
    """(which bar, one answer, the other) where answers differ first."""
    for one, mine, other in zip(rows, left, right, strict=True):
        found = _other_at(one, 0, mine, other)
        if found is not None:
            return found
    return None


def _other_at(one: _Rows, first: int, mine: Floats, other: Floats) -> tuple[str, str, str] | None:
    """The same of one symbol, where answers begin at row `first`."""
    wrong = (mine != other).any(axis=0)
    if not wrong.any():
        return None
    at = int(np.argmax(wrong))
    where = f"{place(one.ts[first + at], one.symbol)} ({one.timeframe})"
    return where, _text(mine[:, at]), _text(other[:, at])


def _text(answer: Floats) -> str:
    return answer_text(tuple(answer.tolist()) if answer[0] else None)


# ---- other pieces, and cut input -------------------------------------------------------------


def _bars_lines(given: Given, kind: Kind, rows: list[_Rows], whole: list[Floats]) -> list[Line]:
    """No look-ahead, and pieces cut anywhere."""
    params = example_params(kind)
    plan = given.plan(tuple(given.strategy(kind.name, one, params) for one in ANCHORS))
    walks = [given.walk(plan, symbol) for symbol in sorted(given.bars)]
    checked = tried(
        lambda: check_walks(plan, walks, ASKED, Meter(lambda done, total: None, 0)),
        given.path, "no look-ahead",
    )  # fmt: skip
    if isinstance(checked, Line):
        return [checked, *skipped("mend the look-ahead first", "pieces")]
    leaks = [leak for leak in checked.leaks if leak.is_strategy]
    future = [leak for leak in leaks if leak.fault is Fault.FUTURE]
    if future:
        text = told(future[0]).removeprefix(f"strategy {future[0].name} ")
        return [failed("no look-ahead", text), *skipped("mend the look-ahead first", "pieces")]
    pieces = tried(lambda: _pieces(kind, rows, whole), given.path, "pieces")
    if leaks and not pieces.has_failed:
        pieces = failed("pieces", told(leaks[0]))
    return [ok("no look-ahead", cuts_text(checked)), pieces]


def _pieces(kind: Kind, rows: list[_Rows], whole: list[Floats]) -> Line:
    """Whether a bar and the one before are enough, and any piece gives the same answers."""
    for one, own in zip(rows, whole, strict=True):
        for at in _singles(own):
            try:
                answer = _answer(kind, one.part(at, at + 1))
            except ConfigError as error:
                line = raised(error, "", "pieces")
                return failed("pieces", f"fails with a bar and the one before alone: {line.text}")
            found = _other_at(one, at, own[:, at : at + 1], answer)
            if found is not None:
                where, first, second = found
                return failed(
                    "pieces",
                    f"answers {first} {where}, and {second} where it is given that bar and the "
                    "one before alone: it looks back further than one bar; make what it needs of "
                    "the past a feature",
                )
        for parts in (chunks(len(one.ts)), random_chunks(len(one.ts))):
            joined = np.concatenate([_answer(kind, one.part(*part)) for part in parts], axis=1)
            found = _other_at(one, 0, own, joined)
            if found is not None:
                where, first, second = found
                return failed(
                    "pieces",
                    f"answers {first} {where} where all bars come at once, and {second} where "
                    f"they come in pieces of {CHUNK} or so: an answer may come from its bar and "
                    "the one before only",
                )
    return ok("pieces", "a bar and the one before are enough; the same in any pieces")


def _singles(answers: Floats) -> list[int]:
    """Rows to give one by one: those with answers and some others, spread evenly."""
    rows = answers.shape[1]
    spread = np.linspace(0, rows - 1, min(SINGLE_ROWS, rows)).astype(np.int64)
    signals = np.flatnonzero(answers[0])[:SINGLE_ROWS]
    return [int(at) for at in np.unique(np.concatenate([spread, signals]))]


# ---- worth a look ----------------------------------------------------------------------------


def _null(kind: Kind, rows: list[_Rows]) -> Line:
    """Answers where a feature is null, which a run drops."""
    dropped = 0
    for one in rows:
        actions = kind.signals(one.columns, example_params(kind))[1:]
        null = np.zeros(len(actions), dtype=np.bool_)
        for column in one.columns.values():
            null |= np.isnan(column[1:])
        dropped += int(((actions != 0) & null).sum())
    if dropped:
        text = f"answers at {dropped:,} bars where a feature is null; that does not count"
        return warning("null features", f"{text} (`known` tells where none is)")
    return ok("null features", "no answer where one is null")


def _signals(whole: list[Floats]) -> Line:
    """How many there are."""
    buys = sum(int((answers[0] > 0).sum()) for answers in whole)
    sells = sum(int((answers[0] < 0).sum()) for answers in whole)
    rows = sum(answers.shape[1] for answers in whole)
    text = f"{buys:,} BUY and {sells:,} SELL at {rows:,} bars"
    if not buys and not sells:
        return warning("signals", f"{text}; so little is known of it: try --prices")
    if not buys or not sells:
        return warning("signals", f"{text}: " + ("it never sells" if buys else "it never buys"))
    return ok("signals", text)


def _speed(kind: Kind, rows: list[_Rows]) -> Line:
    """Nanoseconds per bar."""
    longest = max(rows, key=lambda one: len(one.ts))
    return timed(lambda: _answer(kind, longest.columns), len(longest.ts))
