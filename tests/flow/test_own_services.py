"""The policy ownServices through the whole operator: a namespace marks what its own Rollouts run."""

from typing import Any

import httpx
import pytest

from dora_operator.domain.fields import ObjectKey
from tests.support.fakes import FakeCluster, FakeDatadog, running_operator
from tests.support.levels import Rollout, play

VERSION = {"service": "checkout", "env": "prod", "version": "2"}
LABEL = "tags.datadoghq.com/service"


def reason(cluster: FakeCluster, name: str, namespace: str = "shop") -> str:
    """Return the reason of Ready."""
    return next(str(one["reason"]) for one in cluster.status(name, namespace)["conditions"] if one["type"] == "Ready")


def with_template(body: dict[str, Any], **metadata: Any) -> dict[str, Any]:
    """Return a Rollout with a pod template of its own."""
    return body | {"spec": body["spec"] | {"template": {"metadata": metadata}}}


@pytest.mark.parametrize(
    "metadata",
    [
        pytest.param({"labels": {LABEL: "checkout"}}, id="by label"),
        pytest.param(
            {"labels": {LABEL: "other"}, "annotations": {"dora-operator.io/service": "checkout"}}, id="by annotation"
        ),
    ],
)
async def test_refused_until_a_rollout_runs_the_service(
    cluster: FakeCluster, datadog: FakeDatadog, metadata: dict[str, Any]
) -> None:
    """Nothing is sent and a Warning Event names the fix; at once when the Rollout appears, it is sent."""
    cluster.apply("a", deployment=VERSION, changeFailure=True)
    cluster.apply("b", deployment=VERSION | {"service": "billing"}, changeFailure=True)
    rollout = Rollout()
    async with running_operator(cluster, datadog, own_services=True) as operator:
        operator.rollouts_listed()
        await operator.pass_time(1)
        assert reason(cluster, "a") == "NotAllowed"
        assert ("a", "NotAllowed") in cluster.warnings()
        assert not datadog.requests
        operator.rollout_event("ADDED", with_template(rollout.body(), **metadata))
        await operator.settle()
        assert (reason(cluster, "a"), reason(cluster, "b")) == ("Accepted", "NotAllowed")
        writes = cluster.status_writes
        operator.rollout_event("MODIFIED", with_template(rollout.body(), **metadata))
        await operator.pass_time(3600)
    assert len(datadog.requests) == 1
    assert cluster.status_writes == writes


async def test_a_rollout_of_another_namespace_does_not_count(cluster: FakeCluster, datadog: FakeDatadog) -> None:
    """Each namespace has its own Rollouts."""
    cluster.apply("a", namespace="other", deployment=VERSION, changeFailure=True)
    async with running_operator(cluster, datadog, own_services=True) as operator:
        operator.rollouts_listed(with_template(Rollout().body(), labels={LABEL: "checkout"}))
        await operator.pass_time(61)
    assert reason(cluster, "a", "other") == "NotAllowed"
    assert not datadog.requests


async def test_nothing_is_refused_before_the_rollouts_are_listed(cluster: FakeCluster, datadog: FakeDatadog) -> None:
    """The list of Rollouts is slower than that of DoraDeployments: no status is written until it is there."""
    cluster.apply("a", deployment=VERSION, changeFailure=True)
    async with running_operator(cluster, datadog, own_services=True) as operator:
        await operator.pass_time(30)
        assert cluster.status_writes == 0
        operator.rollouts_listed(with_template(Rollout().body(), labels={LABEL: "checkout"}))
        await operator.pass_time(1)
    assert reason(cluster, "a") == "Accepted"
    assert cluster.warnings() == []


async def test_named_namespaces_are_listed_one_by_one(cluster: FakeCluster, datadog: FakeDatadog) -> None:
    """A decision waits for the list of its own namespace alone."""
    cluster.apply("a", deployment=VERSION, changeFailure=True)
    async with running_operator(cluster, datadog, own_services=True, namespaces=("shop", "other")) as operator:
        operator.app.deployments.listed("shop", served=True)
        operator.app.deployments.listed("other", served=True)
        await operator.pass_time(2)
        assert cluster.status_writes == 0
        operator.app.rollouts.listed("shop", served=False)
        await operator.pass_time(2)
    assert reason(cluster, "a") == "NotAllowed"


