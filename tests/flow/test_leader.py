"""Leader election: taking, renewing, losing and giving back a Lease; and the guard before what writes."""

import asyncio
import copy
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, cast

import pytest

from dora_operator.clients import leader
from dora_operator.clients.errors import ConflictError, KubernetesError, NotFoundError, NotLeaderError
from dora_operator.clients.kubernetes import KubernetesClient
from dora_operator.clients.leader import Leader
from dora_operator.domain.fields import ObjectKey
from dora_operator.domain.lease import Pace
from tests.support.builders import NOW

PACE = Pace(0.7)
KEY = ObjectKey("operators", "dora-operator")
Body = dict[str, Any]


@dataclass
class Server:
    """An API server with one Lease. Each change makes a new version."""

    lease: Body | None = None
    down: bool = False
    silent: bool = False
    broken: bool = False
    writes: int = 0

    def put(self, holder: str, duration: int = 1) -> None:
        """Write the Lease, as by hand."""
        self.store({"metadata": {}, "spec": {"holderIdentity": holder, "leaseDurationSeconds": duration}})

    def store(self, body: Mapping[str, Any]) -> Body:
        """Store a body as a new version."""
        self.writes += 1
        self.lease = {
            **copy.deepcopy(dict(body)),
            "metadata": {**body["metadata"], "resourceVersion": str(self.writes)},
        }
        return copy.deepcopy(self.lease)

    @property
    def holder(self) -> str:
        """Return the holder."""
        assert self.lease is not None
        return str(self.lease["spec"]["holderIdentity"])


@dataclass
class Client:
    """The requests of one process."""

    server: Server
    log: list[str] = field(default_factory=list)

    async def read_lease(self, key: ObjectKey) -> Body:
        """Read."""
        self._check("read", key)
        if self.server.silent:
            await asyncio.Event().wait()
        if self.server.lease is None:
            raise NotFoundError("no such Lease", 404)
        return copy.deepcopy(self.server.lease)

    async def create_lease(self, key: ObjectKey, body: Body) -> Body:
        """Create."""
        self._check("create", key)
        if self.server.lease is not None:
            raise ConflictError("exists", 409)
        return self.server.store(body)

    async def replace_lease(self, key: ObjectKey, body: Body) -> Body:
        """Replace the version that was read."""
        self._check("replace", key)
        if self.server.lease is None:
            raise NotFoundError("no such Lease", 404)
        if body["metadata"]["resourceVersion"] != self.server.lease["metadata"]["resourceVersion"]:
            raise ConflictError("another version", 409)
        return self.server.store(body)

    def _check(self, what: str, key: ObjectKey) -> None:
        assert key == KEY
        self.log.append(what)
        if self.server.down:
            raise KubernetesError("down")
        if self.server.broken:
            raise KeyError("spec")


def candidate(server: Server, name: str, pace: Pace = PACE) -> Leader:
    """Return a process that wants to lead."""
    client = cast("KubernetesClient", Client(server))
    return Leader(client, KEY, name, clock=lambda: NOW, monotonic=asyncio.get_running_loop().time, pace=pace)


def log_of(process: Leader) -> list[str]:
    """Return the requests of a process."""
    return cast("Client", process._kubernetes).log


async def test_one_leads_and_the_other_takes_over_when_it_ends() -> None:
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
    assert not first.is_leader()
    assert second.is_leader()
    assert (first.led_until, second.led_until) == (None, NOW)
    waiting.cancel()


async def test_a_lease_that_is_given_back_is_taken_at_once() -> None:
    """Without waiting for its duration."""
    server = Server()
    first, second = candidate(server, "first", Pace(60)), candidate(server, "second", Pace(60))
    tasks = [asyncio.create_task(first.hold())]
    async with asyncio.timeout(5):
        await first.leading.wait()
        tasks[0].cancel()
        await first.release()
        assert not first.is_leader()
        tasks.append(asyncio.create_task(second.hold()))
        await second.leading.wait()
    assert server.holder == "second"
    tasks[1].cancel()


async def test_a_lease_that_another_holds_is_not_given_back() -> None:
    """A process that has lost it leaves it alone."""
    server = Server()
    first = candidate(server, "first")
    task = asyncio.create_task(first.hold())
    async with asyncio.timeout(5):
        await first.leading.wait()
    task.cancel()
    server.put("second", 15)
    await first.release()
    assert server.holder == "second"


@pytest.mark.parametrize("how", ["removed", "emptied"])
async def test_a_change_by_hand_is_no_release(how: str) -> None:
    """Deleted or emptied by hand: the holder does not know it yet, so the next one waits as if nothing had happened."""
    server = Server()
    first, second = candidate(server, "first", Pace(60)), candidate(server, "second", Pace(1.5))
    tasks = [asyncio.create_task(first.hold())]
    async with asyncio.timeout(10):
        await first.leading.wait()
        server.put("first")
        tasks.append(asyncio.create_task(second.hold()))
        while not log_of(second):  # noqa: ASYNC110 - the condition is in the fake
            await asyncio.sleep(0.01)
        begun = second._monotonic()
        if how == "removed":
            server.lease = None
        else:
            server.put("", 2)
        await second.leading.wait()
    assert second._monotonic() - begun >= 1.3
    for task in tasks:
        task.cancel()


