"""Aborts: how soon and how often each is marked, and what a normal release costs; beside Argo's own webhook."""

import asyncio
import math
import statistics
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass

from kubernetes.aio.client import CustomObjectsApi

from bench import objects, rollouts, webhook
from bench.candidates import Candidate, apply_crds
from bench.machine import Busy, busy_with_others
from sandbox.cluster import LocalCluster
from sandbox.datadog import StandIn

PAUSE_SECONDS = 0.25
QUIET_SECONDS = 3.0
PATIENCE_SECONDS = 60.0
RELEASES = 10
OPERATOR = "operator"
OPERATORS_CLIENT = "dora-operator"
"""How the operator names itself in the audit log."""


@dataclass(frozen=True, slots=True)
class Marks:
    """How some aborts were marked in one way."""

    name: str
    seen: dict[str, float]
    """When each abort was visible in a watch of the benchmark's own."""
    calls: dict[str, list[float]]
    """When each PATCH of each Rollout was received."""

    @property
    def delays_ms(self) -> list[float]:
        """From the visible abort until the first PATCH; below zero where the PATCH came before the abort was shown."""
        return [(self.calls[name][0] - at) * 1000 for name, at in self.seen.items() if name in self.calls]

    def percentile(self, number: int) -> float:
        """Return a percentile of the delays in milliseconds."""
        delays = self.delays_ms
        if len(delays) < 2:
            return delays[0] if delays else math.nan
        return min(max(delays), statistics.quantiles(delays, n=100)[number - 1])  # it guesses beyond a few

    @property
    def sent(self) -> int:
        """How many PATCHes came, for all Rollouts."""
        return sum(map(len, self.calls.values()))

    @property
    def unmarked(self) -> int:
        """How many aborts were never reported."""
        return len(self.seen.keys() - self.calls.keys())

    @property
    def again(self) -> int:
        """How many Rollouts were marked more than once."""
        return sum(len(times) > 1 for times in self.calls.values())

    @property
    def last_after_seconds(self) -> float:
        """From the last visible abort until the last Rollout was marked."""
        first = [times[0] for times in self.calls.values()]
        return max(first) - max(self.seen.values()) if first and self.seen else math.nan


@dataclass(frozen=True, slots=True)
class Release:
    """What the operator requested of the API server for a normal release."""

    lists_per_revision: float
    other_reads: float
    writes: float


@dataclass(frozen=True, slots=True)
class AbortResults:
    """Everything that was measured of one candidate."""

    name: str
    one_by_one: list[Marks]
    release: Release
    at_once: Marks
    busy_before: float
    busy_one_by_one: float


def measure_aborts(candidate: Candidate, aborts: int, crowd: int, crowd_aborts: int) -> AbortResults:
    """Run everything on a cluster of its own."""
    others = busy_with_others()
    with LocalCluster.start(with_rollouts=True) as cluster, StandIn() as own, StandIn() as quick, StandIn() as once:
        apply_crds(cluster, candidate)
        triggers = dict(zip(webhook.TRIGGERS, (quick, once), strict=True))
        webhook.subscribe(cluster, triggers)
        with candidate.running(cluster, own, DORA_OPERATOR_ROLLOUT_SELECTOR=f"marked-by={OPERATOR}"):
            measured = _measure(cluster, {OPERATOR: own} | triggers, (aborts, crowd, crowd_aborts))
            one_by_one, busy, release, at_once = asyncio.run(measured)
    return AbortResults(candidate.name, one_by_one, release, at_once, others, busy)


async def _measure(
    cluster: LocalCluster, datadogs: dict[str, StandIn], sizes: tuple[int, int, int]
) -> tuple[list[Marks], float, Release, Marks]:
    aborts, crowd, crowd_aborts = sizes
    async with await objects.connect(cluster) as client:
        client.user_agent = "bench"
        api = CustomObjectsApi(client)
        one_by_one, busy = await _one_by_one(api, datadogs, aborts)
        release = await _normal_release(api, cluster)
        at_once = await _at_once(api, datadogs[OPERATOR], crowd, crowd_aborts)
    return one_by_one, busy, release, at_once


async def _one_by_one(api: CustomObjectsApi, datadogs: dict[str, StandIn], aborts: int) -> tuple[list[Marks], float]:
    """Abort in turns one Rollout of each way of marking."""
    names = {f"{marker}-{number}": marker for number in range(aborts) for marker in datadogs}
    await rollouts.deploy(api, names)
    watch = rollouts.AbortWatch(api)
    await asyncio.sleep(QUIET_SECONDS)
    busy = Busy()
    for name in names:
        await rollouts.abort(api, name)
        await asyncio.sleep(PAUSE_SECONDS)
    share = busy.share()
    await asyncio.sleep(QUIET_SECONDS)
    await watch.stop()
    return [
        Marks(marker, _marked_by(marker, names, watch.seen), _calls(each)) for marker, each in datadogs.items()
    ], share


def _marked_by(marker: str, names: dict[str, str], seen: dict[str, float]) -> dict[str, float]:
    return {name: at for name, at in seen.items() if names.get(name) == marker}


def _calls(datadog: StandIn) -> dict[str, list[float]]:
    calls: dict[str, list[float]] = {}
    for request in datadog.requests():
        calls.setdefault(request.document()["data"]["attributes"]["service"], []).append(request.time)
    return calls


async def _normal_release(api: CustomObjectsApi, cluster: LocalCluster) -> Release:
    """Count the operator's requests for some Rollouts that are deployed, released once and promoted."""
    before = _operators_requests(cluster)
    names = {f"quiet-{number}": OPERATOR for number in range(RELEASES)}
    await rollouts.deploy(api, names)
    await rollouts.side_by_side(names, lambda name: rollouts.promote(api, name))
    await rollouts.all_in(api, names, "Healthy")
    await asyncio.sleep(QUIET_SECONDS)
    asked = _operators_requests(cluster) - before
    lists = asked["list", "replicasets"]
    reads = sum(count for (verb, _), count in asked.items() if verb in {"get", "list"}) - lists
    writes = sum(count for (verb, _), count in asked.items() if verb not in {"get", "list", "watch"})
    return Release(lists / (2 * RELEASES), reads / RELEASES, writes / RELEASES)


def _operators_requests(cluster: LocalCluster) -> Counter[tuple[str, str]]:
    return Counter(
        (entry["verb"], entry.get("objectRef", {}).get("resource", ""))
        for entry in cluster.audited()
        if entry.get("userAgent", "").startswith(OPERATORS_CLIENT)
        and "objectRef" in entry  # discovery is repeated with time, not with Rollouts
    )


async def _at_once(api: CustomObjectsApi, datadog: StandIn, crowd: int, aborting: int) -> Marks:
    """Abort some of many Rollouts together."""
    names = [f"crowd-{number}" for number in range(crowd)]
    await rollouts.deploy(api, dict.fromkeys(names, OPERATOR))
    watch = rollouts.AbortWatch(api)
    await asyncio.sleep(QUIET_SECONDS)
    datadog.clear_requests()
    await rollouts.side_by_side(names[:aborting], lambda name: rollouts.abort(api, name))
    with suppress(TimeoutError):  # what never came is counted
        await asyncio.to_thread(datadog.wait_for_requests, min(aborting, crowd), PATIENCE_SECONDS)
    await asyncio.sleep(QUIET_SECONDS)
    await watch.stop()
    seen = {name: at for name, at in watch.seen.items() if name in set(names)}
    return Marks(OPERATOR, seen, _calls(datadog))
