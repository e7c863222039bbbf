"""`abortRecovery: Restored` under every answer that Datadog can give, and whatever the Rollout does meanwhile."""

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import httpx
import pytest

from dora_operator.clients.errors import KubernetesError
from tests.support.builders import NOW
from tests.support.fakes import FakeCluster, FakeDatadog, Operator, running_operator
from tests.support.levels import Rollout, play

ABORTED = ("deploy h1 1", "deploy h2 2", "abort")
DOWN, REFUSES, FORBIDS = (httpx.Response(code) for code in (503, 400, 403))
TAKEN = httpx.Response(200, text='{"data":{"id":"x","type":"dora_deployment"}}')


@dataclass
class Datadog(FakeDatadog):
    """Takes every mark, and answers events from a script whose last answer repeats."""

    to_events: list[httpx.Response] = field(default_factory=lambda: [TAKEN])
    posts: list[tuple[datetime, bytes]] = field(default_factory=list)
    operator: Operator | None = None

    async def __call__(self, request: httpx.Request) -> httpx.Response:
        """Answer one request."""
        if request.method != "POST":
            return await super().__call__(request)
        self.requests.append(request)
        self.posts.append((self.operator.now if self.operator else NOW, request.content))
        answer = self.to_events.pop(0) if len(self.to_events) > 1 else self.to_events[0]
        return httpx.Response(answer.status_code, headers=answer.headers, content=answer.content)

    def order(self) -> list[str]:
        """Return what was asked, in order: a mark, an event or a link."""
        words = {"POST": "event"}
        return [words.get(one.method) or ("link" if b"remediation" in one.content else "mark") for one in self.requests]

    def bodies(self) -> set[bytes]:
        """Return the different bodies of events."""
        return {body for _, body in self.posts}

    def seconds(self) -> list[float]:
        """Return when events were posted, in seconds since the first."""
        return [(at - self.posts[0][0]).total_seconds() for at, _ in self.posts]


@pytest.fixture
def cluster() -> FakeCluster:
    """Return an empty cluster."""
    return FakeCluster()


async def wait(operator: Operator, seconds: int, step: int = 5) -> None:
    """Let time pass in small steps."""
    for _ in range(0, seconds, step):
        await operator.pass_time(step)


async def played(cluster: FakeCluster, answers: Iterable[httpx.Response], seconds: int, *later: str) -> Datadog:
    """Return Datadog after an abort whose stable version was whole all along; `later` happens 20 s after."""
    datadog, rollout = Datadog(to_events=list(answers)), Rollout()
    async with running_operator(cluster, datadog, abort_recovery="Restored") as operator:
        datadog.operator = operator
        await play(operator, rollout, *ABORTED)
        await wait(operator, 20)
        await play(operator, rollout, *later)
        await wait(operator, seconds)
    return datadog


async def test_the_mark_does_not_wait_for_the_event(cluster: FakeCluster) -> None:
    """Also where the stable version was whole all along, as with blue-green, the failure is said first."""
    datadog = await played(cluster, [TAKEN], 60)
    assert datadog.order() == ["mark", "event", "link"]


async def test_a_repeated_event_has_the_same_body(cluster: FakeCluster) -> None:
    """When the stable version was whole again is written down before the first post, and does not move."""
    datadog = await played(cluster, [DOWN, DOWN, DOWN, TAKEN], 120)
    assert datadog.order() == ["mark", "event", "event", "event", "event", "link"]
    assert len(datadog.bodies()) == 1


@pytest.mark.parametrize("follows", [False, True], ids=["the operator's own record", "a user's resource"])
async def test_killed_between_the_event_and_its_link(cluster: FakeCluster, *, follows: bool) -> None:
    """The next operator posts the same event to the byte, and then links it."""
    datadog, rollout = Datadog(to_events=[DOWN]), Rollout()
    if follows:
        version = {"service": "checkout", "env": "prod", "version": "2"}
        cluster.apply("mine", age_seconds=60, deployment=version, sourceRef={"name": "checkout"})
    async with running_operator(cluster, datadog, abort_recovery="Restored") as operator:
        await play(operator, rollout, *ABORTED)
        await wait(operator, 3, step=1)
        later = operator.now + timedelta(seconds=100)
    assert datadog.order()[:2] == ["mark", "event"]
    datadog.to_events = [TAKEN]
    async with running_operator(cluster, datadog, abort_recovery="Restored", now=later) as operator:
        rollout.show_listed(operator)
        await wait(operator, 30)
    assert datadog.order()[-2:] == ["event", "link"]
    assert len(datadog.bodies()) == 1


