"""The compose file, the image and Kubernetes' manifests: valid, whole, with the project's values.

Neither a container engine nor a cluster is asked; docs/deploy.md says what was run where.
"""

import importlib.util
import json
import re
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate
import pytest
import yaml

from jobs import flink_home, fluss_server, jar_patches, jvm
from jobs.live import command
from jobs.live.job_names import JOBS
from jobs.stack import outside
from jobs.stack.state import Ports
from schemas.config import Config, load_config, parse_config
from scripts import render_deploy
from tests import compose

ROOT = Path(__file__).resolve().parents[2]
KUBERNETES = ROOT / "deploy" / "kubernetes"
VERSION = "1.34"  # of Kubernetes
DOCUMENTS = [
    (file.relative_to(KUBERNETES).as_posix(), document)
    for file in sorted(KUBERNETES.rglob("*.yaml"))
    for document in yaml.safe_load_all(file.read_text(encoding="utf-8"))
]
FILE = compose.load()
SERVICES: dict[str, Any] = FILE["services"]
OWN = {name: one for name, one in SERVICES.items() if one["image"].startswith("tradeflow:")}
FLINKS = [one for _, one in DOCUMENTS if one["kind"] == "FlinkDeployment"]
DOCKERFILE = (ROOT / "deploy" / "docker" / "Dockerfile").read_text(encoding="utf-8")
# What differs on purpose between a stack on one machine and containers.
DIFFERENT = ("jobmanager.", "taskmanager.host", "taskmanager.bind-host", "rest.")


def live_settings() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((jvm.CONF / "live" / "config.yaml").read_text())
    return found


def version_of(artifact: str) -> str:
    """The version that pom.xml names."""
    space = {"m": "http://maven.apache.org/POM/4.0.0"}
    for one in ET.parse(ROOT / "pom.xml").iterfind(".//*[m:artifactId]", space):
        if one.findtext("m:artifactId", namespaces=space) == artifact:
            return str(one.findtext("m:version", namespaces=space))
    raise AssertionError(artifact)


def words(tree: Any) -> Iterator[str]:
    """Every text of a tree."""
    if isinstance(tree, dict):
        for key, value in tree.items():
            yield str(key)
            yield from words(value)
    elif isinstance(tree, list):
        for one in tree:
            yield from words(one)
    else:
        yield str(tree)


def containers(document: Any) -> Iterator[Any]:
    """The containers of a document that has pods."""
    template = document.get("spec", {}).get("template")
    if template:
        yield from template["spec"].get("initContainers", [])
        yield from template["spec"]["containers"]


# ---- both --------------------------------------------------------------------------------------


def test_what_is_rendered_is_what_is_there() -> None:
    for file, text in render_deploy.rendered().items():
        assert file.read_text(encoding="utf-8") == text, f"{file}: `make deploy`"


@pytest.mark.parametrize(
    "settings", [render_deploy.compose_settings(), render_deploy.kubernetes_settings()],
    ids=["compose", "kubernetes"],
)  # fmt: skip
def test_flink_is_set_as_in_a_stack_on_one_machine(settings: dict[str, Any]) -> None:
    live = live_settings()
    same = {key for key in live if not key.startswith((*DIFFERENT, "high-availability."))}
    assert {key: render_deploy.text(settings[key]) for key in same} == {
        key: render_deploy.text(live[key]) for key in same
    }
    assert settings["python.execution-mode"] == "thread"
    assert settings["state.backend.type"] == "rocksdb"
    python = settings["python.executable"]
    assert f"FROM python:{python.removeprefix('/usr/local/bin/python')}." in DOCKERFILE


def test_secrets_are_named_and_not_told() -> None:
    for text in words([FILE, *(document for _, document in DOCUMENTS)]):
        assert not re.search(r"(?i)(password|secret|token|access.?key)\s*[=:]\s*\S", text), text
    for _, document in DOCUMENTS:
        assert document["kind"] != "Secret"
        for one in containers(document):
            for variable in one.get("env", []):
                assert "valueFrom" in variable


