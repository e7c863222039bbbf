"""Who may write: moves from what a Lease says, and never two at once, whatever clocks, delays and failures do."""

from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dora_operator.domain.lease import Create, LastSeen, Lease, Pace, Renew, Take, Wait, next_move, see
from dora_operator.domain.selector import labels_that_match

THEIRS = Lease("other", 15, "7")


@pytest.mark.parametrize(
    ("lease", "seen", "now", "move"),
    [
        pytest.param(None, None, 0, Create(), id="there is none"),
        pytest.param(Lease("me", 15, "7"), LastSeen("7", 0), 100, Renew(), id="ours, however old"),
        pytest.param(Lease("", 15, "7"), LastSeen("7", 0), 0, Take(), id="given back"),
        pytest.param(THEIRS, LastSeen("7", 0), 14.9, Wait(15), id="another's"),
        pytest.param(THEIRS, LastSeen("7", 0), 15, Take(), id="another's, unchanged for its duration"),
        pytest.param(Lease("other", 60, "7"), LastSeen("7", 0), 15, Wait(60), id="its own duration counts"),
    ],
)
def test_moves(lease: Lease | None, seen: LastSeen | None, now: float, move: object) -> None:
    """One row for each case."""
    assert next_move(lease, seen, "me", now) == move


def test_a_change_begins_the_count_anew() -> None:
    """What was seen at the first look counts, and is forgotten with the next version."""
    first = see(THEIRS, None, 100)
    assert first == LastSeen("7", 100)
    assert see(THEIRS, first, 110) == first
    assert see(Lease("other", 15, "8"), first, 110) == LastSeen("8", 110)
    assert see(None, first, 120) is None


@dataclass
class Server:
    """A Lease with versions, as the API server keeps it."""

    lease: Lease | None = None
    writes: int = 0

    def write(self, holder: str, base: str, duration: float) -> bool:
        """Write, where nobody has written since `base`."""
        if (self.lease.version if self.lease else "") != base:
            return False
        self.writes += 1
        self.lease = Lease(holder, duration, str(self.writes))
        return True


@dataclass
class Candidate:
    """One process: its clock runs at its own pace from its own zero."""

    name: str
    zero: float
    rate: float
    pace: Pace = field(default_factory=lambda: Pace(15))
    seen: LastSeen | None = None
    good_until: float = -1e9

    def clock(self, time: float) -> float:
        """Return the own time."""
        return self.zero + time * self.rate

    def leads(self, time: float) -> bool:
        """Tell whether it believes that it may write."""
        return self.clock(time) < self.good_until

    def step(self, server: Server, begun: float, read: float, written: float, *, answered: bool) -> None:
        """Look and act: the request begins, is read by the server, and the write arrives, at these times."""
        found = server.lease
        self.seen = see(found, self.seen, self.clock(read))
        if isinstance(next_move(found, self.seen, self.name, self.clock(read)), Wait):
            return
        done = server.write(self.name, found.version if found else "", self.pace.duration)
        if done and answered:
            self.good_until = self.clock(begun) + self.pace.deadline
        assert written >= read >= begun


steps = st.lists(
    st.tuples(st.integers(0, 1), st.floats(0.1, 30), st.floats(0, 2), st.floats(0, 2), st.booleans()), max_size=60
)


@given(zeros=st.tuples(st.floats(-1e6, 1e6), st.floats(-1e6, 1e6)), rate=st.floats(0.95, 1.05), path=steps)
def test_never_two_at_once(
    zeros: tuple[float, float], rate: float, path: list[tuple[int, float, float, float, bool]]
) -> None:
    """Clocks that differ and drift, requests that are slow, answers that are lost, processes that sleep."""
    server, time = Server(), 0.0
    both = (Candidate("a", zeros[0], 1.0), Candidate("b", zeros[1], rate))
    for who, pause, delay, more, answered in path:
        begun = time + pause
        both[who].step(server, begun, begun + delay, begun + delay + more, answered=answered)
        time = begun + delay + more
        for moment in (begun + delay, time, time + 1, time + 5, time + 9):
            assert not (both[0].leads(moment) and both[1].leads(moment))


@pytest.mark.parametrize(
    ("selector", "labels"),
    [
        pytest.param("", {}, id="none"),
        pytest.param("team=shop", {"team": "shop"}, id="one"),
        pytest.param(" team == shop , a.b/c=", {"team": "shop", "a.b/c": ""}, id="two, one of them empty"),
        pytest.param("team!=shop", None, id="not equal"),
        pytest.param("team in (shop, pay)", None, id="a set"),
        pytest.param("!team", None, id="absent"),
        pytest.param("team", None, id="present"),
    ],
)
def test_labels_that_match(selector: str, labels: dict[str, str] | None) -> None:
    """Equalities name the labels; anything else does not."""
    assert labels_that_match(selector) == labels
