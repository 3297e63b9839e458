"""The bounded backtest as one Flink job.

    flink run -p 2 -py jobs/backtest.py -pyfs code.zip --config conf/backtest.yaml --out runs

    symbols → features → signals → (keyed by account) gate, paper broker, engine → tables

The dataflow is in jobs/bounded.py; here is the client's side of it. Key: the fold group, an account
or an account's symbol. State: a group's blobs of columns until the input has ended. Invariant: the
tables are the same at any parallelism, and equal to those of the local runner. A large run of
many sets is several jobs, one after another.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from jobs.run import RunRequest, execute
from jobs.sweep.ranking import RankBy
from jobs.sweep.run import SweepStopped
from schemas.config import load_config
from schemas.overrides import settings
from udfs.errors import TradeflowError


def main(arguments: Sequence[str]) -> int:
    """The client's side under `flink run`: the options of `tradeflow backtest` that matter here."""
    parser = argparse.ArgumentParser(prog="jobs/backtest.py", description=__doc__)
    parser.add_argument("--config", required=True, type=Path)
    parser.add_argument("--out", type=Path, default=Path("runs"))
    parser.add_argument("--run-id")
    parser.add_argument("--strategy", action="append", default=[])
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--parallelism", type=int, default=1, help="without flink run's -p")
    parser.add_argument("--trace", action="store_true")
    parser.add_argument("--overwrite", action="store_true")
    parser.add_argument("--rank-by", type=RankBy, choices=list(RankBy), default=RankBy.NET_PNL)
    options = parser.parse_args(arguments)
    try:
        overrides = settings(options.set)
        if options.run_id is not None:
            overrides["run.id"] = options.run_id
        request = RunRequest(
            config=load_config(options.config, overrides),
            only_strategies=tuple(options.strategy),
            out=options.out,
            overwrite=options.overwrite,
            trace=options.trace,
            runner="flink",
            parallelism=options.parallelism,
            rank_by=options.rank_by,
        )
        report = execute(request, lambda done, total: None)
    except TradeflowError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except SweepStopped as stopped:
        print(stopped, file=sys.stderr)
        return stopped.code
    except KeyboardInterrupt:
        print("interrupted: nothing was written", file=sys.stderr)
        return 130
    print(report.folder)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
