"""The page on upgrading names the versions that are tested, and the project's home is the same everywhere."""

import re

import pytest
import yaml

from sandbox.programs.catalogue import KUBERNETES_VERSION, MODULE_FOLDER, OLDEST_KUBERNETES_VERSION
from tests.support.pages import ROOT

PAGE = (ROOT / "docs" / "upgrading.md").read_text(encoding="utf-8")
CHART = yaml.safe_load((ROOT / "charts" / "dora-operator" / "Chart.yaml").read_text(encoding="utf-8"))


def required(module: str, package: str) -> str:
    """Return the version of a Go module's requirement."""
    text = (MODULE_FOLDER / module / "go.mod").read_text(encoding="utf-8")
    (version,) = set(re.findall(rf"(?m)^(?:\t|require ){re.escape(package)} (v\S+)", text))
    return str(version)


@pytest.mark.parametrize(
    ("tool", "version"),
    [
        pytest.param("Kubernetes, newest", required(".", "k8s.io/kubernetes"), id="the newest Kubernetes"),
        pytest.param("Kubernetes, oldest", required("oldest", "k8s.io/kubernetes"), id="the oldest Kubernetes"),
        pytest.param("Argo Rollouts", required(".", "github.com/argoproj/argo-rollouts"), id="Argo Rollouts"),
        pytest.param(
            "Prometheus rules", f"promtool {required('promtool', 'github.com/prometheus/prometheus')}", id="promtool"
        ),
    ],
)
def test_the_page_names_the_version_that_is_tested(tool: str, version: str) -> None:
    """In the table, with what tests it."""
    assert re.search(rf"(?m)^\| {tool} \| {re.escape(version)} \| `make (test|compat)`", PAGE)


def test_the_programs_report_the_versions_of_their_modules() -> None:
    """Which the linker sets."""
    assert required(".", "k8s.io/kubernetes") == KUBERNETES_VERSION
    assert required("oldest", "k8s.io/kubernetes") == OLDEST_KUBERNETES_VERSION


def test_the_chart_refuses_what_the_page_says() -> None:
    """The least version of Kubernetes."""
    (least,) = re.findall(r"refuses Kubernetes below (1\.\d+)", PAGE)
    assert CHART["kubeVersion"] == f">={least}.0-0"


def test_the_pages_know_where_the_project_is() -> None:
    """SECURITY.md and the page link to the home that the chart declares."""
    for text in (PAGE, (ROOT / "SECURITY.md").read_text(encoding="utf-8")):
        found = set(re.findall(r"https://github\.com/dora-operator/[\w-]+", text))
        assert found == {CHART["home"]}
