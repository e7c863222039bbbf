"""Force sync through the whole operator: one request, one value in status, and nothing that is held back."""

from typing import Any

import httpx
import pytest

from dora_operator.domain.fields import ObjectKey
from tests.support.fakes import FakeCluster, FakeDatadog, Operator, running_operator
from tests.support.levels import Rollout, play
from tests.support.storing import StoringDatadog

VERSION = {"service": "checkout", "env": "prod", "version": "2"}


def condition(cluster: FakeCluster, name: str, kind: str = "Ready") -> str:
    """Return the reason of a condition."""
    return next(str(one["reason"]) for one in cluster.status(name)["conditions"] if one["type"] == kind)


async def pass_minutes(operator: Operator, minutes: int) -> None:
    """Let time pass in steps."""
    for _ in range(minutes * 6):
        await operator.pass_time(10)


async def test_each_new_value_sends_once(cluster: FakeCluster, datadog: FakeDatadog) -> None:
    """An accepted state is sent again for a new value, and not for the same one, an hour later or after a restart."""
    cluster.apply("a", changeFailure=True)
    async with running_operator(cluster, datadog) as operator:
        for value, requests in (("1", 2), ("1", 2), ("2", 3)):
            cluster.annotate("a", force_sync=value)
            await operator.settle()
            assert len(datadog.requests) == requests
            assert cluster.status("a")["lastForceSync"] == value
        await operator.pass_time(3600)
    async with running_operator(cluster, datadog):
        pass
    assert len(datadog.requests) == 3
    assert len({request.content for request in datadog.requests}) == 1
    assert condition(cluster, "a") == "Accepted"


async def test_a_value_from_before_the_start_is_handled_once(cluster: FakeCluster, datadog: FakeDatadog) -> None:
    """The annotation came while the operator was not running."""
    cluster.apply("a", changeFailure=True)
    async with running_operator(cluster, datadog):
        pass
    cluster.annotate("a", force_sync="1")
    for _ in range(2):
        async with running_operator(cluster, datadog):
            pass
    assert len(datadog.requests) == 2


async def test_a_new_resource_with_the_annotation_is_sent_once(cluster: FakeCluster, datadog: FakeDatadog) -> None:
    """Its first request is the force sync too."""
    async with running_operator(cluster, datadog) as operator:
        cluster.apply("a", changeFailure=True)
        cluster.annotate("a", force_sync="1")
        await operator.settle()
    assert len(datadog.requests) == 1
    assert cluster.status("a")["lastForceSync"] == "1"


async def test_killed_between_the_request_and_the_status(cluster: FakeCluster, datadog: FakeDatadog) -> None:
    """The next process cannot know of the request and sends once more; the one after it sends nothing."""
    cluster.apply("a", changeFailure=True)
    async with running_operator(cluster, datadog) as operator:
        cluster.annotate("a", force_sync="1")
        cluster.down = True
        await operator.settle()
        assert len(datadog.requests) == 2
    cluster.down = False
    assert "lastForceSync" not in cluster.status("a")
    for _ in range(2):
        async with running_operator(cluster, datadog):
            pass
    assert len(datadog.requests) == 3
    assert cluster.status("a")["lastForceSync"] == "1"


async def test_a_status_that_cannot_be_written_repeats_nothing(cluster: FakeCluster, datadog: FakeDatadog) -> None:
    """The write is repeated, the request is not."""
    cluster.apply("a", changeFailure=True)
    async with running_operator(cluster, datadog) as operator:
        cluster.annotate("a", force_sync="1")
        cluster.down = True
        await operator.settle()
        cluster.down = False
        await operator.pass_time(60)
    assert len(datadog.requests) == 2
    assert cluster.status("a")["lastForceSync"] == "1"


async def test_an_outage_during_a_force_sync(cluster: FakeCluster, datadog: FakeDatadog) -> None:
    """The request fails: it is repeated with the usual backoff, also by another process, until Datadog accepts it."""
    cluster.apply("a", changeFailure=True)
    async with running_operator(cluster, datadog) as operator:
        datadog.answers = [httpx.Response(503)]
        cluster.annotate("a", force_sync="1")
        await operator.settle()
        assert condition(cluster, "a") == "DatadogUnavailable"
        now = operator.now
    datadog.answers = [httpx.Response(202)]
    async with running_operator(cluster, datadog, now=now) as operator:
        await operator.pass_time(60)
    assert condition(cluster, "a") == "Accepted"
    assert len(datadog.requests) == 3


