"""Read-back through the whole operator: every reason of Verified, what it makes the operator do, and what it costs."""

from datetime import timedelta
from typing import Any

import httpx
import pytest

from tests.support.builders import NOW
from tests.support.fakes import FakeCluster, running_operator
from tests.support.reading_back import DAY, VERSION, condition, wait
from tests.support.storing import StoringDatadog


@pytest.fixture
def datadog() -> StoringDatadog:
    """Return a Datadog that stores."""
    return StoringDatadog()


@pytest.mark.parametrize("by", ["version", "id"])
async def test_a_stored_mark_is_verified_and_then_read_once_more(
    cluster: FakeCluster, datadog: StoringDatadog, by: str
) -> None:
    """Equal at the first read: pinned by its id, with its tags, then nothing until the last read after a day."""
    deployment_id = datadog.deployed("2")
    cluster.apply("a", deployment=VERSION if by == "version" else {"id": deployment_id}, changeFailure=True)
    async with running_operator(cluster, datadog, read_back=True) as operator:
        datadog.operator = operator
        assert condition(cluster, "a") == ("Unknown", "Pending")
        assert condition(cluster, "a", "Ready") == ("True", "Accepted")
        await wait(operator, 40)
        assert condition(cluster, "a") == ("True", "ReadBack")
        status = cluster.status("a")
        assert VERSION.items() <= status["target"].items()
        assert (status["target"]["id"], status["target"]["by"]) == (deployment_id, "ID")
        assert (status["readBack"]["id"], status["readBack"]["changeFailure"]) == (deployment_id, True)
        writes = cluster.status_writes
        await wait(operator, 2 * DAY, 600)
    assert datadog.calls() == ["mark", "list" if by == "version" else "get", "list"]
    assert cluster.status_writes == writes == 2


async def test_a_missing_deployment_is_not_ready_and_read_on_the_schedule(
    cluster: FakeCluster, datadog: StoringDatadog
) -> None:
    """DeploymentMissing: five reads, one more a day later, and none after that."""
    cluster.apply("a", deployment=VERSION, changeFailure=True)
    async with running_operator(cluster, datadog, read_back=True) as operator:
        datadog.operator = operator
        await wait(operator, 100)
        assert condition(cluster, "a") == ("False", "DeploymentMissing")
        assert condition(cluster, "a", "Ready") == ("False", "DeploymentMissing")
        assert condition(cluster, "a", "Accepted") == ("True", "Accepted")
        assert cluster.warnings() == [("a", "DeploymentMissing")]
        writes = cluster.status_writes
        await wait(operator, 3700)
        await wait(operator, 12 * DAY, 900)
    assert len(datadog.calls("list")) == 6
    assert datadog.calls("mark", "event") == ["mark"]
    assert cluster.status_writes == writes


async def test_a_mark_that_was_lost_is_sent_again_when_the_deployment_appears(
    cluster: FakeCluster, datadog: StoringDatadog
) -> None:
    """The deployment is ingested after the mark: found at the second read, marked by its id, verified at the third."""
    cluster.apply("a", deployment=VERSION, changeFailure=True)
    async with running_operator(cluster, datadog, read_back=True) as operator:
        datadog.operator = operator
        accepted = cluster.status("a")["acceptedTime"]
        await wait(operator, 60)
        deployment_id = datadog.deployed("2", finished=NOW)
        await wait(operator, 700)
        assert condition(cluster, "a") == ("True", "ReadBack")
        assert cluster.status("a")["acceptedTime"] == accepted
    assert datadog.stored(deployment_id) == (True, None)
    assert [request.url.path for request in datadog.requests if request.method == "PATCH"] == [
        "/api/v2/dora/deployments",
        f"/api/v2/dora/deployments/{deployment_id}",
    ]


