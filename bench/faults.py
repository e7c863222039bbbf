"""Faults of the API server: from each of them until a change that was made 0.2 s after it is marked."""

import asyncio
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from kubernetes.aio.client import CustomObjectsApi

from bench import objects
from bench.candidates import Candidate, Running, own_cluster
from bench.measure import settle
from sandbox.cluster import LocalCluster
from sandbox.datadog import Settings, StandIn
from sandbox.faults import FaultProxy, What

WATCHES = r"/(doradeployments|rollouts)\?.*watch="
OBJECTS = 20
DELAY_SECONDS = 0.2
DOWN_SECONDS = 20.0
PATIENCE_SECONDS = 120.0
IN_FLIGHT = 8


@dataclass(frozen=True, slots=True)
class Fault:
    """What happens to the watches, and what the prototype of this design took until the change was marked."""

    name: str
    what: What | None
    prototype_seconds: float
    code: int = 0
    seconds: float | None = None
    """How long new watches are refused; None: one time only."""


FAULTS = (
    Fault("the streams are cut", None, 0.01),
    Fault("ERROR 410 in the streams", What.STREAM_ERROR, 0.01, 410),
    Fault("ERROR 500 in the streams", What.STREAM_ERROR, 0.3, 500),
    Fault("HTTP 410 for 0.3 s", What.ANSWER, 0.7, 410, 0.3),
    Fault("HTTP 410 for 3 s", What.ANSWER, 1.8, 410, 3),
    Fault("HTTP 401 for 3 s", What.ANSWER, 4.5, 401, 3),
    Fault("HTTP 429 for 5 s", What.ANSWER, 5.2, 429, 5),
    Fault("HTTP 403 for 10 s", What.ANSWER, 10.4, 403, 10),
    Fault("HTTP 500 for 10 s", What.ANSWER, 9.9, 500, 10),
)
KILLED = "the API server is killed, and ready after 20 s: from then on"
KILLED_PROTOTYPE = 0.4
ENDED = f"SIGTERM with {IN_FLIGHT} in flight at 1 s each, until the end of the process"
ENDED_PROTOTYPE = 1.0


@dataclass(frozen=True, slots=True)
class Recovery:
    """What was measured."""

    fault: str
    seconds: float
    prototype_seconds: float


def measure_faults(candidate: Candidate) -> Iterator[Recovery]:
    """Measure each fault on a cluster of its own."""
    with own_cluster(candidate) as cluster, StandIn() as datadog:
        asyncio.run(objects.make_due(cluster, OBJECTS))
        with _through_proxy(candidate, cluster, datadog) as (proxy, _):
            for fault in FAULTS:
                seconds = _recovery(fault, proxy, cluster, datadog)
                yield Recovery(fault.name, seconds, fault.prototype_seconds)
            yield Recovery(KILLED, _killed(cluster, datadog), KILLED_PROTOTYPE)
    with own_cluster(candidate) as cluster, StandIn(Settings(latency=1.0)) as datadog:
        yield Recovery(ENDED, _ended(candidate, cluster, datadog), ENDED_PROTOTYPE)


@contextmanager
def _through_proxy(
    candidate: Candidate, cluster: LocalCluster, datadog: StandIn
) -> Iterator[tuple[FaultProxy, Running]]:
    with tempfile.TemporaryDirectory(prefix="dora-bench-") as folder, FaultProxy(cluster) as proxy:
        kubeconfig = str(proxy.kubeconfig(Path(folder)))
        with candidate.running(cluster, datadog, KUBECONFIG=kubeconfig) as running:
            yield proxy, running


def _recovery(fault: Fault, proxy: FaultProxy, cluster: LocalCluster, datadog: StandIn) -> float:
    settle(cluster, datadog, quiet_seconds=2)
    datadog.clear_requests()
    begun = time.time()
    if fault.what is not None:
        once = {"times": 1} if fault.seconds is None else {}
        proxy.fault(fault.what, path=WATCHES, code=fault.code, **once)
    if fault.seconds is not None:
        threading.Timer(fault.seconds, proxy.clear).start()
    proxy.cut_streams()
    time.sleep(DELAY_SECONDS)
    asyncio.run(_change_one(cluster))
    marked = datadog.wait_for_requests(1, PATIENCE_SECONDS)[0].time
    proxy.clear()
    return marked - begun


def _killed(cluster: LocalCluster, datadog: StandIn) -> float:
    settle(cluster, datadog, quiet_seconds=2)
    datadog.clear_requests()
    cluster.kill_api_server()
    time.sleep(DOWN_SECONDS)
    cluster.restart_api_server()
    begun = time.time()
    asyncio.run(_change_one(cluster))
    return datadog.wait_for_requests(1, PATIENCE_SECONDS)[0].time - begun


def _ended(candidate: Candidate, cluster: LocalCluster, datadog: StandIn) -> float:
    with candidate.running(cluster, datadog) as running:
        settle(cluster, datadog, quiet_seconds=2)
        asyncio.run(objects.make_due(cluster, IN_FLIGHT))
        datadog.wait_for_requests(1, PATIENCE_SECONDS)
        time.sleep(DELAY_SECONDS)
        return running.end()


async def _change_one(cluster: LocalCluster) -> None:
    async with await objects.connect(cluster) as client:
        api = CustomObjectsApi(client)
        await objects.change(api, 0, failure=not await objects.is_failure(api, 0))
