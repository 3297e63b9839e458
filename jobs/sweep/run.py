"""A run in chunks of its strategies: done one after another, kept when interrupted, then merged."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from jobs.group_stage import day_grid
from jobs.run_folder import unwritable
from jobs.sources import Task
from jobs.sweep.bars import PASSES, filed
from jobs.sweep.chunks import cut, followed, restricted
from jobs.sweep.kept import BARS, Kept, folder_bytes, kept_folders
from jobs.sweep.merge import Merged, merge
from jobs.sweep.ranking import RankBy, RankedFamily, ranked_families
from jobs.sweep.table import write_sweep
from udfs.account import is_independent
from udfs.errors import TradeflowError
from udfs.plan import RunPlan

INTERRUPTED = 130  # as shells count a process ended by Ctrl-C
Report = Callable[[int], None]
# Runs a chunk: its plan, the tasks of the run, the folder for its parts, where rows are reported.
ChunkRunner = Callable[[RunPlan, Sequence[Task], Path, Report], None]


class Watch(NamedTuple):
    """Who is told how far a run is: `bars` (done, of all) rows, `sets` (done, of all) sets.

    A run in chunks counts a row once per set. Its first `sets` tells what an earlier one had done.
    """

    bars: Callable[[int, int], None]
    sets: Callable[[int, int], None]


class SweepStopped(KeyboardInterrupt):
    """Ctrl-C or a signal ended a run in chunks, and what was done is kept.

    `families` ranks the sets that are done; `code` is what the command should exit with.
    """

    def __init__(
        self, text: str, families: Sequence[RankedFamily], folder: Path, code: int
    ) -> None:
        super().__init__(text)
        self.families, self.folder, self.code = families, folder, code


@contextmanager
def keeping(out: Path, plan: RunPlan, digest: str, rank_by: RankBy) -> Iterator[Kept]:
    """The finished chunks of this run, taken over from one that was ended early.

    They go when the block ends, unless by an exception: it then tells where they are. Ctrl-C and
    signals become SweepStopped.
    """
    with Kept(out, plan.run_id, digest) as kept:
        try:
            yield kept
        except (KeyboardInterrupt, SystemExit) as ended:
            if not kept.chunks:
                raise
            rows = [row for _, chunk in kept.chunks for row in chunk.rows]
            families = ranked_families(plan, rows, rank_by, shared_accounts(plan))
            if families:
                write_sweep(kept.path, families)
            code = ended.code if isinstance(ended, SystemExit) else INTERRUPTED
            text = f"interrupted: {_kept_text(kept, plan)}"
            raise SweepStopped(text, families, kept.path, int(code or 0)) from None
        except (TradeflowError, OSError) as error:
            if not kept.chunks:
                raise
            if isinstance(error, OSError):
                error = unwritable(Path(error.filename or kept.path), error)
            raise type(error)(f"{error}\n{_kept_text(kept, plan)}") from None
        kept.remove()


def _kept_text(kept: Kept, plan: RunPlan) -> str:
    """What is done, where it is, and how to go on."""
    done, total = len(kept.done), len(followed(plan))
    return (
        f"{done} of {total} sets are done and kept in {kept.path} "
        f"({size_text(folder_bytes(kept.path))}); the same command goes on from there"
    )


def run_chunks(
    plan: RunPlan,
    tasks: Sequence[Task],
    rows: int,
    kept: Kept,
    staging: Path,
    run: ChunkRunner,
    watch: Watch,
) -> Merged:
    """Run what is not done yet, then write the tables of the whole to `staging`.

    `rows` is the number of bars of all symbols.
    """
    total = len(followed(plan))
    watch.sets(len(kept.done), total)
    done_rows = len(kept.done) * rows
    chunks = cut(plan, rows, kept.done)
    counts: dict[str, Any] = {}
    if len(chunks) >= PASSES or (kept.path / BARS).exists():
        tasks, counts = filed(plan, tasks, kept.path / BARS, lambda rows: None)
    for chunk in chunks:
        sets = len(chunk.strategies)

        def report(count: int, sets: int = sets) -> None:
            nonlocal done_rows
            done_rows += count * sets
            watch.bars(min(done_rows, total * rows), total * rows)

        with kept.place(chunk) as folder:
            run(restricted(plan, chunk), tasks, folder, report)
        day_grid(plan, (), kept.chunks[-1][1].closes)  # refuses spans that no table can hold
        watch.sets(len(kept.done), total)
    merged = merge(plan, kept.chunks, staging)
    return merged._replace(counts={**merged.counts, **counts})


def shared_accounts(plan: RunPlan) -> frozenset[str]:
    """The accounts in which strategies decide on each other's trades."""
    return frozenset(a.account_id for a in plan.accounts if not is_independent(plan, a))


def left_over(out: Path, run_id: str) -> list[str]:
    """What to tell of kept folders of this name that no finished run has used."""
    return [
        f"{folder} ({size_text(folder_bytes(folder))}) keeps sets of an unfinished run of "
        f"{run_id!r} with another configuration, other bars or other code: that run goes on from "
        "it; remove it if you don't need it"
        for folder in kept_folders(out, run_id)
    ]


def size_text(size: int) -> str:
    """Bytes as people read them."""
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{max(size / 1e6, 0.1):.1f} MB"
