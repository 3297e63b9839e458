"""The live stages by name, built from a plan: the same in the client and in every worker."""

from collections.abc import Sequence
from typing import NamedTuple

from jobs.live import (
    indicators,
    monitoring,
    paper_broker,
    strategies,
    tradepicker,
    trading_engine,
)
from jobs.live.job_names import JOBS
from jobs.live.stage import Clock, Journal, Stage, no_journal
from schemas.config import Config
from schemas.resolve import plan_run
from udfs.errors import ConfigError, nearest
from udfs.plan import RunPlan

RUN_TAG = "LIVE"
MS = 1000


class LiveJob(NamedTuple):
    """A job as plain data. `plan` is traced; for strategies it has those of this job alone."""

    name: str
    plan: RunPlan
    patience_ms: int | None


def live_job(config: Config, name: str, strategies: Sequence[str] = ()) -> LiveJob:
    """A job of a configuration; `strategies` are those of this job alone, none: all of the run's.

    ConfigError for a name that is none.
    """
    if name not in JOBS:
        raise ConfigError(f"{name!r} is no live job{nearest(name, JOBS)}")
    patience_s = getattr(config.wm, JOBS[name]).lateness_sec
    plan = plan_run(config, trace=True, run_tag=RUN_TAG, only_strategies=strategies)
    return LiveJob(name, plan, None if patience_s is None else round(patience_s * MS))


def build(job: LiveJob, clock: Clock, journal: Journal = no_journal) -> Stage:
    """The stage of a job. `journal` reads back what it wrote before it was started again.

    ConfigError for a name that is none.
    """
    plan, patience_ms = job.plan, job.patience_ms
    match job.name:
        case "indicators":
            return indicators.stage(plan, patience_ms, clock, journal)
        case "strategies":
            return strategies.stage(plan, patience_ms, journal)
        case "tradepicker":
            return tradepicker.stage(plan, patience_ms, journal)
        case "paper-broker":
            return paper_broker.stage(plan, patience_ms, journal)
        case "trading-engine":
            return trading_engine.stage(plan, patience_ms, journal)
        case "monitoring":
            return monitoring.stage(plan, patience_ms)
    raise ConfigError(f"{job.name!r} is no live job{nearest(job.name, JOBS)}")
