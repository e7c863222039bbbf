"""Datadog's DORA API over HTTPS. With `connections` the only user of httpx.

Sends one request and returns what came back, whatever it is; what it means is decided in `domain.outcome`.
Hosts come from the table of sites, or from the operator's own setting. Keys leave this module in request headers only.
"""

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import cast

import httpx

from dora_operator.adapters.answers import first_bytes, redacted
from dora_operator.adapters.connections import open_transport
from dora_operator.adapters.proxies import proxy_for
from dora_operator.domain.answer_text import shorten
from dora_operator.domain.outcome import Answer, FailureKind, NoAnswer
from dora_operator.domain.request import DEPLOYMENT_PATH, PatchRequest, encode, encode_event
from dora_operator.domain.rollout.restored import Restoration
from dora_operator.domain.sites import Site, api_url
from dora_operator.ports import Keys

REMEMBERED_HEADERS = frozenset(
    {"x-ratelimit-limit", "x-ratelimit-period", "x-ratelimit-remaining", "x-ratelimit-reset", "x-ratelimit-name"}
)


class DatadogApi:
    """Implements `ports.DatadogPort`. The transport is closed by whoever opened it.

    A transport and not a client: it follows no redirect, keeps no cookie and reads no environment.
    """

    def __init__(self, transport: httpx.AsyncBaseTransport, *, base_url: str | None, timeout_seconds: float) -> None:
        self._transport = transport
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
        try:
            request = httpx.Request(method, url, content=body, headers=_headers(keys))
            async with asyncio.timeout(self._timeout_seconds):
                return await _asked(self._transport, request, keys)
        except TimeoutError:
            return NoAnswer(FailureKind.TIMEOUT, f"no whole answer within {self._timeout_seconds:g} s")
        except httpx.TimeoutException as error:
            return NoAnswer(FailureKind.TIMEOUT, str(error))
        except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError) as error:
            return NoAnswer(FailureKind.UNREACHABLE, _described(error, keys))


@asynccontextmanager
async def open_datadog(
    *, base_url: str | None, timeout_seconds: float, at_once: int, trust_env: bool = False
) -> AsyncIterator[DatadogApi]:
    """Open at most so many connections: TLS verified; without `trust_env` no proxy and no certificates of its."""
    context = httpx.create_ssl_context(trust_env=trust_env)
    proxy = proxy_for(base_url or api_url(Site.US1)) if trust_env else None  # one for all sites
    async with open_transport(context, proxy, at_once) as transport:
        yield DatadogApi(transport, base_url=base_url, timeout_seconds=timeout_seconds)


async def _asked(transport: httpx.AsyncBaseTransport, request: httpx.Request, keys: Keys) -> Answer:
    response = await transport.handle_async_request(request)
    try:
        chunks = cast("AsyncIterable[bytes]", response.stream)  # as they come: unpacked by httpx they had no bound
        body = await first_bytes(chunks, response.headers.get("content-encoding", ""))
    finally:
        await response.aclose()
    return Answer(response.status_code, _remembered(response.headers), redacted(body, keys))


def _headers(keys: Keys) -> dict[str, str]:
    return {
        "Accept": "application/json",
        "Accept-Encoding": "identity",  # the bound on an answer's size must not be one on its compressed size
        "Content-Type": "application/json",
        "DD-API-KEY": keys.api_key,
        "DD-APPLICATION-KEY": keys.app_key,
        "User-Agent": "dora-operator",
    }


def _remembered(headers: Mapping[str, str]) -> dict[str, str]:
    return {name.lower(): value for name, value in headers.items() if name.lower() in REMEMBERED_HEADERS}


def _described(error: Exception, keys: Keys) -> str:
    text = redacted(f"{type(error).__name__}: {error}".encode(errors="replace"), keys)
    return shorten(text.decode(errors="replace"), 160)
