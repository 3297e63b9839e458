"""The layers, the purity of the core, and the sizes of files, read from the sources themselves."""

import ast
import functools
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

# Package to the packages of ours that it may import: nothing points back.
LAYERS = {
    "udfs": {"udfs"},
    "schemas": {"udfs", "schemas"},
    "jobs": {"udfs", "schemas", "jobs"},
    "feeds": {"udfs", "schemas", "jobs", "feeds"},
    "cli": {"udfs", "schemas", "jobs", "feeds", "cli", "scripts"},
    "scripts": {"udfs", "schemas", "jobs", "feeds", "cli", "scripts"},
}
# The core takes its inputs as arguments and gives its outputs as values, and no more.
IMPURE_MODULES = {
    "asyncio", "glob", "http", "io", "logging", "multiprocessing", "os", "pathlib", "random",
    "secrets", "shutil", "signal", "socket", "sqlite3", "subprocess", "sys", "tempfile",
    "threading", "time", "urllib", "uuid", "warnings",
}  # fmt: skip
IMPURE_CALLS = {"breakpoint", "eval", "exec", "input", "open", "print"}
IMPURE_ATTRIBUTES = {"now", "utcnow", "today", "random", "fastmath"}
CORE_LIBRARIES = {"numpy", "scipy", "numba"}
# It makes its generator from a seed that it is given, so it is a function of its arguments.
SEEDED = {"udfs/simulate.py"}

MAX_FILE_LINES = 400
MAX_FUNCTION_LINES = 60
MAX_COLUMNS = 100
# Known offenders with their sizes. These two may only shrink, in names and in numbers.
LONG_FILES: dict[str, int] = {}
LONG_FUNCTIONS: dict[str, int] = {}

SOURCES = sorted(path for package in LAYERS for path in (ROOT / package).rglob("*.py"))
NAMES = [path.relative_to(ROOT).as_posix() for path in SOURCES]


def _tree(name: str) -> ast.Module:
    return _parsed(ROOT / name)


@functools.cache
def _parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))


def _imports(name: str) -> list[tuple[int, str]]:
    """(line, module) of every import, also those within functions; relative ones made absolute."""
    return _imports_of(ROOT / name, tuple(name.split("/")[:-1]))


@functools.cache
def _imports_of(path: Path, package: tuple[str, ...]) -> list[tuple[int, str]]:
    found = []
    for node in ast.walk(_parsed(path)):
        if isinstance(node, ast.Import):
            found += [(node.lineno, alias.name) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) + 1 - node.level] if node.level else ()
            found.append((node.lineno, ".".join([*base, *filter(None, [node.module])])))
    return found


def _top(module: str) -> str:
    return module.partition(".")[0]


def _impure(name: str) -> Iterator[str]:
    for line, module in _imports(name):
        top = _top(module)
        known = top in CORE_LIBRARIES or top == "udfs" or top in sys.stdlib_module_names
        if top in IMPURE_MODULES or not known:
            yield f"{name}:{line} imports {module}"
    for node in ast.walk(_tree(name)):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            if node.func.id in IMPURE_CALLS:
                yield f"{name}:{node.lineno} calls {node.func.id}"
        elif isinstance(node, ast.Attribute) and node.attr in IMPURE_ATTRIBUTES:
            if name not in SEEDED:
                yield f"{name}:{node.lineno} uses .{node.attr}"
        elif isinstance(node, ast.keyword) and node.arg in IMPURE_ATTRIBUTES:
            yield f"{name}:{node.value.lineno} passes {node.arg}="


def _functions(name: str) -> Iterator[tuple[str, int]]:
    """(file::function, lines) of every function, nested ones too, its decorators not counted."""
    for node in ast.walk(_tree(name)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield f"{name}::{node.name}", (node.end_lineno or node.lineno) - node.lineno + 1


def _committed() -> list[str]:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True)
    return [name for name in listed.stdout.decode().split("\0") if (ROOT / name).is_file()]


def _over(sizes: dict[str, int], limit: int, known: dict[str, int]) -> list[str]:
    """What is over the limit and not known, has grown, or is known and no longer over it."""
    problems = [
        f"{name} has {size} lines, {max(limit, known.get(name, 0))} at most"
        for name, size in sizes.items()
        if size > max(limit, known.get(name, 0))
    ]
    stale = [name for name in known if sizes.get(name, 0) <= limit]
    return problems + [f"{name} is no longer too long: take it off the list" for name in stale]


@pytest.mark.parametrize("name", NAMES)
def test_nothing_points_back(name: str) -> None:
    allowed = LAYERS[name.partition("/")[0]]
    wrong = [
        f"{name}:{line} imports {module}"
        for line, module in _imports(name)
        if _top(module) in LAYERS.keys() - allowed or _top(module) in {"tests", "benchmarks"}
    ]
    assert not wrong


def test_only_jobs_import_flink() -> None:
    wrong = [
        f"{name}:{line} imports {module}"
        for name in NAMES
        for line, module in _imports(name)
        if _top(module) == "pyflink" and not name.startswith("jobs/")
    ]
    assert not wrong


@pytest.mark.parametrize("name", [name for name in NAMES if name.startswith("udfs/")])
def test_the_core_is_pure(name: str) -> None:
    assert not list(_impure(name))


def test_files_are_short() -> None:
    sizes = {name: len((ROOT / name).read_text(encoding="utf-8").splitlines()) for name in NAMES}
    assert not _over(sizes, MAX_FILE_LINES, LONG_FILES)


def test_functions_are_short() -> None:
    sizes: dict[str, int] = {}
    for name in NAMES:
        for function, lines in _functions(name):
            sizes[function] = max(lines, sizes.get(function, 0))
    assert not _over(sizes, MAX_FUNCTION_LINES, LONG_FUNCTIONS)


def test_lines_are_narrow() -> None:
    wide = [
        f"{name}:{number}"
        for name in NAMES
        for number, line in enumerate((ROOT / name).read_text(encoding="utf-8").splitlines(), 1)
        if len(line) > MAX_COLUMNS
    ]
    assert not wide


def test_only_tests_and_benchmarks_look_for_market_data_beside_the_project() -> None:
    wrong = [
        name
        for name in _committed()
        if not name.startswith(("tests/", "benchmarks/"))
        and b"shared/data" in (ROOT / name).read_bytes()
    ]
    assert not wrong


@pytest.mark.parametrize(
    ("source", "problem"),
    [
        ("import os", "imports os"),
        ("def f():\n    from pathlib import Path", "imports pathlib"),
        ("import pandas", "imports pandas"),
        ("from schemas import table", "imports schemas"),
        ("from datetime import datetime\ndatetime.now()", "uses .now"),
        ("import numpy as np\nnp.random.default_rng()", "uses .random"),
        ("open('x')", "calls open"),
        ("import numba\nnumba.njit(fastmath=True)", "passes fastmath="),
    ],
)
def test_the_reader_sees_impurity(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str, problem: str
) -> None:
    monkeypatch.setitem(globals(), "ROOT", tmp_path)
    (tmp_path / "udfs").mkdir()
    (tmp_path / "udfs" / "case.py").write_text(source)
    assert [line for line in _impure("udfs/case.py") if line.endswith(problem)]
