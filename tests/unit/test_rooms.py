"""Rooms: who is called, how many at once, and that nobody is forgotten in one."""

from dataclasses import dataclass, field

from hypothesis import given
from hypothesis import strategies as st

from dora_operator.rooms import Called, Rooms


def filled(*places: float) -> Rooms[str, str]:
    """Return rooms with one that has keys at these places, named after them."""
    rooms: Rooms[str, str] = Rooms()
    for place in places:
        rooms.park(f"{place:g}", "room", place)
    return rooms


def called(rooms: Rooms[str, str], free: int) -> list[str]:
    """Call out of the room."""
    return [each.key for each in rooms.call("room", free)]


def test_what_is_free_for_one_is_offered_to_one() -> None:
    """Whoever was called and has not arrived still counts; after that the next one is called."""
    rooms = filled(1, 2, 3)
    assert called(rooms, 1) == ["1"]
    assert called(rooms, 1) == []
    assert called(rooms, 2) == ["2"]
    assert rooms.names() == ["room"]
    rooms.arrived("1")
    assert called(rooms, 2) == ["3"]
    assert rooms.names() == []


def test_the_urgent_are_not_kept_by_those_on_their_way() -> None:
    """An abort that comes in later is called at once: the one who was called before it may be stuck in the queue."""
    rooms = filled(300)
    assert called(rooms, 1) == ["300"]
    rooms.park("abort", "room", 0)
    rooms.park("301", "room", 301)
    assert called(rooms, 1) == ["abort"]
    assert called(rooms, 1) == []


def test_who_parks_again_is_not_on_the_way() -> None:
    """What it was called for was taken by another: it waits anew, and is called anew."""
    rooms = filled(1, 2)
    assert called(rooms, 1) == ["1"]
    rooms.park("1", "room", 1)
    assert called(rooms, 1) == ["1"]


def test_a_room_that_opens_calls_one() -> None:
    """At its time, once."""
    rooms = filled(1, 2)
    assert rooms.open_at("room", 10)
    assert not rooms.open_at("room", 11)
    assert not rooms.open_at("empty", 1)
    assert rooms.soonest() == 10
    assert rooms.open(9) == []
    assert rooms.open(10) == [Called("1", 1)]
    assert rooms.open(10) == []
    assert rooms.soonest() is None


steps = st.lists(
    st.one_of(
        st.tuples(st.just("park"), st.sampled_from("abcdef"), st.integers(0, 5)),
        st.tuples(st.just("leave"), st.sampled_from("abcdef"), st.just(0)),
        st.tuples(st.just("arrive"), st.sampled_from("abcdef"), st.just(0)),
        st.tuples(st.just("call"), st.just(""), st.integers(0, 3)),
    ),
    max_size=60,
)


@dataclass
class Model:
    """What should be in the room, and who should be on the way."""

    rooms: Rooms[str, str] = field(default_factory=Rooms)
    inside: dict[str, int] = field(default_factory=dict)
    on_the_way: dict[str, int] = field(default_factory=dict)

    def do(self, step: str, key: str, number: int) -> None:
        """Do a step on both, and compare."""
        if step == "park" and key not in self.inside:
            self.rooms.park(key, "room", number)
            self.inside[key] = number
            self.on_the_way.pop(key, None)
        elif step == "leave":
            assert self.rooms.leave(key) == self.inside.pop(key, None)
        elif step == "arrive":
            self.rooms.arrived(key)
            self.on_the_way.pop(key, None)
        elif step == "call":
            self._call(number)
        assert len(self.rooms) == len(self.inside)
        assert all(each in self.rooms for each in self.inside)

    def _call(self, free: int) -> None:
        for each in self.rooms.call("room", free):
            assert self.inside.pop(each.key) == each.place
            assert all(each.place <= place for place in self.inside.values()), "somebody stood before it"
            assert self._sooner(each.place) < free, "more were called than there is room for"
            self.on_the_way[each.key] = int(each.place)
        if self.inside:
            assert self._sooner(min(self.inside.values())) >= free, "somebody waits for what is free"

    def _sooner(self, place: float) -> int:
        return sum(other <= place for other in self.on_the_way.values())


@given(steps)
def test_the_first_are_called_and_nobody_is_lost(path: list[tuple[str, str, int]]) -> None:
    """Whatever happens: in the order of places, never more than are free, never fewer."""
    model = Model()
    for step in path:
        model.do(*step)
