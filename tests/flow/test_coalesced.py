"""States of a Rollout that were replaced before a reconcile: the queue keeps the newest alone, as under a burst."""

import json
from typing import Any

from tests.support.fakes import FakeCluster, FakeDatadog, Operator, running_operator
from tests.support.levels import Rollout, play


def asked(datadog: FakeDatadog) -> list[tuple[str, bool, Any]]:
    """Return version, failure and remediation of each request."""
    said = [json.loads(request.content)["data"]["attributes"] for request in datadog.requests]
    return [(one["version"], one["change_failure"], one.get("remediation")) for one in said]


def without_a_reconcile(operator: Operator, rollout: Rollout, *steps: str) -> None:
    """Take steps that end before the operator reconciles; each shows the revision before the status, as Argo writes."""
    for step in steps:
        word, *arguments = step.split()
        before = rollout.body()
        getattr(rollout, word)(*arguments)
        after = rollout.body()
        operator.rollout_event("MODIFIED", {**after, "status": before["status"]})
        rollout.show(operator)


async def test_an_undo_in_flight_is_still_distinguished_from_a_rollback(
    cluster: FakeCluster, datadog: FakeDatadog
) -> None:
    """That the revision was left before it was promoted was shown, so the next promotion is its remediation."""
    async with running_operator(cluster, datadog, abort_recovery="NextVersion") as operator:
        rollout = Rollout()
        await play(operator, rollout, "deploy h1 1", "deploy h2 2")
        without_a_reconcile(operator, rollout, "deploy h1")
        await operator.settle()
        assert cluster.status("checkout-h2")["source"]["verdict"] == "Undone"
        await play(operator, rollout, "deploy h3 3", "promote")
    assert asked(datadog) == [("2", True, None), ("2", True, {"type": "rollforward", "version": "3"})]


async def test_an_undo_in_flight_is_recognised_though_each_state_was_observed(
    cluster: FakeCluster, datadog: FakeDatadog
) -> None:
    """The state that shows it comes before the ReplicaSets are listed, and is reconciled again when they are."""
    async with running_operator(cluster, datadog, abort_recovery="NextVersion") as operator:
        rollout = Rollout()
        await play(operator, rollout, "deploy h1 1", "deploy h2 2")
        before = rollout.body()
        rollout.deploy("h1")
        after = rollout.body()
        operator.rollout_event("MODIFIED", {**after, "status": before["status"]})
        await operator.settle()
        rollout.show(operator)
        await operator.settle()
        assert cluster.status("checkout-h2")["source"]["verdict"] == "Undone"


async def test_a_promotion_that_was_over_at_once_is_remembered(cluster: FakeCluster, datadog: FakeDatadog) -> None:
    """Promoted, and rolled back between two observations: a rollback, which is linked to its target."""
    async with running_operator(cluster, datadog, abort_recovery="NextVersion") as operator:
        rollout = Rollout()
        await play(operator, rollout, "deploy h1 1", "deploy h2 2")
        without_a_reconcile(operator, rollout, "promote", "deploy h1", "promote")
        await operator.settle()
    assert asked(datadog) == [("2", True, {"type": "rollback", "version": "1"})]


async def test_a_burst_of_states_is_not_kept_for_ever(cluster: FakeCluster, datadog: FakeDatadog) -> None:
    """A replaced state is reconciled once; without a reconcile the number of kept states is bounded."""
    async with running_operator(cluster, datadog, abort_recovery="NextVersion") as operator:
        rollout = Rollout()
        await play(operator, rollout, "deploy h1 1")
        without_a_reconcile(operator, rollout, *(f"deploy h{number} {number}" for number in range(2, 60)))
        (known,) = operator.app.rollouts.store
        assert 0 < len(known.undecided) <= 16
        await operator.settle()
        assert known.undecided == ()
    assert datadog.requests == []


async def test_an_abort_between_two_observations_is_marked(cluster: FakeCluster, datadog: FakeDatadog) -> None:
    """Aborted, and the next version deployed, before a reconcile: a superseded abort alone would mark nothing."""
    async with running_operator(cluster, datadog, abort_recovery="NextVersion") as operator:
        rollout = Rollout()
        await play(operator, rollout, "deploy h1 1", "deploy h2 2")
        without_a_reconcile(operator, rollout, "abort", "deploy h3 3")
        await operator.settle()
    assert asked(datadog) == [("2", True, None)]


async def test_a_failure_that_was_over_before_the_first_observation_is_none(
    cluster: FakeCluster, datadog: FakeDatadog
) -> None:
    """Aborted, tried again and promoted: there is nothing to send to Datadog."""
    async with running_operator(cluster, datadog, abort_recovery="NextVersion") as operator:
        rollout = Rollout()
        await play(operator, rollout, "deploy h1 1", "deploy h2 2")
        without_a_reconcile(operator, rollout, "abort", "retry", "promote")
        await operator.settle()
    assert (datadog.requests, cluster.objects) == ([], {})


async def test_no_version_is_marked_for_a_return_that_may_have_been_none(
    cluster: FakeCluster, datadog: FakeDatadog
) -> None:
    """Whether 2 was promoted before 1 came back was never shown: a rollback to 2 may mark 1 or 3, so it marks none."""
    async with running_operator(cluster, datadog, abort_recovery="NextVersion") as operator:
        rollout = Rollout()
        await play(operator, rollout, "deploy h1 1", "deploy h2 2", "deploy h1", "deploy h3 3", "promote", "deploy h2")
    assert [version for version, _, link in asked(datadog) if link is None] == ["2"]
    assert cluster.warnings() == [("checkout", "RollbackUnclear")]
