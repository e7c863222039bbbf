"""A backlog under Datadog's rate limit: no request too many, none too early, none lost, aborts first."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from math import ceil
from typing import Any

import httpx
import pytest

from dora_operator.domain.fields import ObjectKey
from tests.flow.test_rollouts import live
from tests.support.builders import NOW
from tests.support.fakes import FakeCluster, FakeDatadog, Operator, running_operator
from tests.unit.rollout.test_traces import trace

LIMIT = 20
PERIOD = 60


@dataclass
class LimitedDatadog(FakeDatadog):
    """Lets so many requests of each account through in each window of the calendar."""

    operator: Operator | None = None
    refused: int = 0

    def __post_init__(self) -> None:
        """Begin with whole windows."""
        FakeDatadog.__post_init__(self)
        self._used: dict[tuple[str, int], int] = {}

    async def __call__(self, request: httpx.Request) -> httpx.Response:
        """Count, then answer."""
        now = (self.operator.now if self.operator else NOW).timestamp()
        window = (request.headers["dd-api-key"], int(now // PERIOD))
        used = self._used[window] = self._used.get(window, 0) + 1
        headers = {
            "X-RateLimit-Remaining": str(max(0, LIMIT - used)),
            "X-RateLimit-Reset": str(ceil((window[1] + 1) * PERIOD - now)),
        }
        self.refused += used > LIMIT
        self.answers = [httpx.Response(429 if used > LIMIT else 202, headers=headers)]
        return await super().__call__(request)


def backlog(count: int, **spec: object) -> FakeCluster:
    """Return a cluster in which so many deployments wait to be marked."""
    cluster = FakeCluster()
    for number in range(count):
        cluster.apply(f"a{number}", deployment={"id": f"deployment-{number}"}, changeFailure=True, **spec)
    return cluster


def marked(datadog: FakeDatadog) -> list[str]:
    """Return the ids, or versions, in the order of the requests."""
    found = []
    for request in datadog.requests:
        data = json.loads(request.content)["data"]
        found.append(data.get("id") or data["attributes"]["version"])
    return found


async def work_off(operator: Operator, datadog: FakeDatadog, count: int, most_seconds: int) -> float:
    """Let time pass until so many requests have come, and return the seconds."""
    begun = operator.now
    while len(datadog.requests) < count:
        assert operator.now - begun < timedelta(seconds=most_seconds), f"{len(datadog.requests)} after {most_seconds} s"
        await operator.pass_time(1)
    return (operator.now - begun).total_seconds()


async def test_a_backlog_takes_as_long_as_the_limit_says() -> None:
    """Ten windows' worth of marks: no 429, no repeat, no more writes than one word on the wait and one on the end."""
    cluster, datadog = backlog(10 * LIMIT), LimitedDatadog()
    async with running_operator(cluster, datadog) as operator:
        datadog.operator = operator
        seconds = await work_off(operator, datadog, 10 * LIMIT, 2000)
        assert datadog.refused == 0
        assert sorted(marked(datadog)) == sorted(f"deployment-{number}" for number in range(10 * LIMIT))
        assert seconds <= 1.1 * 9 * PERIOD
        await operator.settle()
        assert cluster.status_writes <= 2 * 10 * LIMIT


@pytest.mark.parametrize("seconds", [1, 45])
async def test_an_abort_overtakes_the_backlog(seconds: int) -> None:
    """What a Rollout has aborted is marked first in the next window, though the backlog has waited for a while."""
    cluster, datadog = backlog(5 * LIMIT), LimitedDatadog()
    async with running_operator(cluster, datadog) as operator:
        datadog.operator = operator
        assert len(datadog.requests) == LIMIT
        operator.now += timedelta(seconds=seconds)
        await live(operator, trace("canary-manual-abort"))
        assert len(datadog.requests) == LIMIT
        await work_off(operator, datadog, LIMIT + 1, 100)
        assert marked(datadog)[LIMIT] == "1.1.0"


async def test_who_waits_longest_is_not_starved_by_newer_changes() -> None:
    """New changes in every window, as many as it lets through: the first list gets its turn all the same."""
    cluster, datadog = backlog(2 * LIMIT), LimitedDatadog()
    async with running_operator(cluster, datadog) as operator:
        datadog.operator = operator
        for window in range(1, 4):
            for number in range(LIMIT):
                cluster.apply(
                    f"new-{window}-{number}", deployment={"id": f"new-deployment-{window}-{number}"}, changeFailure=True
                )
            await work_off(operator, datadog, (window + 1) * LIMIT, 100)
        assert {f"deployment-{number}" for number in range(2 * LIMIT)} <= set(marked(datadog))


async def test_another_account_goes_on() -> None:
    """One account's limit is no other's."""
    cluster, datadog = backlog(2 * LIMIT), LimitedDatadog()
    cluster.put_secret("theirs", "their-api-key")
    async with running_operator(cluster, datadog) as operator:
        datadog.operator = operator
        cluster.apply(
            "b", deployment={"id": "their-deployment"}, changeFailure=True, credentialsSecretRef={"name": "theirs"}
        )
        await operator.settle()
        assert marked(datadog)[-1] == "their-deployment"
        assert len(datadog.requests) == LIMIT + 1


