"""What the operator costs after a restart, and while nothing happens."""

import time
from dataclasses import dataclass

from bench.candidates import Candidate
from bench.machine import cpu_seconds
from bench.measure import settle
from sandbox.cluster import LocalCluster
from sandbox.datadog import StandIn


@dataclass(frozen=True, slots=True)
class Idle:
    """What was counted."""

    restart_writes: int
    restart_calls: int
    """Until it was quiet."""
    minutes: float
    writes: int
    calls: int
    cpu_share: float
    """Of one processor."""
    resident_mib: float


def measure_idle(candidate: Candidate, cluster: LocalCluster, datadog: StandIn, minutes: float) -> Idle:
    """Start a candidate on objects that it has settled before, and change nothing."""
    datadog.clear_requests()
    at_start = _writes(cluster)
    with candidate.running(cluster, datadog) as running:
        settle(cluster, datadog)
        writes, calls, used = _writes(cluster), len(datadog.requests()), cpu_seconds(running.pid)
        time.sleep(minutes * 60)
        return Idle(
            restart_writes=writes - at_start,
            restart_calls=calls,
            minutes=minutes,
            writes=_writes(cluster) - writes,
            calls=len(datadog.requests()) - calls,
            cpu_share=(cpu_seconds(running.pid) - used) / (minutes * 60),
            resident_mib=running.resident_mib(),
        )


def _writes(cluster: LocalCluster) -> int:
    return sum(len(cluster.audited(verb=verb)) for verb in ("create", "update", "patch", "delete"))
