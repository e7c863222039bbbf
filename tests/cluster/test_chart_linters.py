"""kube-score and kubeconform find nothing wrong with what the chart makes, by default and with ten sets of values."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from sandbox.cluster import LocalCluster
from sandbox.programs.build import ensure
from sandbox.programs.catalogue import CHART_LINTERS
from tests.support.chart import Helm, of_kind
from tests.support.chart_values import LINTED
from tests.support.openapi import LOCATION, write_schemas

pytestmark = pytest.mark.cluster

IGNORED = ("container-image-pull-policy",)
"""Always would need the registry at each start; the image's tag is a version, or a digest."""
WITH_ONE_REPLICA = ("deployment-replicas", "deployment-strategy")
"""One replica is enough, because the resources are the queue. Its old pod ends first: Recreate."""


@pytest.fixture(scope="session")
def schemas(chart_cluster: LocalCluster, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder with the schemas of the API server of these tests."""
    folder = tmp_path_factory.mktemp("schemas")
    write_schemas(chart_cluster, folder)
    return folder


def run(program: str, *arguments: str, objects: list[dict[str, Any]]) -> subprocess.CompletedProcess[str]:
    """Run a linter on objects from standard input."""
    command = [str(ensure(CHART_LINTERS)[program]), *arguments]
    text = yaml.safe_dump_all(objects)
    return subprocess.run(command, input=text, capture_output=True, text=True, check=False, timeout=60)


def score(objects: list[dict[str, Any]]) -> subprocess.CompletedProcess[str]:
    """Run kube-score. There is no CPU limit by intent: throttling would only delay reports."""
    (deployment,) = of_kind(objects, "Deployment")
    ignored = IGNORED if deployment["spec"]["replicas"] > 1 else IGNORED + WITH_ONE_REPLICA
    flags = [word for name in ignored for word in ("--ignore-test", name)]
    arguments = ("--ignore-container-cpu-limit", "--exit-one-on-warning", "--kubernetes-version", "v1.37", *flags)
    return run("kube-score", "score", "--output-format", "ci", *arguments, "-", objects=objects)


def conform(objects: list[dict[str, Any]], schemas: Path) -> subprocess.CompletedProcess[str]:
    """Run kubeconform with the schemas of the API server and without a network."""
    arguments = ("-strict", "-summary", "-schema-location", f"{schemas}/{LOCATION}")
    return run("kubeconform", *arguments, "-", objects=objects)


def test_there_are_ten_sets_and_the_default() -> None:
    """As the figures of the project say."""
    assert len(LINTED) == 11
    assert LINTED[0].values == ({},)


@pytest.mark.parametrize("values", LINTED)
def test_what_the_chart_makes_has_no_finding(helm: Helm, schemas: Path, values: dict[str, Any]) -> None:
    """No critical finding and no warning of kube-score, and every object is valid for kubeconform: with `helm test`."""
    objects = helm.template_with_tests(values, "restricted")
    found = score(objects)
    assert found.returncode == 0, found.stdout
    checked = conform(objects, schemas)
    assert checked.returncode == 0, checked.stdout
    assert f"Summary: {len(objects)} resources found" in checked.stdout
    assert "Skipped: 0" in checked.stdout


@pytest.mark.parametrize(
    ("values", "finding"),
    [
        pytest.param({"networkPolicy": {"enabled": False}}, "NetworkPolicy", id="no NetworkPolicy"),
        pytest.param(
            {"replicaCount": 2, "podDisruptionBudget": {"enabled": False}}, "PodDisruptionBudget", id="no PDB"
        ),
        pytest.param({"securityContext": {"privileged": True}}, "privileged", id="a privileged container"),
        pytest.param({"resources": {"limits": {"memory": None}}}, "Memory limit", id="no memory limit"),
    ],
)
def test_kube_score_sees_what_is_wrong(helm: Helm, values: dict[str, Any], finding: str) -> None:
    """Each of these values is allowed, and has a finding."""
    found = score(helm.template(values, "restricted"))
    assert found.returncode == 1
    assert finding in found.stdout


def test_kubeconform_sees_an_unknown_field(helm: Helm, schemas: Path) -> None:
    """In any depth, and a wrong type too."""
    (deployment,) = of_kind(helm.template({}), "Deployment")
    for path, value in (("replica", 1), ("replicas", "one")):
        wrong = json.loads(json.dumps(deployment))
        wrong["spec"][path] = value
        checked = conform([wrong], schemas)
        assert checked.returncode == 1
        assert path in checked.stdout
