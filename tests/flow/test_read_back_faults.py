"""Read-back when something fails or comes late: outages, refusals, restarts, a new leader, old deployments."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from typing import Any

import httpx
import pytest

from dora_operator.workqueue import Priority
from tests.support.builders import NOW
from tests.support.fakes import FakeCluster, Operator, running_operator
from tests.support.reading_back import DAY, VERSION, aborted, condition, wait
from tests.support.storing import StoringDatadog

DOWN = httpx.Response(503, text="upstream")


@pytest.fixture
def datadog() -> StoringDatadog:
    """Return a Datadog that stores."""
    return StoringDatadog()


def touched(operator: Operator, name: str) -> None:
    """Let the watch bring a resource again, changed by a label of a user."""
    cluster = operator.cluster
    key, body = next((key, body) for key, body in cluster.objects.items() if key.name == name)
    labelled = body | {"metadata": body["metadata"] | {"labels": {"seen": str(operator.now)}}}
    cluster._store(labelled)
    operator.app.deployment_workers.queue.add(key, Priority.NORMAL)


@asynccontextmanager
async def running(
    cluster: FakeCluster,
    datadog: StoringDatadog,
    now: datetime = NOW,
    led_until: datetime | None = None,
    **settings: Any,
) -> AsyncIterator[Operator]:
    """Run an operator whose time is Datadog's from its first request on."""
    async with running_operator(cluster, datadog, now=now, leads=False, read_back=True, **settings) as operator:
        datadog.operator = operator
        operator.lead(led_until)
        await operator.settle()
        yield operator


async def verified(cluster: FakeCluster, datadog: StoringDatadog, seconds: float, **settings: Any) -> Operator:
    """Mark version 2 and let time pass."""
    cluster.apply("a", deployment=VERSION, changeFailure=True)
    async with running(cluster, datadog, **settings) as operator:
        await wait(operator, min(seconds, 200))
        await wait(operator, seconds - min(seconds, 200), 600)
    return operator


async def test_after_the_last_read_nothing_reads_again(cluster: FakeCluster, datadog: StoringDatadog) -> None:
    """A resource that is reconciled for another reason later has had its reads."""
    datadog.deployed("2")
    cluster.apply("a", deployment=VERSION, changeFailure=True)
    async with running(cluster, datadog) as operator:
        await wait(operator, 60)
        await wait(operator, DAY, 600)
        assert datadog.calls() == ["mark", "list", "list"]
        for _ in range(3):
            touched(operator, "a")
            await wait(operator, 60)
    assert datadog.calls() == ["mark", "list", "list"]


async def test_an_outage_at_the_last_read_takes_nothing_back(cluster: FakeCluster, datadog: StoringDatadog) -> None:
    """The mark was verified: it stays so, and nothing is written."""
    datadog.deployed("2")
    operator = await verified(cluster, datadog, 200)
    writes = cluster.status_writes
    datadog.before = lambda _: DOWN
    async with running(cluster, datadog, now=operator.now) as operator:
        await wait(operator, 2 * DAY, 600)
    assert datadog.calls() == ["mark", "list", "list"]
    assert condition(cluster, "a") == ("True", "ReadBack")
    assert cluster.status_writes == writes


async def test_an_outage_does_not_make_a_missing_deployment_ready(
    cluster: FakeCluster, datadog: StoringDatadog
) -> None:
    """Nor does it end the daily reads, or the week in which it is created."""
    operator = await verified(cluster, datadog, 200)
    datadog.before = lambda _: DOWN
    async with running(cluster, datadog, now=operator.now) as operator:
        await wait(operator, DAY, 600)
        assert condition(cluster, "a", "Ready") == ("False", "DeploymentMissing")
        datadog.before = lambda _: None
        datadog.deployed("2")
        await wait(operator, DAY, 600)
        assert condition(cluster, "a") == ("False", "NotApplied")
        assert datadog.calls("mark") == ["mark", "mark"]


async def test_a_first_read_that_is_late_sends_a_lost_mark_again(cluster: FakeCluster, datadog: StoringDatadog) -> None:
    """The operator was down for two hours: its read stands for those that were due, and is not the first."""
    cluster.apply("a", deployment=VERSION, changeFailure=True)
    async with running(cluster, datadog) as operator:
        datadog.operator = operator
    deployment_id = datadog.deployed("2")
    later = operator.now + timedelta(hours=2)
    async with running(cluster, datadog, now=later) as operator:
        await wait(operator, 10)
        assert datadog.stored(deployment_id) == (True, None)
    assert datadog.calls() == ["mark", "list", "mark"]


