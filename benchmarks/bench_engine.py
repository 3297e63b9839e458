"""How many exec reports a second the bounded engine books, by Flink, with its state in RocksDB.

    python benchmarks/bench_engine.py [REPORTS [ACCOUNTS [PARALLELISM]]]      200000 2 1

Fills of eight days of event time, so that some copies are remembered and older ones forgotten;
of 100 reports one is a copy. Asked for: 5,000 a second, start and writing counted.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.live.engine import configuration, reports
from udfs.reports import REPORT_COLUMNS

DAYS = 8
DAY_MS = 86_400_000
ASKED = 5_000


def main() -> None:
    """Run and print."""
    given = [int(text) for text in sys.argv[1:]]
    count, accounts, parallelism = (*given, *(200_000, 2, 1)[len(given) :])
    with tempfile.TemporaryDirectory(prefix="tradeflow-bounded-") as name:
        folder = Path(name)
        tree = configuration(accounts, 1, 1) | {"store.kind": "files", "prices.files": "none"}
        tree = {key: value for key, value in tree.items() if not key.startswith("live.")}
        (folder / "run.yaml").write_text(json.dumps(tree), encoding="utf-8")
        rate = count * 1000 / (DAYS * DAY_MS)
        with (folder / "reports.csv").open("w", encoding="utf-8") as file:
            file.write(",".join(REPORT_COLUMNS) + "\n")
            file.writelines(reports(count, accounts, rate))
        command = [sys.executable, "-m", "jobs.trading_engine", "--config", "run.yaml"]
        command += ["--exec-reports", "reports.csv", "--parallelism", str(parallelism)]
        began, before = time.monotonic(), os.times()
        subprocess.run(
            command, cwd=folder, check=True, env={**os.environ, "PYTHONPATH": str(Path.cwd())}
        )
        seconds, after = time.monotonic() - began, os.times()
    busy_s = after.children_user + after.children_system - before.children_user
    busy_s -= before.children_system
    print(f"{count:,} reports in {seconds:.1f} s: {count / seconds:,.0f} a second")
    print(f"processor time a report: {busy_s / count * 1e6:.0f} us, {busy_s:.1f} s in all")
    print("PASS" if count / seconds >= ASKED else f"FAIL: below {ASKED:,} a second")


if __name__ == "__main__":
    main()
