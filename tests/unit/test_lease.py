"""Leader election: never two leaders, whatever clocks, delays and failures do."""

import asyncio
from collections.abc import Iterator
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dora_operator.clients.errors import KubernetesError
from dora_operator.clients.leader import Leader, LeaseLostError
from dora_operator.domain.fields import ObjectKey
from tests.support.builders import NOW
from tests.support.leases import KEY, Body, LeaseClient, LeaseServer


class Candidate(LeaseClient):
    """One process: its clock runs at its own rate from its own zero."""

    def __init__(self, server: LeaseServer, name: str, zero: float, rate: float) -> None:
        super().__init__(server)
        self.name, self.zero, self.rate = name, zero, rate
        self.time = self.read_at = self.written_at = 0.0
        self.begin()

    def begin(self) -> None:
        """Start the process."""
        self.leader = Leader(KEY, self.name, clock=lambda: NOW, monotonic=lambda: self.zero + self.time * self.rate)

    async def read_lease(self, key: ObjectKey) -> Body:
        """Read at the time of the step."""
        self.time = self.read_at
        return await super().read_lease(key)

    def _stored(self, body: Body) -> Body:
        self.time = self.written_at
        return super()._stored(body)

    async def step(self, begun: float, read: float, written: float, *, answered: bool) -> None:
        """Read and act: the request begins, is read by the server, and the write arrives, at these times."""
        self.time, self.read_at, self.written_at, self.loses_answers = begun, read, written, not answered
        with suppress(KubernetesError):
            try:
                await self.leader.try_once(self.kubernetes)
            except LeaseLostError:  # it ends, and the next process begins as a follower that has seen the Lease
                self.name += "'"
                self.begin()
                self.leader._version, self.leader._unchanged_since = "", self.zero + self.time * self.rate

    def leads(self, time: float) -> bool:
        """Return whether it may write then."""
        self.time = time
        return self.leader.is_leader()


def tamper(server: LeaseServer, how: str) -> None:
    """Change the Lease as a person could."""
    if how == "delete":
        server.lease = None
    elif server.lease is not None and how != "leave":
        holder = server.spec["holderIdentity"]
        shortened = how == "shorten" and holder  # an empty one of a second reads as released
        server.put(*((holder, 1) if shortened else ("", 15)))


steps = st.lists(
    st.tuples(st.integers(0, 1), st.floats(0.1, 30), st.floats(0, 2), st.floats(0, 2), st.booleans()), max_size=60
)
edits = st.tuples(st.sampled_from(["leave", "delete", "empty", "shorten"]), st.integers(0, 20))
"""What is done to the Lease by hand, once, and before which step."""


@pytest.fixture(scope="module")
def runner() -> Iterator[asyncio.Runner]:
    """Return an event loop for all examples."""
    with asyncio.Runner() as running:
        yield running


@given(zeros=st.tuples(st.floats(1, 1e6), st.floats(1, 1e6)), rate=st.floats(0.95, 1.05), path=steps, edit=edits)
def test_never_two_at_once(
    runner: asyncio.Runner,
    zeros: tuple[float, float],
    rate: float,
    path: list[tuple[int, float, float, float, bool]],
    edit: tuple[str, int],
) -> None:
    """Clocks that differ and drift, slow requests, lost answers, processes that sleep, an edit of the Lease by hand."""
    runner.run(play(zeros, rate, path, edit))


async def play(
    zeros: tuple[float, float], rate: float, path: list[tuple[int, float, float, float, bool]], edit: tuple[str, int]
) -> None:
    """Take the steps."""
    server, time = LeaseServer(), 0.0
    both = (Candidate(server, "a", zeros[0], 1.0), Candidate(server, "b", zeros[1], rate))
    for candidate in both:  # a process that has never seen the Lease cannot know that it was deleted
        await candidate.step(0, 0, 0, answered=True)
    for number, (index, pause, delay, more, answered) in enumerate(path):
        if number == edit[1]:
            tamper(server, edit[0])
        begun = time + pause
        await both[index].step(begun, begun + delay, begun + delay + more, answered=answered)
        time = begun + delay + more
        for moment in (begun + delay, time, time + 1, time + 5, time + 9):
            assert not (both[0].leads(moment) and both[1].leads(moment))
