"""A deletion that waits for finalizers, as Argo CD's pruning does, is no edit: nothing is sent or written."""

import httpx
import pytest

from dora_operator.domain.fields import ObjectKey
from tests.support.fakes import FakeCluster, FakeDatadog, running_operator

ANSWERS = [
    pytest.param(202, id="accepted before"),
    pytest.param(400, id="refused before"),
    pytest.param(503, id="not accepted yet"),
]


@pytest.mark.parametrize("status", ANSWERS)
async def test_a_resource_under_deletion_is_left_alone(cluster: FakeCluster, datadog: FakeDatadog, status: int) -> None:
    """Its generation grows with the deletion; an hour later, and after a restart, it is left alone still."""
    datadog.answers = [httpx.Response(status)]
    cluster.apply("a", changeFailure=True)
    async with running_operator(cluster, datadog) as operator:
        before = len(datadog.requests), cluster.status_writes
        cluster.begin_deletion("a")
        await operator.settle()
        await operator.pass_time(3600)
    async with running_operator(cluster, datadog):
        pass
    assert (len(datadog.requests), cluster.status_writes) == before
    assert before[0] == 1


async def test_a_resource_that_is_created_again_is_sent(cluster: FakeCluster, datadog: FakeDatadog) -> None:
    """The name is free when the finalizers are gone."""
    cluster.apply("a", changeFailure=True)
    async with running_operator(cluster, datadog) as operator:
        cluster.begin_deletion("a")
        await operator.settle()
        cluster.delete("a")
        cluster.apply("a", changeFailure=True)
        await operator.settle()
        assert len(datadog.requests) == 2
        assert cluster.objects[ObjectKey("shop", "a")]["status"]["accepted"] == {"changeFailure": True}
