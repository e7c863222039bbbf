"""The keyed work queue: one worker per key, priorities with ageing, delays, keys that wait. Tests set the time."""

import asyncio
from collections import Counter
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dora_operator.workqueue import FIRST_BACKOFF, MAX_BACKOFF, OLDEST_TURN, Priority, WorkQueue


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


def set_aside(queue: WorkQueue[str], key: str, resource: str = "limit", priority: Priority = Priority.NORMAL) -> None:
    """Serve a key that finds a resource used up."""
    queue.add(key, priority)
    while (taken := queue.try_take()) != key:
        assert taken is not None
        queue.done(taken)
    queue.wait(key, resource, priority)
    queue.done(key)


def test_a_key_waits_once(queue: WorkQueue[str]) -> None:
    """However often a key is added, it is served once."""
    for _ in range(5):
        queue.add("a", Priority.NORMAL)
    assert drain(queue) == ["a"]


def test_one_worker_per_key(queue: WorkQueue[str]) -> None:
    """A key that is added while a worker holds it is served again after that worker is done."""
    queue.add("a", Priority.NORMAL)
    assert queue.try_take() == "a"
    queue.add("a", Priority.URGENT)
    assert queue.try_take() is None
    queue.done("a")
    assert queue.try_take() == "a"


def test_urgent_keys_first(queue: WorkQueue[str], clock: Clock) -> None:
    """Whatever the order in which they came, and however long the others have been ready."""
    queue.add("low", Priority.LOW)
    queue.add("normal", Priority.NORMAL)
    clock.now += 3600
    queue.add("urgent", Priority.URGENT)
    assert drain(queue) == ["urgent", "normal", "low"]


def test_every_nth_turn_goes_to_the_oldest(queue: WorkQueue[str], clock: Clock) -> None:
    """So that a key of a low class is served although urgent ones come for ever."""
    queue.add("old", Priority.LOW)
    clock.now += 1
    served = []
    for number in range(OLDEST_TURN):
        queue.add(f"urgent-{number}", Priority.URGENT)
        served.append(queue.try_take())
    assert served[-1] == "old"
    assert "old" not in served[:-1]


def test_groups_take_turns(clock: Clock) -> None:
    """A namespace with many keys delays the others of its class by one key each."""
    queue: WorkQueue[str] = WorkQueue(clock, lambda key: key[0])
    for key in ("a1", "a2", "a3", "a4", "b1", "c1", "c2"):
        queue.add(key, Priority.NORMAL)
    queue.add("a5", Priority.URGENT)
    assert drain(queue)[:7] == ["a5", "a1", "b1", "c1", "a2", "c2", "a3"]


def test_a_key_becomes_more_urgent(queue: WorkQueue[str]) -> None:
    """A second, more urgent request moves a key forward; a less urgent one does not move it back."""
    queue.add("b", Priority.NORMAL)
    queue.add("a", Priority.LOW)
    queue.add("a", Priority.URGENT)
    queue.add("a", Priority.LOW)
    assert drain(queue) == ["a", "b"]


def test_a_key_that_is_ready_becomes_more_urgent(queue: WorkQueue[str]) -> None:
    """As that of a record whose watch event comes before the answer to its write."""
    for key in "abc":
        queue.add(key, Priority.NORMAL)
    assert queue.try_take() == "a"
    queue.add("c", Priority.URGENT)
    assert drain(queue) == ["c", "b"]


def test_a_delay_is_kept(queue: WorkQueue[str], clock: Clock) -> None:
    """A delayed key is not served before its time."""
    queue.add("a", Priority.LOW, delay=10)
    assert queue.try_take() is None
    assert queue.ages() == [-10]
    clock.now += 10
    assert queue.try_take() == "a"


def test_the_sooner_request_wins(queue: WorkQueue[str]) -> None:
    """A change need not wait for the end of a delay."""
    queue.add("a", Priority.LOW, delay=300)
    queue.add("a", Priority.NORMAL)
    assert drain(queue) == ["a"]
    assert len(queue) == 0


