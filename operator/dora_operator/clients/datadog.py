"""Datadog's DORA API over httpx, with the connections of the package httpx-aiohttp (docs/decisions/0010).

Sends one request and returns the answer, or why there is none; `domain.outcome` decides what it means. Hosts come from
the table of sites, or from the operator's own setting. Keys leave this module in request headers only.
"""

import asyncio
import html
import re
import time
import zlib
from collections.abc import AsyncIterable, AsyncIterator, Coroutine, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Any, cast
from urllib.parse import quote, unquote_to_bytes

import aiohttp
import httpx
from httpx_aiohttp import AiohttpTransport
from yarl import URL

from dora_operator.clients.guard import Result, WriteGuard
from dora_operator.clients.proxies import proxy_for
from dora_operator.domain.outcome import Answer, FailureKind, NoAnswer, shorten
from dora_operator.domain.request import (
    COLLECTION,
    DEPLOYMENT_PATH,
    PatchById,
    PatchRequest,
    encode,
    encode_event,
    encode_list,
)
from dora_operator.domain.rollout.posted_events import DeploymentEvent
from dora_operator.domain.sites import Site, api_url
from dora_operator.metrics import CODE_LABELS, Call, Metrics

CONNECT_SECONDS = 5.0
IDLE_SECONDS = 60.0
"""How long a connection is kept for the next request."""
BODY_LIMIT = 64 * 1024
"""Bytes read of an answer; the rest is not waited for. Decompressed it is not longer either."""
LIST_LIMIT = 8 * 1024 * 1024
"""As BODY_LIMIT, for a list of up to a thousand deployments."""
COMPRESSED = frozenset({"gzip", "x-gzip", "deflate"})
REDACTED = b"[redacted]"
NOTHING_LEFT = b'{"detail":"[redacted]"}'
"""Replaces a body that repeats a key in an escaped form."""
KEPT_HEADERS = ("date", *(f"x-ratelimit-{name}" for name in ("limit", "period", "remaining", "reset", "name")))
_API_URLS = {site: api_url(site) for site in Site}
_JSON_ESCAPE = re.compile(rb"\\(?:u00([0-9a-fA-F]{2})|(.))", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Keys:
    """The two keys of a Datadog account. Their values never show in a repr."""

    api_key: str = field(repr=False)
    app_key: str = field(repr=False)


class DatadogClient:
    """Sends the operator's requests to Datadog. The httpx client is closed by its opener."""

    def __init__(
        self,
        http: httpx.AsyncClient,
        *,
        base_url: str | None,
        timeout_seconds: float,
        metrics: Metrics,
        leader: WriteGuard | None = None,
    ) -> None:
        self._http = http
        self._base_url = base_url.rstrip("/") if base_url else None
        self._timeout_seconds = timeout_seconds
        self._metrics = metrics
        self._leader = leader

    async def patch(self, request: PatchRequest, site: Site, keys: Keys) -> Answer | NoAnswer:
        """Mark a deployment.

        Raises:
            NotLeaderError: this process may not write.
        """
        call = Call.BY_ID if isinstance(request, PatchById) else Call.BY_VERSION
        return await self._guarded(self.send(call, "PATCH", request.path, encode(request), site, keys))

    async def post_deployment(self, event: DeploymentEvent, site: Site, keys: Keys) -> Answer | NoAnswer:
        """Send a deployment event.

        Raises:
            NotLeaderError: this process may not write.
        """
        body = encode_event(event)
        return await self._guarded(self.send(Call.EVENT, "POST", DEPLOYMENT_PATH, body, site, keys))

    async def get_deployment(self, deployment_id: str, site: Site, keys: Keys) -> Answer | NoAnswer:
        """Read one deployment."""
        path = f"{COLLECTION}/{quote(deployment_id, safe='')}"
        return await self.send(Call.READ, "GET", path, b"", site, keys, LIST_LIMIT)

    async def list_deployments(  # noqa: PLR0913, PLR0917 - what a list takes
        self, service: str, env: str, since: datetime, until: datetime, limit: int, site: Site, keys: Keys
    ) -> Answer | NoAnswer:
        """Read the deployments of a service and env that began between two times, the newest first."""
        body = encode_list(service, env, since, until, limit)
        return await self.send(Call.LIST, "POST", COLLECTION, body, site, keys, LIST_LIMIT)

    async def _guarded(self, request: Coroutine[Any, Any, Result]) -> Result:
        return await (request if self._leader is None else self._leader.guard(request))

    async def send(  # noqa: PLR0913, PLR0917 - one request
        self, call: Call, method: str, path: str, body: bytes, site: Site, keys: Keys, most_bytes: int = BODY_LIMIT
    ) -> Answer | NoAnswer:
        """Send any request and return the answer, or why there is none. Whether it may be sent is not checked."""
        begun = time.monotonic()
        answer = await self._answer(method, (self._base_url or _API_URLS[site]) + path, body, keys, most_bytes)
        code = answer.status if isinstance(answer, Answer) else None
        self._metrics.datadog_requests.labels(call.value, CODE_LABELS[code]).inc()
        self._metrics.datadog_request_seconds.labels(call.value).observe(time.monotonic() - begun)
        return answer

    async def _answer(self, method: str, url: str, body: bytes, keys: Keys, most_bytes: int) -> Answer | NoAnswer:
        try:
            async with (
                asyncio.timeout(self._timeout_seconds),
                self._http.stream(method, url, content=body, headers=_headers(keys)) as response,
            ):
                chunks = cast("AsyncIterable[bytes]", response.stream)  # httpx's own decompression has no bound
                found = await first_bytes(chunks, response.headers.get("content-encoding", ""), most_bytes)
                kept = {name: response.headers[name] for name in KEPT_HEADERS if name in response.headers}
                return Answer(response.status_code, kept, redacted(found, keys))
        except TimeoutError:
            return NoAnswer(FailureKind.TIMEOUT, f"no whole answer within {self._timeout_seconds:g} s")
        except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError, aiohttp.ClientError) as error:
            cause = error.__cause__ or error  # the transport reports a refused connection as a timeout
            timed_out = isinstance(cause, TimeoutError | httpx.TimeoutException)
            return NoAnswer(FailureKind.TIMEOUT if timed_out else FailureKind.UNREACHABLE, _described(cause, keys))


