"""Leader election: moves from what a Lease says, and never two leaders, whatever clocks, delays and failures do."""

from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dora_operator.domain.lease import Create, LastSeen, Lease, Pace, Renew, Take, Wait, next_move, see

PACE = Pace(15)
SOON = 15 - PACE.longest_retry
"""When a Lease of 15 s may be taken."""
THEIRS = Lease("other", 15, "7")
MINE = Lease("me", 15, "7")
EDITED = Lease("", 15, "7")
SLOW = Lease("other", 60, "7")
HASTY = Lease("other", 1, "7")
GONE = LastSeen(THEIRS, 0, deleted=True)


@pytest.mark.parametrize(
    ("lease", "seen", "now", "move"),
    [
        pytest.param(None, None, 0, Create(), id="there is none"),
        pytest.param(MINE, LastSeen(MINE, 0), 100, Renew(), id="ours, however old"),
        pytest.param(Lease("", 1, "7"), LastSeen(Lease("", 1, "7"), 0), 0, Take(), id="released"),
        pytest.param(THEIRS, LastSeen(THEIRS, 0), 12.4, Wait(SOON), id="another's"),
        pytest.param(THEIRS, LastSeen(THEIRS, 0), 13, Take(), id="another's, unchanged for its duration"),
        pytest.param(SLOW, LastSeen(SLOW, 0), 15, Wait(60 - PACE.longest_retry), id="its own duration counts"),
        pytest.param(HASTY, LastSeen(HASTY, 0), 2, Wait(SOON), id="a duration that was made shorter: ours counts"),
        pytest.param(EDITED, LastSeen(EDITED, 0), 12, Wait(SOON), id="emptied by hand: its holder may still write"),
        pytest.param(EDITED, LastSeen(EDITED, 0), 13, Take(), id="and is not waited for any longer than that"),
        pytest.param(None, GONE, 12, Wait(SOON), id="deleted by hand: its holder may still write"),
        pytest.param(None, GONE, 13, Create(), id="deleted, and its time is over"),
        pytest.param(None, LastSeen(MINE, 0), 1, Create(), id="ours was deleted"),
    ],
)
def test_moves(lease: Lease | None, seen: LastSeen | None, now: float, move: object) -> None:
    """One row for each case."""
    assert next_move(lease, seen, "me", now, PACE) == move


def test_a_change_restarts_the_count() -> None:
    """The first read of a version counts, until the next version; a deletion is a change too."""
    first = see(THEIRS, None, 100)
    assert first == LastSeen(THEIRS, 100)
    assert see(THEIRS, first, 110) == first
    changed = Lease("other", 15, "8")
    assert see(changed, first, 110) == LastSeen(changed, 110)
    deleted = see(None, first, 120)
    assert deleted == LastSeen(THEIRS, 120, deleted=True)
    assert see(None, deleted, 130) == deleted
    assert see(changed, deleted, 140) == LastSeen(changed, 140)


@dataclass
class Server:
    """A Lease with versions, as the API server keeps it."""

    lease: Lease | None = None
    writes: int = 0

    def write(self, holder: str, base: str, duration: float) -> bool:
        """Write, unless there was another write since `base`."""
        if (self.lease.version if self.lease else "") != base:
            return False
        self.writes += 1
        self.lease = Lease(holder, duration, str(self.writes))
        return True

    def tamper(self, how: str) -> None:
        """Change the Lease as a person could."""
        if how == "delete":
            self.lease = None
        elif self.lease is not None and how != "leave":
            self.writes += 1
            before = self.lease
            shortened = how == "shorten" and before.holder  # an empty one of a second reads as released
            holder, duration = (before.holder, 1) if shortened else ("", 15)
            self.lease = Lease(holder, duration, str(self.writes))


@dataclass
class Candidate:
    """One process: its clock runs at its own pace from its own zero."""

    name: str
    zero: float
    rate: float
    pace: Pace = field(default_factory=lambda: Pace(15))
    seen: LastSeen | None = None
    good_until: float = -1e9
    was_leader: bool = False

    def clock(self, time: float) -> float:
        """Return the own time."""
        return self.zero + time * self.rate

    def leads(self, time: float) -> bool:
        """Return whether it believes that it may write."""
        return self.clock(time) < self.good_until

    def step(self, server: Server, begun: float, read: float, written: float, *, answered: bool) -> None:
        """Read and act: the request begins, is read by the server, and the write arrives, at these times."""
        found = server.lease
        self.seen = see(found, self.seen, self.clock(read))
        move = next_move(found, self.seen, self.name, self.clock(read), self.pace)
        if self.was_leader and not isinstance(move, Renew):  # it ends, and the next process begins as a follower
            self.name, self.was_leader, self.good_until = f"{self.name}'", False, -1e9
            return
        if isinstance(move, Wait):
            return
        done = server.write(self.name, found.version if found else "", self.pace.duration)
        if done and answered:
            self.was_leader = True
            self.good_until = self.clock(begun) + self.pace.deadline
        assert written >= read >= begun


steps = st.lists(
    st.tuples(st.integers(0, 1), st.floats(0.1, 30), st.floats(0, 2), st.floats(0, 2), st.booleans()), max_size=60
)
edits = st.tuples(st.sampled_from(["leave", "delete", "empty", "shorten"]), st.integers(0, 20))
"""What is done to the Lease by hand, once, and before which step."""


@given(zeros=st.tuples(st.floats(-1e6, 1e6), st.floats(-1e6, 1e6)), rate=st.floats(0.95, 1.05), path=steps, edit=edits)
def test_never_two_at_once(
    zeros: tuple[float, float],
    rate: float,
    path: list[tuple[int, float, float, float, bool]],
    edit: tuple[str, int],
) -> None:
    """Clocks that differ and drift, slow requests, lost answers, processes that sleep, an edit of the Lease by hand."""
    server, time = Server(), 0.0
    both = (Candidate("a", zeros[0], 1.0), Candidate("b", zeros[1], rate))
    for candidate in (both[0], *both):  # a process that has never seen the Lease cannot know that it was deleted
        candidate.step(server, 0, 0, 0, answered=True)
    for number, (index, pause, delay, more, answered) in enumerate(path):
        if number == edit[1]:
            server.tamper(edit[0])
        begun = time + pause
        both[index].step(server, begun, begun + delay, begun + delay + more, answered=answered)
        time = begun + delay + more
        for moment in (begun + delay, time, time + 1, time + 5, time + 9):
            assert not (both[0].leads(moment) and both[1].leads(moment))
