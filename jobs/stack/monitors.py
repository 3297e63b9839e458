"""What watches a stack: the exporter always, and where it is asked for Prometheus, Alertmanager and
the notifier, with the configuration of conf/prometheus and the addresses of this stack.
"""

import json
import shutil
import sys

from jobs import jvm
from jobs.stack.flink import Command
from jobs.stack.processes import HOST
from jobs.stack.state import Stack
from schemas.config_models import LiveConfig, MonitoringConfig
from udfs.errors import ConfigError

CONF = jvm.REPO / "conf" / "prometheus"
PROGRAMS = ("prometheus", "prometheus-alertmanager")
NAMES = ("exporter", "notifier", "prometheus", "alertmanager")
USUAL_NOTIFIER = "127.0.0.1:9194"  # as conf/prometheus/alertmanager.yml says it
RETENTION, RETENTION_SIZE = "30d", "2GB"
NICE = 5  # what watches waits for what works: a third of its share where processors are short


def commands(stack: Stack) -> list[Command]:
    """The processes; those of Prometheus with `stack.monitoring` alone."""
    found = [_python(stack, "exporter")]
    if stack.monitoring:
        found.append(_python(stack, "notifier", str(stack.ports.notifier)))
        found += [_prometheus(stack), _alertmanager(stack)]
    return found


def addresses(stack: Stack, live: LiveConfig, export: str) -> dict[str, str]:
    """Where each process that has metrics answers Prometheus, by its name.

    Of a stack outside the exporter alone, where it is known.
    """
    if stack.outside:
        known = stack.outside.exporter if export != "fluss" else None
        return {"exporter": f"{known}/metrics"} if known else {}
    ports = {"exporter": stack.ports.exporter} if export != "fluss" else {}
    ports["jobmanager"] = stack.ports.flink_metrics
    for number in range(live.task_managers):
        ports[f"taskmanager-{number}"] = stack.ports.flink_metrics + 1 + number
    if stack.monitoring:
        ports["prometheus"] = stack.ports.prometheus
        ports["alertmanager"] = stack.ports.alertmanager
    return {name: f"http://{HOST}:{port}/metrics" for name, port in ports.items()}


def check(monitoring: MonitoringConfig) -> None:
    """ConfigError where Prometheus is not installed, or would get nothing."""
    missing = [name for name in PROGRAMS if shutil.which(name) is None]
    if missing:
        raise ConfigError(
            f"--monitoring needs {' and '.join(missing)}, which {_is(missing)} not installed: "
            f"`apt install {' '.join(PROGRAMS)}`, or leave it out and let a Prometheus of your own "
            "scrape the addresses of `tradeflow status --json`"
        )
    if monitoring.export == "fluss":
        raise ConfigError(
            "monitoring.export is fluss, so nothing answers Prometheus: write metrics or both"
        )


def _is(names: list[str]) -> str:
    return "is" if len(names) == 1 else "are"


def configure(stack: Stack, live: LiveConfig, export: str) -> None:
    """Write what Prometheus and Alertmanager read into the stack's folder."""
    folder = stack.folder / "monitoring"
    shutil.copytree(CONF, folder, dirs_exist_ok=True)
    file = folder / "alertmanager.yml"
    ours = f"{HOST}:{stack.ports.notifier}"
    file.write_text(file.read_text("utf-8").replace(USUAL_NOTIFIER, ours), encoding="utf-8")
    found = {
        name: address.removeprefix("http://").removesuffix("/metrics")
        for name, address in addresses(stack, live, export).items()
    }
    of_flink = [found[name] for name in found if name.startswith(("jobmanager", "taskmanager"))]
    (folder / "targets").mkdir(exist_ok=True)
    for name, targets in (
        ("tradeflow", [found["exporter"]]),
        ("flink", of_flink),
        ("alertmanager", [f"{HOST}:{stack.ports.alertmanager}"]),
    ):
        text = json.dumps([{"targets": targets, "labels": {"run": stack.run_id}}])
        (folder / "targets" / f"{name}.json").write_text(text, encoding="utf-8")


def _python(stack: Stack, name: str, *arguments: str) -> Command:
    """A process of the code that the stack has copied."""
    words = (sys.executable, "-m", f"jobs.{name}", *arguments, str(stack.folder))
    return Command(name, words, stack.folder / "log" / f"{name}.out", stack.folder / "code", NICE)


def _prometheus(stack: Stack) -> Command:
    folder = stack.folder / "monitoring"
    words = (
        "prometheus",
        f"--config.file={folder / 'prometheus.yml'}",
        f"--storage.tsdb.path={folder / 'data'}",
        f"--storage.tsdb.retention.time={RETENTION}",
        f"--storage.tsdb.retention.size={RETENTION_SIZE}",
        f"--web.listen-address={HOST}:{stack.ports.prometheus}",
        "--log.level=warn",
    )
    return Command("prometheus", words, stack.folder / "log" / "prometheus.out", nice=NICE)


def _alertmanager(stack: Stack) -> Command:
    folder = stack.folder / "monitoring"
    words = (
        "prometheus-alertmanager",
        f"--config.file={folder / 'alertmanager.yml'}",
        f"--storage.path={folder / 'alerts'}",
        f"--web.listen-address={HOST}:{stack.ports.alertmanager}",
        "--cluster.listen-address=",
        "--log.level=warn",
    )
    return Command("alertmanager", words, stack.folder / "log" / "alertmanager.out", nice=NICE)
