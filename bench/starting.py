"""From the start of a process to its first PATCH, with one change that was made while nobody watched."""

import asyncio
import statistics
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass

from kubernetes.aio.client import CustomObjectsApi

from bench import objects
from bench.measure import in_turn, settle
from sandbox.cluster import LocalCluster
from sandbox.datadog import StandIn

TIMES = 5
PATIENCE_SECONDS = 300.0

Launch = Callable[[LocalCluster, StandIn], AbstractContextManager[int]]


@dataclass(frozen=True, slots=True)
class FirstPatch:
    """What one candidate needed."""

    name: str
    median_seconds: float
    worst_seconds: float


def first_patches(launches: dict[str, Launch], cluster: LocalCluster, datadog: StandIn, count: int) -> list[FirstPatch]:
    """Start each candidate some times, in turns; each finds one of the last of so many objects changed."""
    seconds: dict[str, list[float]] = {name: [] for name in launches}
    for turn in range(TIMES):
        for name in in_turn(launches, turn):
            seconds[name].append(_first_patch(launches[name], cluster, datadog, count - 1 - turn))
    return [FirstPatch(name, statistics.median(found), max(found)) for name, found in seconds.items()]


def _first_patch(launch: Launch, cluster: LocalCluster, datadog: StandIn, number: int) -> float:
    asyncio.run(_change(cluster, number))
    datadog.clear_requests()
    begun = time.time()
    with launch(cluster, datadog):
        request = datadog.wait_for_requests(1, PATIENCE_SECONDS)[0]
        settle(cluster, datadog, quiet_seconds=2)
    asyncio.run(objects.settle_again(cluster, number))  # the next candidate finds nothing but its own change
    return request.time - begun


async def _change(cluster: LocalCluster, number: int) -> None:
    async with await objects.connect(cluster) as client:
        api = CustomObjectsApi(client)
        found = await objects.is_failure(api, number)
        await objects.change(api, number, failure=not found)
