"""The jobs of a stack by name: the five stages, and strategies that have a job of their own."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from udfs.errors import ConfigError, nearest

JOBS = ("indicators", "strategies", "tradepicker", "paper-broker", "trading-engine")
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
    return [JobName(job, tuple(sorted(set(strategies))))]


def wanted(recorded: Iterable[str]) -> list[JobName]:
    """All jobs of a stack: the five, with strategies divided as they were submitted before."""
    own = sorted(name for name in map(parse, recorded) if name.job == SEVERAL and name.strategies)
    found = []
    for job in JOBS:
        found += own if job == SEVERAL and own else [JobName(job)]
    return found


def refuse_doubles(new: Iterable[JobName], running: Iterable[str]) -> None:
    """ConfigError where a strategy would run in two jobs at once."""
    for name in new:
        for other in map(parse, running):
            both = set(name.strategies) & set(other.strategies)
            every = not name.strategies or not other.strategies
            if name.job == other.job == SEVERAL and name != other and (every or both):
                what = ", ".join(sorted(both)) or "strategies"
                raise ConfigError(
                    f"{what} would run twice: in {name.text} and in {other.text}, which runs; "
                    "to divide them: `tradeflow down`, `tradeflow up --no-jobs`, then submit each"
                )
