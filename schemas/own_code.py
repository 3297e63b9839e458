"""Strategies and features that users add: one Python file, or an installed package's entry point.

Such a module has `STRATEGIES`, a tuple of `Kind` (udfs/strategies/kind.py), and may have
`FEATURES`, a tuple of `FeatureKind` (udfs/features/own.py). It is read once, when the configuration
is; its text goes with the plan, so that all processes of a run have the same code, and two
versions of a file may live in one process.
"""

import contextlib
import functools
import hashlib
import importlib
import importlib.metadata
import importlib.util
import os
import sys
import tempfile
import threading
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple, TypeVar

import numpy as np

from udfs.bars import Bars, Floats
from udfs.errors import ConfigError, TradeflowError
from udfs.features import CATALOG, FeatureKind, Periods
from udfs.library import BUILT_IN, Library
from udfs.plan import OwnSource, Params
from udfs.strategies import KINDS, Kind
from udfs.strategies.kind import Actions, Columns

ENTRY_POINTS = "tradeflow.strategies"
MODULE_PREFIX = "tradeflow_own_"
T = TypeVar("T")


class OwnModule(NamedTuple):
    """What a user's module adds, each of its functions guarded."""

    source: OwnSource
    kinds: tuple[Kind, ...]
    features: tuple[FeatureKind, ...]


def read_source(path: str) -> OwnSource:
    """A user's file as text. ConfigError where it can't be read."""
    try:
        text = Path(path).read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise ConfigError(f"{path}: is not a Python file in UTF-8") from None
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from None
    return OwnSource(path, hashlib.sha256(text.encode()).hexdigest(), text)


def entry_point_source(kind: str) -> OwnSource | None:
    """The module of the installed package that offers this kind of strategy; None without one."""
    for entry in importlib.metadata.entry_points(group=ENTRY_POINTS):
        if entry.name == kind:
            return _package_source(entry.module)
    return None


def entry_point_names() -> list[str]:
    """The kinds of strategies that installed packages offer."""
    return sorted({entry.name for entry in importlib.metadata.entry_points(group=ENTRY_POINTS)})


def _package_source(name: str) -> OwnSource:
    """An installed module; its processes import it by its name."""
    spec = importlib.util.find_spec(name)
    if spec is None or spec.origin is None:
        raise ConfigError(f"entry point of {ENTRY_POINTS}: there is no module {name!r}")
    return OwnSource(name, hashlib.sha256(Path(spec.origin).read_bytes()).hexdigest(), None)


@functools.lru_cache(maxsize=64)
def own_module(source: OwnSource) -> OwnModule:
    """The kinds of strategies and features of a module, loaded. ConfigError says what is wrong."""
    module = _imported(source)
    kinds = _declared(module, "STRATEGIES", Kind, source.path)
    features = _declared(module, "FEATURES", FeatureKind, source.path)
    if not kinds and not features:
        raise ConfigError(
            f"{source.path}: has neither STRATEGIES nor FEATURES; write STRATEGIES = (MY_KIND,) "
            "with the Kind of udfs.strategies"
        )
    built_in = {entry.stem for entry in CATALOG}
    for name in [kind.name for kind in kinds if kind.name in KINDS] + [
        feature.stem for feature in features if feature.stem in built_in
    ]:
        raise ConfigError(f"{source.path}: {name!r} is built in; choose another name")
    return OwnModule(
        source,
        tuple(guarded_kind(kind, source.path) for kind in kinds),
        tuple(guarded_feature(feature, source.path) for feature in features),
    )


@functools.lru_cache(maxsize=16)
def library(sources: tuple[OwnSource, ...]) -> Library:
    """All that a run may name. ConfigError where two modules add the same name."""
    if not sources:
        return BUILT_IN
    kinds: dict[str, Kind] = dict(KINDS)
    features: dict[str, FeatureKind] = {}
    owner: dict[str, str] = {}
    for module in map(own_module, sources):
        path = module.source.path
        for name in [*(k.name for k in module.kinds), *(f.stem for f in module.features)]:
            if name in owner:
                raise ConfigError(f"{path}: {name!r} is in {owner[name]} already; rename one")
            owner[name] = path
        kinds.update({kind.name: kind for kind in module.kinds})
        features.update({feature.stem: feature for feature in module.features})
    return Library(kinds, features)


_loading: list[str] = []  # the module that is being run, if one is
_one_thread = threading.RLock()


def is_loading() -> bool:
    """Whether a user's module is being run at this moment, with its imports."""
    return bool(_loading)


def _imported(source: OwnSource) -> ModuleType:
    """As `_imported_alone`, one thread at a time: a task manager's operators start together."""
    with _one_thread:
        return _imported_alone(source)


