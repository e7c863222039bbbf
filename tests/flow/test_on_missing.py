"""A missing deployment is waited for or created, as its resource, its Rollout, its Namespace or the setting says."""

import json
from datetime import timedelta
from typing import Any

import httpx
import pytest

from tests.support.builders import NOW
from tests.support.fakes import FakeCluster, running_operator
from tests.support.levels import Rollout, play
from tests.support.reading_back import DAY, VERSION, aborted, condition, wait
from tests.support.storing import StoringDatadog

NAME = "dora-operator.io/on-missing"
DEPLOYED = ("deploy h1 1", "promote", "deploy h2 2")
FOLLOWS = {"deployment": VERSION, "sourceRef": {"name": "checkout"}}


@pytest.fixture
def datadog() -> StoringDatadog:
    """Return a Datadog that stores."""
    return StoringDatadog()


@pytest.mark.parametrize(
    ("steps", "namespace", "setting", "creates"),
    [
        pytest.param([f"annotate {NAME} Create"], None, "Wait", True, id="the Rollout says Create"),
        pytest.param([f"annotate {NAME} Wait"], "Create", "Create", False, id="the Rollout wins over the Namespace"),
        pytest.param([f"annotate {NAME} create"], None, "Wait", False, id="a word that is none of the two"),
        pytest.param([], "Create", "Wait", True, id="the Namespace says Create"),
        pytest.param([], "Wait", "Create", False, id="the Namespace wins over the setting"),
        pytest.param([], None, "Create", True, id="the setting says Create"),
        pytest.param([], None, "Wait", False, id="the setting says Wait"),
    ],
)
async def test_a_record_follows_rollout_namespace_and_setting(
    steps: list[str],
    namespace: str | None,
    setting: str,
    creates: bool,  # noqa: FBT001
) -> None:
    """In this order."""
    cluster, datadog = FakeCluster(), StoringDatadog()
    cluster.annotations = {} if namespace is None else {NAME: namespace}
    async with running_operator(cluster, datadog, read_back=True, on_missing=setting) as operator:
        datadog.operator = operator
        await play(operator, Rollout(), *steps, *DEPLOYED, "abort")
        await wait(operator, 3700, 50)
    assert datadog.calls("event") == (["event"] if creates else [])


async def test_an_annotation_that_is_set_after_the_abort_counts() -> None:
    """A person sees DeploymentMissing, and annotates the Rollout that still shows the failure."""
    cluster, datadog, rollout = FakeCluster(), StoringDatadog(), Rollout()
    async with running_operator(cluster, datadog, read_back=True) as operator:
        datadog.operator = operator
        await play(operator, rollout, *DEPLOYED, "abort")
        await wait(operator, 300, 20)
        await play(operator, rollout, f"annotate {NAME} Create")
        await wait(operator, 3700, 50)
    assert datadog.calls("event", "mark") == ["mark", "event", "mark"]


@pytest.mark.parametrize("wins", ["Wait", "Create"])
async def test_the_resource_wins_over_its_rollout(wins: str) -> None:
    """What a user's resource says counts."""
    cluster, datadog = FakeCluster(), StoringDatadog()
    other = {"Wait": "Create", "Create": "Wait"}[wins]
    cluster.apply("mine", **FOLLOWS, onMissing=wins)
    async with running_operator(cluster, datadog, read_back=True, on_missing=other) as operator:
        datadog.operator = operator
        await play(operator, Rollout(), f"annotate {NAME} {other}", *DEPLOYED, "abort")
        await wait(operator, 3700, 50)
        assert cluster.status("mine")["target"]["version"] == "2"
    assert ("event" in datadog.calls()) is (wins == "Create")


