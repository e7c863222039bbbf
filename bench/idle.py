"""What the operator costs while nothing happens."""

import time
from dataclasses import dataclass

from bench.machine import cpu_seconds
from bench.measure import settle
from sandbox.cluster import LocalCluster
from sandbox.datadog import StandIn
from sandbox.running import running_operator


@dataclass(frozen=True, slots=True)
class Idle:
    """What was counted."""

    minutes: float
    writes: int
    calls: int
    cpu_share: float
    """Of one processor."""
    resident_mib: float


def measure_idle(cluster: LocalCluster, datadog: StandIn, minutes: float) -> Idle:
    """Start the operator on what is settled, and let it be."""
    with running_operator(cluster, datadog.url) as process:
        settle(cluster, datadog)
        datadog.clear_requests()
        writes, used = _writes(cluster), cpu_seconds(process.pid)
        time.sleep(minutes * 60)
        share = (cpu_seconds(process.pid) - used) / (minutes * 60)
        written = _writes(cluster) - writes
        return Idle(minutes, written, len(datadog.requests()), share, process.resident_bytes() / 2**20)


def _writes(cluster: LocalCluster) -> int:
    return sum(len(cluster.audited(verb=verb)) for verb in ("create", "update", "patch", "delete"))