def test_images_are_pinned_to_the_versions_of_the_project() -> None:
    own = f"tradeflow:{render_deploy.version()}"
    images = {one["image"] for one in SERVICES.values()}
    images |= {one["image"] for _, document in DOCUMENTS for one in containers(document)}
    images |= {one["spec"]["image"] for one in FLINKS}
    assert own in images and f"-t {own} ." in DOCKERFILE
    bases = re.findall(r"^FROM (\S+)", DOCKERFILE, re.M)
    for image in [*images, *bases]:
        assert re.search(r":v?\d+\.\d+\.\d+", image), image
    assert {one["spec"]["flinkVersion"] for one in FLINKS} == {
        "v" + "_".join(jar_patches.FLINK.split(".")[:2])
    }
    assert version_of("flink-metrics-prometheus") == jar_patches.FLINK
    locked = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    assert f"apache-flink=={jar_patches.FLINK} " in locked


# ---- compose -----------------------------------------------------------------------------------


def test_the_compose_file_is_valid() -> None:
    spec = importlib.util.find_spec("check_jsonschema")
    assert spec is not None and spec.origin is not None
    file = Path(spec.origin).parent / "builtin_schemas" / "vendor" / "compose-spec.json"
    schema = json.loads(file.read_text(encoding="utf-8"))
    checker = jsonschema.validators.validator_for(schema)(schema)
    assert [(one.json_path, one.message) for one in checker.iter_errors(FILE)] == []


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_is_kept_alive_limited_and_asked(name: str) -> None:
    one = SERVICES[name]
    assert "mem_limit" in one and "no-new-privileges:true" in one["security_opt"]
    if name not in ("jobs", "tools"):  # they end
        assert one["restart"] == "unless-stopped" and one["healthcheck"]["test"][0] == "CMD"
    for port in one.get("ports", []):
        assert re.fullmatch(r"127\.0\.0\.1:\d+:\d+", port)
    for other, how in one.get("depends_on", {}).items():
        if how["condition"] == "service_healthy":
            assert "healthcheck" in SERVICES[other]
        # A service of a profile may be missing.
        has = set(SERVICES[other].get("profiles", []))
        assert has <= set(one.get("profiles", [])) or how.get("required") is False


@pytest.mark.parametrize("name", SERVICES)
def test_what_a_service_names_is_there(name: str) -> None:
    one = SERVICES[name]
    for volume in one.get("volumes", []):
        source, target, *_ = volume.split(":")
        if not source.startswith("./"):
            assert source in FILE["volumes"]
        elif source != "./data":  # a user's bars
            assert (ROOT / source).exists(), source
        if name in OWN and not source.startswith("./"):
            assert target in DOCKERFILE
    for text in words([one.get("command", []), one.get("environment", {})]):
        for host, port in re.findall(r"(?:^|[/'@ ])([a-z][\w-]*):(\d{4,5})\b", text):
            assert host == "localhost" or listens(host, port), text
    for secret in one.get("secrets", []):
        assert set(FILE["secrets"][secret]) == {"environment"}


def listens(service: str, port: str) -> bool:
    """Whether a service listens at this port: its health check or its command says so."""
    asked = " ".join(words(SERVICES[service]["healthcheck"]["test"]))
    return bool(re.search(rf"[/:]{port}\b", asked)) or f"prom.port={port}" in " ".join(
        words(SERVICES[service]["command"])
    )


def test_prometheus_is_told_of_every_target() -> None:
    folder = ROOT / "deploy" / "docker" / "targets"
    written = yaml.safe_load((ROOT / "conf" / "prometheus" / "prometheus.yml").read_text())
    jobs = {one["job_name"] for one in written["scrape_configs"]} | {"alertmanager"}
    assert {file.stem for file in folder.glob("*.json")} == jobs
    for file in folder.glob("*.json"):
        (group,) = json.loads(file.read_text())
        assert group["labels"] == {"run": live_config().run.id}
        for target in group["targets"]:
            host, port = target.split(":")
            assert listens(host, port)
    alerts = (ROOT / "conf" / "prometheus" / "alertmanager.yml").read_text()
    (port,) = re.findall(r"http://127\.0\.0\.1:(\d+)/alerts", alerts)
    assert SERVICES["notifier"]["command"][-1] == port
    assert SERVICES["notifier"]["network_mode"] == "service:alertmanager"


