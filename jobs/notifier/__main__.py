"""`python -m jobs.notifier PORT [FOLDER]`: takes Alertmanager's webhook on 127.0.0.1, tells people.

FOLDER is that of its stack, which finds its processes by it. `python -m jobs.notifier --check` only
says whether the URLs are of use. Without any URL each alert is a line of the output.
docs/runbooks.md says how to set it up.
"""

import logging
import os
import signal
import sys
import threading
import time
import warnings
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import FrameType
from typing import NoReturn

from jobs.notifier.delivery import Delivery, Destination, destinations
from jobs.notifier.messages import log_line, messages, parse
from udfs.errors import ConfigError, ContractError

HOST = "127.0.0.1"
PATH = "/alerts"
HEALTHY = "/-/healthy"
RUNBOOK_BASE = "TRADEFLOW_RUNBOOK_BASE"
LARGEST_BODY = 4_000_000  # some thousand alerts
MOST_DIGITS = 9
PATIENCE_S = 10.0
HIGHEST_PORT = 65_535
REFUSED = 2


def log(text: str) -> None:
    """A line of the log."""
    # One write: several threads speak.
    sys.stdout.write(f"{time.strftime('%Y-%m-%d %H:%M:%S')} {text}\n")
    sys.stdout.flush()


class Server(ThreadingHTTPServer):
    """Hands alerts to the delivery, or to the log where there is no destination."""

    daemon_threads = True

    def __init__(self, port: int, found: list[Destination], runbook_base: str) -> None:
        super().__init__((HOST, port), Handler)
        self.delivery = Delivery(found)
        self.count = len(found)
        self.runbook_base = runbook_base

    def handle_error(self, request: object, client_address: object) -> None:
        """Only the kind: the text of an error may hold what must not be told."""
        log(f"a request ended by {type(sys.exception()).__name__}")

    def take(self, body: bytes) -> list[str]:
        """Tell of the alerts of a webhook; what was not delivered."""
        alerts = parse(body, self.runbook_base)
        if not self.count:
            for alert in alerts:
                log(log_line(alert))
            return []
        problems = []
        for message in messages(alerts):
            found = self.delivery.send(message)
            log(f"{message.title}: {'; '.join(found) or f'delivered to {self.count}'}")
            problems += found
        return problems


class Handler(BaseHTTPRequestHandler):
    """One request."""

    server: Server
    timeout = PATIENCE_S
    server_version = "tradeflow-notifier"
    sys_version = ""

    def do_GET(self) -> None:
        """Whether it works, for who started it."""
        if self.path == HEALTHY:
            self._answer(200, "healthy")
        else:
            self._answer(404, f"there is POST {PATH} and GET {HEALTHY}")

    def do_POST(self) -> None:
        """Alertmanager's webhook: 400 where it is none, 503 where it should be sent again."""
        length = self.headers.get("Content-Length", "")
        if self.path != PATH:
            self._answer(404, f"there is POST {PATH} and GET {HEALTHY}")
        # Without a page's leave a browser posts forms and plain text, no JSON.
        elif self.headers.get_content_type() != "application/json":
            self._answer(415, "Content-Type: application/json is needed")
        elif not (length.isascii() and length.isdigit()):
            self._answer(411, "Content-Length is needed")
        elif len(length) > MOST_DIGITS or int(length) > LARGEST_BODY:
            self._answer(413, f"{LARGEST_BODY} bytes at most")
        else:
            self._take(self.rfile.read(int(length)))

    def _take(self, body: bytes) -> None:
        try:
            problems = self.server.take(body)
        except ContractError as error:
            log(f"refused a request: {error}")
            self._answer(400, str(error))
            return
        if problems:
            self._answer(503, "not delivered to all: " + "; ".join(problems))
        else:
            self._answer(200, "told")

    def _answer(self, code: int, text: str) -> None:
        content = f"{text}\n".encode()
        self.send_response(code)
        self.send_header("Content-Type", "text/plain; charset=utf-8")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:
        """Nothing: what matters of a request is told elsewhere."""


def silence() -> None:
    """Apprise and what it uses say nothing by themselves, as that could be a URL."""
    logging.lastResort = None
    logging.raiseExceptions = False
    logging.getLogger().addHandler(logging.NullHandler())
    warnings.simplefilter("ignore")
    threading.excepthook = lambda found: log(f"a thread ended by {found.exc_type.__name__}")


def serve(port: int) -> NoReturn:
    """Answer until SIGTERM or Ctrl-C."""

    def stop(number: int, frame: FrameType | None) -> NoReturn:
        for one in (signal.SIGTERM, signal.SIGINT):
            signal.signal(one, signal.SIG_IGN)
        raise SystemExit

    server = Server(port, destinations(os.environ), os.environ.get(RUNBOOK_BASE, ""))
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    where = f"{server.count} destinations" if server.count else "this log alone: no URL is set"
    log(f"listens on {HOST}:{server.server_port}; alerts go to {where}")
    try:
        server.serve_forever()
    except SystemExit:
        log("asked to end")
    # A delivery that hangs would hold up the end; Alertmanager sends its alert again.
    os._exit(0)


def main() -> None:
    """Serve on the port that is named, or check."""
    silence()
    given = sys.argv[1:]
    try:
        if given == ["--check"]:
            found = destinations(os.environ)
            print("\n".join(one.name for one in found) or "no URL is set")
        elif 1 <= len(given) <= 2 and given[0] in map(str, range(1, HIGHEST_PORT + 1)):
            serve(int(given[0]))
        else:
            raise ConfigError("usage: python -m jobs.notifier PORT [FOLDER], or --check")
    except ConfigError as error:
        sys.exit(_failed(str(error)))
    except OSError as error:
        sys.exit(_failed(f"port {given[0]}: {error.strerror}"))


def _failed(text: str) -> int:
    print(f"error: {text}", file=sys.stderr, flush=True)
    return REFUSED


if __name__ == "__main__":
    main()
