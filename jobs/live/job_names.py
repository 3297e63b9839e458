"""What the live jobs are called, and the stage that each runs: the name in progress and in wm."""

METRICS = "metrics"  # monitoring.export without rows in the store
FLUSS = "fluss"  # the same without metrics

MONITORING = "monitoring"
JOBS = {
    "indicators": "indicators",
    "strategies": "strategies",
    "tradepicker": "tradepicker",
    "paper-broker": "broker",
    "trading-engine": "engine",
    MONITORING: "monitor",
}


def jobs_of(export: str) -> tuple[str, ...]:
    """The jobs of a stack; without monitoring where `monitoring.export` wants none of its rows."""
    return tuple(job for job in JOBS if job != MONITORING or export != METRICS)


def monitor_stages(export: str) -> tuple[str, ...]:
    """The monitor's stage, where its job is one of the stack's."""
    return tuple(JOBS[job] for job in jobs_of(export) if job == MONITORING)
