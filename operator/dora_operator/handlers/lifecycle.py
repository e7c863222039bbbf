"""Start and end: opens what the parts need, runs them, and stops them in order.

kopf runs the process. It watches nothing (docs/decisions/0005) and writes nothing.
"""

import asyncio
import logging
import socket
import time
import uuid
from collections.abc import Awaitable, Callable, Coroutine
from datetime import UTC, datetime
from functools import partial
from typing import Any, cast

import aiohttp
import kopf

from dora_operator import lean
from dora_operator.adapters.cluster import Cluster
from dora_operator.adapters.datadog import DatadogApi, open_datadog
from dora_operator.adapters.endpoints import serving
from dora_operator.adapters.kubernetes_api import KubernetesApi, Login, open_kubernetes
from dora_operator.adapters.leases import LeaseApi
from dora_operator.adapters.metrics import PrometheusMeter
from dora_operator.adapters.proxies import proxy_for
from dora_operator.domain.lease import Pace
from dora_operator.domain.object_key import ObjectKey
from dora_operator.handlers.assembly import Parts, build
from dora_operator.handlers.ending import in_order, leave_at_the_latest
from dora_operator.handlers.engine import Engine
from dora_operator.handlers.fencing import FencedCluster, FencedDatadog
from dora_operator.handlers.kopf_settings import build_kopf_settings
from dora_operator.handlers.leading import AlwaysLeading, Leadership, LeaseLostError
from dora_operator.handlers.login import log_in, own_namespace
from dora_operator.handlers.metering import metering
from dora_operator.handlers.observing import Overview
from dora_operator.handlers.workers import forever
from dora_operator.meter import Meter
from dora_operator.ports import DatadogPort
from dora_operator.settings import Settings

logger = logging.getLogger(__name__)

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
        CannotTraceError: traces are wanted, and their packages are not installed.
        CannotListenError: a port of the probes or of the metrics cannot be opened.
        LeaseLostError: another process writes now; a new start begins as a follower.
    """
    prometheus = PrometheusMeter(clock)
    with metering(prometheus, traces=settings.traces) as meter:
        await _run(settings, prometheus, meter)


async def _run(settings: Settings, prometheus: PrometheusMeter, meter: Meter) -> None:
    async with (
        open_kubernetes(log_in, meter) as kubernetes,
        open_datadog(
            base_url=str(settings.datadog_url) if settings.datadog_url else None,
            timeout_seconds=settings.request_timeout_seconds,
            at_once=settings.workers,
            trust_env=settings.trust_env,
        ) as datadog,
    ):
        leadership = lead(settings, kubernetes)
        parts = build(settings, *behind(leadership, kubernetes, datadog, settings.relist_seconds), meter, clock)
        health = tuple(each.health for each in parts.watches)
        overview = Overview(parts.deployments, parts.rollouts, health, leadership.may_write)
        async with serving(overview.endpoints(settings, prometheus)):
            try:
                await kopf.operator(
                    registry=build_registry(settings, parts, leadership),
                    stop_flag=leadership.lost,
                    settings=build_kopf_settings(),
                    standalone=True,
                    identity=cast("Any", "dora-operator"),  # else kopf asks for the user's name; a pod's has none
                    clusterwide=not settings.namespaces,
                    namespaces=list(settings.namespaces),
                )
            except AssertionError:
                if not parts.deployments.workers.stopping:
                    raise
                logger.debug("kopf was stopped amid its first look at the API", exc_info=True)
        if leadership.lost.is_set():
            raise LeaseLostError(leadership.why_lost)


def behind(
    leadership: Leadership | AlwaysLeading, kubernetes: KubernetesApi, datadog: DatadogApi, relist_seconds: float
) -> tuple[Cluster, DatadogPort]:
    """Put the fence around what writes, where there is anything to fence off."""
    if isinstance(leadership, AlwaysLeading):
        return Cluster(kubernetes, clock, relist_seconds), datadog
    return FencedCluster(kubernetes, clock, relist_seconds, leadership), FencedDatadog(datadog, leadership)


def lead(settings: Settings, kubernetes: KubernetesApi) -> Leadership | AlwaysLeading:
    """Return who decides whether this process may write."""
    if not settings.leader_election:
        return AlwaysLeading()
    pace = Pace(settings.lease_seconds)
    key = ObjectKey(settings.lease_namespace or own_namespace(), settings.lease_name)
    identity = f"{socket.gethostname()}_{uuid.uuid4().hex[:8]}"  # a container that starts anew is another process
    return Leadership(LeaseApi(kubernetes, key, pace.request, clock), identity, seconds_even_asleep, pace)


def seconds_even_asleep() -> float:
    """Return the time of a clock that goes on while the machine sleeps: others do not sleep with it."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