def test_grafana_has_the_data_source_of_a_stack_by_its_name_here() -> None:
    def source(file: Path) -> dict[str, Any]:
        (found,) = yaml.safe_load(file.read_text(encoding="utf-8"))["datasources"]
        return dict(found)

    usual = source(ROOT / "conf" / "grafana" / "provisioning" / "datasources" / "prometheus.yaml")
    here = source(ROOT / "deploy" / "docker" / "grafana" / "prometheus.yaml")
    assert here == usual | {"url": "http://prometheus:9090"}


def live_config(**changes: object) -> Config:
    return load_config(ROOT / "conf" / "live.yaml", changes)


def test_the_commands_are_understood(tmp_path: Path) -> None:
    for name in ("zookeeper", "coordinator", "tablet-0", "tablet-1", "tablet-2"):
        parsed = fluss_server.parse(OWN[name]["command"][3:])
        assert name.startswith(parsed.role)
        assert parsed.advertise.host in (name, "0.0.0.0")
        if parsed.role != "zookeeper":
            assert parsed.settings == {
                "default.replication.factor": "3",
                "log.replica.min-in-sync-replicas-number": "2",
            }
    numbers = [OWN[f"tablet-{n}"]["command"][5] for n in range(3)]
    assert numbers == ["0", "1", "2"]
    for script in ("jobmanager.sh", "taskmanager.sh"):
        assert (jvm.flink_home() / "bin" / script).is_file()
    settings = [w for w in OWN["jobs"]["command"] if w.startswith(("store.", "monitoring."))]
    given = dict(compose.DEFAULT.sub(r"\1", word).split("=", 1) for word in settings)
    config = live_config(**{key: yaml.safe_load(text) for key, text in given.items()})
    assert config.monitoring.export == "both"
    assert outside.store_of(config, None) == "coordinator:9123"
    assert str(Ports().exporter) in OWN["exporter"]["command"]


# ---- the image ---------------------------------------------------------------------------------


def test_the_image_has_what_it_copies_and_is_nobody() -> None:
    for sources in re.findall(r"^COPY (?!--from)(.+) \S+$", DOCKERFILE, re.M):
        for source in sources.split():
            assert (ROOT / source).exists(), source
    assert re.findall(r"^USER (.+)$", DOCKERFILE, re.M) == ["10001:10001"]
    entry = ROOT / "deploy" / "docker" / "docker-entrypoint.sh"
    assert entry.stat().st_mode & 0o111


def test_ignored_files_are_not_those_of_the_image() -> None:
    ignored = (ROOT / ".dockerignore").read_text(encoding="utf-8").split()
    assert {".git", ".env", ".venv", "data"} <= set(ignored)
    copied = {word for line in re.findall(r"^COPY (?!--from)(.+)$", DOCKERFILE, re.M)
              for word in line.split()[:-1]}  # fmt: skip
    assert not copied & set(ignored)


def test_flinks_folder_is_what_its_scripts_expect(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    jars = tmp_path / "jars"
    jars.mkdir()
    (jars / "flink-dist.jar").touch()
    monkeypatch.setattr(flink_home.flink, "library_folder", lambda: jars)
    flink_home.make(tmp_path / "flink")
    made = {
        path.relative_to(tmp_path / "flink").as_posix() for path in (tmp_path / "flink").rglob("*")
    }
    assert made >= {
        "bin/kubernetes-jobmanager.sh",
        "bin/kubernetes-taskmanager.sh",
        "bin/jobmanager.sh",
        "conf/config.yaml",
        "conf/log4j-console.properties",
        "lib/flink-dist.jar",
        f"opt/flink-python-{jar_patches.FLINK}.jar",
    }


# ---- Kubernetes --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "document"),
    [one for one in DOCUMENTS if not one[1]["apiVersion"].startswith(("flink.", "kustomize."))],
    ids=lambda one: one if isinstance(one, str) else one["kind"],
)
def test_a_manifest_is_valid(name: str, document: dict[str, Any]) -> None:
    kubernetes_validate.validate(document, VERSION, strict=True)


@pytest.mark.parametrize("document", FLINKS, ids=lambda one: one["metadata"]["name"])
def test_flinks_pods_are_valid(document: dict[str, Any]) -> None:
    kubernetes_validate.validate(document["spec"]["podTemplate"], VERSION, strict=True)


