"""A skip fails the run where CI is set, unless tests/allowed_skips.txt names it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import allowed_skips

CONFTEST = Path(__file__).parents[1] / "conftest.py"
CASES = """
import pytest

def test_runs(): pass

@pytest.mark.skip(reason="no data here")
def test_skipped(): pass

@pytest.mark.xfail
def test_expected_to_fail(): assert False
"""
HELPER = 'import pytest\ndef leave(): pytest.skip("whole module", allow_module_level=True)\n'
MODULE = "from helper import leave\nleave()\n"
ALONE = ()
TWO_WORKERS = ("-p", "xdist", "-n", "2", "--dist", "loadfile")


def _run(
    folder: Path, allowed: str, continuous: str, options: tuple[str, ...] = ALONE
) -> tuple[int, str]:
    (folder / "conftest.py").write_text(CONFTEST.read_text())
    (folder / "allowed_skips.txt").write_text(allowed)
    (folder / "test_cases.py").write_text(CASES)
    (folder / "helper.py").write_text(HELPER)
    for name in ("test_module.py", "test_other.py"):  # skipped at one line, that of the helper
        (folder / name).write_text(MODULE)
    common = ["-m", "pytest", "-p", "no:cacheprovider", "--rootdir", ".", "."]
    # Other plugins take longer to load than all of this takes.
    environment = {**os.environ, "CI": continuous, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    run = subprocess.run(
        [sys.executable, *common, *options],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    return run.returncode, run.stdout


@pytest.mark.slow
@pytest.mark.parametrize("options", [ALONE, TWO_WORKERS])
def test_unnamed_skips_fail_and_are_listed(tmp_path: Path, options: tuple[str, ...]) -> None:
    code, printed = _run(tmp_path, "", "true", options)
    assert code == 1
    assert "FAILED test_cases.py::test_skipped was skipped: no data here" in printed
    assert "FAILED test_module.py was skipped: whole module" in printed
    assert "FAILED test_other.py was skipped: whole module" in printed
    assert "test_expected_to_fail was skipped" not in printed
    assert "1 passed" in printed.splitlines()[-1] and "1 xfailed" in printed.splitlines()[-1]


@pytest.mark.parametrize("options", [ALONE, TWO_WORKERS])
def test_named_skips_pass(tmp_path: Path, options: tuple[str, ...]) -> None:
    named = "test_cases.py::test_skipped # the data is large\ntest_module.py\tnot yet\n"
    code, printed = _run(tmp_path, named + "test_other.py # not yet\n", "true", options)
    assert code == 0, printed


def test_without_ci_skips_pass(tmp_path: Path) -> None:
    assert _run(tmp_path, "", "")[0] == 0


def test_a_line_needs_its_reason() -> None:
    assert allowed_skips("# why\n\na.py::b # c # d\n") == {"a.py::b": "c # d"}
    with pytest.raises(ValueError, match="lacks its reason"):
        allowed_skips("a.py::b\n")