@pytest.mark.parametrize(
    ("settings", "seconds", "asked"),
    [
        pytest.param({}, 35, ["event", "mark"], id="visible at once"),
        pytest.param(
            {"ingest_delay": 100, "early_mark": "applied_later"}, 125, ["event", "mark"], id="visible after 100 s"
        ),
        pytest.param(
            {"ingest_delay": 100}, 605, ["event", "mark", "mark"], id="visible after 100 s, and its mark lost"
        ),
    ],
)
async def test_a_created_deployment_is_verified_within_minutes(
    settings: dict[str, Any], seconds: int, asked: list[str]
) -> None:
    """The schedule begins again with the creation; then one last read after a day."""
    cluster, datadog = FakeCluster(), StoringDatadog(settings=settings)
    async with running_operator(cluster, datadog, read_back=True, on_missing="Create") as operator:
        datadog.operator = operator
        await play(operator, Rollout(), *DEPLOYED, "abort")
        await wait(operator, 3590, 10)
        first = cluster.status("checkout-h2")["acceptedTime"]
        assert condition(cluster, "checkout-h2") == ("False", "DeploymentMissing")
        await wait(operator, 25)
        assert condition(cluster, "checkout-h2", "Ready") == ("True", "Accepted")
        assert condition(cluster, "checkout-h2") == ("Unknown", "Pending")
        assert cluster.status("checkout-h2")["acceptedTime"] > first
        await wait(operator, seconds)
        assert condition(cluster, "checkout-h2") == ("True", "ReadBack")
        reads = len(datadog.calls("list"))
        await wait(operator, DAY * 2, 600)
    assert datadog.calls("event", "mark") == ["mark", *asked]
    assert len(datadog.calls("list")) == reads + 1


async def test_a_creation_that_is_lost_is_repeated_a_few_times() -> None:
    """Datadog takes the event and never shows it: the same event on the schedule, and once a day later."""
    cluster, datadog = FakeCluster(), StoringDatadog(settings={"ingest_delay": DAY * 90})
    async with running_operator(cluster, datadog, read_back=True, on_missing="Create") as operator:
        datadog.operator = operator
        await play(operator, Rollout(), *DEPLOYED, "abort")
        await wait(operator, DAY * 12, 300)
        events, reads = len(datadog.calls("event")), len(datadog.calls("list"))
        await wait(operator, DAY * 12, 600)
    posted = {each.content for each in datadog.requests if each.url.path.endswith("/deployment")}
    assert len(posted) == 1
    assert 1 < events == len(datadog.calls("event")) <= 7
    assert reads == len(datadog.calls("list")) <= 12


@pytest.mark.parametrize(
    ("answers", "seconds"),
    [
        pytest.param([httpx.Response(503)] * 3, 60, id="an outage"),
        pytest.param([httpx.Response(429, headers={"X-RateLimit-Reset": "37"})], 60, id="a rate limit"),
        pytest.param([httpx.Response(403)], 600, id="a missing permission"),
    ],
)
async def test_an_event_that_is_not_taken_is_posted_again(answers: list[httpx.Response], seconds: int) -> None:
    """With the same body; the mark by its id waits until the event is taken."""
    cluster, datadog, refused = FakeCluster(), StoringDatadog(), len(answers)

    def refuse(request: httpx.Request) -> httpx.Response | None:
        return answers.pop(0) if answers and request.url.path.endswith("/deployment") else None

    datadog.before = refuse
    async with running_operator(cluster, datadog, read_back=True, on_missing="Create") as operator:
        datadog.operator = operator
        await play(operator, Rollout(), *DEPLOYED, "abort")
        await wait(operator, 3600, 20)
        await wait(operator, 5 + seconds)
    assert datadog.calls("event", "mark") == ["mark", *["event"] * (refused + 1), "mark"]
    assert len({each.content for each in datadog.requests if each.url.path.endswith("/deployment")}) == 1


async def test_an_event_that_is_refused_is_one_warning() -> None:
    """Only a person can help: nothing is posted again, and nothing is marked by an id that does not exist."""
    cluster, datadog = FakeCluster(), StoringDatadog()
    refused = httpx.Response(400, json={"errors": ["no"]})
    datadog.before = lambda request: refused if request.url.path.endswith("/deployment") else None
    async with running_operator(cluster, datadog, read_back=True, on_missing="Create") as operator:
        datadog.operator = operator
        await play(operator, Rollout(), *DEPLOYED, "abort")
        await wait(operator, 2 * DAY, 300)
    assert datadog.calls("event", "mark") == ["mark", "event"]
    assert ("checkout-h2", "RequestRejected") in cluster.warnings()


async def test_a_mark_by_hand_is_never_created() -> None:
    """Nobody knows the times of its deployment."""
    cluster, datadog = FakeCluster(), StoringDatadog()
    cluster.apply("mine", deployment=VERSION, changeFailure=True, onMissing="Create")
    async with running_operator(cluster, datadog, read_back=True) as operator:
        datadog.operator = operator
        await wait(operator, timedelta(days=2).total_seconds(), 600)
    assert datadog.calls("event") == []


