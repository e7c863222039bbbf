"""A mark that could not be sent at once reaches the deployment that failed, not a later one of the same version."""

from dataclasses import dataclass, field
from datetime import timedelta

import httpx
import pytest

from tests.support.builders import NOW
from tests.support.fakes import FakeCluster, Operator, running_operator
from tests.support.levels import Rollout, play
from tests.support.reading_back import VERSION, condition, wait
from tests.support.storing import StoringDatadog

ABORT = ("deploy h1 1", "promote", "deploy h2 2", "abort")
NAME = "checkout-h2"
DOWN = httpx.Response(503)
WRITE_ONLY = {"settings": {"permissions": ["dora_metrics_write"]}}


@dataclass
class Course:
    """A Rollout of version 2 that is aborted at 20 s while Datadog is away, and what happens after it."""

    cluster: FakeCluster = field(default_factory=FakeCluster)
    datadog: StoringDatadog = field(default_factory=StoringDatadog)
    rollout: Rollout = field(default_factory=Rollout)

    async def abort(self, operator: Operator) -> None:
        """Abort while Datadog is away."""
        self.datadog.operator = operator
        self.datadog.before = lambda _: DOWN
        await play(operator, self.rollout, *ABORT)

    async def back(self, operator: Operator, seconds: float = 400) -> None:
        """Let Datadog come back, and time pass."""
        self.datadog.before = lambda _: None
        self.datadog.requests.clear()
        await wait(operator, seconds)

    def failed(self) -> str:
        """Store the deployment that was aborted."""
        return self.datadog.deployed("2", finished=NOW + timedelta(seconds=19))

    def retried(self, seconds: float = 200) -> str:
        """Store the deployment of the retry, which began a minute before it finished."""
        return self.datadog.deployed("2", finished=NOW + timedelta(seconds=seconds))

    def mark_of(self, deployment_id: str) -> bool | None:
        """Return whether a deployment is marked."""
        return self.datadog.stored(deployment_id)[0]

    def paths(self) -> list[str]:
        """Return the paths of marks."""
        return [each.url.path for each in self.datadog.requests if each.method == "PATCH"]


@pytest.fixture
def course() -> Course:
    """Return a new course."""
    return Course()


@pytest.mark.parametrize("follows", [False, True], ids=["the operator's own record", "a user's resource"])
@pytest.mark.parametrize("restarts", [False, True], ids=["one process", "another process"])
async def test_datadog_is_away_across_an_abort_and_its_retry(course: Course, *, follows: bool, restarts: bool) -> None:
    """The failed deployment is read, marked by its id and verified; nothing is sent to the deployment of the retry."""
    name = "mine" if follows else NAME
    if follows:
        course.cluster.apply("mine", age_seconds=60, deployment=VERSION, sourceRef={"name": "checkout"})
    async with running_operator(course.cluster, course.datadog, read_back=True) as operator:
        await course.abort(operator)
        await wait(operator, 100)
        await play(operator, course.rollout, "retry")
        await wait(operator, 100)
        assert condition(course.cluster, name, "Ready") == ("False", "DatadogUnavailable")
        failed, retried, later = course.failed(), course.retried(), operator.now
        if not restarts:
            await course.back(operator)
    if restarts:
        async with running_operator(course.cluster, course.datadog, read_back=True, now=later) as operator:
            course.datadog.operator = operator
            course.rollout.show_listed(operator)
            await course.back(operator)
    assert (course.mark_of(failed), course.mark_of(retried)) == (True, False)
    assert course.paths() == [f"/api/v2/dora/deployments/{failed}"]
    assert condition(course.cluster, name) == ("True", "ReadBack")
    assert course.cluster.status(name)["target"]["id"] == failed


async def test_a_retry_that_the_cluster_has_forgotten(course: Course) -> None:
    """The Rollout is deleted, too: the times of the deployments decide."""
    async with running_operator(course.cluster, course.datadog, read_back=True) as operator:
        await course.abort(operator)
        operator.rollout_event("DELETED", course.rollout.body())
        await wait(operator, 1000)
        failed, retried = course.failed(), course.retried(1000)
        await course.back(operator)
    assert (course.mark_of(failed), course.mark_of(retried)) == (True, False)


async def test_the_failed_deployment_is_ingested_after_that_of_the_retry(course: Course) -> None:
    """Nothing is marked until it is there, though the retry's deployment is."""
    async with running_operator(course.cluster, course.datadog, read_back=True) as operator:
        await course.abort(operator)
        await play(operator, course.rollout, "retry")
        await wait(operator, 200)
        retried = course.retried()
        await course.back(operator)
        assert course.paths() == []
        assert condition(course.cluster, NAME, "Ready") == ("False", "DeploymentMissing")
        assert course.cluster.warnings() == [(NAME, "DeploymentMissing")]
        failed = course.failed()
        await wait(operator, 100)
        assert condition(course.cluster, NAME, "Ready") == ("True", "Accepted")
    assert (course.mark_of(failed), course.mark_of(retried)) == (True, False)


