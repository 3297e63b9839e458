"""How far a run has come, on standard error: a bar in a terminal, else a line now and then."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:  # it loads slowly
    from rich.progress import Progress as RichProgress

LINE_EVERY_S = 5.0


class Progress(Protocol):
    """Told how far something is, all from one thread."""

    def __call__(self, done: int, total: int) -> None:
        """Units that are done, and all of them."""
        ...

    def sets(self, done: int, total: int) -> None:
        """Sets that are done, the first time those that an earlier run had done.

        Said only by runs that are cut into chunks of sets; they count a bar once per set.
        """
        ...

    def note(self, text: str) -> None:
        """Something that should be known before the end."""
        ...


@contextmanager
def progress_of(shown: bool, starting: str, unit: str = "bars") -> Iterator[Progress]:
    """What to report to for as long as a run lasts; `starting` names the first wait.

    `unit` says what is counted.
    """
    if not shown:
        yield Silent()
    elif sys.stderr.isatty():
        with _bar(starting, unit) as progress:
            yield progress
    else:
        yield PlainLines(time.monotonic, unit)


class Silent:
    """Says nothing."""

    def __call__(self, done: int, total: int) -> None:
        """Nothing."""

    def sets(self, done: int, total: int) -> None:
        """Nothing."""

    def note(self, text: str) -> None:
        """Nothing."""


class PlainLines:
    """A line when LINE_EVERY_S seconds have passed since the last one."""

    def __init__(self, clock: Callable[[], float], unit: str = "bars") -> None:
        self._clock, self._unit = clock, unit
        self._started = self._last = clock()
        self._sets = ""

    def __call__(self, done: int, total: int) -> None:
        """A line with units, their share, and sets where they are told."""
        now = self._clock()
        if now - self._last >= LINE_EVERY_S and total:
            self._last = now
            share = f"({100 * done // total} %) after {now - self._started:.0f} s"
            told = f"{self._sets}{amount_text(done, total)} {self._unit} {share}"
            print(told, file=sys.stderr, flush=True)

    def sets(self, done: int, total: int) -> None:
        """Shown with the next line of bars; sets that an earlier run had done at once."""
        if not self._sets and done:
            print(resumed_text(done, total), file=sys.stderr, flush=True)
        self._sets = f"{done:,} of {total:,} sets, "

    def note(self, text: str) -> None:
        """A line of its own."""
        print(f"note: {text}", file=sys.stderr, flush=True)


def amount_text(done: int, total: int) -> str:
    """`250 of 1,000`, in millions where there are many."""
    if total >= 100_000_000:
        return f"{done / 1e6:,.0f} of {total / 1e6:,.0f} million"
    return f"{done:,} of {total:,}"


def resumed_text(done: int, total: int) -> str:
    """What is told when a run goes on where an earlier one ended."""
    return f"resumed: {done:,} of {total:,} sets were done"


@contextmanager
def _bar(starting: str, unit: str) -> Iterator[Progress]:
    from rich.console import Console
    from rich.progress import BarColumn, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as RichProgress

    with RichProgress(
        TextColumn("{task.description}"),
        BarColumn(bar_width=40),
        TextColumn("{task.fields[told]}"),
        TimeElapsedColumn(),
        console=Console(stderr=True),
        transient=True,
    ) as shown:
        yield Bar(shown, starting, unit)


class Bar:
    """A bar of rich."""

    def __init__(self, shown: "RichProgress", starting: str, unit: str) -> None:
        self._shown, self._unit = shown, unit
        self._task = shown.add_task(starting, total=None, told="")
        self._sets = ""

    def __call__(self, done: int, total: int) -> None:
        """Move the bar; units and sets in figures beside it."""
        told = f"{self._sets}{amount_text(done, total)} {self._unit}"
        doing = "running" if done < total else "finishing"
        self._shown.update(self._task, completed=done, total=total, description=doing, told=told)

    def sets(self, done: int, total: int) -> None:
        """As PlainLines."""
        if not self._sets and done:
            self._shown.console.print(resumed_text(done, total))
        self._sets = f"{done:,} of {total:,} sets, "

    def note(self, text: str) -> None:
        """Above the bar."""
        self._shown.console.print(f"note: {text}", markup=False)
