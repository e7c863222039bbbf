"""A keyed work queue: one worker per key at a time, urgent keys first, old keys never forgotten.

Knows nothing of DORA, Kubernetes or HTTP. Time comes from a clock that is passed in.

Order: a key has its place at `the time it became ready + the handicap of its urgency`. A less urgent key waits behind
newer urgent ones for at most its handicap, so ageing needs no bookkeeping and nothing starves.

A key whose turn came to nothing, because something that many need was used up, is parked in a room. Rooms are left in
the order of places, so that waiting there costs neither urgency nor age.
"""

import asyncio
import heapq
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from enum import Enum
from math import inf
from typing import Generic, TypeVar

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


@dataclass(slots=True)
class _Parked(Generic[Room]):
    """A key in a room."""

    room: Room
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
    _parked: dict[Key, _Parked[Room]] = field(default_factory=dict)
    _rooms: dict[Room, list[Entry[Key]]] = field(default_factory=dict)
    _openings: dict[Room, float] = field(default_factory=dict)
    _changed: asyncio.Event = field(default_factory=asyncio.Event)
    _tokens: int = 0

    def __len__(self) -> int:
        """Count the keys that wait, due or not, in a room or not."""
        return len(self._waiting) + len(self._parked)

    @property
    def busy(self) -> int:
        """Count the keys that workers have."""
        return len(self._working)

    @property
    def rooms(self) -> list[Room]:
        """Name the rooms where keys are parked."""
        return list(self._rooms)

    def ages(self) -> list[float]:
        """Return for how many seconds each key outside of rooms has been due; less than 0 until it is."""
        now = self.clock()
        return [now - waiting.ready_at for waiting in self._waiting.values()]

    def add(self, key: Key, urgency: Urgency, delay: float = 0.0) -> None:
        """Ask for a key to be served after `delay` seconds; of two wishes, the sooner and the better place win."""
        ready_at = self.clock() + max(delay, 0.0)
        place = ready_at + urgency.value
        parked = self._parked.get(key)
        if parked is not None and delay > 0:
            return  # it is waiting for its turn already, and looks again then
        if parked is not None:
            del self._parked[key]
            place = min(place, parked.place)
        self._wish(key, ready_at, place)

    def park(self, key: Key, room: Room) -> None:
        """Put a key that a worker has into a room, with its place; the worker calls `done` next."""
        if key in self._waiting:
            return  # asked for anew in the meantime
        self._tokens += 1
        place = self._working[key]
        self._parked[key] = _Parked(room, place, self._tokens)
        heapq.heappush(self._rooms.setdefault(room, []), (place, self._tokens, key))

    def release(self, room: Room, count: int) -> None:
        """Let the first keys of a room be served now."""
        entries = self._rooms.get(room, [])
        while entries and count > 0:
            _, token, key = heapq.heappop(entries)
            parked = self._parked.get(key)
            if parked is not None and parked.token == token:
                del self._parked[key]
                self._wish(key, self.clock(), parked.place)
                count -= 1
        if not entries:
            self._rooms.pop(room, None)
            self._openings.pop(room, None)

    def open_at(self, room: Room, at: float) -> None:
        """Let the first key of a room be served at a time."""
        if room in self._rooms and at < self._openings.get(room, inf):
            self._openings[room] = at
            self._changed.set()

    def forget(self, key: Key) -> None:
        """Drop the wish to serve a key. A worker that has it finishes."""
        self._waiting.pop(key, None)
        self._parked.pop(key, None)

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

    def _promote(self) -> None:
        now = self.clock()
        for room in [room for room, at in self._openings.items() if at <= now]:
            del self._openings[room]
            self.release(room, 1)
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
        times = [self._delayed[0][0]] if self._delayed else []
        soonest = min([*times, *self._openings.values()], default=None)
        try:
            async with asyncio.timeout(None if soonest is None else max(soonest - self.clock(), 0.0)):
                await self._changed.wait()
        except TimeoutError:
            return
