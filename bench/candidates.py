"""The operator and its peers, as processes that can be measured."""

import os
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.measure import Running, settle
from sandbox import loopback
from sandbox.cluster import LocalCluster
from sandbox.cluster.process import Background, free_ports
from sandbox.datadog import StandIn
from sandbox.running import environment_for, running_in, running_operator

LISTED_SECONDS = 300.0


@contextmanager
def operator(cluster: LocalCluster, datadog: StandIn) -> Iterator[Running]:
    """Start this project's operator."""
    with running_operator(cluster, datadog.url) as process:
        yield Running(process.ready_after, lambda: process.resident_bytes() / 2**20)


@contextmanager
def bare_watch(cluster: LocalCluster, datadog: StandIn) -> Iterator[Running]:
    """Start the watch that does nothing but react."""
    with _peer("bare_watch", cluster, datadog) as (process, begun):
        process.wait_until(lambda: "ready" in process.log.read_text(), LISTED_SECONDS)
        yield Running(time.monotonic() - begun, lambda: _resident_mib(process))


@contextmanager
def naive_kopf(cluster: LocalCluster, datadog: StandIn) -> Iterator[Running]:
    """Start the tutorial's operator: once to settle everything its own way, then again to be measured."""
    for measured in (False, True):
        (port,) = free_ports(1)
        with _peer("naive_kopf", cluster, datadog, str(port)) as (process, begun):
            process.wait_until(lambda port=port: loopback.is_well(f"http://127.0.0.1:{port}/healthz"), LISTED_SECONDS)  # type: ignore[misc]
            ready = time.monotonic() - begun
            if measured:
                yield Running(ready, lambda process=process: _resident_mib(process))  # type: ignore[misc]
            else:
                settle(cluster, datadog)


@contextmanager
def operator_process(cluster: LocalCluster, datadog: StandIn, **variables: str) -> Iterator[int]:
    """Start this project's operator and give its process id at once."""
    with running_in(environment_for(cluster, datadog.url) | variables, path=None) as process:
        yield process.pid


@contextmanager
def naive_kopf_process(cluster: LocalCluster, datadog: StandIn) -> Iterator[int]:
    """Start the tutorial's operator and give its process id at once."""
    (port,) = free_ports(1)
    with _peer("naive_kopf", cluster, datadog, str(port)) as (process, _):
        yield process.popen.pid


@contextmanager
def _peer(module: str, cluster: LocalCluster, datadog: StandIn, *arguments: str) -> Iterator[tuple[Background, float]]:
    variables = {
        "KUBECONFIG": str(cluster.kubeconfig),
        "API_TOKEN": cluster.token,
        "DATADOG_URL": datadog.url,
        "PYTHONPATH": str(Path(__file__).parents[1]),
    }
    with tempfile.TemporaryDirectory(prefix="dora-bench-") as folder:
        begun = time.monotonic()
        command = [sys.executable, "-m", f"bench.peers.{module}", *arguments]
        process = Background.start(module, command, Path(folder), variables)
        try:
            yield process, begun
        finally:
            process.stop()


def _resident_mib(process: Background) -> float:
    pages = int(Path(f"/proc/{process.popen.pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20
