"""Submits live jobs from one client: `flink run -d -py jobs/live/submit.py --request FILE`.

The request is a JSON file that `tradeflow up` writes; a start of the client costs 8 to 20 s, so one
takes all jobs. What became of each is written into its `answer` file at once.
"""

import json
import sys
from functools import partial
from pathlib import Path

from jobs.live import run
from jobs.live.journal import Journal
from jobs.live.operators import now_ms
from jobs.live.stages import build, live_job
from jobs.stack.state import write_file
from jobs.store.login import stack_login
from jobs.store.place import StorePlace
from schemas.config import parse_config
from udfs.errors import ConfigError


def main() -> None:
    """Submit the jobs of the request, each by itself: one that is refused stops no other."""
    request = json.loads(Path(sys.argv[sys.argv.index("--request") + 1]).read_text("utf-8"))
    file = request["config"]
    config = parse_config(json.loads(Path(file).read_text("utf-8")), file)
    kind = request.get("store_kind", config.store.kind)
    at = StorePlace(kind, request["bootstrap"], request["database"], stack_login(Path(file).parent))
    place = run.Place(at, config.fluss.fetch_wait_ms)
    journal = Journal(at)
    answers: dict[str, dict[str, str]] = {}
    for job in request["jobs"]:
        try:
            live = live_job(config, job["job"], job["strategies"])
            make = partial(build, live, now_ms, journal)
            (job_id,) = run.submit(
                [run.Job(job["name"], make, job["point"])],
                place,
                config.live.parallelism,
                config.run.id,
            )
            answers[job["name"]] = {"id": job_id}
        except ConfigError as error:
            answers[job["name"]] = {"problem": str(error)}
        write_file(Path(request["answer"]), json.dumps(answers))


if __name__ == "__main__":
    main()
