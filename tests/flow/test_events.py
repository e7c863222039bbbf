"""Kubernetes Events: which are posted, retried and dropped; and annotations of Namespaces, as they are cached."""

import asyncio
from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import cast

import pytest

from dora_operator.clients.errors import ExpiredError, ForbiddenError, KubernetesError, NotFoundError
from dora_operator.clients.kubernetes import KubernetesClient, Subject
from dora_operator.domain.events import EventNote
from dora_operator.domain.fields import ObjectKey
from dora_operator.reconcile import context as contexts
from dora_operator.reconcile import events as events_module
from dora_operator.reconcile.context import CACHE_SECONDS, NamespaceAnnotations
from dora_operator.reconcile.events import EventPoster
from tests.support.builders import NOW
from tests.support.fakes import FakeCluster

NOTE = EventNote("Normal", "Marked", "it was marked")


def about(name: str) -> Subject:
    """Return some object."""
    return Subject("v1", "Thing", ObjectKey("shop", name), name)


@dataclass
class Flaky(FakeCluster):
    """Answers Events with errors from a script, by the name of the object."""

    errors: dict[str, list[KubernetesError]] = field(default_factory=dict)
    tries: Counter[str] = field(default_factory=Counter)
    hanging: set[str] = field(default_factory=set)

    async def post_event(self, subject: Subject, note: EventNote) -> None:
        """Refuse or take."""
        await asyncio.sleep(0)
        self.tries[subject.key.name] += 1
        if subject.key.name in self.hanging:
            await asyncio.Event().wait()
        left = self.errors.get(subject.key.name)
        if left:
            raise left.pop(0)
        await super().post_event(subject, note)


def poster(cluster: FakeCluster) -> EventPoster:
    """Return a poster of Events."""
    return EventPoster(cast("KubernetesClient", cluster))


@pytest.fixture
def _no_backoff(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events_module, "BACKOFFS", (0.0,) * 4)


def posted(cluster: FakeCluster) -> list[str]:
    """Return the names of the objects whose Events were taken."""
    return [subject.key.name for subject, _ in cluster.events]


@pytest.mark.usefixtures("_no_backoff")
async def test_an_event_is_retried_after_an_error() -> None:
    """One failure costs a request, not the Event."""
    cluster = Flaky(errors={"a": [KubernetesError("busy")]})
    events = poster(cluster)
    events.post(about("a"), NOTE)
    events.post(about("b"), NOTE)
    await events.finish(5)
    assert cluster.tries == {"a": 2, "b": 1}
    assert sorted(posted(cluster)) == ["a", "b"]


@pytest.mark.usefixtures("_no_backoff")
async def test_an_event_is_dropped_after_a_few_attempts(caplog: pytest.LogCaptureFixture) -> None:
    """The log names the Event, the object and the cause."""
    cluster = Flaky(errors={"a": [KubernetesError("busy")] * 5})
    events = poster(cluster)
    events.post(about("a"), NOTE)
    await events.finish(5)
    assert posted(cluster) == []
    assert "Event Marked for Thing shop/a is dropped: busy" in caplog.text


async def test_an_event_in_backoff_delays_no_other() -> None:
    """Events of other objects are posted while one waits for its next attempt."""
    cluster = Flaky(errors={"failing": [KubernetesError("busy")] * 9})
    events = poster(cluster)
    for name in ("failing", *"bcdefgh"):
        events.post(about(name), NOTE)
    async with asyncio.timeout(0.4):  # less than the first backoff
        while len(cluster.events) < 7:  # noqa: ASYNC110 - the condition is in the fake
            await asyncio.sleep(0)
    assert cluster.tries["failing"] == 1
    await events.finish(0)


@pytest.mark.parametrize(
    "error",
    [
        pytest.param(ForbiddenError("the namespace is being terminated", 403), id="403, as in a terminating namespace"),
        pytest.param(NotFoundError("the namespace is gone", 404), id="404, as in a deleted namespace"),
        pytest.param(ExpiredError("gone", 410), id="410"),
    ],
)
async def test_a_final_answer_is_not_retried(error: KubernetesError, caplog: pytest.LogCaptureFixture) -> None:
    """A deleted namespace never takes the Event, however often it is posted."""
    cluster = Flaky(errors={"a": [error] * 9})
    events = poster(cluster)
    events.post(about("a"), NOTE)
    async with asyncio.timeout(0.4):
        while len(events):  # noqa: ASYNC110 - a bounded wait
            await asyncio.sleep(0)
    assert cluster.tries["a"] == 1
    assert "is dropped" in caplog.text


async def test_a_hanging_request_delays_no_other() -> None:
    """A few Events are posted at once."""
    cluster = Flaky(hanging={"hanging"})
    events = poster(cluster)
    for name in ("hanging", "b", "c"):
        events.post(about(name), NOTE)
    async with asyncio.timeout(1):
        while len(cluster.events) < 2:  # noqa: ASYNC110 - the condition is in the fake
            await asyncio.sleep(0)
    await events.finish(0)
    assert posted(cluster) == ["b", "c"]


async def test_the_number_of_waiting_events_has_a_bound(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """What is beyond it is dropped, and logged."""
    monkeypatch.setattr(events_module, "MAX_WAITING", 2)
    cluster = FakeCluster()
    events = poster(cluster)
    for name in "abc":
        events.post(about(name), NOTE)
    assert len(events) == 2
    await events.finish(5)
    assert posted(cluster) == ["a", "b"]
    assert "too many wait" in caplog.text


@dataclass
class Clock:
    """A clock that tests move."""

    now: datetime = NOW

    def __call__(self) -> datetime:
        """Return the time."""
        return self.now


def annotations_of(cluster: FakeCluster, clock: Clock) -> NamespaceAnnotations:
    """Return the cache."""
    return NamespaceAnnotations(cast("KubernetesClient", cluster), clock)


async def test_a_burst_asks_for_a_namespace_once() -> None:
    """Many at the same time wait for one answer; later ones have it."""
    cluster = FakeCluster(annotations={"a": "1"})
    namespaces = annotations_of(cluster, Clock())
    found = await asyncio.gather(*(namespaces.read("shop") for _ in range(20)))
    assert found == [{"a": "1"}] * 20
    assert cluster.reads["namespaces"] == 1


async def test_a_namespace_is_asked_for_again_after_some_seconds() -> None:
    """A changed annotation counts then."""
    cluster, clock = FakeCluster(), Clock()
    namespaces = annotations_of(cluster, clock)
    assert await namespaces.read("shop") == {}
    cluster.annotations = {"a": "1"}
    assert await namespaces.read("shop") == {}
    clock.now += timedelta(seconds=CACHE_SECONDS)
    assert await namespaces.read("shop") == {"a": "1"}


async def test_a_namespace_that_could_not_be_read_is_asked_for_again() -> None:
    """A failure is not remembered."""
    cluster = FakeCluster(down=True)
    namespaces = annotations_of(cluster, Clock())
    with pytest.raises(KubernetesError):
        await namespaces.read("shop")
    cluster.down = False
    assert await namespaces.read("shop") == {}


async def test_the_number_of_kept_namespaces_has_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    """Namespaces are created and deleted for ever; the one that was read first is dropped first."""
    monkeypatch.setattr(contexts, "MAX_CACHED", 3)
    cluster = FakeCluster()
    namespaces = annotations_of(cluster, Clock())
    for number in range(500):
        await namespaces.read(f"preview-{number}")
    assert len(namespaces._cache) == 3
    await namespaces.read("preview-499")
    assert cluster.reads["namespaces"] == 500
