"""From the start of a process to its first PATCH, with one change that was made while nobody watched."""

import asyncio
import statistics
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass

from kubernetes.aio.client import CustomObjectsApi

from bench import objects
from bench.measure import settle
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


def first_patch(name: str, launch: Launch, cluster: LocalCluster, datadog: StandIn, count: int) -> FirstPatch:
    """Start a candidate some times, each time with another of the last of so many objects changed."""
    seconds = []
    for number in range(count - TIMES, count):
        asyncio.run(_change(cluster, number))
        datadog.clear_requests()
        begun = time.time()
        with launch(cluster, datadog):
            request = datadog.wait_for_requests(1, PATIENCE_SECONDS)[0]
            settle(cluster, datadog, quiet_seconds=2)
        seconds.append(request.time - begun)
    return FirstPatch(name, statistics.median(seconds), max(seconds))


async def _change(cluster: LocalCluster, number: int) -> None:
    async with await objects.connect(cluster) as client:
        api = CustomObjectsApi(client)
        found = await objects.is_failure(api, number)
        await objects.change(api, number, failure=not found)
