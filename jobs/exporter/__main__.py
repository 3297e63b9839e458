"""`python -m jobs.exporter FOLDER`: metrics of the stack in a folder, and its risk alerts as rows.

The supervisor starts it. `monitoring.export` says what it does: serve metrics, on loopback unless
`--host` names another address of this machine; write rows; or both. SIGTERM ends it.
"""

import argparse
import json
import os
import signal
import sys
import threading
import time
from pathlib import Path

from prometheus_client import (
    CollectorRegistry,
    disable_created_metrics,
    start_http_server,
)

from jobs.exporter.facts import Facts
from jobs.exporter.figures import Figures
from jobs.exporter.health import Health
from jobs.exporter.reader import Reader
from jobs.exporter.risk import Risk
from jobs.live.job_names import FLUSS, METRICS
from jobs.stack.processes import HOST
from jobs.stack.state import CONFIG, read
from jobs.store import reading
from jobs.store.client import Client, Stopped, Writing, open_client
from jobs.store.leaving import leave
from schemas.config import parse_config
from schemas.config_models import Config
from schemas.ops import RISK_ALERTS_HISTORY
from schemas.resolve import plan_run
from udfs.errors import ConfigError, TradeflowError

HEALTH_S = 2.0
RISK_S = 1.0


def main() -> int:
    """Run until SIGTERM; 2 where the folder is no stack's, or its port is taken."""
    parser = argparse.ArgumentParser(prog="python -m jobs.exporter")
    parser.add_argument("--host", default=HOST, help="where it listens (default: loopback)")
    parser.add_argument("--port", type=int, help="its port (default: the stack's)")
    parser.add_argument("folder", type=Path, help="the stack's folder")
    given = parser.parse_args()
    try:
        run(given.folder, given.host, given.port)
    except Stopped:
        pass
    except TradeflowError as error:
        print(f"error: {error}", file=sys.stderr, flush=True)
        return 2
    return 0


def run(folder: Path, host: str, port: int | None = None) -> None:
    """Serve and write as the stack's configuration says."""
    stack = read(folder)
    if stack is None:
        raise ConfigError(f"no stack in {folder}")
    os.chdir(stack.work_folder)  # from which the configuration names modules
    config = parse_config(json.loads((folder / CONFIG).read_text("utf-8")), str(folder / CONFIG))
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    seconds = config.wm.monitor.lateness_sec
    facts = Facts(plan_run(config), None if seconds is None else int(seconds * 1000))
    risk = Risk(config, facts)
    health = Health(folder, config.monitoring.export)
    wait_ms = config.fluss.fetch_wait_ms
    client = open_client(stack.store, None, say, stop, fetch_wait_ms=wait_ms)
    with client:
        reader = Reader(client, facts, stop)
        threading.Thread(target=watch, args=(health, stop), daemon=True).start()
        if config.monitoring.export != FLUSS:
            serve(
                host,
                port or stack.ports.exporter,
                Figures(reader, risk, health, config.monitoring.top_k),
            )
        reader.catch_up()
        say("all tables are read")
        work(client, reader, risk, config, stop)


def serve(host: str, port: int, figures: Figures) -> None:
    """Answer Prometheus at this address."""
    disable_created_metrics()
    registry = CollectorRegistry()
    registry.register(figures)
    try:
        start_http_server(port, host, registry)
    except OSError as error:
        raise ConfigError(f"{host}:{port} can't be listened at: {error.strerror}") from None
    say(f"serves http://{host}:{port}/metrics")


def watch(health: Health, stop: threading.Event) -> None:
    """Look after the stack's health for ever."""
    while not stop.is_set():
        try:
            health.look()
        except TradeflowError as error:
            say(f"error: {error}")
        stop.wait(HEALTH_S)


def work(client: Client, reader: Reader, risk: Risk, config: Config, stop: threading.Event) -> None:
    """Follow the tables, and tell of risk once a second, until the end."""
    writes = config.monitoring.export != METRICS
    if writes:
        risk.remember(reading.log(client, RISK_ALERTS_HISTORY))
    looked = 0.0
    while not stop.is_set():
        reader.follow()
        if time.monotonic() - looked > RISK_S:
            looked = time.monotonic()
            with reader.lock:
                changes = risk.look(time.time())
            for change in changes:
                say(f"{change.state} {change.subject.code} {change.subject.name}")
            if changes and writes:
                client.write(Writing(RISK_ALERTS_HISTORY, [risk.row(one) for one in changes]))


def say(text: str) -> None:
    """A line of the log."""
    print(f"{time.strftime('%Y-%m-%d %H:%M:%S')} {text}", flush=True)


if __name__ == "__main__":
    leave(main())