def _imported_alone(source: OwnSource) -> ModuleType:
    """The module, run once per version of its text in a process."""
    if source.text is None:
        with _noted(source):
            return _run(source.path, lambda: importlib.import_module(source.path))
    name = MODULE_PREFIX + source.sha256[:16]
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(
        name, _place(source.path, source.text, source.sha256)
    )
    assert spec is not None and spec.loader is not None  # a path that ends in .py has both
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # numba and pickle look functions up there
    try:
        with _noted(source):
            _run(source.path, lambda: _execute(spec.loader, module))
    except BaseException:
        del sys.modules[name]
        raise
    return module


@contextlib.contextmanager
def _noted(source: OwnSource) -> Iterator[None]:
    _loading.append(source.path)
    try:
        yield
    finally:
        _loading.pop()


def _execute(loader: Any, module: ModuleType) -> None:
    loader.exec_module(module)


def _place(name: str, text: str, sha256: str) -> Path:
    """A file with this very text: the user's own while it has it, else a copy of ours."""
    path = Path(name)
    if path.suffix == ".py" and _has_text(path, text):
        return path.resolve()
    base = Path(tempfile.gettempdir()) / f"tradeflow-own-{os.getuid()}"
    base.mkdir(exist_ok=True, mode=0o700)
    if base.stat().st_uid != os.getuid():  # what lies there would be run
        raise ConfigError(f"{base}: belongs to another user; remove it, or set another TMPDIR")
    folder = base / sha256[:16]
    copy = folder / f"{path.stem}.py"
    if not _has_text(copy, text):
        folder.mkdir(exist_ok=True)
        part = folder / f".{os.getpid()}.part"
        part.write_text(text, encoding="utf-8")
        part.replace(copy)
    return copy


def _has_text(path: Path, text: str) -> bool:
    try:
        return path.read_text(encoding="utf-8") == text
    except (OSError, UnicodeDecodeError):
        return False


def _declared(module: ModuleType, name: str, kind: type[T], path: str) -> tuple[T, ...]:
    """STRATEGIES or FEATURES of a module, checked for what they hold."""
    found = getattr(module, name, ())
    # A kind is itself a tuple: one without its comma, `FEATURES = (MINE)`, is taken as meant.
    is_many = isinstance(found, Iterable) and not isinstance(found, kind)
    values = tuple(found) if is_many else (found,)
    for value in values:
        if not isinstance(value, kind):
            raise ConfigError(
                f"{path}: {name} holds {value!r:.60}; it takes {kind.__name__}s of "
                f"{'udfs.strategies' if kind is Kind else 'udfs.features'}"
            )
    names = [getattr(value, "name", None) or getattr(value, "stem", "") for value in values]
    for one in names:
        if names.count(one) > 1:
            raise ConfigError(f"{path}: {name} has {one!r} twice")
        # Digits would be read as a feature's parameters.
        if not isinstance(one, str) or not one.replace("_", "a").isalpha() or not one.isascii():
            raise ConfigError(
                f"{path}: {name}: {one!r} is no name; use letters and underscores, as in my_cross"
            )
    return values


# ---- guards ----------------------------------------------------------------------------------


def guarded_kind(kind: Kind, path: str) -> Kind:
    """The kind with functions that tell in one ConfigError what is wrong with what they did."""

    def called(
        function: Callable[[Columns, Params], object], columns: Columns, params: Params
    ) -> tuple[object, int]:
        """(the function's answer, the number of rows)."""
        given = {name: _read_only(column) for name, column in columns.items()}
        rows = max((len(column) for column in given.values()), default=0)
        return _run(path, lambda: function(_Declared(kind, given), params)), rows

    def signals(columns: Columns, params: Params) -> Actions:
        return _actions(*called(kind.signals, columns, params), f"{path}: {kind.name}")

    def factors(name: str, highest: float) -> Callable[[Columns, Params], Floats] | None:
        function: Callable[[Columns, Params], Floats] | None = getattr(kind, name)
        if function is None:
            return None
        who = f"{path}: {kind.name}: {name}"
        return lambda columns, params: _factors(*called(function, columns, params), highest, who)

    def features(params: Params) -> tuple[str, ...]:
        return tuple(_run(path, lambda: kind.features(params)))

    def reasons(params: Params) -> tuple[str, str]:
        return _run(path, lambda: kind.reasons(params))

    def problem(params: Params) -> str | None:
        return _run(path, lambda: kind.problem(params))

    return kind._replace(
        signals=signals,
        features=features,
        reasons=reasons,
        problem=problem,
        sizes=factors("sizes", np.inf),
        confidences=factors("confidences", 1.0),
    )