async def test_the_replica_sets_of_a_rollout_count(cluster: FakeCluster, datadog: FakeDatadog) -> None:
    """With workloadRef a Rollout has no template: an abort is marked, and so is a resource written by hand."""
    cluster.apply("by-hand", deployment=VERSION | {"version": "0"}, changeFailure=True)
    async with running_operator(cluster, datadog, own_services=True) as operator:
        operator.rollouts_listed()
        await play(operator, Rollout(), "deploy h1 1", "promote", "deploy h2 2", "abort")
        (record,) = (key for key in cluster.objects if key.name != "by-hand")
        assert (reason(cluster, record.name), reason(cluster, "by-hand")) == ("Accepted", "Accepted")
    assert len(datadog.requests) == 2


async def test_a_deleted_rollout_takes_no_report_along(cluster: FakeCluster, datadog: FakeDatadog) -> None:
    """Datadog is down at the abort, the Rollout is deleted, the operator is started again: the mark arrives."""
    rollout = Rollout()
    datadog.answers = [httpx.Response(503)]
    async with running_operator(cluster, datadog, own_services=True) as operator:
        operator.rollouts_listed()
        await play(operator, rollout, "deploy h1 1", "promote", "deploy h2 2", "abort")
        operator.rollout_event("DELETED", rollout.body())
        await operator.settle()
        now = operator.now
    datadog.answers = [httpx.Response(202)]
    async with running_operator(cluster, datadog, own_services=True, now=now) as operator:
        operator.rollouts_listed()
        await operator.pass_time(60)
        cluster.apply("late", deployment=VERSION | {"version": "9"}, changeFailure=True)
        await operator.settle()
    (record,) = (key for key in cluster.objects if key.name != "late")
    assert reason(cluster, record.name) == "Accepted"
    assert reason(cluster, "late") == "NotAllowed"


async def test_keys_of_ones_own_are_not_restricted(cluster: FakeCluster, datadog: FakeDatadog) -> None:
    """With them it is sent before the Rollouts are listed; without them, later, the policy applies."""
    cluster.put_secret("mine", "my-api-key")
    cluster.apply("a", deployment=VERSION, changeFailure=True, credentialsSecretRef={"name": "mine"})
    async with running_operator(cluster, datadog, own_services=True) as operator:
        assert reason(cluster, "a") == "Accepted"
        operator.rollouts_listed()
        cluster.apply("a", deployment=VERSION, changeFailure=True)
        await operator.settle()
    assert reason(cluster, "a") == "NotAllowed"
    assert [request.headers["dd-api-key"] for request in datadog.requests] == ["my-api-key"]


async def test_the_annotation_of_a_namespace_replaces_the_policy(cluster: FakeCluster, datadog: FakeDatadog) -> None:
    """An administrator names a service that no Rollout runs."""
    cluster.annotations = {"dora-operator.io/allowed-services": "checkout"}
    cluster.apply("a", deployment=VERSION, changeFailure=True)
    async with running_operator(cluster, datadog, own_services=True) as operator:
        operator.rollouts_listed()
        await operator.pass_time(1)
    assert reason(cluster, "a") == "Accepted"


async def test_a_rollout_that_is_ignored_counts(cluster: FakeCluster, datadog: FakeDatadog) -> None:
    """It opts out of verdicts; what it runs is the namespace's own all the same."""
    body = with_template(Rollout().body(), labels={LABEL: "checkout"})
    body["metadata"]["annotations"]["dora-operator.io/ignore"] = "true"
    cluster.apply("a", deployment=VERSION, changeFailure=True)
    async with running_operator(cluster, datadog, own_services=True) as operator:
        operator.rollouts_listed()
        await operator.pass_time(1)
        operator.rollout_event("ADDED", body)
        await operator.settle()
    assert reason(cluster, "a") == "Accepted"


async def test_a_deleted_resource_is_not_remembered(cluster: FakeCluster, datadog: FakeDatadog) -> None:
    """A Rollout that appears later reconciles nothing that is gone."""
    cluster.apply("a", deployment=VERSION, changeFailure=True)
    async with running_operator(cluster, datadog, own_services=True) as operator:
        operator.rollouts_listed()
        await operator.pass_time(1)
        cluster.delete("a")
        await operator.settle()
        own_services = operator.app.deployment_reconciler.planner.own_services
        assert ObjectKey("shop", "a") not in own_services._refused["shop"]
