"""A keyed work queue: one worker per key at a time, urgent keys first, old keys never forgotten.

Knows nothing of DORA, Kubernetes or HTTP. Time comes from a clock that is passed in.

Order: a key is served at `the time it became ready + the handicap of its urgency`. A less urgent key waits behind newer
urgent ones for at most its handicap, so ageing needs no bookkeeping and nothing starves.
"""

import asyncio
import heapq
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from enum import Enum
from typing import Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)


class Urgency(Enum):
    """Why a key is looked at; the value is its handicap in seconds."""

    ABORT = 0.0
    CHANGE = 1.0
    RETRY = 5.0
    LISTED = 30.0


@dataclass(slots=True)
class _Waiting:
    """A key that wants to be served, from `ready_at` on."""

    ready_at: float
    urgency: Urgency
    token: int


@dataclass(slots=True)
class WorkQueue(Generic[Key]):
    """Keys wait here until a worker takes them. All methods belong to one event loop."""

    clock: Callable[[], float]
    _waiting: dict[Key, _Waiting] = field(default_factory=dict)
    _ready: list[tuple[float, int, Key]] = field(default_factory=list)
    _delayed: list[tuple[float, int, Key]] = field(default_factory=list)
    _working: set[Key] = field(default_factory=set)
    _changed: asyncio.Event = field(default_factory=asyncio.Event)
    _tokens: int = 0

    def __len__(self) -> int:
        """Count the keys that wait, due or not."""
        return len(self._waiting)

    @property
    def busy(self) -> bool:
        """Tell whether a worker has a key."""
        return bool(self._working)

    def add(self, key: Key, urgency: Urgency, delay: float = 0.0) -> None:
        """Ask for a key to be served after `delay` seconds; of two wishes, the sooner and the more urgent win."""
        ready_at = self.clock() + max(delay, 0.0)
        before = self._waiting.get(key)
        if before is not None:
            ready_at = min(ready_at, before.ready_at)
            urgency = min(urgency, before.urgency, key=lambda one: one.value)
            if (ready_at, urgency) == (before.ready_at, before.urgency):
                return
        self._tokens += 1
        self._waiting[key] = _Waiting(ready_at, urgency, self._tokens)
        heapq.heappush(self._delayed, (ready_at, self._tokens, key))
        self._changed.set()

    def forget(self, key: Key) -> None:
        """Drop the wish to serve a key. A worker that has it finishes."""
        self._waiting.pop(key, None)

    async def take(self) -> Key:
        """Wait for the next key; the caller owns it until `done`."""
        while (key := self.try_take()) is None:
            self._changed.clear()
            await self._sleep()
        return key

    def try_take(self) -> Key | None:
        """Take the next key if one is due; the caller owns it until `done`."""
        self._promote()
        return self._next_ready()

    def done(self, key: Key) -> None:
        """Give a key back; it is served again if it was asked for in the meantime."""
        self._working.discard(key)
        waiting = self._waiting.get(key)
        if waiting is not None:
            heapq.heappush(self._delayed, (waiting.ready_at, waiting.token, key))
            self._changed.set()

    def _promote(self) -> None:
        now = self.clock()
        while self._delayed and self._delayed[0][0] <= now:
            ready_at, token, key = heapq.heappop(self._delayed)
            waiting = self._waiting.get(key)
            if waiting is not None and waiting.token == token:
                heapq.heappush(self._ready, (ready_at + waiting.urgency.value, token, key))

    def _next_ready(self) -> Key | None:
        while self._ready:
            entry = heapq.heappop(self._ready)
            if self._is_current(entry):
                key = entry[2]
                del self._waiting[key]
                self._working.add(key)
                return key
        return None

    def _is_current(self, entry: tuple[float, int, Key]) -> bool:
        """An entry counts unless its key is at work (`done` puts it back) or was asked for anew."""
        _, token, key = entry
        waiting = self._waiting.get(key)
        return waiting is not None and waiting.token == token and key not in self._working

    async def _sleep(self) -> None:
        timeout = max(self._delayed[0][0] - self.clock(), 0.0) if self._delayed else None
        try:
            async with asyncio.timeout(timeout):
                await self._changed.wait()
        except TimeoutError:
            return
