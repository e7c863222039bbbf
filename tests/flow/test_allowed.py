"""The allow-list through the whole operator: refused, allowed later, and no lever against others."""

import asyncio
import json
from datetime import timedelta

import pytest

from dora_operator.domain.fields import ObjectKey, to_api
from tests.support.builders import BY_VERSION, NOW, verdict
from tests.support.fakes import FakeCluster, FakeDatadog, running_operator
from tests.support.levels import Rollout, play
from tests.support.reading_back import wait
from tests.support.storing import StoringDatadog


async def test_refused_until_the_namespace_allows_it() -> None:
    """Nothing is sent, a Warning Event says why; when the annotation is extended, it is sent within a minute."""
    cluster, datadog = FakeCluster(annotations={"dora-operator.io/allowed-services": "cart"}), FakeDatadog()
    cluster.apply("a", deployment=BY_VERSION, changeFailure=True)
    async with running_operator(cluster, datadog) as operator:
        assert cluster.warnings() == [("a", "NotAllowed")]
        assert not datadog.requests
        cluster.annotations = {"dora-operator.io/allowed-services": "cart,checkout"}
        await operator.pass_time(61)
    assert len(datadog.requests) == 1


async def test_keys_of_ones_own_are_not_judged() -> None:
    """A namespace with a Secret of its own may mark what its keys may mark."""
    cluster, datadog = FakeCluster(annotations={"dora-operator.io/allowed-services": "cart"}), FakeDatadog()
    cluster.put_secret("mine", "my-api-key")
    cluster.apply("a", changeFailure=True, credentialsSecretRef={"name": "mine"})
    async with running_operator(cluster, datadog):
        pass
    assert len(datadog.requests) == 1


def limited(cluster: FakeCluster, lists: dict[str, str]) -> None:
    """Let these lists be those of one namespace alone."""

    async def read(namespace: str) -> dict[str, str]:
        return lists if namespace == "other" else {}

    cluster.read_annotations = read  # type: ignore[method-assign]


async def test_who_is_not_allowed_holds_up_nobody() -> None:
    """An older resource of another namespace that may not mark the service is no rival."""
    cluster, datadog = FakeCluster(), FakeDatadog()
    limited(cluster, {"dora-operator.io/allowed-services": "nothing"})
    cluster.apply("older", namespace="other", age_seconds=60, deployment=BY_VERSION, changeFailure=False)
    cluster.apply("mine", deployment=BY_VERSION, changeFailure=True)
    async with running_operator(cluster, datadog):
        pass
    assert cluster.status("mine")["accepted"] == {"changeFailure": True}
    assert len(datadog.requests) == 1


async def test_a_resource_that_is_not_allowed_any_more_is_no_rival() -> None:
    """The list comes when the older one was sent, and the newer is in conflict with it: now the newer is sent."""
    cluster, datadog = FakeCluster(), FakeDatadog()
    lists: dict[str, str] = {}
    limited(cluster, lists)
    cluster.apply("older", namespace="other", age_seconds=60, deployment=BY_VERSION, changeFailure=False)
    cluster.apply("mine", deployment=BY_VERSION, changeFailure=True)
    async with running_operator(cluster, datadog) as operator:
        assert reason(cluster, "mine") == "Conflict"
        lists["dora-operator.io/allowed-services"] = "nothing"
        await operator.pass_time(11)
        operator.app.deployments.requeue([ObjectKey("other", "older")])
        await operator.settle()
    assert reason(cluster, "older", "other") == "NotAllowed"
    assert reason(cluster, "mine") == "Accepted"