def kopfs_session(found: Login) -> aiohttp.ClientSession:
    """Open kopf's session. Without trust_env, by which aiohttp would read netrc too, and fail over its entries."""
    connector, proxy = aiohttp.TCPConnector(ssl=found.tls), found.proxy or proxy_for(found.server)
    return aiohttp.ClientSession(connector=connector, headers=found.headers, proxy=proxy)


def build_registry(settings: Settings, parts: Parts, leadership: Leadership | AlwaysLeading) -> kopf.OperatorRegistry:
    """Return kopf's registry with every handler of the operator."""
    registry = kopf.OperatorRegistry()
    tasks: list[asyncio.Task[None]] = []
    holding: list[asyncio.Task[None]] = []

    @kopf.on.login(registry=registry)
    async def login(**_: Any) -> kopf.AiohttpSession:
        """For the one look at the API's groups that kopf takes at start; the session is closed by kopf."""
        found = await log_in()
        return kopf.AiohttpSession(server=found.server, aiohttp_session=kopfs_session(found))

    async def end() -> None:
        leave_at_the_latest(lambda: int(leadership.lost.is_set()))
        await in_order(parts, leadership, tasks, holding)

    @kopf.on.startup(registry=registry)
    async def start(**_: Any) -> None:
        holding.append(asyncio.create_task(hold_when_listed(parts.deployments, leadership)))
        tasks.extend(asyncio.create_task(one) for one in background(settings, parts, leadership))
        try:
            await parts.deployments.all_listed.wait()
        except asyncio.CancelledError:  # told to stop already: kopf cleans up only what it has started whole
            await end()
            raise
        asyncio.get_running_loop().call_later(lean.LATER_SECONDS, lean.leave_the_loaded_alone)

    @kopf.on.cleanup(registry=registry)
    async def stop(**_: Any) -> None:
        await end()

    return registry


async def hold_when_listed(engine: Engine, leadership: Leadership | AlwaysLeading) -> None:
    """Ask for the Lease when there is something to write from: who cannot list must not keep it from who can."""
    await engine.all_listed.wait()
    await leadership.hold()


def background(
    settings: Settings, parts: Parts, leadership: Leadership | AlwaysLeading
) -> list[Coroutine[Any, Any, None]]:
    """Return everything that runs beside kopf."""
    made, rollouts = parts.deployments, parts.rollouts

    def writing(work: Callable[[], Awaitable[None]]) -> Callable[[], Awaitable[None]]:
        return partial(in_turn, made, leadership, work)

    running = [forever("a worker", writing(made.workers.work)) for _ in range(settings.workers)]
    running.append(forever("the look at Secrets", partial(made.look_at_secrets, settings.secret_poll_seconds)))
    running.append(forever("the posting of Events", parts.events.run))
    running += [forever(f"the watch of {each.health.what}", each.run) for each in parts.watches]
    if settings.rollouts:
        running += [forever("a worker", writing(rollouts.workers.work)) for _ in range(ROLLOUT_WORKERS)]
        running.append(forever("the sweep", writing(partial(rollouts.sweep, SWEEP_SECONDS))))
    return running


async def in_turn(engine: Engine, leadership: Leadership | AlwaysLeading, work: Callable[[], Awaitable[None]]) -> None:
    """Work when all DoraDeployments are listed, and this process leads.

    Before the first, nobody knows what is on record already; until the second, keys wait in the queue.
    """
    await engine.all_listed.wait()
    await leadership.leading.wait()
    engine.begin()
    await work()
