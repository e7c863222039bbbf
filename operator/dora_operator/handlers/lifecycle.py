"""The composition root: builds every part from the settings, runs them, and stops them.

kopf runs the process. It watches nothing (docs/decisions/0005) and writes nothing.
"""

import asyncio
import logging
import random
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any

import kopf

from dora_operator.adapters.cluster import Cluster
from dora_operator.adapters.credentials import usable
from dora_operator.adapters.datadog import DatadogApi, open_datadog
from dora_operator.adapters.endpoints import serving
from dora_operator.adapters.kubernetes_api import load_connection, open_kubernetes
from dora_operator.adapters.metered import MeteredDatadog
from dora_operator.adapters.metrics import PrometheusMeter
from dora_operator.domain.reasons import Reason
from dora_operator.handlers.engine import Engine
from dora_operator.handlers.following import Following, WatchHealth
from dora_operator.handlers.observing import Overview
from dora_operator.handlers.rollouts import RolloutEngine
from dora_operator.handlers.workers import forever
from dora_operator.inventory import Inventory
from dora_operator.meter import Meter
from dora_operator.ports import Keys, NoKeys, ObjectKey
from dora_operator.reconcile.accounts import Account, Accounts
from dora_operator.reconcile.board import VerdictBoard
from dora_operator.reconcile.events import EventQueue
from dora_operator.reconcile.known_rollouts import KnownRollouts
from dora_operator.reconcile.namespaces import Namespaces
from dora_operator.reconcile.reconciler import Reconciler
from dora_operator.reconcile.records import Records
from dora_operator.reconcile.restoring import Restorer
from dora_operator.reconcile.rollouts import RolloutReconciler
from dora_operator.reconcile.secret_watch import SecretWatch
from dora_operator.reconcile.surroundings import Options
from dora_operator.reconcile.writer import StatusWriter
from dora_operator.settings import Settings
from dora_operator.workqueue import WorkQueue

logger = logging.getLogger(__name__)

STOP_SECONDS = 4.0
"""How long requests under way may take to finish at the end."""
LAST_EVENTS_SECONDS = 1.0
ROLLOUT_WORKERS = 4
SWEEP_SECONDS = 1800.0
"""How often the operator looks for records that may go."""


def clock() -> datetime:
    """Return the time. The only clock of the operator."""
    return datetime.now(UTC)  # noqa: TID251 - every other place is given this one


async def run(settings: Settings) -> None:
    """Run the operator until it is told to stop.

    Raises:
        kopf.LoginError: there is no way to log in to a cluster.
        CannotListenError: a port of the probes or of the metrics cannot be opened.
    """
    meter = PrometheusMeter(clock)
    async with (
        open_kubernetes(meter) as kubernetes,
        open_datadog(
            base_url=str(settings.datadog_url) if settings.datadog_url else None,
            timeout_seconds=settings.request_timeout_seconds,
            connections=settings.workers,
        ) as datadog,
    ):
        parts = build(settings, Cluster(kubernetes, clock), datadog, meter)
        overview = Overview(parts.deployments, parts.rollouts, tuple(each.health for each in parts.watches))
        async with serving(overview.endpoints(settings, meter)):
            await kopf.operator(
                registry=build_registry(settings, parts),
                settings=build_kopf_settings(),
                standalone=True,
                clusterwide=not settings.namespaces,
                namespaces=list(settings.namespaces),
            )


@dataclass(frozen=True, slots=True)
class Parts:
    """The two engines of the operator, and the watches that they live from."""

    deployments: Engine
    rollouts: RolloutEngine
    events: EventQueue
    watches: tuple[Following, ...]


def build(settings: Settings, cluster: Cluster, api: DatadogApi, meter: Meter) -> Parts:
    """Put the parts together."""
    inventory, secrets, board, keys = Inventory(), SecretWatch(cluster), VerdictBoard(), own_keys(settings)
    events, datadog = EventQueue(cluster), MeteredDatadog(api, meter, keys, time.monotonic)
    accounts = Accounts(cluster, keys)
    reconciler = Reconciler(
        inventory=inventory,
        accounts=accounts,
        secrets=secrets,
        board=board,
        datadog=datadog,
        writer=StatusWriter(cluster, events, inventory, settings.site, meter),
        options=Options(settings.site, settings.dry_run, settings.retry_policy),
        clock=clock,
        random=random.random,
    )
    queue: WorkQueue[ObjectKey, Account] = WorkQueue(time.monotonic)
    deployments = Engine(inventory, queue, reconciler, secrets, cluster, clock, settings.site, meter=meter)
    rollouts = KnownRollouts()
    restorer = Restorer(datadog, accounts, settings.site, keys, clock, settings.dry_run)
    policy = settings.rollout_policy
    records = Records(inventory, cluster, settings.retention, policy.lookback, clock)
    looks = RolloutReconciler(
        rollouts, inventory, board, cluster, Namespaces(cluster, clock), events, restorer, records, policy, clock, meter
    )
    engine = RolloutEngine(rollouts, WorkQueue(time.monotonic), looks, deployments, cluster, clock, meter)
    deployments.wake_rollout = engine.wake
    return Parts(deployments, engine, events, tuple(watches(settings, cluster, deployments, engine, meter)))


