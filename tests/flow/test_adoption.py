"""A user's DoraDeployment takes over from the operator's own record, and a new Rollout from one of the same name."""

import json
from typing import Any

import httpx

from tests.support.fakes import FakeCluster, FakeDatadog, running_operator
from tests.support.levels import Rollout, play

ABORTED = ("deploy h1 1", "deploy h2 2", "abort")
THE_VERSION = {"service": "checkout", "env": "prod", "version": "2"}
MARK, CLEAR = {"change_failure": True}, {"change_failure": False}


def asked(datadog: FakeDatadog) -> list[dict[str, Any]]:
    """Return what was said about the version, in order."""
    said = [json.loads(request.content)["data"]["attributes"] for request in datadog.requests]
    assert all(THE_VERSION.items() <= one.items() for one in said)
    return [{name: one[name] for name in one if name not in THE_VERSION} for one in said]


def ready(cluster: FakeCluster, name: str) -> tuple[str, str]:
    """Return status and reason of Ready."""
    (found,) = [one for one in cluster.status(name)["conditions"] if one["type"] == "Ready"]
    return found["status"], found["reason"]


async def test_what_the_record_had_accepted_is_not_sent_again(cluster: FakeCluster, datadog: FakeDatadog) -> None:
    """A resource applied after the mark takes it over with its time: no second request, no Event again."""
    async with running_operator(cluster, datadog) as operator:
        await play(operator, Rollout(), *ABORTED)
        accepted_at = cluster.status("checkout-h2")["acceptedTime"]
        events = list(cluster.events)
        await operator.pass_time(60)
        cluster.apply("mine", age_seconds=-60, deployment=THE_VERSION, sourceRef={"name": "checkout"})
        await operator.settle()
        await operator.pass_time(60)
    assert asked(datadog) == [MARK]
    assert [key.name for key in cluster.objects] == ["mine"]
    assert cluster.status("mine")["acceptedTime"] == accepted_at
    assert ready(cluster, "mine") == ("True", "Accepted")
    assert cluster.events == events


async def test_a_spec_that_wins_is_no_conflict_with_the_record(cluster: FakeCluster, datadog: FakeDatadog) -> None:
    """The record gives way although it is older: the user's word is sent once, and nobody warns of a conflict."""
    async with running_operator(cluster, datadog) as operator:
        await play(operator, Rollout(), *ABORTED)
        source_ref = {"name": "checkout"}
        cluster.apply("mine", age_seconds=-60, deployment=THE_VERSION, changeFailure=False, sourceRef=source_ref)
        await operator.settle()
        await operator.pass_time(60)
    assert asked(datadog) == [MARK, CLEAR]
    assert cluster.warnings() == []
    assert ready(cluster, "mine") == ("True", "Accepted")


async def test_a_report_is_taken_over_though_its_rollout_is_gone(cluster: FakeCluster, datadog: FakeDatadog) -> None:
    """Nobody but the record knows the verdict any more: the user's resource takes it from there."""
    datadog.answers = [httpx.Response(503)] * 2 + [httpx.Response(202)]
    async with running_operator(cluster, datadog) as operator:
        rollout = Rollout()
        await play(operator, rollout, *ABORTED)
        operator.rollout_event("DELETED", rollout.body())
        cluster.apply("mine", age_seconds=-60, deployment=THE_VERSION, sourceRef={"name": "checkout"})
        await operator.settle()
        await operator.pass_time(600)
    assert ready(cluster, "mine") == ("True", "Accepted")
    assert cluster.status("mine")["source"]["verdict"] == "Aborted"
    assert [key.name for key in cluster.objects] == ["mine"]


async def test_a_rollout_made_again_speaks_for_the_version_from_then_on(
    cluster: FakeCluster, datadog: FakeDatadog
) -> None:
    """Under other pod hashes the same version fails and recovers: the old Rollout's record does not hold it back."""
    async with running_operator(cluster, datadog) as operator:
        old, new = Rollout(), Rollout(uid="uid-2")
        await play(operator, old, *ABORTED)
        operator.rollout_event("DELETED", old.body())
        cluster.replica_sets.clear()
        await play(operator, new, "deploy g1 1", "deploy g2 2", "abort", "retry", "promote")
        await operator.pass_time(60)
    assert asked(datadog) == [MARK, MARK, CLEAR]
    assert cluster.warnings() == []
    assert [cluster.status(key.name)["source"]["uid"] for key in cluster.objects] == ["uid-1", "uid-2"]


async def test_a_verdict_without_a_place_is_reported_and_recorded_later(
    cluster: FakeCluster, datadog: FakeDatadog
) -> None:
    """A user's resource has the record's name: the Rollout says so, and the mark goes as soon as the name is free."""
    cluster.apply("checkout-h2", deployment={"id": "X9RMqDwK-4c"}, changeFailure=False, suspend=True)
    async with running_operator(cluster, datadog) as operator:
        await play(operator, Rollout(), *ABORTED)
        await operator.pass_time(300)
        assert datadog.requests == []
        assert cluster.warnings() == [("checkout", "RecordNotWritten")]
        cluster.delete("checkout-h2")
        await operator.settle()
        await operator.pass_time(60)
    assert asked(datadog) == [MARK]
    assert cluster.record_writes == 1


async def test_a_record_left_from_before_is_silent_where_rollouts_are_not_watched(
    cluster: FakeCluster, datadog: FakeDatadog
) -> None:
    """The operator may not delete DoraDeployments then: it does not try, and one resource alone speaks all the same."""
    async with running_operator(cluster, datadog) as operator:
        await play(operator, Rollout(), *ABORTED)
        now = operator.now
    cluster.apply("mine", age_seconds=-60, deployment=THE_VERSION, changeFailure=False, sourceRef={"name": "checkout"})
    async with running_operator(cluster, datadog, now=now, sources=()) as operator:
        await operator.pass_time(60)
    assert asked(datadog) == [MARK, CLEAR]
    assert sorted(key.name for key in cluster.objects) == ["checkout-h2", "mine"]
    assert (ready(cluster, "mine"), cluster.warnings()) == (("True", "Accepted"), [])
