"""Probes and metrics over HTTP, on a server of their own that answers before the watches run and after they stop.

Knows neither what is checked nor what is measured. Shows no name of an object: anyone may read it from inside the
cluster.
"""

import errno
import logging
import os
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from http import HTTPStatus

from aiohttp import web

Check = Callable[[], str | None]
"""Returns the problem, or None."""
Checks = Mapping[str, Check]

logger = logging.getLogger(__name__)


class CannotListenError(Exception):
    """A port cannot be opened. The message names it and the fix."""


@dataclass(frozen=True, slots=True)
class Endpoints:
    """What is served on which port. None or 0: no port. Equal ports share one server."""

    health_port: int | None
    metrics_port: int | None
    live: Checks
    ready: Checks
    metrics: Callable[[], bytes]
    content_type: str = field(default="text/plain")

    def routes(self) -> dict[int, list[web.RouteDef]]:
        """Return the routes of each port."""
        found: dict[int, list[web.RouteDef]] = {}
        if self.health_port:
            probes = {"/livez": self.live, "/healthz": self.live, "/readyz": self.ready}
            found[self.health_port] = [web.get(path, _probe(checks)) for path, checks in probes.items()]
        if self.metrics_port:
            found.setdefault(self.metrics_port, []).append(web.get("/metrics", self._metrics))
        return found

    async def _metrics(self, _: web.Request) -> web.Response:
        return web.Response(body=self.metrics(), headers={"Content-Type": self.content_type})


@asynccontextmanager
async def serving(endpoints: Endpoints) -> AsyncIterator[None]:
    """Serve while the context is open.

    Raises:
        CannotListenError: a port cannot be opened.
    """
    async with AsyncExitStack() as stack:
        for port, routes in endpoints.routes().items():
            app = web.Application()
            app.add_routes(routes)
            runner = web.AppRunner(app, access_log=None, handle_signals=False, shutdown_timeout=1.0)
            await runner.setup()
            stack.push_async_callback(runner.cleanup)
            await web.SockSite(runner, _listening(port)).start()
        yield


def evaluate(checks: Checks) -> dict[str, str | None]:
    """Return the problem that each check finds. A check that raises has failed."""
    return {name: _problem_of(name, check) for name, check in checks.items()}


def _problem_of(name: str, check: Check) -> str | None:
    try:
        return check()
    except Exception:
        logger.exception("the check %s failed", name)
        return "the check itself failed; see the log"


def _probe(checks: Checks) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    async def answer(_: web.Request) -> web.StreamResponse:
        problems = evaluate(checks)
        good = not any(problems.values())
        body = {
            "status": "ok" if good else "failed",
            "checks": {name: words or "ok" for name, words in problems.items()},
        }
        return web.json_response(body, status=HTTPStatus.OK if good else HTTPStatus.SERVICE_UNAVAILABLE)

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
