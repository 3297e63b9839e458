"""For tests of alerts: Debian's tools, and a notifier with a place that it tells."""

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple

import pytest

ROOT = Path(__file__).resolve().parents[1]
CONF = ROOT / "conf" / "prometheus"
HOST = "127.0.0.1"
PATIENCE_S = 20.0
POLL_S = 0.02


def tool(name: str) -> str:
    """A program of Debian's packages; the test fails where it is missing."""
    found = shutil.which(name)
    if found is None:
        pytest.fail(f"{name} is missing: apt install prometheus prometheus-alertmanager")
    return found


def checked(*words: str) -> str:
    """What a tool says of a file that is right."""
    done = subprocess.run(
        [tool(words[0]), *words[1:]], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def until(holds: Callable[[], bool], what: str) -> None:
    """Wait for it; the test fails where it takes too long."""
    deadline = time.monotonic() + PATIENCE_S
    while not holds():
        assert time.monotonic() < deadline, f"no {what} in {PATIENCE_S:.0f} s"
        time.sleep(POLL_S)


class Answer(NamedTuple):
    code: int
    text: str


def request(
    url: str, body: bytes | None = None, headers: Mapping[str, str] | None = None
) -> Answer:
    """GET, or POST where there is a body."""
    asked = urllib.request.Request(url, body, dict(headers or {}))
    try:
        with urllib.request.urlopen(asked, timeout=PATIENCE_S) as answer:
            return Answer(answer.status, answer.read().decode())
    except urllib.error.HTTPError as error:
        return Answer(error.code, error.read().decode())


def post_json(url: str, data: object) -> Answer:
    return request(url, json.dumps(data).encode(), {"Content-Type": "application/json"})


def answers(url: str) -> bool:
    with contextlib.suppress(OSError):
        return request(url).code == 200
    return False


@contextmanager
def running(words: list[str], environment: Mapping[str, str], log: Path) -> Iterator[Any]:
    """A process with its output in a file, ended by SIGTERM."""
    with log.open("wb") as output:
        process = subprocess.Popen(
            words, env=dict(environment), cwd=ROOT, stdout=output, stderr=output
        )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        try:
            process.wait(PATIENCE_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


class Notifier(NamedTuple):
    port: int
    process: "subprocess.Popen[bytes]"
    log: Path

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self.port}/alerts"

    def said(self) -> str:
        return self.log.read_text(encoding="utf-8")

    def tell(self, *alerts: Mapping[str, Any]) -> Answer:
        return post_json(self.url, {"version": "4", "alerts": list(alerts)})


def environment(**more: str) -> dict[str, str]:
    """That of a process of tests: with this code, and nobody's own destinations."""
    kept = {name: text for name, text in os.environ.items() if not name.startswith("TRADEFLOW_")}
    return {**kept, "PYTHONPATH": str(ROOT), **more}


def notifier_command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "jobs.notifier", *arguments]


@contextmanager
def notifier(folder: Path, **variables: str) -> Iterator[Notifier]:
    """A notifier that listens."""
    port, log = free_port(), folder / "notifier.log"
    words = notifier_command(str(port), str(folder))
    with running(words, environment(**variables), log) as process:
        until(
            lambda: process.poll() is not None or answers(f"http://{HOST}:{port}/-/healthy"),
            "notifier",
        )
        assert process.poll() is None, log.read_text()
        yield Notifier(port, process, log)


class Place(ThreadingHTTPServer):
    """A service that takes messages: it answers `code`, or not before `go_on` is set."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__((HOST, 0), _Taking)
        self.code = 200
        self.go_on = threading.Event()
        self.go_on.set()
        self.asked = 0
        self.taken: list[dict[str, Any]] = []

    def url(self, path: str = "", user: str = "") -> str:
        return f"json://{user}{HOST}:{self.server_port}/{path}"


class _Taking(BaseHTTPRequestHandler):
    server: Place

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.asked += 1
        self.server.go_on.wait(PATIENCE_S)
        if self.server.code == 200:
            self.server.taken.append(json.loads(body))
        self.send_response(self.server.code)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Nothing."""


@contextmanager
def place() -> Iterator[Place]:
    """A service that runs."""
    with Place() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield server
        finally:
            server.go_on.set()
            server.shutdown()
            thread.join()
