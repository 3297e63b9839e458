"""The live stages by name, built from a plan: the same in the client and in every worker."""

from typing import NamedTuple

from jobs.live import indicators, paper_broker, strategies, tradepicker, trading_engine
from jobs.live.stage import Clock, Stage
from jobs.live.tradepicker import Journal, no_journal
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


def build(job: LiveJob, clock: Clock, journal: Journal = no_journal) -> Stage:
    """The stage of a job; `journal` reads the gate's own decisions after a start.

    ConfigError for a name that is none.
    """
    if job.name == "indicators":
        return indicators.stage(job.plan, job.patience_ms, clock)
    if job.name == "tradepicker":
        return tradepicker.stage(job.plan, job.patience_ms, journal)
    makers = {
        "strategies": strategies.stage,
        "paper-broker": paper_broker.stage,
        "trading-engine": trading_engine.stage,
    }
    if job.name not in makers:
        raise ConfigError(f"{job.name!r} is no live job{nearest(job.name, JOBS)}")
    return makers[job.name](job.plan, job.patience_ms)
