"""The jobs of a stack by name: the stages, and strategies that have a job of their own."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from jobs.live.job_names import JOBS, jobs_of
from udfs.errors import ConfigError, nearest

SEVERAL = "strategies"
ALL = "all"


class JobName(NamedTuple):
    """A job: one of JOBS; `strategies` are those of this job alone, empty for all."""

    job: str
    strategies: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        """What Flink and people call it."""
        return f"{self.job}:{','.join(self.strategies)}" if self.strategies else self.job


def parse(text: str) -> JobName:
    """The job of a name that `text` gave."""
    job, _, strategies = text.partition(":")
    return JobName(job, tuple(strategies.split(",")) if strategies else ())


def asked(job: str, strategies: Sequence[str], known: Iterable[str]) -> list[JobName]:
    """The jobs of a command line; `known` are the configured strategies' ids."""
    if job == ALL and not strategies:
        return [JobName(one) for one in JOBS]
    if job not in JOBS:
        hint = nearest(job, (*JOBS, ALL))
        raise ConfigError(f"{job!r} is no job{hint}; jobs are {', '.join(JOBS)}, or {ALL}")
    if strategies and job != SEVERAL:
        raise ConfigError(f"--strategy is for the job {SEVERAL}; {job} works for all of them")
    names = sorted(set(known))
    for strategy in strategies:
        if strategy not in names:
            raise ConfigError(f"{strategy!r} is no strategy of this run{nearest(strategy, names)}")
        if "," in strategy:
            raise ConfigError(f"{strategy!r} has a comma, so it can't have a job of its own")
    return [JobName(job, tuple(sorted(set(strategies))))]


def wanted(recorded: Iterable[str], export: str) -> list[JobName]:
    """All jobs of a stack of that `monitoring.export`, strategies divided as they were before."""
    own = sorted(name for name in map(parse, recorded) if name.job == SEVERAL and name.strategies)
    found = []
    for job in jobs_of(export):
        found += own if job == SEVERAL and own else [JobName(job)]
    return found


def replaced(new: JobName, recorded: Iterable[str]) -> list[str]:
    """Jobs of before whose strategies, or some of them, `new` has taken over."""
    return [other.text for other in map(parse, recorded) if _share(new, other)]


def _share(one: JobName, other: JobName) -> bool:
    """Whether a strategy would run in both of two jobs."""
    every = not one.strategies or not other.strategies
    both = every or bool(set(one.strategies) & set(other.strategies))
    return one.job == other.job == SEVERAL and one != other and both


def left_out(jobs: Iterable[str], known: Iterable[str]) -> list[str]:
    """Strategies that none of these jobs runs."""
    own = [name for name in map(parse, jobs) if name.job == SEVERAL]
    if any(not name.strategies for name in own):
        return []
    return sorted(set(known) - {strategy for name in own for strategy in name.strategies})


def refuse_doubles(new: Iterable[JobName], running: Iterable[str]) -> None:
    """ConfigError where a strategy would run in two jobs at once."""
    for name in new:
        for other in map(parse, running):
            if _share(name, other):
                both = set(name.strategies) & set(other.strategies)
                what = ", ".join(sorted(both)) or "strategies"
                raise ConfigError(
                    f"{what} would run twice: in {name.text} and in {other.text}, which runs; "
                    "to divide them: `tradeflow down`, `tradeflow up --no-jobs`, then submit each"
                )