async def test_a_link_that_could_not_be_written_down_is_no_second_event(cluster: FakeCluster) -> None:
    """The API server goes away with the post under way: what Datadog has taken is remembered."""
    datadog, apply = Datadog(), cluster.apply_record

    async def without_links(manifest: Any) -> Any:
        if "remediation" in manifest["spec"]:
            raise KubernetesError("the API server is down")
        return await apply(manifest)

    async with running_operator(cluster, datadog, abort_recovery="Restored") as operator:
        cluster.apply_record = without_links  # type: ignore[method-assign]
        await play(operator, Rollout(), *ABORTED)
        await wait(operator, 20)
        cluster.apply_record = apply  # type: ignore[method-assign]
        await wait(operator, 60)
    assert datadog.order() == ["mark", "event", "link"]


@pytest.mark.parametrize(
    "later",
    [
        pytest.param(("deploy h3 3",), id="a newer version is in flight"),
        pytest.param(("deploy h1",), id="the abort was undone"),
    ],
)
async def test_the_event_is_owed_whatever_the_rollout_does_next(cluster: FakeCluster, later: tuple[str, ...]) -> None:
    """Datadog is down when the stable version is whole again, and back when the abort is history."""
    datadog = await played(cluster, [DOWN] * 5 + [TAKEN], 600, *later)
    assert datadog.order()[-2:] == ["event", "link"]
    assert len(datadog.bodies()) == 1


async def test_a_link_by_version_is_not_sent_after_a_retry(cluster: FakeCluster) -> None:
    """Read-back is off, so the event would be linked to the deployment of the retry: it is reported instead."""
    datadog = await played(cluster, [DOWN] * 5 + [TAKEN], 600, "retry")
    assert "link" not in datadog.order()
    assert cluster.warnings() == [("checkout-h2", "Ambiguous")]


async def test_a_newer_version_is_not_the_remediation(cluster: FakeCluster) -> None:
    """The service was restored at the abort: the event for that stays due, whatever is promoted later."""
    datadog = await played(cluster, [DOWN] * 5 + [TAKEN], 600, "deploy h3 3", "promote")
    assert datadog.order()[-2:] == ["event", "link"]
    assert len(datadog.bodies()) == 1


async def test_a_rate_limit_is_waited_for_to_its_end(cluster: FakeCluster) -> None:
    """After a 429 nothing is posted before the account's window ends, and then at once."""
    limited = httpx.Response(429, headers={"X-RateLimit-Reset": "37", "X-RateLimit-Remaining": "0"})
    datadog = await played(cluster, [limited, TAKEN], 120)
    assert len(datadog.posts) == 2
    assert 37 <= datadog.seconds()[1] <= 45


