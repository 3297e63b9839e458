"""The live stages by name, built from a plan: the same in the client and in every worker."""

from typing import NamedTuple

from jobs.live import indicators, paper_broker, strategies, tradepicker, trading_engine
from jobs.live.stage import Clock, Stage
from udfs.errors import ConfigError, nearest
from udfs.plan import RunPlan

Patience = dict[str, int | None]  # ms by stage; None: for ever

# What a job is called, and the stage that it runs.
JOBS = {
    "indicators": indicators.NAME,
    "strategies": strategies.NAME,
    "tradepicker": tradepicker.NAME,
    "paper-broker": paper_broker.NAME,
    "trading-engine": trading_engine.NAME,
}


class LiveJob(NamedTuple):
    """A job as plain data. `plan` is traced; for strategies it has those of this job alone."""

    name: str
    plan: RunPlan
    patience_ms: int | None


def build(job: LiveJob, clock: Clock) -> Stage:
    """The stage of a job. ConfigError for a name that is none."""
    if job.name == "indicators":
        return indicators.stage(job.plan, job.patience_ms, clock)
    makers = {
        "strategies": strategies.stage,
        "tradepicker": tradepicker.stage,
        "paper-broker": paper_broker.stage,
        "trading-engine": trading_engine.stage,
    }
    if job.name not in makers:
        raise ConfigError(f"{job.name!r} is no live job{nearest(job.name, JOBS)}")
    return makers[job.name](job.plan, job.patience_ms)
