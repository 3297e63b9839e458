"""The FlinkDeployments of deploy/kubernetes against the operator's schema, out of `make jars`."""

import functools
import zipfile
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from jobs.jar_patches import JARS
from jobs.live.job_names import JOBS

ROOT = Path(__file__).resolve().parents[2]
MEMBER = "META-INF/fabric8/flinkdeployments.flink.apache.org-v1.yml"
# Maven has the operator's 1.10 as its newest; its 1.13 was the first to know Flink 2.2. The fields
# that are used here are the same in both.
NEWER = "v2_2"


@functools.cache
def schema() -> dict[str, Any]:
    """Half a megabyte of YAML: read once, and by the C library."""
    (jar,) = (JARS / "schemas").glob("flink-kubernetes-operator-api-*.jar")
    with zipfile.ZipFile(jar) as archive:
        definition = yaml.load(archive.read(MEMBER), Loader=yaml.CSafeLoader)
    (version,) = (one for one in definition["spec"]["versions"] if one["name"] == "v1beta1")
    found: dict[str, Any] = version["schema"]["openAPIV3Schema"]
    found["properties"]["spec"]["properties"]["flinkVersion"]["enum"].append(NEWER)
    own = dict.fromkeys(("apiVersion", "kind", "metadata"), True)
    return strict({**found, "properties": {**found["properties"], **own}})


def strict(node: Any) -> Any:
    """The schema with unknown fields refused, as the server does for `kubectl apply`."""
    if not isinstance(node, dict):
        return node
    made = {key: strict(value) for key, value in node.items()}
    if isinstance(made.get("properties"), dict) and "type" in made:
        made.setdefault("additionalProperties", False)
    if made.pop("x-kubernetes-int-or-string", False):
        made.pop("type", None)
    return made


@pytest.mark.parametrize("job", JOBS)
def test_a_deployment_is_as_the_operator_reads_it(job: str) -> None:
    file = ROOT / "deploy" / "kubernetes" / "tradeflow" / "jobs" / f"{job}.yaml"
    given = yaml.safe_load(file.read_text(encoding="utf-8"))
    checker = jsonschema.Draft202012Validator(schema())
    assert [(one.json_path, one.message[:200]) for one in checker.iter_errors(given)] == []
    given["spec"]["job"]["upgradeMod"] = "savepoint"
    assert not checker.is_valid(given)
