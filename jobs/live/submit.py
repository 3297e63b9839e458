"""Submits live jobs from one client: `flink run -d -py jobs/live/submit.py --request FILE`.

The request is a JSON file that `tradeflow up` writes; a start of the client costs 8 to 20 s, so one
takes all jobs. What became of each is written into its `answer` file at once.
"""

import json
import sys
from pathlib import Path
from typing import Any

from jobs.stack.submission import point_settings, write_answer
from udfs.errors import ConfigError


def main() -> None:
    """Submit the jobs of the request."""
    request = json.loads(Path(sys.argv[sys.argv.index("--request") + 1]).read_text("utf-8"))
    answers: dict[str, dict[str, str]] = {}
    for job in request["jobs"]:
        try:
            answers[job["name"]] = {"id": _submit(request, job)}
        except ConfigError as error:
            answers[job["name"]] = {"problem": str(error)}
        write_answer(Path(request["answer"]), answers)


def _submit(request: dict[str, Any], job: dict[str, Any]) -> str:
    from jobs.live.run import submit
    from schemas.config import parse_config

    config = parse_config(json.loads(Path(request["config"]).read_text("utf-8")), request["config"])
    return submit(
        config,
        job["job"],
        name=job["name"],
        strategies=tuple(job["strategies"]),
        bootstrap=request["bootstrap"],
        database=request["database"],
        settings=point_settings(job["point"]),
    )


if __name__ == "__main__":
    main()
