"""An object that is deleted and created again: events of one uid come in order, those of two beside each other."""

import itertools
from collections.abc import Mapping
from typing import Any

from dora_operator.domain.fields import ObjectKey
from tests.support.fakes import FakeCluster, FakeDatadog, running_operator
from tests.support.levels import Rollout, play


async def test_a_doradeployment_that_is_created_again_in_one_burst(cluster: FakeCluster, datadog: FakeDatadog) -> None:
    """Old, new, and then the last events of the old one: the new one is neither replaced nor forgotten."""
    events: list[tuple[str, Mapping[str, Any]]] = []
    async with running_operator(cluster, datadog) as operator:
        cluster.report = lambda event_type, body: events.append((event_type, body))
        cluster.apply("a", deployment={"id": "old-deployment"}, changeFailure=True)
        cluster.annotate("a", note="one")
        cluster.apply("a", deployment={"id": "old-deployment"}, changeFailure=False)
        cluster.delete("a")
        cluster.apply("a", deployment={"id": "new-deployment"}, changeFailure=True)
        first, *late, new = events
        cluster.report = operator.deployment_event
        for event in (first, new, *late):
            operator.deployment_event(*event)
        await operator.settle()
        assert len(operator.app.deployments.store) == 1
    assert cluster.status("a")["accepted"] == {"changeFailure": True}
    assert [request.url.path for request in datadog.requests] == ["/api/v2/dora/deployments/new-deployment"]


async def test_a_rollout_that_is_created_again_in_one_burst(cluster: FakeCluster, datadog: FakeDatadog) -> None:
    """What is known of the new one is kept, and its abort is marked."""
    old, new, versions = Rollout(), Rollout(uid="uid-2"), itertools.count(1)

    def body(rollout: Rollout) -> dict[str, Any]:
        found = rollout.body()
        return found | {"metadata": found["metadata"] | {"resourceVersion": str(next(versions))}}

    async with running_operator(cluster, datadog) as operator:
        old.deploy("h1", "1")
        events = [("ADDED", body(old)), ("MODIFIED", body(old)), ("DELETED", body(old))]
        new.deploy("h1", "1")
        events.insert(1, ("ADDED", body(new)))
        for event in events:
            operator.rollout_event(*event)
        await operator.settle()
        tracked = operator.app.workloads.store.get(ObjectKey("shop", "checkout"))
        assert tracked is not None
        assert tracked.workload.uid == "uid-2"
        new._versions = next(versions)
        await play(operator, new, "promote", "deploy h2 2", "abort")
    assert len(datadog.requests) == 1


async def test_a_standby_keeps_nothing_of_what_is_gone(cluster: FakeCluster, datadog: FakeDatadog) -> None:
    """10,000 objects of both kinds are created and deleted while another process leads."""
    async with running_operator(cluster, datadog, leads=False) as operator:
        for number in range(10_000):
            cluster.apply(f"a-{number}", deployment={"id": f"deployment-{number}"}, changeFailure=True)
            cluster.delete(f"a-{number}")
            rollout = Rollout(uid=f"uid-{number}", name=f"r-{number}")
            operator.rollout_event("ADDED", rollout.body())
            operator.rollout_event("DELETED", rollout.body())
        for changes in (operator.app.deployments, operator.app.workloads):
            assert (len(changes.store), len(changes.queue)) == (0, 0)
            assert len(changes.queue._delayed) < 100
        assert operator.app.deployments.store._depending == {}
