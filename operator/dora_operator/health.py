"""What can be asked of this process over HTTP: the checks behind the probes, and the metrics.

The server answers before the watches run and after they stop. It shows no name of an object: anyone may read it from
inside the cluster.
"""

import asyncio
import errno
import logging
import os
import socket
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from http import HTTPStatus
from math import inf

from aiohttp import web

from dora_operator.domain.fields import ObjectKey
from dora_operator.domain.status import summary_of
from dora_operator.metrics import CONTENT_TYPE, Metrics
from dora_operator.reconcile.rate_limits import RateLimits
from dora_operator.settings import Settings
from dora_operator.store import DeploymentStore, WorkloadStore
from dora_operator.watch.health import WatchHealth
from dora_operator.workqueue import WorkQueue

Check = Callable[[], str | None]
"""Returns the problem, or None."""
Checks = Mapping[str, Check]

MAX_AGE_SECONDS = 1.0
"""Age of the metrics that a scrape may get: however many ask, they are made once in this time."""
SLICE = 250
"""Resources that are counted before other work of the loop goes on: a few milliseconds."""

logger = logging.getLogger(__name__)


class CannotListenError(Exception):
    """A port cannot be opened. The message names it and the fix."""


@dataclass(frozen=True, slots=True)
class Exporter:
    """Sets the gauges from the state of the operator. Changes nothing else."""

    metrics: Metrics
    deployments: DeploymentStore
    rollouts: WorkloadStore
    queues: Mapping[str, WorkQueue[ObjectKey]]
    limits: RateLimits
    clock: Callable[[], datetime]

    async def scrape(self, watches: Sequence[WatchHealth], is_leader: Callable[[], bool]) -> bytes:
        self.metrics.leader.set(is_leader())
        for probe, checks in (("livez", live(watches)), ("readyz", ready(watches))):
            for name, problem in evaluate(checks).items():
                self.metrics.check.labels(probe, name).set(problem is None)
        for resource in {watch.resource for watch in watches}:
            silent = max(watch.silent_seconds for watch in watches if watch.resource == resource)
            self.metrics.watch_silent_seconds.labels(resource).set(silent)
        for name, queue in self.queues.items():
            self._queue(name, queue)
        self.metrics.rate_limit_remaining.clear()
        for site, remaining in self.limits.remaining(self.clock()).items():
            self.metrics.rate_limit_remaining.labels(site).set(remaining)
        await self._resources()
        self.metrics.rollouts_unidentified.set(sum(tracked.unidentified for tracked in self.rollouts))
        return self.metrics.text()

    async def _resources(self) -> None:
        now = self.clock()
        counts: Counter[tuple[str, str]] = Counter()
        unreported, oldest, unverified = 0, now, now
        for number, deployment in enumerate(self.deployments, start=1):
            summary = summary_of(deployment)
            counts[summary.ready, summary.reason] += 1
            if summary.unreported:
                unreported += 1
                oldest = min(oldest, summary.unreported_since or now)
            unverified = min(unverified, summary.unverified_since or now)
            if number % SLICE == 0:
                await asyncio.sleep(0)
        self.metrics.resources.clear()
        for labels, count in counts.items():
            self.metrics.resources.labels(*labels).set(count)
        self.metrics.unreported_failures.set(unreported)
        self.metrics.oldest_unreported_failure_seconds.set((now - oldest).total_seconds())
        self.metrics.oldest_unverified_mark_seconds.set((now - unverified).total_seconds())

    def _queue(self, name: str, queue: WorkQueue[ObjectKey]) -> None:
        ages = queue.ages()
        due = [age for age in ages if age >= 0]
        lengths = {"due": len(due), "delayed": len(ages) - len(due), "waiting": len(queue) - len(ages)}
        for state, count in {**lengths, "working": queue.busy}.items():
            self.metrics.queue_length.labels(name, state).set(count)
        self.metrics.queue_oldest_seconds.labels(name).set(max(due, default=0.0))


