"""Resources that cannot send: they are no rivals, and what they wait for is polled rarely and a few at once."""

import asyncio
from typing import Any

import httpx
import pytest

from dora_operator.clients.kubernetes import Secret
from dora_operator.domain.fields import ObjectKey
from tests.support.fakes import FakeCluster, FakeDatadog, Operator, running_operator

REFUSED = httpx.Response(400, json={"errors": ["no such field"]})
THEIRS = {"credentialsSecretRef": {"name": "keys"}}


class Answering(FakeDatadog):
    """Answers requests with the other account's keys in its own way."""

    theirs: httpx.Response | None = None

    async def __call__(self, request: httpx.Request) -> httpx.Response:
        """Answer one request."""
        if self.theirs is None or request.headers["dd-api-key"] != "their-api":
            return await super().__call__(request)
        self.requests.append(request)
        return self.theirs


def older_and_mine(cluster: FakeCluster) -> None:
    """Apply two resources of two namespaces that want opposite things of one deployment, by its id."""
    cluster.apply("older", namespace="other", age_seconds=60, changeFailure=False, **THEIRS)
    cluster.apply("mine", changeFailure=True)


def reason(cluster: FakeCluster, name: str, namespace: str = "shop") -> str:
    """Return the reason of Ready."""
    return next(one["reason"] for one in cluster.status(name, namespace)["conditions"] if one["type"] == "Ready")


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        pytest.param(None, "CredentialsNotFound", id="its Secret does not exist"),
        pytest.param(httpx.Response(401), "Unauthorized", id="its keys are unknown"),
        pytest.param(httpx.Response(403), "Forbidden", id="its keys lack the permission"),
        pytest.param(REFUSED, "RequestRejected", id="its request is refused"),
    ],
)
async def test_what_cannot_send_holds_up_nobody(
    answer: httpx.Response | None, expected: str, cluster: FakeCluster
) -> None:
    """An older resource with keys that do not work blocks no mark of another namespace."""
    datadog = Answering()
    datadog.theirs = answer
    if answer is not None:
        cluster.put_secret("keys", "their-api", "other")
    older_and_mine(cluster)
    async with running_operator(cluster, datadog) as operator:
        await operator.pass_time(60)
    assert (reason(cluster, "older", "other"), reason(cluster, "mine")) == (expected, "Accepted")


async def test_what_cannot_send_any_more_holds_up_nobody(cluster: FakeCluster) -> None:
    """The older one waited for an outage to end, and its conflict was real; then its Secret is deleted."""
    datadog = Answering()
    datadog.theirs = httpx.Response(503)
    cluster.put_secret("keys", "their-api", "other")
    older_and_mine(cluster)
    async with running_operator(cluster, datadog) as operator:
        assert (reason(cluster, "older", "other"), reason(cluster, "mine")) == ("DatadogUnavailable", "Conflict")
        del cluster.secrets[ObjectKey("other", "keys")]
        await operator.pass_time(60)
    assert (reason(cluster, "older", "other"), reason(cluster, "mine")) == ("CredentialsNotFound", "Accepted")


class Counting(FakeCluster):
    """Counts the reads of Secrets, which take a moment."""

    now, most, count = 0, 0, 0

    async def read_secret(self, key: ObjectKey) -> Secret:
        """Read one."""
        self.count += 1
        self.now += 1
        self.most = max(self.most, self.now)
        try:
            await asyncio.sleep(0)
            return await super().read_secret(key)
        finally:
            self.now -= 1


async def poll(operator: Operator, seconds: int) -> None:
    """Poll as often as the operator does."""
    for _ in range(seconds // 2):
        await operator.app.poll_secrets()
        await operator.pass_time(2)


async def test_missing_secrets_are_polled_with_a_backoff_and_a_few_at_once(datadog: FakeDatadog) -> None:
    """100 of them, for ten minutes. One that appears is found within half a minute."""
    cluster = Counting()
    for number in range(100):
        mine: dict[str, Any] = {"deployment": {"id": f"deployment-{number}"}, "changeFailure": True}
        cluster.apply(f"a-{number}", **mine, credentialsSecretRef={"name": f"keys-{number}"})
    async with running_operator(cluster, datadog) as operator:
        cluster.count = cluster.most = 0
        await poll(operator, 600)
        assert cluster.count <= 100 * 30
        assert cluster.most <= 4
        assert not datadog.requests
        cluster.put_secret("keys-7", "api")
        await poll(operator, 32)
    assert len(datadog.requests) == 1


async def test_a_secret_that_is_touched_with_equal_keys_costs_no_request(cluster: FakeCluster) -> None:
    """External Secrets writes it each minute; its keys lack the permission."""
    datadog = FakeDatadog(answers=[httpx.Response(403)])
    cluster.put_secret("keys", "api")
    cluster.apply("a", changeFailure=True, **THEIRS)
    async with running_operator(cluster, datadog) as operator:
        for _ in range(4):
            cluster.put_secret("keys", "api")
            await poll(operator, 30)
        assert len(datadog.requests) == 1
        cluster.put_secret("keys", "another-api")
        await poll(operator, 32)
    assert len(datadog.requests) == 2
