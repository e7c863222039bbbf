"""Leader election: taking, renewing, losing and releasing a Lease; and the check before each write."""

import asyncio
from dataclasses import dataclass, field
from datetime import timedelta

import pytest

from dora_operator.clients import leader
from dora_operator.clients.errors import KubernetesError, NotLeaderError
from dora_operator.clients.leader import Leader, LeaseLostError
from dora_operator.domain.fields import ObjectKey
from tests.support.builders import NOW
from tests.support.leases import KEY, Body, LeaseClient, LeaseServer


@dataclass
class Time:
    """A clock that tests move."""

    seconds: float = 1000.0

    def __call__(self) -> float:
        """Return the time."""
        return self.seconds


@dataclass
class Process:
    """A process that wants to lead."""

    server: LeaseServer
    name: str
    time: Time = field(default_factory=Time)
    client: LeaseClient = field(init=False)
    leader: Leader = field(init=False)

    def __post_init__(self) -> None:
        self.client = LeaseClient(self.server)
        self.leader = Leader(
            KEY,
            self.name,
            clock=lambda: NOW + timedelta(seconds=self.time.seconds - 1000.0),
            monotonic=self.time,
        )

    async def leads_after(self, seconds: float) -> bool:
        """Let time pass, and read the Lease."""
        self.time.seconds += seconds
        await self.leader.try_once(self.client.kubernetes)
        return self.leader.is_leader()

    async def release(self) -> None:
        """Stop as after a signal."""
        await self.leader.release(self.client.kubernetes)


@pytest.fixture
def server() -> LeaseServer:
    """Return a server without a Lease."""
    return LeaseServer()


async def test_another_leads_when_the_lease_is_not_renewed_any_more(server: LeaseServer) -> None:
    """Not before, and at most its duration after the last renewal that could be seen."""
    time = Time()
    first, second = Process(server, "first", time), Process(server, "second", time)
    assert await first.leads_after(0)
    assert not await second.leads_after(0)
    for _ in range(10):
        assert await first.leads_after(4)
        assert not await second.leads_after(1)
    assert not await second.leads_after(12)
    assert await second.leads_after(0.6)
    assert not first.leader.is_leader()
    with pytest.raises(LeaseLostError, match="held by second"):
        await first.leads_after(0)


async def test_a_released_lease_is_taken_at_once(server: LeaseServer) -> None:
    """A restart of the only replica waits for nothing."""
    first, second = Process(server, "first"), Process(server, "second")
    assert await first.leads_after(0)
    await first.release()
    assert not first.leader.is_leader()
    assert await second.leads_after(0)


async def test_a_restart_after_a_kill_waits_for_the_lease(
    server: LeaseServer, caplog: pytest.LogCaptureFixture
) -> None:
    """A restarted container is another process; the log says what it waits for."""
    caplog.set_level("INFO")
    assert await Process(server, "pod_1").leads_after(0)
    again = Process(server, "pod_2")
    assert not await again.leads_after(0)
    assert "pod_1 holds it" in caplog.text
    assert not await again.leads_after(12.4)
    assert await again.leads_after(0.2)


async def test_it_is_known_when_the_process_before_stopped(server: LeaseServer) -> None:
    """With one replica too: reads of Datadog that were due since are made. Released, killed, and the first of all."""
    time = Time()
    first, second, third = (Process(server, name, time) for name in ("first", "second", "third"))
    assert await first.leads_after(0)
    assert first.leader.previous_leader_stopped_at is None
    assert await first.leads_after(5)
    time.seconds += 2
    await first.release()
    assert await second.leads_after(600)
    assert second.leader.previous_leader_stopped_at == NOW + timedelta(seconds=7)
    assert await second.leads_after(3)
    assert not await third.leads_after(600)
    assert await third.leads_after(13)
    assert third.leader.previous_leader_stopped_at == NOW + timedelta(seconds=610)