@dataclass(slots=True)
class Shared:
    """Gives a text that is at most a second old to all that ask: it is made once for all of them."""

    make: Callable[[], Awaitable[bytes]]
    _task: asyncio.Task[bytes] | None = None
    _made_at: float = -inf

    async def __call__(self) -> bytes:
        now = asyncio.get_running_loop().time()
        if self._task is None or (self._task.done() and now - self._made_at >= MAX_AGE_SECONDS):
            self._task = asyncio.create_task(self._make())
        return await asyncio.shield(self._task)

    async def _make(self) -> bytes:
        try:
            return await self.make()
        finally:
            self._made_at = asyncio.get_running_loop().time()


@asynccontextmanager
async def serving(
    settings: Settings, live: Checks, ready: Checks, metrics: Callable[[], Awaitable[bytes]]
) -> AsyncIterator[None]:
    """Serve while the context is open. Equal ports share one server; None or 0 is no port.

    Raises:
        CannotListenError: a port cannot be opened.
    """
    text = Shared(metrics)

    async def scrape(_: web.Request) -> web.Response:
        return web.Response(body=await text(), headers={"Content-Type": CONTENT_TYPE})

    probes = {"/livez": live, "/healthz": live, "/readyz": ready}
    routes: defaultdict[int | None, list[web.RouteDef]] = defaultdict(list)
    routes[settings.health_port] += [web.get(path, _probe(checks)) for path, checks in probes.items()]
    routes[settings.metrics_port].append(web.get("/metrics", scrape))
    async with AsyncExitStack() as stack:
        for port, handlers in routes.items():
            if port:
                app = web.Application()
                app.add_routes(handlers)
                runner = web.AppRunner(app, access_log=None, handle_signals=False, shutdown_timeout=1.0)
                await runner.setup()
                stack.push_async_callback(runner.cleanup)
                await web.SockSite(runner, _listening(port)).start()
        yield


def live(watches: Sequence[WatchHealth]) -> Checks:
    """Return the checks that have to pass, or the process is restarted. An answer at all is the first of them."""
    return {"event-loop": lambda: None, **_by_resource(watches, "watched", WatchHealth.not_alive)}


def ready(watches: Sequence[WatchHealth]) -> Checks:
    """Return the checks that have to pass before the process counts as started."""
    return _by_resource(watches, "listed", WatchHealth.not_ready)


def evaluate(checks: Checks) -> dict[str, str | None]:
    """Return the problem that each check finds. A check that raises has failed."""
    return {name: _problem_of(name, check) for name, check in checks.items()}


def _by_resource(watches: Sequence[WatchHealth], word: str, problem: Callable[[WatchHealth], str | None]) -> Checks:
    """Return one check for each kind, however many namespaces are watched."""

    def check_of(resource: str) -> Check:
        own = [watch for watch in watches if watch.resource == resource]
        return lambda: "; ".join(filter(None, map(problem, own))) or None

    return {f"{name.lower()}-{word}": check_of(name) for name in sorted({watch.resource for watch in watches})}


def _problem_of(name: str, check: Check) -> str | None:
    try:
        return check()
    except Exception:
        logger.exception("the check %s failed", name)
        return "the check itself failed; see the log"


def _probe(checks: Checks) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    async def answer(_: web.Request) -> web.StreamResponse:
        problems = evaluate(checks)
        failed = any(problems.values())
        body = {
            "status": "failed" if failed else "ok",
            "checks": {name: problem or "ok" for name, problem in problems.items()},
        }
        return web.json_response(body, status=HTTPStatus.SERVICE_UNAVAILABLE if failed else HTTPStatus.OK)

    return answer


def _listening(port: int) -> socket.socket:
    """Listen on IPv4 and IPv6: a kubelet in an IPv6 cluster probes the pod's IPv6 address. Without IPv6, on IPv4."""
    try:
        if socket.has_dualstack_ipv6():
            try:
                return socket.create_server(("", port), family=socket.AF_INET6, dualstack_ipv6=True)
            except OSError as error:
                if error.errno not in {errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT}:
                    raise
        return socket.create_server(("", port))
    except OSError as error:
        raise CannotListenError(
            f"cannot listen on port {port}: {os.strerror(error.errno or 0)}; free it, or choose another by"
            " DORA_OPERATOR_HEALTH_PORT and DORA_OPERATOR_METRICS_PORT"
        ) from error
