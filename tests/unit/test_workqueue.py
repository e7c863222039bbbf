"""The keyed work queue: one worker per key, priorities with ageing, delays, parked keys. Tests set the time."""

import asyncio
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dora_operator.workqueue import FIRST_BACKOFF, LONGEST_BACKOFF, Priority, WorkQueue


class Clock:
    """A time that moves on demand."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        """Return the time."""
        return self.now


@pytest.fixture
def clock() -> Clock:
    """Return a clock."""
    return Clock()


@pytest.fixture
def queue(clock: Clock) -> WorkQueue[str]:
    """Return an empty queue."""
    return WorkQueue(clock)


def drain(queue: WorkQueue[str]) -> list[str]:
    """Serve all keys that are due, and return them in their order."""
    served = []
    while (key := queue.try_take()) is not None:
        served.append(key)
        queue.done(key)
    return served


def park(queue: WorkQueue[str], key: str, resource: str = "limit", priority: Priority = Priority.CHANGE) -> None:
    """Serve a key that finds a resource used up."""
    queue.add(key, priority)
    while (taken := queue.try_take()) != key:
        assert taken is not None
        queue.done(taken)
    queue.park(key, resource)
    queue.done(key)


def test_a_key_waits_once(queue: WorkQueue[str]) -> None:
    """However often a key is added, it is served once."""
    for _ in range(5):
        queue.add("a", Priority.CHANGE)
    assert drain(queue) == ["a"]


def test_one_worker_per_key(queue: WorkQueue[str]) -> None:
    """A key that is added while a worker holds it is served again after that worker is done."""
    queue.add("a", Priority.CHANGE)
    assert queue.try_take() == "a"
    queue.add("a", Priority.ABORT)
    assert queue.try_take() is None
    queue.done("a")
    assert queue.try_take() == "a"


def test_urgent_keys_first(queue: WorkQueue[str]) -> None:
    """Of keys that became ready together, the more urgent one is served first."""
    for key, priority in (("l", Priority.LISTED), ("r", Priority.RETRY), ("c", Priority.CHANGE), ("a", Priority.ABORT)):
        queue.add(key, priority)
    assert drain(queue) == ["a", "c", "r", "l"]


def test_an_old_key_overtakes_newer_urgent_ones(queue: WorkQueue[str], clock: Clock) -> None:
    """Ageing: after its handicap, a listed key is served before an abort that came later."""
    queue.add("old", Priority.LISTED)
    clock.now += Priority.LISTED.value + 1
    queue.add("new", Priority.ABORT)
    assert queue.try_take() == "old"


def test_a_key_becomes_more_urgent(queue: WorkQueue[str]) -> None:
    """A second, more urgent request moves a key forward; a less urgent one does not move it back."""
    queue.add("a", Priority.LISTED)
    queue.add("b", Priority.RETRY)
    queue.add("a", Priority.ABORT)
    queue.add("a", Priority.LISTED)
    assert queue.try_take() == "a"


def test_a_delay_is_kept(queue: WorkQueue[str], clock: Clock) -> None:
    """A delayed key is not served before its time."""
    queue.add("a", Priority.RETRY, delay=10)
    assert queue.try_take() is None
    assert queue.ages() == [-10]
    clock.now += 10
    assert queue.try_take() == "a"


def test_the_sooner_request_wins(queue: WorkQueue[str]) -> None:
    """A change need not wait for the end of a delay."""
    queue.add("a", Priority.RETRY, delay=300)
    queue.add("a", Priority.CHANGE)
    assert drain(queue) == ["a"]
    assert len(queue) == 0


def test_a_forgotten_key_is_not_served(queue: WorkQueue[str]) -> None:
    """Forgetting drops the request."""
    queue.add("a", Priority.CHANGE)
    queue.forget("a")
    assert queue.try_take() is None


def test_failures_back_off(queue: WorkQueue[str], clock: Clock) -> None:
    """The delay doubles up to a limit; a success resets it."""
    delays = [queue.failed("a") for _ in range(12)]
    assert delays[:3] == [FIRST_BACKOFF, 2 * FIRST_BACKOFF, 4 * FIRST_BACKOFF]
    assert delays[-1] == LONGEST_BACKOFF
    queue.succeeded("a")
    assert queue.failed("a") == FIRST_BACKOFF
    clock.now += FIRST_BACKOFF
    assert drain(queue) == ["a"]


def test_failed_keys_are_served_when_the_cause_is_gone(queue: WorkQueue[str]) -> None:
    """No key waits for the end of its backoff; other delays are kept."""
    for _ in range(9):
        queue.failed("a")
    queue.add("b", Priority.RETRY, delay=60)
    queue.retry_failed()
    assert drain(queue) == ["a"]


async def test_a_waiting_worker_is_woken(queue: WorkQueue[str]) -> None:
    """A worker that waits on an empty queue gets the next key at once."""
    worker = asyncio.create_task(queue.take())
    await asyncio.sleep(0)
    queue.add("a", Priority.CHANGE)
    async with asyncio.timeout(1):
        assert await worker == "a"


async def test_a_waiting_worker_is_woken_by_a_release(queue: WorkQueue[str]) -> None:
    """Also when nothing is queued and a resource becomes free."""
    park(queue, "a")
    worker = asyncio.create_task(queue.take())
    await asyncio.sleep(0)
    queue.release("limit", 1)
    async with asyncio.timeout(1):
        assert await worker == "a"


def test_a_parked_key_is_served_when_it_is_released(queue: WorkQueue[str]) -> None:
    """It holds no worker and is not served before; other resources do not concern it."""
    park(queue, "a")
    assert (queue.try_take(), queue.busy, queue.parked, len(queue)) == (None, 0, 1, 1)
    assert queue.waiting_for() == ["limit"]
    queue.release("other", 1)
    assert queue.try_take() is None
    queue.release("limit", 1)
    assert queue.try_take() == "a"
    assert queue.waiting_for() == []


def test_a_change_of_a_parked_key_is_served_at_once(queue: WorkQueue[str]) -> None:
    """The change may be that nothing is wanted any more. A delayed request leaves the key where it is."""
    park(queue, "a")
    queue.add("a", Priority.RETRY, delay=5)
    assert queue.parked == 1
    queue.add("a", Priority.CHANGE)
    assert (queue.parked, queue.try_take()) == (0, "a")


def test_a_request_while_a_key_is_parked_by_its_worker_is_not_lost(queue: WorkQueue[str]) -> None:
    """The object changed after the worker had read it."""
    queue.add("a", Priority.CHANGE)
    assert queue.try_take() == "a"
    queue.add("a", Priority.CHANGE)
    queue.park("a", "limit")
    queue.done("a")
    assert queue.try_take() == "a"


def test_as_many_are_released_as_are_free(queue: WorkQueue[str]) -> None:
    """In the order of their places. A released key counts until it has what it waited for."""
    for key in "abc":
        park(queue, key)
    queue.release("limit", 2)
    queue.release("limit", 2)
    assert (queue.try_take(), queue.try_take(), queue.try_take()) == ("a", "b", None)
    queue.admitted("a")  # and uses one of two: one is free, which is b's
    queue.release("limit", 1)
    assert queue.try_take() is None
    queue.done("a")
    queue.admitted("b")
    queue.release("limit", 1)
    assert queue.try_take() == "c"


def test_a_turn_that_is_not_used_goes_to_the_next(queue: WorkQueue[str]) -> None:
    """The first has nothing to send any more, the second is deleted."""
    for key in "abc":
        park(queue, key)
    queue.release("limit", 1)
    assert queue.try_take() == "a"
    queue.done("a")
    queue.forget("b")
    assert drain(queue) == ["c"]


def test_a_key_that_parks_again_waits_for_the_next_release(queue: WorkQueue[str]) -> None:
    """Another key has taken its turn: it must not be served again and again meanwhile."""
    park(queue, "a")
    queue.release("limit", 1)
    assert queue.try_take() == "a"
    queue.park("a", "limit")
    queue.done("a")
    assert queue.try_take() is None
    queue.release("limit", 1)
    assert queue.try_take() == "a"


def test_a_key_that_waits_for_something_else_passes_its_turn_on(queue: WorkQueue[str]) -> None:
    """The account has capacity, and the deployment is locked: the next key of the account is served."""
    park(queue, "a")
    park(queue, "b")
    queue.release("limit", 1)
    assert queue.try_take() == "a"
    queue.park("a", "lock")
    queue.done("a")
    assert queue.try_take() == "b"


def test_a_released_key_without_a_worker_does_not_hold_up_an_abort(queue: WorkQueue[str]) -> None:
    """The one that was released first may wait behind others for a worker."""
    park(queue, "listed", priority=Priority.LISTED)
    queue.release("limit", 1)
    queue.add("abort", Priority.ABORT)
    assert queue.try_take() == "abort"
    queue.park("abort", "limit")
    queue.done("abort")
    queue.release("limit", 1)
    assert queue.try_take() == "abort"


def test_a_resource_that_opens_serves_one(queue: WorkQueue[str], clock: Clock) -> None:
    """At the earliest time that was noted; the one that is served sees how many more have capacity."""
    for key in "ab":
        park(queue, key)
    queue.open_at("limit", clock.now + 20)
    queue.open_at("limit", clock.now + 10)
    queue.open_at("limit", clock.now + 30)
    queue.open_at("empty", clock.now)
    assert queue.try_take() is None
    clock.now += 10
    assert (queue.try_take(), queue.try_take()) == ("a", None)


async def test_a_worker_wakes_when_a_resource_opens(queue: WorkQueue[str], clock: Clock) -> None:
    """The time may be noted while the worker waits already."""
    park(queue, "a")
    worker = asyncio.create_task(queue.take())
    await asyncio.sleep(0)
    queue.open_at("limit", clock.now)
    async with asyncio.timeout(1):
        assert await worker == "a"


requests = st.lists(
    st.tuples(st.sampled_from("abc"), st.sampled_from(list(Priority)), st.integers(0, 50), st.booleans()), max_size=40
)


@given(requests)
def test_every_request_is_served(path: list[tuple[str, Priority, int, bool]]) -> None:
    """Every request is followed by a turn that begins after it, and no key is at two workers at once."""

    async def live() -> None:
        clock = Clock()
        queue: WorkQueue[str] = WorkQueue(clock)
        requested: set[str] = set()
        working: list[str] = []
        for key, priority, delay, finish in path:
            queue.add(key, priority, delay)
            requested.add(key)
            if finish and working:
                queue.done(working.pop(0))
            clock.now += 60  # everything is due
            if requested - set(working):
                found = await asyncio.wait_for(queue.take(), 1)
                assert found not in working
                working.append(found)
                requested.discard(found)
        for key in working:
            queue.done(key)
        clock.now += 60
        while requested:
            found = await asyncio.wait_for(queue.take(), 1)
            requested.discard(found)
            queue.done(found)
        assert len(queue) == 0

    asyncio.run(live())


KEYS = "abcdef"
steps = st.lists(
    st.one_of(
        st.tuples(st.just("change"), st.sampled_from(KEYS), st.sampled_from(list(Priority))),
        st.tuples(st.sampled_from(["serve", "answer", "delete", "later"]), st.sampled_from(KEYS), st.none()),
    ),
    max_size=60,
)


@dataclass
class Account:
    """An account with capacity for two requests, whose keys go through the queue as those of a reconciler do."""

    most: int = 2
    clock: Clock = field(default_factory=Clock)
    wanted: set[str] = field(default_factory=set)
    """Keys that want to send."""
    sending: set[str] = field(default_factory=set)
    served: int = 0

    def __post_init__(self) -> None:
        """Begin with an empty queue."""
        self.queue: WorkQueue[str] = WorkQueue(self.clock)

    def do(self, step: str, key: str, priority: Priority | None) -> None:
        """Let one thing happen."""
        if step == "change" and priority is not None:
            self.wanted.add(key)
            self.queue.add(key, priority)
        elif step == "serve":
            self.serve()
        elif step == "answer" and key in self.sending:
            self.answer(key)
        elif step == "delete":
            self.wanted.discard(key)
            self.queue.forget(key)
        elif step == "later":
            self.clock.now += 100
        assert len(self.sending) <= self.most

    def serve(self) -> bool:
        """Reconcile the next key: send, or park."""
        key = self.queue.try_take()
        if key is None:
            return False
        self.served += 1
        if key in self.wanted and len(self.sending) == self.most:
            self.queue.park(key, "account")
            self.release()
        elif key in self.wanted:
            self.queue.admitted(key)
            self.wanted.discard(key)
            self.sending.add(key)
            return True  # its worker waits for the answer
        self.queue.done(key)
        return True

    def answer(self, key: str) -> None:
        """Let a request end."""
        self.sending.discard(key)
        self.release()
        self.queue.done(key)

    def release(self) -> None:
        """Release as many keys as have capacity."""
        self.queue.release("account", self.most - len(self.sending))

    def serve_all(self) -> None:
        """Serve until nothing is due, which takes a bounded number of turns."""
        before = self.served
        while self.serve():
            assert self.served - before <= 4 * len(KEYS), "keys are served again and again"


@given(steps)
def test_never_too_many_requests_and_no_key_is_forgotten(path: list[tuple[str, str, Priority | None]]) -> None:
    """Whatever happens in whatever order: the account is never exceeded, and in the end every key was sent."""
    account = Account()
    for step in path:
        account.do(*step)
    account.serve_all()
    while account.sending:
        account.answer(min(account.sending))
        account.serve_all()
    assert account.wanted == set()
    assert len(account.queue) == 0
    assert not account.queue._released
