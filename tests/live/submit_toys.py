"""flink run -py submit_toys.py STORE BOOTSTRAP DATABASE:PARALLELISM:STAGE[=POINT] ...: one job each."""

import sys

import toy_stages  # type: ignore[import-not-found]

from jobs.live.run import Job, Place, submit
from schemas.table import Store


def main() -> None:
    """Submit the stages; their jobs' names begin with the database's."""
    store, bootstrap, *given = sys.argv[1:]
    for text in given:
        asked, _, point = text.partition("=")
        database, parallelism, name = asked.split(":")
        job = Job(name, getattr(toy_stages, name), point)
        submit(
            [job],
            Place(bootstrap, database, 500, Store(os.environ.get("TOYS_STORE", "fluss"))),
            int(parallelism),
            database,
        )


if __name__ == "__main__":
    main()
