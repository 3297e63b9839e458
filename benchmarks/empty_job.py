"""An empty bounded job with all stages of the backtest: what Flink itself costs."""

from collections.abc import Iterator

from jobs.adapter import Stages, define
from jobs.runtime import collect, local_environment


def pass_on(*arguments: object) -> Iterator[tuple[str, bytes]]:
    """One blob."""
    yield "run", b"x"


def main() -> None:
    """Run it."""
    import benchmarks.empty_job as module

    stages = Stages(module.pass_on, module.pass_on, module.pass_on)
    collect(define(local_environment(1), [b"x"], stages), "empty")


if __name__ == "__main__":
    main()
