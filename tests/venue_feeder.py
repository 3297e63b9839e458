"""A feeder of the venue of tests/live_venue.py as a process of its own, so that it can be killed.

`python -m tests.venue_feeder URL STORE DATABASE CONFIG START_MS SPEED MADE`: the clock is the
venue's, by the machine's own steady clock. It runs until it is ended.
"""

import sys
import threading
from pathlib import Path

import yaml

from feeds.live.venue_clock import Clocks, Limits
from feeds.live.venue_feed import Link, ingest_venue
from jobs.store.client import open_client
from jobs.store.place import StorePlace
from schemas.config import parse_config
from tests.live_venue import FastClock

LIMITS = Limits(first_s=0.05, most_s=0.2, measure_s=1.0, silence_s=6)


def main(
    url: str, store: str, database: str, config: str, start: str, speed: str, made: str
) -> None:
    """Feed."""
    clock = FastClock(int(start), float(speed), float(made))
    link = Link("binance", url=url, is_paced=False, limits=LIMITS,
                clocks=Clocks(clock.now_ms, clock.steady_ms))  # fmt: skip
    parsed = parse_config(yaml.safe_load(Path(config).read_text(encoding="utf-8")))
    say = lambda text: print(text, flush=True)  # noqa: E731
    with open_client(StorePlace("fluss", store, database), retry_s=None) as client:
        ingest_venue(client, parsed, link, 10**9, threading.Event(), say, lambda done: None)


if __name__ == "__main__":
    main(*sys.argv[1:])