async def test_a_missing_deployment_is_created_and_marked(cluster: FakeCluster, datadog: StoringDatadog) -> None:
    """onMissing: Create. After an hour its event is posted with the Rollout's times, and marked by its id."""
    await aborted(cluster, datadog, 3500, on_missing="Create")
    assert datadog.calls("event", "mark") == ["mark"]
    datadog.requests.clear()
    async with running_operator(
        cluster, datadog, read_back=True, on_missing="Create", now=datadog.operator.now
    ) as operator:  # type: ignore[union-attr]
        datadog.operator = operator
        await wait(operator, 4000, 20)
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
        assert cluster.status("checkout-h2")["readBack"]["id"] == event["id"]
        assert event["custom_tags"] == ["dora_operator:created"]


async def test_the_real_deployment_that_appears_later_is_marked(cluster: FakeCluster, datadog: StoringDatadog) -> None:
    """Datadog ingests it after the operator posted one: it is marked by its id, and the operator deletes its own."""
    await aborted(cluster, datadog, 3800, on_missing="Create")
    assert datadog.operator is not None
    assert datadog.calls("event") == ["event"]
    real = datadog.deployed("2", finished=NOW + timedelta(seconds=18))
    async with running_operator(
        cluster, datadog, read_back=True, on_missing="Create", now=datadog.operator.now
    ) as operator:
        datadog.operator = operator
        await wait(operator, 2 * DAY, 600)
    assert datadog.stored(real) == (True, None)
    (deleted,) = [request.url.path for request in datadog.requests if request.method == "DELETE"]
    assert deleted.startswith("/api/v2/dora/deployment/dora-operator-")
    assert [row.id for row in datadog.api.model.visible(datadog.now)] == [real]
    assert cluster.status("checkout-h2")["target"]["id"] == real


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


async def test_a_created_event_is_deleted_when_its_failure_recovers(
    cluster: FakeCluster, datadog: StoringDatadog
) -> None:
    """CI posts successes only: the abort was posted by the operator, and the retry, which was promoted, by CI."""
    rollout = Rollout()
    async with running_operator(cluster, datadog, read_back=True, on_missing="Create") as operator:
        datadog.operator = operator
        await play(operator, rollout, *DEPLOYED, "abort")
        await wait(operator, 4000, 50)
        assert [row.shown_failure for row in datadog.api.model.visible(datadog.now)] == [True]
        await play(operator, rollout, "retry")
        await wait(operator, 600, 50)
        await play(operator, rollout, "promote")
        real = datadog.deployed("2", finished=operator.now)
        await wait(operator, DAY * 3, 600)
        assert [(row.id, row.shown_failure) for row in datadog.api.model.visible(datadog.now)] == [(real, False)]
    assert not cluster.objects


async def test_the_missing_deployment_of_a_failure_that_recovered_is_not_searched_for_ever(
    cluster: FakeCluster, datadog: StoringDatadog
) -> None:
    """There is nothing to withdraw: after a day its record is deleted."""
    rollout = Rollout()
    async with running_operator(cluster, datadog, read_back=True) as operator:
        datadog.operator = operator
        await play(operator, rollout, *DEPLOYED, "abort")
        await wait(operator, 700, 50)
        await play(operator, rollout, "retry", "promote")
        await wait(operator, DAY * 3, 600)
        lists = len(datadog.calls("list"))
        await wait(operator, DAY * 2, 600)
    assert not cluster.objects
    assert len(datadog.calls("list")) == lists


async def test_a_missing_deployment_is_created_where_datadog_answers_404(cluster: FakeCluster) -> None:
    """After the first answer the deployment is searched for, as any repeated mark's is."""
    datadog = StoringDatadog(settings={"unknown_deployment": "not_found"})
    async with running_operator(cluster, datadog, read_back=True, on_missing="Create") as operator:
        datadog.operator = operator
        await play(operator, Rollout(), *DEPLOYED, "abort")
        await wait(operator, 9000, 50)
        assert [row.shown_failure for row in datadog.api.model.visible(datadog.now)] == [True]
    assert condition(cluster, "checkout-h2") == ("True", "ReadBack")
