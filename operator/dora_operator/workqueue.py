"""A keyed work queue: one worker per key at a time, urgent keys first, no key starves, no group is left behind.

Knows nothing of what a key is. Its clock is passed in. All methods belong to one event loop.

Order: the most urgent class first; within a class, groups (namespaces) take turns; every eighth turn goes to the key
that has been ready for the longest time. A key that needs something which is used up (a place for a request, the lock
of a deployment) is set aside with `wait`, holds no worker, and is served again after `release`.
"""

import asyncio
import heapq
from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from datetime import datetime
from enum import IntEnum
from itertools import count
from typing import Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)

FIRST_BACKOFF = 0.5
MAX_BACKOFF = 30.0
OLDEST_TURN = 8
"""Every n-th turn goes to the key that has been ready for the longest time."""


class Priority(IntEnum):
    """The class of a key; a smaller one is served first."""

    URGENT = 0
    NORMAL = 1
    LOW = 2


@dataclass(frozen=True, slots=True)
class Result:
    """What a reconcile asks of the queue."""

    at: datetime | None = None
    """When to reconcile again. None: after a change."""
    priority: Priority = Priority.LOW
    waits_for: Hashable | None = None
    """What is used up now: reconcile again when it is released."""


@dataclass(slots=True)
class _Entry:
    """All that is known of one key."""

    priority: Priority
    order: int
    """Position among keys that become ready at the same time: the order in which they were first requested."""
    ready_at: float | None = None
    """When it is wanted again. None: it is not, beyond what a worker does now."""
    token: int = 0
    """Number of the newest request; older ones in the heaps and lists do not count."""
    working: bool = False
    failures: int = 0
    waits_for: Hashable | None = None
    released_from: Hashable | None = None
    """What it waited for, until a worker takes it."""