class UndeclaredColumn(ConfigError):
    """A kind of strategy reads a column that its `features` do not name."""


class _Declared(dict[str, Floats]):
    """The columns that a kind declares; what it does not is refused by name."""

    def __init__(self, kind: Kind, columns: Mapping[str, Floats]) -> None:
        super().__init__(columns)
        self.kind = kind

    def __missing__(self, name: str) -> Floats:
        raise UndeclaredColumn(
            f"{self.kind.name} reads {name!r}, which its `features` do not name; they name "
            f"{', '.join(self) or 'nothing'}"
        )


def _actions(found: object, rows: int, who: str) -> Actions:
    """A kind's answer as int8[n], checked."""
    answer = np.asarray(found)
    if answer.shape != (rows,) or answer.dtype.kind not in "iub":
        raise ConfigError(
            f"{who}: signals answered {answer.dtype}{list(answer.shape)}; it must be one whole "
            f"number for each of the {rows} rows: BUY (1), SELL (-1) or 0"
        )
    wrong = answer[(answer < -1) | (answer > 1)]
    if len(wrong):
        raise ConfigError(
            f"{who}: signals answered {wrong[0]}; it must be BUY (1), SELL (-1) or 0, and 0 where "
            "a feature is null (NaN)"
        )
    return answer.astype(np.int8)


def _factors(found: object, rows: int, highest: float, who: str) -> Floats:
    """A factor per row, from 0 to `highest`; where it is null, or infinite, it is 0."""
    factors = _vector(found, rows, who)
    known = np.where(np.isfinite(factors), factors, 0.0)
    wrong = known[(known < 0.0) | (known > highest)]
    if len(wrong):
        limit = "0 or more" if highest == np.inf else f"from 0 to {highest:g}"
        raise ConfigError(f"{who} answered {float(wrong[0])!r}; it must be {limit}")
    return known


def guarded_feature(feature: FeatureKind, path: str) -> FeatureKind:
    """The feature with functions that tell in one ConfigError what is wrong with what they did."""

    def initial(periods: Periods) -> Floats:
        found = _run(path, lambda: feature.initial(periods))
        return _vector(found, None, f"{path}: {feature.stem}: initial")

    def kernel(state: Floats, bars: Bars, periods: Periods) -> tuple[Floats, Floats]:
        size = state.shape[0]
        given = Bars(_read_only(bars.ts), *map(_read_only, bars[1:]))
        found = _run(path, lambda: feature.kernel(state, given, periods))
        if not isinstance(found, tuple) or len(found) != 2:
            raise ConfigError(f"{path}: {feature.stem}: kernel must answer (state, column)")
        after = _vector(found[0], size, f"{path}: {feature.stem}: the state")
        column = _vector(found[1], len(bars.ts), f"{path}: {feature.stem}: the column")
        return after, np.where(np.isfinite(column), column, np.nan)

    return feature._replace(initial=initial, kernel=kernel)


def _vector(found: object, size: int | None, who: str) -> Floats:
    """float64[size], or of any length where it is None."""
    array = np.asarray(found)
    if array.ndim != 1 or array.dtype != np.float64 or size not in (None, array.shape[0]):
        expected = "k" if size is None else str(size)
        raise ConfigError(
            f"{who} is {array.dtype}{list(array.shape)}; it must be float64[{expected}]"
        )
    return array


def _read_only(column: T) -> T:
    """A view that can't be written to."""
    view: Any = column.view()  # type: ignore[attr-defined]
    view.flags.writeable = False
    return view  # type: ignore[no-any-return]


def _run(path: str, call: Callable[[], T]) -> T:
    """The call's answer; ConfigError with the user's file and line where it raises."""
    try:
        return call()
    except TradeflowError as error:
        text = str(error)
        raise ConfigError(text if text.startswith(path) else f"{path}: {text}") from error
    except SyntaxError as error:
        raise ConfigError(f"{path}: line {error.lineno}: {error.msg}") from error
    except Exception as error:
        raise ConfigError(f"{path}: {_where(error)}{type(error).__name__}: {error}") from error


def _where(error: Exception) -> str:
    """`line 12 of signals: ` for the innermost line of the user's module, if it is in there."""
    frames: Sequence[traceback.FrameSummary] = traceback.extract_tb(error.__traceback__)
    modules = {
        getattr(module, "__file__", None)
        for name, module in list(sys.modules.items())
        if name.startswith(MODULE_PREFIX)
    }
    mine = [frame for frame in frames if frame.filename in modules]
    if not mine:
        return ""
    name = "" if mine[-1].name == "<module>" else f" of {mine[-1].name}"
    return f"line {mine[-1].lineno}{name}: "
