"""Read-back through the whole operator: every reason of Verified, what it makes the operator do, and what it costs."""

import json
from datetime import timedelta
from typing import Any

import httpx
import pytest

from tests.support.builders import NOW
from tests.support.fakes import FakeCluster, Operator, running_operator
from tests.support.levels import Rollout, play
from tests.support.storing import StoringDatadog

VERSION = {"service": "checkout", "env": "prod", "version": "2"}
DAY = 86_400


def condition(cluster: FakeCluster, name: str, kind: str = "Verified") -> tuple[str, str]:
    """Return status and reason of a condition."""
    (found,) = [one for one in cluster.status(name)["conditions"] if one["type"] == kind]
    return found["status"], found["reason"]


async def wait(operator: Operator, seconds: float, step: float = 5) -> None:
    """Let time pass in steps."""
    end = operator.now + timedelta(seconds=seconds)
    while operator.now < end:
        await operator.pass_time(min(step, (end - operator.now).total_seconds()))


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
    """DeploymentMissing: five reads, then one a day for a week, and none after that."""
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
    assert len(datadog.calls("list")) == 5 + 7
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
        pytest.param(
            {"evaluation_delay": 7200, "marks_before_evaluation": False}, "NotEvaluated", id="the evaluation lags"
        ),
    ],
)
async def test_what_cannot_be_told_stays_unknown_and_ready(
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


async def test_several_deployments_of_a_version_are_ambiguous(cluster: FakeCluster, datadog: StoringDatadog) -> None:
    """Nothing singles one out for a resource written by hand: it stays by version."""
    datadog.deployed("2", finished=NOW - timedelta(hours=2))
    datadog.deployed("2")
    cluster.apply("a", deployment=VERSION, changeFailure=True)
    async with running_operator(cluster, datadog, read_back=True) as operator:
        datadog.operator = operator
        await wait(operator, 60)
        assert condition(cluster, "a") == ("Unknown", "Ambiguous")
        assert cluster.status("a")["target"]["by"] == "Version"


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


async def aborted(cluster: FakeCluster, datadog: StoringDatadog, seconds: float, **settings: Any) -> Operator:
    """Abort version 2 of a Rollout and let time pass."""
    async with running_operator(cluster, datadog, read_back=True, **settings) as operator:
        datadog.operator = operator
        await play(operator, Rollout(), "deploy h1 1", "promote", "deploy h2 2", "abort")
        await wait(operator, seconds)
        return operator


async def test_a_missing_deployment_is_created_and_marked(cluster: FakeCluster, datadog: StoringDatadog) -> None:
    """onMissing: Create. After 15 minutes its event is posted with the Rollout's times, and marked by its id."""
    await aborted(cluster, datadog, 800, on_missing="Create")
    assert datadog.calls("event", "mark") == ["mark"]
    datadog.requests.clear()
    async with running_operator(
        cluster, datadog, read_back=True, on_missing="Create", now=datadog.operator.now
    ) as operator:  # type: ignore[union-attr]
        datadog.operator = operator
        await wait(operator, 4000)
        assert datadog.calls("event", "mark") == ["event", "mark"]
        event = next(
            json.loads(each.content)["data"]["attributes"]
            for each in datadog.requests
            if each.url.path.rsplit("/", 1)[-1] == "deployment"
        )
        assert VERSION.items() <= event.items()
        assert event["finished_at"] - event["started_at"] == 5 * 10**9
        assert datadog.stored(event["id"]) == (True, None)
        assert condition(cluster, "checkout-h2") == ("True", "ReadBack")
        assert cluster.status("checkout-h2")["target"]["id"] == event["id"]


@pytest.mark.parametrize(
    ("annotations", "settings", "creates"),
    [
        pytest.param({}, {}, False, id="Wait is the default"),
        pytest.param({"dora-operator.io/on-missing": "Create"}, {}, True, id="the Namespace says Create"),
        pytest.param(
            {"dora-operator.io/on-missing": "Wait"}, {"on_missing": "Create"}, False, id="the Namespace says Wait"
        ),
    ],
)
async def test_who_decides_about_missing_deployments(
    cluster: FakeCluster,
    datadog: StoringDatadog,
    annotations: dict[str, str],
    settings: dict[str, Any],
    creates: bool,  # noqa: FBT001
) -> None:
    """The annotation of the Namespace wins over the operator's setting."""
    cluster.annotations = annotations
    await aborted(cluster, datadog, 1000, **settings)
    assert ("event" in datadog.calls()) is creates


async def test_a_twin_that_appears_later_is_reported_and_never_deleted(
    cluster: FakeCluster, datadog: StoringDatadog
) -> None:
    """Datadog ingests the real deployment after the operator created one: a Warning, once."""
    await aborted(cluster, datadog, 1000, on_missing="Create")
    assert datadog.operator is not None
    datadog.deployed("2", finished=NOW)
    async with running_operator(
        cluster, datadog, read_back=True, on_missing="Create", now=datadog.operator.now
    ) as operator:
        datadog.operator = operator
        await wait(operator, 2 * DAY, 600)
    assert ("checkout-h2", "DuplicateDeployment") in cluster.warnings()
    assert "DELETE" not in {request.method for request in datadog.requests}


async def test_a_restoration_is_linked_once_the_failure_was_read_back(
    cluster: FakeCluster, datadog: StoringDatadog
) -> None:
    """abortRecovery: Restored. Mark, read, event, link; the recovery time is from the abort to the restoration."""
    failed = datadog.deployed("2", finished=NOW + timedelta(seconds=18))
    await aborted(cluster, datadog, 200, abort_recovery="Restored")
    assert datadog.calls("mark", "event") == ["mark", "event", "mark"]
    assert datadog.calls().index("list") < datadog.calls().index("event")
    linked = datadog.stored(failed)[1]
    assert linked is not None
    assert linked.startswith("dora-operator-")
    assert condition(cluster, "checkout-h2") == ("True", "ReadBack")


async def test_no_restoration_for_a_deployment_that_datadog_does_not_have(
    cluster: FakeCluster, datadog: StoringDatadog
) -> None:
    """By Datadog's rule a posted restoration alone looks like a rollback: nothing is posted."""
    await aborted(cluster, datadog, 4000, abort_recovery="Restored")
    assert "event" not in datadog.calls()


async def test_a_rollback_is_linked_to_the_redeployment_not_to_the_older_deployment(
    cluster: FakeCluster, datadog: StoringDatadog
) -> None:
    """The redeployment of version 1 is ingested late: the link waits for it, and the mark does not."""
    datadog.deployed("1", finished=NOW - timedelta(days=1))
    failed = datadog.deployed("2", finished=NOW)
    async with running_operator(cluster, datadog, read_back=True) as operator:
        datadog.operator = operator
        await play(operator, Rollout(), "deploy h1 1", "promote", "deploy h2 2", "promote", "deploy h1", "promote")
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
        await wait(operator, 2000)
        assert condition(cluster, "checkout-h2") == ("False", "RecoveryNegative")
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
        assert condition(cluster, "checkout-h2") == ("False", "RecoveryNegative")
    assert datadog.stored(failed) == (True, None)


async def test_a_deployment_that_is_found_after_all_is_not_created(
    cluster: FakeCluster, datadog: StoringDatadog
) -> None:
    """Missing at the first read, there at the second, and the mark was lost: sent again, and nothing is posted."""
    async with running_operator(cluster, datadog, read_back=True, on_missing="Create") as operator:
        datadog.operator = operator
        await play(operator, Rollout(), "deploy h1 1", "promote", "deploy h2 2", "abort")
        await wait(operator, 60)
        assert condition(cluster, "checkout-h2") == ("False", "DeploymentMissing")
        found = datadog.deployed("2", finished=operator.now - timedelta(seconds=60))
        await wait(operator, 2 * DAY, 600)
    assert datadog.calls("mark", "event") == ["mark", "mark"]
    assert datadog.stored(found) == (True, None)
