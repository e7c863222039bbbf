"""The composition root: builds every part, runs them, and stops them in order."""

import asyncio
import logging
import random
import signal
import socket
import time
import uuid
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from importlib.metadata import version

from dora_operator.clients.datadog import DatadogClient, open_http
from dora_operator.clients.errors import KubernetesError
from dora_operator.clients.kubernetes import DEPLOYMENTS, ROLLOUTS, Kind, KubernetesClient, open_kubernetes
from dora_operator.clients.leader import Leader
from dora_operator.clients.login import Login, own_namespace
from dora_operator.domain.fields import ObjectKey
from dora_operator.domain.plan import dependencies_of
from dora_operator.handlers import deployments as deployment_handlers
from dora_operator.handlers import rollouts as rollout_handlers
from dora_operator.health import Exporter, live, ready, serving
from dora_operator.metrics import KINDS, Metrics
from dora_operator.reconcile.changes import DeploymentEvents, WorkloadEvents
from dora_operator.reconcile.context import NamespaceAnnotations, Planner
from dora_operator.reconcile.credentials import POLL_SECONDS, CredentialStore, NoKeys, own_keys_of
from dora_operator.reconcile.deployment import DeploymentReconciler
from dora_operator.reconcile.events import EventPoster
from dora_operator.reconcile.lookup import Lookup
from dora_operator.reconcile.rate_limits import RateLimits
from dora_operator.reconcile.records import Records
from dora_operator.reconcile.sending import Sender
from dora_operator.reconcile.status_writer import StatusWriter
from dora_operator.reconcile.workload import WorkloadReconciler
from dora_operator.settings import Settings
from dora_operator.store import DeploymentStore, WorkloadStore
from dora_operator.watch.kopf_run import Scope
from dora_operator.watch.watch import Sink, Watch
from dora_operator.workers import Workers, forever
from dora_operator.workqueue import WorkQueue

logger = logging.getLogger(__name__)

ROLLOUT_WORKERS = 4
SWEEP_SECONDS = 1800.0
"""How often records that were kept long enough are deleted."""
FINISH_SECONDS = 4.0
"""How long running reconciles may take at the end."""
LAST_EVENTS_SECONDS = 1.0
STANDBY_SECONDS = 5.0
"""A process that waited for the Lease for so long lists everything again before it decides."""


utc_now: Callable[[], datetime] = partial(datetime.now, UTC)  # noqa: TID251 - all other code is given this one
"""Returns the time. The only clock of the operator."""


@dataclass(frozen=True, slots=True)
class Deps:
    """What everything is built from."""

    settings: Settings
    kubernetes: KubernetesClient
    datadog: DatadogClient
    metrics: Metrics
    clock: Callable[[], datetime] = utc_now
    monotonic: Callable[[], float] = time.monotonic
    jitter: Callable[[], float] = random.random


@dataclass(frozen=True, slots=True)
class App:
    """The parts of the operator that run."""

    settings: Settings
    deployments: DeploymentEvents
    workloads: WorkloadEvents
    deployment_reconciler: DeploymentReconciler
    deployment_workers: Workers
    workload_reconciler: WorkloadReconciler
    workload_workers: Workers
    credentials: CredentialStore
    records: Records
    events: EventPoster
    exporter: Exporter

    async def poll_secrets(self) -> None:
        """Reconcile the resources whose keys have changed since they did not help."""
        self.deployments.requeue(await self.credentials.poll())