def watches(
    settings: Settings, cluster: Cluster, deployments: Engine, rollouts: RolloutEngine, meter: Meter
) -> Iterator[Following]:
    """Put the watches together: one for each kind, and for each namespace where these are named."""
    namespaces = settings.namespaces or (None,)
    deployments.unlisted = set(namespaces)
    for namespace in namespaces:
        where = f" of namespace {namespace}" if namespace else ""
        if settings.rollouts:
            yield Following(
                WatchHealth(f"Rollouts{where}", time.monotonic, may_be_absent=True),
                partial(cluster.watch_rollouts, namespace, settings.rollout_selector),
                partial(rollouts.take_in, namespace=namespace),
                rollouts.workers.try_failed_now,
                meter,
            )
        yield Following(
            WatchHealth(f"DoraDeployments{where}", time.monotonic),
            partial(cluster.watch_deployments, namespace, ""),
            partial(deployments.take_in, namespace=namespace),
            deployments.workers.try_failed_now,
            meter,
        )


def own_keys(settings: Settings) -> Keys | NoKeys:
    """Return the keys of the operator's own account."""
    if settings.api_key is None or settings.app_key is None:
        message = (
            "the operator was started without DD_API_KEY and DD_APP_KEY: set both, or name a Secret in"
            " spec.credentialsSecretRef"
        )
        return NoKeys(Reason.CREDENTIALS_NOT_FOUND, message)
    keys = Keys(settings.api_key.get_secret_value().strip(), settings.app_key.get_secret_value().strip())
    if usable(keys.api_key) and usable(keys.app_key):
        return keys
    message = "the operator's DD_API_KEY or DD_APP_KEY is unusable: 1 to 256 printable ASCII characters each"
    return NoKeys(Reason.CREDENTIALS_INVALID, message)


def build_kopf_settings() -> kopf.OperatorSettings:
    """Return kopf's settings: it posts nothing, scans nothing, and comes back quickly after an outage."""
    settings = kopf.OperatorSettings()
    settings.posting.enabled = False
    settings.scanning.disabled = True
    settings.networking.error_backoffs = _Backoffs()
    settings.networking.request_timeout = 30
    return settings


class _Backoffs:
    """Pauses between kopf's tries, in seconds: short, without end within a day, never in step with other clients."""

    def __iter__(self) -> Iterator[float]:
        return (0.3 + 0.4 * random.random() for _ in range(200_000))  # noqa: S311 - jitter


def build_registry(settings: Settings, parts: Parts) -> kopf.OperatorRegistry:
    """Return kopf's registry with every handler of the operator."""
    registry = kopf.OperatorRegistry()
    tasks: list[asyncio.Task[None]] = []

    @kopf.on.login(registry=registry)
    async def login(**_: Any) -> kopf.ConnectionInfo:
        return kopf.ConnectionInfo(**await load_connection())

    @kopf.on.startup(registry=registry)
    async def start(**_: Any) -> None:
        tasks.extend(asyncio.create_task(one) for one in background(settings, parts))
        await parts.deployments.all_listed.wait()

    @kopf.on.cleanup(registry=registry)
    async def stop(**_: Any) -> None:
        await parts.rollouts.workers.stop([], STOP_SECONDS)
        await parts.deployments.workers.stop(tasks, STOP_SECONDS)
        await parts.events.finish(LAST_EVENTS_SECONDS)

    return registry


def background(settings: Settings, parts: Parts) -> list[Coroutine[Any, Any, None]]:
    """Return everything that runs beside kopf."""
    made, rollouts = parts.deployments, parts.rollouts
    running = [forever("a worker", partial(listed_first, made, made.workers.work)) for _ in range(settings.workers)]
    running.append(forever("the look at Secrets", partial(made.look_at_secrets, settings.secret_poll_seconds)))
    running.append(forever("the posting of Events", parts.events.run))
    running += [forever(f"the watch of {each.health.what}", each.run) for each in parts.watches]
    if settings.rollouts:
        looking = partial(listed_first, made, rollouts.workers.work)
        running += [forever("a worker", looking) for _ in range(ROLLOUT_WORKERS)]
        running.append(forever("the sweep", partial(rollouts.sweep, SWEEP_SECONDS)))
    return running


async def listed_first(engine: Engine, work: Callable[[], Awaitable[None]]) -> None:
    """Work when all DoraDeployments are listed: before that, nobody knows what is on record already."""
    await engine.all_listed.wait()
    await work()
