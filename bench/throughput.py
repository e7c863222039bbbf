"""How many PATCHes a second, at what cost: thousands that are due at once, beside those who only send."""

import asyncio
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from bench import objects
from bench.candidates import naive_kopf_process, operator_process
from bench.machine import cpu_seconds
from sandbox.cluster import LocalCluster
from sandbox.cluster.process import Background
from sandbox.datadog import Settings, StandIn

CONCURRENCY = 8
"""As many as the operator has in flight for one account."""
PATIENCE_SECONDS = 300.0
QUIET_SECONDS = 3.0


@dataclass(frozen=True, slots=True)
class Speed:
    """What one candidate did."""

    name: str
    per_second: float
    cpu_seconds_per_1000: float
    writes_per_object: float | None = None
    """Kubernetes writes; None where the candidate knows no Kubernetes."""


def measure_throughput(console: Console, count: int, latency: float) -> list[Speed]:
    """Let each candidate send `count` PATCHes to a Datadog that answers after `latency` seconds."""
    with LocalCluster.start() as cluster, StandIn(Settings(latency=latency)) as datadog:
        cluster.kubectl("apply", "-f", "crds/")
        cluster.kubectl("wait", "--for=condition=Established", "crd/doradeployments.dora-operator.io")
        asyncio.run(objects.make_due(cluster, count))
        found = []
        for name in ("bare_loop", "official_client"):
            found.append(_sender(name, datadog, count))
            console.print(_line(found[-1], latency))
        datadog.clear_requests()
        with operator_process(cluster, datadog) as pid:
            found.append(_worked("dora-operator", pid, cluster, datadog, count))
        console.print(_line(found[-1], latency))
        cluster.kubectl("delete", "dora", "--all", "--wait=false")
        _wait_until_gone(cluster)
        asyncio.run(objects.make_due(cluster, count))
        with naive_kopf_process(cluster, datadog) as pid:
            found.append(_worked("naive kopf", pid, cluster, datadog, count))
        console.print(_line(found[-1], latency))
    return found


def _wait_until_gone(cluster: LocalCluster) -> None:
    while cluster.kubectl("get", "dora", "-o", "name").strip():
        time.sleep(0.2)


def _sender(name: str, datadog: StandIn, count: int) -> Speed:
    """Run a process that does nothing but send."""
    datadog.clear_requests()
    command = [sys.executable, "-m", f"bench.peers.{name}", datadog.url, str(count), str(CONCURRENCY)]
    folder = Path(__file__).parents[1]
    with tempfile.TemporaryDirectory(prefix="dora-bench-") as logs:
        variables = {"PYTHONPATH": f"{folder}{os.pathsep}{folder / 'operator'}"}
        process = Background.start(name, command, Path(logs), variables)
        with _watched_cpu(process.popen.pid, datadog) as cpu:
            datadog.wait_for_requests(count, PATIENCE_SECONDS)
            used = cpu()
        process.stop()
    return Speed(name.replace("_", " "), _rate(datadog), used / count * 1000)


def _worked(name: str, pid: int, cluster: LocalCluster, datadog: StandIn, count: int) -> Speed:
    """Watch an operator work off what is due, from its first request on."""
    before = len(cluster.audited(verb="patch", resource="doradeployments"))
    with _watched_cpu(pid, datadog) as cpu:
        datadog.wait_for_requests(count, PATIENCE_SECONDS)
        time.sleep(QUIET_SECONDS)  # the last statuses
        used = cpu()
    writes = len(cluster.audited(verb="patch", resource="doradeployments"))
    speed = Speed(name, _rate(datadog), used / count * 1000, (writes - before) / count)
    datadog.clear_requests()
    return speed


@contextmanager
def _watched_cpu(pid: int, datadog: StandIn) -> Iterator[Callable[[], float]]:
    datadog.wait_for_requests(1, PATIENCE_SECONDS)
    begun = cpu_seconds(pid)
    yield lambda: cpu_seconds(pid) - begun


def _rate(datadog: StandIn) -> float:
    times = sorted(request.time for request in datadog.requests())
    return (len(times) - 1) / (times[-1] - times[0])


def _line(speed: Speed, latency: float) -> str:
    writes = "" if speed.writes_per_object is None else f", {speed.writes_per_object:.2f} writes per object"
    return (
        f"  {speed.name} at {latency * 1000:.0f} ms: {speed.per_second:.0f} PATCHes/s,"
        f" {speed.cpu_seconds_per_1000:.2f} CPU seconds per 1,000{writes}"
    )
