"""The kustomize base: what the chart makes by default, for those who do not use Helm."""

from typing import Any

import pytest
import yaml

from sandbox.cluster import LocalCluster
from tests.support.chart import Helm
from tools.chart import kustomize

pytestmark = pytest.mark.cluster


def keyed(objects: list[dict[str, Any]]) -> dict[tuple[str, str], dict[str, Any]]:
    """Return objects by kind and name."""
    return {(one["kind"], one["metadata"]["name"]): one for one in objects}


def test_it_is_up_to_date() -> None:
    """`make config` would change nothing."""
    for path, text in kustomize.files().items():
        assert path.read_text(encoding="utf-8") == text, f"{path.name} is out of date: run `make config` and commit it"


def test_it_is_what_the_chart_makes(chart_cluster: LocalCluster, helm: Helm) -> None:
    """`kubectl kustomize` and `helm template` agree, but for the namespace and Helm's own labels."""
    built = list(yaml.safe_load_all(chart_cluster.kubectl("kustomize", str(kustomize.CONFIG))))
    found = keyed([one for one in built if one["kind"] != "Namespace"])
    made = keyed(
        [
            kustomize._without_helm(one)
            for one in helm.template({"datadog": {"existingSecret": "datadog-keys"}}, "dora-operator")
        ]
    )
    assert found == made
    assert len(built) == len(made) + 1


def test_the_api_server_takes_it(chart_cluster: LocalCluster) -> None:
    """Every object, as kubectl applies it."""
    chart_cluster.kubectl("create", "-f", str(kustomize.CONFIG / "namespace.yaml"))
    arguments = ("apply", "-k", str(kustomize.CONFIG), "--server-side", "--force-conflicts", "--dry-run=server")
    result = chart_cluster.run_kubectl(*arguments)
    chart_cluster.kubectl("delete", "namespace", "dora-operator", "--wait=false")
    assert result.returncode == 0, result.stderr
    assert "Warning" not in result.stderr