async def test_an_account_at_its_rate_limit_is_not_asked(cluster: FakeCluster) -> None:
    """What the mark's answer says about the account counts for the event too."""
    full = {"X-RateLimit-Limit": "1", "X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "90"}
    datadog = Datadog(answers=[httpx.Response(202, headers=full), httpx.Response(202)])
    async with running_operator(cluster, datadog, abort_recovery="Restored") as operator:
        datadog.operator = operator
        await play(operator, Rollout(), *ABORTED)
        marked_at = operator.now
        await wait(operator, 120)
    ((posted_at, _),) = datadog.posts
    assert timedelta(seconds=90) <= posted_at - marked_at <= timedelta(seconds=95)


@pytest.mark.parametrize(
    ("answer", "reason", "most"),
    [
        pytest.param(REFUSES, "RequestRejected", 1, id="Datadog refuses the event"),
        pytest.param(FORBIDS, "Forbidden", 9, id="the keys lack a permission"),
    ],
)
async def test_what_a_person_has_to_fix_is_one_warning_and_retried_slowly(
    cluster: FakeCluster, answer: httpx.Response, reason: str, most: int
) -> None:
    """One Warning Event on the DoraDeployment, and no request each minute for ever."""
    datadog = await played(cluster, [answer], 1800)
    assert 1 <= len(datadog.posts) <= most
    assert cluster.warnings() == [("checkout-h2", reason)]


async def test_a_stable_version_without_a_name_costs_nothing(cluster: FakeCluster) -> None:
    """There is nothing to post about it: nothing checks again and again whether it is complete."""
    datadog = Datadog()
    async with running_operator(cluster, datadog, abort_recovery="Restored") as operator:
        await play(operator, Rollout(), "deploy h1", "deploy h2 2", "abort")
        listed = cluster.reads["replicasets"]
        await wait(operator, 1800, step=60)
    assert cluster.reads["replicasets"] <= listed + 1
    assert datadog.order() == ["mark"]


async def test_the_event_ends_when_the_replicas_are_back(cluster: FakeCluster) -> None:
    """It starts at the abort, and ends when the stable version was seen with all its replicas."""
    datadog, rollout = Datadog(), Rollout()
    async with running_operator(cluster, datadog, abort_recovery="Restored") as operator:
        await play(operator, rollout, *ABORTED[:2])
        rollout.templates["h1"].ready = 1
        await play(operator, rollout, "abort")
        await operator.pass_time(10)
        assert datadog.order() == ["mark"]
        rollout.templates["h1"].ready = 3
        rollout.show(operator)
        await operator.settle()
        await operator.pass_time(20)
    event = json.loads(datadog.posts[0][1])["data"]["attributes"]
    assert (event["finished_at"] - event["started_at"]) / 10**9 == 10


@pytest.mark.parametrize(
    "held",
    [
        pytest.param({"changeFailure": False}, id="it says that it is no failure"),
        pytest.param({"suspend": True}, id="it is suspended"),
        pytest.param({"dryRun": True}, id="it is a dry run"),
    ],
)
async def test_no_event_about_a_failure_that_a_user_holds_back(cluster: FakeCluster, held: dict[str, bool]) -> None:
    """The event stands for the end of a failure: where none was sent to Datadog, there is nothing to end."""
    version = {"service": "checkout", "env": "prod", "version": "2"}
    cluster.apply("mine", age_seconds=60, deployment=version, sourceRef={"name": "checkout"}, **held)
    datadog = await played(cluster, [TAKEN], 300)
    assert datadog.posts == []


async def test_the_event_waits_until_the_mark_is_accepted(cluster: FakeCluster) -> None:
    """Datadog refuses marks for a while, and would take events."""
    datadog = Datadog(answers=[httpx.Response(503)] * 4 + [httpx.Response(202)])
    async with running_operator(cluster, datadog, abort_recovery="Restored") as operator:
        await play(operator, Rollout(), *ABORTED)
        await wait(operator, 300)
    assert datadog.order() == ["mark"] * 5 + ["event", "link"]


async def test_a_version_that_fails_again_has_an_event_of_its_own(cluster: FakeCluster) -> None:
    """The first event was taken and its link not written down: the second failure is not linked to it unposted."""
    datadog, rollout, apply = Datadog(), Rollout(), cluster.apply_record

    async def without_links(manifest: Any) -> Any:
        if "remediation" in manifest["spec"]:
            raise KubernetesError("the API server is down")
        return await apply(manifest)

    async with running_operator(cluster, datadog, abort_recovery="Restored") as operator:
        cluster.apply_record = without_links  # type: ignore[method-assign]
        await play(operator, rollout, *ABORTED)
        await wait(operator, 10)
        await play(operator, rollout, "deploy h1", "deploy h2", "abort", seconds=5)
        cluster.apply_record = apply  # type: ignore[method-assign]
        await wait(operator, 120)
    posted = [json.loads(body)["data"]["attributes"]["id"] for _, body in datadog.posts]
    last = json.loads(datadog.requests[-1].content)["data"]["attributes"]["remediation"]["id"]
    assert len(posted) == len(set(posted)) == 2
    assert last == posted[1]
