"""How far a run has come, on standard error: a bar in a terminal, else a line now and then."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

Report = Callable[[int, int], None]  # rows done, rows in all

LINE_EVERY_S = 5.0


@contextmanager
def progress_of(shown: bool, starting: str, unit: str = "bars") -> Iterator[Report]:
    """A function to report rows to, for as long as the run lasts; `starting` names the first wait.

    `unit` says what is counted. The function must be called from one thread.
    """
    if not shown:
        yield _silent
    elif sys.stderr.isatty():
        with _bar(starting, unit) as report:
            yield report
    else:
        yield plain_lines(time.monotonic, unit)


def _silent(done: int, total: int) -> None:
    """Say nothing."""


@contextmanager
def _bar(starting: str, unit: str) -> Iterator[Report]:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    with Progress(
        TextColumn("{task.description}"),
        BarColumn(bar_width=40),
        TextColumn("{task.fields[bars]}"),
        TimeElapsedColumn(),
        console=Console(stderr=True),
        transient=True,
    ) as bar:
        task = bar.add_task(starting, total=None, bars="")

        def report(done: int, total: int) -> None:
            doing = "running" if done < total else "finishing"
            bars = f"{done:,} of {total:,} {unit}"
            bar.update(task, completed=done, total=total, description=doing, bars=bars)

        yield report


def plain_lines(clock: Callable[[], float], unit: str = "bars") -> Report:
    """A report that prints a line when LINE_EVERY_S seconds have passed since the last one."""
    started = last = clock()

    def report(done: int, total: int) -> None:
        nonlocal last
        now = clock()
        if now - last >= LINE_EVERY_S and total:
            last = now
            share = f"{100 * done // total} %"
            text = f"{done:,} of {total:,} {unit} ({share}) after {now - started:.0f} s"
            print(text, file=sys.stderr, flush=True)

    return report
