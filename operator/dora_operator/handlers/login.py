"""kopf's login: an HTTP session with the operator's own login, whose middleware sees each request of kopf.

The middleware adds what kopf does not offer: a token that is renewed without a new session, a notice when kopf lists
or watches, and a first list without items.
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import Any, Protocol

import aiohttp
import kopf
from yarl import URL

from dora_operator.clients.kubernetes import Kind, resource_of
from dora_operator.clients.login import SessionParts, log_in, session_parts
from dora_operator.metrics import CODE_LABELS, Metrics

USER_AGENT = "dora-operator"
NO_OBJECTS = {"fieldSelector": "metadata.name=-"}
"""No object has this name. kopf gets no items but a valid resourceVersion, and opens its watch at once."""


class RequestObserver(Protocol):
    """Receives what happens to kopf's requests, in the thread of kopf."""

    def on_request(self) -> None:
        """A request is sent."""

    def on_answer(self, problem: str) -> None:
        """A request was answered or has failed; the problem is empty if it was successful."""

    def on_list(self) -> None:
        """A list of the watched objects was answered."""

    def on_watch(self) -> None:
        """A watch was opened."""


class RefusedError(aiohttp.ClientConnectionError):
    """401 with the newest credentials. kopf repeats a request after a connection error, and ends after a 401."""


async def read_login() -> SessionParts:
    """Read the login in the event loop that uses it."""
    return session_parts(await log_in())


@asynccontextmanager
async def logged_in(
    registry: kopf.OperatorRegistry,
    kind: Kind,
    observer: RequestObserver,
    *,
    metrics: Metrics,
    read: Callable[[], Awaitable[SessionParts]] = read_login,
    empty_lists: bool = True,
) -> AsyncIterator[None]:
    """Register a login for one run of kopf, and close its session at the end.

    The session stays the same for the whole run: kopf takes an equal one for a failed login and ends, instead of
    asking for the login in a loop.

    Raises:
        LoginError: there is no usable login.
    """
    login = await read()
    session = aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0, ssl=login.tls),
        cookie_jar=aiohttp.DummyCookieJar(),
        headers={"User-Agent": USER_AGENT},
        proxy=login.proxy,
        trust_env=False,
        middlewares=[Middleware(login, kind, observer, metrics, empty_lists=empty_lists)],
    )

    @kopf.on.login(registry=registry)
    async def log_in_kopf(**_: Any) -> kopf.AiohttpSession:
        return kopf.AiohttpSession(server=login.server, aiohttp_session=session)

    async with session:
        yield


class Middleware:
    """Authorizes each request of kopf, empties its lists of the watched kind, and reports to the observer."""

    def __init__(
        self, login: SessionParts, kind: Kind, observer: RequestObserver, metrics: Metrics, *, empty_lists: bool = True
    ) -> None:
        self._login = login
        self._origin = URL(login.server).origin()
        self._kind = kind
        self._observer = observer
        self._requests = metrics.kubernetes_requests
        self._empty_lists = empty_lists

    async def __call__(
        self, request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
    ) -> aiohttp.ClientResponse:
        """Send a request."""
        about_objects = request.url.path.endswith(f"/{self._kind.plural}")
        watches = about_objects and "watch" in request.url.query
        lists = about_objects and not watches
        if lists and self._empty_lists:
            request.url = request.url.update_query(NO_OBJECTS)
        self._observer.on_request()
        problem, code = "", None
        try:
            response = await self._authorized(request, handler)
            code = response.status
            problem = "" if code < HTTPStatus.BAD_REQUEST else f"the API server answered {code}"
        except (TimeoutError, aiohttp.ClientError, OSError) as error:
            problem = str(error) if isinstance(error, RefusedError) else type(error).__name__
            raise
        finally:
            method, path = "WATCH" if watches else request.method, request.url.path
            self._requests.labels(method, resource_of(path), CODE_LABELS[code]).inc()
            self._observer.on_answer(problem and f"{method} {path}: {problem}")
        if lists and not problem:
            self._observer.on_list()
        if watches and not problem:
            self._observer.on_watch()
        return response

    async def _authorized(
        self, request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
    ) -> aiohttp.ClientResponse:
        """Send a request with the newest credentials; after a 401 read them again, and send it once more."""
        header = await self._login.authorization()
        response = await self._sent(request, handler, header)
        if response.status != HTTPStatus.UNAUTHORIZED:
            return response
        response.close()
        fresh = await self._login.authorization(refused=header)
        if fresh != header:
            response = await self._sent(request, handler, fresh)
            if response.status != HTTPStatus.UNAUTHORIZED:
                return response
            response.close()
        raise RefusedError("the API server answered 401")

    async def _sent(
        self, request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType, header: str
    ) -> aiohttp.ClientResponse:
        request.server_hostname = self._login.server_name
        if header and request.url.origin() == self._origin:  # no redirect may carry the token elsewhere
            request.headers["Authorization"] = header
        return await handler(request)
