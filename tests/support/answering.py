"""An API server over HTTP whose answers a test sets, for the client of Kubernetes alone."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from dora_operator.clients.kubernetes import Subject
from dora_operator.domain.events import EventNote
from dora_operator.domain.fields import ObjectKey

KEY = ObjectKey("shop", "a")
STORED = {"metadata": {"uid": "uid", "resourceVersion": "7"}}
SUBJECT = Subject("v1", "Thing", KEY, "uid")
NOTE = EventNote("Normal", "Marked", "it was marked")
Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass
class Server:
    """An API server whose answer is set by the test."""

    answer: Any = field(default_factory=lambda: STORED)
    status: int = 200
    handler: Answer | None = None
    requests: list[tuple[web.Request, Any]] = field(default_factory=list)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Note a request and answer it."""
        self.requests.append((request, await request.json() if request.can_read_body else None))
        if self.handler is not None:
            return await self.handler(request)
        return web.json_response(self.answer, status=self.status)

    @property
    def last(self) -> tuple[str, dict[str, str], Any]:
        """Method and path, query, body of the last request."""
        request, body = self.requests[-1]
        return f"{request.method} {request.raw_path.partition('?')[0]}", dict(request.query), body

    def tokens(self) -> list[str]:
        """Return the tokens that came."""
        return [request.headers["Authorization"].removeprefix("Bearer ") for request, _ in self.requests]