def _headers(keys: Keys) -> Mapping[str, str]:
    return {
        "Accept": "application/json",
        "Accept-Encoding": "identity",  # a bound on an answer's size must not be one on its compressed size
        "Content-Type": "application/json",
        "DD-API-KEY": keys.api_key,
        "DD-APPLICATION-KEY": keys.app_key,
        "User-Agent": "dora-operator",
    }


async def first_bytes(chunks: AsyncIterable[bytes], encoding: str, most: int = BODY_LIMIT) -> bytes:
    """Return the beginning of a body. A body that is compressed without being asked for must not fill memory."""
    body = bytearray()
    async for chunk in chunks:
        body += chunk
        if len(body) >= most:
            break
    raw = bytes(body[:most])
    return _decompressed(raw, most) if encoding.strip().lower() in COMPRESSED else raw


def _decompressed(raw: bytes, most: int) -> bytes:
    for window in (zlib.MAX_WBITS | 32, -zlib.MAX_WBITS):  # gzip or zlib, by its header; else deflate without one
        try:
            return zlib.decompressobj(window).decompress(raw, most)
        except zlib.error:
            continue
    return raw


def redacted(body: bytes, keys: Keys) -> bytes:
    """Return the body without the keys: a proxy may echo the request, and its answer is shown in a status."""
    found = [key.encode() for key in (keys.api_key, keys.app_key) if key]
    for key in found:
        body = body.replace(key, REDACTED)
    if not any(mark in body for mark in (b"\\", b"%", b"&")):
        return body
    return NOTHING_LEFT if any(key in plain for key in found for plain in _unescaped(body)) else body


def _unescaped(body: bytes) -> tuple[bytes, ...]:
    """Return what the body says if it is JSON, a URL, or HTML."""
    as_json = _JSON_ESCAPE.sub(lambda found: bytes([int(found[1], 16)]) if found[1] else found[2], body)
    as_html = html.unescape(body.decode(errors="replace")).encode(errors="replace")
    return as_json, unquote_to_bytes(body), as_html


def _described(error: BaseException, keys: Keys) -> str:
    text = redacted(f"{type(error).__name__}: {error}".encode(errors="replace"), keys)
    return shorten(text.decode(errors="replace"), 160)


class _Session:
    """An aiohttp session that sends a path as it is encoded. In a text, aiohttp decodes %3A in an id to a colon."""

    def __init__(self, session: aiohttp.ClientSession) -> None:
        self._session = session

    def request(self, *, url: str, **options: Any) -> AbstractAsyncContextManager[aiohttp.ClientResponse]:  # noqa: ANN401 - handed through
        return self._session.request(url=URL(url, encoded=True), **options)


class _Transport(AiohttpTransport):
    """The package's transport over a session of ours, which stays open when the transport is closed."""

    def __init__(self, session: aiohttp.ClientSession) -> None:
        super().__init__(trust_env=False)
        self._session = cast("aiohttp.ClientSession", _Session(session))

    def get_client(self) -> aiohttp.ClientSession:
        return self._session


@asynccontextmanager
async def open_http(
    *, connections: int, base_url: str | None = None, trust_env: bool = False
) -> AsyncIterator[httpx.AsyncClient]:
    """Open at most so many connections: TLS verified, no redirects, no cookies, nothing of the environment.

    `trust_env` takes HTTPS_PROXY, NO_PROXY and SSL_CERT_FILE from the environment.
    """
    async with aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(
            ssl=httpx.create_ssl_context(trust_env=trust_env), limit=connections, keepalive_timeout=IDLE_SECONDS
        ),
        cookie_jar=aiohttp.DummyCookieJar(),
        proxy=proxy_for(base_url or api_url(Site.US1)) if trust_env else None,  # one for all sites
    ) as session:
        timeout = httpx.Timeout(None, connect=CONNECT_SECONDS)  # the caller bounds a whole request
        # httpx keeps cookies too: its client would send those of one account's answer with the next one's request.
        cookies = CookieJar(DefaultCookiePolicy(allowed_domains=()))
        async with httpx.AsyncClient(
            transport=_Transport(session), timeout=timeout, cookies=cookies, trust_env=False
        ) as http:
            yield http
