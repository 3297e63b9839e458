"""flink run -py submit_toys.py STORE BOOTSTRAP DATABASE:PARALLELISM:STAGE[=POINT]...: jobs."""

import sys

import toy_stages  # type: ignore[import-not-found]

from jobs.live.run import Job, Place, submit
from jobs.store.place import StorePlace


def main() -> None:
    """Submit the stages; their jobs' names begin with the database's."""
    store, bootstrap, *given = sys.argv[1:]
    for text in given:
        asked, _, point = text.partition("=")
        database, parallelism, name = asked.split(":")
        job = Job(name, getattr(toy_stages, name), point)
        place = Place(StorePlace(store, bootstrap, database), 500)
        submit([job], place, int(parallelism), database)


if __name__ == "__main__":
    main()