async def test_a_change_in_datadog_is_reported_and_left_alone(cluster: FakeCluster, datadog: StoringDatadog) -> None:
    """Equal at first, edited later: ChangedInDatadog at the last read, still Ready, nothing is sent."""
    deployment_id = datadog.deployed("2")
    cluster.apply("a", deployment=VERSION, changeFailure=True)
    async with running_operator(cluster, datadog, read_back=True) as operator:
        datadog.operator = operator
        await wait(operator, 60)
        datadog.api.model.edit(deployment_id, datadog.now, change_failure=False)
        await wait(operator, 2 * DAY, 600)
        assert condition(cluster, "a") == ("False", "ChangedInDatadog")
        assert condition(cluster, "a", "Ready") == ("True", "Accepted")
    assert datadog.calls("mark") == ["mark"]
    assert cluster.warnings() == [("a", "ChangedInDatadog")]


async def test_a_mark_that_is_never_applied_is_sent_again_a_few_times(
    cluster: FakeCluster, datadog: StoringDatadog
) -> None:
    """NotApplied: sent again at the reads two to four, and at no other time."""
    deployment_id = datadog.deployed("2")
    undo = lambda _: datadog.api.model.edit(deployment_id, datadog.now, change_failure=False) and None  # noqa: E731
    cluster.apply("a", deployment=VERSION, changeFailure=True)
    async with running_operator(cluster, datadog, read_back=True) as operator:
        datadog.operator = operator
        datadog.before = undo
        await wait(operator, 40)
        assert condition(cluster, "a") == ("False", "NotApplied")
        assert condition(cluster, "a", "Ready") == ("False", "NotApplied")
        await wait(operator, 3700)
        await wait(operator, 3 * DAY, 600)
    assert len(datadog.calls("mark")) == 1 + 3
    assert len(datadog.calls("list", "get")) <= 6


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        pytest.param({"read_schema": "published"}, "FieldsNotReturned", id="the answer has no marks"),
        pytest.param({"permissions": ["dora_metrics_write"]}, "ReadForbidden", id="the keys may not read"),
    ],
)
async def test_what_cannot_be_decided_stays_unknown_and_ready(
    cluster: FakeCluster, settings: dict[str, Any], reason: str
) -> None:
    """Absent is not false: nothing is sent again, and the resource is Ready."""
    datadog = StoringDatadog(settings=settings)
    datadog.deployed("2")
    cluster.apply("a", deployment=VERSION, changeFailure=True)
    async with running_operator(cluster, datadog, read_back=True) as operator:
        datadog.operator = operator
        await wait(operator, 200)
        assert condition(cluster, "a") == ("Unknown", reason)
        assert condition(cluster, "a", "Ready") == ("True", "Accepted")
    assert datadog.calls("mark") == ["mark"]


async def test_an_account_that_may_not_read_is_probed_once_an_hour(cluster: FakeCluster) -> None:
    """Two marks of other services cost no read of their own; when the permission comes, both are verified."""
    datadog = StoringDatadog(settings={"permissions": ["dora_metrics_write"]})
    datadog.deployed("2")
    datadog.deployed("2", service="cart")
    cluster.apply("a", deployment=VERSION, changeFailure=True)
    cluster.apply("b", deployment=VERSION | {"service": "cart"}, changeFailure=True)
    async with running_operator(cluster, datadog, read_back=True) as operator:
        datadog.operator = operator
        await wait(operator, 3000, 20)
        assert len(datadog.calls("list")) == 1
        assert condition(cluster, "a") == condition(cluster, "b") == ("Unknown", "ReadForbidden")
        datadog.api.configure(
            datadog.api.settings.changed({"permissions": ["dora_metrics_read", "dora_metrics_write"]})
        )
        await wait(operator, 4000, 20)
        assert condition(cluster, "a") == condition(cluster, "b") == ("True", "ReadBack")


async def test_an_outage_of_reading_is_unknown_until_it_is_over(cluster: FakeCluster, datadog: StoringDatadog) -> None:
    """ReadUnavailable at the first read, verified at the second; marks are not affected."""
    datadog.deployed("2")
    datadog.before = lambda request: httpx.Response(503) if request.method == "POST" else None
    cluster.apply("a", deployment=VERSION, changeFailure=True)
    async with running_operator(cluster, datadog, read_back=True) as operator:
        datadog.operator = operator
        await wait(operator, 60)
        assert condition(cluster, "a") == ("Unknown", "ReadUnavailable")
        datadog.before = lambda _: None
        await wait(operator, 90)
        assert condition(cluster, "a") == ("True", "ReadBack")


