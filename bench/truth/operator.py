"""The operator's own reconcilers in virtual time, in the two halves that Kubernetes joins.

`record` runs the reconcilers of Rollouts over a year: which records are written, and when, does not depend on Datadog.
`report` runs the reconcilers of these records, and the reads, against one Datadog.
"""

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
from dora_operator.app import App, build
from dora_operator.clients.datadog import DatadogClient
from dora_operator.clients.kubernetes import KubernetesClient
from dora_operator.domain.fields import OnMissing
from dora_operator.metrics import Metrics
from dora_operator.settings import Settings
from sandbox.virtual import run, seconds, sleep_until

SEEN_AFTER = 0.05
"""Seconds in which a change is reconciled; the next write of the same action comes after that."""
LAST_READS = 2 * 86_400
"""How long after the end of the year the operator goes on."""

Records = Sequence[tuple[float, Body]]


def settings(on_missing: OnMissing) -> Settings:
    """Return the default settings with keys, and with this one."""
    return Settings.model_validate({"DD_API_KEY": "key", "DD_APP_KEY": "key", "on_missing": on_missing})


def record(world: World, made: Settings) -> Records:
    """Return what the operator records in a year, as manifests with their times."""
    logging.getLogger("dora_operator").setLevel(logging.CRITICAL)
    return run(_record(world, made))


def report(world: World, records: Records, made: Settings, datadog: Datadog) -> None:
    """Let the operator bring a year's records to Datadog."""
    logging.getLogger("dora_operator").setLevel(logging.CRITICAL)
    run(_report(world, records, made, datadog))


async def _record(world: World, made: Settings) -> Records:
    rollouts = {name: Rollout(name) for name in world.services}
    cluster = Cluster(rollouts)
    nothing = cast("DatadogClient", None)  # the reconcilers of Rollouts send nothing
    actions = iter(world.actions)
    action = next(actions, None)
    for begin, end in _running(world.operator_down, world.until):
        while action is not None and action.at < begin:  # nobody sees it
            list(rollouts[action.service].act(action))
            action = next(actions, None)
        await sleep_until(begin)
        async with _operator(cluster, nothing, made) as app:
            for rollout in rollouts.values():
                if rollout.status:
                    app.rollouts.observed(rollout.body(), listed=True)
            app.rollouts.listed(None, served=True)
            while action is not None and action.at < end:
                await sleep_until(action.at)
                for body in rollouts[action.service].act(action):
                    app.rollouts.observed(body, listed=False)
                    await asyncio.sleep(SEEN_AFTER)
                action = next(actions, None)
            await sleep_until(end)
    return cluster.records


async def _report(world: World, records: Records, made: Settings, datadog: Datadog) -> None:
    cluster = Cluster()
    datadog.clock = seconds
    waiting = iter(records)
    entry = next(waiting, None)
    for begin, end in _running(world.operator_down, world.until + LAST_READS):
        await sleep_until(begin)
        async with _operator(cluster, cast("DatadogClient", datadog), made, reports=True):
            while entry is not None and entry[0] < end:
                await sleep_until(entry[0])
                await cluster.apply_record(entry[1])
                entry = next(waiting, None)
            await sleep_until(end)


@asynccontextmanager
async def _operator(
    cluster: Cluster, datadog: DatadogClient, made: Settings, *, reports: bool = False
) -> AsyncIterator[App]:
    """Run one process of the operator: its first list, then its workers."""
    app = build(
        made,
        cast("KubernetesClient", cluster),
        datadog,
        Metrics(),
        clock=_clock,
        monotonic=seconds,
        jitter=lambda: 0.5,
    )
    for body in cluster.objects.values():
        app.deployments.observed(body, listed=True)
    app.deployments.listed(None, served=True)
    if reports:  # no Rollout is known, so that the deployments alone say what was deployed again
        app.rollouts.listed(None, served=True)
    cluster.report = lambda body: _observe(app, body)
    work = [app.deployment_workers.run, app.deployment_reconciler.reader.run] if reports else [app.rollout_workers.run]
    tasks = [asyncio.create_task(each()) for each in work]
    try:
        yield app
    finally:
        cluster.report = lambda _: None
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _observe(app: App, body: Body) -> None:
    app.deployments.observed(body, listed=False)


def _clock() -> datetime:
    return moment(seconds())


def _running(down: Sequence[Span], until: float) -> list[tuple[float, float]]:
    """Return the spans in which the operator runs."""
    begins = [0.0, *(float(end) for _, end in down)]
    ends = [*(float(begin) for begin, _ in down), float(until)]
    return list(zip(begins, ends, strict=True))
