"""What Git wrote stays as Git wrote it, and Argo CD and Flux see the truth: a live operator on a real API server."""

import json
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import yaml

from sandbox.cluster import LocalCluster
from sandbox.datadog import StandIn
from sandbox.datadog.faults import Match, Respond
from sandbox.running import OperatorProcess, running_operator
from tests.support.gitops import argo_health, flux_health, kstatus
from tests.support.shop import ID, Shop, eventually

pytestmark = pytest.mark.cluster

GIT = "--field-manager=argocd-controller"
OPERATOR = "dora-operator"
BY_VERSION = {"service": "checkout", "env": "prod", "version": "1.5.0"}
REFUSED = "43vkaZNgis0"


@dataclass(frozen=True, slots=True)
class Story:
    """A spec in Git, where it leads, and what the tools show then."""

    spec: dict[str, Any]
    reason: str
    argo: str
    flux: str
    kstatus: str


STORIES = [
    pytest.param(
        Story({"deployment": BY_VERSION, "changeFailure": True}, "Accepted", "Healthy", "Current", "Current"),
        id="accepted",
    ),
    pytest.param(
        Story(
            {"deployment": {"id": REFUSED}, "changeFailure": True}, "RequestRejected", "Degraded", "Failed", "Failed"
        ),
        id="refused by Datadog",
    ),
    pytest.param(
        Story(
            {"deployment": {"id": ID}, "changeFailure": True, "suspend": True},
            "Suspended",
            "Suspended",
            "Current",
            "InProgress",
        ),
        id="suspended",
    ),
    pytest.param(
        Story(
            {"deployment": {"id": ID}, "changeFailure": True, "dryRun": True},
            "DryRun",
            "Healthy",
            "Current",
            "InProgress",
        ),
        id="dry run",
    ),
    pytest.param(
        Story(
            {"deployment": BY_VERSION, "sourceRef": {"name": "checkout"}},
            "WaitingForRollout",
            "Healthy",
            "Current",
            "InProgress",
        ),
        id="following a Rollout that does nothing",
    ),
    pytest.param(
        Story(
            {"deployment": {"id": ID}, "changeFailure": True, "credentialsSecretRef": {"name": "later"}},
            "CredentialsNotFound",
            "Progressing",
            "InProgress",
            "InProgress",
        ),
        id="a Secret that is not there yet",
    ),
]


@pytest.fixture(scope="module")
def datadog() -> Iterator[StandIn]:
    """Return a stand-in for Datadog that refuses one deployment."""
    with StandIn() as running:
        running.fault(Respond(status=400, body={"errors": ["no"]}), match=Match(path_regex=REFUSED))
        yield running


@pytest.fixture(scope="module")
def operator(cluster: LocalCluster, datadog: StandIn) -> Iterator[OperatorProcess]:
    """Return a running operator."""
    with running_operator(cluster, datadog.url) as running:
        yield running


@pytest.fixture
def shop(cluster: LocalCluster, operator: OperatorProcess, request: pytest.FixtureRequest) -> Iterator[Shop]:
    """Return a fresh namespace."""
    name = "git-" + "".join(c if c.isalnum() else "-" for c in request.node.name.lower())[-40:].strip("-")
    cluster.kubectl("create", "namespace", name)
    yield Shop(cluster, name)
    cluster.kubectl("-n", name, "delete", "dora", "--all")
    assert operator.process.popen.poll() is None, operator.log()


def manifest(spec: dict[str, Any]) -> str:
    """Return a file as it stands in Git."""
    metadata = {"name": "checkout", "labels": {"team": "red"}, "annotations": {"argocd.argoproj.io/tracking-id": "x"}}
    body = {"apiVersion": "dora-operator.io/v1alpha1", "kind": "DoraDeployment", "metadata": metadata, "spec": spec}
    return yaml.safe_dump(body)


def commit(shop: Shop, file: str) -> dict[str, Any]:
    """Apply a file as Argo CD does with ServerSideApply, and return the object as it was at that moment."""
    arguments = ("apply", "--server-side", GIT, "-o", "json", "-f", "-")
    found: dict[str, Any] = json.loads(shop.kubectl(*arguments, input=file))
    return found


@pytest.mark.parametrize("story", STORIES)
def test_what_git_wrote_stays_and_its_health_is_true(shop: Shop, story: Story) -> None:
    """Only status is the operator's; a server-side diff is empty; the health is right before and after."""
    file = manifest(story.spec)
    before = commit(shop, file)
    assert before["status"] == {"observedGeneration": -1}
    assert (argo_health(before)[0], flux_health(before), kstatus(before)) == ("Progressing", *["InProgress"] * 2)

    shop.wait("checkout", story.reason)
    after = json.loads(shop.kubectl("get", "dora", "checkout", "--show-managed-fields", "-o", "json"))
    assert (argo_health(after)[0], flux_health(after), kstatus(after)) == (story.argo, story.flux, story.kstatus)
    assert after["spec"] == before["spec"]
    for name in ("labels", "annotations", "finalizers", "ownerReferences", "generation"):
        assert after["metadata"].get(name) == before["metadata"].get(name), name
    owned = {(one["manager"], one.get("subresource", "")): set(one["fieldsV1"]) for one in _managers(after)}
    assert owned == {("argocd-controller", ""): {"f:metadata", "f:spec"}, (OPERATOR, "status"): {"f:status"}}

    diff = shop.cluster.run_kubectl("-n", shop.namespace, "diff", "--server-side", GIT, "-f", "-", input=file)
    assert (diff.returncode, diff.stdout) == (0, ""), diff.stdout + diff.stderr


def test_kubectl_wait_waits_for_the_edit(shop: Shop, operator: OperatorProcess) -> None:
    """Ready of an older spec does not count: with an operator that sleeps, kubectl wait does not return."""
    wait = ("-n", shop.namespace, "wait", "--for=condition=Ready", "dora/checkout")
    spec = {"deployment": BY_VERSION, "changeFailure": True}
    commit(shop, manifest(spec))
    shop.cluster.kubectl(*wait, "--timeout=20s")
    operator.process.signal(signal.SIGSTOP)
    try:
        body = commit(shop, manifest(spec | {"changeFailure": False}))
        assert [one["status"] for one in body["status"]["conditions"] if one["type"] == "Ready"] == ["True"]
        result = shop.cluster.run_kubectl(*wait, "--timeout=1s")
        assert "timed out" in result.stderr
        assert (argo_health(body)[0], flux_health(body), kstatus(body)) == ("Progressing", *["InProgress"] * 2)
    finally:
        operator.process.signal(signal.SIGCONT)
    shop.cluster.kubectl(*wait, "--timeout=20s")


def test_a_mark_that_is_pruned_goes_at_once_and_changes_nothing(shop: Shop, datadog: StandIn) -> None:
    """There is no finalizer to wait for, and Datadog hears nothing of it."""
    commit(shop, manifest({"deployment": BY_VERSION, "changeFailure": True}))
    shop.wait("checkout", "Accepted")
    asked = len(datadog.requests())
    shop.kubectl("delete", "dora", "checkout", "--timeout=10s")
    commit(shop, manifest({"deployment": {"id": ID}, "changeFailure": True, "suspend": True}))
    shop.wait("checkout", "Suspended")
    eventually(lambda: len(datadog.requests()) == asked, lambda: f"{datadog.requests()[asked:]}")


def _managers(body: dict[str, Any]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = body["metadata"]["managedFields"]
    return found
