"""flink run -py submit_toys.py BOOTSTRAP DATABASE:PARALLELISM:STAGE[=POINT] ...: one job each."""

import sys

import toy_stages  # type: ignore[import-not-found]

from jobs.live.run import Job, Place, submit


def main() -> None:
    """Submit the stages; their jobs' names begin with the database's."""
    bootstrap, *given = sys.argv[1:]
    for text in given:
        place, _, point = text.partition("=")
        database, parallelism, name = place.split(":")
        job = Job(name, getattr(toy_stages, name), point)
        submit([job], Place(bootstrap, database, 500), int(parallelism), database)


if __name__ == "__main__":
    main()
