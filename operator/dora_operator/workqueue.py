"""A keyed work queue: one worker per key at a time, urgent keys first, old keys never forgotten.

Knows nothing of DORA, Kubernetes or HTTP. Time comes from a clock that is passed in.

Order: a key has its place at `the time it became ready + the handicap of its urgency`. A less urgent key waits behind
newer urgent ones for at most its handicap, so ageing needs no bookkeeping and nothing starves.

A key whose turn came to nothing, because something that many need was used up, is parked in a room (see `rooms`). Rooms
are left in the order of places, so that waiting there costs neither urgency nor age.
"""

import asyncio
import heapq
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from enum import Enum
from typing import Generic, TypeVar

from dora_operator.rooms import Called, Rooms

Key = TypeVar("Key", bound=Hashable)
Room = TypeVar("Room", bound=Hashable)


class Urgency(Enum):
    """Why a key is looked at, by its handicap in seconds: an abort goes before what was changed in the last minute."""

    ABORT = 0.0
    CHANGE = 60.0
    RETRY = 120.0
    LISTED = 300.0


@dataclass(slots=True)
class _Waiting:
    """A key that wants to be served, from `ready_at` on."""

    ready_at: float
    place: float
    token: int


Entry = tuple[float, int, Key]
"""A time or a place, a token that tells whether the entry still counts, and the key."""


@dataclass(slots=True)
class WorkQueue(Generic[Key, Room]):
    """Keys wait here until a worker takes them. All methods belong to one event loop."""

    clock: Callable[[], float]
    _waiting: dict[Key, _Waiting] = field(default_factory=dict)
    _ready: list[Entry[Key]] = field(default_factory=list)
    _delayed: list[Entry[Key]] = field(default_factory=list)
    _working: dict[Key, float] = field(default_factory=dict)
    """Keys that a worker has, with their places."""
    _rooms: Rooms[Key, Room] = field(default_factory=Rooms)
    _changed: asyncio.Event = field(default_factory=asyncio.Event)
    _tokens: int = 0

    def __len__(self) -> int:
        """Count the keys that wait, due or not, in a room or not."""
        return len(self._waiting) + len(self._rooms)

    @property
    def busy(self) -> int:
        """Count the keys that workers have."""
        return len(self._working)

    @property
    def rooms(self) -> list[Room]:
        """Name the rooms where keys are parked."""
        return self._rooms.names()

    def ages(self) -> list[float]:
        """Return for how many seconds each key outside of rooms has been due; less than 0 until it is."""
        now = self.clock()
        return [now - waiting.ready_at for waiting in self._waiting.values()]

    def add(self, key: Key, urgency: Urgency, delay: float = 0.0) -> None:
        """Ask for a key to be served after `delay` seconds; of two wishes, the sooner and the better place win."""
        ready_at = self.clock() + max(delay, 0.0)
        place = ready_at + urgency.value
        if delay > 0 and key in self._rooms:
            return  # it is waiting for its turn already, and looks again then
        parked_at = self._rooms.leave(key)
        self._wish(key, ready_at, place if parked_at is None else min(place, parked_at))

    def park(self, key: Key, room: Room) -> None:
        """Put a key that a worker has into a room, with its place; the worker calls `done` next."""
        if key not in self._waiting:  # else it was asked for anew in the meantime
            self._rooms.park(key, room, self._working[key])

    def release(self, room: Room, free: int) -> None:
        """Let the first keys of a room be served now: so many as are free, less those who have not arrived."""
        self._serve(self._rooms.call(room, free))

    def arrived(self, key: Key) -> None:
        """Note that a key which was released has what it waited for; `done` says the same of one that needs nothing."""
        self._rooms.arrived(key)

    def open_at(self, room: Room, at: float) -> None:
        """Let the first key of a room be served at a time."""
        if self._rooms.open_at(room, at):
            self._changed.set()

    def forget(self, key: Key) -> None:
        """Drop the wish to serve a key. A worker that has it finishes."""
        self._waiting.pop(key, None)
        self._rooms.leave(key)
        self._rooms.arrived(key)

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
        self._working.pop(key, None)
        self._rooms.arrived(key)
        waiting = self._waiting.get(key)
        if waiting is not None:
            heapq.heappush(self._delayed, (waiting.ready_at, waiting.token, key))
            self._changed.set()

    def _wish(self, key: Key, ready_at: float, place: float) -> None:
        before = self._waiting.get(key)
        if before is not None:
            ready_at, place = min(ready_at, before.ready_at), min(place, before.place)
            if (ready_at, place) == (before.ready_at, before.place):
                return
        self._tokens += 1
        self._waiting[key] = _Waiting(ready_at, place, self._tokens)
        heapq.heappush(self._delayed, (ready_at, self._tokens, key))
        self._changed.set()

    def _serve(self, called: list[Called[Key]]) -> None:
        for each in called:
            self._wish(each.key, self.clock(), each.place)

    def _promote(self) -> None:
        now = self.clock()
        self._serve(self._rooms.open(now))
        while self._delayed and self._delayed[0][0] <= now:
            _, token, key = heapq.heappop(self._delayed)
            waiting = self._waiting.get(key)
            if waiting is not None and waiting.token == token:
                heapq.heappush(self._ready, (waiting.place, token, key))

    def _next_ready(self) -> Key | None:
        while self._ready:
            entry = heapq.heappop(self._ready)
            if self._is_current(entry):
                key = entry[2]
                self._working[key] = self._waiting.pop(key).place
                return key
        return None

    def _is_current(self, entry: Entry[Key]) -> bool:
        """An entry counts unless its key is at work (`done` puts it back) or was asked for anew."""
        _, token, key = entry
        waiting = self._waiting.get(key)
        return waiting is not None and waiting.token == token and key not in self._working

    async def _sleep(self) -> None:
        times = [self._delayed[0][0] if self._delayed else None, self._rooms.soonest()]
        soonest = min((time for time in times if time is not None), default=None)
        try:
            async with asyncio.timeout(None if soonest is None else max(soonest - self.clock(), 0.0)):
                await self._changed.wait()
        except TimeoutError:
            return
