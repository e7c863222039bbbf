"""The real cluster of a test run: started once, with the CRD, and taken away at the end."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from sandbox.cluster import LocalCluster
from sandbox.datadog import StandIn
from sandbox.programs.build import ensure_manifests
from sandbox.programs.catalogue import MONITORING
from sandbox.running import OperatorProcess, running_operator
from tests.support.chart import CHART, Helm
from tests.support.explained import assert_explained
from tests.support.rollouts import AppNamespace, namespace_of
from tests.support.scheduling import Scheduler

CRDS = Path(__file__).parents[2] / "crds"


@pytest.fixture(scope="session")
def shared_cluster() -> Iterator[LocalCluster]:
    """Return a real API server that knows DoraDeployment, started once."""
    with LocalCluster.start() as running:
        running.kubectl("apply", "-f", str(CRDS))
        running.kubectl("wait", "--for=condition=Established", "-f", str(CRDS), "--timeout=30s")
        yield running


@pytest.fixture(scope="module")
def cluster(shared_cluster: LocalCluster) -> Iterator[LocalCluster]:
    """Return that API server, and leave no DoraDeployment behind: the next module's operator would send it again."""
    yield shared_cluster
    _delete_all(shared_cluster, "dora-operator.io/v1alpha1", "doradeployments")


@pytest.fixture(scope="session")
def shared_rollouts_cluster() -> Iterator[LocalCluster]:
    """Return a cluster where the real Argo Rollouts controller runs, and pods become ready, started once."""
    with LocalCluster.start(with_rollouts=True) as running:
        running.kubectl("apply", "-f", str(CRDS))
        running.kubectl("wait", "--for=condition=Established", "-f", str(CRDS), "--timeout=30s")
        yield running


@pytest.fixture(scope="module")
def rollouts_cluster(shared_rollouts_cluster: LocalCluster) -> Iterator[LocalCluster]:
    """Return that cluster, and leave nothing behind that the next module's operator would report again."""
    yield shared_rollouts_cluster
    _delete_all(shared_rollouts_cluster, "argoproj.io/v1alpha1", "rollouts")
    _delete_all(shared_rollouts_cluster, "dora-operator.io/v1alpha1", "doradeployments")


@pytest.fixture(scope="module")
def rollouts_datadog() -> Iterator[StandIn]:
    """Return a stand-in for Datadog."""
    with StandIn() as running:
        yield running


@pytest.fixture(scope="module")
def rollouts_operator(rollouts_cluster: LocalCluster, rollouts_datadog: StandIn) -> Iterator[OperatorProcess]:
    """Return an operator that watches every Rollout but those labelled `separate`, and links what follows an abort."""
    variables = {"DORA_OPERATOR_ROLLOUT_SELECTOR": "!separate", "DORA_OPERATOR_ABORT_RECOVERY": "NextVersion"}
    variables |= {"DORA_OPERATOR_LOG_LEVEL": "DEBUG"}
    with running_operator(rollouts_cluster, rollouts_datadog.url, **variables) as running:
        yield running


@pytest.fixture
def app_namespace(
    rollouts_cluster: LocalCluster,
    rollouts_datadog: StandIn,
    rollouts_operator: OperatorProcess,
    request: pytest.FixtureRequest,
) -> Iterator[AppNamespace]:
    """Return a fresh namespace on the cluster where Rollouts live, watched by the operator."""
    app_namespace = AppNamespace(rollouts_cluster, rollouts_datadog, namespace_of(request))
    rollouts_cluster.kubectl("create", "namespace", app_namespace.namespace)
    yield app_namespace
    assert rollouts_operator.process.popen.poll() is None, rollouts_operator.log()
    assert_explained(rollouts_cluster, app_namespace.namespace)


@pytest.fixture(scope="session")
def chart_cluster() -> Iterator[LocalCluster]:
    """Return a cluster with Argo Rollouts and pods that become ready, where nothing of ours is installed."""
    with LocalCluster.start(with_rollouts=True) as running, Scheduler(running):
        for folder in ensure_manifests(MONITORING).values():
            running.kubectl("apply", "--server-side", "-R", "-f", str(folder))
        running.kubectl("create", "namespace", "restricted")
        levels = [f"pod-security.kubernetes.io/{mode}=restricted" for mode in ("enforce", "warn")]
        running.kubectl("label", "namespace", "restricted", *levels)
        yield running


@pytest.fixture(scope="session")
def helm(chart_cluster: LocalCluster, tmp_path_factory: pytest.TempPathFactory) -> Helm:
    """Return Helm on that cluster."""
    return Helm(chart_cluster, tmp_path_factory.mktemp("helm"))


@pytest.fixture
def chart_copy(tmp_path: Path) -> Path:
    """Return a copy of the chart that a test may change."""
    shutil.copytree(CHART, tmp_path / "dora-operator")
    return tmp_path / "dora-operator"


def _delete_all(cluster: LocalCluster, version: str, plural: str) -> None:
    """Delete by one request for each namespace: kubectl would take minutes for a thousand, one by one."""
    resource = f"{plural}.{version.partition('/')[0]}"
    found = cluster.kubectl("get", resource, "--all-namespaces", "-o", "jsonpath={.items[*].metadata.namespace}")
    for namespace in sorted(set(found.split())):
        cluster.kubectl("delete", "--raw", f"/apis/{version}/namespaces/{namespace}/{plural}")