async def test_what_was_marked_over_is_marked_again_when_it_is_allowed_again() -> None:
    """The older is allowed again, and reconciled, during the request of the newer: the newer's 202 proves that."""
    cluster, datadog = FakeCluster(), FakeDatadog()
    lists: dict[str, str] = {}
    limited(cluster, lists)
    older, newer = ObjectKey("other", "older"), ObjectKey("shop", "newer")
    cluster.apply("older", namespace="other", age_seconds=60, deployment=BY_VERSION, changeFailure=True)
    async with running_operator(cluster, datadog) as operator:
        serve = operator.reconcile
        lists["dora-operator.io/allowed-services"] = "nothing"
        operator.now += timedelta(seconds=11)
        await serve(older)
        assert reason(cluster, "older", "other") == "NotAllowed"
        datadog.release = asyncio.Event()
        cluster.apply("newer", deployment=BY_VERSION, changeFailure=False)
        sending = asyncio.create_task(serve(newer))
        while len(datadog.requests) < 2:  # noqa: ASYNC110 - the condition is in the fake
            await asyncio.sleep(0)
        lists.clear()
        operator.now += timedelta(seconds=11)
        await serve(older)
        datadog.release.set()
        await sending
        for key in (newer, older, newer):
            await serve(key)
        await operator.settle()
    said = [json.loads(each.content)["data"]["attributes"]["change_failure"] for each in datadog.requests]
    assert said[-1] is True
    assert reason(cluster, "older", "other") == "Accepted"
    assert reason(cluster, "newer") == "Conflict"
    assert "accepted" not in cluster.status("newer")


def reason(cluster: FakeCluster, name: str, namespace: str = "shop") -> str:
    """Return the reason of Ready."""
    return next(one["reason"] for one in cluster.status(name, namespace)["conditions"] if one["type"] == "Ready")


@pytest.mark.parametrize("where", ["settings", "annotation"])
async def test_no_event_is_posted_for_another_service(where: str) -> None:
    """The pod template of a tenant's Rollout names another team's service, its DoraDeployment an allowed one."""
    lists = {"dora-operator.io/allowed-services": "checkout"}
    cluster, datadog = FakeCluster(annotations=lists if where == "annotation" else {}), StoringDatadog()
    settings = {"allowed_services": ("checkout",)} if where == "settings" else {}
    mine = {"service": "checkout", "env": "prod", "version": "2"}
    cluster.apply("mine", deployment=mine, sourceRef={"name": "payments"}, onMissing="Create")
    async with running_operator(cluster, datadog, read_back=True, **settings) as operator:
        datadog.operator = operator
        await play(operator, Rollout(name="payments"), "deploy h1 1", "promote", "deploy h2 2", "abort")
        await wait(operator, 2 * 86_400, 300)
    assert "event" not in datadog.calls()
    assert b"payments" not in b"".join(request.content for request in datadog.requests if request.method == "PATCH")
    assert reason(cluster, "mine") == "NotAllowed"


async def test_no_event_is_posted_for_another_service_without_a_policy() -> None:
    """An event is about the deployment that spec names, or there is none."""
    cluster, datadog = FakeCluster(), StoringDatadog()
    mine = {"service": "checkout", "env": "prod", "version": "2"}
    cluster.apply("mine", deployment=mine, sourceRef={"name": "payments"}, onMissing="Create")
    async with running_operator(cluster, datadog, read_back=True) as operator:
        datadog.operator = operator
        await play(operator, Rollout(name="payments"), "deploy h1 1", "promote", "deploy h2 2", "abort")
        await wait(operator, 2 * 86_400, 300)
    assert "event" not in datadog.calls()


@pytest.mark.parametrize("is_labelled", [False, True], ids=["a user's resource", "one with the label of records"])
async def test_a_forged_verdict_has_no_effect(*, is_labelled: bool) -> None:
    """A verdict is read from the status alone, which only the operator may write."""
    cluster, datadog = FakeCluster(), StoringDatadog()
    forged = verdict(version="2", time=NOW, started_time=NOW - timedelta(minutes=9))
    mine = {"service": "checkout", "env": "prod", "version": "2"}
    cluster.apply("mine", deployment=mine, sourceRef={"name": "checkout"}, onMissing="Create")
    cluster.annotate("mine", verdict=json.dumps(to_api(forged)))
    key = ObjectKey("shop", "mine")
    labels = {"dora-operator.io/rollout": "checkout"} if is_labelled else {}
    cluster.objects[key]["metadata"]["labels"] = labels
    async with running_operator(cluster, datadog, read_back=True) as operator:
        datadog.operator = operator
        await wait(operator, 2 * 86_400, 600)
    assert datadog.requests == []
    assert "source" not in cluster.status("mine")