@pytest.mark.parametrize("on_missing", ["Wait", "Create"])
async def test_the_failed_deployment_is_never_ingested(course: Course, on_missing: str) -> None:
    """CI posts what succeeds: with Create the missing event is posted after an hour; the retry's is never marked."""
    async with running_operator(course.cluster, course.datadog, read_back=True, on_missing=on_missing) as operator:
        await course.abort(operator)
        await play(operator, course.rollout, "retry")
        await wait(operator, 200)
        retried = course.retried()
        await course.back(operator, 3000)
        assert course.datadog.calls("event", "mark") == []
        await wait(operator, 600)
        await wait(operator, 7200, 60)
        ready = condition(course.cluster, NAME, "Ready"), condition(course.cluster, NAME, "Stalled")
    if on_missing == "Create":
        assert course.datadog.calls("event", "mark") == ["event", "mark"]
        assert ready == (("True", "Accepted"), ("False", "Accepted"))
        assert course.mark_of(course.cluster.status(NAME)["readBack"]["id"]) is True
        assert "id" not in course.cluster.status(NAME)["target"]
    else:
        assert course.datadog.calls("event", "mark") == []
        assert ready == (("False", "DeploymentMissing"), ("True", "DeploymentMissing"))
        assert len(course.datadog.calls("list")) <= 80
    assert course.mark_of(retried) is False


async def test_several_that_may_have_failed(course: Course) -> None:
    """Ambiguous: nothing is marked until a resource names the id; the record of the operator gives way to it."""
    again = ("deploy h1 1", "promote", "deploy h2 2", "promote", "deploy h3 3", "promote", "deploy h2", "abort")
    async with running_operator(course.cluster, course.datadog, read_back=True) as operator:
        course.datadog.operator = operator
        await play(operator, course.rollout, *again, seconds=200)
        failed, twin = (course.datadog.deployed("2", finished=operator.now) for _ in range(2))
        await wait(operator, 100)
        (name,) = (key.name for key in course.cluster.objects if key.name.startswith(NAME))
        assert len(course.paths()) == 1  # of version 3, which the rollback marks
        assert condition(course.cluster, name, "Ready") == ("False", "Ambiguous")
        warnings = [note for _, note in course.cluster.events if note.reason == "Ambiguous"]
        assert "spec.deployment.id" in warnings[0].message
        course.cluster.apply("mine", deployment={"id": failed}, sourceRef={"name": "checkout", "version": "2"})
        await wait(operator, 100)
        assert condition(course.cluster, "mine") == ("True", "ReadBack")
    assert (course.mark_of(failed), course.mark_of(twin)) == (True, False)


@pytest.mark.parametrize("reads", ["forbidden", "off"])
@pytest.mark.parametrize("retries", [False, True], ids=["no retry", "a retry"])
async def test_reading_is_not_possible(*, reads: str, retries: bool) -> None:
    """By version as ever where the cluster knows of no retry; else nothing is marked, and the reason says so."""
    course = Course(datadog=StoringDatadog(**(WRITE_ONLY if reads == "forbidden" else {})))
    async with running_operator(course.cluster, course.datadog, read_back=reads != "off") as operator:
        await course.abort(operator)
        failed = course.failed()
        if retries:
            await play(operator, course.rollout, "retry")
            retried = course.retried(100)
        await wait(operator, 200)
        await course.back(operator)
        ready = condition(course.cluster, NAME, "Ready")
        if not retries:
            assert ready == ("True", "Accepted")
            assert course.mark_of(failed) is True
            return
        assert ready == ("False", "Ambiguous")
        assert (course.mark_of(failed), course.mark_of(retried)) == (False, False)
        await play(operator, course.rollout, "promote")
        await wait(operator, 400)
        assert course.cluster.objects == {}  # nothing was sent, and nothing has to be
    assert (course.mark_of(failed), course.mark_of(retried)) == (False, False)


async def test_a_permission_to_read_that_is_given_later(course: Course) -> None:
    """The mark goes to the failed deployment then."""
    course.datadog = StoringDatadog(**WRITE_ONLY)
    async with running_operator(course.cluster, course.datadog, read_back=True) as operator:
        await course.abort(operator)
        await play(operator, course.rollout, "retry")
        failed, retried = course.failed(), course.retried(100)
        await wait(operator, 200)
        await course.back(operator)
        assert course.paths() == []
        everything = {"permissions": ["dora_metrics_read", "dora_metrics_write"]}
        course.datadog.api.configure(course.datadog.api.settings.changed(everything))
        await wait(operator, 8000, 60)
        assert condition(course.cluster, NAME) == ("True", "ReadBack")
    assert (course.mark_of(failed), course.mark_of(retried)) == (True, False)


