"""Being the one that writes: taking, renewing, losing and giving back a Lease; and the fence around what writes."""

import asyncio
from dataclasses import dataclass, field, replace

import pytest

from dora_operator.domain.lease import Lease, Pace
from dora_operator.handlers import leading
from dora_operator.handlers.fencing import while_leading
from dora_operator.handlers.leading import Leadership
from dora_operator.ports import ClusterUnavailableError, LeaseRaceLostError, NotLeadingError

PACE = Pace(0.7)


@dataclass
class Server:
    """One Lease for everybody."""

    lease: Lease | None = None
    down: bool = False
    silent: bool = False
    broken: bool = False
    writes: int = 0

    def put(self, holder: str, duration: float) -> Lease:
        """Write it."""
        self.writes += 1
        self.lease = Lease(holder, duration, str(self.writes))
        return self.lease


@dataclass
class Client:
    """One process's view of it."""

    server: Server
    known: Lease | None = None
    log: list[str] = field(default_factory=list)

    async def read(self) -> Lease | None:
        """Read."""
        self._check("read")
        if self.server.silent:
            await asyncio.Event().wait()
        self.known = self.server.lease
        return self.known

    async def create(self, holder: str, duration_seconds: float) -> Lease:
        """Make."""
        self._check("create")
        if self.server.lease is not None:
            raise LeaseRaceLostError
        return self.server.put(holder, duration_seconds)

    async def write(self, holder: str, duration_seconds: float) -> Lease:
        """Write what was read."""
        self._check("write")
        if self.server.lease != self.known:
            raise LeaseRaceLostError
        return self.server.put(holder, duration_seconds)

    def _check(self, what: str) -> None:
        self.log.append(what)
        if self.server.down:
            raise ClusterUnavailableError("down")
        if self.server.broken:
            raise KeyError("spec")


def candidate(server: Server, name: str) -> Leadership:
    """Return a process that wants to lead."""
    return Leadership(Client(server), name, asyncio.get_running_loop().time, PACE)


async def test_one_leads_and_the_other_takes_over_when_it_dies() -> None:
    """The second waits for as long as the Lease is renewed, and for its duration after that."""
    server = Server()
    first, second = candidate(server, "first"), candidate(server, "second")
    holding = asyncio.create_task(first.hold())
    async with asyncio.timeout(5):
        await first.leading.wait()
        waiting = asyncio.create_task(second.hold())
        while server.writes < 10:  # longer than the Lease's duration
            assert not second.leading.is_set()
            await asyncio.sleep(0.01)
        holding.cancel()
        await second.leading.wait()
    assert not first.may_write()
    assert second.may_write()
    waiting.cancel()


async def test_a_lease_that_is_given_back_is_taken_at_once() -> None:
    """Without waiting for its duration."""
    server = Server()
    first, second = candidate(server, "first"), candidate(server, "second")
    first.pace = second.pace = Pace(60)
    tasks = [asyncio.create_task(first.hold())]
    async with asyncio.timeout(5):
        await first.leading.wait()
        tasks[0].cancel()
        await first.release()
        assert not first.may_write()
        tasks.append(asyncio.create_task(second.hold()))
        await second.leading.wait()
    assert server.lease is not None
    assert server.lease.holder == "second"
    tasks[1].cancel()


async def test_a_lease_that_another_holds_is_not_given_back() -> None:
    """Whoever has lost it leaves it alone."""
    server = Server()
    first = candidate(server, "first")
    task = asyncio.create_task(first.hold())
    async with asyncio.timeout(5):
        await first.leading.wait()
    task.cancel()
    server.put("second", 15)
    await first.release()
    assert server.lease is not None
    assert server.lease.holder == "second"