async def test_a_refused_request_is_tried_again(cluster: FakeCluster, datadog: FakeDatadog) -> None:
    """400 is final until the spec changes, or a force sync asks for another try."""
    datadog.answers = [httpx.Response(400, json={"errors": ["refused"]})]
    cluster.apply("a", changeFailure=True)
    async with running_operator(cluster, datadog) as operator:
        await operator.pass_time(3600)
        assert len(datadog.requests) == 1
        datadog.answers = [httpx.Response(202)]
        cluster.annotate("a", force_sync="1")
        await operator.settle()
    assert condition(cluster, "a") == "Accepted"


HELD_BACK = [
    pytest.param({"suspend": True}, {}, {}, "Accepted", id="suspended"),
    pytest.param({"dryRun": True}, {}, {}, "Accepted", id="a dry run"),
    pytest.param({}, {"dry_run": True}, {}, "Accepted", id="a dry run of the operator"),
    pytest.param({}, {}, {"dora-operator.io/allowed-services": "none"}, "NotAllowed", id="not allowed any more"),
]


@pytest.mark.parametrize(("spec", "settings", "namespace", "reason"), HELD_BACK)
async def test_what_is_held_back_is_not_sent(
    cluster: FakeCluster, spec: dict[str, Any], settings: dict[str, Any], namespace: dict[str, str], reason: str
) -> None:
    """The value waits, and is handled when nothing holds the resource back any more."""
    datadog = FakeDatadog()
    cluster.apply("a", changeFailure=True, deployment=VERSION)
    async with running_operator(cluster, datadog):
        pass
    cluster.apply("a", changeFailure=True, deployment=VERSION, **spec)
    cluster.annotations = namespace
    async with running_operator(cluster, datadog, **settings) as operator:
        cluster.annotate("a", force_sync="1")
        await operator.settle()
        assert len(datadog.requests) == 1
        assert condition(cluster, "a") == reason
        assert "lastForceSync" not in cluster.status("a")
    cluster.apply("a", changeFailure=True, deployment=VERSION)
    cluster.annotations = {}
    async with running_operator(cluster, datadog):
        pass
    assert len(datadog.requests) == 2
    assert cluster.status("a")["lastForceSync"] == "1"


async def test_the_loser_of_a_conflict_sends_nothing(cluster: FakeCluster, datadog: FakeDatadog) -> None:
    """Force sync is no way to win."""
    cluster.apply("older", age_seconds=60, changeFailure=True)
    cluster.apply("newer", changeFailure=False)
    async with running_operator(cluster, datadog) as operator:
        cluster.annotate("newer", force_sync="1")
        await operator.settle()
    assert condition(cluster, "newer") == "Conflict"
    assert len(datadog.requests) == 1


async def test_what_was_changed_in_datadog_is_restored_and_verified(cluster: FakeCluster) -> None:
    """Edited in Datadog a day after the mark: reported, and left alone until a force sync sends and reads it again."""
    datadog = StoringDatadog()
    deployment_id = datadog.deployed("2")
    cluster.apply("a", deployment=VERSION, changeFailure=True)
    async with running_operator(cluster, datadog, read_back=True) as operator:
        datadog.operator = operator
        await pass_minutes(operator, 2)
        datadog.api.model.edit(deployment_id, datadog.now, change_failure=False)
        await operator.pass_time(90_000)
        assert condition(cluster, "a", "Verified") == "ChangedInDatadog"
        before = len(datadog.requests)
        cluster.annotate("a", force_sync="1")
        await operator.settle()
        assert condition(cluster, "a", "Verified") == "Pending"
        await pass_minutes(operator, 60)
        assert condition(cluster, "a", "Verified") == "ReadBack"
    assert datadog.stored(deployment_id) == (True, None)
    assert datadog.calls()[before:] == ["mark", "list"]


async def test_a_record_is_sent_again_too(cluster: FakeCluster, datadog: FakeDatadog) -> None:
    """The operator's own record of an abort takes the annotation as any resource; the Rollout may be gone."""
    async with running_operator(cluster, datadog) as operator:
        rollout = Rollout()
        await play(operator, rollout, "deploy h1 1", "promote", "deploy h2 2", "abort")
        (record,) = cluster.objects
        assert len(datadog.requests) == 1
        operator.rollout_event("DELETED", rollout.body())
        cluster.annotate(record.name, force_sync="1")
        await operator.settle()
        await operator.pass_time(3600)
    assert record == ObjectKey("shop", record.name)
    assert len(datadog.requests) == 2
    assert cluster.status(record.name)["lastForceSync"] == "1"