async def test_an_api_server_that_hangs_does_not_keep_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Giving the Lease back is tried for a moment only."""
    monkeypatch.setattr(leader, "RELEASE_SECONDS", 0.05)
    server = Server()
    first = candidate(server, "first", Pace(60))
    task = asyncio.create_task(first.hold())
    async with asyncio.timeout(5):
        await first.leading.wait()
        task.cancel()
        server.silent = True
        await first.release()
    assert not first.is_leader()


@pytest.mark.parametrize("problem", ["down", "taken", "removed", "emptied", "released", "broken"])
async def test_a_lost_lease_ends_the_process(problem: str) -> None:
    """An API server that is away for too long, another holder, a Lease that is deleted or emptied, a defect of ours."""
    server = Server()
    first = candidate(server, "first")
    task = asyncio.create_task(first.hold())
    async with asyncio.timeout(5):
        await first.leading.wait()
        if problem == "down":
            server.down = True
        elif problem == "removed":
            server.lease = None
        elif problem == "broken":
            server.broken = True
        else:
            server.put("second" if problem == "taken" else "", 1 if problem == "released" else 15)
        await first.lost.wait()
    assert not first.is_leader()
    assert "the Lease was lost" in first.why_lost
    await task


async def test_an_outage_before_the_deadline_loses_nothing() -> None:
    """The next renewal counts."""
    server = Server()
    first = candidate(server, "first")
    task = asyncio.create_task(first.hold())
    async with asyncio.timeout(5):
        await first.leading.wait()
        server.down, seen = True, len(log_of(first))
        while len(log_of(first)) < seen + 2:  # noqa: ASYNC110 - the condition is in the fake
            await asyncio.sleep(0.01)
        server.down, writes = False, server.writes
        while server.writes == writes:  # noqa: ASYNC110 - the condition is in the fake
            await asyncio.sleep(0.01)
    assert first.is_leader()
    assert not first.lost.is_set()
    task.cancel()


async def test_nothing_begins_without_the_lease() -> None:
    """A request of a follower is not even begun."""
    begun = []

    async def request() -> None:
        begun.append(1)

    with pytest.raises(NotLeaderError):
        await candidate(Server(), "first").guard(request())
    assert not begun


async def test_nothing_goes_on_beyond_the_lease() -> None:
    """A request under way when the Lease expires is cancelled."""
    process = candidate(Server(), "first")
    process.leading.set()
    process.valid_until = process._monotonic() + 0.05
    ended = []

    async def request() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(1)

    with pytest.raises(NotLeaderError):
        await process.guard(request())
    await asyncio.sleep(0)
    assert ended


async def test_a_renewed_lease_lets_a_request_go_on() -> None:
    """The time that counts is that of the last renewal."""
    process = candidate(Server(), "first")
    process.leading.set()
    process.valid_until = process._monotonic() + 0.05
    released = asyncio.Event()

    async def request() -> str:
        await released.wait()
        return "done"

    task = asyncio.create_task(process.guard(request()))
    await asyncio.sleep(0)
    process.valid_until += 60
    asyncio.get_running_loop().call_later(0.1, released.set)
    async with asyncio.timeout(5):
        assert await task == "done"


async def test_a_restarted_container_is_another_process() -> None:
    """What an identity has lost, another identity has to wait for."""
    server = Server()
    server.put("pod_1")
    again = candidate(server, "pod_2")
    task = asyncio.create_task(again.hold())
    await asyncio.sleep(0)
    assert not again.leading.is_set()
    async with asyncio.timeout(5):
        await again.leading.wait()
    task.cancel()


async def test_what_a_lease_says() -> None:
    """The fields of client-go: kept by a renewal, changed by another holder, emptied by a release."""
    server = Server()
    first, second = candidate(server, "first"), candidate(server, "second")
    async with asyncio.timeout(5):
        task = asyncio.create_task(first.hold())
        await first.leading.wait()
        assert server.lease is not None
        created = server.lease
        assert created["kind"] == "Lease"
        assert (created["metadata"]["namespace"], created["metadata"]["name"]) == KEY
        time = f"{NOW:%Y-%m-%dT%H:%M:%S}.000000Z"
        spec = {"holderIdentity": "first", "leaseDurationSeconds": 1, "leaseTransitions": 1}
        assert created["spec"] == spec | {"acquireTime": time, "renewTime": time}
        server.lease["metadata"]["labels"] = {"kept": "true"}
        while server.writes == 1:  # noqa: ASYNC110 - the condition is in the fake
            await asyncio.sleep(0.01)
        assert (server.lease["kind"], server.lease["spec"]) == ("Lease", created["spec"])
        task.cancel()
        await first.release()
        assert (server.lease["spec"]["holderIdentity"], server.lease["spec"]["leaseTransitions"]) == ("", 1)
        task = asyncio.create_task(second.hold())
        await second.leading.wait()
        assert (server.holder, server.lease["spec"]["leaseTransitions"]) == ("second", 2)
        assert server.lease["metadata"]["labels"] == {"kept": "true"}
        task.cancel()


async def test_a_hanging_request_is_an_outage() -> None:
    """Each request about the Lease has a timeout well below the deadline."""
    server = Server()
    first = candidate(server, "first")
    task = asyncio.create_task(first.hold())
    async with asyncio.timeout(5):
        await first.leading.wait()
        server.silent = True
        await first.lost.wait()
    assert "could not be renewed in time" in first.why_lost
    assert len(log_of(first)) > 3
    await task
