"""From applied resources to requests and statuses, with the real adapter for Datadog on a scripted transport."""

import json
from datetime import datetime, timedelta
from typing import Any

import httpx
import pytest

from dora_operator.clients.kubernetes import Secret
from dora_operator.domain.fields import ObjectKey
from dora_operator.reconcile.deployment import DeploymentReconciler
from tests.support.builders import OTHER_ID
from tests.support.fakes import NAMESPACE, FakeCluster, FakeDatadog, running_operator

ACCEPTED = httpx.Response(202, text='{"data":null}')
BY_VERSION = {"service": "checkout", "env": "prod", "version": "1.5.0"}


def bodies(datadog: FakeDatadog) -> list[Any]:
    """Return the attributes of each request."""
    return [json.loads(request.content)["data"]["attributes"] for request in datadog.requests]


def ready(cluster: FakeCluster, name: str) -> tuple[str, str]:
    """Return status and reason of Ready."""
    condition = next(one for one in cluster.status(name)["conditions"] if one["type"] == "Ready")
    return condition["status"], condition["reason"]


async def test_one_request_and_one_write_per_change(cluster: FakeCluster, datadog: FakeDatadog) -> None:
    """Create and edit: each is one PATCH and one status write, and the echo of the write is nothing."""
    async with running_operator(cluster, datadog) as operator:
        cluster.apply("a", changeFailure=True)
        await operator.settle()
        assert (len(datadog.requests), cluster.status_writes) == (1, 1)
        cluster.apply("a", changeFailure=False)
        await operator.settle()
        assert (len(datadog.requests), cluster.status_writes) == (2, 2)
    assert bodies(datadog) == [{"change_failure": True}, {"change_failure": False}]
    assert ready(cluster, "a") == ("True", "Accepted")
    assert cluster.status("a")["observedGeneration"] == 2


async def test_settled_objects_cost_nothing_after_a_restart(cluster: FakeCluster, datadog: FakeDatadog) -> None:
    """A new operator on settled, stalled, held and refused resources sends and writes nothing."""
    datadog.answers = [ACCEPTED, httpx.Response(400, text='{"errors":["no"]}')]
    cluster.apply("accepted", changeFailure=True)
    cluster.apply("rejected", deployment={"id": OTHER_ID}, changeFailure=True)
    cluster.apply("held", deployment={"id": "aaaaaaaaaaa"}, changeFailure=True, suspend=True)
    cluster.apply("rival", changeFailure=False)
    async with running_operator(cluster, datadog):
        pass
    before = len(datadog.requests), cluster.status_writes
    assert before == (2, 4)
    async with running_operator(cluster, datadog) as operator:
        await operator.pass_time(86_400)
    assert (len(datadog.requests), cluster.status_writes) == before