@dataclass(slots=True)
class WorkQueue(Generic[Key]):
    """Keys wait here until a worker takes them."""

    clock: Callable[[], float]
    """Seconds of a clock that never goes back."""
    group_of: Callable[[Key], Hashable] = lambda _: None
    """Keys of one group take turns with those of the others."""
    _entries: dict[Key, _Entry] = field(default_factory=dict)
    _delayed: list[tuple[float, int, int, Key]] = field(default_factory=list)
    """Heap of time, order, token and key."""
    _ready: dict[Priority, OrderedDict[Hashable, deque[tuple[int, Key]]]] = field(
        default_factory=lambda: {priority: OrderedDict() for priority in Priority}
    )
    """By class, then by group in the order of their turns: tokens and keys."""
    _by_age: OrderedDict[Key, None] = field(default_factory=OrderedDict)
    """Ready keys, the one that has waited the longest first."""
    _waiting: defaultdict[Hashable, list[tuple[Priority, int, int, Key]]] = field(
        default_factory=lambda: defaultdict(list)
    )
    """By what they wait for: heap of class, order, token and key."""
    _released: Counter[Hashable] = field(default_factory=Counter)
    """How many keys were released for each resource, and have not been taken yet."""
    _numbers: "count[int]" = field(default_factory=count)
    _changed: asyncio.Event = field(default_factory=asyncio.Event)
    _turns: int = 0

    def __len__(self) -> int:
        """Count the keys that wait, due or not."""
        return sum(entry.ready_at is not None or entry.waits_for is not None for entry in self._entries.values())

    @property
    def busy(self) -> int:
        return sum(entry.working for entry in self._entries.values())

    def ages(self) -> list[float]:
        """Return for how many seconds each queued key has been due; negative until it is."""
        now = self.clock()
        return [now - entry.ready_at for entry in self._entries.values() if entry.ready_at is not None]

    def add(self, key: Key, priority: Priority, delay: float = 0.0) -> None:
        """Serve a key after `delay` seconds. Of two requests the sooner time and the more urgent class win."""
        entry = self._entries.get(key)
        if entry is None:
            entry = self._entries[key] = _Entry(priority, next(self._numbers))
        ready_at = self.clock() + max(delay, 0.0)
        if entry.waits_for is not None:
            if delay > 0 and priority >= entry.priority:
                return  # it waits for its turn already, and is reconciled then
            entry.waits_for = None
        elif entry.ready_at is not None:
            ready_at, priority = min(ready_at, entry.ready_at), min(priority, entry.priority)
            if (ready_at, priority) == (entry.ready_at, entry.priority):
                return
        entry.ready_at, entry.priority = ready_at, priority
        if not entry.working:
            self._push(key, entry)

    def failed(self, key: Key) -> float:
        """Serve a key again after its backoff, in its class, and return the backoff in seconds."""
        entry = self._entries[key]
        entry.failures += 1
        backoff = min(MAX_BACKOFF, FIRST_BACKOFF * 2.0 ** min(entry.failures - 1, 10))
        self.add(key, entry.priority, backoff)
        return backoff

    def succeeded(self, key: Key) -> None:
        self._entries[key].failures = 0

    def retry_failed(self) -> None:
        """Serve every key in backoff now: the cause may be gone."""
        for key, entry in list(self._entries.items()):
            if entry.failures:
                self.add(key, entry.priority)

    def wait(self, key: Key, resource: Hashable, priority: Priority) -> None:
        """Set a key aside that a worker holds, until `release`. Without effect if it was requested meanwhile."""
        entry = self._entries[key]
        if entry.ready_at is None:
            entry.waits_for, entry.priority, entry.token = resource, priority, next(self._numbers)
            heapq.heappush(self._waiting[resource], (priority, entry.order, entry.token, key))

    def waiting_for(self) -> list[Hashable]:
        return list(self._waiting)

    def release(self, resource: Hashable, free: float = 1) -> None:
        """Serve the first keys that wait for a resource, so that at most `free` are on their way."""
        waiting = self._waiting.get(resource, [])
        while waiting and self._released[resource] < free:
            _, _, token, key = heapq.heappop(waiting)
            entry = self._entries.get(key)
            if entry is not None and entry.waits_for is not None and entry.token == token:
                self.add(key, entry.priority)
                entry.released_from = resource
                self._released[resource] += 1
        if not waiting:
            self._waiting.pop(resource, None)

    def forget(self, key: Key) -> None:
        """Drop everything about a key. A worker that holds it finishes."""
        entry = self._entries.get(key)
        if entry is None:
            return
        self._by_age.pop(key, None)
        self._count_taken(entry)
        entry.ready_at, entry.waits_for, entry.failures, entry.token = None, None, 0, -1
        if not entry.working:
            del self._entries[key]

    async def take(self) -> Key:
        """Wait for the next key. The caller owns it until `done`."""
        while (key := self.try_take()) is None:
            self._changed.clear()
            await self._sleep()
        return key

    def try_take(self) -> Key | None:
        """Take the next key if one is due. The caller owns it until `done`."""
        self._promote()
        if not self._by_age:
            return None
        self._turns += 1
        key = next(iter(self._by_age)) if self._turns % OLDEST_TURN == 0 else self._most_urgent()
        del self._by_age[key]
        entry = self._entries[key]
        self._count_taken(entry)
        entry.working, entry.ready_at, entry.token = True, None, -1
        return key

    def _count_taken(self, entry: _Entry) -> None:
        if entry.released_from is not None:
            self._released[entry.released_from] -= 1
            if not self._released[entry.released_from]:
                del self._released[entry.released_from]
            entry.released_from = None

    def done(self, key: Key) -> None:
        """Give a key back. It is served again if it was requested in the meantime."""
        entry = self._entries[key]
        entry.working = False
        if entry.ready_at is not None:
            self._push(key, entry)
        elif entry.waits_for is None and not entry.failures:
            del self._entries[key]

    def _push(self, key: Key, entry: _Entry) -> None:
        assert entry.ready_at is not None
        entry.token = next(self._numbers)
        if key in self._by_age:  # ready already: only its class has changed
            self._make_ready(key, entry)
        else:
            if len(self._delayed) > 2 * len(self._entries) + 64:  # most were requested again, or forgotten
                self._delayed = [item for item in self._delayed if self._is_newest(*item[2:])]
                heapq.heapify(self._delayed)
            heapq.heappush(self._delayed, (entry.ready_at, entry.order, entry.token, key))
        self._changed.set()

    def _is_newest(self, token: int, key: Key) -> bool:
        entry = self._entries.get(key)
        return entry is not None and entry.token == token

    def _promote(self) -> None:
        now = self.clock()
        while self._delayed and self._delayed[0][0] <= now:
            _, _, token, key = heapq.heappop(self._delayed)
            if self._is_newest(token, key):
                self._make_ready(key, self._entries[key])

    def _make_ready(self, key: Key, entry: _Entry) -> None:
        self._by_age.setdefault(key)
        self._ready[entry.priority].setdefault(self.group_of(key), deque()).append((entry.token, key))

    def _most_urgent(self) -> Key:
        for groups in self._ready.values():
            while groups:
                group, members = next(iter(groups.items()))
                token, key = members.popleft()
                groups.move_to_end(group)
                if not members:
                    del groups[group]
                if key in self._by_age and self._entries[key].token == token:
                    return key
        raise AssertionError("every ready key has a class")

    async def _sleep(self) -> None:
        soonest = self._delayed[0][0] if self._delayed else None
        try:
            async with asyncio.timeout(None if soonest is None else max(soonest - self.clock(), 0.0)):
                await self._changed.wait()
        except TimeoutError:
            return
