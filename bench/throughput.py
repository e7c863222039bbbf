"""How many PATCHes a second, and at what cost: thousands that are due at once, beside programs that only send."""

import asyncio
import statistics
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path

from rich.console import Console

from bench import candidates, objects
from bench.candidates import ROOT, Candidate, Running
from bench.machine import cpu_seconds
from bench.measure import in_turn, settle
from sandbox.cluster import LocalCluster
from sandbox.cluster.process import Background
from sandbox.datadog import Settings, StandIn

CONCURRENCY = 8
"""As many as the operator has in flight for one account."""
PATIENCE_SECONDS = 300.0
QUIET_SECONDS = 3.0
BARE_LOOP = "bare loop"
SENDERS = {
    BARE_LOOP: "bare_loop",
    "official client": "official_client",
}
OPERATORS = {
    each.name: each
    for each in (candidates.OPERATOR, candidates.EARLIER, candidates.CONTROLLER_RUNTIME, candidates.NAIVE_KOPF)
}


@dataclass(frozen=True, slots=True)
class Speed:
    """What one candidate did."""

    name: str
    per_second: float
    cpu_seconds_per_1000: float
    writes_per_object: float | None = None
    """Kubernetes writes; None where the candidate uses no Kubernetes."""


def measure_throughput(console: Console, count: int, latency: float, rounds: int) -> list[Speed]:
    """Let each candidate send `count` PATCHes to a Datadog that answers after `latency` seconds, in turns.

    Each turn has its own API server: one that has served thousands of writes keeps gigabytes of their history, and
    collects that garbage while the next candidate runs.
    """
    found: dict[str, list[Speed]] = {name: [] for name in (*SENDERS, *OPERATORS)}
    for turn in range(rounds):
        for name in in_turn(found, turn):
            with StandIn(Settings(latency=latency)) as datadog:
                found[name].append(_worked(name, datadog, count))
            console.print(_line(found[name][-1], latency))
    return [median(speeds) for speeds in found.values()]


def median(speeds: list[Speed]) -> Speed:
    """Return the medians of what one candidate did, each figure for itself."""
    writes = [speed.writes_per_object for speed in speeds if speed.writes_per_object is not None]
    return Speed(
        speeds[0].name,
        statistics.median(speed.per_second for speed in speeds),
        statistics.median(speed.cpu_seconds_per_1000 for speed in speeds),
        statistics.median(writes) if writes else None,
    )


def _worked(name: str, datadog: StandIn, count: int) -> Speed:
    candidate = OPERATORS.get(name, candidates.OPERATOR)
    with candidates.own_cluster(candidate) as cluster:  # for those that only send too: all share the processors with it
        return _operator(candidate, cluster, datadog, count) if name in OPERATORS else _sender(name, datadog, count)


def _sender(name: str, datadog: StandIn, count: int) -> Speed:
    """Run a process that only sends."""
    module = SENDERS[name]
    command = [sys.executable, "-m", f"bench.peers.{module}", datadog.url, str(count), str(CONCURRENCY)]
    with tempfile.TemporaryDirectory(prefix="dora-bench-") as logs:
        process = Background.start(module, command, Path(logs), {"PYTHONPATH": f"{ROOT}:{ROOT / 'operator'}"})
        with _watched_cpu(Running(process, 0.0), datadog) as cpu:
            times = _marked(datadog, count)
            used = cpu()
        process.stop()
    return Speed(name, _rate(times), used / count * 1000)


def _operator(candidate: Candidate, cluster: LocalCluster, datadog: StandIn, count: int) -> Speed:
    """Let an operator send what is due, and measure from its first request on."""
    asyncio.run(objects.make_due(cluster, count))
    settle(cluster, datadog, QUIET_SECONDS)
    with candidate.launched(cluster, datadog) as running, _watched_cpu(running, datadog) as cpu:
        times = _marked(datadog, count)
        settle(cluster, datadog, QUIET_SECONDS)  # the last statuses
        used = cpu()
    writes = len(cluster.audited(verb="patch", resource="doradeployments"))
    return Speed(candidate.name, _rate(times), used / count * 1000, writes / count)


def _marked(datadog: StandIn, count: int) -> list[float]:
    """Wait until so many deployments are marked, and return when each was for the first time."""
    wanted = count
    while True:
        first: dict[str, float] = {}
        requests = datadog.wait_for_requests(wanted, PATIENCE_SECONDS)
        for request in requests:
            if request.status == HTTPStatus.ACCEPTED:
                first.setdefault(request.path, request.time)
        if len(first) >= count:
            return sorted(first.values())
        wanted = len(requests) + count - len(first)


@contextmanager
def _watched_cpu(running: Running, datadog: StandIn) -> Iterator[Callable[[], float]]:
    running.first_request(datadog)
    begun = cpu_seconds(running.pid)
    yield lambda: cpu_seconds(running.pid) - begun


def _rate(times: list[float]) -> float:
    return (len(times) - 1) / (times[-1] - times[0])


def _line(speed: Speed, latency: float) -> str:
    writes = "" if speed.writes_per_object is None else f", {speed.writes_per_object:.2f} writes per object"
    return (
        f"  {speed.name} at {latency * 1000:.0f} ms: {speed.per_second:.0f} PATCHes/s,"
        f" {speed.cpu_seconds_per_1000:.2f} CPU seconds per 1,000{writes}"
    )