def test_a_forgotten_key_is_not_served(queue: WorkQueue[str]) -> None:
    """Forgetting drops the request, whether the key is ready, waits or is at a worker."""
    set_aside(queue, "waiting")
    queue.add("working", Priority.NORMAL)
    assert queue.try_take() == "working"
    queue.add("working", Priority.NORMAL)
    queue.add("ready", Priority.NORMAL)
    for key in ("waiting", "working", "ready", "unknown"):
        queue.forget(key)
    queue.done("working")
    queue.release("limit")
    assert (queue.try_take(), len(queue), queue.busy) == (None, 0, 0)


def test_forgotten_keys_leave_nothing_where_no_worker_takes_keys(queue: WorkQueue[str]) -> None:
    """A standby keeps what it would have to do as the leader, and no trace of what is gone."""
    queue.add("kept", Priority.NORMAL)
    for number in range(10_000):
        queue.add(f"key-{number}", Priority.NORMAL)
        queue.forget(f"key-{number}")
    assert len(queue._delayed) < 100
    assert drain(queue) == ["kept"]


def test_failures_back_off(queue: WorkQueue[str], clock: Clock) -> None:
    """The delay doubles up to a limit; a success resets it."""
    queue.add("a", Priority.NORMAL)
    delays = []
    for _ in range(12):
        assert queue.try_take() == "a"
        delays.append(queue.failed("a"))
        queue.done("a")
        clock.now += delays[-1]
    assert delays[:3] == [FIRST_BACKOFF, 2 * FIRST_BACKOFF, 4 * FIRST_BACKOFF]
    assert delays[-1] == MAX_BACKOFF
    assert queue.try_take() == "a"
    queue.succeeded("a")
    assert queue.failed("a") == FIRST_BACKOFF


def test_a_failed_key_keeps_its_class(queue: WorkQueue[str], clock: Clock) -> None:
    """An abort that could not be written is first again after its backoff."""
    queue.add("abort", Priority.URGENT)
    assert queue.try_take() == "abort"
    queue.failed("abort")
    queue.done("abort")
    for key in "abc":
        queue.add(key, Priority.NORMAL)
    clock.now += FIRST_BACKOFF
    assert queue.try_take() == "abort"


def test_failed_keys_are_served_when_the_cause_is_gone(queue: WorkQueue[str]) -> None:
    """No key waits for the end of its backoff; other delays are kept."""
    queue.add("a", Priority.NORMAL)
    assert queue.try_take() == "a"
    queue.failed("a")
    queue.done("a")
    queue.add("b", Priority.LOW, delay=60)
    queue.retry_failed()
    assert drain(queue) == ["a"]


async def test_a_waiting_worker_is_woken(queue: WorkQueue[str]) -> None:
    """A worker that waits on an empty queue gets the next key at once."""
    worker = asyncio.create_task(queue.take())
    await asyncio.sleep(0)
    queue.add("a", Priority.NORMAL)
    async with asyncio.timeout(1):
        assert await worker == "a"


async def test_a_waiting_worker_is_woken_by_a_release(queue: WorkQueue[str]) -> None:
    """Also when nothing is queued and a resource becomes free."""
    set_aside(queue, "a")
    worker = asyncio.create_task(queue.take())
    await asyncio.sleep(0)
    queue.release("limit")
    async with asyncio.timeout(1):
        assert await worker == "a"


def test_a_key_that_waits_is_served_when_it_is_released(queue: WorkQueue[str]) -> None:
    """It holds no worker and is not served before; other resources do not concern it."""
    set_aside(queue, "a")
    assert (queue.try_take(), queue.busy, len(queue)) == (None, 0, 1)
    assert queue.waiting_for() == ["limit"]
    queue.release("other")
    assert queue.try_take() is None
    queue.release("limit")
    assert queue.try_take() == "a"
    assert queue.waiting_for() == []


def test_a_change_of_a_key_that_waits_is_served_at_once(queue: WorkQueue[str]) -> None:
    """The change may be that nothing is wanted any more. A delayed request leaves the key where it is."""
    set_aside(queue, "a")
    queue.add("a", Priority.LOW, delay=5)
    assert (queue.try_take(), queue.ages()) == (None, [])
    queue.add("a", Priority.NORMAL)
    assert queue.try_take() == "a"
    queue.release("limit")
    queue.done("a")
    assert queue.try_take() is None