async def test_a_restart_before_the_rollouts_are_listed(course: Course) -> None:
    """The history has the retry: without reads, nothing is sent."""
    async with running_operator(course.cluster, course.datadog) as operator:
        await course.abort(operator)
        await play(operator, course.rollout, "retry")
        failed, retried, later = course.failed(), course.retried(100), operator.now + timedelta(seconds=200)
    async with running_operator(course.cluster, course.datadog, now=later, leads=False) as operator:
        course.datadog.operator = operator
        operator.lead()
        await course.back(operator, 30)
        assert course.datadog.calls() == []
        course.rollout.show_listed(operator)
        await wait(operator, 30)
        assert condition(course.cluster, NAME, "Ready") == ("False", "Ambiguous")
    assert course.datadog.calls() == []
    assert (course.mark_of(failed), course.mark_of(retried)) == (False, False)


async def test_a_prompt_mark_is_one_request(course: Course) -> None:
    """Nothing is read first, though another deployment of the version is there."""
    course.datadog.deployed("2", finished=NOW - timedelta(days=1))
    failed = course.failed()
    async with running_operator(course.cluster, course.datadog, read_back=True) as operator:
        course.datadog.operator = operator
        await play(operator, course.rollout, *ABORT)
        assert course.datadog.calls() == ["mark"]
    assert course.mark_of(failed) is True


async def test_a_retry_that_is_promoted_before_the_mark_was_read_back(course: Course) -> None:
    """The mark is taken from the deployment that has it, though the promoted one finished later."""
    failed = course.failed()
    async with running_operator(course.cluster, course.datadog, read_back=True) as operator:
        course.datadog.operator = operator
        await play(operator, course.rollout, *ABORT)
        assert course.mark_of(failed) is True
        course.datadog.before = lambda _: DOWN
        await play(operator, course.rollout, "retry")
        await wait(operator, 100)
        promoted = course.retried(120)
        await play(operator, course.rollout, "promote")
        await wait(operator, 100)
        await course.back(operator)
        assert condition(course.cluster, NAME) == ("True", "ReadBack")
    assert (course.mark_of(failed), course.mark_of(promoted)) == (False, False)


async def test_a_lost_mark_is_not_sent_again_to_the_deployment_of_a_retry(course: Course) -> None:
    """Accepted at once and lost, as the deployment is not ingested: a read finds the retry's alone."""
    async with running_operator(course.cluster, course.datadog, read_back=True) as operator:
        course.datadog.operator = operator
        await play(operator, course.rollout, *ABORT, "retry")
        retried = course.retried(100)
        await wait(operator, 700)
        assert condition(course.cluster, NAME) == ("False", "DeploymentMissing")
    assert course.mark_of(retried) is False


async def test_an_operator_that_watches_no_rollouts_waits_for_none(course: Course) -> None:
    """The source Rollout was switched off since the abort: by version, as nothing is known of a retry."""
    async with running_operator(course.cluster, course.datadog) as operator:
        await course.abort(operator)
        failed, later = course.failed(), operator.now + timedelta(seconds=200)
    async with running_operator(course.cluster, course.datadog, now=later, leads=False, sources=()) as operator:
        course.datadog.operator = operator
        operator.lead()
        await course.back(operator, 30)
    assert course.mark_of(failed) is True


async def test_a_read_that_was_not_used_in_time_is_made_again(course: Course) -> None:
    """Suspended while it was under way: what it has shown an hour before says nothing of what there is now."""
    mine = {"deployment": VERSION, "sourceRef": {"name": "checkout"}}

    def suspend(request: httpx.Request) -> None:
        if request.method == "POST":
            course.cluster.apply("mine", **mine, suspend=True)

    course.cluster.apply("mine", age_seconds=60, **mine)
    async with running_operator(course.cluster, course.datadog, read_back=True) as operator:
        await course.abort(operator)
        operator.rollout_event("DELETED", course.rollout.body())
        await wait(operator, 200)
        course.datadog.before = suspend
        await wait(operator, 4000, 100)
        retried = course.retried(3000)
        assert condition(course.cluster, "mine", "Ready") == ("False", "Suspended")
        course.datadog.before = lambda _: None
        course.cluster.apply("mine", **mine)
        await wait(operator, 100)
        assert condition(course.cluster, "mine", "Ready") == ("False", "DeploymentMissing")
    assert course.mark_of(retried) is False
