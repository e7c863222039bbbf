"""`kubectl dora mark` and `clear` on the real API server, with an operator that sends what they write."""

from collections.abc import Iterator

import pytest
import yaml

from sandbox.cluster import LocalCluster
from sandbox.datadog import StandIn
from sandbox.running import running_operator
from tests.support.kubectl_dora import dora
from tests.support.rollouts import namespace_of

pytestmark = pytest.mark.cluster
CHECKOUT = ("--service", "checkout", "--env", "prod", "--version", "1.5.0")
NAME = "checkout-prod-1.5.0"


@pytest.fixture
def namespace(cluster: LocalCluster, request: pytest.FixtureRequest) -> Iterator[str]:
    """Return a namespace that is empty, and leave no DoraDeployment in it: they are for one deployment."""
    name = namespace_of(request)
    cluster.kubectl("create", "namespace", name)
    yield name
    cluster.kubectl("delete", "--raw", f"/apis/dora-operator.io/v1alpha1/namespaces/{name}/doradeployments")


def test_marking_and_clearing_reach_datadog(cluster: LocalCluster, namespace: str) -> None:
    """One resource, created and then changed; --wait ends when Datadog has answered."""
    with StandIn() as datadog, running_operator(cluster, datadog.url):
        marked = dora(cluster, "mark", *CHECKOUT, "--rolled-back-to", "1.4.0", "-n", namespace, "--wait")
        assert marked.code == 0, marked.err
        assert f"{NAME} created" in marked.out
        assert "Accepted: Datadog accepted: change failure, rollback to version 1.4.0" in marked.out
        cleared = dora(cluster, "clear", *CHECKOUT, "-n", namespace, "--wait")
        assert f"{NAME} changed" in cleared.out, cleared.err
        again = dora(cluster, "clear", *CHECKOUT, "-n", namespace, "--wait")
        assert f"{NAME} unchanged" in again.out, again.err
        sent = [request.document()["data"]["attributes"] for request in datadog.requests()]
        tags = {"service": "checkout", "env": "prod", "version": "1.5.0"}
        link = {"remediation": {"type": "rollback", "version": "1.4.0"}}
        assert sent == [tags | {"change_failure": True} | link, tags | {"change_failure": False}]


def test_dry_runs_and_manifests_write_nothing(cluster: LocalCluster, namespace: str) -> None:
    """-o yaml prints a manifest that the API server takes."""
    for dry_run in ("client", "server"):
        found = dora(cluster, "mark", *CHECKOUT, "-n", namespace, f"--dry-run={dry_run}")
        assert found.out == f"doradeployment.dora-operator.io/{NAME} created ({dry_run} dry run)\n", found.err
    printed = dora(cluster, "mark", *CHECKOUT, "-n", namespace, "-o", "yaml").out
    assert yaml.safe_load(printed)["spec"]["changeFailure"] is True
    cluster.kubectl("apply", "--dry-run=server", "-f", "-", input=printed)
    assert cluster.kubectl("get", "dora", "-n", namespace, "-o", "name") == ""


def test_without_an_operator_waiting_ends(cluster: LocalCluster, namespace: str) -> None:
    """Exit code 5, with what to do."""
    found = dora(cluster, "mark", *CHECKOUT, "-n", namespace, "--wait", "--timeout", "1")
    assert found.code == 5
    assert "the operator has not acted on it yet" in found.err
    assert f"kubectl dora explain {NAME}" in found.err


def test_the_rules_of_the_crd_are_shown(cluster: LocalCluster, namespace: str) -> None:
    """What a rule of the CRD refuses is an error with the rule's own fix, before anything is sent."""
    found = dora(cluster, "mark", *CHECKOUT, "--rolled-back-to", "1.5.0", "-n", namespace)
    assert found.code == 2
    assert "a deployment cannot be its own remediation" in found.err
