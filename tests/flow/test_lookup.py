"""Reads of deployments: what is not complete concludes nothing, and no key that waits for a read is forgotten."""

import asyncio
import json
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, cast

import httpx
import pytest

from dora_operator.clients.datadog import DatadogClient, Keys
from dora_operator.domain.fields import ObjectKey
from dora_operator.domain.outcome import Answer
from dora_operator.domain.reasons import Reason
from dora_operator.domain.sites import Site
from dora_operator.domain.stored import ReadProblem
from dora_operator.reconcile import lookup as lookups
from dora_operator.reconcile.lookup import Lookup, Query
from dora_operator.reconcile.rate_limits import RateLimitKey, RateLimits
from dora_operator.workqueue import WorkQueue
from tests.support.builders import NOW, SITE
from tests.support.fakes import FakeCluster, Operator, running_operator
from tests.support.levels import Rollout, play
from tests.support.reading_back import VERSION, condition, wait
from tests.support.storing import StoringDatadog

LIMIT = RateLimitKey(SITE, 1)
ABORTED = ("deploy h1 1", "promote", "deploy h2 2", "abort")


class Listing:
    """A service with so many deployments, of which an answer holds only some."""

    def __init__(self, count: int, seconds_apart: float = 2, fits: int = 10_000) -> None:
        self.rows = [NOW - timedelta(seconds=number * seconds_apart) for number in range(count)]
        self.fits = fits
        self.sizes: list[int] = []

    async def list_deployments(  # noqa: PLR0917 - as the client's
        self, service: str, env: str, since: datetime, until: datetime, limit: int, site: Site, keys: Keys
    ) -> Answer:
        """See DatadogClient: the newest first, both bounds inclusive."""
        assert (site, keys) == (Site.US1, KEYS)
        self.sizes.append(limit)
        rows = [(number, began) for number, began in enumerate(self.rows) if since <= began <= until][:limit]
        if len(rows) > self.fits:
            return Answer(200, {}, b'{"data": [', is_cut=True)
        tags = {"service": service, "env": env, "version": "1"}
        data = [
            {"id": f"deployment-{number:05}", "attributes": tags | {"started_at": began.isoformat()}}
            for number, began in rows
        ]
        return Answer(200, {}, json.dumps({"data": data}).encode())


KEYS = Keys("api", "app")


async def read(listing: Listing) -> object:
    """Read all deployments of a service and env."""
    queue: WorkQueue[ObjectKey] = WorkQueue(lambda: 0.0)
    lookup = Lookup(cast("DatadogClient", listing), RateLimits(), queue, lambda: NOW)
    return await lookup.read(LIMIT, KEYS, Query("checkout", "prod", NOW - timedelta(days=30)), not_before=NOW)


async def test_pages_follow_each_other(monkeypatch: pytest.MonkeyPatch) -> None:
    """A page begins where the last one ended; the last one is not full."""
    monkeypatch.setattr(lookups, "PAGE", 10)
    found = await read(Listing(95))
    assert isinstance(found, tuple)
    assert len({row.id for row in found}) == len(found) == 95


@pytest.mark.parametrize(
    "listing",
    [
        pytest.param(Listing(300), id="20 full pages"),
        pytest.param(Listing(30, seconds_apart=0), id="a full page within one second"),
    ],
)
async def test_a_list_that_is_not_complete_is_none(listing: Listing, monkeypatch: pytest.MonkeyPatch) -> None:
    """What it does not show may exist."""
    monkeypatch.setattr(lookups, "PAGE", 10)
    found = await read(listing)
    assert isinstance(found, ReadProblem)
    assert found.reason is Reason.READ_UNAVAILABLE
    assert "checkout" in found.message
    assert len(listing.sizes) <= 20


async def test_an_answer_that_was_cut_is_read_again_with_half_the_page() -> None:
    """Deployments with many commits: fewer of them fit into an answer."""
    listing = Listing(600, fits=300)
    found = await read(listing)
    assert isinstance(found, tuple)
    assert len(found) == 600
    assert listing.sizes[:3] == [1000, 500, 250]


async def test_a_list_that_is_not_complete_creates_nothing(
    cluster: FakeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """onMissing: Create. Datadog has more deployments of the service than can be read at once."""
    monkeypatch.setattr(lookups, "PAGE", 3)
    datadog = StoringDatadog()
    for number in range(70):  # each began between the beginning of the revision and the first read
        datadog.deployed(f"0.{number}", finished=NOW + timedelta(seconds=60 + number / 10))
    async with running_operator(cluster, datadog, read_back=True, on_missing="Create") as operator:
        datadog.operator = operator
        await play(operator, Rollout(), *ABORTED)
        await wait(operator, 2 * 86_400, 300)
        assert condition(cluster, "checkout-h2") == ("Unknown", "ReadUnavailable")
    assert datadog.calls("mark", "event") == ["mark"]


class SlowToWrite(FakeCluster):
    """Writes of one status wait."""

    slow: str | None = None
    waiting: asyncio.Event
    goes_on: asyncio.Event

    async def write_status(self, key: ObjectKey, uid: str, status: Mapping[str, Any]) -> dict[str, Any]:
        """Write when the test says so."""
        if key.name == self.slow:
            self.waiting.set()
            await self.goes_on.wait()
        return await super().write_status(key, uid, status)


async def test_a_read_that_ends_while_a_status_is_written_is_not_missed(cluster: FakeCluster) -> None:
    """Both are read by one list. The second writes its status first, and the list has ended before it can wait."""
    slow, datadog = SlowToWrite(), StoringDatadog()
    slow.waiting, slow.goes_on = asyncio.Event(), asyncio.Event()
    listing, listed = asyncio.Event(), asyncio.Event()
    datadog.deployed("2")
    for name in ("one", "two"):
        slow.apply(name, deployment=VERSION, changeFailure=True)
    async with running_operator(slow, datadog, read_back=True) as operator:
        datadog.operator = operator
        await wait(operator, 25)
        operator.now += timedelta(seconds=6)  # now both reads are due
        slow.apply("two", deployment=VERSION, changeFailure=True, readBack=True)  # a status with a new generation
        answer = StoringDatadog.__call__

        async def delayed(self: StoringDatadog, request: httpx.Request) -> httpx.Response:
            listing.set()
            await listed.wait()
            return await answer(self, request)

        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(StoringDatadog, "__call__", delayed)
            first = asyncio.create_task(serve(operator, "one"))
            await asyncio.wait_for(listing.wait(), 1)
            slow.slow = "two"
            second = asyncio.create_task(serve(operator, "two"))
            await asyncio.wait_for(slow.waiting.wait(), 1)
            listed.set()
            await asyncio.wait_for(first, 1)
            slow.slow = None
            slow.goes_on.set()
            await asyncio.wait_for(second, 1)
        await wait(operator, 60)
    assert condition(slow, "one") == condition(slow, "two") == ("True", "ReadBack")


async def serve(operator: Operator, name: str) -> None:
    """Reconcile one DoraDeployment beside others."""
    await operator.reconcile(ObjectKey("shop", name))
