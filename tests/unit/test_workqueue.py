"""The keyed work queue: one worker per key, urgency with ageing, delays; time is a number that tests set."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dora_operator.workqueue import Urgency, WorkQueue


class Clock:
    """Time that moves when told to."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        """Return the time."""
        return self.now


@pytest.fixture
def clock() -> Clock:
    """Return a clock that stands still."""
    return Clock()


@pytest.fixture
def queue(clock: Clock) -> WorkQueue[str, str]:
    """Return an empty queue."""
    return WorkQueue(clock)


async def taken(queue: WorkQueue[str, str]) -> str | None:
    """Take a key if one is due."""
    return queue.try_take()


async def test_a_key_waits_once(queue: WorkQueue[str, str]) -> None:
    """However often a key is added, it is served once."""
    for _ in range(5):
        queue.add("a", Urgency.CHANGE)
    assert await taken(queue) == "a"
    queue.done("a")
    assert await taken(queue) is None


async def test_one_worker_per_key(queue: WorkQueue[str, str]) -> None:
    """A key that was added while a worker has it comes again only after that worker is done."""
    queue.add("a", Urgency.CHANGE)
    assert await taken(queue) == "a"
    queue.add("a", Urgency.ABORT)
    assert await taken(queue) is None
    queue.done("a")
    assert await taken(queue) == "a"


async def test_urgent_keys_first(queue: WorkQueue[str, str]) -> None:
    """Of keys that became ready together, the more urgent one is served first."""
    for name, urgency in (("l", Urgency.LISTED), ("r", Urgency.RETRY), ("c", Urgency.CHANGE), ("a", Urgency.ABORT)):
        queue.add(name, urgency)
    assert [await taken(queue) for _ in range(4)] == ["a", "c", "r", "l"]


async def test_an_old_key_overtakes_newer_urgent_ones(queue: WorkQueue[str, str], clock: Clock) -> None:
    """Ageing: after its handicap, a listed key is served before an abort that came later."""
    queue.add("old", Urgency.LISTED)
    clock.now += Urgency.LISTED.value + 1
    queue.add("new", Urgency.ABORT)
    assert await taken(queue) == "old"


async def test_becoming_more_urgent(queue: WorkQueue[str, str]) -> None:
    """A second, more urgent wish moves a key forward; a less urgent one does not move it back."""
    queue.add("a", Urgency.LISTED)
    queue.add("b", Urgency.RETRY)
    queue.add("a", Urgency.ABORT)
    queue.add("a", Urgency.LISTED)
    assert await taken(queue) == "a"


async def test_a_delay_is_kept(queue: WorkQueue[str, str], clock: Clock) -> None:
    """A delayed key is not served before its time."""
    queue.add("a", Urgency.RETRY, delay=10)
    assert await taken(queue) is None
    clock.now += 10
    assert await taken(queue) == "a"


async def test_the_sooner_wish_wins(queue: WorkQueue[str, str]) -> None:
    """A change need not wait for the end of a pause."""
    queue.add("a", Urgency.RETRY, delay=300)
    queue.add("a", Urgency.CHANGE)
    assert await taken(queue) == "a"
    queue.done("a")
    assert len(queue) == 0


async def test_a_waiting_worker_is_woken(queue: WorkQueue[str, str]) -> None:
    """A worker that waits on an empty queue gets the next key at once."""
    worker = asyncio.create_task(queue.take())
    await asyncio.sleep(0)
    queue.add("a", Urgency.CHANGE)
    async with asyncio.timeout(1):
        assert await worker == "a"


async def test_a_forgotten_key_is_not_served(queue: WorkQueue[str, str]) -> None:
    """Forgetting drops the wish."""
    queue.add("a", Urgency.CHANGE)
    queue.forget("a")
    assert await taken(queue) is None


actions = st.lists(
    st.tuples(st.sampled_from("abc"), st.sampled_from(list(Urgency)), st.integers(0, 50), st.booleans()), max_size=40
)


@given(actions)
def test_nothing_is_lost_and_nobody_meets(path: list[tuple[str, Urgency, int, bool]]) -> None:
    """Every wish is followed by a service that begins after it, and no key is at two workers at once."""

    async def live() -> None:
        clock = Clock()
        queue: WorkQueue[str, str] = WorkQueue(clock)
        owed: set[str] = set()
        working: list[str] = []
        for key, urgency, delay, finish in path:
            queue.add(key, urgency, delay)
            owed.add(key)
            if finish and working:
                queue.done(working.pop(0))
            clock.now += 60  # everything is due
            if set(owed) - set(working):
                found = await asyncio.wait_for(queue.take(), 1)
                assert found not in working
                working.append(found)
                owed.discard(found)
        for key in working:
            queue.done(key)
        clock.now += 60
        while owed:
            found = await asyncio.wait_for(queue.take(), 1)
            owed.discard(found)
            queue.done(found)
        assert len(queue) == 0

    asyncio.run(live())
