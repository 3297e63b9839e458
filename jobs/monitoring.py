"""What open positions are worth, as a live Flink job: bars and positions → unrealized_pnl_latest.

    flink run -d -py jobs/monitoring.py --config conf/live.yaml --set monitoring.export=both

Key: symbol. State: the last close and the open positions (jobs/live/monitoring.py). It runs live
alone: a bounded run writes unrealized_snapshot at its end.
"""

import sys
from collections.abc import Sequence

from jobs.live import command
from jobs.live.job_names import MONITORING


def main(arguments: Sequence[str]) -> int:
    """The command."""
    return command.main(MONITORING, arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
