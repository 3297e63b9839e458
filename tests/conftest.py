"""Rules of the whole suite: what counts as a Flink test, that CI skips nothing unnamed, and that
no test knows how wide somebody's screen is."""

import os
from pathlib import Path
from typing import Any

import pytest

ALLOWED_SKIPS = Path(__file__).parent / "allowed_skips.txt"
FLINK_TESTS = Path(__file__).parent / "flink"
HANDED_OVER = "unnamed_skips"
# The width of a screen. readline, which pytest loads, sets these behind Python's back, for all
# processes that are started later, xdist's workers among them.
SCREEN = ("COLUMNS", "LINES")


def allowed_skips(text: str) -> dict[str, str]:
    """Node id to reason, of lines `<node id> # <reason>` (or a tab between). ValueError without."""
    allowed = {}
    for line in text.splitlines():
        if not line.strip() or line.startswith("#"):
            continue
        name, _, reason = line.replace("\t", " # ", 1).partition(" # ")
        if not reason.strip():
            raise ValueError(f"{ALLOWED_SKIPS.name}: {line!r} lacks its reason after ' # '")
        allowed[name.strip()] = reason.strip()
    return allowed


def pytest_configure(config: pytest.Config) -> None:
    for name in SCREEN:
        os.environ.pop(name, None)
        os.unsetenv(name)
    if os.environ.get("CI", "").lower() not in ("", "0", "false"):
        config.pluginmanager.register(SkipRule(config), "skip-rule")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if FLINK_TESTS in item.path.parents:
            item.add_marker("flink")


class SkipRule:
    """Collects skips, of tests and of whole modules, and fails the session for unnamed ones.

    pytest-xdist passes on only one of several modules that were skipped at the same line, that of
    a shared helper, so each of its workers hands over all that it noted.
    """

    def __init__(self, config: pytest.Config) -> None:
        self.handed_over: dict[str, Any] | None = getattr(config, "workeroutput", None)
        self.allowed = allowed_skips(ALLOWED_SKIPS.read_text(encoding="utf-8"))
        self.unnamed: dict[str, str] = {}

    def note(self, report: pytest.TestReport | pytest.CollectReport) -> None:
        # An expected failure is told as skipped too, but it did run.
        if report.skipped and not hasattr(report, "wasxfail") and report.nodeid not in self.allowed:
            self.unnamed[report.nodeid] = _reason(report.longrepr)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self.note(report)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        self.note(report)

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        # A worker that crashed hands over nothing; the run fails by itself then.
        self.unnamed.update(getattr(node, "workeroutput", {}).get(HANDED_OVER, {}))

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        if self.handed_over is not None:
            self.handed_over[HANDED_OVER] = self.unnamed
        if self.unnamed and session.exitstatus in (
            pytest.ExitCode.OK,
            pytest.ExitCode.NO_TESTS_COLLECTED,
        ):
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        if not self.unnamed:
            return
        terminalreporter.section("skips that tests/allowed_skips.txt does not name", red=True)
        for name, reason in sorted(self.unnamed.items()):
            terminalreporter.write_line(f"FAILED {name} was skipped: {reason}")


def _reason(longrepr: object) -> str:
    """The reason of a skip; pytest gives (path, line, text)."""
    return str(longrepr[2] if isinstance(longrepr, tuple) else longrepr).removeprefix("Skipped: ")
