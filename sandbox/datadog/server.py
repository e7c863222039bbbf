"""The HTTP layer: reads a request, asks the API (or a fault rule), records, delivers.

Decides nothing about DORA. Everything between reading and delivering happens without awaiting, so requests take effect
in the order of their arrival and are recorded before anyone sees an answer.
"""

import asyncio
from collections.abc import Callable

from aiohttp import web

from sandbox.datadog import delivery
from sandbox.datadog.api import Api
from sandbox.datadog.control import Control, ControlRequest
from sandbox.datadog.exchange import Answer, Received, refused
from sandbox.datadog.faultbook import FaultBook
from sandbox.datadog.faults import Rule
from sandbox.datadog.recording import Log, path_without_secrets, without_secrets
from sandbox.datadog.settings import Settings

Clock = Callable[[], float]
_SHUTDOWN_SECONDS = 0.01


class Server:
    """One stand-in on one event loop."""

    def __init__(self, settings: Settings, clock: Clock) -> None:
        self._settings = settings
        self.clock = clock
        self.api = Api(settings)
        self.log = Log(settings.kept_requests)
        self.faults = FaultBook()
        self.control = Control(self.api, self.log, self.faults)
        self._web: web.Server | None = None
        self._listener: asyncio.Server | None = None

    async def start(self) -> str:
        """Listen, and return the URL."""
        loop = asyncio.get_running_loop()
        self._web = web.Server(self._handle, handler_cancellation=True, access_log=None)
        self._listener = await loop.create_server(
            self._web, self._settings.host, self._settings.port, backlog=1024, reuse_address=True
        )
        host, port = self._listener.sockets[0].getsockname()[:2]
        return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"

    async def stop(self) -> None:
        """Stop listening and end every connection, hanging ones too."""
        if self._listener is not None and self._web is not None:
            self._listener.close()
            await self._web.shutdown(_SHUTDOWN_SECONDS)
            await self._listener.wait_closed()

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        path, _, query = request.raw_path.partition("?")
        try:
            body = await request.read()
        except web.HTTPRequestEntityTooLarge:
            return delivery.whole(refused(413, "Request body too large"))
        now = self.clock()
        if path.startswith("/_"):
            return delivery.whole(self.control.handle(ControlRequest(request.method, path, query, body), now))
        received = Received(request.method, path, request.headers, body)
        rule = self.faults.choose(received)
        answer = self._decide(received, rule, now)
        self._record(request, received, answer, rule, now)
        delay = self.api.latency(request.method, path) + (rule.delay if rule else 0)
        if delay:
            await asyncio.sleep(delay)
        if rule is not None:
            return await delivery.broken(rule, answer, request)
        return delivery.whole(answer) if answer else web.Response()

    def _decide(self, received: Received, rule: Rule | None, now: float) -> Answer | None:
        if rule is None:
            return self.api.handle(received, now)
        genuine = self.api.handle(received, now) if rule.takes_effect else None
        return delivery.planned(rule, genuine, self.api.limits.peek(received.api_key, now).headers())

    def _record(
        self, request: web.BaseRequest, received: Received, answer: Answer | None, rule: Rule | None, now: float
    ) -> None:
        entry = {
            "time": now,
            "method": received.method,
            "path": path_without_secrets(request.raw_path),
            "headers": without_secrets(received.headers),
            "status": answer.status if answer else None,
            "fault": rule.what.kind if rule else None,
            "applied": rule is None or rule.takes_effect,
        }
        self.log.append(entry, received.body)
