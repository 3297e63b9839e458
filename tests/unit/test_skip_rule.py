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
MODULE = 'import pytest\npytest.skip("whole module", allow_module_level=True)\n'


def _run(folder: Path, allowed: str, continuous: str) -> tuple[int, str]:
    (folder / "conftest.py").write_text(CONFTEST.read_text())
    (folder / "allowed_skips.txt").write_text(allowed)
    (folder / "test_cases.py").write_text(CASES)
    (folder / "test_module.py").write_text(MODULE)
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--rootdir", ".", "."],
        cwd=folder,
        env={**os.environ, "CI": continuous},
        capture_output=True,
        text=True,
        check=False,
    )
    return run.returncode, run.stdout


def test_unnamed_skips_fail_and_are_listed(tmp_path: Path) -> None:
    code, printed = _run(tmp_path, "", "true")
    assert code == 1
    assert "FAILED test_cases.py::test_skipped was skipped: no data here" in printed
    assert "FAILED test_module.py was skipped: whole module" in printed
    assert "test_expected_to_fail was skipped" not in printed
    assert "1 passed, 2 skipped, 1 xfailed" in printed.splitlines()[-1]


def test_named_skips_pass(tmp_path: Path) -> None:
    named = "test_cases.py::test_skipped # the data is large\ntest_module.py\tnot yet\n"
    code, printed = _run(tmp_path, named, "true")
    assert code == 0, printed


def test_without_ci_skips_pass(tmp_path: Path) -> None:
    assert _run(tmp_path, "", "")[0] == 0


def test_a_line_needs_its_reason() -> None:
    assert allowed_skips("# why\n\na.py::b # c # d\n") == {"a.py::b": "c # d"}
    with pytest.raises(ValueError, match="lacks its reason"):
        allowed_skips("a.py::b\n")