async def test_a_lost_answer_does_not_hide_when_the_process_before_stopped(server: LeaseServer) -> None:
    """The Lease is taken already, by this process."""
    first, second = Process(server, "first"), Process(server, "second")
    assert await first.leads_after(0)
    await first.release()
    second.client.loses_answers = True
    with pytest.raises(KubernetesError):
        await second.leads_after(600)
    second.client.loses_answers = False
    assert await second.leads_after(2)
    assert second.leader.previous_leader_stopped_at == NOW


async def test_a_lease_that_another_holds_is_not_released(server: LeaseServer) -> None:
    """A process that has lost it does not touch it."""
    first = Process(server, "first")
    assert await first.leads_after(0)
    server.put("second")
    await first.release()
    assert server.spec["holderIdentity"] == "second"


@pytest.mark.parametrize("how", ["removed", "emptied", "shortened"])
async def test_a_change_by_hand_is_no_release(server: LeaseServer, how: str) -> None:
    """The holder does not know it yet, so the next one waits as if nothing had happened."""
    first, second = Process(server, "first"), Process(server, "second")
    assert await first.leads_after(0)
    assert not await second.leads_after(0)
    if how == "removed":
        server.lease = None
    else:
        server.put(*(("", 15) if how == "emptied" else ("first", 1)))
    assert not await second.leads_after(8)
    assert not await second.leads_after(12)
    assert await second.leads_after(0.6)


async def test_a_longer_duration_of_the_holder_counts(server: LeaseServer) -> None:
    """An earlier version of the operator could have one."""
    server.put("earlier", 60)
    second = Process(server, "second")
    assert not await second.leads_after(0)
    assert not await second.leads_after(57)
    assert await second.leads_after(1)