async def test_what_is_due_goes_before_what_is_settled_after_a_start(
    cluster: FakeCluster, datadog: FakeDatadog, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Edited, made or left undone while no operator ran: reconciled before all that only has to be checked."""
    datadog.answers = [httpx.Response(503), ACCEPTED]
    cluster.apply("z-undone", deployment={"id": OTHER_ID}, changeFailure=True)
    async with running_operator(cluster, datadog) as operator:
        for number in range(20):
            cluster.apply(f"settled-{number}", deployment={"id": f"deployment-{number:02}"}, changeFailure=True)
        await operator.settle()
    cluster.apply("settled-19", deployment={"id": "deployment-19"}, changeFailure=False)
    cluster.apply("z-new", deployment={"id": "deployment-new"}, changeFailure=True)
    reconciled: list[str] = []
    reconcile = DeploymentReconciler.reconcile

    async def noted(reconciler: DeploymentReconciler, key: ObjectKey) -> datetime | None:
        reconciled.append(key.name)
        return await reconcile(reconciler, key)

    monkeypatch.setattr(DeploymentReconciler, "reconcile", noted)
    async with running_operator(cluster, datadog):
        assert set(reconciled[:3]) == {"settled-19", "z-new", "z-undone"}


async def test_an_api_server_that_is_behind(cluster: FakeCluster, datadog: FakeDatadog) -> None:
    """Of several API servers one may still show what was before: an old version re-opens nothing."""
    async with running_operator(cluster, datadog) as operator:
        cluster.apply("a", changeFailure=True)
        await operator.settle()
        old = cluster.objects[ObjectKey(NAMESPACE, "a")]
        cluster.apply("a", changeFailure=False)
        await operator.settle()
        operator.deployment_event("MODIFIED", old)
        operator.app.deployments.observed(old, listed=True)
        operator.app.deployments.listed(None, served=True)
        await operator.settle()
    assert bodies(datadog) == [{"change_failure": True}, {"change_failure": False}]


@pytest.mark.parametrize("restarted", [True, False], ids=["noticed by the next process", "noticed by the same"])
@pytest.mark.parametrize("hours", [2, 1, -1, -2, -48])
@pytest.mark.parametrize(
    ("failure", "reason"),
    [
        pytest.param(httpx.Response(503), "DatadogUnavailable", id="during an outage"),
        pytest.param(httpx.Response(404), "DeploymentNotFound", id="before the ingestion"),
        pytest.param(httpx.Response(429, headers={"X-RateLimit-Reset": "60"}), "RateLimited", id="in a rate limit"),
    ],
)
async def test_a_clock_that_jumps(
    cluster: FakeCluster, datadog: FakeDatadog, failure: httpx.Response, reason: str, hours: int, *, restarted: bool
) -> None:
    """What is settled is not sent again; what is pending is tried again soon, not when the old clock would have."""
    datadog.answers = [ACCEPTED, failure, ACCEPTED]
    async with running_operator(cluster, datadog) as operator:
        cluster.apply("settled", changeFailure=True)
        await operator.settle()
        cluster.apply("pending", deployment={"id": OTHER_ID}, changeFailure=True)
        await operator.settle()
        assert ready(cluster, "pending") == ("False", reason)
        operator.now += timedelta(hours=hours)
        if not restarted:
            operator.app.deployments.requeue(cluster.objects)  # the queue's clock is one that never jumps
            await operator.settle()
            await operator.pass_time(10)
    if restarted:
        async with running_operator(cluster, datadog, now=operator.now) as operator:
            cluster.apply("new", deployment={"id": "deployment-new"}, changeFailure=True)
            await operator.pass_time(10)
        assert ready(cluster, "new") == ("True", "Accepted")
    assert ready(cluster, "pending") == ("True", "Accepted")
    assert len(datadog.requests) == 3 + restarted


async def test_an_edit_that_changes_nothing_for_datadog(cluster: FakeCluster, datadog: FakeDatadog) -> None:
    """A new generation with the same desired state is noted in status and not sent."""
    async with running_operator(cluster, datadog) as operator:
        cluster.apply("a", changeFailure=True)
        await operator.settle()
        cluster.apply("a", changeFailure=True, suspend=False)
        await operator.settle()
    assert len(datadog.requests) == 1
    assert cluster.status("a")["observedGeneration"] == 2


async def test_suspend_holds_back_and_resume_sends(cluster: FakeCluster, datadog: FakeDatadog) -> None:
    """Nothing is sent while suspended."""
    async with running_operator(cluster, datadog) as operator:
        cluster.apply("a", changeFailure=True, suspend=True)
        await operator.settle()
        assert ready(cluster, "a") == ("False", "Suspended")
        assert datadog.requests == []
        cluster.apply("a", changeFailure=True)
        await operator.settle()
    assert len(datadog.requests) == 1


async def test_the_operators_dry_run(cluster: FakeCluster, datadog: FakeDatadog) -> None:
    """DORA_OPERATOR_DRY_RUN sends nothing for anybody and shows every request."""
    async with running_operator(cluster, datadog, dry_run=True) as operator:
        cluster.apply("a", changeFailure=True)
        await operator.settle()
    assert datadog.requests == []
    assert json.loads(cluster.status("a")["dryRun"]["body"])["data"]["attributes"] == {"change_failure": True}


async def test_a_deployment_ref_waits_for_its_object(cluster: FakeCluster, datadog: FakeDatadog) -> None:
    """The request is sent once, whole, when the referenced resource appears."""
    async with running_operator(cluster, datadog) as operator:
        cluster.apply("a", changeFailure=True, remediation={"type": "rollback", "doraDeploymentRef": {"name": "b"}})
        await operator.settle()
        assert ready(cluster, "a") == ("False", "WaitingForRemediation")
        cluster.apply("b", deployment={"id": OTHER_ID}, changeFailure=False)
        await operator.settle()
    assert {"change_failure": True, "remediation": {"type": "rollback", "id": OTHER_ID}} in bodies(datadog)
    assert len(datadog.requests) == 2
    assert ready(cluster, "a") == ("True", "Accepted")


async def test_a_conflict_ends_with_its_older_side(cluster: FakeCluster, datadog: FakeDatadog) -> None:
    """The newer resource is sent when the older one is deleted."""
    cluster.apply("newer", changeFailure=False)
    cluster.apply("older", age_seconds=60, changeFailure=True)
    async with running_operator(cluster, datadog) as operator:
        assert ready(cluster, "newer") == ("False", "Conflict")
        assert bodies(datadog) == [{"change_failure": True}]
        assert cluster.warnings() == [("newer", "Conflict")]
        cluster.delete("older")
        await operator.settle()
    assert bodies(datadog) == [{"change_failure": True}, {"change_failure": False}]


async def test_a_conflict_ends_when_the_older_side_agrees(cluster: FakeCluster, datadog: FakeDatadog) -> None:
    """After the older resource was edited, both are accepted."""
    cluster.apply("newer", changeFailure=False)
    cluster.apply("older", age_seconds=60, changeFailure=True)
    async with running_operator(cluster, datadog) as operator:
        cluster.apply("older", changeFailure=False)
        await operator.settle()
    assert ready(cluster, "newer") == ready(cluster, "older") == ("True", "Accepted")


async def test_a_conflict_ends_when_the_older_side_moves_to_another_site(
    cluster: FakeCluster, datadog: FakeDatadog
) -> None:
    """The claim that was left wakes those who waited for it."""
    cluster.apply("newer", changeFailure=False)
    cluster.apply("older", age_seconds=60, changeFailure=True)
    async with running_operator(cluster, datadog) as operator:
        cluster.apply("older", changeFailure=True, site="datadoghq.eu")
        await operator.settle()
    assert ready(cluster, "newer") == ("True", "Accepted")


async def test_the_site_chooses_the_host(cluster: FakeCluster, datadog: FakeDatadog) -> None:
    """Each site has its host; the default is the operator's."""
    cluster.apply("a", changeFailure=True)
    cluster.apply("b", changeFailure=True, site="us5.datadoghq.com")
    async with running_operator(cluster, datadog):
        pass
    assert [str(request.url) for request in datadog.requests] == [
        "https://api.datadoghq.com/api/v2/dora/deployments/43vkaZNgiso",
        "https://api.us5.datadoghq.com/api/v2/dora/deployments/43vkaZNgiso",
    ]


async def test_a_rate_limit_holds_its_account_alone(cluster: FakeCluster, datadog: FakeDatadog) -> None:
    """After 429 nothing is sent for that account before its reset; another account goes on."""
    datadog.answers = [httpx.Response(429, headers={"X-RateLimit-Reset": "30"}), ACCEPTED]
    cluster.put_secret("theirs", "their-api")
    async with running_operator(cluster, datadog) as operator:
        cluster.apply("a", changeFailure=True)
        await operator.settle()
        cluster.apply("b", deployment={"id": OTHER_ID}, changeFailure=True)
        cluster.apply("c", changeFailure=True, credentialsSecretRef={"name": "theirs"})
        await operator.settle()
        assert ready(cluster, "b") == ("False", "RateLimited")
        assert ready(cluster, "c") == ("True", "Accepted")
        await operator.pass_time(29.9)
        assert len(datadog.requests) == 2
        await operator.pass_time(2)
    assert len(datadog.requests) == 4
    assert ready(cluster, "a") == ready(cluster, "b") == ("True", "Accepted")


async def test_a_restart_keeps_the_pause(cluster: FakeCluster, datadog: FakeDatadog) -> None:
    """A new operator learns from the status that the account has to wait."""
    datadog.answers = [httpx.Response(429, headers={"X-RateLimit-Reset": "30"}), ACCEPTED]
    cluster.apply("a", changeFailure=True)
    async with running_operator(cluster, datadog):
        pass
    async with running_operator(cluster, datadog) as operator:
        cluster.apply("b", deployment={"id": OTHER_ID}, changeFailure=True)
        await operator.settle()
        assert len(datadog.requests) == 1
        await operator.pass_time(32)
    assert len(datadog.requests) == 3


async def test_an_outage_is_survived(cluster: FakeCluster, datadog: FakeDatadog) -> None:
    """Errors of every kind are tried again until Datadog accepts; each failure is one status write."""
    datadog.answers = [
        httpx.Response(503, text="upstream"),
        httpx.ConnectError("refused"),
        httpx.ReadTimeout("slow"),
        httpx.RemoteProtocolError("half a body"),
        ACCEPTED,
    ]
    async with running_operator(cluster, datadog) as operator:
        cluster.apply("a", changeFailure=True)
        reasons = []
        for _ in range(5):
            await operator.settle()
            reasons.append(ready(cluster, "a")[1])
            operator.now = operator.now.replace(hour=operator.now.hour + 1)
        await operator.settle()
    assert reasons == ["DatadogUnavailable", "DatadogUnreachable", "DatadogTimeout", "DatadogUnreachable", "Accepted"]
    assert cluster.status_writes == 5
    assert cluster.warnings() == []


async def test_a_missing_secret_that_appears(cluster: FakeCluster, datadog: FakeDatadog) -> None:
    """A Secret is used as soon as it exists."""
    async with running_operator(cluster, datadog) as operator:
        cluster.apply("a", changeFailure=True, credentialsSecretRef={"name": "mine"})
        await operator.settle()
        assert ready(cluster, "a") == ("False", "CredentialsNotFound")
        await operator.poll_secrets()
        assert datadog.requests == []
        cluster.put_secret("mine", "my-api")
        await operator.poll_secrets()
    assert [request.headers["DD-API-KEY"] for request in datadog.requests] == ["my-api"]


@pytest.mark.parametrize("status", [401, 403])
async def test_a_changed_secret_is_tried_at_once(status: int, cluster: FakeCluster, datadog: FakeDatadog) -> None:
    """After 401 or 403 the same Secret is not tried again soon; a changed one at once, also after a restart."""
    datadog.answers = [httpx.Response(status, text='{"errors":["Forbidden"]}')]
    cluster.put_secret("mine", "old-api")
    cluster.apply("a", changeFailure=True, credentialsSecretRef={"name": "mine"})
    async with running_operator(cluster, datadog) as operator:
        await operator.poll_secrets()
        await operator.pass_time(60)
        assert len(datadog.requests) == 1
        cluster.put_secret("mine", "bad-api")
        await operator.poll_secrets()
        assert len(datadog.requests) == 2
    datadog.answers = [ACCEPTED]
    cluster.put_secret("mine", "new-api")
    async with running_operator(cluster, datadog) as operator:
        await operator.poll_secrets()
    assert [request.headers["DD-API-KEY"] for request in datadog.requests] == ["old-api", "bad-api", "new-api"]
    assert ready(cluster, "a") == ("True", "Accepted")


async def test_without_keys_nothing_is_sent(cluster: FakeCluster, datadog: FakeDatadog) -> None:
    """An operator without keys says so in each resource that needs them."""
    cluster.apply("a", changeFailure=True)
    async with running_operator(cluster, datadog, api_key=None, app_key=None):
        pass
    assert ready(cluster, "a") == ("False", "CredentialsNotFound")
    assert datadog.requests == []


async def test_an_answer_is_not_forgotten_while_kubernetes_is_down(cluster: FakeCluster, datadog: FakeDatadog) -> None:
    """Datadog accepted, the status write failed: the write is repeated, the request is not."""
    async with running_operator(cluster, datadog) as operator:
        cluster.apply("a", changeFailure=True)
        cluster.down = True
        await operator.settle()
        await operator.pass_time(5)
        cluster.down = False
        await operator.pass_time(60)
    assert len(datadog.requests) == 1
    assert ready(cluster, "a") == ("True", "Accepted")


async def test_an_answer_is_not_forgotten_when_the_object_only_seems_gone(
    cluster: FakeCluster, datadog: FakeDatadog
) -> None:
    """404 for a status, as an API server says that has just started: only the watch shows what is really gone."""
    async with running_operator(cluster, datadog) as operator:
        cluster.apply("a", changeFailure=True)
        cluster.lost = True
        await operator.settle()
        await operator.pass_time(5)
        cluster.lost = False
        await operator.pass_time(60)
    assert len(datadog.requests) == 1
    assert ready(cluster, "a") == ("True", "Accepted")


async def test_a_label_that_changes_before_the_request_does_not_put_it_off(datadog: FakeDatadog) -> None:
    """A GitOps tool writes its tracking label while the keys are read: the same reconcile sends."""

    class Labelling(FakeCluster):
        async def read_secret(self, key: ObjectKey) -> Secret:
            self.annotate("a", tracking=str(self._versions))
            return await super().read_secret(key)

    cluster = Labelling()
    cluster.put_secret("mine", "api")
    async with running_operator(cluster, datadog) as operator:
        cluster.apply("a", changeFailure=True, credentialsSecretRef={"name": "mine"})
        await operator.reconcile(ObjectKey("shop", "a"))
        assert len(datadog.requests) == 1
    assert cluster.status("a")["accepted"] == {"changeFailure": True}


async def test_deleted_while_pending(cluster: FakeCluster, datadog: FakeDatadog) -> None:
    """A deleted resource is not sent any more, and nothing is left of it."""
    datadog.answers = [httpx.Response(503)]
    async with running_operator(cluster, datadog) as operator:
        cluster.apply("a", changeFailure=True)
        await operator.settle()
        cluster.delete("a")
        await operator.pass_time(3600)
        assert len(operator.app.deployment_workers.queue) == 0
    assert len(datadog.requests) == 1


async def test_deleted_and_created_again(cluster: FakeCluster, datadog: FakeDatadog) -> None:
    """A new object of the same name is a new resource with a status of its own."""
    async with running_operator(cluster, datadog) as operator:
        cluster.apply("a", changeFailure=True)
        await operator.settle()
        cluster.delete("a")
        cluster.apply("a", changeFailure=False)
        await operator.settle()
    assert bodies(datadog) == [{"change_failure": True}, {"change_failure": False}]
    assert cluster.status("a")["history"][0]["changeFailure"] is False
    assert len(cluster.status("a")["history"]) == 1


async def test_a_spec_that_cannot_be_understood(cluster: FakeCluster, datadog: FakeDatadog) -> None:
    """An object from a CRD without rules is stalled with a message; the others go on."""
    cluster.apply("broken", deployment={"id": 7})
    cluster.apply("whole", changeFailure=True)
    async with running_operator(cluster, datadog):
        pass
    assert ready(cluster, "broken") == ("False", "InvalidSpec")
    assert ready(cluster, "whole") == ("True", "Accepted")


async def test_a_status_that_cannot_be_understood(cluster: FakeCluster, datadog: FakeDatadog) -> None:
    """A status of another shape is replaced."""
    cluster.apply("a", changeFailure=True)
    next(iter(cluster.objects.values()))["status"] = {"conditions": "odd"}
    async with running_operator(cluster, datadog):
        pass
    assert ready(cluster, "a") == ("True", "Accepted")
