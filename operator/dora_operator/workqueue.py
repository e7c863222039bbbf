"""A keyed work queue: one worker per key at a time, urgent keys first, and no key starves.

Knows nothing of DORA, Kubernetes or HTTP. Its clock is passed in. All methods belong to one event loop.

Order: a key is served by the time at which it became ready plus the handicap of its priority. A less urgent key waits
behind newer, more urgent ones for at most its handicap, so ageing needs no bookkeeping.

A key that cannot go on because something shared is used up (the rate limit of an account, the lock of a deployment) is
parked under the name of that resource. It keeps its place and holds no worker. `release` puts the first keys back.
"""

import asyncio
import heapq
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from enum import Enum
from math import inf
from typing import Generic, NamedTuple, TypeVar

Key = TypeVar("Key", bound=Hashable)


FIRST_BACKOFF = 0.5
LONGEST_BACKOFF = 30.0


class Priority(Enum):
    """Why a key is queued, by its handicap in seconds."""

    ABORT = 0.0
    CHANGE = 60.0
    RETRY = 120.0
    LISTED = 300.0


class _Entry(NamedTuple, Generic[Key]):
    """A heap entry. `sort` is a time or a place; an entry counts while its token is the key's newest."""

    sort: float
    token: int
    key: Key


@dataclass(slots=True)
class _Queued:
    """A key that waits to be served from `ready_at` on."""

    ready_at: float
    place: float
    token: int


@dataclass(slots=True)
class _Parked:
    """A key that waits for a resource."""

    resource: Hashable
    place: float
    token: int


