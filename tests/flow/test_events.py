"""Events on their way, and Namespaces as remembered: what waits, what is asked once, what is let go."""

import asyncio
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import pytest

from dora_operator.domain.notices import EventNote
from dora_operator.domain.object_key import ObjectKey
from dora_operator.ports import ClusterUnavailableError, Subject
from dora_operator.reconcile import events as events_module
from dora_operator.reconcile.events import EventQueue
from dora_operator.reconcile.namespaces import REMEMBERED_SECONDS, Namespaces
from tests.support.builders import NOW
from tests.support.fakes import FakeCluster


def about(name: str) -> Subject:
    """Return some object."""
    return Subject("v1", "Thing", ObjectKey("shop", name), name)


NOTE = EventNote("Normal", "Marked", "it was marked")


@dataclass
class Flaky(FakeCluster):
    """Refuses so many Events before it takes one."""

    refusals: int = 0
    tries: list[str] = field(default_factory=list)

    async def post_event(self, about: Subject, note: EventNote) -> None:
        """Refuse or take."""
        await asyncio.sleep(0)
        self.tries.append(about.key.name)
        if self.refusals:
            self.refusals -= 1
            raise ClusterUnavailableError("busy")
        await super().post_event(about, note)


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events_module, "FIRST_PAUSE_SECONDS", 0.0)


async def test_events_are_posted_in_order_and_again_where_refused() -> None:
    """One refusal costs a try, not the Event."""
    cluster = Flaky(refusals=1)
    queue = EventQueue(cluster)
    queue.tell(about("a"), NOTE)
    queue.tell(about("b"), NOTE)
    await queue.finish(5)
    assert cluster.tries == ["a", "a", "b"]
    assert [subject.key.name for subject, _ in cluster.events] == ["a", "b"]


async def test_an_event_that_is_never_taken_does_not_hold_up_the_next(caplog: pytest.LogCaptureFixture) -> None:
    """After a few tries it is let go, with a word in the log."""
    cluster = Flaky(refusals=events_module.TRIES)
    queue = EventQueue(cluster)
    queue.tell(about("a"), NOTE)
    queue.tell(about("b"), NOTE)
    await queue.finish(5)
    assert [subject.key.name for subject, _ in cluster.events] == ["b"]
    assert "no Event Marked for Thing shop/a: busy" in caplog.text


async def test_the_queue_of_events_has_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    """The oldest go first."""
    monkeypatch.setattr(events_module, "LONGEST_QUEUE", 2)
    cluster = FakeCluster()
    queue = EventQueue(cluster)
    for name in "abc":
        queue.tell(about(name), NOTE)
    assert len(queue) == 2
    await queue.finish(5)
    assert [subject.key.name for subject, _ in cluster.events] == ["b", "c"]


async def test_what_is_told_while_one_is_posted_is_posted_too() -> None:
    """The poster sleeps only when nothing waits."""
    cluster = Flaky()
    queue = EventQueue(cluster)
    task = asyncio.create_task(queue.run())
    for name in "ab":
        queue.tell(about(name), NOTE)
        await asyncio.sleep(0)
    async with asyncio.timeout(5):
        while len(cluster.events) < 2:  # noqa: ASYNC110 - the condition is in the fake
            await asyncio.sleep(0)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert len(queue) == 0


@dataclass
class Clock:
    """A clock that tests move."""

    now: datetime = NOW

    def __call__(self) -> datetime:
        """Return the time."""
        return self.now


async def test_a_burst_asks_for_a_namespace_once() -> None:
    """Many at the same time wait for one answer; later ones have it."""
    cluster = FakeCluster(annotations={"a": "1"})
    namespaces = Namespaces(cluster, Clock())
    found = await asyncio.gather(*(namespaces.annotations("shop") for _ in range(20)))
    assert found == [{"a": "1"}] * 20
    assert cluster.reads["namespaces"] == 1


async def test_a_namespace_is_asked_for_again_after_some_seconds() -> None:
    """A changed annotation counts then."""
    cluster, clock = FakeCluster(), Clock()
    namespaces = Namespaces(cluster, clock)
    assert await namespaces.annotations("shop") == {}
    cluster.annotations = {"a": "1"}
    assert await namespaces.annotations("shop") == {}
    clock.now += timedelta(seconds=REMEMBERED_SECONDS)
    assert await namespaces.annotations("shop") == {"a": "1"}


async def test_a_namespace_that_could_not_be_read_is_asked_for_again() -> None:
    """A failure is not remembered."""
    cluster = FakeCluster(down=True)
    namespaces = Namespaces(cluster, Clock())
    with pytest.raises(ClusterUnavailableError):
        await namespaces.annotations("shop")
    cluster.down = False
    assert await namespaces.annotations("shop") == {}