def test_a_request_while_a_key_begins_to_wait_is_not_lost(queue: WorkQueue[str]) -> None:
    """The object changed after the worker had read it."""
    queue.add("a", Priority.NORMAL)
    assert queue.try_take() == "a"
    queue.add("a", Priority.NORMAL)
    queue.wait("a", "limit", Priority.NORMAL)
    queue.done("a")
    assert queue.try_take() == "a"


def test_as_many_are_released_as_are_free(queue: WorkQueue[str]) -> None:
    """A released key counts until a worker has taken it."""
    for key in "abc":
        set_aside(queue, key)
    queue.release("limit", 2)
    queue.release("limit", 2)
    assert (queue.try_take(), queue.try_take(), queue.try_take()) == ("a", "b", None)
    queue.release("limit", 1)
    assert queue.try_take() == "c"


def test_keys_that_wait_are_released_by_their_class(queue: WorkQueue[str]) -> None:
    """An abort does not wait behind a backlog that is older."""
    for number in range(600):
        set_aside(queue, f"mark-{number}")
    set_aside(queue, "abort", priority=Priority.URGENT)
    queue.release("limit", 1)
    assert queue.try_take() == "abort"


def test_a_released_key_that_is_deleted_frees_its_turn(queue: WorkQueue[str]) -> None:
    """It has nothing to send any more."""
    for key in "ab":
        set_aside(queue, key)
    queue.release("limit", 1)
    queue.forget("a")
    queue.release("limit", 1)
    assert drain(queue) == ["b"]


def test_a_key_that_waits_again_waits_for_the_next_release(queue: WorkQueue[str]) -> None:
    """Another key has taken its turn: it must not be served again and again meanwhile."""
    set_aside(queue, "a")
    queue.release("limit")
    assert queue.try_take() == "a"
    queue.wait("a", "limit", Priority.NORMAL)
    queue.done("a")
    assert queue.try_take() is None
    queue.release("limit")
    assert queue.try_take() == "a"


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


@given(st.lists(st.tuples(st.integers(1, 3), st.sampled_from("AB")), max_size=30))
def test_nothing_starves(load: list[tuple[int, str]]) -> None:
    """Whatever else comes for ever, a key is served within a number of turns that those before it bound."""
    clock = Clock()
    queue: WorkQueue[str] = WorkQueue(clock, lambda key: key[0])
    for number, (priority, group) in enumerate(load):
        queue.add(f"{group}-before-{number}", Priority(priority - 1))
    clock.now += 1
    queue.add("Z-low", Priority.LOW)
    clock.now += 1
    for turn in range(OLDEST_TURN * (len(load) + 1)):
        queue.add(f"A-new-{turn}", Priority.URGENT)
        key = queue.try_take()
        assert key is not None
        queue.done(key)
        if key == "Z-low":
            return
    raise AssertionError("a key starves")


@given(st.lists(st.sampled_from("ABCD"), min_size=1, max_size=60))
def test_no_group_is_served_twice_before_another(groups: list[str]) -> None:
    """Within a class, except for the turns of the oldest key."""
    clock = Clock()
    queue: WorkQueue[str] = WorkQueue(clock, lambda key: key[0])
    for number, group in enumerate(groups):
        queue.add(f"{group}{number}", Priority.NORMAL)
    left, served = Counter(groups), Counter[str]()
    while (key := queue.try_take()) is not None:
        queue.done(key)
        served[key[0]] += 1
        left[key[0]] -= 1
        waiting = [served[group] for group in left if left[group]]
        assert max(served.values()) - min(waiting, default=served[key[0]]) <= 1 + served.total() // OLDEST_TURN
    assert not left.total()


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
        """Reconcile the next key: send, or wait."""
        key = self.queue.try_take()
        if key is None:
            return False
        self.served += 1
        if key in self.wanted and len(self.sending) == self.most:
            self.queue.wait(key, "account", Priority.NORMAL)
        elif key in self.wanted:
            self.wanted.discard(key)
            self.sending.add(key)
            return True  # its worker waits for the answer
        self.queue.done(key)
        self.release()
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
