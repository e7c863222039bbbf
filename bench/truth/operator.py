"""The operator in virtual time: all its reconcilers, one process for each cluster, against one Datadog."""

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from typing import cast

from bench.truth.argo import Body, Rollout
from bench.truth.cluster import Cluster
from bench.truth.datadog import Datadog
from bench.truth.world import Span, World, moment
from dora_operator.app import App, Deps, build
from dora_operator.clients.datadog import DatadogClient
from dora_operator.clients.kubernetes import KubernetesClient
from dora_operator.domain.fields import ObjectKey, OnMissing
from dora_operator.domain.retry import RetryPolicy
from dora_operator.metrics import Metrics
from dora_operator.settings import Settings
from sandbox.virtual import run, seconds, sleep_until

SEEN_AFTER = 0.05
"""Seconds in which a change is reconciled; the next write of the same action comes after that."""
RARELY = 6 * 3600.0
"""What is missing in Datadog for long is searched for every six hours, not every hour: to save time."""
LAST_READS = 3 * 86_400
"""How long after the end of the year the operator goes on."""


def report(world: World, on_missing: OnMissing, datadog: Datadog) -> None:
    """Let the operator of each cluster report a year to Datadog."""
    logging.getLogger("dora_operator").setLevel(logging.CRITICAL)
    made = Settings.model_validate({"DD_API_KEY": "key", "DD_APP_KEY": "key", "on_missing": on_missing})
    run(_report(world, made, datadog))


async def _report(world: World, made: Settings, datadog: Datadog) -> None:
    datadog.clock = seconds
    await asyncio.gather(*(_live(world, cluster, made, datadog) for cluster in range(world.clusters)))


async def _live(world: World, number: int, made: Settings, datadog: Datadog) -> None:
    """One cluster: what happens while no operator runs is seen when the next one has listed."""
    rollouts = {name: Rollout(name, number) for name in world.services}
    cluster = Cluster(rollouts)
    actions = iter([action for action in world.actions if action.cluster == number])
    action = next(actions, None)
    for begin, end in _running(world.operator_down, world.until + LAST_READS):
        while action is not None and action.at < begin:
            list(rollouts[action.service].act(action))
            action = next(actions, None)
        await sleep_until(begin)
        async with _operator(cluster, datadog, made) as app:
            while action is not None and action.at < end:
                await sleep_until(action.at)
                for body in rollouts[action.service].act(action):
                    app.workloads.observed(body, listed=False)
                    await asyncio.sleep(SEEN_AFTER)
                action = next(actions, None)
            await sleep_until(end)


@asynccontextmanager
async def _operator(cluster: Cluster, datadog: Datadog, made: Settings) -> AsyncIterator[App]:
    """Run one process of the operator: its first lists, the histories, then its workers."""
    kubernetes, client = cast("KubernetesClient", cluster), cast("DatadogClient", datadog)
    app = build(Deps(made, kubernetes, client, Metrics(), clock=_clock, monotonic=seconds, jitter=lambda: 0.5))
    app.deployment_reconciler.retry_policy = RetryPolicy(after_deadline=RARELY)
    for body in cluster.objects.values():
        app.deployments.observed(body, listed=True)
    app.deployments.listed(None, served=True)
    for rollout in cluster.rollouts.values():
        if rollout.status:
            app.workloads.observed(rollout.body(), listed=True)
    app.workloads.listed(None, served=True)

    def observe(body: Body) -> None:
        app.deployments.observed(body, listed=False)

    def deleted(key: ObjectKey, uid: str) -> None:
        app.deployments.deleted(key, uid)

    cluster.report, cluster.deleted = observe, deleted
    await app.workload_reconciler.read_histories((None,))
    app.deployment_reconciler.begin(None)
    work = [asyncio.create_task(workers.run()) for workers in (app.deployment_workers, app.workload_workers)]
    try:
        yield app
        await app.records.sweep()
    finally:
        cluster.report, cluster.deleted = lambda _: None, lambda *_: None
        for task in work:
            task.cancel()
        await asyncio.gather(*work, return_exceptions=True)


def _clock() -> datetime:
    return moment(seconds())


def _running(down: Sequence[Span], until: float) -> list[tuple[float, float]]:
    """Return the spans in which the operator runs."""
    begins = [0.0, *(float(end) for _, end in down)]
    ends = [*(float(begin) for begin, _ in down), float(until)]
    return list(zip(begins, ends, strict=True))
