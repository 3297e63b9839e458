"""docker-compose.yml as values, and its services as processes of this machine, without containers.

What a service is started with comes from the file: command, order, health check. Changed are the
names of hosts (all are loopback here), ports (free ones), and the folders of the image and of its
volumes. It shows that the commands work together, and nothing of images and networks.
"""

import os
import re
import signal
import subprocess
import sys
import sysconfig
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from jobs import flink_home, jvm
from jobs.cluster import end, free_port

ROOT = Path(__file__).resolve().parents[1]
FILE = ROOT / "docker-compose.yml"
HOST = "127.0.0.1"
PATIENCE_S = 300.0
END_S = 20.0
DEFAULT = re.compile(r"\$\{\w+:-([^}]*)\}")
PROGRAMS = ("jobmanager.sh", "taskmanager.sh")


def load() -> dict[str, Any]:
    """The file, its anchors resolved."""
    found: dict[str, Any] = yaml.safe_load(FILE.read_text(encoding="utf-8"))
    return found


class Processes:
    """Services of the file as processes, below a folder."""

    def __init__(self, folder: Path, config: Path) -> None:
        self._folder, self._config = folder, config
        self._services: dict[str, Any] = load()["services"]
        self._ports: dict[tuple[str, str], int] = {}
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        self.state = folder / "state"
        (folder / "remote").mkdir(parents=True)
        self._make_flink()

    def _make_flink(self) -> None:
        home = self._folder / "flink"
        flink_home.make(home)
        conf = home / "conf" / "config.yaml"
        conf.write_text(self.local("jobmanager", conf.read_text("utf-8")), encoding="utf-8")

    def port(self, service: str, port: str) -> int:
        """The port here of a service's own."""
        return self._ports.setdefault((service, port), free_port())

    def local(self, service: str, text: str) -> str:
        """A text of the file as it is on this machine."""
        text = DEFAULT.sub(r"\1", text)
        text = text.replace(
            "/usr/local/lib/python3.11/site-packages", sysconfig.get_path("purelib")
        )
        for place, here in (
            ("/usr/local/bin/python3.11", sys.executable),
            ("/opt/tradeflow", str(ROOT)),
            ("/var/lib/tradeflow", str(self.state)),
            ("/var/lib/fluss", str(self._folder / service)),
            ("/etc/tradeflow/live.yaml", str(self._config)),
        ):
            text = text.replace(place, here)
        names = "|".join(sorted(self._services, key=len, reverse=True))
        text = re.sub(
            rf"(?<![\w-])({names}):(\d+)", lambda m: f"{HOST}:{self.port(m[1], m[2])}", text
        )
        # What the service itself listens at.
        text = re.sub(
            r"(?:0\.0\.0\.0:|127\.0\.0\.1/|prom\.port=|rest\.port: )(\d+)",
            lambda m: f"{m[0][: -len(m[1])]}{self.port(service, m[1])}",
            text,
        )
        text = re.sub(rf"((?:address|host)[=:] ?)({names})(?![\w-])", rf"\g<1>{HOST}", text)
        return text.replace("0.0.0.0", HOST)

    def command(self, service: str, words: Sequence[str]) -> list[str]:
        """The words of a command of the service."""
        found = [
            str(self.port(service, word)) if before == "--port" else self.local(service, word)
            for before, word in zip(["", *words], words, strict=False)
        ]
        programs = {
            "python": [sys.executable],
            "tradeflow": [sys.executable, "-m", "cli.main"],
            **{name: [str(self._folder / "flink" / "bin" / name)] for name in PROGRAMS},
        }
        return [*programs.get(found[0], found[:1]), *found[1:]]

    def variables(self) -> Mapping[str, str]:
        """The environment of the image."""
        return {
            **os.environ,
            **jvm.ALLOCATION,
            "JAVA_HOME": str(jvm.find_java().parents[1]),
            "FLINK_CONF_DIR": str(self._folder / "flink" / "conf"),
            "FLINK_LOG_DIR": str(self._folder),
            "FLINK_PID_DIR": str(self._folder),
            "PYTHONUNBUFFERED": "1",
        }

    def run(self, service: str, *words: str) -> subprocess.CompletedProcess[str]:
        """`docker compose run --rm SERVICE WORDS`."""
        return subprocess.run(
            self.command(service, words or self._services[service]["command"]),
            env=self.variables(), cwd=ROOT, capture_output=True, text=True, check=False,
            timeout=PATIENCE_S,
        )  # fmt: skip

    def start(self, service: str) -> None:
        """Start a service; it is not waited for."""
        own = self._folder / service
        own.mkdir(exist_ok=True)
        if "remote:/var/lib/fluss/remote" in self._services[service].get("volumes", []):
            (own / "remote").unlink(missing_ok=True)
            (own / "remote").symlink_to(self._folder / "remote")
        with (self._folder / f"{service}.out").open("ab") as output:
            self._running[service] = subprocess.Popen(
                self.command(service, self._services[service]["command"]),
                env=self.variables(), cwd=ROOT, stdin=subprocess.DEVNULL, stdout=output,
                stderr=output, process_group=0,
            )  # fmt: skip

    def wait(self, service: str) -> None:
        """Return once the health check of the service passes."""
        test = self._services[service]["healthcheck"]["test"]
        assert test[0] == "CMD"
        words = [self.local(service, word) for word in test[1:]]
        deadline = time.monotonic() + PATIENCE_S
        while subprocess.run(words, capture_output=True, check=False).returncode:
            code = self._running[service].poll()
            assert code is None, f"{service} ended with {code}: {self.log(service)}"
            assert time.monotonic() < deadline, f"{service} is not up: {self.log(service)}"
            time.sleep(0.2)

    def up(self, *services: str) -> None:
        """Start services and what they depend on, in their order, as far as it is named here."""
        done: set[str] = set()
        while len(done) < len(services):
            ready = [
                one
                for one in services
                if one not in done
                and set(self._services[one].get("depends_on", {})) & set(services) <= done
            ]
            for one in ready:
                self.start(one)
            for one in ready:
                self.wait(one)
            done |= set(ready)

    def kill(self, service: str) -> None:
        """kill -9."""
        process = self._running[service]
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()

    def log(self, service: str) -> str:
        """The end of what it said."""
        return (self._folder / f"{service}.out").read_text("utf-8", errors="replace")[-3000:]

    def end(self) -> None:
        """End everything, the last one first."""
        for process in reversed(self._running.values()):
            end(process, END_S)
