"""Aborts: how soon each is marked, how often, and what a release without trouble costs; beside Argo's own webhook."""

import asyncio
import json
import statistics
from collections import Counter
from dataclasses import dataclass

from kubernetes.aio.client import CustomObjectsApi

from bench import objects, rollouts, webhook
from sandbox.cluster import LocalCluster
from sandbox.datadog import StandIn
from sandbox.running import running_operator

QUIET_SECONDS = 3.0
OPERATORS_CLIENT = "OpenAPI-Generator"
"""How the operator's own client names itself in the audit log."""


@dataclass(frozen=True, slots=True)
class Marker:
    """What was measured of one way of marking."""

    name: str
    delays_ms: list[float]
    calls: int
    aborts: int

    def percentile(self, number: int) -> float:
        """Return a percentile of the delays in milliseconds."""
        return statistics.quantiles(self.delays_ms, n=100)[number - 1]


@dataclass(frozen=True, slots=True)
class AbortResults:
    """Everything that the run has shown."""

    markers: tuple[Marker, Marker]
    lists_per_revision: float
    writes_per_release: float
    crowd: int
    crowd_aborts: int
    crowd_seconds: float
    crowd_calls: int


def measure_aborts(aborts: int, crowd: int, crowd_aborts: int) -> AbortResults:
    """Run everything on a cluster of its own."""
    with (
        LocalCluster.start(with_rollouts=True) as cluster,
        StandIn() as datadog,
        StandIn() as webhooks,
    ):
        cluster.kubectl("apply", "-f", "crds/")
        webhook.subscribe(cluster, webhooks.url)
        with running_operator(cluster, datadog.url, DORA_OPERATOR_ROLLOUT_SELECTOR="marked-by=operator"):
            return asyncio.run(_measure(cluster, datadog, webhooks, (aborts, crowd, crowd_aborts)))


async def _measure(
    cluster: LocalCluster, datadog: StandIn, webhooks: StandIn, sizes: tuple[int, int, int]
) -> AbortResults:
    aborts, crowd, crowd_aborts = sizes
    async with await objects.connect(cluster) as client:
        client.user_agent = "bench"
        api = CustomObjectsApi(client)
        markers = await _one_by_one(api, datadog, webhooks, aborts)
        lists, writes = await _without_trouble(api, cluster)
        datadog.clear_requests()
        seconds = await _at_once(api, datadog, crowd, crowd_aborts)
        calls = len(datadog.requests())
    return AbortResults(markers, lists, writes, crowd, crowd_aborts, seconds, calls)


async def _one_by_one(api: CustomObjectsApi, datadog: StandIn, webhooks: StandIn, aborts: int) -> tuple[Marker, Marker]:
    """Abort in turns one that the operator marks and one that the webhook marks."""
    names = {f"{who}-{number}": who for number in range(aborts) for who in ("operator", "webhook")}
    await rollouts.deploy(api, names)
    sightings = rollouts.Sightings(api)
    await asyncio.sleep(QUIET_SECONDS)
    for name in names:
        await rollouts.abort(api, name)
        await asyncio.sleep(0.25)
    await asyncio.sleep(QUIET_SECONDS)
    await sightings.stop()
    return (
        _marker("dora-operator", "operator", datadog, sightings.seen),
        _marker("Argo's webhook", "webhook", webhooks, sightings.seen),
    )


def _marker(name: str, prefix: str, datadog: StandIn, seen: dict[str, float]) -> Marker:
    first: dict[str, float] = {}
    for request in datadog.requests():
        service = json.loads(request.body)["data"]["attributes"]["service"]
        first.setdefault(service, request.time)
    own = {rollout: at for rollout, at in seen.items() if rollout.startswith(prefix)}
    delays = [(first[rollout] - at) * 1000 for rollout, at in own.items() if rollout in first]
    return Marker(name, delays, len(datadog.requests()), len(own))


async def _without_trouble(api: CustomObjectsApi, cluster: LocalCluster, releases: int = 10) -> tuple[float, float]:
    """Return lists of ReplicaSets per revision, and writes per Rollout, from deploy to promotion."""
    before = _operators_requests(cluster)
    names = {f"quiet-{number}": "operator" for number in range(releases)}
    await rollouts.deploy(api, names)
    await rollouts.side_by_side(names, lambda name: rollouts.promote(api, name))
    await rollouts.all_in(api, names, "Healthy")
    await asyncio.sleep(QUIET_SECONDS)
    after = _operators_requests(cluster)
    writes = sum(after[verb] - before[verb] for verb in ("create", "patch", "update", "delete"))
    return (after["list"] - before["list"]) / (2 * releases), writes / releases


def _operators_requests(cluster: LocalCluster) -> Counter[str]:
    entries = cluster.audited()
    return Counter(entry["verb"] for entry in entries if entry.get("userAgent", "").startswith(OPERATORS_CLIENT))


async def _at_once(api: CustomObjectsApi, datadog: StandIn, crowd: int, aborting: int) -> float:
    """Return seconds from the last abort that was visible until the last was marked."""
    names = {f"crowd-{number}": "operator" for number in range(crowd)}
    await rollouts.deploy(api, names)
    sightings = rollouts.Sightings(api)
    await asyncio.sleep(QUIET_SECONDS)
    await rollouts.side_by_side(list(names)[:aborting], lambda name: rollouts.abort(api, name))
    await asyncio.to_thread(datadog.wait_for_requests, aborting, 60)
    await asyncio.sleep(QUIET_SECONDS)
    await sightings.stop()
    marked = {
        json.loads(each.body)["data"]["attributes"]["service"]: each.time for each in reversed(datadog.requests())
    }
    last_abort = max(at for name, at in sightings.seen.items() if name in names)
    return max(time_of for name, time_of in marked.items() if name in names) - last_abort