async def test_an_api_server_that_hangs_does_not_keep_the_process(
    server: LeaseServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Releasing the Lease is tried for a moment only."""
    monkeypatch.setattr(leader, "RELEASE", 0.05)
    first = Process(server, "first")
    assert await first.leads_after(0)
    server.silent = True
    async with asyncio.timeout(2):
        await first.release()
    assert not first.leader.is_leader()


async def test_nothing_is_written_without_the_lease(server: LeaseServer) -> None:
    """Neither before it is held, nor when it was not renewed in time, nor after it was released."""
    first = Process(server, "first")
    with pytest.raises(NotLeaderError):
        first.leader.check()
    assert await first.leads_after(0)
    first.time.seconds += 9.9
    first.leader.check()
    first.time.seconds += 0.1
    with pytest.raises(NotLeaderError):
        first.leader.check()
    assert await first.leads_after(0)
    first.leader.check()
    await first.release()
    with pytest.raises(NotLeaderError):
        first.leader.check()


async def test_the_time_counts_from_before_the_renewal(server: LeaseServer) -> None:
    """Others count from the renewal, which is later: a slow answer gives no time to write."""
    first = Process(server, "first")
    answer = first.client.read_lease

    async def slow(key: ObjectKey) -> Body:
        first.time.seconds += 2
        return await answer(key)

    first.client.read_lease = slow  # type: ignore[method-assign]
    assert await first.leads_after(0)
    first.time.seconds += 8
    assert not first.leader.is_leader()


async def test_what_a_lease_says(server: LeaseServer) -> None:
    """The fields of client-go: kept by a renewal, changed by another holder, emptied by a release."""
    first, second = Process(server, "first"), Process(server, "second")
    assert await first.leads_after(0)
    assert server.lease is not None
    assert (server.lease["kind"], server.lease["apiVersion"]) == ("Lease", "coordination.k8s.io/v1")
    assert (server.lease["metadata"]["namespace"], server.lease["metadata"]["name"]) == KEY
    times = {"acquireTime": f"{NOW:%Y-%m-%dT%H:%M:%S}.000000Z", "renewTime": f"{NOW:%Y-%m-%dT%H:%M:%S}.000000Z"}
    assert server.spec == {"holderIdentity": "first", "leaseDurationSeconds": 15, "leaseTransitions": 1} | times
    server.lease["metadata"]["labels"] = {"kept": "true"}
    assert await first.leads_after(5)
    assert server.spec["acquireTime"] == times["acquireTime"]
    assert server.spec["renewTime"] == f"{NOW + timedelta(seconds=5):%Y-%m-%dT%H:%M:%S}.000000Z"
    await first.release()
    assert (server.spec["holderIdentity"], server.spec["leaseDurationSeconds"]) == ("", 1)
    assert await second.leads_after(0)
    assert (server.spec["holderIdentity"], server.spec["leaseTransitions"]) == ("second", 2)
    assert server.lease["metadata"]["labels"] == {"kept": "true"}


class Running:
    """A process that holds the Lease by itself, with short times."""

    def __init__(self, server: LeaseServer) -> None:
        self.client = LeaseClient(server)
        self.leader = Leader(KEY, "first", clock=lambda: NOW, monotonic=asyncio.get_running_loop().time)
        self.renewed: list[int] = []
        self.task = asyncio.create_task(
            self.leader.run(self.client.kubernetes, lambda: self.renewed.append(server.writes))
        )


@pytest.fixture
async def running(server: LeaseServer, monkeypatch: pytest.MonkeyPatch) -> Running:
    """Return a process that leads."""
    times = {"DURATION": 0.7, "DEADLINE": 0.45, "RETRY": 0.1, "RETRY_FAILED": 0.02, "REQUEST": 0.14}
    for name, seconds in times.items():
        monkeypatch.setattr(leader, name, seconds)
    process = Running(server)
    async with asyncio.timeout(5):
        await process.leader.leading.wait()
    return process


@pytest.mark.parametrize("problem", ["taken", "removed", "emptied", "released"])
async def test_a_lost_lease_ends_the_process(server: LeaseServer, running: Running, problem: str) -> None:
    """Another holder, or a Lease that is deleted or edited: another process may have written meanwhile."""
    if problem == "removed":
        server.lease = None
    else:
        server.put("second" if problem == "taken" else "", 1 if problem == "released" else 15)
    with pytest.raises(LeaseLostError, match="the Lease was lost"):
        await asyncio.wait_for(running.task, 5)
    assert not running.leader.is_leader()


async def test_a_defect_in_the_election_ends_the_process(server: LeaseServer, running: Running) -> None:
    """Without this, it would neither write nor end."""
    server.broken = True
    with pytest.raises(KeyError):
        await asyncio.wait_for(running.task, 5)


@pytest.mark.parametrize("problem", ["down", "silent"])
async def test_after_an_outage_the_same_process_leads(server: LeaseServer, running: Running, problem: str) -> None:
    """An API server that is away or hangs beyond the deadline: nothing is written, and then all that failed."""
    async with asyncio.timeout(5):
        setattr(server, problem, True)
        while running.leader.is_leader():  # noqa: ASYNC110 - the condition is a time
            await asyncio.sleep(0.01)
        with pytest.raises(NotLeaderError):
            running.leader.check()
        setattr(server, problem, False)
        while len(running.renewed) < 2:  # noqa: ASYNC110 - the first was the begin
            await asyncio.sleep(0.01)
    assert running.leader.is_leader()
    assert not running.task.done()
    running.task.cancel()


async def test_an_outage_before_the_deadline_is_none(server: LeaseServer, running: Running) -> None:
    """The next renewal counts, and nothing has failed meanwhile."""
    async with asyncio.timeout(5):
        server.down, requests = True, len(running.client.log)
        while len(running.client.log) < requests + 2:  # noqa: ASYNC110 - the condition is in the fake
            await asyncio.sleep(0.01)
        server.down, writes = False, server.writes
        while server.writes == writes:  # noqa: ASYNC110 - the condition is in the fake
            await asyncio.sleep(0.01)
    assert len(running.renewed) == 1
    running.task.cancel()


async def test_after_an_outage_another_process_may_lead(server: LeaseServer) -> None:
    """The one that could reach the API server; the other one ends."""
    first, second = Process(server, "first"), Process(server, "second")
    assert await first.leads_after(0)
    assert not await second.leads_after(0)
    first.time.seconds += 60
    assert await second.leads_after(60)
    with pytest.raises(LeaseLostError, match="held by second"):
        await first.leads_after(0)
    await second.release()
    with pytest.raises(LeaseLostError, match="held by nobody"):
        await first.leads_after(0)
