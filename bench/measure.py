"""One candidate measured: started on many settled objects, then given changes one by one."""

import asyncio
import statistics
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from kubernetes.aio.client import CustomObjectsApi

from bench import objects
from bench.candidates import Candidate
from sandbox.cluster import LocalCluster
from sandbox.datadog import StandIn

WARM_UP = 10
PATIENCE_SECONDS = 300.0

Item = TypeVar("Item")


@dataclass(frozen=True, slots=True)
class Result:
    """What was measured of one candidate."""

    name: str
    ready_seconds: float | None
    """From the start of the process until its list is complete; None where it does not say."""
    resident_mib: float
    p50_ms: float
    p99_ms: float
    calls_per_change: float
    """To Datadog."""
    writes_per_change: float
    """To Kubernetes."""


def measure(candidate: Candidate, cluster: LocalCluster, datadog: StandIn, changes: int) -> Result:
    """Start a candidate, let it settle, and time each change until its PATCH arrives."""
    with candidate.running(cluster, datadog) as running:
        settle(cluster, datadog)
        datadog.clear_requests()
        before = len(cluster.audited(verb="patch", resource="doradeployments"))
        delays = asyncio.run(_delays(cluster, datadog, changes))
        settle(cluster, datadog, quiet_seconds=1)  # the last status is written after the last request
        ours = 2 * (changes + WARM_UP)  # there and back again
        writes = len(cluster.audited(verb="patch", resource="doradeployments")) - before - ours
        return Result(
            candidate.name,
            running.ready_seconds if candidate.lists_first else None,
            running.resident_mib(),
            statistics.median(delays),
            statistics.quantiles(delays, n=100)[98],
            len(datadog.requests()) / ours,
            writes / ours,
        )


def in_turn(items: Iterable[Item], turn: int) -> Sequence[Item]:
    """Return the order of a turn: there and back again, so that nobody is always the first."""
    return list(items) if turn % 2 == 0 else list(items)[::-1]


def settle(cluster: LocalCluster, datadog: StandIn, quiet_seconds: float = 4.0) -> None:
    """Wait until a candidate has nothing left to send, neither to Datadog nor to the API server.

    Raises:
        TimeoutError: it does not end.
    """
    seen, since = (-1, -1), time.monotonic()
    deadline = since + PATIENCE_SECONDS
    while time.monotonic() - since < quiet_seconds:
        if time.monotonic() > deadline:
            raise TimeoutError(f"a candidate still sends requests after {PATIENCE_SECONDS:g} s")
        now = (len(datadog.requests()), cluster.audit_log.stat().st_size)
        if now != seen:
            seen, since = now, time.monotonic()
        time.sleep(0.2)


async def _delays(cluster: LocalCluster, datadog: StandIn, changes: int) -> list[float]:
    """Return milliseconds from sending each change to the API server until its PATCH arrived at Datadog."""
    delays = []
    async with await objects.connect(cluster) as client:
        api = CustomObjectsApi(client)
        for count in range(1, changes + WARM_UP + 1):
            begun = time.time()
            await objects.change(api, count, failure=False)
            found = await asyncio.to_thread(datadog.wait_for_requests, count, 30)
            delays.append((found[-1].time - begun) * 1000)
        for count in range(1, changes + WARM_UP + 1):  # the next candidate finds what this one found
            await objects.change(api, count, failure=True)
        await asyncio.to_thread(datadog.wait_for_requests, 2 * (changes + WARM_UP), 60)
    return delays[WARM_UP:]