def build(deps: Deps) -> App:
    """Build the operator around its clients. Opens and starts nothing."""
    settings, clock = deps.settings, deps.clock
    namespaces = set[str | None](settings.namespaces or (None,))
    store = DeploymentStore(partial(dependencies_of, settings.site))
    workloads = WorkloadEvents(WorkloadStore(), WorkQueue(deps.monotonic, _namespace_of), clock)
    deployments = DeploymentEvents(store, WorkQueue(deps.monotonic, _namespace_of), workloads, clock, namespaces)
    annotations = NamespaceAnnotations(deps.kubernetes, clock)
    events, limits = EventPoster(deps.kubernetes), RateLimits()
    credentials = CredentialStore(deps.kubernetes, store, own_keys_of(settings), clock)
    reconciler = DeploymentReconciler(
        store=store,
        workloads=workloads.store,
        queue=deployments.queue,
        client=deps.kubernetes,
        sender=Sender(deps.datadog, limits, deployments.queue, clock),
        planner=Planner(store, workloads.store, annotations, settings),
        credentials=credentials,
        limits=limits,
        lookup=Lookup(deps.datadog, limits, deployments.queue, clock),
        writer=StatusWriter(store, deployments.queue, deps.kubernetes, events, deps.metrics, clock, workloads.requeue),
        settings=settings,
        clock=clock,
        random=deps.jitter,
    )
    retention, policy = timedelta(days=settings.retention_days), settings.rollout_policy
    records = Records(store, deployments, deps.kubernetes, events, policy, retention, clock)
    workload_reconciler = WorkloadReconciler(
        workloads.store, deps.kubernetes, annotations, records, events, deps.metrics, policy, clock
    )
    queues = deployments.queue, workloads.queue
    return App(
        settings,
        deployments,
        workloads,
        reconciler,
        Workers("DoraDeployment", queues[0], reconciler.reconcile, settings.workers, clock, deps.metrics),
        workload_reconciler,
        Workers("Rollout", queues[1], workload_reconciler.reconcile, ROLLOUT_WORKERS, clock, deps.metrics),
        credentials,
        records,
        events,
        Exporter(deps.metrics, store, workloads.store, dict(zip(KINDS, queues, strict=True)), limits, clock),
    )


def _namespace_of(key: ObjectKey) -> str:
    return key.namespace


async def run(settings: Settings) -> None:
    """Run the operator until SIGTERM or SIGINT.

    Raises:
        LoginError: there is no way to log in to a cluster.
        CannotListenError: a port of the probes or of the metrics cannot be opened.
        LeaseLostError: another process is the leader now; a restart begins as a follower.
        ProxyUnusableError: the environment names a proxy that cannot be used.
    """
    logger.info("%s", description(settings))
    metrics = Metrics()
    key = ObjectKey(settings.lease_namespace or own_namespace(), settings.lease_name)
    identity = f"{socket.gethostname()}_{uuid.uuid4().hex[:8]}"  # a restarted container is another process
    leader = Leader(key, identity, clock=utc_now)
    async with (
        open_kubernetes(metrics, utc_now, leader.check) as kubernetes,
        open_http(connections=settings.workers, trust_env=settings.trust_env) as http,
    ):
        datadog = DatadogClient(
            http,
            base_url=settings.base_url,
            timeout_seconds=settings.request_timeout_seconds,
            metrics=metrics,
            before_write=leader.check,
        )
        app = build(Deps(settings, kubernetes, datadog, metrics))
        watches = build_watches(app, kubernetes, metrics)
        health = [watch.health for watch in watches]
        scrape = partial(app.exporter.scrape, health, leader.is_leader)
        async with serving(settings, live(health), ready(health), scrape):
            await supervise(app, watches, leader, kubernetes)


def description(settings: Settings) -> str:
    """Return what runs and where it sends, for the first line of the log. No key is in it."""
    keys = own_keys_of(settings)()
    return (
        f"dora-operator {version('dora-operator')}: site {settings.site},"
        f" namespaces {','.join(settings.namespaces) or 'all'}, dry run {'on' if settings.dry_run else 'off'},"
        f" sources {','.join(settings.sources) or 'none'},"
        f" own keys {f'none ({keys.message})' if isinstance(keys, NoKeys) else 'present'}"
    )