async def test_a_resource_written_by_hand_means_the_last_deployment(
    cluster: FakeCluster, datadog: StoringDatadog
) -> None:
    """Of several of one version: the one that had finished last when the resource was created, as Datadog takes it."""
    datadog.deployed("2", finished=NOW - timedelta(hours=2))
    last = datadog.deployed("2")
    cluster.apply("a", deployment=VERSION, changeFailure=True)
    async with running_operator(cluster, datadog, read_back=True) as operator:
        datadog.operator = operator
        await wait(operator, 60)
        assert condition(cluster, "a") == ("True", "ReadBack")
        assert cluster.status("a")["target"]["id"] == last


@pytest.mark.parametrize("where", ["the operator", "the resource"])
async def test_read_back_can_be_switched_off(cluster: FakeCluster, datadog: StoringDatadog, where: str) -> None:
    """Nothing is read, and the condition says so."""
    datadog.deployed("2")
    cluster.apply(
        "a", deployment=VERSION, changeFailure=True, **({} if where == "the operator" else {"readBack": False})
    )
    async with running_operator(cluster, datadog, read_back=where != "the operator") as operator:
        datadog.operator = operator
        await wait(operator, 2 * DAY, 3600)
        assert condition(cluster, "a") == ("Unknown", "Disabled")
    assert datadog.calls() == ["mark"]


async def test_one_list_serves_every_mark_of_a_service_and_env(cluster: FakeCluster, datadog: StoringDatadog) -> None:
    """Two hundred marks at once: a few lists in the first hour, and every mark is verified."""
    for number in range(200):
        datadog.deployed(f"v{number}", finished=NOW - timedelta(seconds=number))
        cluster.apply(f"a{number}", deployment=VERSION | {"version": f"v{number}"}, changeFailure=True)
    async with running_operator(cluster, datadog, read_back=True) as operator:
        datadog.operator = operator
        await wait(operator, 3700, 10)
        verified = [condition(cluster, f"a{number}") for number in range(200)]
    assert set(verified) == {("True", "ReadBack")}
    assert len(datadog.calls("list", "get")) <= 6


async def test_a_restart_neither_forgets_a_read_nor_adds_one(cluster: FakeCluster, datadog: StoringDatadog) -> None:
    """Down at the time of the first read: it is made at the start. Verified resources cost nothing at a start."""
    datadog.deployed("2")
    cluster.apply("a", deployment=VERSION, changeFailure=True)
    async with running_operator(cluster, datadog, read_back=True) as operator:
        datadog.operator = operator
        later = operator.now + timedelta(seconds=50)
    async with running_operator(cluster, datadog, read_back=True, now=later) as operator:
        datadog.operator = operator
        await operator.pass_time(1)
        assert condition(cluster, "a") == ("True", "ReadBack")
        later = operator.now + timedelta(seconds=300)
    async with running_operator(cluster, datadog, read_back=True, now=later) as operator:
        datadog.operator = operator
        await wait(operator, 3 * DAY, 3600)
        later = operator.now
    assert len(datadog.calls("list", "get")) == 2
    writes = cluster.status_writes
    async with running_operator(cluster, datadog, read_back=True, now=later) as operator:
        datadog.operator = operator
        await wait(operator, 3600, 600)
    assert (len(datadog.calls("list", "get")), cluster.status_writes) == (2, writes)


async def test_a_mark_is_sent_again_until_datadog_has_evaluated_the_deployment(cluster: FakeCluster) -> None:
    """It was accepted before the deployment was there, and lost: NotEvaluated counts as not applied."""
    datadog = StoringDatadog(settings={"evaluation_delay": 3600})
    cluster.apply("a", deployment=VERSION, changeFailure=True)
    async with running_operator(cluster, datadog, read_back=True) as operator:
        datadog.operator = operator
        await wait(operator, 60)
        deployment_id = datadog.deployed("2")
        await wait(operator, 200)
        assert condition(cluster, "a") == ("Unknown", "NotEvaluated")
        assert condition(cluster, "a", "Ready") == ("True", "Accepted")
        await wait(operator, 2 * DAY, 600)
        assert condition(cluster, "a") == ("True", "ReadBack")
    assert datadog.stored(deployment_id) == (True, None)
