"""Write what containers and Kubernetes are told of Flink and of the jobs: `make deploy`.

One source: conf/flink/live, conf/live.yaml and the jobs' own list. What differs from a stack on one
machine stands here, and a test keeps the rendered files equal to it.
"""

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from jobs import jvm
from jobs.jar_patches import FLINK
from jobs.live.job_names import JOBS
from jobs.stack import flink

ROOT = Path(__file__).resolve().parents[1]
DEPLOY = ROOT / "deploy"
HEADER = "# Rendered by `make deploy` (scripts/render_deploy.py); a test keeps them equal.\n"

# The places of the image (deploy/docker/Dockerfile).
PYTHON = "/usr/local/bin/python3.11"
SITE = "/usr/local/lib/python3.11/site-packages"
CODE = "/opt/tradeflow"
STATE = "/var/lib/tradeflow"
CODE_CONFIG = "/etc/tradeflow"
METRICS_PORT = "9126"
# Listeners of one machine, and what knows its ZooKeeper.
LOCAL_PREFIXES = ("jobmanager.", "taskmanager.host", "taskmanager.bind-host", "rest.")
ZOOKEEPER_PREFIX = "high-availability."

COMPOSE_MEMORY = "2g"  # of the TaskManager that runs all jobs
JOB_MEMORY = "1536m"  # of one that runs a single job
JOBMANAGER_MEMORY = "1024m"
SLOTS = 8
BUCKET = "s3://tradeflow"


def shared(memory: str) -> dict[str, Any]:
    """Flink's settings that all containers have: those of a live stack but for its listeners."""
    fixed = yaml.safe_load((flink.CONF / "config.yaml").read_text(encoding="utf-8"))
    kept = {key: value for key, value in fixed.items() if not key.startswith(LOCAL_PREFIXES)}
    options = " ".join(jvm.java_options())
    return {
        **kept,
        **flink.memory_settings(flink.divide(memory)),
        "env.java.opts.all": f"{options} -Dtradeflow.metrics.host=0.0.0.0",
        "env.java.opts.taskmanager": "-XX:TieredStopAtLevel=4",
        "python.executable": PYTHON,
        "python.client.executable": PYTHON,
        "python.pythonpath": f"{CODE}:{CODE}/conf/flink/python:{SITE}",
    }


def compose_settings() -> dict[str, Any]:
    """Those of docker-compose.yml, whose processes know each other by the services' names."""
    return {
        **shared(COMPOSE_MEMORY),
        "jobmanager.rpc.address": "jobmanager",
        "jobmanager.bind-host": "0.0.0.0",
        "jobmanager.memory.process.size": JOBMANAGER_MEMORY,
        "taskmanager.bind-host": "0.0.0.0",
        "taskmanager.memory.process.size": COMPOSE_MEMORY,
        "taskmanager.numberOfTaskSlots": SLOTS,
        "rest.address": "jobmanager",
        "rest.bind-address": "0.0.0.0",
        "rest.port": 8081,
        "high-availability.zookeeper.quorum": "zookeeper:2181",
        "high-availability.cluster-id": "/tradeflow",
        "high-availability.storageDir": f"file://{STATE}/flink/ha",
        "execution.checkpointing.dir": f"file://{STATE}/flink/checkpoints",
        "execution.checkpointing.savepoint-dir": f"file://{STATE}/flink/savepoints",
    }


def kubernetes_settings() -> dict[str, str]:
    """Those of a FlinkDeployment: a cluster of one job, its state in object storage."""
    found = {k: v for k, v in shared(JOB_MEMORY).items() if not k.startswith(ZOOKEEPER_PREFIX)}
    found |= {
        "taskmanager.numberOfTaskSlots": 1,
        "metrics.reporter.prom.port": METRICS_PORT,
        "high-availability.type": "kubernetes",
        "high-availability.storageDir": f"{BUCKET}/ha",
        "execution.checkpointing.dir": f"{BUCKET}/checkpoints",
        "execution.checkpointing.savepoint-dir": f"{BUCKET}/savepoints",
        "s3.path.style.access": True,
        # One that was submitted before its tables were made.
        "kubernetes.operator.job.restart.failed": True,
    }
    return {key: text(value) for key, value in sorted(found.items())}