def test_every_manifest_is_listed() -> None:
    for folder in ("fluss", "tradeflow"):
        listed = yaml.safe_load((KUBERNETES / folder / "kustomization.yaml").read_text())
        there = {
            file.relative_to(KUBERNETES / folder).as_posix()
            for file in (KUBERNETES / folder).rglob("*.yaml")
        }
        assert {*listed["resources"], "kustomization.yaml"} == there
    assert [one["metadata"]["name"] for one in FLINKS] == sorted(JOBS)


def test_each_job_is_submitted_as_its_own_command_reads_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (text,) = (one["data"]["live.yaml"] for _, one in DOCUMENTS if one["kind"] == "ConfigMap")
    file = tmp_path / "live.yaml"
    file.write_text(text)
    seen: list[tuple[str, str, str]] = []

    def submit(name: str, config: Config, options: Any) -> str:
        at = command.address(config, options)
        seen.append((name, at.address, at.database))
        return ""

    monkeypatch.setattr(command, "submit", submit)
    for document in FLINKS:
        job = document["spec"]["job"]
        assert (job["upgradeMode"], job["entryClass"].rpartition(".")[2]) == (
            "savepoint",
            "PythonDriver",
        )
        _, _, option, script, *rest = job["args"]
        assert option == "-py" and (ROOT / script.removeprefix("/opt/tradeflow/")).is_file()
        name = document["metadata"]["name"]
        assert (
            command.main(name, [word.replace("/etc/tradeflow", str(tmp_path)) for word in rest])
            == 0
        )
    assert seen == [(name, "fluss://coordinator:9123", "live") for name in sorted(JOBS)]
    assert parse_config(yaml.safe_load(text)).monitoring.export == "both"


def test_what_the_manifests_name_is_there() -> None:
    services = {
        one["metadata"]["name"]: {port["port"] for port in one["spec"]["ports"]}
        for _, one in DOCUMENTS
        if one["kind"] == "Service"
    }
    services |= {f"{job}-rest": {8081} for job in JOBS}  # Flink makes them
    claims = {
        one["metadata"]["name"] for _, one in DOCUMENTS if one["kind"] == "PersistentVolumeClaim"
    }
    for name, document in DOCUMENTS:
        for one in containers(document):
            assert "memory" in one["resources"]["limits"], name
            assert one["securityContext"]["allowPrivilegeEscalation"] is False
            for word in one["args"]:
                for host, port in re.findall(r"(?:^|//|\.)([a-z][\w-]*):(\d{4})$", word):
                    assert int(port) in services[host], word
        if document.get("spec", {}).get("template"):
            pod = document["spec"]["template"]["spec"]
            assert pod["securityContext"]["runAsNonRoot"] is True
            volumes = {volume["name"] for volume in pod.get("volumes", [])}
            volumes |= {
                claim["metadata"]["name"]
                for claim in document["spec"].get("volumeClaimTemplates", [])
            }
            used = {m["name"] for one in containers(document) for m in one["volumeMounts"]}
            assert used == volumes, name
            named = {v["persistentVolumeClaim"]["claimName"] for v in pod.get("volumes", [])
                     if "persistentVolumeClaim" in v}  # fmt: skip
            assert named <= claims


def test_the_exporter_asks_every_jobs_jobmanager() -> None:
    asked = {
        name: {word for word in one["args"] if word.startswith("http://") and "-rest:" in word}
        for name, document in DOCUMENTS
        for one in containers(document)
        if "attach" in one["args"]
    }
    wanted = {f"http://{job}-rest:8081" for job in JOBS}
    assert asked == {"tradeflow/exporter.yaml": wanted, "tradeflow/tables.yaml": wanted}


def test_metrics_are_scraped_where_they_are() -> None:
    scrape = yaml.safe_load((KUBERNETES / "prometheus-scrape.yml").read_text())
    usual = yaml.safe_load((ROOT / "conf" / "prometheus" / "prometheus.yml").read_text())
    honors = {one["job_name"]: one.get("honor_labels") for one in usual["scrape_configs"]}
    assert {one["job_name"]: one.get("honor_labels") for one in scrape["scrape_configs"]} == honors
    port = FLINKS[0]["spec"]["flinkConfiguration"]["metrics.reporter.prom.port"]
    annotations = FLINKS[0]["spec"]["podTemplate"]["metadata"]["annotations"]
    assert annotations["prometheus.io/port"] == port == render_deploy.METRICS_PORT
