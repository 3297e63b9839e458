"""A user's module in another process: loaded from its text, asked for the same values.

    python -m jobs.strategy_check.process REQUEST ANSWER

REQUEST is a file with a pickled (source, bars by symbol), ANSWER the file for what came out.
"""

import functools
import os
import pickle
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from jobs.lookahead.leaks import value_text
from jobs.strategy_check.lines import BASE, Given, Line, failed, ok, place, unlike
from schemas.own_code import library, own_module
from udfs.bars import Bars, cut
from udfs.errors import ConfigError
from udfs.features import FeatureKind
from udfs.plan import OwnSource
from udfs.strategies import Kind, example_params
from udfs.timeframes import MINUTE_MS

PATIENCE_S = 120
CHECK = "other process"
Values = dict[str, Any]  # by symbol: columns of equal length, the first of them times


def feature_values(given: Given, kind: FeatureKind) -> Values:
    """A feature over all bars; halfway its state is pickled, as a checkpoint does it."""
    found = {}
    for symbol, bars in given.bars.items():
        half = len(bars.ts) // 2
        state, first = kind.kernel(kind.initial(kind.example), cut(bars, 0, half), kind.example)
        state = pickle.loads(pickle.dumps(state))
        _, second = kind.kernel(state, cut(bars, half, len(bars.ts)), kind.example)
        found[symbol] = (bars.ts + MINUTE_MS, np.concatenate([first, second]))
    return found


def strategy_values(given: Given, kind: Kind) -> Values:
    """A strategy's signals on 1m bars."""
    plan = given.plan((given.strategy(kind.name, BASE, example_params(kind)),))
    plan = pickle.loads(pickle.dumps(plan))
    found = {}
    for symbol in given.bars:
        signals = given.walk(plan, symbol).signals
        columns = (signals.action, signals.size_hint, signals.confidence)
        found[symbol] = (signals.ts, *(column.astype(np.float64) for column in columns))
    return found


def all_values(source: OwnSource, bars: Mapping[str, Bars]) -> dict[tuple[str, str], Any]:
    """Values by ("feature" or "strategy", name); the message where they can't be had."""
    module = own_module(source)
    given = Given(module, library((source,)), bars)
    found: dict[tuple[str, str], Any] = {}
    for feature in module.features:
        found["feature", feature.stem] = _or_message(lambda f=feature: feature_values(given, f))
    for kind in module.kinds:
        found["strategy", kind.name] = _or_message(lambda k=kind: strategy_values(given, k))
    return found


def _or_message(call: Any) -> Any:
    try:
        return call()
    except ConfigError as error:
        return str(error)


class OtherProcess:
    """A module's values as another process has them; it is started when first asked."""

    def __init__(self, given: Given) -> None:
        self.given = given

    @functools.cached_property
    def values(self) -> dict[tuple[str, str], Any] | str:
        """All of them; why there are none."""
        source = self.given.module.source
        with tempfile.TemporaryDirectory(prefix="tradeflow-check-") as folder:
            request, answer = Path(folder) / "request", Path(folder) / "answer"
            request.write_bytes(pickle.dumps((source, dict(self.given.bars))))
            try:
                done = subprocess.run(
                    [sys.executable, "-P", "-m", "jobs.strategy_check.process", request, answer],
                    env=_environment(), capture_output=True, timeout=PATIENCE_S, check=False,
                )  # fmt: skip
            except subprocess.TimeoutExpired:
                return f"did not end within {PATIENCE_S} s"
            if not answer.exists():
                lines = done.stderr.decode(errors="replace").strip().splitlines()
                return f"can't be loaded again from its text: {(lines or ['no word'])[-1]}"
            found: dict[tuple[str, str], Any] = pickle.loads(answer.read_bytes())
            return found

    def feature(self, kind: FeatureKind) -> Line:
        """The line of a feature."""
        return self._line(("feature", kind.stem), lambda: feature_values(self.given, kind))

    def strategy(self, kind: Kind) -> Line:
        """The line of a strategy."""
        return self._line(("strategy", kind.name), lambda: strategy_values(self.given, kind))

    def _line(self, name: tuple[str, str], call: Any) -> Line:
        values = self.values
        theirs = values if isinstance(values, str) else values[name]
        mine = _or_message(call)
        if isinstance(theirs, str) or isinstance(mine, str):
            return failed(CHECK, theirs if isinstance(theirs, str) else mine)
        for symbol, columns in mine.items():
            text = _first_other(symbol, columns, theirs[symbol])
            if text is not None:
                return failed(
                    CHECK,
                    f"{text} there: what it answers hangs on what the process did before, or on "
                    "the order of a set",
                )
        return ok(CHECK, "loaded from its text, state and plan pickled: the same there")


def _first_other(symbol: str, mine: Any, theirs: Any) -> str | None:
    """The first value that is another one."""
    rows = min(len(mine[0]), len(theirs[0]))
    places = [unlike(one[:rows].astype(float), other[:rows].astype(float))
              for one, other in zip(mine, theirs, strict=True)]  # fmt: skip
    wrong = [at for at in places if at is not None]
    if not wrong:
        return None if len(mine[0]) == len(theirs[0]) else f"has other signals of {symbol}"
    at = min(wrong)
    if mine[0][at] != theirs[0][at]:
        return f"has other signals of {symbol}"
    values = (" ".join(value_text(column[at]) for column in one[1:]) for one in (mine, theirs))
    return f"is {' here and '.join(values)} {place(mine[0][at], symbol)}"


def _environment() -> dict[str, str]:
    """That of this process, with our code, and another order of sets."""
    root = str(Path(__file__).resolve().parents[1])
    paths = [root, os.environ.get("PYTHONPATH", "")]
    seed = "2" if os.environ.get("PYTHONHASHSEED") == "1" else "1"
    return {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(filter(None, paths)),
        "PYTHONHASHSEED": seed,
    }


def main() -> None:
    """Answer one request."""
    source, bars = pickle.loads(Path(sys.argv[1]).read_bytes())
    found = all_values(source, bars)
    Path(sys.argv[2]).write_bytes(pickle.dumps(found))


if __name__ == "__main__":
    main()
