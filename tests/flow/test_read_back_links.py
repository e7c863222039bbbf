"""Read-back and links: to the redeployment of a rollback, or to none."""

from datetime import timedelta

import pytest

from tests.support.builders import NOW
from tests.support.fakes import FakeCluster, running_operator
from tests.support.levels import Rollout, play
from tests.support.reading_back import DAY, VERSION, condition, wait
from tests.support.storing import StoringDatadog


@pytest.fixture
def datadog() -> StoringDatadog:
    """Return a Datadog that stores."""
    return StoringDatadog()


async def test_a_rollback_is_linked_to_the_redeployment_not_to_the_older_deployment(
    cluster: FakeCluster, datadog: StoringDatadog
) -> None:
    """The redeployment of version 1 is ingested late: the link waits for it, and the mark does not."""
    datadog.deployed("1", finished=NOW - timedelta(days=1))
    failed = datadog.deployed("2", finished=NOW)
    async with running_operator(cluster, datadog, read_back=True) as operator:
        datadog.operator = operator
        story = ("deploy h1 1", "promote", "deploy h2 2", "promote", "deploy h1", "promote")
        await play(operator, Rollout(), *story, seconds=30)
        await wait(operator, 10)
        assert datadog.stored(failed) == (True, None)
        again = datadog.deployed("1", finished=operator.now)
        await wait(operator, 200)
        assert datadog.stored(failed) == (True, again)
        await wait(operator, 100)
        assert condition(cluster, "checkout-h2") == ("True", "ReadBack")


async def test_a_rollback_without_a_redeployment_in_datadog_is_not_linked(
    cluster: FakeCluster, datadog: StoringDatadog
) -> None:
    """APM has one row for each version: the link would be negative. The mark stays, the reason says why."""
    datadog.deployed("1", finished=NOW - timedelta(days=1))
    failed = datadog.deployed("2", finished=NOW)
    async with running_operator(cluster, datadog, read_back=True) as operator:
        datadog.operator = operator
        await play(operator, Rollout(), "deploy h1 1", "promote", "deploy h2 2", "promote", "deploy h1", "promote")
        await wait(operator, 4000, 20)
        assert condition(cluster, "checkout-h2") == ("False", "RecoveryMissing")
        assert condition(cluster, "checkout-h2", "Ready")[0] == "True"
    assert datadog.stored(failed) == (True, None)


async def test_a_later_deployment_of_the_older_version_is_not_the_remediation(
    cluster: FakeCluster, datadog: StoringDatadog
) -> None:
    """The link was left out. What appears hours later restored nothing then: restart and last read link nothing."""
    datadog.deployed("1", finished=NOW - timedelta(days=1))
    failed = datadog.deployed("2", finished=NOW)
    async with running_operator(cluster, datadog, read_back=True) as operator:
        datadog.operator = operator
        await play(operator, Rollout(), "deploy h1 1", "promote", "deploy h2 2", "promote", "deploy h1", "promote")
        await wait(operator, 12 * 3600, 600)
        datadog.deployed("1", finished=operator.now)
        later = operator.now
    async with running_operator(cluster, datadog, read_back=True, now=later) as operator:
        datadog.operator = operator
        await wait(operator, 2 * DAY, 600)
        assert condition(cluster, "checkout-h2") == ("False", "RecoveryMissing")
    assert datadog.stored(failed) == (True, None)


async def test_a_remediation_that_finished_before_the_failure(cluster: FakeCluster, datadog: StoringDatadog) -> None:
    """RecoveryNegative is reported for a link that the user wrote, and nothing is sent again."""
    datadog.deployed("1", finished=NOW - timedelta(days=1))
    datadog.deployed("2")
    link = {"type": "rollback", "version": "1"}
    cluster.apply("a", deployment=VERSION, changeFailure=True, remediation=link)
    async with running_operator(cluster, datadog, read_back=True) as operator:
        datadog.operator = operator
        await wait(operator, 60)
        assert condition(cluster, "a") == ("False", "RecoveryNegative")
        assert condition(cluster, "a", "Ready") == ("True", "Accepted")
    assert datadog.calls("mark") == ["mark"]