def build_watches(app: App, kubernetes: KubernetesClient, metrics: Metrics) -> list[Watch]:
    """Build one watch for each kind, and for each namespace if some are named."""
    settings, login = app.settings, Login(kubernetes.configuration)
    kinds: list[tuple[Kind, Callable[..., None], Sink, str]] = [
        (DEPLOYMENTS, deployment_handlers.register, app.deployments, "")
    ]
    if settings.rollouts:
        kinds.append((ROLLOUTS, rollout_handlers.register, app.workloads, settings.rollout_selector))
    return [
        Watch(
            Scope(kind, namespace, register, selector, may_be_absent=kind is ROLLOUTS),
            kubernetes,
            login,
            sink,
            metrics,
            settings.resync_seconds,
        )
        for kind, register, sink, selector in kinds
        for namespace in settings.namespaces or (None,)
    ]


async def supervise(app: App, watches: Sequence[Watch], leader: Leader, kubernetes: KubernetesClient) -> None:
    """Run everything until a signal, or until the Lease is lost; then stop in order.

    Raises:
        LeaseLostError: the Lease was lost.
    """
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    watching = [asyncio.create_task(forever(f"the watch of {watch.health.what}", watch.run)) for watch in watches]
    leading = asyncio.create_task(_lead_when_listed(app, leader, kubernetes))
    begun = asyncio.create_task(_begin(app, watches, leader))
    working = [asyncio.create_task(forever(what, _after(begun, work))) for what, work in _background(app)]
    stopping = asyncio.create_task(stop.wait())
    try:
        await asyncio.wait((stopping, leading), return_when=asyncio.FIRST_COMPLETED)
        if leading.done():
            leading.result()  # raises
    finally:
        await asyncio.gather(
            _cancel(*watching),
            app.workload_workers.finish(FINISH_SECONDS),
            app.deployment_workers.finish(FINISH_SECONDS),
        )
        await app.events.finish(LAST_EVENTS_SECONDS)
        await _cancel(*working, begun, stopping, leading)  # until here, what was running needed the Lease
        await leader.release(kubernetes)


def _background(app: App) -> list[tuple[str, Callable[[], Awaitable[None]]]]:
    """Return what runs besides the watches while this process is the leader."""
    work: list[tuple[str, Callable[[], Awaitable[None]]]] = [
        ("the workers for DoraDeployments", app.deployment_workers.run),
        ("the polling of Secrets", lambda: _every(POLL_SECONDS.total_seconds(), app.poll_secrets)),
    ]
    if app.settings.rollouts:
        work.append(("the workers for Rollouts", app.workload_workers.run))
        work.append(("the sweep", lambda: _every(SWEEP_SECONDS, lambda: _sweep(app))))
    return work


async def _begin(app: App, watches: Sequence[Watch], leader: Leader) -> None:
    """Wait until this process may decide: everything is listed, it is the leader, and the histories are read."""
    await app.deployments.all_listed.wait()
    listed_at = time.monotonic()
    await leader.leading.wait()
    if time.monotonic() - listed_at > STANDBY_SECONDS:  # a standby's watch may have been silent for a while
        await asyncio.gather(*(watch.refresh() for watch in watches))
    if app.settings.rollouts:
        await app.workload_reconciler.read_histories(app.settings.namespaces or (None,))
    app.deployment_reconciler.begin(leader.previous_leader_stopped_at)


def _after(begun: asyncio.Task[None], work: Callable[[], Awaitable[None]]) -> Callable[[], Awaitable[None]]:
    async def run() -> None:
        await asyncio.shield(begun)
        await work()

    return run


async def _lead_when_listed(app: App, leader: Leader, kubernetes: KubernetesClient) -> None:
    """Ask for the Lease when there is something to write from: a replica that cannot list must not keep it."""
    await app.deployments.all_listed.wait()

    def retry_failed() -> None:
        app.deployments.recovered()
        app.workloads.recovered()

    await leader.run(kubernetes, retry_failed)


async def _every(seconds: float, run: Callable[[], Awaitable[None]]) -> None:
    while True:
        await asyncio.sleep(seconds)
        await run()


async def _sweep(app: App) -> None:
    try:
        count = await app.records.sweep()
    except KubernetesError as error:
        logger.warning("old records are deleted later: %s", error)
    else:
        logger.log(logging.INFO if count else logging.DEBUG, "%d settled records were deleted", count)


async def _cancel(*tasks: asyncio.Task[None] | asyncio.Task[bool]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