@pytest.mark.parametrize("how", ["removed", "emptied"])
async def test_hands_hurry_nobody(how: str) -> None:
    """Deleted or emptied by hand: who wrote does not know it yet, so the next one waits as if nothing had happened."""
    server = Server()
    first, second = candidate(server, "first"), candidate(server, "second")
    first.pace, second.pace = Pace(60), Pace(1.5)  # the next look of the first is far
    tasks = [asyncio.create_task(first.hold())]
    async with asyncio.timeout(10):
        await first.leading.wait()
        server.put("first", 1.5)
        tasks.append(asyncio.create_task(second.hold()))
        while not second.lease.log:  # type: ignore[attr-defined] # noqa: ASYNC110
            await asyncio.sleep(0.01)
        begun = second.clock()
        if how == "removed":
            server.lease = None
        else:
            server.put("", 1.5)
        await second.leading.wait()
    assert second.clock() - begun >= 1.3
    for task in tasks:
        task.cancel()


async def test_an_api_server_that_hangs_does_not_keep_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Giving the Lease back is tried for a moment only."""
    monkeypatch.setattr(leading, "RELEASE_SECONDS", 0.05)
    server = Server()
    first = candidate(server, "first")
    task = asyncio.create_task(first.hold())
    async with asyncio.timeout(5):
        await first.leading.wait()
        task.cancel()
        server.silent = True
        await first.release()
    assert not first.may_write()


@pytest.mark.parametrize("trouble", ["down", "taken", "removed", "emptied", "broken"])
async def test_a_lost_lease_ends_the_process(trouble: str) -> None:
    """An API server that is away for too long, another holder, hands that delete or empty it, a defect of ours."""
    server = Server()
    first = candidate(server, "first")
    task = asyncio.create_task(first.hold())
    async with asyncio.timeout(5):
        await first.leading.wait()
        if trouble == "down":
            server.down = True
        elif trouble == "removed":
            server.lease = None
        elif trouble == "broken":
            server.broken = True
        else:
            server.put("second" if trouble == "taken" else "", 15)
        await first.lost.wait()
    assert not first.may_write()
    assert "the Lease was lost" in first.why_lost
    await task


async def test_trouble_for_a_moment_loses_nothing() -> None:
    """As long as it is over before the deadline."""
    server = Server()
    first = candidate(server, "first")
    task = asyncio.create_task(first.hold())
    async with asyncio.timeout(5):
        await first.leading.wait()
        server.down, seen = True, len(first.lease.log)  # type: ignore[attr-defined]
        while len(first.lease.log) < seen + 2:  # type: ignore[attr-defined] # noqa: ASYNC110
            await asyncio.sleep(0.01)
        server.down, writes = False, server.writes
        while server.writes == writes:  # noqa: ASYNC110 - the condition is in the fake
            await asyncio.sleep(0.01)
    assert first.may_write()
    assert not first.lost.is_set()
    task.cancel()


async def test_nothing_begins_without_the_lease() -> None:
    """A request of a follower is not even begun."""
    begun = []

    async def request() -> None:
        begun.append(1)

    with pytest.raises(NotLeadingError):
        await while_leading(candidate(Server(), "first"), request())
    assert not begun


async def test_nothing_goes_on_beyond_the_lease() -> None:
    """A request that is under way when the time runs out is given up."""
    leadership = candidate(Server(), "first")
    leadership.leading.set()
    leadership.good_until = leadership.clock() + 0.05
    ended = []

    async def request() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(1)

    with pytest.raises(NotLeadingError):
        await while_leading(leadership, request())
    await asyncio.sleep(0)
    assert ended


async def test_a_renewed_lease_lets_a_request_go_on() -> None:
    """The time that counts is that of the last renewal."""
    leadership = candidate(Server(), "first")
    leadership.leading.set()
    leadership.good_until = leadership.clock() + 0.05
    released = asyncio.Event()

    async def request() -> str:
        await released.wait()
        return "done"

    task = asyncio.create_task(while_leading(leadership, request()))
    await asyncio.sleep(0)
    leadership.good_until += 60
    asyncio.get_running_loop().call_later(0.1, released.set)
    async with asyncio.timeout(5):
        assert await task == "done"


async def test_a_restarted_container_is_another_process() -> None:
    """What an identity has lost, another identity has to wait for."""
    server = Server(replace(Lease("pod_1", 0.7, "0")))
    again = candidate(server, "pod_2")
    task = asyncio.create_task(again.hold())
    await asyncio.sleep(0)
    assert not again.leading.is_set()
    async with asyncio.timeout(5):
        await again.leading.wait()
    task.cancel()