@dataclass(slots=True)
class WorkQueue(Generic[Key]):
    """Keys wait here until a worker takes them."""

    clock: Callable[[], float]
    """Seconds of a clock that never goes back."""
    _queued: dict[Key, _Queued] = field(default_factory=dict)
    _ready: list[_Entry[Key]] = field(default_factory=list)
    _delayed: list[_Entry[Key]] = field(default_factory=list)
    _working: dict[Key, float] = field(default_factory=dict)
    """Keys that a worker holds, with their places."""
    _parked: dict[Key, _Parked] = field(default_factory=dict)
    _waiting: dict[Hashable, list[_Entry[Key]]] = field(default_factory=dict)
    """Parked keys of each resource, by place."""
    _opens_at: dict[Hashable, float] = field(default_factory=dict)
    _released: dict[Key, tuple[Hashable, float]] = field(default_factory=dict)
    """Keys that were released and have not used their turn yet: for which resource, and their places."""
    _failures: dict[Key, int] = field(default_factory=dict)
    """Failures in a row, of keys whose last reconcile failed."""
    _changed: asyncio.Event = field(default_factory=asyncio.Event)
    _tokens: int = 0

    def __len__(self) -> int:
        """Count the keys that wait, due or not, parked or not."""
        return len(self._queued) + len(self._parked)

    @property
    def busy(self) -> int:
        """Count the keys that workers hold."""
        return len(self._working)

    @property
    def parked(self) -> int:
        """Count the parked keys."""
        return len(self._parked)

    def ages(self) -> list[float]:
        """Return for how many seconds each queued key has been due; negative until it is."""
        now = self.clock()
        return [now - queued.ready_at for queued in self._queued.values()]

    def add(self, key: Key, priority: Priority, delay: float = 0.0) -> None:
        """Serve a key after `delay` seconds. Of two requests for a key the sooner time and the better place win."""
        parked = self._parked.get(key)
        if parked is not None and delay > 0:
            return  # it waits for its turn already, and reconciles then
        ready_at = self.clock() + max(delay, 0.0)
        place = ready_at + priority.value
        if parked is not None:
            place = min(place, parked.place)
            del self._parked[key]
        self._enqueue(key, ready_at, place)

    def failed(self, key: Key) -> float:
        """Serve a key again after its backoff, and return that in seconds."""
        failures = self._failures[key] = self._failures.get(key, 0) + 1
        backoff = min(LONGEST_BACKOFF, FIRST_BACKOFF * 2.0 ** min(failures - 1, 10))
        self.add(key, Priority.RETRY, backoff)
        return backoff

    def succeeded(self, key: Key) -> None:
        """Reset the backoff of a key."""
        self._failures.pop(key, None)

    def retry_failed(self) -> None:
        """Serve every key in backoff now: the cause may be gone."""
        for key in self._failures:
            self.add(key, Priority.RETRY)

    def park(self, key: Key, resource: Hashable) -> None:
        """Let a key that a worker holds wait for a resource, with its place. The worker calls `done` next."""
        if self._released.get(key, (None,))[0] == resource:
            del self._released[key]  # another key has taken the turn: there is none to pass on
        if key not in self._queued:  # else it was requested again in the meantime
            self._tokens += 1
            place = self._working[key]
            self._parked[key] = _Parked(resource, place, self._tokens)
            heapq.heappush(self._waiting.setdefault(resource, []), _Entry(place, self._tokens, key))

    def open_at(self, resource: Hashable, at: float) -> None:
        """Release the first key that waits for a resource at a time."""
        if resource in self._waiting and at < self._opens_at.get(resource, inf):
            self._opens_at[resource] = at
            self._changed.set()

    def release(self, resource: Hashable, free: int) -> None:
        """Serve the first keys that wait for a resource, as many as are free.

        Keys that were released before count where they come first: one that waits behind others for a worker must not
        hold up a more urgent key.
        """
        while (first := self._first_waiting(resource)) is not None:
            if sum(each == resource and place <= first.sort for each, place in self._released.values()) >= free:
                return
            self._release_first(resource)

    def waiting_for(self) -> list[Hashable]:
        """Return the resources for which keys wait."""
        return list(self._waiting)

    def admitted(self, key: Key) -> None:
        """Note that a released key has what it waited for."""
        self._released.pop(key, None)

    def forget(self, key: Key) -> None:
        """Drop the request to serve a key. A worker that holds it finishes."""
        self._queued.pop(key, None)
        self._parked.pop(key, None)
        self._failures.pop(key, None)
        self._pass_on(key)

    async def take(self) -> Key:
        """Wait for the next key. The caller owns it until `done`."""
        while (key := self.try_take()) is None:
            self._changed.clear()
            await self._sleep()
        return key

    def try_take(self) -> Key | None:
        """Take the next key if one is due. The caller owns it until `done`."""
        self._promote()
        while self._ready:
            entry = heapq.heappop(self._ready)
            queued = self._queued.get(entry.key)
            if queued is not None and queued.token == entry.token and entry.key not in self._working:
                self._working[entry.key] = self._queued.pop(entry.key).place
                return entry.key
        return None

    def done(self, key: Key) -> None:
        """Give a key back. It is served again if it was requested in the meantime."""
        self._working.pop(key, None)
        self._pass_on(key)
        queued = self._queued.get(key)
        if queued is not None:
            heapq.heappush(self._delayed, _Entry(queued.ready_at, queued.token, key))
            self._changed.set()

    def _enqueue(self, key: Key, ready_at: float, place: float) -> None:
        before = self._queued.get(key)
        if before is not None:
            ready_at, place = min(ready_at, before.ready_at), min(place, before.place)
            if (ready_at, place) == (before.ready_at, before.place):
                return
        self._tokens += 1
        self._queued[key] = _Queued(ready_at, place, self._tokens)
        heapq.heappush(self._delayed, _Entry(ready_at, self._tokens, key))
        self._changed.set()

    def _pass_on(self, key: Key) -> None:
        """Give the turn that a released key did not use to the next one."""
        released = self._released.pop(key, None)
        if released is not None:
            self._release_first(released[0])

    def _release_first(self, resource: Hashable) -> None:
        first = self._first_waiting(resource)
        if first is not None:
            del self._parked[first.key]
            self._released[first.key] = (resource, first.sort)
            self._enqueue(first.key, self.clock(), first.sort)

    def _first_waiting(self, resource: Hashable) -> _Entry[Key] | None:
        waiting = self._waiting.get(resource, [])
        while waiting:
            parked = self._parked.get(waiting[0].key)
            if parked is not None and parked.token == waiting[0].token:
                return waiting[0]
            heapq.heappop(waiting)
        self._waiting.pop(resource, None)
        self._opens_at.pop(resource, None)
        return None

    def _promote(self) -> None:
        now = self.clock()
        for resource in [resource for resource, at in self._opens_at.items() if at <= now]:
            del self._opens_at[resource]
            self.release(resource, 1)
        while self._delayed and self._delayed[0].sort <= now:
            entry = heapq.heappop(self._delayed)
            queued = self._queued.get(entry.key)
            if queued is not None and queued.token == entry.token:
                heapq.heappush(self._ready, _Entry(queued.place, entry.token, entry.key))

    async def _sleep(self) -> None:
        times = [self._delayed[0].sort] if self._delayed else []
        soonest = min((*times, *self._opens_at.values()), default=None)
        try:
            async with asyncio.timeout(None if soonest is None else max(soonest - self.clock(), 0.0)):
                await self._changed.wait()
        except TimeoutError:
            return