@pytest.mark.parametrize("failure", [DOWN, httpx.ConnectError("no route")], ids=["503", "no connection"])
async def test_an_event_that_fails_is_posted_again(
    cluster: FakeCluster, datadog: StoringDatadog, failure: httpx.Response | Exception
) -> None:
    """With onMissing: Create. It stays a creation: the mark by version, which was lost once, is not tried again."""
    failures = [failure, failure]

    def fails(request: httpx.Request) -> httpx.Response | None:
        if not failures or not request.url.path.endswith("/deployment"):
            return None
        answer = failures.pop()
        if isinstance(answer, Exception):
            raise answer
        return answer

    datadog.before = fails
    await aborted(cluster, datadog, 1000, on_missing="Create")
    assert datadog.calls("event", "mark") == ["mark", "event", "event", "event", "mark"]
    (created,) = datadog.api.model.visible(datadog.now)
    assert datadog.stored(created.id) == (True, None)


async def test_a_deployment_that_a_user_deleted_is_not_created_again(
    cluster: FakeCluster, datadog: StoringDatadog
) -> None:
    """It was read back: its absence is reported, and its pinned id is not replaced by another."""
    deployment_id = datadog.deployed("2", finished=NOW)
    operator = await aborted(cluster, datadog, 200, on_missing="Create")
    assert condition(cluster, "checkout-h2") == ("True", "ReadBack")
    datadog.api.model.remove(deployment_id, datadog.now)
    async with running(cluster, datadog, on_missing="Create", now=operator.now) as operator:
        await wait(operator, 3 * DAY, 600)
    assert "event" not in datadog.calls()
    assert condition(cluster, "checkout-h2") == ("False", "DeploymentMissing")
    assert cluster.status("checkout-h2")["target"]["id"] == deployment_id


async def test_an_old_deployment_by_id_stays_verified(cluster: FakeCluster, datadog: StoringDatadog) -> None:
    """It began before the time that a list covers: every read of it is by its id."""
    deployment_id = datadog.deployed("2", finished=NOW - timedelta(days=60))
    cluster.apply("a", deployment={"id": deployment_id}, changeFailure=True)
    async with running(cluster, datadog) as operator:
        await wait(operator, 60)
        assert condition(cluster, "a") == ("True", "ReadBack")
        await wait(operator, 2 * DAY, 600)
    assert condition(cluster, "a") == ("True", "ReadBack")
    assert datadog.calls() == ["mark", "get", "get"]


async def test_a_standby_that_takes_over_reads_nothing_again(cluster: FakeCluster, datadog: StoringDatadog) -> None:
    """It has run for three days, and the leader that it follows has made every read that was due by then."""
    datadog.deployed("2")
    operator = await verified(cluster, datadog, 2 * DAY)
    writes = cluster.status_writes
    async with running_operator(cluster, datadog, leads=False, read_back=True) as standby:
        datadog.operator = standby
        standby.now = operator.now
        standby.lead(operator.now - timedelta(seconds=15))
        await standby.settle()
        await wait(standby, 3600, 600)
    assert datadog.calls() == ["mark", "list", "list"]
    assert cluster.status_writes == writes


@pytest.mark.parametrize("down", [timedelta(minutes=10), timedelta(days=9)], ids=["ten minutes", "nine days"])
async def test_a_read_that_was_due_while_nothing_ran_is_made(
    cluster: FakeCluster, datadog: StoringDatadog, down: timedelta
) -> None:
    """The Lease says until when a leader was there; what was due after that, it has not read."""
    deployment_id = datadog.deployed("2")
    operator = await verified(cluster, datadog, DAY - 300)
    datadog.api.model.edit(deployment_id, datadog.now, change_failure=False)
    ended, later = operator.now, operator.now + down
    async with running(cluster, datadog, now=later, led_until=ended) as operator:
        await wait(operator, 3600, 600)
    assert datadog.calls() == ["mark", "list", "list"]
    assert condition(cluster, "a") == ("False", "ChangedInDatadog")


async def test_a_defect_in_a_read_does_not_end_the_reads(
    cluster: FakeCluster, datadog: StoringDatadog, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """An answer that the operator's own code cannot take: logged, and read again after a backoff."""

    def broken(_: object) -> tuple[()]:
        raise ZeroDivisionError

    datadog.deployed("2")
    cluster.apply("a", deployment=VERSION, changeFailure=True)
    async with running(cluster, datadog) as operator:
        with monkeypatch.context() as patched:
            patched.setattr("dora_operator.reconcile.lookup.parse_deployments", broken)
            await wait(operator, 40)
        assert "ZeroDivisionError" in caplog.text
        assert condition(cluster, "a")[1] == "Pending"
        await wait(operator, 100)
        assert condition(cluster, "a") == ("True", "ReadBack")
