"""Datadog's DORA API over HTTPS. The only user of httpx.

Sends one request and returns what came back, whatever it is; what it means is decided in `domain.outcome`.
Hosts come from the table of sites, or from the operator's own setting. Keys leave this module in request headers only.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager

import httpx

from dora_operator.domain.answer_text import shorten
from dora_operator.domain.outcome import Answer, FailureKind, NoAnswer
from dora_operator.domain.request import DEPLOYMENT_PATH, PatchRequest, encode, encode_event
from dora_operator.domain.rollout.restored import Restoration
from dora_operator.domain.sites import Site, api_url
from dora_operator.ports import Keys

BODY_LIMIT = 64 * 1024
"""Bytes read of an answer; the rest is not waited for."""
CONNECT_SECONDS = 5.0
CONNECTIONS = 4
"""Of one client: sites that it stays connected with."""
REMEMBERED_HEADERS = frozenset(
    {"x-ratelimit-limit", "x-ratelimit-period", "x-ratelimit-remaining", "x-ratelimit-reset", "x-ratelimit-name"}
)


class DatadogApi:
    """Implements `ports.DatadogPort`. The clients are closed by whoever opened them.

    One client for each request that may be under way: httpx's pool looks through all its connections at every request,
    and sends a third less with eight of them in one client than with eight clients.
    """

    def __init__(self, *clients: httpx.AsyncClient, base_url: str | None, timeout_seconds: float) -> None:
        self._clients = clients
        self._free = list(clients)
        self._base_url = base_url.rstrip("/") if base_url else None
        self._timeout_seconds = timeout_seconds

    async def patch(self, request: PatchRequest, site: Site, keys: Keys) -> Answer | NoAnswer:
        """Send the request; every failure on the way is a value."""
        return await self._sent("PATCH", request.path, encode(request), site, keys)

    async def post_deployment(self, event: Restoration, site: Site, keys: Keys) -> Answer | NoAnswer:
        """Send a deployment event; every failure on the way is a value."""
        return await self._sent("POST", DEPLOYMENT_PATH, encode_event(event), site, keys)

    async def _sent(self, method: str, path: str, body: bytes, site: Site, keys: Keys) -> Answer | NoAnswer:
        url = (self._base_url or api_url(site)) + path
        with self._one_client() as client:
            return await self._sent_by(client, method, url, body, keys)

    @contextmanager
    def _one_client(self) -> Iterator[httpx.AsyncClient]:
        """Lend the client that was given back last, whose connection is warm; where all are lent, any."""
        if not self._free:
            yield self._clients[0]
            return
        client = self._free.pop()
        try:
            yield client
        finally:
            self._free.append(client)

    async def _sent_by(
        self, client: httpx.AsyncClient, method: str, url: str, body: bytes, keys: Keys
    ) -> Answer | NoAnswer:
        try:
            async with (
                asyncio.timeout(self._timeout_seconds),
                client.stream(method, url, content=body, headers=_headers(keys)) as response,
            ):
                answer = await _first_bytes(response)
                return Answer(response.status_code, _remembered(response.headers), _redacted(answer, keys))
        except (TimeoutError, httpx.TimeoutException):
            return NoAnswer(FailureKind.TIMEOUT, f"no whole answer within {self._timeout_seconds:g} s")
        except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError) as error:
            return NoAnswer(FailureKind.UNREACHABLE, _described(error, keys))


@asynccontextmanager
async def open_datadog(*, base_url: str | None, timeout_seconds: float, at_once: int) -> AsyncIterator[DatadogApi]:
    """Open so many clients: TLS verified, no redirects, no proxy or netrc from the environment."""
    limits = httpx.Limits(max_connections=CONNECTIONS, max_keepalive_connections=CONNECTIONS, keepalive_expiry=60)
    timeout = httpx.Timeout(timeout_seconds, connect=min(CONNECT_SECONDS, timeout_seconds))
    context = httpx.create_ssl_context(trust_env=False)  # once: reading all certificates takes longer than a request
    async with AsyncExitStack() as stack:
        clients = [
            await stack.enter_async_context(
                httpx.AsyncClient(
                    limits=limits, timeout=timeout, trust_env=False, follow_redirects=False, verify=context
                )
            )
            for _ in range(at_once)
        ]
        yield DatadogApi(*clients, base_url=base_url, timeout_seconds=timeout_seconds)


def _headers(keys: Keys) -> dict[str, str]:
    return {
        "Accept": "application/json",
        "Accept-Encoding": "identity",  # the bound on an answer's size must not be one on its compressed size
        "Content-Type": "application/json",
        "DD-API-KEY": keys.api_key,
        "DD-APPLICATION-KEY": keys.app_key,
        "User-Agent": "dora-operator",
    }


async def _first_bytes(response: httpx.Response) -> bytes:
    body = bytearray()
    async for chunk in response.aiter_bytes():
        body += chunk
        if len(body) >= BODY_LIMIT:
            break
    return bytes(body[:BODY_LIMIT])


def _remembered(headers: Mapping[str, str]) -> dict[str, str]:
    return {name.lower(): value for name, value in headers.items() if name.lower() in REMEMBERED_HEADERS}


def _redacted(body: bytes, keys: Keys) -> bytes:
    """A proxy may echo the request; its answer must not carry the keys into a status."""
    for key in (keys.api_key, keys.app_key):
        body = body.replace(key.encode(), b"[redacted]")
    return body


def _described(error: Exception, keys: Keys) -> str:
    text = _redacted(f"{type(error).__name__}: {error}".encode(errors="replace"), keys)
    return shorten(text.decode(errors="replace"), 160)
