"""Rooms: keys whose turn came to nothing wait here until what many of them need is there again.

A key keeps its place while it waits. Whoever is called is on the way until it has arrived: what is free for one is
offered to one. Knows nothing of workers, nor of what there is to wait for.
"""

import heapq
from collections.abc import Hashable
from dataclasses import dataclass, field
from math import inf
from typing import Generic, NamedTuple, TypeVar

Key = TypeVar("Key", bound=Hashable)
Room = TypeVar("Room", bound=Hashable)


class Called(NamedTuple, Generic[Key]):
    """A key that has left its room."""

    key: Key
    place: float


@dataclass(slots=True)
class _Parked(Generic[Room]):
    """A key in a room."""

    room: Room
    place: float
    token: int


@dataclass(slots=True)
class Rooms(Generic[Key, Room]):
    """All rooms. A key is in one at most."""

    _parked: dict[Key, _Parked[Room]] = field(default_factory=dict)
    _entries: dict[Room, list[tuple[float, int, Key]]] = field(default_factory=dict)
    """Place, a token that tells whether the entry still counts, and the key."""
    _openings: dict[Room, float] = field(default_factory=dict)
    _called: dict[Key, Room] = field(default_factory=dict)
    _on_their_way: dict[Room, dict[Key, float]] = field(default_factory=dict)
    """Who was called out of a room and has not arrived, with their places."""
    _tokens: int = 0

    def __len__(self) -> int:
        """Count the keys in rooms."""
        return len(self._parked)

    def __contains__(self, key: Key) -> bool:
        return key in self._parked

    def names(self) -> list[Room]:
        """Name the rooms where somebody waits."""
        return list(self._entries)

    def soonest(self) -> float | None:
        """Return when the first room opens, where that is known."""
        return min(self._openings.values(), default=None)

    def park(self, key: Key, room: Room, place: float) -> None:
        """Put a key into a room."""
        self.arrived(key)
        self._tokens += 1
        self._parked[key] = _Parked(room, place, self._tokens)
        heapq.heappush(self._entries.setdefault(room, []), (place, self._tokens, key))

    def leave(self, key: Key) -> float | None:
        """Take a key out of its room and return its place; None: it is in none."""
        parked = self._parked.pop(key, None)
        return None if parked is None else parked.place

    def call(self, room: Room, free: int) -> list[Called[Key]]:
        """Take the first keys out of a room: so many as are free, less those on their way whose turn is sooner."""
        called = list[Called[Key]]()
        while (first := self._first(room)) is not None and self._sooner(room, first.place) < free:
            heapq.heappop(self._entries[room])
            del self._parked[first.key]
            self._called[first.key] = room
            self._on_their_way.setdefault(room, {})[first.key] = first.place
            called.append(first)
        return called

    def arrived(self, key: Key) -> None:
        """Note that a key has what it was called for, or needs it no longer."""
        room = self._called.pop(key, None)
        if room is not None:
            del self._on_their_way[room][key]
            if not self._on_their_way[room]:
                del self._on_their_way[room]

    def _first(self, room: Room) -> Called[Key] | None:
        """Return who is first in a room; one where nobody is left is no more."""
        entries = self._entries.get(room, [])
        while entries:
            place, token, key = entries[0]
            parked = self._parked.get(key)
            if parked is not None and parked.token == token:
                return Called(key, place)
            heapq.heappop(entries)
        self._entries.pop(room, None)
        self._openings.pop(room, None)
        return None

    def _sooner(self, room: Room, place: float) -> int:
        return sum(each <= place for each in self._on_their_way.get(room, {}).values())

    def open_at(self, room: Room, at: float) -> bool:
        """Call the first key of a room at a time; tell whether that is sooner than was known."""
        if room not in self._entries or at >= self._openings.get(room, inf):
            return False
        self._openings[room] = at
        return True

    def open(self, now: float) -> list[Called[Key]]:
        """Take out the first key of each room whose time has come."""
        due = [room for room, at in self._openings.items() if at <= now]
        for room in due:
            del self._openings[room]
        return [called for room in due for called in self.call(room, 1)]
