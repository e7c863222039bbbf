"""The real cluster of a test run: started once, with the CRD, and taken away at the end."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from sandbox.cluster import LocalCluster
from sandbox.datadog import StandIn
from sandbox.running import OperatorProcess, running_operator
from tests.support.rollouts import Street, namespace_of

CRDS = Path(__file__).parents[2] / "crds"


@pytest.fixture(scope="session")
def cluster() -> Iterator[LocalCluster]:
    """Return a real API server that knows DoraDeployment."""
    with LocalCluster.start() as running:
        running.kubectl("apply", "-f", str(CRDS))
        running.kubectl("wait", "--for=condition=Established", "crd/doradeployments.dora-operator.io", "--timeout=30s")
        yield running


@pytest.fixture(scope="session")
def rollouts_cluster() -> Iterator[LocalCluster]:
    """Return a cluster where the real Argo Rollouts controller runs, and pods become ready."""
    with LocalCluster.start(with_rollouts=True) as running:
        running.kubectl("apply", "-f", str(CRDS))
        running.kubectl("wait", "--for=condition=Established", "crd/doradeployments.dora-operator.io", "--timeout=30s")
        yield running


@pytest.fixture(scope="module")
def rollouts_datadog() -> Iterator[StandIn]:
    """Return a stand-in for Datadog."""
    with StandIn() as running:
        yield running


@pytest.fixture(scope="module")
def rollouts_operator(rollouts_cluster: LocalCluster, rollouts_datadog: StandIn) -> Iterator[OperatorProcess]:
    """Return an operator that watches every Rollout, except those labelled `separate`."""
    variables = {"DORA_OPERATOR_ROLLOUT_SELECTOR": "!separate", "DORA_OPERATOR_LOG_LEVEL": "DEBUG"}
    with running_operator(rollouts_cluster, rollouts_datadog.url, **variables) as running:
        yield running


@pytest.fixture
def street(
    rollouts_cluster: LocalCluster,
    rollouts_datadog: StandIn,
    rollouts_operator: OperatorProcess,
    request: pytest.FixtureRequest,
) -> Iterator[Street]:
    """Return a fresh namespace on the cluster where Rollouts live, watched by the operator."""
    street = Street(rollouts_cluster, rollouts_datadog, namespace_of(request))
    rollouts_cluster.kubectl("create", "namespace", street.namespace)
    yield street
    assert rollouts_operator.process.popen.poll() is None, rollouts_operator.log()
