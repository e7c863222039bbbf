"""The Kubernetes API as plain JSON: one request, or one watch, over the HTTP library that kopf and the client use too.

The official client's typed classes cost a second and 30 MB at start, and three times the processor time per request.
Knows no resource. Never logs a body: a Secret's would be in it.
"""

import asyncio
import json
import logging
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from http import HTTPStatus
from typing import Any

import aiohttp
from pydantic_core import from_json

from dora_operator.adapters.paths import resource_of
from dora_operator.adapters.proxies import proxy_for
from dora_operator.meter import NO_METER, Meter
from dora_operator.ports import ClusterUnavailableError

logger = logging.getLogger(__name__)

REQUEST_SECONDS = 15.0
WATCH_SECONDS = 30
"""The API server ends a watch after this long, with a bookmark; the next one goes on from there."""
SILENCE_SECONDS = WATCH_SECONDS + 5.0
"""A watch that has said nothing for longer is dead, though its connection may stand."""
LOGIN_SECONDS = 1.0
"""How often at most the login is read again after a 401."""
MERGE_PATCH = "application/merge-patch+json"
APPLY_PATCH = "application/apply-patch+yaml"
JSON = "application/json"
USER_AGENT = "dora-operator"
LONGEST_LINE = 4 * 2**20
"""Bytes of a watch event. The API server takes objects of up to 1.5 MiB in etcd, and more as JSON."""


class StatusError(ClusterUnavailableError):
    """The API server's answer was no success."""

    def __init__(self, code: int, what: str) -> None:
        super().__init__(f"{what}: the API server answered {code}")
        self.code = code


class CannotLogInError(Exception):
    """There is no way in to a cluster; the message names the mend."""


@dataclass(frozen=True, slots=True)
class Login:
    """The way in to a cluster."""

    server: str
    headers: Mapping[str, str] = field(repr=False)
    tls: ssl.SSLContext
    server_name: str | None = None
    """The name in the server's certificate, where it is another than the host's."""
    proxy: str | None = None
    renew_seconds: float | None = None
    """How long it is good for; None: until the API server refuses it."""


LogIn = Callable[[], Awaitable[Login]]
"""Reads the login anew; raises CannotLogInError."""


class KubernetesApi:
    """Requests with the login of this process."""

    def __init__(self, session: aiohttp.ClientSession, login: Login, log_in: LogIn, meter: Meter = NO_METER) -> None:
        self._session = session
        self._login = login
        self._log_in = log_in
        self._meter = meter
        self._login_read_at = asyncio.get_running_loop().time()

    async def request(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: Mapping[str, Any] | None = None,
        content_type: str = JSON,
    ) -> dict[str, Any]:
        """Return the answer's JSON object.

        Raises:
            StatusError: another status than success.
            ClusterUnavailableError: no answer, or none that can be read.
        """
        what = f"{method} {path}"
        try:
            async with asyncio.timeout(REQUEST_SECONDS):
                response = await self._call(method, path, query, body, content_type, REQUEST_SECONDS)
                data = await response.read()
        except (TimeoutError, aiohttp.ClientError, OSError) as error:
            self._meter.kubernetes(method, resource_of(path), None)
            raise ClusterUnavailableError(f"{what}: {type(error).__name__}") from error
        self._meter.kubernetes(method, resource_of(path), response.status)
        if response.status >= 400:  # noqa: PLR2004 - the first that is no success
            raise StatusError(response.status, what)
        try:
            answer: dict[str, Any] = _parsed(data)
        except ValueError as error:
            raise ClusterUnavailableError(f"{what}: the answer is not JSON") from error
        return answer

    async def watch(self, path: str, query: Mapping[str, str]) -> AsyncIterator[dict[str, Any]]:
        """Iterate over the events of one watch, until the API server ends it.

        Raises:
            StatusError: the watch was refused.
            ClusterUnavailableError: it broke, or fell silent.
        """
        what = f"WATCH {path}"
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=5, sock_read=SILENCE_SECONDS)
        query = {"watch": "1", "allowWatchBookmarks": "true", "timeoutSeconds": str(WATCH_SECONDS)} | dict(query)
        try:
            response = await self._call("GET", path, query, None, JSON, timeout)
            async with response:
                if response.status >= 400:  # noqa: PLR2004 - the first that is no success
                    raise StatusError(response.status, what)
                async for line in response.content:
                    yield _parsed(line)
        except (TimeoutError, aiohttp.ClientError, OSError, ValueError) as error:
            raise ClusterUnavailableError(f"{what}: {type(error).__name__}") from error

    async def _call(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None,
        body: Mapping[str, Any] | None,
        content_type: str,
        timeout: Any,  # noqa: ANN401, ASYNC109 - handed through to aiohttp
    ) -> aiohttp.ClientResponse:
        data = None if body is None else json.dumps(body, separators=(",", ":"))
        renew = self._login.renew_seconds
        if renew is not None:
            await self._log_in_again(renew)
        for last in (False, True):
            login = self._login
            response = await self._session.request(
                method,
                login.server + path,
                params=[(name, value) for name, value in (query or {}).items() if value],
                headers={"Accept": JSON, "Content-Type": content_type, "User-Agent": USER_AGENT, **login.headers},
                data=data,
                timeout=timeout,
                server_hostname=login.server_name,
                allow_redirects=False,
            )
            refused = response.status == HTTPStatus.UNAUTHORIZED
            if last or not refused or not await self._log_in_again(LOGIN_SECONDS):
                break
            response.release()
        return response

    async def _log_in_again(self, after_seconds: float) -> bool:
        """Read the login anew, where the last reading is old enough: tokens are replaced while a process runs."""
        now = asyncio.get_running_loop().time()
        if now - self._login_read_at < after_seconds:
            return False
        self._login_read_at = now
        try:
            fresh = await self._log_in()
        except CannotLogInError as error:
            logger.warning("the login cannot be read anew, the last one is used: %s", error)
            return False
        self._login = replace(fresh, server=self._login.server, tls=self._login.tls)
        return True


def _parsed(data: bytes) -> Any:  # noqa: ANN401 - JSON
    """Parse JSON: pydantic's parser takes half the time of the standard library's; a list of thousands shows it."""
    return from_json(data, cache_strings="keys")


@asynccontextmanager
async def open_kubernetes(log_in: LogIn, meter: Meter = NO_METER) -> AsyncIterator[KubernetesApi]:
    """Open connections to the cluster that this process belongs to.

    Raises:
        CannotLogInError: there is none.
    """
    login = await log_in()
    # Who asks is bounded (workers, watches, the Lease), and a watch keeps its connection: a limit here would let the
    # watches of many namespaces keep everybody else waiting.
    connector = aiohttp.TCPConnector(ssl=login.tls, limit=0)
    proxy = login.proxy or proxy_for(login.server)  # here, because aiohttp would look, for netrc too, at every request
    async with aiohttp.ClientSession(connector=connector, proxy=proxy, read_bufsize=LONGEST_LINE) as session:
        yield KubernetesApi(session, login, log_in, meter)