async def test_the_same_key_in_many_secrets_is_one_account() -> None:
    """Each namespace has a copy of the organisation's keys: together they keep the limit, and none gets a 429."""
    cluster, datadog = FakeCluster(), LimitedDatadog()
    teams = [f"team-{number}" for number in range(4)]
    for team in teams:
        cluster.put_secret("copy", "the-one-key", team)
        for number in range(LIMIT // 2):
            mine = {"deployment": {"id": f"deployment-{team}-{number}"}, "credentialsSecretRef": {"name": "copy"}}
            cluster.apply(f"a{number}", namespace=team, changeFailure=True, **mine)
    async with running_operator(cluster, datadog) as operator:
        datadog.operator = operator
        assert len(datadog.requests) == LIMIT
        await work_off(operator, datadog, 2 * LIMIT, 100)
        await operator.settle()
    assert datadog.refused == 0
    assert len(set(marked(datadog))) == len(marked(datadog)) == 2 * LIMIT


async def test_a_429_for_one_copy_of_a_key_holds_the_other() -> None:
    """No request before the reset, whichever Secret the key is read from; a Secret with another key goes on."""
    cluster, datadog = FakeCluster(), FakeDatadog()
    for name, key in {"one": "the-one-key", "two": "the-one-key", "other": "another-key"}.items():
        cluster.put_secret(name, key)
    async with running_operator(cluster, datadog) as operator:
        for name in ("one", "two", "other"):
            mine = {"deployment": {"id": f"deployment-before-{name}"}, "credentialsSecretRef": {"name": name}}
            cluster.apply(f"before-{name}", changeFailure=True, **mine)
            await operator.settle()
        datadog.answers = [httpx.Response(429, headers={"X-RateLimit-Reset": "30"}), httpx.Response(202)]
        for name in ("one", "two", "other"):
            mine = {"deployment": {"id": f"deployment-{name}"}, "credentialsSecretRef": {"name": name}}
            cluster.apply(f"after-{name}", changeFailure=True, **mine)
            await operator.settle()
        await operator.pass_time(29)
        assert marked(datadog)[3:] == ["deployment-one", "deployment-other"]
        await operator.pass_time(3)
        assert sorted(marked(datadog)[5:]) == ["deployment-one", "deployment-two"]


async def test_who_gives_up_does_not_keep_the_others_waiting() -> None:
    """The first in line is suspended, the second deleted: the third goes when the window opens."""
    cluster, datadog = backlog(LIMIT + 3), LimitedDatadog()
    async with running_operator(cluster, datadog) as operator:
        datadog.operator = operator
        waiting = sorted(
            set(cluster.objects) - {key for key in cluster.objects if cluster.status(key.name).get("accepted")}
        )
        assert len(waiting) == 3
        cluster.apply(
            waiting[0].name,
            deployment=cluster.objects[waiting[0]]["spec"]["deployment"],
            changeFailure=True,
            suspend=True,
        )
        cluster.delete(waiting[1].name)
        await work_off(operator, datadog, LIMIT + 1, 100)
        assert len(operator.app.deployment_workers.queue) == 0


async def test_a_restart_sends_nothing_before_the_reset() -> None:
    """The new process knows from the statuses that the account has to wait."""
    cluster, datadog = backlog(2 * LIMIT), LimitedDatadog()
    async with running_operator(cluster, datadog):
        pass
    assert len(datadog.requests) == LIMIT
    cluster.apply("new", deployment={"id": "deployment-new"}, changeFailure=True)
    cluster.objects = dict(reversed(cluster.objects.items()))  # what knows nothing of a limit is reconciled first
    async with running_operator(cluster, datadog) as operator:
        datadog.operator = operator
        assert len(datadog.requests) == LIMIT
        await work_off(operator, datadog, 2 * LIMIT, 100)
        assert datadog.refused == 0


async def test_a_takeover_sends_nothing_before_the_reset() -> None:
    """A replica that has only watched knows from the statuses that came since its list which accounts must wait."""
    cluster, datadog = FakeCluster(), LimitedDatadog()
    async with running_operator(cluster, datadog, leads=False) as follower:
        follows = cluster.report
        async with running_operator(cluster, datadog) as leader:
            leads = cluster.report

            def to_both(event_type: str, body: Mapping[str, Any]) -> None:
                follows(event_type, body)
                leads(event_type, body)

            cluster.report = to_both
            for number in range(LIMIT + 2):
                cluster.apply(f"a{number}", deployment={"id": f"deployment-{number}"}, changeFailure=True)
            await leader.settle()
        assert len(datadog.requests) == LIMIT
        cluster.report, datadog.operator = follows, follower
        cluster.apply("new", deployment={"id": "deployment-new"}, changeFailure=True)
        follower.app.deployments.requeue([ObjectKey("shop", "new")])  # reconciled first
        follower.lead()
        await follower.settle()
        assert len(datadog.requests) == LIMIT
        await work_off(follower, datadog, LIMIT + 3, 100)
    assert datadog.refused == 0
