"""Changes that are made while the operator lists everything again, because the version of its watch has expired."""

import asyncio
import random
import statistics
import tempfile
from dataclasses import dataclass
from pathlib import Path
from time import time

from kubernetes.aio.client import CustomObjectsApi

from bench import objects
from bench.candidates import Candidate
from bench.measure import settle
from sandbox.cluster import LocalCluster
from sandbox.datadog import StandIn
from sandbox.faults import FaultProxy, What

WATCH = r"/doradeployments\?.*watch="
NEXT_PAGE = "continue="
PATIENCE_SECONDS = 60.0
CHANGED = (500, 900)
"""Which objects are changed: none that other measurements change."""


@dataclass(frozen=True, slots=True)
class Relisting:
    """What was measured."""

    lists: int
    changes: int
    p50_ms: float
    p99_ms: float


def measure_relisting(
    candidate: Candidate, cluster: LocalCluster, datadog: StandIn, changes: int, pages: int
) -> Relisting:
    """Let the watch expire, again and again, and change objects while the list asks for so many pages more."""
    with tempfile.TemporaryDirectory(prefix="dora-bench-") as folder, FaultProxy(cluster) as proxy:
        kubeconfig = str(proxy.kubeconfig(Path(folder)))
        with candidate.running(cluster, datadog, KUBECONFIG=kubeconfig):
            settle(cluster, datadog)
            datadog.clear_requests()
            return asyncio.run(_measure(cluster, datadog, proxy, changes, pages))


async def _measure(cluster: LocalCluster, datadog: StandIn, proxy: FaultProxy, changes: int, pages: int) -> Relisting:
    delays: list[float] = []
    lists = 0
    async with await objects.connect(cluster) as client:
        api = CustomObjectsApi(client)
        while len(delays) < changes:
            before = _pages(proxy)
            proxy.fault(What.STREAM_ERROR, path=WATCH, code=410, times=1)
            proxy.cut_streams()
            await _until_listing(proxy, before)
            lists += 1
            while _pages(proxy) < before + pages and len(delays) < changes:
                delays.append(await _delay(api, datadog, len(delays)))
            await asyncio.sleep(1)
    return Relisting(lists, len(delays), statistics.median(delays), statistics.quantiles(delays, n=100)[98])


async def _delay(api: CustomObjectsApi, datadog: StandIn, count: int) -> float:
    """Return milliseconds from a change until its PATCH arrived."""
    number = random.randrange(*CHANGED)
    failure = not await objects.is_failure(api, number)
    begun = time()
    await objects.change(api, number, failure=failure)
    found = await asyncio.to_thread(datadog.wait_for_requests, count + 1, PATIENCE_SECONDS)
    return (found[count].time - begun) * 1000


async def _until_listing(proxy: FaultProxy, before: int) -> None:
    async with asyncio.timeout(PATIENCE_SECONDS):
        while _pages(proxy) == before:  # noqa: ASYNC110 - the proxy runs in another thread
            await asyncio.sleep(0.01)


def _pages(proxy: FaultProxy) -> int:
    """Count the pages after the first that were asked for."""
    return sum(NEXT_PAGE in line for line in list(proxy.log))
