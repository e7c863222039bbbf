"""The operator and its peers, as processes that can be measured."""

import functools
import os
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from bench.measure import Running
from sandbox import loopback
from sandbox.cluster import LocalCluster
from sandbox.cluster.process import Background, free_ports
from sandbox.datadog import StandIn
from sandbox.programs.build import ensure
from sandbox.programs.catalogue import Program
from sandbox.running import environment_for, running_in, running_operator

LISTED_SECONDS = 300.0
GO_PEER = Program("controller-runtime", ".", 150, str(Path(__file__).parent / "peers" / "controller_runtime"))
"""Built when a benchmark first wants it; no cluster, test or demo needs it."""


@functools.cache
def go_peer() -> Path:
    """Return the peer in Go, built where it is missing. To be called before any clock runs."""
    return ensure([GO_PEER])[GO_PEER.name]


@contextmanager
def operator(cluster: LocalCluster, datadog: StandIn) -> Iterator[Running]:
    """Start this project's operator."""
    with running_operator(cluster, datadog.url) as process:
        yield Running(process.ready_after, lambda: process.resident_bytes() / 2**20)


@contextmanager
def bare_watch(cluster: LocalCluster, datadog: StandIn) -> Iterator[Running]:
    """Start the watch that does nothing but react."""
    with _python_peer("bare_watch", cluster, datadog) as (process, begun):
        process.wait_until(lambda: "ready" in process.log.read_text(), LISTED_SECONDS)
        yield Running(time.monotonic() - begun, lambda: _resident_mib(process))


@contextmanager
def controller_runtime(cluster: LocalCluster, datadog: StandIn) -> Iterator[Running]:
    """Start the operator in Go."""
    (port,) = free_ports(1)
    with _go_peer(port, cluster, datadog) as (process, begun):
        process.wait_until(lambda: loopback.is_well(f"http://127.0.0.1:{port}/readyz"), LISTED_SECONDS)
        yield Running(time.monotonic() - begun, lambda: _resident_mib(process))


@contextmanager
def naive_kopf(cluster: LocalCluster, datadog: StandIn) -> Iterator[Running]:
    """Start the tutorial's operator. Its probe says that it lives, not that its first list was handled."""
    (port,) = free_ports(1)
    with _python_peer("naive_kopf", cluster, datadog, str(port)) as (process, _):
        process.wait_until(lambda: loopback.is_well(f"http://127.0.0.1:{port}/healthz"), LISTED_SECONDS)
        yield Running(None, lambda: _resident_mib(process))


@contextmanager
def operator_process(cluster: LocalCluster, datadog: StandIn, **variables: str) -> Iterator[int]:
    """Start this project's operator and give its process id at once."""
    with running_in(environment_for(cluster, datadog.url) | variables, path=None) as process:
        yield process.pid


@contextmanager
def controller_runtime_process(cluster: LocalCluster, datadog: StandIn) -> Iterator[int]:
    """Start the operator in Go and give its process id at once."""
    (port,) = free_ports(1)
    with _go_peer(port, cluster, datadog) as (process, _):
        yield process.popen.pid


@contextmanager
def naive_kopf_process(cluster: LocalCluster, datadog: StandIn) -> Iterator[int]:
    """Start the tutorial's operator and give its process id at once."""
    (port,) = free_ports(1)
    with _python_peer("naive_kopf", cluster, datadog, str(port)) as (process, _):
        yield process.popen.pid


Started = AbstractContextManager[tuple[Background, float]]
"""A process, and when it was started."""


def _python_peer(module: str, cluster: LocalCluster, datadog: StandIn, *arguments: str) -> Started:
    return _peer(module, [sys.executable, "-m", f"bench.peers.{module}", *arguments], cluster, datadog)


def _go_peer(port: int, cluster: LocalCluster, datadog: StandIn) -> Started:
    return _peer(GO_PEER.name, [str(go_peer()), str(port)], cluster, datadog)


@contextmanager
def _peer(
    name: str, command: Sequence[str], cluster: LocalCluster, datadog: StandIn
) -> Iterator[tuple[Background, float]]:
    variables = {
        "KUBECONFIG": str(cluster.kubeconfig),
        "API_TOKEN": cluster.token,
        "DATADOG_URL": datadog.url,
        "PYTHONPATH": str(Path(__file__).parents[1]),
    }
    with tempfile.TemporaryDirectory(prefix="dora-bench-") as folder:
        begun = time.monotonic()
        process = Background.start(name, command, Path(folder), variables)
        try:
            yield process, begun
        finally:
            process.stop()


def _resident_mib(process: Background) -> float:
    pages = int(Path(f"/proc/{process.popen.pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20