def text(value: object) -> str:
    """A setting as one text; lists as Flink splits them."""
    if isinstance(value, bool):
        return str(value).lower()
    return ";".join(map(str, value)) if isinstance(value, list) else str(value)


def version() -> str:
    """The project's."""
    found = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    return str(found["project"]["version"])


def deployment(job: str) -> dict[str, Any]:
    """The FlinkDeployment of a job."""
    script = f"{CODE}/jobs/{job.replace('-', '_')}.py"
    config = f"{CODE_CONFIG}/live.yaml"
    return {
        "apiVersion": "flink.apache.org/v1beta1",
        "kind": "FlinkDeployment",
        "metadata": {"name": job, "labels": labels(job)},
        "spec": {
            "image": f"tradeflow:{version()}",
            "imagePullPolicy": "IfNotPresent",
            "flinkVersion": f"v{'_'.join(FLINK.split('.')[:2])}",
            "serviceAccount": "flink",
            "flinkConfiguration": kubernetes_settings(),
            "podTemplate": pod(job),
            "jobManager": {"resource": {"memory": JOBMANAGER_MEMORY, "cpu": 0.5}, "replicas": 1},
            "taskManager": {"resource": {"memory": JOB_MEMORY, "cpu": 1}},
            "job": {
                "jarURI": f"local:///opt/flink/opt/flink-python-{FLINK}.jar",
                "entryClass": "org.apache.flink.client.python.PythonDriver",
                "args": ["-pyclientexec", PYTHON, "-py", script, "--config", config],
                "parallelism": 1,
                "upgradeMode": "savepoint",
                "state": "running",
            },
        },
    }


def labels(name: str) -> dict[str, str]:
    """What everything of the run has."""
    return {"app.kubernetes.io/part-of": "tradeflow", "app.kubernetes.io/name": name}


def pod(job: str) -> dict[str, Any]:
    """What Flink's pods get beside what Flink itself gives them."""
    annotations = {"prometheus.io/scrape": "true", "prometheus.io/port": METRICS_PORT}
    main = {
        "name": "flink-main-container",
        # Keys of the object storage, where the pods have no identity that it knows.
        "envFrom": [{"secretRef": {"name": "tradeflow-s3", "optional": True}}],
        "ports": [{"name": "metrics", "containerPort": int(METRICS_PORT)}],
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
        },
        "volumeMounts": [{"name": "config", "mountPath": CODE_CONFIG, "readOnly": True}],
    }
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"labels": labels(job), "annotations": annotations},
        "spec": {
            "securityContext": {
                "runAsNonRoot": True,
                "runAsUser": 10001,
                "fsGroup": 10001,
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "containers": [main],
            "volumes": [{"name": "config", "configMap": {"name": "tradeflow"}}],
        },
    }


def config_map() -> dict[str, Any]:
    """The run's configuration: conf/live.yaml, the store by address, the monitor's rows too."""
    live = (ROOT / "conf" / "live.yaml").read_text(encoding="utf-8")
    store = "store.kind: fluss\n"
    if live.count(store) != 1:
        raise ValueError(f"conf/live.yaml has not one line {store!r}")
    given = f"{store}store.addresses: coordinator:9123\nmonitoring.export: both\n"
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "tradeflow", "labels": labels("tradeflow")},
        "data": {"live.yaml": live.replace(store, given)},
    }


class Blocks(yaml.SafeDumper):
    """Texts of several lines as blocks, as people write them."""


def _represent(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
    style = "|" if "\n" in value else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style=style)


Blocks.add_representer(str, _represent)


def dumped(tree: Mapping[str, Any]) -> str:
    """YAML with the header."""
    return HEADER + yaml.dump(
        dict(tree), Dumper=Blocks, sort_keys=False, width=1000, allow_unicode=True
    )


def rendered() -> dict[Path, str]:
    """Every file and its text."""
    tradeflow = DEPLOY / "kubernetes" / "tradeflow"
    return {
        DEPLOY / "docker" / "flink" / "config.yaml": dumped(compose_settings()),
        tradeflow / "config.yaml": dumped(config_map()),
        **{tradeflow / "jobs" / f"{job}.yaml": dumped(deployment(job)) for job in JOBS},
    }


def main() -> None:
    """Write them."""
    for file, content in rendered().items():
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content, encoding="utf-8")


if __name__ == "__main__":
    main()
